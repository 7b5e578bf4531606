//! Asking by the kernel's own keepalive, where segments of our own cannot be sent or connections
//! cannot be looked at: options are set for some milliseconds on a borrowed descriptor, and put back.
//!
//! What this costs the connection: an idle time that followed the namespace's default is the socket's own
//! afterwards, since no option takes a value away; so is the count where it had to be raised. Probes
//! that stayed unanswered stay counted until the peer is heard again.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sockpulse_core::ping::{Glance, Room, Why};
use sockpulse_core::{Cookie, EffectiveTimers, KeepCnt, KeepIdle, Process, Unseen};

use super::guard::Guard;
use super::info;
use super::saved::Saved;
use super::sender::Sent;
use crate::error::{Error, Operation, Result};
use crate::pidfd::Borrower;
use crate::{raw, set};

/// Asks by options, one connection after the other. A second process stands by to put options back
/// should this one die.
///
/// `SO_ERROR` is never read: it would take the connection's error away from its program. A descriptor is
/// held for some microseconds at a time, since while it is a close of its program sends no FIN.
#[derive(Debug)]
pub struct Asker {
    borrower: Borrower,
    guard: Guard,
}

/// A probe of the kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Whether it left. It does not while data is in flight, nor while its program is inside a call on the
    /// socket.
    pub sent: Sent,
    /// What cannot be taken back.
    pub pinned: Pinned,
}

/// Values that the socket holds itself from now on. They are those that were in force before; where
/// they were inherited, a change of the namespace's defaults does not reach the socket any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pinned {
    /// `TCP_KEEPIDLE`.
    pub idle: KeepIdle,
    /// `TCP_KEEPCNT`, where it had to be raised.
    pub probes: Option<KeepCnt>,
}

/// Why a connection was not asked. Its options are as they were, but for the last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotAsked {
    /// It could not be reached, or is gone.
    Unreached(Unseen),
    /// Its own keepalive leaves no room ([`Room`]).
    NoRoom,
    /// A value in force is one that no option takes, so that it could not be put back.
    NotRestorable,
    /// The kernel refused something; what had been set is back.
    Failed(Error),
    /// Options were set and could not be put back.
    HalfMade(Error),
}

/// For a tick of the slowest kernel, and the retry when its program was inside a call
/// (`tcp_keepalive_timer()`: a twentieth of a second later).
const PATIENCE: Duration = Duration::from_millis(120);
const STEP: Duration = Duration::from_micros(250);

impl Asker {
    /// Starts the guard: best done before threads are.
    ///
    /// # Errors
    /// [`Error::System`] when no process or pipe can be had.
    pub fn start() -> Result<Self> {
        Ok(Self {
            borrower: Borrower::new(),
            guard: Guard::start()?,
        })
    }

    /// A look at the connection of this cookie that the process holds.
    ///
    /// # Errors
    /// [`NotAsked`]; needs the same rights as [`Borrower::settings()`].
    pub fn look(&mut self, process: Process, cookie: Cookie) -> Result<Glance, NotAsked> {
        let socket = self.borrow(process, cookie)?;
        info::glance(&socket).map_err(NotAsked::Failed)
    }

    /// Makes the kernel send one probe, and puts the options back: after a tick of the kernel's, 4 ms
    /// where it has 250 a second. The connection has to have been silent for a second.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub fn probe(&mut self, process: Process, cookie: Cookie) -> Result<Asked, NotAsked> {
        let socket = self.borrow(process, cookie)?;
        let before = info::glance(&socket).map_err(NotAsked::Failed)?;
        let timers = set::in_force(&socket).map_err(NotAsked::Failed)?;
        let pinned = planned(&timers, &before)?;
        let saved = saved(process, cookie, &timers, pinned);
        if before.unacked > 0 {
            let sent = Sent::NotNow;
            return Ok(Asked { sent, pinned });
        }
        self.guard.note(&saved).map_err(NotAsked::Failed)?;
        let made = raw::without_signals(|| saved.set(&socket));
        drop(socket);
        if let Err(errno) = made {
            self.put_back(&saved)?;
            return Err(NotAsked::Failed(failed_to_set(errno)));
        }
        let sent = self.wait_for_departure(process, cookie, &before);
        self.put_back(&saved)?;
        let sent = sent?;
        Ok(Asked { sent, pinned })
    }

    fn borrow(&mut self, process: Process, cookie: Cookie) -> Result<OwnedFd, NotAsked> {
        let socket = self.borrower.borrow_exactly(process, cookie);
        socket.map_err(NotAsked::Unreached)
    }

    /// Until the probe is counted as unanswered, or something came.
    fn wait_for_departure(
        &mut self,
        process: Process,
        cookie: Cookie,
        before: &Glance,
    ) -> Result<Sent, NotAsked> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            std::thread::park_timeout(STEP);
            let now = self.look(process, cookie)?;
            if now.unanswered > before.unanswered || now.heard_since(before) {
                return Ok(Sent::Left);
            }
            if now.unacked > 0 || Instant::now() > deadline {
                return Ok(Sent::NotNow);
            }
        }
    }

    fn put_back(&self, saved: &Saved) -> Result<(), NotAsked> {
        match raw::without_signals(|| saved.put_back_there()) {
            // Closed or ended, and its options with it.
            Ok(()) | Err(Errno::SRCH | Errno::BADF | Errno::NOTSOCK) => {
                self.guard.forget().map_err(NotAsked::HalfMade)
            }
            Err(errno) => Err(NotAsked::HalfMade(failed_to_set(errno))),
        }
    }
}

impl NotAsked {
    /// As an answer tells it.
    #[must_use]
    pub fn why(&self) -> Why {
        match self {
            Self::Unreached(unseen) => Why::Unreached(*unseen),
            Self::NoRoom => Why::Room,
            Self::NotRestorable => Why::NotRestorable,
            Self::Failed(error) | Self::HalfMade(error) => {
                Why::NotSent(error.errno().map_or(0, Errno::raw_os_error))
            }
        }
    }
}

/// What a probe would pin, if there is room for it.
fn planned(timers: &EffectiveTimers, glance: &Glance) -> Result<Pinned, NotAsked> {
    let room = Room::of(timers, glance.unanswered, glance.silence);
    let natural = |value: i64| u64::try_from(value).map_err(|_| NotAsked::NotRestorable);
    let probes = match room {
        Room::None => return Err(NotAsked::NoRoom),
        Room::AsItIs => None,
        Room::HighestCount => {
            let probes = KeepCnt::new(natural(timers.probes.value)?);
            Some(probes.map_err(|_| NotAsked::NotRestorable)?)
        }
    };
    let idle = KeepIdle::new(natural(timers.idle.value)?);
    Ok(Pinned {
        idle: idle.map_err(|_| NotAsked::NotRestorable)?,
        probes,
    })
}

fn saved(process: Process, cookie: Cookie, timers: &EffectiveTimers, pinned: Pinned) -> Saved {
    Saved {
        pid: process.pid,
        fd: process.fd,
        cookie,
        keepalive: timers.keepalive,
        idle: pinned.idle.get(),
        probes: pinned.probes.map_or(0, KeepCnt::get),
        user_timeout: timers.user_timeout.get(),
    }
}

fn failed_to_set(errno: Errno) -> Error {
    Error::system(Operation::SetOption, "keepalive", errno)
}
