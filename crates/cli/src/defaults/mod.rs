//! `sockpulse defaults`: the three sysctls of each network namespace, now and at boot.

pub(crate) mod args;
mod get;
mod get_data;
mod impact;
mod left;
mod persist;
mod preview;
mod rearm;
mod report;
mod reset;
mod set;
#[cfg(test)]
mod tests;
mod undo;

use std::io::Write;
use std::time::Duration;

use sockpulse_core::Selector;

use crate::app::Face;
use crate::error::{CommandError, Exit};
use crate::machine::Machine;
use crate::options::{NetnsChoice, SourceChoice, SurveyOptions};
use args::{DefaultsArgs, DefaultsCommand};
use impact::Impact;
use report::DocumentOrText;
pub(crate) use undo::run as undo;

/// Runs the command.
///
/// # Errors
/// When nothing could be read, or nothing could be changed.
pub(crate) fn run(
    args: &DefaultsArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    match &args.action {
        None => get::run(&args.get, face, machine, out, stderr),
        Some(DefaultsCommand::Get(args)) => get::run(args, face, machine, out, stderr),
        Some(DefaultsCommand::Set(args)) => set::run(args, face, machine, out, stderr),
        Some(DefaultsCommand::Reset(args)) => reset::run(args, face, machine, out, stderr),
    }
}

/// All connections of these namespaces, by the best reader.
fn survey_options(netns: &[NetnsChoice]) -> SurveyOptions {
    SurveyOptions {
        selector: Selector::default(),
        netns: netns.to_vec(),
        source: SourceChoice::Auto,
        accepted_risks: Vec::new(),
        detect_within: Duration::from_secs(600),
    }
}
