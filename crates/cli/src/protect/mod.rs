//! `sockpulse protect`: keepalive for programs that did not ask for it.

mod apply;
pub(crate) mod args;
pub(crate) mod held;
mod list;
mod outcome;
mod plan;
mod put_back;
mod report;
pub(crate) mod rule;
pub(crate) mod rules;
#[cfg(test)]
mod tests;
pub(crate) mod undo;

use std::collections::HashSet;
use std::io::Write;

use sockpulse_core::NetnsId;
use sockpulse_core::change::Undoes;
use sockpulse_core::protect::Table;

use crate::app::Face;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::journal;
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::sink::{ChangeSink, InForce};
use apply::{Setting, Transaction};
use args::{ProtectArgs, UnprotectArgs};
use outcome::Outcome;
use plan::{Plan, Reach, Wanted};
use report::{Coming, Placed, Report};
use rule::KernelRule;
use rules::Rules;

/// As it stands in the journal.
const COMMAND: &str = "protect";

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
    if let Some(why) = args.contradiction() {
        return Err(why);
    }
    let mut sink = (machine.changes)();
    if args.list {
        return list::print(&sink.rules(&args.hooks.pins)?, face, out, stderr);
    }
    // The kernel's rules first: what is opened from then on has them, and what was before is looked
    // for afterwards.
    let coming = if args.sets_new() {
        Some(coming(args, &mut *sink, stderr)?)
    } else {
        None
    };
    let existing = if args.sets_existing() {
        let rule = coming.as_ref().and_then(Coming::id);
        Some(existing(args, rule, machine, &mut *sink, stderr)?)
    } else {
        None
    };
    let (plan, outcome) = existing.unzip();
    let report = Report {
        rule: &args.rule(),
        jitter: args.jitter(),
        dry_run: args.writing.dry_run,
        plan: plan.as_ref(),
        outcome: outcome.as_ref().and_then(Option::as_ref),
        coming: coming.as_ref(),
    };
    let exit = report.print(face, out, stderr)?;
    let sets_any = plan.is_some_and(|plan| !plan.planned.is_empty());
    if args.writing.dry_run && sets_any {
        journal::may_write(&args.writing.state_dir).map_err(CommandError::foreseen)?;
    }
    Ok(exit)
}

/// Sets what is open. `rule` is the number of the change that put a rule into force before.
fn existing(
    args: &ProtectArgs,
    rule: Option<u64>,
    machine: &Machine,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
) -> Result<(Plan, Option<Outcome>), CommandError> {
    let options = args.survey.options();
    let wanted = Wanted {
        machine,
        reach: Reach::of(sink.may_walk(&options)?),
        options,
        rule: args.rule(),
        hz: sink.hz(),
        jitter: args.jitter(),
        spread: args.spread,
        limits: args.limits(),
    };
    let mut plan = wanted.plan(&HashSet::new())?;
    if args.writing.dry_run {
        return Ok((plan, None));
    }
    if plan.planned.is_empty() {
        return Ok((plan, Some(Outcome::default())));
    }
    let transaction = Transaction {
        command: COMMAND,
        undoes: Undoes::default(),
        continues: rule,
        reason: format!("{} asked for", wanted.rule.mode.name()),
        sockets: u64::try_from(plan.planned.len()).unwrap_or(u64::MAX),
    };
    let state_dir = &args.writing.state_dir;
    let setting = Setting::begin(sink, wanted.reach, state_dir, &transaction, stderr)?;
    let outcome = apply::all(setting, &mut plan, stderr, |tried| wanted.plan(tried))?;
    Ok((plan, Some(outcome)))
}

