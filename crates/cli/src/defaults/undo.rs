//! `sockpulse undo`: puts back what the journal says was there before.

use std::io::Write;

use serde_json::{Value as Json, json};
use sockpulse_core::change::{
    Change, Record, Revert, SetBy, Target, Transaction, UNDO, Undoes, Value, live, made, revert,
    set_by, with_their_commands,
};
use sockpulse_core::{Gap, human};
use sockpulse_linux::Error;

use super::DocumentOrText;
use super::args::{UndoArgs, WritingArgs};
use super::left::{self, Left};
use crate::app::Face;
use crate::apply::{self, Plan};
use crate::coverage::{counted, shown};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::journal::{self, Past};
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::protect::undo as protect;
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
    let mut report = DocumentOrText::new(face, UNDO)?;
    let mut sink = (machine.changes)();
    let exit = if args.list {
        let past = journal::read(&args.writing.state_dir)?;
        list(&mut report, &past, sink.clock());
        Exit::Done
    } else {
        let (mut exit, rest) = connections(args, machine, &mut *sink, &mut report, stderr)?;
        if rest == Rest::ToDo {
            let plan = |sink: &mut dyn ChangeSink, past: &Past| planned(sink, past, args);
            exit = exit.and(carry_out(&mut report, &mut *sink, &args.writing, stderr, plan)?.1);
        }
        exit
    };
    report.finish(out, stderr)?;
    Ok(exit)
}

/// Whether there is more to undo than connections.
#[derive(Debug, PartialEq, Eq)]
enum Rest {
    ToDo,
    Nothing,
}

/// Puts connections back that are meant.
fn connections(
    args: &UndoArgs,
    machine: &Machine,
    sink: &mut dyn ChangeSink,
    report: &mut DocumentOrText<'_>,
    stderr: &mut dyn Write,
) -> Result<(Exit, Rest), CommandError> {
    let past = journal::read(&args.writing.state_dir)?;
    let chosen = chosen(args, &past, sink.clock())?;
    let (mut ours, others): (Vec<&Transaction>, Vec<_>) =
        chosen.into_iter().partition(|one| protect::concerns(one));
    if ours.is_empty() {
        return Ok((Exit::Done, Rest::ToDo));
    }
    ours.reverse();
    let wish = protect::Wish {
        dry_run: args.writing.dry_run,
        force: args.force,
        state_dir: &args.writing.state_dir,
        cgroup: args.cgroup_root.as_deref(),
        accepted_risks: &args.accept_kernel_risk,
    };
    let undone = protect::run(&ours, &wish, machine, sink, stderr)?;
    report.lines(undone.said);
    undone.warned.into_iter().for_each(|line| report.warn(line));
    report.field("dry_run", args.writing.dry_run.into());
    report.field("id", undone.id.into());
    report.field("changes", Json::Array(Vec::new()));
    report.field("rules", undone.rules);
    report.field("connections", undone.document);
    let rest = if others.is_empty() {
        Rest::Nothing
    } else {
        Rest::ToDo
    };
    Ok((undone.exit, rest))
}

fn planned(
    sink: &mut dyn ChangeSink,
    past: &Past,
    args: &UndoArgs,
) -> Result<Backwards, CommandError> {
    let mut chosen = chosen(args, past, sink.clock())?;
    chosen.retain(|one| !protect::concerns(one));
    let found = sink.namespaces(&[NetnsChoice::All])?;
    let mut back = Back::new(sink, args.force);
    for transaction in &chosen {
        let reason = match args.since {
            Some(since) => format!("undo of the last {}", human(since)),
            None => format!("undo of change {}", transaction.id),
        };
        // The last change first; what failed changed nothing.
        let records = transaction.records.iter().rev();
        for record in records.filter(|record| !matches!(record.outcome, Some(Err(_)))) {
            let by = |now: &Value| {
                set_by(
                    &past.transactions,
                    transaction.id,
                    &record.change.target,
                    now,
                )
            };
            back.put(&record.change, &reason, by);
        }
    }
    let (changes, left) = back.finish();
    let live = live(&past.transactions);
    let is_live = |one: &&Transaction| live.iter().any(|live| live.id == one.id);
    let stands = left.iter().any(|left| !matches!(left, Left::Gone(_)));
    let nothing = changes.is_empty() && !stands;
    let mut undoes = undoes(&chosen, &left);
    if changes.is_empty() && !chosen.iter().any(is_live) {
        // It was undone before: there is nothing new to remember.
        undoes = Undoes::default();
    }
    let bare = args.id.is_none() && args.since.is_none();
    let mut older = live.iter().rev();
    let older = older.find(|one| chosen.iter().all(|chosen| one.id < chosen.id));
    Ok(Backwards {
        nothing: nothing.then(|| nothing_of(args, &chosen, past)),
        older: older
            .filter(|_| bare && (nothing || stands))
            .map(|one| one.id),
        is_partial: chosen.is_empty() && past.is_partial,
        notes: past.notes.clone(),
        gaps: found.gaps,
        plan: Plan {
            command: UNDO,
            undoes,
            changes,
        },
        left,
    })
}

