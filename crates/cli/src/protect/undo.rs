//! Connections that protect has set, put back as far as the kernel allows.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value as Json, json};
use sockpulse_core::change::{Change, Target, Transaction, UNDO, Undoes};
use sockpulse_core::protect::{FirstProbe, Frozen, Limits, Load, Pace, Step, TakeBack, take_back};
use sockpulse_core::{EffectiveTimers, Observed, Selector};

use super::apply::{self, Setting};
use super::held::Held;
use super::outcome::{Outcome, Refused};
use super::plan::{Planned, Reach, planned};
use super::put_back;
use crate::coverage::{counted, grouped, shown};
use crate::error::{CommandError, Exit};
use crate::journal::Journal;
use crate::journal::connections::{self, Entry};
use crate::machine::Machine;
use crate::options::{SourceChoice, SurveyOptions};
use crate::row::Row;
use crate::sink::ChangeSink;

/// How it is to be done.
pub(crate) struct Wish<'a> {
    /// Only to be seen.
    pub(crate) dry_run: bool,
    /// Overwrite what someone else set since.
    pub(crate) force: bool,
    /// Where the journal is.
    pub(crate) state_dir: &'a Path,
    /// To which cgroup the kernel's programs are attached; the root without.
    pub(crate) cgroup: Option<&'a Path>,
    /// Faults of the kernel that are taken as mended.
    pub(crate) accepted_risks: &'a [String],
}

/// What it came to, in words and as a document.
#[derive(Debug)]
pub(crate) struct Undone {
    pub(crate) said: Vec<String>,
    pub(crate) warned: Vec<String>,
    pub(crate) id: Option<u64>,
    /// Of rules for connections to come.
    pub(crate) rules: Json,
    /// Of open connections.
    pub(crate) document: Json,
    pub(crate) exit: Exit,
}

/// Whether a transaction set connections, or rules for those to come.
pub(crate) fn concerns(transaction: &Transaction) -> bool {
    files(transaction).next().is_some() || rules_change(transaction).is_some()
}

pub(super) fn rules_change(transaction: &Transaction) -> Option<&Change> {
    let mut records = transaction.records.iter();
    let record = records.find(|record| matches!(record.change.target, Target::Rules { .. }))?;
    (!matches!(record.outcome, Some(Err(_)))).then_some(&record.change)
}

fn files(transaction: &Transaction) -> impl Iterator<Item = &str> {
    let made = transaction
        .records
        .iter()
        .filter(|record| !matches!(record.outcome, Some(Err(_))) || transaction.is_undo());
    made.filter_map(|record| match &record.change.target {
        Target::Connections { file, .. } => Some(&**file),
        _ => None,
    })
}

/// Puts back what these transactions, oldest first, did: first the rules, the last change first, then
/// connections that still live.
///
/// # Errors
/// When the journal cannot be read or written, or no connection can be read.
pub(crate) fn run(
    transactions: &[&Transaction],
    wish: &Wish<'_>,
    machine: &Machine,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
) -> Result<Undone, CommandError> {
    let (rules, connections): (Vec<&Transaction>, Vec<_>) = transactions
        .iter()
        .partition(|one| rules_change(one).is_some());
    let mut undone = Undone {
        said: Vec::new(),
        warned: Vec::new(),
        id: None,
        rules: Json::Null,
        document: Json::Null,
        exit: Exit::Done,
    };
    put_back::rules(&rules, wish, sink, stderr, &mut undone)?;
    if !connections.is_empty() {
        let rules = undone.id;
        let after = put_connections_back(&connections, rules, wish, machine, sink, stderr)?;
        undone.said.extend(after.said);
        undone.warned.extend(after.warned);
        undone.id = after.id.or(undone.id);
        undone.document = after.document;
        undone.exit = undone.exit.and(after.exit);
    }
    Ok(undone)
}

