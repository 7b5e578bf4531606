//! Putting back what was there before: what the journal says, held against what is there now.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Change, Target, Value};

/// The command that undoes others. It is not undone without being named: the next one goes on to what
/// was changed before.
pub const UNDO: &str = "undo";

/// A change of the journal, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What was to be done.
    pub change: Change,
    /// `None`: nothing was written about it afterwards, so it may or may not have been made.
    pub outcome: Option<Result<(), String>>,
}

/// The changes of one command, or of one part of it.
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
    /// The transaction of the same command that went before it: they are undone together.
    pub continues: Option<u64>,
    /// Its changes.
    pub records: Vec<Record>,
}

impl Transaction {
    /// Whether it only undid others.
    #[must_use]
    pub fn is_undo(&self) -> bool {
        self.command == UNDO
    }

    /// Whether it changed anything, as far as is known.
    #[must_use]
    pub fn changed(&self) -> bool {
        let mut records = self.records.iter();
        records.any(|record| !matches!(record.outcome, Some(Err(_))))
    }

    /// Whether anything of it can be put back.
    #[must_use]
    pub fn is_reversible(&self) -> bool {
        let mut records = self.records.iter();
        records.any(|record| {
            let target = &record.change.target;
            !matches!(target, Target::Destroyed { .. } | Target::Pinned { .. })
        })
    }

    /// Whether it did all that it was to do.
    fn is_whole(&self) -> bool {
        let mut records = self.records.iter();
        records.all(|record| record.outcome == Some(Ok(())))
    }
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

/// The transactions that changed something and were not undone, oldest first; what cannot be undone is
/// not among them. A reset is among them,
/// and those that it took back are not; one that is called `undo` is not. An undoing of which anything
/// failed, or is not known, is to be tried again: what it did put back stays as it is.
#[must_use]
pub fn live(journal: &[Transaction]) -> Vec<&Transaction> {
    changes_of(not_undone(journal, |_| true))
}

/// As [`live()`], with what a reset took back. To go back in time, all that was done since is turned
/// round, the last first: the reset too.
#[must_use]
pub fn made(journal: &[Transaction]) -> Vec<&Transaction> {
    changes_of(not_undone(journal, Transaction::is_undo))
}

/// These transactions and what else their commands changed and was not undone, oldest first.
#[must_use]
pub fn with_their_commands<'a>(
    journal: &'a [Transaction],
    chosen: &[&'a Transaction],
) -> Vec<&'a Transaction> {
    let not_undone = not_undone(journal, |_| true);
    let is_not_undone = |one: &Transaction| not_undone.iter().any(|other| other.id == one.id);
    let is_chosen = |one: &Transaction| chosen.iter().any(|chosen| chosen.id == one.id);
    let is_of_one = |one: &Transaction| {
        let mut chosen = chosen.iter();
        chosen.any(|chosen| one.continues == Some(chosen.id) || chosen.continues == Some(one.id))
    };
    let is_meant =
        |one: &Transaction| is_chosen(one) || one.changed() && is_of_one(one) && is_not_undone(one);
    journal.iter().filter(|one| is_meant(one)).collect()
}

fn changes_of(mut transactions: Vec<&Transaction>) -> Vec<&Transaction> {
    transactions.retain(|one| !one.is_undo() && one.changed() && one.is_reversible());
    transactions
}

fn not_undone(journal: &[Transaction], undoes: fn(&Transaction) -> bool) -> Vec<&Transaction> {
    let mut undone: Vec<u64> = Vec::new();
    let mut rest = Vec::new();
    for transaction in journal.iter().rev() {
        if undone.contains(&transaction.id) {
            continue;
        }
        if undoes(transaction) && transaction.is_whole() {
            undone.extend(&transaction.undoes.wholly);
        }
        rest.push(transaction);
    }
    rest.reverse();
    rest
}

/// Whose value stands at a target, where it is neither what a change of ours left there nor what it
/// found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetBy {
    /// That of a later transaction of ours, which has this number.
    Ours(u64),
    /// What was there before we changed anything: after a boot, for one.
    Original,
    /// Someone else's.
    Other,
}

