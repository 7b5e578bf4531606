//! `sockpulse audit`: what is wrong, where, how much, and what mends it.

use std::io::Write;

use crate::app::Face;
use crate::args::AuditArgs;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::Machine;

pub(crate) fn run(
    args: &AuditArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let _ = (args, face, machine, out, stderr);
    Err(CommandError::new(ErrorKind::Incomplete, "not yet"))
}
