//! What asking came to.

use core::net::IpAddr;
use core::time::Duration;

use super::glance::Glance;
use crate::connection::{TcpState, Unseen};

/// What is known of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Something came from it after it was asked. Its host lives; the program there may hang.
    Alive,
    /// It was asked as often as [`Patience`](super::Patience) says, and nothing came.
    Dead,
    /// It answered that it knows of no such connection: a reset ended it.
    Refused,
    /// Data is in flight, so that the kernel would not probe (method `option` only), and no
    /// acknowledgement came while it was watched.
    Busy,
    /// Not found out; [`Answer::why`] tells the reason.
    Unknown,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Alive,
        Self::Dead,
        Self::Refused,
        Self::Busy,
        Self::Unknown,
    ];

    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Dead => "dead",
            Self::Refused => "refused",
            Self::Busy => "busy",
            Self::Unknown => "unknown",
        }
    }
}

/// How a connection ended that is not there any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gone {
    /// The peer reset it (`ECONNRESET`, `EPIPE`, `ECONNREFUSED`).
    Reset,
    /// The kernel gave it up (`ETIMEDOUT`).
    TimedOut,
    /// Both ends closed it.
    Closed,
    /// A router said that the peer cannot be reached (`EHOSTUNREACH` and its like).
    Unreachable,
    /// An administrator destroyed it (`ECONNABORTED`).
    Destroyed,
    /// By another error.
    Errno(i32),
    /// It is not there, and nothing was seen of its end.
    Unknown,
}

/// Why a verdict is [`Verdict::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// Segments are signed, and the key is the kernel's.
    Signed,
    /// A subflow of Multipath TCP.
    Mptcp,
    /// No peer belongs to the state.
    State(TcpState),
    /// The connection ended while it was asked, and not by an answer.
    Ended(Gone),
    /// A right is missing.
    NotPermitted,
    /// Its network namespace could not be entered.
    NotEntered,
    /// The kernel refused to send, with this error number.
    NotSent(i32),
    /// The device that the socket is bound to is gone.
    NoDevice,
    /// Its process could not be reached (method `option`).
    Unreached(Unseen),
    /// Its program's own keepalive leaves no room for another probe (method `option`, [`Room`]).
    ///
    /// [`Room`]: super::Room
    Room,
    /// A value in force could not be put back (method `option`).
    NotRestorable,
    /// Its ends make no packet: the families differ.
    Ends,
    /// The asking was ended first.
    Interrupted,
}

impl Why {
    /// A stable word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Mptcp => "mptcp",
            Self::State(_) => "state",
            Self::Ended(_) => "ended",
            Self::NotPermitted => "not-permitted",
            Self::NotEntered => "not-entered",
            Self::NotSent(_) => "not-sent",
            Self::NoDevice => "no-device",
            Self::Unreached(_) => "unreached",
            Self::Room => "room",
            Self::NotRestorable => "not-restorable",
            Self::Ends => "ends",
            Self::Interrupted => "interrupted",
        }
    }

    /// A clause for people; the kernel's words for an error number are the caller's to add.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Signed => "its segments are signed (MD5 or AO), and only the kernel has the key",
            Self::Mptcp => "it is a subflow of Multipath TCP, which is asked by its own means",
            Self::State(_) => "no peer belongs to its state",
            Self::Ended(gone) => gone.sentence(),
            Self::NotPermitted => "a right is missing: CAP_NET_RAW in its network namespace",
            Self::NotEntered => "its network namespace could not be entered",
            Self::NotSent(_) => "the kernel refused to send a probe",
            Self::NoDevice => "the device that it is bound to is gone",
            Self::Unreached(unseen) => unseen.why(),
            Self::Room => {
                "its program's own keepalive leaves no room: another unanswered probe could end it"
            }
            Self::NotRestorable => {
                "its inherited idle time or count is one that no option could put back"
            }
            Self::Ends => "its two ends are of different families",
            Self::Interrupted => "the asking was ended before it answered",
        }
    }
}

impl Gone {
    /// By the error that its program is told (`sk_err` as it ended): 0 is an ordinary close.
    #[must_use]
    pub const fn by_errno(errno: i32) -> Self {
        match errno {
            0 => Self::Closed,
            32 | 104 | 111 => Self::Reset,
            103 => Self::Destroyed,
            110 => Self::TimedOut,
            101 | 112 | 113 => Self::Unreachable,
            other => Self::Errno(other),
        }
    }

    const fn sentence(self) -> &'static str {
        match self {
            Self::Reset => "a reset ended it before it was asked",
            Self::TimedOut => "the kernel gave it up meanwhile",
            Self::Closed => "it was closed meanwhile",
            Self::Unreachable => "it ended meanwhile: its peer could not be reached",
            Self::Destroyed => "an administrator destroyed it meanwhile",
            Self::Errno(_) => "it ended meanwhile by another error",
            Self::Unknown => "it ended meanwhile, and nothing was seen of its end",
        }
    }
}

/// A message of ICMP about a probe: a router, or the peer's host, says that it went no further. It
/// changes no verdict, since anyone can send one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Unreachable {
    /// Who said so.
    pub from: IpAddr,
    /// The code of "destination unreachable", in the numbering of the address's family.
    pub code: u8,
}

/// What asking one connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// What is known of the peer.
    pub verdict: Verdict,
    /// Why it is not known, if it is not.
    pub why: Option<Why>,
    /// From the probe to the look that saw the answer. `None` where something else may have been what
    /// came: other traffic, or the answer to an earlier probe.
    pub rtt: Option<Duration>,
    /// Probes that were sent.
    pub probes: u16,
    /// How long the peer had been silent: before it answered, or up to the verdict.
    pub silence: Option<Duration>,
    /// How the connection ended, if it did meanwhile.
    pub gone: Option<Gone>,
    /// What was heard by ICMP.
    pub unreachable: Option<Unreachable>,
    /// The last look, with what is in flight and was retransmitted.
    pub last: Option<Glance>,
}

impl Answer {
    /// For a connection that could not be asked at all.
    #[must_use]
    pub const fn unknown(why: Why) -> Self {
        Self {
            verdict: Verdict::Unknown,
            why: Some(why),
            rtt: None,
            probes: 0,
            silence: None,
            gone: None,
            unreachable: None,
            last: None,
        }
    }
}
