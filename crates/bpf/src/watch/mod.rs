//! Connections as they open, fall silent, recover and end: told by the kernel, not asked for.
//!
//! A [`Watcher`] attaches programs to the kernel's tracepoints, for as long as it lives. They look at
//! every change of a TCP socket's state and at every expiry of a keepalive timer, and hand over what
//! was asked for: the kinds in [`Wanted::kinds`] of the connections in [`Wanted::among`]. Anything
//! else never leaves the kernel. What the reader is too slow for is lost and counted
//! ([`Watcher::lost`]); no connection ever waits for the reader.

mod happening;
mod programs;
mod raw;
mod ring;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use sockpulse_core::Hz;
use sockpulse_core::protect::Table;

use crate::error::{Error, Operation, Result};
use programs::{NAME, Programs};
use ring::Ring;

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

    /// This one without the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether any of the others is in this one.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

/// How long those may wait that wake nobody.
const PATIENCE: Duration = Duration::from_millis(20);

/// The attached programs. Dropping it detaches them.
#[derive(Debug)]
pub struct Watcher {
    programs: Programs,
    ring: Ring,
    hz: Hz,
    /// Whether something is told that wakes nobody.
    quiet: bool,
    /// When the ring was read last.
    read: Option<Instant>,
    /// Whether there was more than was read.
    more: bool,
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
        let programs = Programs::attach(wanted)?;
        let ring = Ring::open(programs.ring.as_fd()).map_err(failed)?;
        Ok(Self {
            programs,
            ring,
            hz: wanted.hz,
            quiet: wanted.kinds.has(Kinds::OPENED.with(Kinds::CLOSED)),
            read: None,
            more: false,
        })
    }

    /// Waits until something happens, or for as long as said, and adds all that has happened. A signal
    /// ends the waiting too. [`What::Opened`] and [`What::Closed`] wake nobody: they are told after 20 ms
    /// at most.
    ///
    /// # Errors
    /// What epoll_wait(2) says.
    pub fn next(&mut self, timeout: Duration, told: &mut Vec<Happening>) -> Result<()> {
        let deadline = Instant::now() + timeout;
        loop {
            let waited = self.wait(deadline)?;
            let before = told.len();
            self.read(told)?;
            if told.len() > before || !waited || Instant::now() >= deadline {
                return Ok(());
            }
        }
    }

    /// How many were lost since loading, for want of a reader that is fast enough.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub fn lost(&self) -> Result<u64> {
        self.programs.lost()
    }

    /// How often the kernel did not run one of the programs since it was running already, on the same
    /// processor: in the worst case as many events are missing besides [`lost`](Self::lost) ones.
    ///
    /// # Errors
    /// What bpf(2) says.
    pub fn skipped(&self) -> Result<u64> {
        self.programs.skipped()
    }

    /// Says whether it was not a signal that ended the waiting.
    fn wait(&self, deadline: Instant) -> Result<bool> {
        let now = Instant::now();
        let due = match self.read {
            _ if self.more => now,
            // Not at once again: each time would find one event, and reading would take all the time.
            Some(read) if self.quiet => deadline.min(read + PATIENCE),
            None if self.quiet => now,
            _ => deadline,
        };
        let timeout = due.saturating_duration_since(now);
        if timeout.is_zero() {
            return Ok(true);
        }
        self.ring.wait(timeout).map_err(failed)
    }

    fn read(&mut self, told: &mut Vec<Happening>) -> Result<()> {
        let hz = self.hz;
        let read = self.ring.read(|raw| told.extend(raw.happening(hz)));
        self.more = read.map_err(failed)?;
        self.read = Some(Instant::now());
        Ok(())
    }
}

/// How many programs there are on the kernel's tracepoints, whoever attached them: what a watcher costs is
/// measured where there are no others.
///
/// # Errors
/// What bpf(2) says.
#[doc(hidden)]
pub fn on_tracepoints() -> Result<usize> {
    crate::sys::on_tracepoints().map_err(failed)
}

/// Loads the programs and drops them again.
pub(crate) fn try_kinds(kinds: Kinds, hz: Hz) -> Result<()> {
    programs::try_loading(kinds, hz)
}

fn failed(error: std::io::Error) -> Error {
    Error::of(Operation::Read, NAME, error)
}
