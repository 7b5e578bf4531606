//! Putting back what was there before: what the journal says, held against what is there now.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Change, Value};

/// A change of the journal, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was to be done.
    pub change: Change,
    /// `None`: nothing was written about it afterwards, so it may or may not have been made.
    pub outcome: Option<Result<(), String>>,
}

/// The changes of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in the journal.
    pub id: u64,
    /// Seconds since 1970.
    pub at: u64,
    /// The command that made it.
    pub command: String,
    /// The transactions that it undid.
    pub undoes: Undoes,
    /// Its changes.
    pub records: Vec<Record>,
}

/// The transactions that another one undoes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undoes {
    /// Those of which nothing stays.
    pub wholly: Vec<u64>,
    /// Those of which something was left, since someone else changed it: they can be undone again.
    pub partly: Vec<u64>,
}

impl Undoes {
    /// Whether it undoes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wholly.is_empty() && self.partly.is_empty()
    }
}

/// What has to be done so that a value is again what it was before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revert {
    /// It is.
    Nothing,
    /// This.
    Change(Change),
    /// Someone else changed it since: what stands there now is theirs.
    Manual {
        /// What was to be put back.
        change: Change,
    },
}

/// Turns a change round, where `now` is what it left behind.
#[must_use]
pub fn revert(done: &Change, now: &Value, reason: &str) -> Revert {
    if *now == done.before {
        return Revert::Nothing;
    }
    let change = Change {
        target: done.target.clone(),
        before: now.clone(),
        after: done.before.clone(),
        reason: reason.into(),
    };
    if *now == done.after {
        Revert::Change(change)
    } else {
        Revert::Manual { change }
    }
}

/// The transactions that changed something and were not undone, oldest first. One that only undid
/// others is not among them. An undoing of which anything failed, or is not known, is to be tried
/// again: what it did put back stays as it is.
#[must_use]
pub fn live(journal: &[Transaction]) -> Vec<&Transaction> {
    let mut undone: Vec<u64> = Vec::new();
    let mut live = Vec::new();
    for transaction in journal.iter().rev() {
        if undone.contains(&transaction.id) {
            continue;
        }
        let mut outcomes = transaction.records.iter().map(|record| &record.outcome);
        if outcomes.clone().all(|outcome| *outcome == Some(Ok(()))) {
            undone.extend(&transaction.undoes.wholly);
        }
        let changed = outcomes.any(|outcome| !matches!(outcome, Some(Err(_))));
        if transaction.undoes.is_empty() && changed {
            live.push(transaction);
        }
    }
    live.reverse();
    live
}

/// What of ours stands at each target: one change from what was there before our first to what we
/// set last. Where someone else changed the value in between, what they set is what was there before.
///
/// Whether a change without an outcome was made is told by what was found at the next one there, and
/// for the last one by `now`: it was if its value is there.
pub fn standing(
    journal: &[Transaction],
    mut now: impl FnMut(&Change) -> Option<Value>,
) -> Vec<Change> {
    let mut chains: Vec<Change> = Vec::new();
    let mut records = journal.iter().flat_map(|transaction| &transaction.records);
    while let Some(Record { change, outcome }) = records.next() {
        let made = match outcome {
            Some(outcome) => outcome.is_ok(),
            None => {
                let next = records
                    .clone()
                    .find(|next| next.change.target.is(&change.target));
                let found =
                    next.map_or_else(|| now(change), |next| Some(next.change.before.clone()));
                found.is_none_or(|found| found == change.after)
            }
        };
        if !made {
            continue;
        }
        match chains
            .iter_mut()
            .find(|known| known.target.is(&change.target))
        {
            Some(known) => {
                if known.after != change.before {
                    known.before = change.before.clone();
                }
                // The namespace of the host has other numbers after a boot.
                known.target = change.target.clone();
                known.after = change.after.clone();
            }
            None => chains.push(change.clone()),
        }
    }
    chains.retain(|chain| chain.before != chain.after);
    chains
}

#[cfg(test)]
mod tests {
    use super::super::tests::{change, key};
    use super::super::{NetnsKey, Target};
    use super::*;
    use crate::persisted::Sysctl;
    use alloc::vec;

    fn transaction(id: u64, undoes: &[u64], changes: &[(i64, i64)]) -> Transaction {
        let records = changes.iter().map(|(before, after)| Record {
            change: change(key(1, "a"), Sysctl::Idle, *before, *after),
            outcome: Some(Ok(())),
        });
        Transaction {
            id,
            at: id,
            command: "defaults set".into(),
            undoes: Undoes {
                wholly: undoes.to_vec(),
                partly: Vec::new(),
            },
            records: records.collect(),
        }
    }