/// `rules` is the number of the transaction in which rules were put back before.
fn put_connections_back(
    transactions: &[&Transaction],
    rules: Option<u64>,
    wish: &Wish<'_>,
    machine: &Machine,
    sink: &mut dyn ChangeSink,
    stderr: &mut dyn Write,
) -> Result<Undone, CommandError> {
    let everything = everything(wish.accepted_risks);
    let mut back = Back {
        done: HashMap::new(),
        reach: Reach::of(sink.may_walk(&everything)?),
        force: wish.force,
        gone: 0,
        as_before: 0,
        manual: 0,
        unseen: 0,
        frozen: 0,
        rules,
        planned: Vec::new(),
        load: Load::default(),
        notes: Vec::new(),
    };
    for transaction in transactions {
        for file in files(transaction) {
            back.read(wish.state_dir, file, &sink.boot())?;
        }
    }
    if !back.done.is_empty() {
        (machine.survey)(&everything, &mut |row| {
            back.take(row);
            Ok(())
        })?;
    }
    back.gone += u64::try_from(back.done.len()).unwrap_or(u64::MAX);
    back.planned.sort_by_key(|one| !one.is_listener);
    let pace = Pace::plan(&back.load, sink.hz(), None, &Limits::default());
    let outcome = if wish.dry_run {
        None
    } else {
        Some(back.make(transactions, wish, pace, sink, stderr)?)
    };
    Ok(back.told(outcome.as_ref()))
}

/// Every socket, wherever it is by now.
fn everything(accepted_risks: &[String]) -> SurveyOptions {
    SurveyOptions {
        selector: Selector::default(),
        netns: Vec::new(),
        source: SourceChoice::Auto,
        accepted_risks: accepted_risks.to_vec(),
        detect_within: Duration::from_secs(600),
    }
}

struct Back {
    /// What was done to sockets that were not seen yet, by cookie.
    done: HashMap<u64, Done>,
    reach: Reach,
    force: bool,
    /// They, or their machine's boot, have ended.
    gone: u64,
    /// They have what they had.
    as_before: u64,
    /// Someone else has set them since.
    manual: u64,
    /// Their settings could not be seen, or they could not be reached.
    unseen: u64,
    /// They have values that are the socket's own from now on.
    frozen: u64,
    /// The transaction in which rules were put back before.
    rules: Option<u64>,
    planned: Vec<Planned>,
    load: Load,
    notes: Vec<String>,
}

#[derive(Debug, Clone)]
struct Done {
    before: Held,
    /// What may have been done, the likeliest first: it is not known where a command was killed.
    steps: Vec<Step>,
}

/// Of as many commands as this that were killed each step is tried.
const GUESSES: usize = 64;

impl Done {
    fn then(&mut self, step: &Step, is_certain: bool) {
        let mut steps: Vec<Step> = self.steps.iter().map(|done| over(done, step)).collect();
        if !is_certain {
            steps.append(&mut self.steps);
        }
        steps.dedup();
        steps.truncate(GUESSES);
        self.steps = steps;
    }

    fn take_back(&self, now: &EffectiveTimers) -> TakeBack {
        let before = self.before.timers();
        // That nothing was done is seen by every step.
        let steps = self.steps.iter().filter(|step| !step.is_empty());
        let answers = steps.map(|step| take_back(step, &before, now));
        let mut answers = answers.filter(|answer| *answer != TakeBack::Manual);
        answers.next().unwrap_or(TakeBack::Manual)
    }
}

impl Back {
    /// Takes in what a command's file tells.
    fn read(&mut self, folder: &Path, file: &str, boot: &str) -> Result<(), CommandError> {
        let account = connections::read(folder, file)?;
        self.notes.extend(account.notes);
        for told in account.sockets {
            let half_made = Refused::HalfMade.name();
            let untouched = matches!(&told.outcome, Some(Err(why)) if why != half_made);
            if untouched {
                continue;
            }
            // Cookies are counted anew with every boot.
            if account.boot != boot {
                self.gone += 1;
                continue;
            }
            let Entry {
                cookie,
                before,
                step,
            } = told.entry;
            let is_certain = told.outcome == Some(Ok(()));
            let done = self.done.entry(cookie.0).or_insert(Done {
                before,
                steps: vec![Step::default()],
            });
            done.then(&step, is_certain);
        }
        Ok(())
    }

