//! Changes in words, and how they are made: checked, written into the journal, made, concluded.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use serde_json::{Value as Json, json};
use sockpulse_core::change::{Change, Target, Undoes, Value};
use sockpulse_core::persisted::Sysctl;
use sockpulse_linux::Error;

use crate::coverage::{counted, shown};
use crate::error::{CommandError, ErrorKind};
use crate::journal::{self, Journal, Past};
use crate::sink::ChangeSink;

/// The command whose refusals can be got round in ways that the others' cannot.
pub(crate) const SET: &str = "defaults set";

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The command, for the journal.
    pub(crate) command: &'static str,
    /// Transactions that this undoes.
    pub(crate) undoes: Undoes,
    /// In the order in which it is done.
    pub(crate) changes: Vec<Change>,
}

impl Plan {
    /// Whether there is nothing to do, and nothing to remember.
    const fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.undoes.wholly.is_empty()
    }
}

impl AsRef<Self> for Plan {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// What became of a plan.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    /// The transaction's number in the journal; `None` when nothing was tried.
    pub(crate) id: Option<u64>,
    /// In the order of the changes.
    pub(crate) outcomes: Vec<Result<(), String>>,
    /// The first failure, with what would help.
    pub(crate) failure: Option<CommandError>,
    /// What the journal had to say.
    pub(crate) notes: Vec<String>,
}

impl Applied {
    /// Whether there was something to change and nothing was.
    pub(crate) fn is_in_vain(&self) -> bool {
        !self.outcomes.is_empty() && self.outcomes.iter().all(Result::is_err)
    }
}

/// Plans and carries it out: the plan is made by what the machine and the journal are while no other
/// command can change either. `plan` is called twice, since what cannot be done is to be refused before
/// the journal is touched, and what can only be known when it is held.
///
/// # Errors
/// When nothing could be planned, or nothing changed at all: then nothing was.
pub(crate) fn carry_out<P: AsRef<Plan>>(
    sink: &mut dyn ChangeSink,
    state_dir: &Path,
    stderr: &mut dyn io::Write,
    mut plan: impl FnMut(&mut dyn ChangeSink, &Past) -> Result<P, CommandError>,
) -> Result<(P, Applied), CommandError> {
    let past = journal::read(state_dir)?;
    let first = plan(sink, &past)?;
    if first.as_ref().is_empty() {
        let applied = Applied {
            notes: past.notes,
            ..Applied::default()
        };
        return Ok((first, applied));
    }
    check(sink, first.as_ref())?;
    let mut journal = Journal::open(state_dir, stderr)?;
    let planned = plan(sink, &journal.past)?;
    let applied = apply(sink, &mut journal, planned.as_ref())?;
    Ok((planned, applied))
}

/// Makes the changes of a plan, each only when the journal knows what was there before.
///
/// A file comes first, and what follows is left when it fails. Of several namespaces those that can be
/// changed are.
fn apply(
    sink: &mut dyn ChangeSink,
    journal: &mut Journal,
    plan: &Plan,
) -> Result<Applied, CommandError> {
    if plan.is_empty() {
        return Ok(Applied::default());
    }
    check(sink, plan)?;
    unchanged(sink, &plan.changes)?;
    let begun = journal.intend(sink.clock(), plan.command, &plan.undoes, &plan.changes)?;
    let mut applied = Applied {
        id: Some(begun.id),
        notes: journal.past.notes.clone(),
        ..Applied::default()
    };
    let mut stopped = false;
    for change in &plan.changes {
        let outcome = if stopped {
            Err("left, since a file could not be written".to_owned())
        } else {
            sink.make(change).map_err(|error| {
                stopped = matches!(change.target, Target::PersistedFile { .. });
                let why = error.reason();
                applied
                    .failure
                    .get_or_insert(refusal(plan.command, change, error));
                why
            })
        };
        applied.outcomes.push(outcome);
    }
    if let Err(error) = journal.conclude(begun, sink.clock(), &applied.outcomes) {
        let note = format!("what was changed stands, but the journal does not say so: {error}");
        applied.notes.push(note);
        applied.failure.get_or_insert(error);
    }
    Ok(applied)
}

/// Whether a plan could be carried out, as far as that is seen without changing anything.
///
/// # Errors
/// Why not.
pub(crate) fn rehearse(
    sink: &mut dyn ChangeSink,
    plan: &Plan,
    state_dir: &Path,
) -> Result<(), CommandError> {
    if plan.is_empty() {
        return Ok(());
    }
    check(sink, plan)?;
    journal::may_write(state_dir)
}

