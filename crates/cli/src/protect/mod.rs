//! `sockpulse protect`: keepalive for programs that did not ask for it.

mod apply;
pub(crate) mod args;
pub(crate) mod held;
mod outcome;
mod plan;
mod report;
#[cfg(test)]
mod tests;
pub(crate) mod undo;

use std::collections::HashSet;
use std::io::Write;

use sockpulse_core::change::Undoes;

use crate::app::Face;
use crate::error::{CommandError, Exit};
use crate::machine::Machine;
use apply::{Setting, Transaction};
use args::ProtectArgs;
use outcome::Outcome;
use plan::Wanted;
use report::Report;

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
    let mut sink = (machine.changes)();
    let wanted = Wanted {
        machine,
        options: args.survey.options(),
        rule: args.rule(),
        hz: sink.hz(),
        jitter: args.jitter(),
        spread: args.spread,
        limits: args.limits(),
    };
    let mut plan = wanted.plan(&HashSet::new())?;
    let outcome = if args.writing.dry_run {
        None
    } else if plan.planned.is_empty() {
        Some(Outcome::default())
    } else {
        let transaction = Transaction {
            command: "protect",
            undoes: Undoes::default(),
            reason: format!("{} asked for", wanted.rule.mode.name()),
            sockets: u64::try_from(plan.planned.len()).unwrap_or(u64::MAX),
        };
        let setting = Setting::begin(&mut *sink, &args.writing.state_dir, &transaction, stderr)?;
        let outcome = apply::all(setting, &mut plan, stderr, |tried| wanted.plan(tried))?;
        Some(outcome)
    };
    let report = Report {
        rule: &wanted.rule,
        jitter: wanted.jitter,
        counts: &plan.counts,
        effect: plan.effect,
        pace: plan.pace,
        surveyed: &plan.surveyed,
        outcome: outcome.as_ref(),
    };
    report.print(face, out, stderr)
}
