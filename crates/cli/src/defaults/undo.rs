//! `sockpulse undo`: puts back what the journal says was there before.

use std::io::Write;

use serde_json::{Value as Json, json};
use sockpulse_core::change::{Change, Revert, Target, Transaction, Undoes, Value, live, revert};

use super::DocumentOrText;
use super::args::UndoArgs;
use crate::app::Face;
use crate::apply::{self, Plan};
use crate::coverage::{counted, shown};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::journal::{self, Past};
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::sink::ChangeSink;

/// Runs the command.
///
/// # Errors
/// When there is no such change, nothing could be put back, or the output cannot be written.
pub(crate) fn run(
    args: &UndoArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut report = DocumentOrText::new(face, "undo")?;
    let past = journal::read(&args.writing.state_dir)?;
    let mut sink = (machine.changes)();
    if args.list {
        list(&mut report, &past, sink.clock());
        report.finish(out, stderr)?;
        return Ok(Exit::Done);
    }
    let chosen = chosen(args, &past, sink.clock())?;
    sink.namespaces(&[NetnsChoice::All])?;
    let mut back = Back::new(&mut *sink, args.force);
    for transaction in &chosen {
        let reason = format!("undo of change {}", transaction.id);
        // The last change first; what failed changed nothing.
        let records = transaction.records.iter().rev();
        for record in records.filter(|record| !matches!(record.outcome, Some(Err(_)))) {
            back.put(&record.change, &reason)?;
        }
    }
    let (changes, left) = back.finish();
    let plan = Plan {
        command: "undo",
        undoes: undoes(&chosen, &left),
        changes,
    };
    let exit = carry_out(&mut report, &mut *sink, &args.writing, &plan, &left)?;
    report.finish(out, stderr)?;
    Ok(exit)
}

/// Of these transactions those that are undone, and those of which something is left as it is.
pub(super) fn undoes(transactions: &[&Transaction], left: &[Left]) -> Undoes {
    let is_left = |target: &Target| left.iter().any(|left| left.is(target));
    let (partly, wholly): (Vec<&Transaction>, _) = transactions.iter().partition(|one| {
        let mut records = one.records.iter();
        records.any(|record| is_left(&record.change.target))
    });
    let ids = |all: Vec<&Transaction>| all.iter().map(|one| one.id).collect();
    Undoes {
        wholly: ids(wholly),
        partly: ids(partly),
    }
}

/// Makes the changes unless it is only to be seen what they would be.
pub(super) fn carry_out(
    report: &mut DocumentOrText<'_>,
    sink: &mut dyn ChangeSink,
    writing: &super::args::WritingArgs,
    plan: &Plan,
    left: &[Left],
) -> Result<Exit, CommandError> {
    let applied = if writing.dry_run {
        None
    } else {
        Some(apply::apply(sink, &writing.state_dir, plan)?)
    };
    report.changes(&plan.changes, applied.as_ref());
    if plan.changes.is_empty() && left.is_empty() {
        report.say("nothing to change: everything is as it was before".into());
    }
    let mut exit = match &applied {
        Some(applied) => report.outcome(applied, &plan.changes),
        None => Exit::Done,
    };
    for left in left {
        report.warn(left.sentence());
        if matches!(left, Left::Manual { .. }) {
            exit = Exit::Partial;
        }
    }
    if left.iter().any(|left| matches!(left, Left::Manual { .. })) {
        report.warn("hint: --force overwrites it".into());
    }
    report.field("left", left.iter().map(Left::json).collect());
    Ok(exit)
}

/// A change that is not turned round.
#[derive(Debug)]
pub(super) enum Left {
    /// Its namespace is gone, and the value with it.
    Gone(Target),
    /// Another value was set since, by someone else or by a later command.
    Manual {
        /// What would have been done.
        change: Change,
    },
}

impl Left {
    /// Whether someone else's value stands at this target.
    pub(super) fn is(&self, target: &Target) -> bool {
        matches!(self, Self::Manual { change } if change.target.is(target))
    }

    fn sentence(&self) -> String {
        match self {
            Self::Gone(target) => format!(
                "left: {} is gone, or may not be entered; a namespace takes its values with it",
                apply::name(target)
            ),
            Self::Manual { change } => format!(
                "left: {} was changed since: it is {} now and was {} before",
                apply::name(&change.target),
                apply::of_value(&change.before),
                apply::of_value(&change.after)
            ),
        }
    }

    fn json(&self) -> Json {
        match self {
            Self::Gone(target) => json!({ "what": apply::name(target), "why": "gone" }),
            Self::Manual { change } => {
                json!({ "what": apply::name(&change.target), "why": "changed since",
                        "change": journal::of_change(change) })
            }
        }
    }
}

/// Gathers what puts values back.
pub(super) struct Back<'a> {
    sink: &'a mut dyn ChangeSink,
    force: bool,
    changes: Vec<Change>,
    left: Vec<Left>,
}