/// A file that cannot be written stops everything before it begins; so do namespaces of which none
/// can be changed.
///
/// # Errors
/// Why not.
pub(crate) fn check(sink: &mut dyn ChangeSink, plan: &Plan) -> Result<(), CommandError> {
    let mut first = None;
    let mut possible = false;
    for change in &plan.changes {
        let is_file = matches!(change.target, Target::PersistedFile { .. });
        match sink.check(change) {
            Ok(()) => possible |= !is_file,
            Err(error) if is_file => return Err(refusal(plan.command, change, error)),
            Err(error) => {
                first.get_or_insert(refusal(plan.command, change, error));
            }
        }
    }
    match first {
        Some(refusal) if !possible => Err(refusal),
        _ => Ok(()),
    }
}

/// Whoever changes values without the journal may have done so since they were read: then what was
/// planned would take that back, and the journal would say what was not there before.
fn unchanged(sink: &mut dyn ChangeSink, changes: &[Change]) -> Result<(), CommandError> {
    for change in changes {
        // What is gone or cannot be read is told when it is tried.
        if let Ok(Some(now)) = sink.now(&change.target)
            && now != change.before
        {
            let message = format!(
                "{} was changed by someone else in this moment: nothing was done",
                name(&change.target)
            );
            return Err(CommandError::new(ErrorKind::Incomplete, message).hint("run it again"));
        }
    }
    Ok(())
}

/// Why a change could not be made, with what would help.
fn refusal(command: &str, change: &Change, error: Error) -> CommandError {
    let kind = if error.is_permission() {
        ErrorKind::NotPermitted
    } else {
        ErrorKind::Incomplete
    };
    let hints = match &change.target {
        Target::Sysctl { sysctl, .. } => of_sysctl(command, *sysctl, &change.after, &error),
        Target::PersistedFile { path } => of_file(command, path, &error),
        _ => Vec::new(),
    };
    let refusal = CommandError::new(kind, error.reason());
    hints.into_iter().fold(refusal, CommandError::hint)
}

fn of_sysctl(command: &str, sysctl: Sysctl, after: &Value, error: &Error) -> Vec<String> {
    let value = of_value(after);
    let mut hints = Vec::new();
    if error.is_permission() {
        let hint = "run as root, or grant CAP_NET_ADMIN in the user namespace that owns the network \
                    namespace";
        hints.push(hint.into());
    } else if error.errno() == Some(Errno::ROFS) {
        hints.push(format!(
            "from the host: sockpulse defaults set --{} {value} --netns PID, of a process in the \
             container",
            sysctl.setting()
        ));
        if command == SET {
            let key = sysctl.key();
            hints.push(format!(
                "or start the container with it: --sysctl {key}={value}"
            ));
        }
    }
    hints
}

fn of_file(command: &str, path: &str, error: &Error) -> Vec<String> {
    let path = shown(path);
    let folder = path.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let hint = match (error, error.errno()) {
        (Error::NotAFile { .. }, _) => format!("look at it, and remove it: rm {path}"),
        (_, Some(Errno::NOTDIR)) => format!("make it a folder: rm {folder} && mkdir {folder}"),
        (_, Some(Errno::NOSPC | Errno::DQUOT)) => {
            "make room on that file system; what was in the file is still there".into()
        }
        (_, Some(Errno::ROFS)) if command == SET => {
            "leave --persist out to set it until the next boot only".into()
        }
        (_, Some(Errno::ROFS)) => {
            format!("run it again when {folder} can be written; nothing was put back")
        }
        (_, Some(Errno::ACCESS | Errno::PERM)) => {
            format!("run as root: {folder} is root's to write (or grant CAP_DAC_OVERRIDE)")
        }
        _ => return Vec::new(),
    };
    vec![hint]
}

/// A target in words.
pub(crate) fn name(target: &Target) -> String {
    match target {
        Target::Sysctl { netns, sysctl } => format!("{} in {}", sysctl.key(), shown(&netns.name)),
        Target::PersistedFile { path } => shown(path),
        Target::Rules { .. } => "the kernel's rules for connections to come".into(),
        Target::Connections { file, .. } => format!("the sockets of {}", shown(file)),
        Target::Destroyed { file, .. } => format!("the connections of {}", shown(file)),
        Target::Pinned { file, .. } => format!("the idle times of {}", shown(file)),
        _ => "something that this version does not know".into(),
    }
}

