//! `sockpulse protect`: keepalive for programs that did not ask for it.

#![expect(dead_code, reason = "what carries the plan out follows")]

pub(crate) mod args;
pub(crate) mod held;
mod outcome;
mod plan;
mod report;

use std::collections::HashSet;
use std::io::Write;
use std::time::Duration;

use sockpulse_core::protect::{Pace, Terms};

use crate::app::Face;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::Machine;
use crate::options::OutputFormat;
use args::ProtectArgs;
use report::Report;

/// How long the changes are taken to last while that is not known: a silence grows meanwhile.
const USUAL_SPREAD: Duration = Duration::from_secs(60);

/// Runs the command.
///
/// # Errors
/// When nothing could be read, nothing could be changed, or the output cannot be written.
pub(crate) fn run(
    args: &ProtectArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    if matches!(face.output, OutputFormat::Csv | OutputFormat::JsonLines) {
        let message = "protect prints text or one JSON document";
        return Err(CommandError::new(ErrorKind::Usage, message).hint("use -o table or json"));
    }
    if !args.writing.dry_run {
        let message = "protect can only be tried so far";
        return Err(CommandError::new(ErrorKind::Incomplete, message).hint("use --dry-run"));
    }
    let rule = args.rule();
    let sink = (machine.changes)();
    let terms = Terms {
        hz: sink.hz(),
        jitter: args.jitter(),
        delay: args.spread.unwrap_or(USUAL_SPREAD),
        ..Terms::default()
    };
    let options = args.survey.options();
    let plan = plan::plan(machine, &options, &rule, &terms, &HashSet::new())?;
    let pace = Pace::plan(&plan.load, terms.hz, args.spread, &args.limits());
    let report = Report {
        rule: &rule,
        jitter: terms.jitter,
        counts: &plan.counts,
        effect: plan.effect,
        pace,
        surveyed: &plan.surveyed,
        outcome: None,
    };
    report.print(face, out, stderr)
}
