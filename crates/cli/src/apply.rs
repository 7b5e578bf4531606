//! Changes in words, and how they are made: checked, written into the journal, made, concluded.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};
use sockpulse_core::change::{Change, Target, Undoes, Value};
use sockpulse_linux::Error;

use crate::coverage::shown;
use crate::error::{CommandError, ErrorKind};
use crate::journal::{self, Journal};
use crate::sink::ChangeSink;

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

/// Makes the changes of a plan, each only when the journal knows what was there before.
///
/// A file comes first, and what follows is left when it fails. Of several namespaces those that can be
/// changed are.
///
/// # Errors
/// When nothing could be changed at all: then nothing was.
pub(crate) fn apply(
    sink: &mut dyn ChangeSink,
    state_dir: &Path,
    plan: &Plan,
) -> Result<Applied, CommandError> {
    if plan.changes.is_empty() && plan.undoes.wholly.is_empty() {
        return Ok(Applied::default());
    }
    check(sink, &plan.changes)?;
    let mut journal = Journal::open(state_dir)?;
    unchanged(sink, &plan.changes)?;
    let notes = journal.past.notes.clone();
    let begun = journal.intend(sink.clock(), plan.command, &plan.undoes, &plan.changes)?;
    let mut applied = Applied {
        id: Some(begun.id),
        notes,
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
                applied.failure.get_or_insert(refusal(change, error));
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

/// A file that cannot be written stops everything before it begins; so do namespaces of which none
/// can be changed.
fn check(sink: &mut dyn ChangeSink, changes: &[Change]) -> Result<(), CommandError> {
    let mut first = None;
    let mut possible = false;
    for change in changes {
        let is_file = matches!(change.target, Target::PersistedFile { .. });
        match sink.check(change) {
            Ok(()) => possible |= !is_file,
            Err(error) if is_file => return Err(refusal(change, error)),
            Err(error) => {
                first.get_or_insert(refusal(change, error));
            }
        }
    }
    match first {
        Some(refusal) if !possible => Err(refusal),
        _ => Ok(()),
    }
}

/// Another command may have changed something between planning and now, when the journal is held:
/// then what was planned would take that back, and the journal would say what was not there before.
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
fn refusal(change: &Change, error: Error) -> CommandError {
    let permission = error.is_permission();
    let read_only = error.errno() == Some(rustix::io::Errno::ROFS);
    let full = matches!(
        error.errno(),
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT)
    );
    let kind = if permission {
        ErrorKind::NotPermitted
    } else {
        ErrorKind::Incomplete
    };
    let refusal = CommandError::new(kind, error.reason());
    match &change.target {
        Target::Sysctl { .. } if permission => refusal.hint(
            "run as root, or grant CAP_NET_ADMIN in the user namespace that owns the network \
             namespace",
        ),
        Target::Sysctl { sysctl, .. } if read_only => refusal
            .hint("from the host: sockpulse defaults set … --netns PID, of a process in the container")
            .hint(format!(
                "or start the container with it: --sysctl {}={}",
                sysctl.key(),
                of_value(&change.after)
            )),
        Target::PersistedFile { .. } if permission => {
            refusal.hint("run as root: /etc/sysctl.d is root's to write (or grant CAP_DAC_OVERRIDE)")
        }
        Target::PersistedFile { .. } if read_only => {
            refusal.hint("leave --persist out to set it until the next boot only")
        }
        Target::PersistedFile { .. } if full => {
            refusal.hint("make room on that file system; what was in the file is still there")
        }
        _ => refusal,
    }
}

/// A target in words.
pub(crate) fn name(target: &Target) -> String {
    match target {
        Target::Sysctl { netns, sysctl } => format!("{} in {}", sysctl.key(), shown(&netns.name)),
        Target::PersistedFile { path } => shown(path),
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
            lines.extend(difference(text(&change.before), text(&change.after)));
            lines
        }
        // What a later version adds is worded by it.
        _ => vec![format!(
            "{} -> {}",
            of_value(&change.before),
            of_value(&change.after)
        )],
    }
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
    let changes = changes.iter().enumerate().map(|(at, change)| {
        let mut json = journal::of_change(change);
        json["outcome"] = match outcome(at) {
            None => Json::Null,
            Some(Ok(())) => "done".into(),
            Some(Err(why)) => json!({ "failed": why }),
        };
        json
    });
    Json::Array(changes.collect())
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