    fn take(&mut self, row: &Row<'_>) {
        let Some(done) = self.done.remove(&row.connection.id.cookie.0) else {
            return;
        };
        let Observed::Known(now) = row.assessment.effective else {
            self.unseen += 1;
            return;
        };
        let mut answer = done.take_back(&now);
        if answer == TakeBack::Manual
            && self.force
            && let Some(step) = done.steps.first()
        {
            // As if what we set were there.
            answer = done.take_back(&done.before.after(step));
        }
        match answer {
            TakeBack::Nothing => self.as_before += 1,
            TakeBack::Manual => self.manual += 1,
            TakeBack::Step { step, frozen } => {
                if frozen != Frozen::default() {
                    self.frozen += 1;
                }
                match planned(row, step, self.reach) {
                    _ if step.is_empty() => self.as_before += 1,
                    Ok(planned) => {
                        if let Observed::Known(timers) = &row.connection.settings {
                            self.load.add(FirstProbe::of(&step, timers));
                        }
                        self.planned.push(planned);
                    }
                    Err(_) => self.unseen += 1,
                }
            }
        }
    }

    fn make(
        &mut self,
        transactions: &[&Transaction],
        wish: &Wish<'_>,
        pace: Pace,
        sink: &mut dyn ChangeSink,
        stderr: &mut dyn Write,
    ) -> Result<Outcome, CommandError> {
        let ids: Vec<u64> = transactions.iter().map(|one| one.id).collect();
        let (wholly, partly) = if self.manual + self.unseen == 0 {
            (ids.clone(), Vec::new())
        } else {
            (Vec::new(), ids.clone())
        };
        let undoes = Undoes { wholly, partly };
        if self.planned.is_empty() && undoes.wholly.is_empty() {
            return Ok(Outcome::default());
        }
        if self.planned.is_empty() {
            // Nothing of it is left: the next undo goes on to what was changed before.
            let mut journal = Journal::open(wish.state_dir, stderr)?;
            let begun = journal.intend(sink.clock(), UNDO, &undoes, &[])?;
            journal.conclude(begun, sink.clock(), &[])?;
            return Ok(Outcome::default());
        }
        let transaction = apply::Transaction {
            command: UNDO,
            undoes,
            continues: self.rules,
            reason: format!("undo of change {}", words(&ids)),
            sockets: u64::try_from(self.planned.len()).unwrap_or(u64::MAX),
        };
        let mut setting = Setting::begin(sink, self.reach, wish.state_dir, &transaction, stderr)?;
        let timing = apply::Timing {
            spread: pace.spread,
            delay: Duration::MAX,
        };
        let cut_short = setting.make(&self.planned, timing, stderr).err();
        let mut outcome = setting.conclude(stderr)?;
        if let Some(error) = cut_short {
            outcome.notes.push(format!("not all was done: {error}"));
            outcome.is_cut_short = true;
        }
        Ok(outcome)
    }

