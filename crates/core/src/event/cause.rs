//! What ended a connection, told from what the kernel left in the socket.

use core::time::Duration;

use super::errno::{ABORTED, is_unreachable};
use crate::connection::TcpState;
use crate::machine::Errno;
use crate::settings::UserTimeout;

/// What ended a connection that ended with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// The kernel gave it up.
    GivenUp(Limit),
    /// ICMP said that the peer cannot be reached. An attempt to connect ends by that; an established
    /// connection is only given up by a limit, and the error bears ICMP's name.
    Unreachable(Option<Limit>),
    /// RST was received.
    Reset,
    /// An administrator's command destroyed it: `ss -K`, `sockpulse reap` and their like.
    Destroyed,
    /// It cannot be told.
    Unknown,
}

/// The limit by which the kernel gave a connection up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// As many keepalive probes as the settings allow were not answered.
    Keepalive,
    /// `TCP_USER_TIMEOUT`, idle or not.
    UserTimeout,
    /// Data was retransmitted for as long as `tcp_retries2` stands for.
    Retransmission,
    /// `tcp_retries2` probes of a closed window were not answered.
    WindowProbes,
    /// Nobody answered the SYNs (`tcp_syn_retries`).
    Handshake,
    /// What a closed socket still had to send was not acknowledged (`tcp_orphan_retries`).
    Orphan,
}

/// What a socket holds at the moment in which it becomes CLOSE with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// `sk_err`.
    pub errno: i32,
    /// The state that it leaves.
    pub state: TcpState,
    /// Whether its program had closed it (`SOCK_DEAD`).
    pub orphan: bool,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: UserTimeout,
    /// Bytes sent and not acknowledged: `snd_nxt - snd_una`. The queues themselves are empty by now.
    pub unacked: u32,
    /// Bytes that wait to be sent: `write_seq - snd_nxt`.
    pub unsent: u32,
    /// Whether RST was received; `None` where that is not told.
    pub reset: Option<bool>,
    /// How long the window was probed (`icsk_probes_tstamp`, from 5.11 on).
    pub window_probed: Option<Duration>,
    /// How long it tried to connect, in SYN-SENT.
    pub connecting: Option<Duration>,
}

impl Cause {
    /// As printed: the limit's name where the kernel gave it up.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GivenUp(limit) => limit.name(),
            Self::Unreachable(_) => "unreachable",
            Self::Reset => "reset",
            Self::Destroyed => "destroyed",
            Self::Unknown => "unknown",
        }
    }

    /// The limit that was reached, where the kernel gave it up.
    #[must_use]
    pub const fn limit(self) -> Option<Limit> {
        match self {
            Self::GivenUp(limit) => Some(limit),
            Self::Unreachable(limit) => limit,
            Self::Reset | Self::Destroyed | Self::Unknown => None,
        }
    }

    /// What ended it. The errors are those that `tcp_reset()`, `tcp_write_err()`, `tcp_v4_err()` and
    /// `tcp_abort()` leave; a program's own close leaves none before the socket is CLOSE.
    #[must_use]
    pub fn of(ending: &Ending) -> Self {
        const RESET: i32 = Errno::ConnectionReset.number();
        const BROKEN_PIPE: i32 = Errno::BrokenPipe.number();
        const TIMED_OUT: i32 = Errno::TimedOut.number();
        const REFUSED: i32 = Errno::ConnectionRefused.number();
        let connecting = ending.state == TcpState::SynSent;
        match ending.errno {
            RESET | BROKEN_PIPE => Self::Reset,
            ABORTED => Self::Destroyed,
            TIMED_OUT => limit(ending).map_or(Self::Unknown, Self::GivenUp),
            // RST, or ICMP port unreachable.
            REFUSED if connecting => match ending.reset {
                Some(true) => Self::Reset,
                Some(false) => Self::Unreachable(None),
                None => Self::Unknown,
            },
            errno if is_unreachable(errno) && connecting => Self::Unreachable(None),
            errno if is_unreachable(errno) => Self::Unreachable(limit(ending)),
            _ => Self::Unknown,
        }
    }
}

impl Limit {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Keepalive,
        Self::UserTimeout,
        Self::Retransmission,
        Self::WindowProbes,
        Self::Handshake,
        Self::Orphan,
    ];

    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user-timeout",
            Self::Retransmission => "retransmission",
            Self::WindowProbes => "window-probes",
            Self::Handshake => "handshake",
            Self::Orphan => "orphan",
        }
    }
}

/// Which limit: whether something was in flight or queued tells which timer ran.
fn limit(ending: &Ending) -> Option<Limit> {
    match ending.state {
        TcpState::SynSent => return handshake(ending),
        // Fast open: a socket of its own before the handshake is complete.
        TcpState::SynReceived => return Some(Limit::Handshake),
        _ => {}
    }
    let otherwise = if ending.unacked > 0 {
        if ending.orphan {
            Limit::Orphan
        } else {
            Limit::Retransmission
        }
    } else if ending.unsent > 0 {
        return window_probes(ending);
    } else {
        Limit::Keepalive
    };
    // With a user timeout neither tcp_keepalive_timer() nor retransmits_timed_out() counts.
    Some(match ending.user_timeout.duration() {
        Some(_) => Limit::UserTimeout,
        None => otherwise,
    })
}

/// `tcp_write_timeout()` in SYN-SENT: as many SYNs as are allowed, or the user timeout.
fn handshake(ending: &Ending) -> Option<Limit> {
    let Some(timeout) = ending.user_timeout.duration() else {
        return Some(Limit::Handshake);
    };
    let timed_out = ending.connecting? + CLOCKS >= timeout;
    Some(if timed_out {
        Limit::UserTimeout
    } else {
        Limit::Handshake
    })
}

/// `tcp_probe_timer()`: as many probes as `tcp_retries2` allows, or the user timeout, whichever
/// comes first.
fn window_probes(ending: &Ending) -> Option<Limit> {
    let otherwise = if ending.orphan {
        Limit::Orphan
    } else {
        Limit::WindowProbes
    };
    let Some(timeout) = ending.user_timeout.duration() else {
        return Some(otherwise);
    };
    Some(if ending.window_probed? + CLOCKS >= timeout {
        Limit::UserTimeout
    } else {
        otherwise
    })
}

/// The kernel measures these times in ticks of at most 10 ms.
const CLOCKS: Duration = Duration::from_millis(10);