/// Who set what stands at the target of a change of the transaction with this number.
#[must_use]
pub fn set_by(journal: &[Transaction], id: u64, target: &Target, now: &Value) -> SetBy {
    let at_target = |transaction: &&Transaction| {
        let mut records = transaction.records.iter();
        let last = records.rfind(|record| record.change.target.is(target));
        last.is_some_and(|last| last.change.after == *now && !matches!(last.outcome, Some(Err(_))))
    };
    let mut later = live(journal).into_iter().filter(|one| one.id > id);
    if let Some(ours) = later.rfind(at_target) {
        return SetBy::Ours(ours.id);
    }
    let mut records = journal.iter().flat_map(|transaction| &transaction.records);
    let first = records
        .find(|record| record.change.target.is(target) && !matches!(record.outcome, Some(Err(_))));
    match first {
        Some(first) if first.change.before == *now => SetBy::Original,
        _ => SetBy::Other,
    }
}

/// What of ours stands at each target: one change from what was there before our first to what we
/// set last. Where someone else changed the value in between, what they set is what was there before;
/// of a file the lines that are theirs.
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
                    known.before = without(known, &change.before);
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

/// What would be found if it were not for our change: of a file that someone edited since, their lines
/// with those that were there before ours.
fn without(ours: &Change, found: &Value) -> Value {
    let (Target::PersistedFile { .. }, Value::Text(set), Value::Text(found_text)) =
        (&ours.target, &ours.after, found)
    else {
        return found.clone();
    };
    let had = match &ours.before {
        Value::Text(text) => text.as_str(),
        _ => "",
    };
    let is_ours = |line: &&str| lines_hold(set, line) && !lines_hold(had, line);
    let is_back = |line: &&str| !lines_hold(set, line) && !lines_hold(found_text, line);
    let theirs = found_text.lines().filter(|line| !is_ours(line));
    let mut text = String::new();
    for line in theirs.chain(had.lines().filter(is_back)) {
        text.push_str(line);
        text.push('\n');
    }
    if text.is_empty() && ours.before == Value::Absent {
        Value::Absent
    } else {
        Value::Text(text)
    }
}

