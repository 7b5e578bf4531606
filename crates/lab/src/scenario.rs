//! What a scenario is.

use std::time::Duration;

use sockpulse_core::Family;
use sockpulse_core::machine::Errno;

use crate::fault::Fault;
use crate::settings::Settings;

/// A way to lose a connection, or to keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// One line about it.
    pub about: &'static str,
    /// What the connection is doing when it breaks.
    pub begin: Begin,
    /// What breaks.
    pub fault: Fault,
    /// Sysctls of the client and of the server that differ from the kernel's.
    pub sysctls: &'static [(&'static str, i64)],
    /// Which addresses.
    pub family: Family,
    /// The settings that it is run with, the first unless others are asked for.
    pub cases: &'static [Case],
    /// Which public experiment it repeats.
    pub twin_of: Option<Twin>,
}

/// Settings, and what becomes of the connection with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The settings.
    pub settings: Settings,
    /// What should become of it: a second opinion beside the model's.
    pub expected: Expected,
    /// Whether it takes long.
    pub pace: Pace,
    /// How long a connection is watched that should stay.
    pub watch_s: u16,
}

/// What should become of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// It stays.
    Stays,
    /// read(2) fails.
    Error(Errno),
    /// read(2) returns 0.
    EndOfStream,
    /// No program is there to be told.
    Dropped,
}

/// Whether a case takes long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Not more than about a quarter of a minute.
    Quick,
    /// Longer.
    Slow,
}

/// What a connection is doing when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// All is acknowledged, nobody speaks.
    Idle,
    /// The client writes as soon as it is broken.
    InFlight,
    /// The client writes when it has been broken for [`LATE_WRITE`].
    LateWrite,
    /// The server reads nothing, and the client has written more than the window takes.
    ZeroWindow,
    /// The same, and nothing that the client then sends reaches the server.
    ZeroWindowThenGone,
    /// The server reads slowly, and the client always has something to write.
    SlowReader,
    /// The client's SYN leaves when it is broken.
    Connecting,
    /// The server's SYN-ACK never arrives, and the client does not ask again: the server's request is
    /// watched.
    Accepting,
    /// The last ACK of the handshake is lost: the client's established end is watched.
    HalfOpen,
    /// The same: the server's request is watched.
    HalfOpenServer,
    /// The client closes the socket when it is broken: the FIN is never answered.
    Closing,
}

/// How long [`Begin::LateWrite`] waits.
pub const LATE_WRITE: Duration = Duration::from_secs(4);

/// An experiment of "When TCP sockets refuse to die" (M. Majkowski, Cloudflare, 2019).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twin {
    /// Its script.
    pub script: &'static str,
    /// What is reported of it.
    pub reported: &'static str,
    /// How ours compares.
    pub ours: &'static str,
}

impl Case {
    /// The longest that a connection is watched which should stay.
    #[must_use]
    pub const fn watch(&self) -> Duration {
        Duration::from_secs(self.watch_s as u64)
    }
}

impl Scenario {
    /// A case by name and settings, as in the evidence: `vanish 2/1/3`.
    #[must_use]
    pub fn title(&self, settings: &Settings) -> String {
        format!("{} {settings}", self.name)
    }
}
