//! What the faces ask of the machine: seven functions, so that tests can put others in their place.

use std::io;

use sockpulse_core::Cookie;
use sockpulse_linux::Proc;

use crate::error::{CommandError, Exit};
use crate::options::{DoctorOptions, Here, SurveyOptions, Surveyed};
use crate::ping::station::{MethodChoice, Stations};
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

/// Opens the way to asking the connections of these cookies.
pub type OpenStations = fn(MethodChoice, &[Cookie]) -> Result<Box<dyn Stations>, CommandError>;

/// Asks whoever sits at the terminal, or tells without a question whether somebody does: `None` where
/// nobody does.
pub type Consent = fn(Option<&str>) -> Option<bool>;

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
    /// Asks connections, and ends them.
    pub stations: OpenStations,
    /// Asks for consent.
    pub consent: Consent,
}

impl Machine {
    /// The machine that sockpulse runs on.
    pub const THIS: Self = Self {
        survey: crate::survey::run,
        doctor: crate::doctor::run,
        defaults: here,
        changes: crate::sink::this_machine,
        events: crate::watch::kernel::attach,
        stations: crate::ping::this_machine,
        consent: crate::ping::consent,
    };
}

fn here() -> Result<Here, CommandError> {
    Ok(Here {
        defaults: sockpulse_linux::sysctl::defaults(&Proc::default())?,
        hz: sockpulse_linux::hz(),
    })
}