fn lines_hold(text: &str, line: &str) -> bool {
    text.lines().any(|one| one == line)
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
            command: if undoes.is_empty() {
                "defaults set"
            } else {
                UNDO
            }
            .into(),
            undoes: Undoes {
                wholly: undoes.to_vec(),
                partly: Vec::new(),
            },
            continues: None,
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
    fn what_one_command_did_in_two_steps_is_undone_together() {
        let mut journal = vec![
            transaction(1, &[], &[(7200, 60)]),
            transaction(2, &[], &[(60, 30)]),
            transaction(3, &[], &[(9, 5)]),
            transaction(4, &[], &[(30, 20)]),
        ];
        journal[2].continues = Some(2);
        let meant = |journal: &[Transaction], id: u64| -> Vec<u64> {
            let chosen = journal.iter().find(|one| one.id == id).unwrap();
            let meant = with_their_commands(journal, &[chosen]);
            meant.iter().map(|one| one.id).collect()
        };
        assert_eq!(meant(&journal, 1), [1]);
        assert_eq!(meant(&journal, 2), [2, 3], "whichever is named");
        assert_eq!(meant(&journal, 3), [2, 3]);
        assert_eq!(meant(&journal, 4), [4]);
        // What was undone, or failed, is not drawn in; whoever names it means it.
        journal.push(transaction(5, &[2], &[(30, 60)]));
        assert_eq!(meant(&journal, 3), [3]);
        assert_eq!(meant(&journal, 2), [2, 3]);
        journal[2].records[0].outcome = Some(Err("read-only".into()));
        assert_eq!(meant(&journal, 2), [2]);
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
    fn what_was_destroyed_is_passed_over() {
        let mut journal = vec![
            transaction(1, &[], &[(7200, 60)]),
            transaction(2, &[], &[(0, 0)]),
        ];
        journal[1].records[0].change.target = Target::Destroyed {
            file: "connections-2.jsonl".into(),
            count: 3,
        };
        assert!(journal[1].changed() && !journal[1].is_reversible());
        for of in [live, made] {
            let ids: Vec<u64> = of(&journal).iter().map(|one| one.id).collect();
            assert_eq!(ids, [1]);
        }
    }

    #[test]
    fn a_reset_is_undone_like_any_other_change() {
        let ids = |of: fn(&[Transaction]) -> Vec<&Transaction>, journal: &[Transaction]| {
            let ids: Vec<u64> = of(journal).iter().map(|one| one.id).collect();
            ids
        };
        let mut journal = vec![
            transaction(1, &[], &[(7200, 60)]),
            transaction(2, &[1], &[(60, 7200)]),
        ];
        journal[1].command = "defaults reset".into();
        assert_eq!(ids(live, &journal), [2]);
        assert_eq!(ids(made, &journal), [1, 2]);
        journal.push(transaction(3, &[2], &[(7200, 60)]));
        assert_eq!(ids(live, &journal), [1]);
        assert_eq!(ids(made, &journal), [1]);
    }

    #[test]
    fn a_value_is_told_by_who_set_it() {
        let journal = [
            transaction(1, &[], &[(7200, 120)]),
            transaction(2, &[], &[(120, 180)]),
            transaction(3, &[], &[(180, 240)]),
        ];
        let target = &journal[0].records[0].change.target;
        for (id, now, by) in [
            (1, 240, SetBy::Ours(3)),
            (1, 180, SetBy::Ours(2)),
            (2, 180, SetBy::Other),
            (2, 7200, SetBy::Original),
            (1, 90, SetBy::Other),
        ] {
            let found = set_by(&journal, id, target, &Value::Number(now));
            assert_eq!(found, by, "{id} {now}");
        }
        let other = change(key(2, "a"), Sysctl::Idle, 0, 0).target;
        let found = set_by(&journal, 1, &other, &Value::Number(240));
        assert_eq!(found, SetBy::Other);
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
    fn of_a_file_that_was_edited_in_between_the_lines_of_others_stay() {
        let text = |text: &str| match text {
            "" => Value::Absent,
            text => Value::Text(text.into()),
        };
        for (first, second, expected) in [
            (
                ("", "# ours\nidle\n"),
                ("# ours\nidle\nswap\n", "b"),
                "swap\n",
            ),
            (
                ("", "# ours\nidle\n"),
                ("# ours\nidle 9\n", "b"),
                "idle 9\n",
            ),
            (("", "# ours\nidle\n"), ("idle\n", "b"), ""),
            (("", "# ours\nidle\n"), ("", "b"), ""),
            (("a\nb\n", "a\nidle\n"), ("a\nidle\nc\n", "b"), "a\nc\nb\n"),
            (("a\n", "idle\n"), ("a\n", "b"), "a\n"),
        ] {
            let mut made = transaction(1, &[], &[(0, 0), (0, 0)]);
            for (record, (before, after)) in made.records.iter_mut().zip([first, second]) {
                record.change.target = Target::PersistedFile { path: "p".into() };
                record.change.before = text(before);
                record.change.after = text(after);
            }
            let stands = stands(&[made]);
            assert_eq!(
                stands,
                [(text(expected), text("b"))],
                "{first:?} {second:?}"
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

    /// What the journal says of settings of open connections: while one of them has what was set, the
    /// file's name stands.
    #[test]
    fn connections_and_rules_are_turned_round_like_values() {
        let text = |text: &str| Value::Text(text.into());
        let change = |target, before, after| Change {
            target,
            before,
            after,
            reason: "asked for".into(),
        };
        let connections = |file: &str| {
            let target = Target::Connections {
                file: file.into(),
                count: 3,
            };
            change(target, Value::Absent, text(file))
        };
        let done = connections("connections-1.jsonl");
        let Revert::Change(back) = revert(&done, &done.after, "undo") else {
            panic!("ours");
        };
        assert_eq!((&back.before, &back.after), (&done.after, &Value::Absent));
        assert_eq!(revert(&done, &Value::Absent, "undo"), Revert::Nothing);

        let pins = || Target::Rules {
            pins: "/sys/fs/bpf/sockpulse".into(),
        };
        let changes = [
            done,
            connections("connections-2.jsonl"),
            change(pins(), Value::Absent, text("one")),
            change(pins(), text("one"), text("two")),
        ];
        let mut journal = [transaction(1, &[], &[])];
        journal[0].records = changes
            .into_iter()
            .map(|change| Record {
                change,
                outcome: Some(Ok(())),
            })
            .collect();
        let stands = stands(&journal);
        let expected = [
            (Value::Absent, text("connections-1.jsonl")),
            (Value::Absent, text("connections-2.jsonl")),
            (Value::Absent, text("two")),
        ];
        assert_eq!(stands, expected, "each file for itself, rules as one chain");
    }
}