/// A change in lines: what, from what to what, and why; of a file the lines that differ.
pub(crate) fn lines(change: &Change) -> Vec<String> {
    let reason = shown(&change.reason);
    match &change.target {
        Target::Sysctl { netns, sysctl } => vec![format!(
            "{}: {} {} -> {}: {reason}",
            shown(&netns.name),
            sysctl.key(),
            of_value(&change.before),
            of_value(&change.after)
        )],
        Target::PersistedFile { path } => {
            let what = match (&change.before, &change.after) {
                (Value::Absent, _) => "new file, read at boot",
                (_, Value::Absent) => "removed",
                _ => "changed, read at boot",
            };
            let mut lines = vec![format!("{}: {what}: {reason}", shown(path))];
            lines.extend(file_difference(&change.before, &change.after));
            lines
        }
        Target::Connections { file, count } => vec![format!(
            "{} in {}: {reason}",
            counted(*count, "open socket"),
            shown(file)
        )],
        Target::Destroyed { file, count } => vec![format!(
            "{} to be destroyed, in {}: {reason}",
            counted(*count, "connection"),
            shown(file)
        )],
        Target::Pinned { file, .. } => vec![format!(
            "idle times that became the sockets' own, in {}: {reason}",
            shown(file)
        )],
        Target::Rules { .. } => vec![format!("{}: {reason}", name(&change.target))],
        // What a later version adds is worded by it.
        _ => vec![format!(
            "{} -> {}",
            of_value(&change.before),
            of_value(&change.after)
        )],
    }
}

/// What differs between two texts of a file, a line each.
pub(crate) fn file_difference(before: &Value, after: &Value) -> Vec<String> {
    difference(text(before), text(after))
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

/// The lines that go and those that come; what is alike at both ends is left out.
fn difference(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let start = old
        .iter()
        .zip(&new)
        .take_while(|(old, new)| old == new)
        .count();
    let (old, new) = (&old[start..], &new[start..]);
    let ends = old.iter().rev().zip(new.iter().rev());
    let end = ends.take_while(|(old, new)| old == new).count();
    let gone = old[..old.len() - end]
        .iter()
        .map(|line| format!("  - {}", shown(line)));
    let come = new[..new.len() - end]
        .iter()
        .map(|line| format!("  + {}", shown(line)));
    gone.chain(come).collect()
}

/// A value in words.
pub(crate) fn of_value(value: &Value) -> String {
    match value {
        Value::Absent => "nothing".into(),
        Value::Number(number) => number.to_string(),
        Value::Text(text) => {
            let lines = text.lines().count();
            let plural = if lines == 1 { "" } else { "s" };
            format!("{lines} line{plural} of text")
        }
    }
}

/// The changes with what became of them, as JSON.
pub(crate) fn json(changes: &[Change], applied: Option<&Applied>) -> Json {
    let outcome = |at: usize| applied.and_then(|applied| applied.outcomes.get(at));
    let changes = changes.iter().enumerate();
    Json::Array(
        changes
            .map(|(at, change)| change_json(change, outcome(at)))
            .collect(),
    )
}

/// A change with what became of it; `null` where it was not made, or that is not known.
pub(crate) fn change_json(change: &Change, outcome: Option<&Result<(), String>>) -> Json {
    let mut json = journal::of_change(change);
    json["outcome"] = match outcome {
        None => Json::Null,
        Some(Ok(())) => "done".into(),
        Some(Err(why)) => json!({ "failed": why }),
    };
    json
}

/// What failed, a line each.
pub(crate) fn failures(changes: &[Change], applied: &Applied) -> Vec<String> {
    let failed = changes.iter().zip(&applied.outcomes);
    failed
        .filter_map(|(change, outcome)| {
            let why = outcome.as_ref().err()?;
            let mut line = String::from("not changed: ");
            // Writing to a string does not fail.
            let _ = match &change.target {
                Target::Sysctl { netns, sysctl } => {
                    write!(line, "{}: {}", shown(&netns.name), sysctl.key())
                }
                Target::PersistedFile { path } => write!(line, "{}", shown(path)),
                _ => Ok(()),
            };
            Some(format!("{line}: {}", shown(why)))
        })
        .collect()
}
