//! Where connections are asked from: the seam between asking and the machine, so that tests can put
//! another in its place.

use std::time::Duration;

use sockpulse_core::ping::{Glance, Method, Seen, Why};
use sockpulse_core::{Cookie, NetnsId, Process, Unseen};
use sockpulse_linux::Error;
use sockpulse_linux::ping::{Heard, Pinned, Sent};
use sockpulse_linux::sock_diag::Memory;

use super::subject::Subject;
use crate::error::CommandError;

/// A value of `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MethodChoice {
    /// Raw where it is permitted.
    #[default]
    Auto,
    /// This one.
    Only(Method),
    /// Nobody is asked; connections can be ended all the same.
    Nobody,
}

/// One network namespace, on a thread that is in it.
pub trait Station {
    /// The time, on one clock for all stations of a command.
    fn now(&mut self) -> Duration;

    /// Looks at connections, and adds what was seen of each in their order.
    ///
    /// # Errors
    /// When nothing can be seen in this namespace any more.
    fn look(
        &mut self,
        subjects: &[&Subject],
        seen: &mut Vec<Result<Seen, Why>>,
    ) -> Result<(), CommandError>;

    /// Sends a probe, made from a look that was taken just now, unless the device's queue is full.
    ///
    /// # Errors
    /// Why it cannot be sent.
    fn send(&mut self, subject: &Subject, glance: &Glance) -> Result<Sent, Why>;

    /// The next of what was said by ICMP.
    fn hear(&mut self) -> Option<Heard>;

    /// Waits until that time.
    fn wait(&mut self, until: Duration);

    /// How long the peer is silent, without BPF and without its process; `None` when it is gone.
    ///
    /// # Errors
    /// When the kernel does not say.
    fn silence(&mut self, subject: &Subject) -> Result<Option<Duration>, Error>;

    /// What a socket's buffers take; `None` when it is gone or cannot be told.
    fn memory(&mut self, subject: &Subject) -> Option<Memory>;

    /// Ends a connection; `false` when it was gone.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn destroy(&mut self, subject: &Subject) -> Result<bool, Error>;
}

/// What is done at a station.
pub type Work<'a> = dyn FnMut(&mut dyn Station) + Send + 'a;

/// All stations of one command.
pub trait Stations: Sync {
    /// How connections are asked here.
    fn method(&self) -> Method;

    /// What the choice of the method loses, and what would help: for stderr.
    fn notes(&self) -> Vec<String>;

    /// Values that sockets hold themselves from now on, and that they inherited before.
    fn pinned(&self) -> Vec<(Cookie, Pinned)>;

    /// Goes into a network namespace and works there, on a thread that is in it.
    ///
    /// # Errors
    /// When it cannot be entered, or nothing can be sent there.
    fn at(&self, netns: NetnsId, work: &mut Work<'_>) -> Result<(), NotThere>;

    /// Whether somebody wants it to end.
    fn is_interrupted(&self) -> bool;

    /// What the buffers of a socket take that was destroyed.
    ///
    /// # Errors
    /// [`Unseen::Vanished`] once the process has closed it.
    fn memory_after(&self, process: Process, cookie: Cookie) -> Result<Memory, Unseen>;

    /// Lets others run for a while.
    fn pause(&self, time: Duration);
}

/// Why nothing can be done in a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotThere {
    /// For each connection there.
    pub why: Why,
    /// In words, for a gap.
    pub reason: String,
    /// What would help.
    pub remedy: Option<String>,
}
