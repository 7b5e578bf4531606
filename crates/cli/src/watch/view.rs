//! An event with all that is known around it.

use sockpulse_core::event::{Event, Opener, Program};

use crate::row::Row;

/// An event as the faces see it.
pub(super) struct View<'a> {
    pub(super) event: &'a Event,
    /// The connection as a listing has it.
    pub(super) row: Row<'a>,
}

/// How it is known whose a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// The process was seen to hold it.
    Descriptor,
    /// It connected it.
    Connect,
    /// It listens for such connections.
    Listen,
}

impl View<'_> {
    /// The process whose it is, as far as that is known.
    pub(super) fn owner(&self) -> Option<(Program, Known)> {
        if let Some(process) = self.event.connection.owner.processes.first() {
            let program = Program {
                pid: process.pid,
                comm: process.comm,
            };
            return Some((program, Known::Descriptor));
        }
        Some(match self.event.opener? {
            Opener::Connected(program) => (program, Known::Connect),
            Opener::Listened(program) => (program, Known::Listen),
        })
    }
}
