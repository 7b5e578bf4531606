//! `sockpulse defaults reset`: what was there before our first change, or the kernel's own values.

use std::io::Write;

use sockpulse_core::change::{
    NetnsKey, Observed, SetBy, Target, Transaction, Undoes, Wish, live, plan_defaults, standing,
};

use super::args::ResetArgs;
use super::left::Left;
use super::undo::{Back, Backwards, carry_out, undoes};
use super::{DocumentOrText, persist};
use crate::app::Face;
use crate::apply::Plan;
use crate::error::{CommandError, Exit};
use crate::journal::Past;
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::sink::{ChangeSink, Found};

const COMMAND: &str = "defaults reset";

/// Runs the command.
///
/// # Errors
/// When nothing could be changed, or the output cannot be written.
pub(super) fn run(
    args: &ResetArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut report = DocumentOrText::new(face, COMMAND)?;
    let mut sink = (machine.changes)();
    let plan = |sink: &mut dyn ChangeSink, past: &Past| {
        if args.to_kernel {
            to_kernel(sink, args, past)
        } else {
            to_before(sink, args, past)
        }
    };
    let (back, exit) = carry_out(&mut report, &mut *sink, &args.writing, stderr, plan)?;
    if args.to_kernel || !args.netns.is_empty() {
        report.finish(out, stderr)?;
        return Ok(exit);
    }
    let told = tell_unknown_files(&mut report, &*sink, &back);
    // What was done is told before.
    report.finish(out, stderr)?;
    told.map(|()| exit)
}

/// The kernel's own values need not be those of before: nothing counts as undone by them.
fn to_kernel(
    sink: &mut dyn ChangeSink,
    args: &ResetArgs,
    past: &Past,
) -> Result<Backwards, CommandError> {
    const REASON: &str = "the kernel's own value";
    let mut changes = Vec::new();
    let mut netns = args.netns.clone();
    if netns.is_empty() {
        netns.push(NetnsChoice::Own);
        changes = persist::plan_removal(sink, "the kernel's own values are to hold")?;
    }
    let found = sink.namespaces(&netns)?;
    changes.extend(plan_defaults(&observed(&found), &Wish::KERNEL, REASON));
    let nothing = || "nothing to change: these are the kernel's values".into();
    Ok(Backwards {
        nothing: changes.is_empty().then(nothing),
        plan: Plan {
            command: COMMAND,
            undoes: Undoes::default(),
            changes,
        },
        notes: past.notes.clone(),
        gaps: found.gaps,
        ..Backwards::default()
    })
}

fn observed(found: &Found) -> Vec<Observed> {
    let observed = found.namespaces.iter().filter_map(|one| {
        Some(Observed {
            netns: one.key.clone(),
            defaults: one.namespace.defaults.clone()?,
        })
    });
    observed.collect()
}

fn to_before(
    sink: &mut dyn ChangeSink,
    args: &ResetArgs,
    past: &Past,
) -> Result<Backwards, CommandError> {
    let all = args.netns.is_empty();
    let found = sink.namespaces(&args.netns)?;
    let chosen: Vec<&NetnsKey> = found.namespaces.iter().map(|one| &one.key).collect();
    let mut ours = standing(&past.transactions, |change| {
        sink.now(&change.target).ok().flatten()
    });
    ours.retain(|change| match &change.target {
        Target::Sysctl { netns, .. } => all || chosen.iter().any(|key| key.is(netns)),
        Target::PersistedFile { .. } => all,
        // Not a default.
        _ => false,
    });
    let mut back = Back::new(sink, args.force);
    for change in &ours {
        let reason = "what was there before our first change";
        back.put(change, reason, |_| SetBy::Other);
    }
    let (changes, mut left) = back.finish();
    let stand = of_defaults(past);
    // What is gone is told once.
    left.retain(|left| !matches!(left, Left::Gone(_)) || concerns(&stand, left.target()));
    let done = !changes.is_empty() || !left.is_empty();
    let undoes = if all && done {
        undoes(&stand, &left)
    } else {
        Undoes::default()
    };
    let nothing = || "nothing to change: everything is as it was before our first change".into();
    Ok(Backwards {
        nothing: (!done).then(nothing),
        plan: Plan {
            command: COMMAND,
            undoes,
            changes,
        },
        left,
        notes: past.notes.clone(),
        gaps: found.gaps,
        ..Backwards::default()
    })
}

fn concerns(transactions: &[&Transaction], target: &Target) -> bool {
    let mut records = transactions.iter().flat_map(|one| &one.records);
    records.any(|record| record.change.target.is(target))
}

/// The transactions about defaults that stand.
fn of_defaults(past: &Past) -> Vec<&Transaction> {
    let is_default =
        |target: &Target| matches!(target, Target::Sysctl { .. } | Target::PersistedFile { .. });
    let mut live = live(&past.transactions);
    live.retain(|one| {
        let mut records = one.records.iter();
        records.any(|record| is_default(&record.change.target))
    });
    live
}

/// A file with our name that the journal does not know stays: whose it is cannot be told.
fn tell_unknown_files(
    report: &mut DocumentOrText<'_>,
    sink: &dyn ChangeSink,
    back: &Backwards,
) -> Result<(), CommandError> {
    for change in persist::plan_removal(sink, "")? {
        let mut planned = back.plan.changes.iter().map(|planned| &planned.target);
        let is_planned = planned.any(|target| target.is(&change.target));
        let is_left = back.left.iter().any(|left| left.stands_at(&change.target));
        if is_planned || is_left || !persist::sets_defaults(&change.before) {
            continue;
        }
        if let Target::PersistedFile { path } = &change.target {
            report.warn(format!(
                "note: {path} still sets defaults at boot, and the journal does not say that it was \
                 not there before; --to-kernel removes it"
            ));
        }
    }
    Ok(())
}