    /// From and to of what stands.
    fn stands(journal: &[Transaction]) -> Vec<(Value, Value)> {
        standing(journal, |_| None)
            .into_iter()
            .map(|change| (change.before, change.after))
            .collect()
    }

    #[test]
    fn a_value_of_someone_else_is_not_overwritten() {
        let done = change(key(1, "a"), Sysctl::Idle, 7200, 60);
        assert_eq!(revert(&done, &Value::Number(7200), ""), Revert::Nothing);
        let Revert::Change(back) = revert(&done, &Value::Number(60), "undo") else {
            panic!("ours");
        };
        assert_eq!(back.after, Value::Number(7200));
        let Revert::Manual { change } = revert(&done, &Value::Number(90), "undo") else {
            panic!("theirs");
        };
        assert_eq!(change.before, Value::Number(90));
    }

    #[test]
    fn what_was_undone_is_not_undone_again() {
        let ids = |journal: &[Transaction]| -> Vec<u64> {
            live(journal)
                .iter()
                .map(|transaction| transaction.id)
                .collect()
        };
        let mut journal = vec![
            transaction(1, &[], &[(7200, 60)]),
            transaction(2, &[], &[(60, 30)]),
        ];
        assert_eq!(ids(&journal), [1, 2]);
        journal.push(transaction(3, &[2], &[(30, 60)]));
        assert_eq!(ids(&journal), [1]);
        for (outcome, expected) in [
            (Some(Err("read-only".into())), &[1, 2][..]),
            (None, &[1, 2]),
            (Some(Ok(())), &[1]),
        ] {
            journal[2].records[0].outcome = outcome;
            assert_eq!(ids(&journal), expected);
        }
        core::mem::take(&mut journal[2].undoes.wholly);
        journal[2].undoes.partly.push(2);
        assert_eq!(ids(&journal), [1, 2]);
        journal[2] = transaction(3, &[2], &[(30, 60)]);
        // Whoever undoes an undoing has the change again.
        journal.push(transaction(4, &[3], &[(60, 30)]));
        assert_eq!(ids(&journal), [1, 2]);
    }

    #[test]
    fn a_chain_of_ours_goes_back_to_its_beginning() {
        let number = Value::Number;
        for (changes, expected) in [
            (&[(7200, 60)][..], vec![(number(7200), number(60))]),
            (&[(7200, 60), (60, 30)], vec![(number(7200), number(30))]),
            // Someone set 100 in between.
            (&[(7200, 60), (100, 30)], vec![(number(100), number(30))]),
            (&[(7200, 60), (60, 7200)], vec![]),
            (
                &[(7200, 60), (60, 7200), (7200, 50)],
                vec![(number(7200), number(50))],
            ),
        ] {
            assert_eq!(
                stands(&[transaction(1, &[], changes)]),
                expected,
                "{changes:?}"
            );
        }
    }

    #[test]
    fn what_failed_counts_for_nothing_and_what_is_unknown_is_looked_at() {
        let mut journal = [transaction(1, &[], &[(7200, 60)])];
        journal[0].records[0].outcome = Some(Err("read-only".into()));
        assert!(stands(&journal).is_empty() && live(&journal).is_empty());
        journal[0].records[0].outcome = None;
        assert_eq!(live(&journal).len(), 1);
        assert_eq!(standing(&journal, |_| Some(Value::Number(60))).len(), 1);
        assert!(standing(&journal, |_| Some(Value::Number(7200))).is_empty());
    }

    #[test]
    fn what_was_found_later_tells_whether_a_change_was_made() {
        for (found, beginning) in [(60, 7200), (7200, 7200), (100, 100)] {
            let mut journal = [
                transaction(1, &[], &[(7200, 60)]),
                transaction(2, &[], &[(found, 30)]),
            ];
            journal[0].records[0].outcome = None;
            let chains = standing(&journal, |_| Some(Value::Number(30)));
            let [chain] = &chains[..] else {
                panic!("{chains:?}");
            };
            assert_eq!(chain.before, Value::Number(beginning), "{found}");
        }
    }

    #[test]
    fn the_host_is_the_same_after_a_boot() {
        let host = |boot: &str| NetnsKey {
            host: true,
            ..key(1, boot)
        };
        let mut journal = [
            transaction(1, &[], &[(7200, 60)]),
            transaction(2, &[], &[(60, 30)]),
        ];
        for (transaction, boot) in journal.iter_mut().zip(["a", "b"]) {
            transaction.records[0].change.target = Target::Sysctl {
                netns: host(boot),
                sysctl: Sysctl::Idle,
            };
        }
        assert_eq!(stands(&journal), [(Value::Number(7200), Value::Number(30))]);
    }
}