/// Puts a rule into force for connections to come. Where that fails, what is open can be set all the
/// same.
///
/// # Errors
/// When the rule means nothing for connections to come, or nothing else is asked for.
fn coming(
    args: &ProtectArgs,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
) -> Result<Coming, CommandError> {
    let new = KernelRule::of(args, namespaces(args, sink)?);
    let name = new.rule.name.clone();
    let edit = |in_force: &InForce| {
        let mut rules = Rules::of(in_force)?;
        rule::put(&mut rules.rules, new);
        rules.accepted = args.accepted;
        let only: Vec<_> = rules.rules.iter().map(|one| one.rule.clone()).collect();
        Table::compile(&only)?;
        Ok(rules)
    };
    let hooks = args.hooks.hooks();
    let state_dir = &args.writing.state_dir;
    let result = if args.writing.dry_run {
        rules::rehearse(sink, &hooks, state_dir, edit).map(|Rules { rules, .. }| {
            let at = rules.iter().position(|one| one.rule.name == name);
            Placed {
                id: None,
                number: at.unwrap_or(0) + 1,
                of: rules.len(),
            }
        })
    } else {
        let entry = rules::Entry {
            command: COMMAND,
            undoes: Undoes::default(),
            reason: format!("{} asked for by rule {name:?}", args.mode.name()),
        };
        rules::change(sink, &hooks, state_dir, &entry, stderr, edit).map(|changed| {
            let rules = &changed.in_force.rules;
            let mut parsed = rules.iter().map(|rule| KernelRule::parse(&rule.text));
            let at = parsed.position(|one| one.is_some_and(|one| one.rule.name == name));
            Placed {
                id: changed.id,
                number: at.unwrap_or(0) + 1,
                of: rules.len(),
            }
        })
    };
    match result {
        Err(error) if error.kind() == ErrorKind::Usage => Err(error),
        Err(error) if !args.sets_existing() && args.writing.dry_run => Err(error.foreseen()),
        Err(error) if !args.sets_existing() => Err(error),
        placed => Ok(Coming { name, placed }),
    }
}

/// The namespaces that are named; none where all are meant.
fn namespaces(args: &ProtectArgs, sink: &mut dyn ChangeSink) -> Result<Vec<NetnsId>, CommandError> {
    let choices = &args.survey.selectors.netns;
    if choices.is_empty() || choices.contains(&NetnsChoice::All) {
        return Ok(Vec::new());
    }
    let found = sink.namespaces(choices)?;
    Ok(found
        .namespaces
        .iter()
        .map(|one| one.namespace.id)
        .collect())
}

/// `sockpulse unprotect`.
///
/// # Errors
/// When there is no such rule, the rules cannot be changed, or the output cannot be written.
pub(crate) fn end(
    args: &UnprotectArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut sink = (machine.changes)();
    let mut ended = Vec::new();
    let edit = |in_force: &InForce| without(in_force, &args.names, &mut ended);
    let hooks = args.hooks.hooks();
    let state_dir = &args.writing.state_dir;
    let id = if args.writing.dry_run {
        rules::rehearse(&mut *sink, &hooks, state_dir, edit).map_err(|error| {
            match error.kind() {
                ErrorKind::Usage => error,
                _ => error.foreseen(),
            }
        })?;
        None
    } else {
        let entry = rules::Entry {
            command: "unprotect",
            undoes: Undoes::default(),
            reason: "asked for".into(),
        };
        rules::change(&mut *sink, &hooks, state_dir, &entry, stderr, edit)?.id
    };
    list::print_ended(&ended, id, args.writing.dry_run, face, out)
}

/// The rules without those of these names, or none.
fn without(
    in_force: &InForce,
    names: &[String],
    ended: &mut Vec<String>,
) -> Result<Rules, CommandError> {
    if names.is_empty() {
        let rules = in_force.rules.iter();
        ended.extend(rules.map(|rule| {
            let parsed = KernelRule::parse(&rule.text);
            parsed.map_or("of another version".into(), |one| one.rule.name)
        }));
        if in_force.unread.is_some() {
            ended.push("rules that could not be read".into());
        }
        return Ok(Rules {
            rules: Vec::new(),
            accepted: in_force.accepted,
        });
    }
    let mut rules = Rules::of(in_force)?;
    for name in names {
        let Some(at) = rules.rules.iter().position(|one| one.rule.name == *name) else {
            let message = format!("no rule of the name {name:?} is in force");
            return Err(
                CommandError::new(ErrorKind::Usage, message).hint("sockpulse protect --list")
            );
        };
        rules.rules.remove(at);
        ended.push(name.clone());
    }
    Ok(rules)
}
