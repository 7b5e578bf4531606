//! What the faces ask of the machine: five functions, so that tests can put others in their place.

use std::io;

use sockpulse_linux::Proc;

use crate::error::{CommandError, Exit};
use crate::options::{DoctorOptions, Here, SurveyOptions, Surveyed};
use crate::row::Row;
use crate::sink::ChangeSink;
use crate::watch::source::{EventOptions, EventSource};

/// Receives rows one by one. When it fails, reading stops and the error is returned through
/// [`CommandError::output`].
pub type Visitor<'a> = dyn FnMut(&Row<'_>) -> io::Result<()> + 'a;

/// Reads connections and hands them to the visitor as they come.
pub type Survey = fn(&SurveyOptions, &mut Visitor<'_>) -> Result<Surveyed, CommandError>;

/// Prints what this kernel and these privileges allow.
pub type Doctor = fn(&DoctorOptions, &mut dyn io::Write) -> Result<Exit, CommandError>;

/// Reads what decides the timers of a new socket here: nothing but /proc/sys, and no privilege.
pub type Defaults = fn() -> Result<Here, CommandError>;

/// Opens the way to everything that commands change.
pub type Changes = fn() -> Box<dyn ChangeSink>;

/// Begins to tell what happens to connections.
pub type Events = fn(&EventOptions) -> Result<Box<dyn EventSource>, CommandError>;

/// Where commands get their facts.
#[derive(Clone, Copy)]
pub struct Machine {
    /// Reads connections.
    pub survey: Survey,
    /// Examines the kernel.
    pub doctor: Doctor,
    /// Reads our own namespace's defaults.
    pub defaults: Defaults,
    /// Changes the machine.
    pub changes: Changes,
    /// Tells of events.
    pub events: Events,
}

impl Machine {
    /// The machine that sockpulse runs on.
    pub const THIS: Self = Self {
        survey: crate::survey::run,
        doctor: crate::doctor::run,
        defaults: here,
        changes: crate::sink::this_machine,
        events: crate::watch::kernel::attach,
    };
}

fn here() -> Result<Here, CommandError> {
    Ok(Here {
        defaults: sockpulse_linux::sysctl::defaults(&Proc::default())?,
        hz: sockpulse_linux::hz(),
    })
}
