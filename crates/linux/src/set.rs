//! Sets keepalive on a socket of someone else, whose program never learns of it.
//!
//! The process's descriptor is duplicated (pidfd_getfd(2), since 5.6), held against what was read of the
//! connection, written to, read back, and closed again: some microseconds. While a duplicate is open a
//! close of its program sends no FIN, so that nothing here waits for anything.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt as options;
use sockpulse_core::machine::SocketOption;
use sockpulse_core::protect::Step;
use sockpulse_core::{Cookie, Effective, EffectiveTimers, Process, TcpState, Unseen, UserTimeout};

use crate::error::{Error, Operation, Result};
use crate::pidfd::Borrower;
use crate::{raw, sockopt};

/// What a socket has to be like for a step to be made: as it was when the step was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// The settings in force. When others are, its program has set them since, and knows better.
    pub timers: EffectiveTimers,
    /// The longest silence of the peer with which a user timeout may be set.
    pub silence: Duration,
}

/// Why a socket was left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSet {
    /// It could not be reached, or is gone.
    Unreached(Unseen),
    /// It is not as it was when the step was planned: its program set options, or it is being closed.
    Changed,
    /// A probe is unanswered, or data is being retransmitted: other values would decide over a peer
    /// that is being asked right now.
    Probing,
    /// The peer has been silent for so long that a lost probe could end the connection, since the
    /// kernel holds the user timeout against the last segment received (`tcp_keepalive_timer()`).
    Silent,
    /// The kernel refused an option; those that were set before it were put back.
    Failed(Error),
    /// The same, and putting back failed too.
    HalfMade(Error),
}

impl Borrower {
    /// Makes a step on the socket of this cookie that the process holds, and tells what is in force
    /// then: what was set as read back, the rest as read before.
    ///
    /// # Errors
    /// [`NotSet`]; needs the same rights as [`Borrower::settings()`].
    pub fn set(
        &mut self,
        process: Process,
        cookie: Cookie,
        expected: &Expected,
        step: &Step,
    ) -> Result<EffectiveTimers, NotSet> {
        let socket = self
            .borrow_exactly(process, cookie)
            .map_err(NotSet::Unreached)?;
        let before = in_force(&socket).map_err(NotSet::Failed)?;
        if !same(&before, &expected.timers) {
            return Err(NotSet::Changed);
        }
        may_be_touched(&Moment::of(&socket)?, expected.silence, step)?;
        // Nothing that can be held back comes between the first option and the last.
        raw::without_signals(|| make(&socket, &before, step))?;
        let after = read_back(&socket, before, step).map_err(NotSet::Failed)?;
        if step.stands(&after) {
            Ok(after)
        } else {
            // Its own program set an option in the same moment.
            Err(NotSet::Changed)
        }
    }
}

/// What getsockopt(2) tells; whether a value is inherited it does not.
pub(crate) fn in_force(socket: &OwnedFd) -> Result<EffectiveTimers> {
    Ok(EffectiveTimers {
        keepalive: sockopt::keepalive(socket)?,
        idle: unexplained(sockopt::keep_idle(socket)?),
        interval: unexplained(sockopt::keep_intvl(socket)?),
        probes: unexplained(sockopt::keep_cnt(socket)?),
        user_timeout: sockopt::user_timeout(socket)?,
    })
}

/// What was set, as it is now. Half of the time that a socket takes goes into reading options, so
/// that the others are not read once more.
fn read_back(socket: &OwnedFd, before: EffectiveTimers, step: &Step) -> Result<EffectiveTimers> {
    let mut now = before;
    for option in step.order() {
        match option {
            SocketOption::KeepaliveOn | SocketOption::KeepaliveOff => {
                now.keepalive = sockopt::keepalive(socket)?;
            }
            SocketOption::Idle(_) => now.idle = unexplained(sockopt::keep_idle(socket)?),
            SocketOption::Interval(_) => now.interval = unexplained(sockopt::keep_intvl(socket)?),
            SocketOption::Probes(_) => now.probes = unexplained(sockopt::keep_cnt(socket)?),
            SocketOption::UserTimeout(_) => now.user_timeout = sockopt::user_timeout(socket)?,
        }
    }
    Ok(now)
}

const fn unexplained(value: i64) -> Effective {
    Effective {
        value,
        origin: None,
    }
}

fn same(one: &EffectiveTimers, other: &EffectiveTimers) -> bool {
    let values = |timers: &EffectiveTimers| {
        [timers.idle, timers.interval, timers.probes].map(|effective| effective.value)
    };
    one.keepalive == other.keepalive
        && one.user_timeout == other.user_timeout
        && values(one) == values(other)
}

/// What changes by itself.
struct Moment {
    state: Option<TcpState>,
    retransmits: u8,
    unanswered: u8,
    silence: Duration,
}

