//! What comes out when a rule is held against a socket.

use crate::connection::{TcpState, Unseen};

use super::Step;

/// What is to be done with one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Nothing: it has what the rule wants.
    Right(Right),
    /// This.
    Change {
        /// What is to be set; never empty.
        step: Step,
        /// What is asked for and must not be set yet.
        withheld: Option<Withheld>,
    },
    /// Nothing now: all that misses is a user timeout that must not be set yet.
    Wait(Withheld),
    /// Nothing: it must not, or cannot, be touched.
    Skip(Skip),
}

impl Verdict {
    /// What is to be set.
    #[must_use]
    pub const fn step(&self) -> Option<&Step> {
        match self {
            Self::Change { step, .. } => Some(step),
            _ => None,
        }
    }

    /// The user timeout's reason to wait.
    #[must_use]
    pub const fn withheld(&self) -> Option<Withheld> {
        match self {
            Self::Change { withheld, .. } => *withheld,
            Self::Wait(why) => Some(*why),
            _ => None,
        }
    }
}

/// Why a socket is right as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Right {
    /// `fill`: its program asked for keepalive itself, or we did for it.
    Asked,
    /// `tighten`: nothing is slower than the rule.
    FastEnough,
    /// `override`: it has exactly this.
    Exact,
    /// `off`: keepalive is off.
    Off,
}

impl Right {
    /// A stable word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::FastEnough => "fast-enough",
            Self::Exact => "exact",
            Self::Off => "off",
        }
    }

    /// A clause for people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Asked => "keepalive is on already",
            Self::FastEnough => "nothing is slower than asked for",
            Self::Exact => "has exactly what is asked for",
            Self::Off => "keepalive is off already",
        }
    }
}

/// Why a socket is not touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Skip {
    /// Both ends are in this namespace: the kernel itself reports the end.
    Local,
    /// Its program closed it (`SOCK_DEAD`): keepalive would keep it from its end.
    Orphan,
    /// It ends by itself, or is no connection.
    State(TcpState),
    /// A subflow of Multipath TCP: the options belong to the connection above it.
    Mptcp,
    /// Probes are unanswered now: what changes the count decides over its life.
    Probing,
    /// It has a user timeout that is not ours to lift, and its silence would make that one end it at
    /// fewer lost probes than its settings promise.
    UserTimeout,
    /// The namespace's defaults that it would follow end healthy connections: no probes, or no time
    /// between them.
    Defaults,
    /// Something that the decision needs was not seen.
    Unseen(Unseen),
    /// No process holds it through which it could be reached. [`decide`](super::decide) never says
    /// so: it is for sinks that need one.
    NoProcess,
}

impl Skip {
    /// A stable word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Orphan => "orphan",
            Self::State(_) => "state",
            Self::Mptcp => "mptcp",
            Self::Probing => "probing",
            Self::UserTimeout => "user-timeout",
            Self::Defaults => "defaults",
            Self::Unseen(_) => "unseen",
            Self::NoProcess => "no-process",
        }
    }

    /// A clause for people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Local => "both ends are on this machine, which reports the end itself",
            Self::Orphan => "its program closed it; keepalive would prolong its life",
            Self::State(_) => "its state ends by itself",
            Self::Mptcp => "a Multipath TCP subflow, whose options are its connection's",
            Self::Probing => "probes are unanswered now, and a change could end it",
            Self::UserTimeout => {
                "silent for so long that its own user timeout would end it at a lost probe"
            }
            Self::Defaults => "the kernel's defaults here would end healthy connections",
            Self::Unseen(why) => why.why(),
            Self::NoProcess => "no process holds it through which it could be reached",
        }
    }
}

/// Why a user timeout that is asked for is not set yet.
///
/// The kernel counts from the last segment *received*, not from when the option is set: on a
/// connection that is silent already, a single lost probe may be beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Withheld {
    /// The silence leaves no room for as many lost probes as a new connection would survive.
    Silence,
    /// Data is being retransmitted, or waits for the peer's window: the time already counts.
    Waiting,
    /// It is connecting: the timeout would cut the attempt short.
    Connecting,
    /// How long it is silent, or what it waits for, was not seen.
    Unseen,
    /// The automatic one would be longer than the option takes.
    TooLong,
    /// The automatic one has no length: no probe is ever sent, or none after the first.
    NeverProbed,
}

impl Withheld {
    /// A stable word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Unseen => "unseen",
            Self::TooLong => "too-long",
            Self::NeverProbed => "never-probed",
        }
    }

    /// A clause for people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Silence => "silent for so long that a lost probe could end it",
            Self::Waiting => "data has been waiting for the peer, and the timeout would count that",
            Self::Connecting => "still connecting",
            Self::Unseen => "its silence was not seen",
            Self::TooLong => "idle + interval x probes is more than the option takes",
            Self::NeverProbed => "by the kernel's defaults here it is never probed",
        }
    }

    /// Whether a later run may set it.
    #[must_use]
    pub const fn passes(self) -> bool {
        matches!(
            self,
            Self::Silence | Self::Waiting | Self::Connecting | Self::Unseen
        )
    }
}
