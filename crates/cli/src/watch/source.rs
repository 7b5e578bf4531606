//! Where events come from.

use std::path::PathBuf;
use std::time::Duration;

use sockpulse_core::event::{Event, Name};
use sockpulse_core::{Gap, Place, Selector};

use crate::error::CommandError;
use crate::options::NetnsChoice;

/// An event, and where the connection's program runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occurrence {
    /// What happened.
    pub event: Event,
    /// `Place::default()` when unknown.
    pub place: Place,
}

/// What is to be told.
#[derive(Debug, Clone)]
pub struct EventOptions {
    /// Which kinds.
    pub events: Vec<Name>,
    /// Of which connections. A source may tell of more: whoever asks looks again.
    pub selector: Selector,
    /// In which network namespaces; empty means all. No others are told of.
    pub netns: Vec<NetnsChoice>,
    /// The cgroup below which changes are seen; without, all.
    pub cgroup: Option<PathBuf>,
}

/// Whether more can come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// It can.
    Comes,
    /// This was all.
    Ended,
}

/// Tells what happens to connections.
pub trait EventSource {
    /// What cannot be told though it was asked for.
    fn gaps(&self) -> &[Gap];

    /// Waits until something happens, or for as long as said, and adds what has happened. A signal ends
    /// the waiting.
    ///
    /// # Errors
    /// When nothing more can be told.
    fn next(&mut self, timeout: Duration, told: &mut Vec<Occurrence>)
    -> Result<More, CommandError>;

    /// How many events were lost since the beginning, because nobody took them in time.
    ///
    /// # Errors
    /// When that cannot be told.
    fn lost(&mut self) -> Result<u64, CommandError>;

    /// How many events were perhaps not seen besides, at most.
    ///
    /// # Errors
    /// When that cannot be told.
    fn skipped(&mut self) -> Result<u64, CommandError>;
}
