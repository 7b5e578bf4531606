//! `sockpulse defaults reset`: what was there before our first change, or the kernel's own values.

use std::io::Write;

use sockpulse_core::change::{
    Change, NetnsKey, Observed, Target, Transaction, Undoes, Wish, live, plan_defaults, standing,
};

use super::args::ResetArgs;
use super::undo::{self, Back, Left, carry_out};
use super::{DocumentOrText, persist};
use crate::app::Face;
use crate::apply::Plan;
use crate::error::{CommandError, Exit};
use crate::journal::{self, Past};
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
    let past = journal::read(&args.writing.state_dir)?;
    let mut sink = (machine.changes)();
    let (changes, left) = if args.to_kernel {
        (to_kernel(&mut *sink, args)?, Vec::new())
    } else {
        to_before(&mut *sink, args, &past)?
    };
    // The kernel's own values need not be those of before.
    let undoes = if args.netns.is_empty() && !args.to_kernel && !changes.is_empty() {
        undo::undoes(&of_defaults(&past), &left)
    } else {
        Undoes::default()
    };
    let plan = Plan {
        command: COMMAND,
        undoes,
        changes,
    };
    let exit = carry_out(&mut report, &mut *sink, &args.writing, &plan, &left)?;
    if !args.to_kernel && args.netns.is_empty() {
        tell_unknown_files(&mut report, &*sink, &plan, &left)?;
    }
    report.finish(out, stderr)?;
    Ok(exit)
}

fn to_kernel(sink: &mut dyn ChangeSink, args: &ResetArgs) -> Result<Vec<Change>, CommandError> {
    const REASON: &str = "the kernel's own value";
    let mut changes = Vec::new();
    let mut netns = args.netns.clone();
    if netns.is_empty() {
        netns.push(NetnsChoice::Own);
        changes = persist::plan_removal(sink, "the kernel's own values are to hold")?;
    }
    let found = sink.namespaces(&netns)?;
    changes.extend(plan_defaults(&observed(&found), &Wish::KERNEL, REASON));
    Ok(changes)
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
) -> Result<(Vec<Change>, Vec<Left>), CommandError> {
    let chosen: Vec<NetnsKey> = if args.netns.is_empty() {
        Vec::new()
    } else {
        let found = sink.namespaces(&args.netns)?;
        found.namespaces.into_iter().map(|one| one.key).collect()
    };
    if chosen.is_empty() {
        sink.namespaces(&[NetnsChoice::All])?;
    }
    let mut ours = standing(&past.transactions, |change| {
        sink.now(&change.target).ok().flatten()
    });
    ours.retain(|change| match &change.target {
        Target::Sysctl { netns, .. } => chosen.is_empty() || chosen.iter().any(|key| key.is(netns)),
        Target::PersistedFile { .. } => chosen.is_empty(),
        // Not a default.
        _ => false,
    });
    let mut back = Back::new(sink, args.force);
    for change in &ours {
        back.put(change, "what was there before our first change")?;
    }
    Ok(back.finish())
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
    plan: &Plan,
    left: &[Left],
) -> Result<(), CommandError> {
    for change in persist::plan_removal(sink, "")? {
        let mut planned = plan.changes.iter().map(|planned| &planned.target);
        let is_planned = planned.any(|target| target.is(&change.target));
        if is_planned || left.iter().any(|left| left.is(&change.target)) {
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
