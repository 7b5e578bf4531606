//! What the faces ask of the machine: two functions, so that tests can put others in their place.

use std::io;

use crate::error::{CommandError, Exit};
use crate::options::{DoctorOptions, SurveyOptions, Surveyed};
use crate::row::Row;

/// Receives rows one by one. When it fails, reading stops and the error is returned through
/// [`CommandError::output`].
pub type Visitor<'a> = dyn FnMut(&Row<'_>) -> io::Result<()> + 'a;

/// Reads connections and hands them to the visitor as they come.
pub type Survey = fn(&SurveyOptions, &mut Visitor<'_>) -> Result<Surveyed, CommandError>;

/// Prints what this kernel and these privileges allow.
pub type Doctor = fn(&DoctorOptions, &mut dyn io::Write) -> Result<Exit, CommandError>;

/// Where commands get their facts.
#[derive(Clone, Copy)]
pub struct Machine {
    /// Reads connections.
    pub survey: Survey,
    /// Examines the kernel.
    pub doctor: Doctor,
}

impl Machine {
    /// The machine that sockpulse runs on.
    pub const THIS: Self = Self {
        survey: crate::survey::run,
        doctor: crate::doctor::run,
    };
}
