//! The kernel's rules for connections to come, as they were before changes of the journal.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use serde_json::json;
use sockpulse_core::change::{Change, Target, Transaction, UNDO, Undoes, Value};

use super::rules;
use super::undo::{Undone, Wish, rules_change, words};
use crate::coverage::counted;
use crate::error::{CommandError, Exit};
use crate::journal::Journal;
use crate::sink::{ChangeSink, Hooks};

/// Puts back what these transactions, oldest first, did: at once, so that nothing that was in force in
/// between is so again, however shortly.
///
/// # Errors
/// When the journal or the kernel's rules cannot be read or written.
pub(super) fn rules(
    transactions: &[&Transaction],
    wish: &Wish<'_>,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
    undone: &mut Undone,
) -> Result<(), CommandError> {
    let mut folders: BTreeMap<&str, Vec<(u64, &Change)>> = BTreeMap::new();
    for transaction in transactions {
        if let Some(change) = rules_change(transaction)
            && let Target::Rules { pins } = &change.target
        {
            folders
                .entry(pins)
                .or_default()
                .push((transaction.id, change));
        }
    }
    for (pins, changes) in folders {
        folder(pins, &changes, wish, sink, stderr, undone)?;
    }
    Ok(())
}

/// Where a walk from the last change back to the first one ends.
struct Walk<'a> {
    /// What is to be in force; `None` where nothing is to be done.
    to: Option<&'a Value>,
    /// Whose changes are undone, or were already.
    ids: Vec<u64>,
    /// Changes upon which something else came.
    left: u64,
}

fn walk<'a>(standing: Vec<String>, changes: &[(u64, &'a Change)], wish: &Wish<'_>) -> Walk<'a> {
    let mut now = standing.clone();
    let mut walk = Walk {
        to: None,
        ids: Vec::new(),
        left: 0,
    };
    for (id, change) in changes.iter().rev() {
        let before = rules::texts(&change.before);
        if now != before {
            if !wish.force && now != rules::texts(&change.after) {
                walk.left += 1;
                continue;
            }
            now = before;
            walk.to = (now != standing).then_some(&change.before);
        }
        walk.ids.push(*id);
    }
    walk
}

fn folder(
    pins: &str,
    changes: &[(u64, &Change)],
    wish: &Wish<'_>,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
    undone: &mut Undone,
) -> Result<(), CommandError> {
    let in_force = sink.rules(Path::new(pins))?;
    let Walk { to, mut ids, left } = walk(rules::standing(&in_force), changes, wish);
    ids.sort_unstable();
    if left > 0 {
        undone.warned.push(format!(
            "left: {}: the rules for connections to come were changed since",
            counted(left, "change")
        ));
        undone.warned.push("hint: --force overwrites it".into());
        undone.exit = Exit::Partial;
    }
    undone.rules = json!({
        "undoes": ids,
        "to_change": to.is_some(),
        "changed": to.is_some() && !wish.dry_run,
        "changed_since": left,
    });
    if ids.is_empty() {
        return Ok(());
    }
    let entry = rules::Entry {
        command: UNDO,
        reason: format!("undo of change {}", words(&ids)),
        undoes: Undoes {
            wholly: ids,
            partly: Vec::new(),
        },
    };
    let told = match (to, wish.dry_run) {
        (None, _) => "are as before already",
        (Some(_), true) => "would be as before",
        (Some(_), false) => "are as before",
    };
    if !wish.dry_run {
        undone.id = match to {
            Some(before) => {
                let hooks = Hooks {
                    pins: pins.into(),
                    cgroup: wish.cgroup.map(Path::to_path_buf),
                };
                let before = rules::Rules::from_value(before)?;
                rules::change(sink, &hooks, wish.state_dir, &entry, stderr, |_| Ok(before))?.id
            }
            None => {
                // The next undo goes on to what was changed before.
                let mut journal = Journal::open(wish.state_dir, stderr)?;
                let begun = journal.intend(sink.clock(), UNDO, &entry.undoes, &[])?;
                journal.conclude(begun, sink.clock(), &[])?;
                None
            }
        };
    }
    undone
        .said
        .push(format!("the rules for connections to come {told}"));
    if let Some(id) = undone.id {
        let line = format!("change {id}; taken back by: sockpulse undo {id}");
        undone.said.push(line);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(rules: &[&str]) -> Value {
        let text = serde_json::json!({ "accepted": "inherit", "rules": rules });
        Value::Text(text.to_string())
    }

    fn change(before: &[&str], after: &[&str]) -> Change {
        Change {
            target: Target::Rules {
                pins: "/sys/fs/bpf/sockpulse".into(),
            },
            before: value(before),
            after: value(after),
            reason: "asked for".into(),
        }
    }

    fn wish(force: bool) -> Wish<'static> {
        Wish {
            dry_run: false,
            force,
            state_dir: Path::new("/nowhere"),
            cgroup: None,
            accepted_risks: &[],
        }
    }

    #[test]
    fn several_changes_are_taken_back_in_one_step() {
        // The second was killed before it was made.
        let changes = [
            change(&[], &["a"]),
            change(&["a"], &["b"]),
            change(&["a"], &["c"]),
        ];
        let numbered: Vec<_> = (1..).zip(&changes).collect();
        let walked = walk(vec!["c".into()], &numbered, &wish(false));
        assert_eq!(walked.to, Some(&changes[0].before));
        assert_eq!((walked.ids, walked.left), (vec![3, 2, 1], 0));
    }

    #[test]
    fn what_came_upon_a_change_is_left_unless_forced() {
        let changes = [change(&["a"], &["b"])];
        let numbered: Vec<_> = (7..).zip(&changes).collect();
        let other = vec!["x".to_owned()];
        let walked = walk(other.clone(), &numbered, &wish(false));
        assert_eq!((walked.to, walked.ids.len(), walked.left), (None, 0, 1));
        let walked = walk(other, &numbered, &wish(true));
        assert_eq!(walked.to, Some(&changes[0].before));
        // Already so: nothing to do, and it counts as undone.
        let walked = walk(vec!["a".into()], &numbered, &wish(false));
        assert_eq!((walked.to, walked.ids), (None, vec![7]));
    }
}