impl<'a> Back<'a> {
    pub(super) fn new(sink: &'a mut dyn ChangeSink, force: bool) -> Self {
        Self {
            sink,
            force,
            changes: Vec::new(),
            left: Vec::new(),
        }
    }

    /// What a target has, or will have when all before was put back.
    pub(super) fn now(&mut self, target: &Target) -> Result<Option<Value>, CommandError> {
        let planned = self.changes.iter().find(|change| change.target.is(target));
        match planned {
            Some(change) => Ok(Some(change.after.clone())),
            None => Ok(self.sink.now(target)?),
        }
    }

    /// Adds what turns a change round.
    pub(super) fn put(&mut self, done: &Change, reason: &str) -> Result<(), CommandError> {
        let Some(now) = self.now(&done.target)? else {
            self.left.push(Left::Gone(done.target.clone()));
            return Ok(());
        };
        match revert(done, &now, reason) {
            Revert::Nothing => {}
            Revert::Change(change) => self.add(change),
            Revert::Manual { change } if self.force => self.add(change),
            Revert::Manual { change } => self.left.push(Left::Manual { change }),
        }
        Ok(())
    }

    fn add(&mut self, change: Change) {
        let planned = self
            .changes
            .iter_mut()
            .find(|one| one.target.is(&change.target));
        match planned {
            Some(planned) => planned.after = change.after,
            None => self.changes.push(change),
        }
    }

    /// Files first: when one cannot be written, nothing else is touched.
    pub(super) fn finish(mut self) -> (Vec<Change>, Vec<Left>) {
        self.changes.retain(|change| change.before != change.after);
        let is_file = |change: &Change| matches!(change.target, Target::PersistedFile { .. });
        self.changes.sort_by_key(|change| !is_file(change));
        (self.changes, self.left)
    }
}

/// The transactions that are meant, the last one first.
fn chosen<'a>(
    args: &UndoArgs,
    past: &'a Past,
    now: u64,
) -> Result<Vec<&'a Transaction>, CommandError> {
    let live = live(&past.transactions);
    let mut chosen: Vec<&Transaction> = match (args.id, args.since) {
        (Some(id), _) => {
            let mut all = past.transactions.iter();
            all.find(|transaction| transaction.id == id)
                .into_iter()
                .collect()
        }
        (None, Some(since)) => {
            let oldest = now.saturating_sub(since.as_secs());
            live.into_iter().filter(|one| one.at >= oldest).collect()
        }
        (None, None) => live.into_iter().last().into_iter().collect(),
    };
    if chosen.is_empty() {
        let message = match args.id {
            Some(id) => format!("the journal knows no change {id}"),
            None => "the journal knows nothing that could be undone".into(),
        };
        return Err(CommandError::new(ErrorKind::Usage, message).hint("sockpulse undo --list"));
    }
    chosen.reverse();
    Ok(chosen)
}

fn list(report: &mut DocumentOrText<'_>, past: &Past, now: u64) {
    let live: Vec<u64> = live(&past.transactions).iter().map(|one| one.id).collect();
    let mut documents = Vec::new();
    for transaction in &past.transactions {
        let mut outcomes = transaction.records.iter().map(|record| &record.outcome);
        let failed = outcomes.all(|outcome| matches!(outcome, Some(Err(_))));
        let undone = !failed && !live.contains(&transaction.id) && transaction.undoes.is_empty();
        let age = std::time::Duration::from_secs(now.saturating_sub(transaction.at));
        let state = match (failed, undone) {
            (true, _) if !transaction.records.is_empty() => ", failed",
            (_, true) => ", undone",
            _ => "",
        };
        report.say(format!(
            "{}  {}  {}: {}{state}",
            transaction.id,
            journal::moment(transaction.at),
            shown(&transaction.command),
            counted(
                u64::try_from(transaction.records.len()).unwrap_or(u64::MAX),
                "change"
            ),
        ));
        let changes: Vec<Change> = transaction
            .records
            .iter()
            .map(|record| record.change.clone())
            .collect();
        for (change, record) in changes.iter().zip(&transaction.records) {
            let outcome = match &record.outcome {
                Some(Ok(())) => String::new(),
                Some(Err(why)) => format!(" (failed: {})", shown(why)),
                None => " (it is not known whether it was made)".into(),
            };
            let line = apply::lines(change).into_iter().next().unwrap_or_default();
            report.say(format!("   {line}{outcome}"));
        }
        documents.push(json!({
            "id": transaction.id,
            "at": journal::moment(transaction.at),
            "age_s": age.as_secs(),
            "command": transaction.command,
            "undoes": transaction.undoes.wholly,
            "undoes_partly": transaction.undoes.partly,
            "undone": undone,
            "changes": apply::json(&changes, None),
        }));
    }
    if past.transactions.is_empty() {
        report.say("the journal is empty: nothing was changed".into());
    }
    for note in &past.notes {
        report.warn(format!("note: {note}"));
    }
    report.field("transactions", documents.into());
}
