//! What of the kernel's defaults is kept across reboots: the files of sysctl.d(5) and sysctl.conf(5).
//!
//! Two programs apply them, and they do not agree: systemd-sysctl(8) at boot, and procps's
//! `sysctl --system`, which people run by hand and which other init systems run. [`Tree`] is what lies
//! on the disk; [`Persisted::of()`] says for each of the three defaults which line each program ends
//! with, and what became of the other lines; [`placement()`] finds the name under which a file of our
//! own wins. Nothing here reads a file.
//!
//! The rules were taken from the manual pages and from watching systemd 252 and procps 4.0.2; a test
//! holds both programs against this module. What cannot be seen in files is left out: `sysctl.…=` on
//! the kernel's command line, the credential `sysctl.extra` of systemd, and programs that write to
//! /proc/sys themselves.

use alloc::string::String;
use alloc::vec::Vec;

pub use own::{Obstacle, Placement, is_own, placement, print};
pub use parse::{Directive, Flaw, Line, MAX_LINE, Parsed, parse};
pub use pattern::Pattern;
pub use problem::{Problem, Trouble};
pub use resolve::{Assignment, Passed, Persisted, Reading, Resolved, Why};
pub use value::{Refused, read_as_kernel};

use crate::wheel::Hz;

mod decide;
mod own;
mod parse;
mod pattern;
mod problem;
mod resolve;
mod sources;
#[cfg(test)]
mod tests;
mod value;

/// One of the three defaults of keepalive that a network namespace holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sysctl {
    /// `net.ipv4.tcp_keepalive_time`.
    Idle,
    /// `net.ipv4.tcp_keepalive_intvl`.
    Interval,
    /// `net.ipv4.tcp_keepalive_probes`.
    Probes,
}

impl Sysctl {
    /// All three, in the order in which they are shown.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Interval, Self::Probes];

    /// The setting's name in sockpulse's vocabulary.
    #[must_use]
    pub const fn setting(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Interval => "interval",
            Self::Probes => "probes",
        }
    }

    /// The key as sysctl(8) prints it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Idle => "net.ipv4.tcp_keepalive_time",
            Self::Interval => "net.ipv4.tcp_keepalive_intvl",
            Self::Probes => "net.ipv4.tcp_keepalive_probes",
        }
    }

    /// The file below `/proc/sys`.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Idle => "net/ipv4/tcp_keepalive_time",
            Self::Interval => "net/ipv4/tcp_keepalive_intvl",
            Self::Probes => "net/ipv4/tcp_keepalive_probes",
        }
    }

    /// The smallest and the largest value that the kernel takes, both included. Seconds are kept in
    /// jiffies (`proc_dointvec_jiffies()`, kernel/sysctl.c), so their limit depends on the tick rate;
    /// without one, the widest of the common rates (100 Hz) is assumed. Negative times are accepted too.
    /// Probes are kept in a byte since Linux 5.13; older kernels take more.
    #[must_use]
    pub fn range(self, hz: Option<Hz>) -> (i64, i64) {
        match self {
            Self::Idle | Self::Interval => {
                let most = i64::from(i32::MAX) / i64::from(hz.map_or(100, Hz::get));
                (-most, most)
            }
            Self::Probes => (0, 255),
        }
    }

    /// The smallest and the largest value that the socket option takes (`MAX_TCP_KEEPIDLE` and its
    /// siblings, include/net/tcp.h): beyond it a program cannot ask for what it would inherit.
    #[must_use]
    pub const fn option_range(self) -> (i64, i64) {
        match self {
            Self::Idle | Self::Interval => (1, 32767),
            Self::Probes => (1, 127),
        }
    }
}

/// A program that applies the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Program {
    /// systemd-sysctl(8), started at boot by `systemd-sysctl.service`.
    SystemdSysctl,
    /// `sysctl --system` of procps.
    Procps,
}

impl Program {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::SystemdSysctl, Self::Procps];

    /// The command as people know it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SystemdSysctl => "systemd-sysctl",
            Self::Procps => "sysctl --system",
        }
    }
}

/// A folder of sysctl files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Folder {
    /// `/etc/sysctl.d`: the administrator's.
    Etc,
    /// `/run/sysctl.d`: until the next boot.
    Run,
    /// `/usr/local/lib/sysctl.d`: software installed by hand.
    LocalLib,
    /// `/usr/lib/sysctl.d`: packages.
    UsrLib,
    /// `/lib/sysctl.d`: packages, where `/lib` is not a link to `/usr/lib`.
    Lib,
}

impl Folder {
    /// All, the one whose files mask those of the same name in the others first.
    pub const ALL: [Self; 5] = [
        Self::Etc,
        Self::Run,
        Self::LocalLib,
        Self::UsrLib,
        Self::Lib,
    ];

    /// Its path.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Etc => "/etc/sysctl.d",
            Self::Run => "/run/sysctl.d",
            Self::LocalLib => "/usr/local/lib/sysctl.d",
            Self::UsrLib => "/usr/lib/sysctl.d",
            Self::Lib => "/lib/sysctl.d",
        }
    }
}

/// The file that procps reads after all others, and systemd-sysctl only through a link.
pub const SYSCTL_CONF: &str = "/etc/sysctl.conf";

/// What was found under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// A regular file, or a link to one, with its bytes.
    Text(Vec<u8>),
    /// A link to `/dev/null`: it masks files of the same name in weaker folders and says nothing.
    Masked,
    /// A link to nothing. It masks all the same.
    Dangling,
    /// A folder.
    Folder,
    /// A FIFO, a socket or a device, which is not opened: the programs would wait on some of them.
    Special,
    /// A regular file of more bytes than are read.
    TooLarge,
    /// It could not be read, and why.
    Unreadable(String),
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it lies.
    pub folder: Folder,
    /// Its name, any bytes.
    pub name: Vec<u8>,
    /// Where it leads, when it is a symbolic link: the link's text.
    pub link: Option<String>,
    /// What it holds.
    pub content: Content,
}

impl File {
    /// Its path. A name that is no UTF-8 is shown with replacement characters.
    #[must_use]
    pub fn path(&self) -> String {
        alloc::format!(
            "{}/{}",
            self.folder.path(),
            String::from_utf8_lossy(&self.name)
        )
    }
}

/// All that lies on the disk, in no particular order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// The entries of the folders whose names end in `.conf`, hidden ones too.
    pub files: Vec<File>,
    /// `/etc/sysctl.conf`, if there is one.
    pub sysctl_conf: Option<Content>,
    /// Folders that exist and could not be read, and why.
    pub unreadable: Vec<(Folder, String)>,
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The file's path.
    pub path: String,
    /// Counted from one, as editors count.
    pub line: usize,
}

impl core::fmt::Display for Position {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}:{}", self.path, self.line)
    }
}