/// What is said when nothing is to be changed.
fn nothing_of(args: &UndoArgs, chosen: &[&Transaction], past: &Past) -> String {
    if !chosen.is_empty() {
        let ids: Vec<_> = chosen.iter().map(|one| one.id.to_string()).collect();
        let plural = if ids.len() == 1 { "" } else { "s" };
        return format!("change{plural} {}: nothing to put back", ids.join(", "));
    }
    let within = args.since.map_or(String::new(), |since| {
        format!(" of the last {}", human(since))
    });
    let understood = if past.is_partial {
        " that this version understands"
    } else {
        ""
    };
    let mut newest = past.transactions.iter().rev();
    let lasting = newest.find(|one| !one.is_reversible() && !one.records.is_empty());
    let lasting = lasting.map_or(String::new(), |one| {
        format!(": change {} cannot be undone", one.id)
    });
    format!("nothing to undo{within}{understood}{lasting}")
}

/// Of these transactions those that are undone, and those of which something is left as it is.
pub(super) fn undoes(transactions: &[&Transaction], left: &[Left]) -> Undoes {
    let is_left = |target: &Target| left.iter().any(|left| left.stands_at(target));
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

/// What puts values back, and what does not.
#[derive(Debug, Default)]
pub(super) struct Backwards {
    pub(super) plan: Plan,
    pub(super) left: Vec<Left>,
    /// What is said when nothing is to be changed.
    pub(super) nothing: Option<String>,
    /// The next older change, where this one does not lead on.
    pub(super) older: Option<u64>,
    /// Whether it is not known if there is more to do.
    pub(super) is_partial: bool,
    /// What the journal had to say.
    pub(super) notes: Vec<String>,
    /// Where namespaces could not be looked for.
    pub(super) gaps: Vec<Gap>,
}

impl AsRef<Plan> for Backwards {
    fn as_ref(&self) -> &Plan {
        &self.plan
    }
}

/// Makes the changes unless it is only to be seen what they would be.
pub(super) fn carry_out(
    report: &mut DocumentOrText<'_>,
    sink: &mut dyn ChangeSink,
    writing: &WritingArgs,
    stderr: &mut dyn Write,
    mut plan: impl FnMut(&mut dyn ChangeSink, &Past) -> Result<Backwards, CommandError>,
) -> Result<(Backwards, Exit), CommandError> {
    let (back, applied) = if writing.dry_run {
        (plan(sink, &journal::read(&writing.state_dir)?)?, None)
    } else {
        let (back, applied) = apply::carry_out(sink, &writing.state_dir, stderr, plan)?;
        (back, Some(applied))
    };
    report.changes(&back.plan.changes, applied.as_ref());
    report.lines(back.nothing.clone());
    let mut exit = match &applied {
        Some(applied) => report.outcome(applied, &back.plan.changes),
        None => {
            report.rehearse(sink, &back.plan, &writing.state_dir);
            report.notes(&back.notes);
            Exit::Done
        }
    };
    exit = exit.and(left::tell(&back.left, &back.gaps, report));
    if let Some(older) = back.older {
        report.warn(format!("hint: older changes: sockpulse undo {older}"));
    }
    if back.is_partial {
        exit = exit.and(Exit::Partial);
    }
    Ok((back, exit))
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
    fn now(&mut self, target: &Target) -> Result<Option<Value>, Error> {
        let planned = self.changes.iter().find(|change| change.target.is(target));
        match planned {
            Some(change) => Ok(Some(change.after.clone())),
            None => self.sink.now(target),
        }
    }

    /// Adds what turns a change round; `by` tells who set another value that stands there now.
    pub(super) fn put(&mut self, done: &Change, reason: &str, by: impl Fn(&Value) -> SetBy) {
        let target = || done.target.clone();
        let now = match self.now(&done.target) {
            Ok(Some(now)) => now,
            Ok(None) => return self.leave(Left::Gone(target())),
            Err(error) => return self.leave(Left::unreached(target(), &error)),
        };
        match revert(done, &now, reason) {
            Revert::Nothing => {}
            Revert::Change(change) => self.add(change),
            Revert::Manual { change } if self.force => self.add(change),
            Revert::Manual { change } => match by(&now) {
                SetBy::Original => {}
                SetBy::Ours(id) => self.leave(Left::Later { change, id }),
                SetBy::Other => {
                    let ours = done.after.clone();
                    self.leave(Left::Manual { change, ours });
                }
            },
        }
    }

    /// Of several changes at one target the last one tells why.
    fn leave(&mut self, left: Left) {
        if self
            .left
            .iter()
            .all(|known| !known.target().is(left.target()))
        {
            self.left.push(left);
        }
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
    let chosen: Vec<&Transaction> = match (args.id, args.since) {
        (Some(id), _) => {
            let mut all = past.transactions.iter();
            let found = all.find(|transaction| transaction.id == id);
            let found = found.ok_or_else(|| unknown(id))?;
            if !found.is_reversible() && !found.records.is_empty() {
                return Err(irreversible(found));
            }
            vec![found]
        }
        (None, Some(since)) => {
            let oldest = now.saturating_sub(since.as_secs());
            let mut all = made(&past.transactions);
            all.retain(|one| one.at >= oldest);
            all
        }
        (None, None) => live(&past.transactions).pop().into_iter().collect(),
    };
    let mut chosen = with_their_commands(&past.transactions, &chosen);
    chosen.reverse();
    Ok(chosen)
}

/// A connection that was ended does not come back, and no option takes a value away.
fn irreversible(transaction: &Transaction) -> CommandError {
    let mut records = transaction.records.iter();
    let told = records.find_map(|record| match &record.change.target {
        Target::Destroyed { file, .. } => Some((file, "it destroyed connections")),
        Target::Pinned { file, .. } => Some((file, "no option makes a value an inherited one")),
        _ => None,
    });
    let id = transaction.id;
    let (file, why) = told.unzip();
    let message = format!("change {id} cannot be undone: {}", why.unwrap_or_default());
    let file = file.map_or_else(String::new, |file| shown(file));
    CommandError::new(ErrorKind::Usage, message)
        .hint(format!("{file} beside the journal tells of each of them"))
}

fn unknown(id: u64) -> CommandError {
    let message = format!("the journal knows no change {id}");
    CommandError::new(ErrorKind::Usage, message).hint("sockpulse undo --list")
}

fn list(report: &mut DocumentOrText<'_>, past: &Past, now: u64) {
    let live: Vec<u64> = live(&past.transactions).iter().map(|one| one.id).collect();
    let mut documents = Vec::new();
    for transaction in &past.transactions {
        let failed = !transaction.changed();
        let reversible = transaction.is_reversible() || transaction.records.is_empty();
        let undone =
            !failed && reversible && !live.contains(&transaction.id) && !transaction.is_undo();
        let age = std::time::Duration::from_secs(now.saturating_sub(transaction.at));
        let state = match (failed, undone) {
            (true, _) if !transaction.records.is_empty() => ", failed",
            (_, true) => ", undone",
            _ if !reversible => ", cannot be undone",
            _ => "",
        };
        let part = transaction.continues.map_or(String::new(), |before| {
            format!(", of one command with {before}")
        });
        report.say(format!(
            "{}  {}  {}: {}{part}{state}",
            transaction.id,
            journal::moment(transaction.at),
            shown(&transaction.command),
            counted(
                u64::try_from(transaction.records.len()).unwrap_or(u64::MAX),
                "change"
            ),
        ));
        for record in &transaction.records {
            let outcome = match &record.outcome {
                Some(Ok(())) => String::new(),
                Some(Err(why)) => format!(" (failed: {})", shown(why)),
                None => " (it is not known whether it was made)".into(),
            };
            let line = apply::lines(&record.change)
                .into_iter()
                .next()
                .unwrap_or_default();
            report.say(format!("   {line}{outcome}"));
        }
        documents.push(json!({
            "id": transaction.id,
            "at": journal::moment(transaction.at),
            "age_s": age.as_secs(),
            "command": transaction.command,
            "undoes": transaction.undoes.wholly,
            "undoes_partly": transaction.undoes.partly,
            "continues": transaction.continues,
            "undone": undone,
            "reversible": reversible,
            "changes": transaction.records.iter().map(of_record).collect::<Vec<_>>(),
        }));
    }
    if past.transactions.is_empty() {
        report.say("the journal is empty: nothing was changed".into());
    }
    report.notes(&past.notes);
    report.field("transactions", documents.into());
}

fn of_record(record: &Record) -> Json {
    apply::change_json(&record.change, record.outcome.as_ref())
}