    fn told(self, outcome: Option<&Outcome>) -> Undone {
        let planned = u64::try_from(self.planned.len()).unwrap_or(u64::MAX);
        let changed = outcome.map(Outcome::changed);
        let mut said = Vec::new();
        match changed {
            None if planned > 0 => {
                said.push(format!("{} would be put back", counted(planned, "socket")));
            }
            Some(changed) if changed > 0 => {
                said.push(format!("{} put back", counted(changed, "socket")));
            }
            _ => said.push("nothing to put back".into()),
        }
        for (count, what) in [
            (self.gone, "closed since"),
            (self.as_before, "as before already"),
        ] {
            if count > 0 {
                said.push(format!("{}: {what}", counted(count, "socket")));
            }
        }
        if self.frozen > 0 {
            said.push(format!(
                "{}: defaults that were followed are set as they were then,",
                counted(self.frozen, "socket")
            ));
            said.push("  since a socket that was set never follows them again".into());
        }
        let id = outcome.and_then(|outcome| outcome.id);
        if let (Some(id), Some(1..)) = (id, changed) {
            said.push(format!("change {id}; taken back by: sockpulse undo {id}"));
        }
        let refused = outcome.map(|outcome| &outcome.refused);
        let left = self.manual + self.unseen;
        let partial = left > 0 || outcome.is_some_and(Outcome::is_partial);
        Undone {
            rules: Json::Null,
            document: json!({
                "to_change": planned,
                "changed": changed,
                "gone": self.gone,
                "as_before": self.as_before,
                "changed_since": self.manual,
                "unseen": self.unseen,
                "no_longer_inherited": self.frozen,
                "refused": refused.map(|refused| {
                    let named = refused.iter().map(|(why, count)| (why.name().to_owned(), (*count).into()));
                    named.collect::<serde_json::Map<String, Json>>()
                }),
            }),
            warned: self.warnings(outcome),
            said,
            id,
            exit: if partial { Exit::Partial } else { Exit::Done },
        }
    }

    fn warnings(&self, outcome: Option<&Outcome>) -> Vec<String> {
        let notes = outcome.map_or(&[][..], |outcome| &outcome.notes);
        let notes = self.notes.iter().chain(notes);
        let mut warned: Vec<_> = notes.map(|note| format!("note: {}", shown(note))).collect();
        if self.manual > 0 {
            warned.push(format!(
                "left: {}: someone else has set them since",
                counted(self.manual, "socket")
            ));
            warned.push("hint: --force overwrites it".into());
        }
        if self.unseen > 0 {
            warned.push(format!(
                "left: {}: could not be seen or reached",
                counted(self.unseen, "socket")
            ));
            warned.push("hint: run as root, or grant CAP_SYS_PTRACE".into());
        }
        for (why, count) in outcome.iter().flat_map(|outcome| &outcome.refused) {
            warned.push(format!("left: {}: {}", grouped(*count), why.why()));
        }
        warned
    }
}

/// Two steps as one.
fn over(first: &Step, then: &Step) -> Step {
    Step {
        keepalive: then.keepalive.or(first.keepalive),
        idle: then.idle.or(first.idle),
        interval: then.interval.or(first.interval),
        probes: then.probes.or(first.probes),
        user_timeout: then.user_timeout.or(first.user_timeout),
    }
}

pub(super) fn words(ids: &[u64]) -> String {
    let ids: Vec<_> = ids.iter().map(u64::to_string).collect();
    ids.join(", ")
}

#[cfg(test)]
mod tests {
    use sockpulse_core::{Effective, KeepIdle, Origin, UserTimeout};

    use super::*;

    fn timers(idle: i64) -> EffectiveTimers {
        let own = |value| Effective {
            value,
            origin: Some(Origin::Socket),
        };
        EffectiveTimers {
            keepalive: true,
            idle: own(idle),
            interval: own(75),
            probes: own(9),
            user_timeout: UserTimeout::OFF,
        }
    }

    fn idle(seconds: u64) -> Step {
        Step {
            idle: KeepIdle::new(seconds).ok(),
            ..Step::default()
        }
    }

    #[test]
    fn what_killed_commands_may_have_done_is_found() {
        let mut done = Done {
            before: Held::of(&timers(30)),
            steps: vec![Step::default()],
        };
        done.then(&idle(101), false);
        done.then(&idle(102), true);
        done.then(&idle(103), false);
        let is_back = |now| match done.take_back(&timers(now)) {
            TakeBack::Step { step, .. } => Some(step == idle(30)),
            TakeBack::Nothing => Some(false),
            TakeBack::Manual => None,
        };
        assert_eq!((is_back(102), is_back(103)), (Some(true), Some(true)));
        assert_eq!(is_back(30), Some(false));
        // One that was set over, and what nobody here has set.
        assert_eq!((is_back(101), is_back(600)), (None, None));
    }
}
