//! What happens to connections: an event, what ended a connection, and the events that lie between
//! two looks at the machine.

mod cause;
mod errno;
mod looks;
#[cfg(test)]
mod tests;

use core::time::Duration;

use crate::connection::{Comm, Connection};

pub use cause::{Cause, Ending, Limit};
pub use errno::errno_name;
pub use looks::{Look, Looks};

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When: since 1970.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// The connection as it was at that moment; where it ended, right before. Its silence and its
    /// unanswered probes are those of the moment.
    pub connection: Connection,
    /// How long ago it began: with the call of connect(2), or with the end of the handshake where the
    /// peer connected. `None` for one that is older than the watch.
    pub age: Option<Duration>,
    /// Who began it, where that is known. The processes that hold it, as far as they were seen, are the
    /// connection's owner.
    pub opener: Option<Opener>,
    /// Who saw it.
    pub source: Source,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It was established.
    Opened(Side),
    /// The first keepalive probe since the peer was last heard was not answered within the interval.
    Probing,
    /// The peer answered again, after so many probes that it had not answered: a near miss.
    Recovered {
        /// Unanswered probes until then; 0 where that was not seen.
        unanswered: u8,
    },
    /// An error ended it.
    Died(Death),
    /// It ended without an error: both sides closed, or the program here gave it up.
    Closed,
    /// It is not there any more, and whether it died or was closed was not seen.
    Gone,
    /// Its keepalive settings were changed.
    Changed(Changed),
}

/// Who asked for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The program here connected.
    Connected,
    /// The peer connected.
    Accepted,
    /// It was not seen.
    Unknown,
}

impl Side {
    /// As printed; `None` where it was not seen.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Connected => Some("connected"),
            Self::Accepted => Some("accepted"),
            Self::Unknown => None,
        }
    }
}

/// How a connection died.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// What ended it.
    pub cause: Cause,
    /// The error that its program is told (`sk_err`).
    pub errno: i32,
    /// The process that destroyed it, where one did.
    pub by: Option<Program>,
}

/// A setting that was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    /// Which.
    pub item: Item,
    /// What it was set to, as setsockopt(2) takes it.
    pub value: u32,
    /// The process that called setsockopt(2); `None` where only the difference was seen.
    pub by: Option<Program>,
}

/// The settings of which a change is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item {
    /// `SO_KEEPALIVE`: 1 or 0.
    Keepalive,
    /// `TCP_KEEPIDLE`, seconds.
    Idle,
    /// `TCP_KEEPINTVL`, seconds.
    Interval,
    /// `TCP_KEEPCNT`.
    Probes,
    /// `TCP_USER_TIMEOUT`, milliseconds.
    UserTimeout,
}

impl Item {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Keepalive,
        Self::Idle,
        Self::Interval,
        Self::Probes,
        Self::UserTimeout,
    ];

    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::Idle => "idle",
            Self::Interval => "interval",
            Self::Probes => "probes",
            Self::UserTimeout => "user_timeout",
        }
    }
}

/// A process that did something to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Program {
    /// Its id.
    pub pid: u32,
    /// Its name.
    pub comm: Comm,
}

/// Who began a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opener {
    /// The process that called connect(2). It may have handed the connection on.
    Connected(Program),
    /// The process that listens for such connections. Another, such as a worker that it forked, may have
    /// accepted this one.
    Listened(Program),
}

impl Opener {
    /// Which process.
    #[must_use]
    pub const fn program(self) -> Program {
        match self {
            Self::Connected(program) | Self::Listened(program) => program,
        }
    }
}

impl Event {
    /// Whether the process is one of those whose connection it is, as far as they are known.
    #[must_use]
    pub fn is_its_own(&self, pid: u32) -> bool {
        let processes = &self.connection.owner.processes;
        match self.opener {
            Some(Opener::Connected(program)) if processes.is_empty() => program.pid == pid,
            _ => processes.iter().any(|process| process.pid == pid),
        }
    }
}

/// Who saw an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The kernel told of it when it happened.
    Bpf,
    /// It is the difference between two looks: what came and went in between was not seen, and when
    /// exactly it happened is not known.
    Scan,
}

impl Source {
    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bpf => "bpf",
            Self::Scan => "scan",
        }
    }
}

/// The kinds of events by name, as they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Name {
    /// [`Kind::Opened`].
    Opened,
    /// [`Kind::Probing`].
    Probing,
    /// [`Kind::Recovered`].
    Recovered,
    /// [`Kind::Died`].
    Died,
    /// [`Kind::Closed`].
    Closed,
    /// [`Kind::Gone`].
    Gone,
    /// [`Kind::Changed`].
    Changed,
}

impl Name {
    /// Those that can be asked for. Who asks for deaths or for closes is told of what is gone.
    pub const ASKED: [Self; 6] = [
        Self::Opened,
        Self::Probing,
        Self::Recovered,
        Self::Died,
        Self::Closed,
        Self::Changed,
    ];

    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Probing => "probing",
            Self::Recovered => "recovered",
            Self::Died => "died",
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Changed => "changed",
        }
    }

    /// Whether it is wanted by those who ask for `asked`.
    #[must_use]
    pub fn is_in(self, asked: &[Self]) -> bool {
        match self {
            Self::Gone => asked.contains(&Self::Died) || asked.contains(&Self::Closed),
            name => asked.contains(&name),
        }
    }
}

impl Kind {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> Name {
        match self {
            Self::Opened(_) => Name::Opened,
            Self::Probing => Name::Probing,
            Self::Recovered { .. } => Name::Recovered,
            Self::Died(_) => Name::Died,
            Self::Closed => Name::Closed,
            Self::Gone => Name::Gone,
            Self::Changed(_) => Name::Changed,
        }
    }
}