impl Moment {
    /// By `struct tcp_info`: state, ca_state, retransmits and probes, a byte each; at 52 and 56 the
    /// milliseconds since data and since an acknowledgement came.
    fn of(socket: &OwnedFd) -> Result<Self, NotSet> {
        let info =
            raw::option::<60>(socket, libc::IPPROTO_TCP, libc::TCP_INFO).map_err(|errno| {
                NotSet::Failed(Error::system(Operation::ReadOption, "TCP_INFO", errno))
            })?;
        let word = |at: usize| {
            let bytes = info.get(at..at + 4).and_then(|four| four.try_into().ok());
            bytes.map_or(0, u32::from_ne_bytes)
        };
        Ok(Self {
            state: TcpState::from_kernel(info[0]),
            retransmits: info[2],
            unanswered: info[3],
            silence: Duration::from_millis(word(52).min(word(56)).into()),
        })
    }
}

fn may_be_touched(now: &Moment, silence: Duration, step: &Step) -> Result<(), NotSet> {
    let open = |state: TcpState| {
        state.has_peer()
            || matches!(
                state,
                TcpState::Listen | TcpState::SynSent | TcpState::SynReceived
            )
    };
    if !now.state.is_some_and(open) {
        return Err(NotSet::Changed);
    }
    let timeout = step
        .user_timeout
        .is_some_and(|timeout| timeout != UserTimeout::OFF);
    // Switched off first, nothing is probed any more that other values could decide over.
    let switched_off = step.keepalive == Some(false);
    let probing = now.unanswered > 0 && !switched_off;
    if probing || (timeout && (now.unanswered > 0 || now.retransmits > 0)) {
        return Err(NotSet::Probing);
    }
    if timeout && now.silence > silence {
        return Err(NotSet::Silent);
    }
    Ok(())
}

fn make(socket: &OwnedFd, before: &EffectiveTimers, step: &Step) -> Result<(), NotSet> {
    for (made, option) in step.order().enumerate() {
        if let Err(error) = put(socket, option) {
            return Err(put_back(socket, before, step, made, error));
        }
    }
    Ok(())
}

/// Takes back the options that were set before one was refused, the last one first.
fn put_back(
    socket: &OwnedFd,
    before: &EffectiveTimers,
    step: &Step,
    made: usize,
    error: Error,
) -> NotSet {
    let made: Vec<_> = step.order().take(made).collect();
    let mut put_back = made.iter().rev().map(|option| {
        let option = inverse(*option, before)?;
        put(socket, option).ok()
    });
    if put_back.all(|done| done.is_some()) {
        NotSet::Failed(error)
    } else {
        NotSet::HalfMade(error)
    }
}

/// What sets the value that was in force before; `None` where no option can be that.
fn inverse(option: SocketOption, before: &EffectiveTimers) -> Option<SocketOption> {
    let value = |effective: Effective| u64::try_from(effective.value).ok();
    Some(match option {
        SocketOption::KeepaliveOn => SocketOption::KeepaliveOff,
        SocketOption::KeepaliveOff => SocketOption::KeepaliveOn,
        SocketOption::UserTimeout(_) => SocketOption::UserTimeout(before.user_timeout),
        SocketOption::Idle(_) => {
            SocketOption::Idle(sockpulse_core::KeepIdle::new(value(before.idle)?).ok()?)
        }
        SocketOption::Interval(_) => {
            SocketOption::Interval(sockpulse_core::KeepIntvl::new(value(before.interval)?).ok()?)
        }
        SocketOption::Probes(_) => {
            SocketOption::Probes(sockpulse_core::KeepCnt::new(value(before.probes)?).ok()?)
        }
    })
}

fn put(socket: &OwnedFd, option: SocketOption) -> Result<()> {
    let seconds = |seconds: u16| Duration::from_secs(seconds.into());
    let (name, result): (_, Result<(), Errno>) = match option {
        SocketOption::KeepaliveOn => ("SO_KEEPALIVE", options::set_socket_keepalive(socket, true)),
        SocketOption::KeepaliveOff => {
            ("SO_KEEPALIVE", options::set_socket_keepalive(socket, false))
        }
        SocketOption::Idle(idle) => (
            "TCP_KEEPIDLE",
            options::set_tcp_keepidle(socket, seconds(idle.get())),
        ),
        SocketOption::Interval(interval) => (
            "TCP_KEEPINTVL",
            options::set_tcp_keepintvl(socket, seconds(interval.get())),
        ),
        SocketOption::Probes(probes) => (
            "TCP_KEEPCNT",
            options::set_tcp_keepcnt(socket, probes.get().into()),
        ),
        SocketOption::UserTimeout(timeout) => (
            "TCP_USER_TIMEOUT",
            options::set_tcp_user_timeout(socket, timeout.get()),
        ),
    };
    result.map_err(|errno| Error::system(Operation::SetOption, name, errno))
}
