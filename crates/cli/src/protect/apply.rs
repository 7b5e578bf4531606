//! The plan, carried out: written into the journal, set, read back, concluded.

mod schedule;
mod walking;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use sockpulse_core::change::{Change, Target, UNDO, Undoes, Value};
use sockpulse_core::detection::idle as noticed;
use sockpulse_core::protect::Effect;
use sockpulse_core::{Comm, Hz, Process, Unseen, human};
use sockpulse_linux::set::{Expected, NotSet};

use super::outcome::{Outcome, Refused};
use super::plan::{Plan, Planned, Reach, Way};
use crate::coverage::counted;
use crate::error::{CommandError, ErrorKind};
use crate::journal::connections::{self, Connections, Entry};
use crate::journal::{Begun, Journal};
use crate::sink::ChangeSink;
use schedule::{Schedule, wait_until};

/// A command that sets sockets, with its transaction.
pub(super) struct Setting<'a> {
    sink: &'a mut dyn ChangeSink,
    state_dir: &'a Path,
    begun: Begun,
    file: Connections,
    reach: Reach,
    hz: Option<Hz>,
    outcome: Outcome,
    is_undo: bool,
    /// Sockets that were left, by cookie: one that is set at a later try is none any more.
    left: HashMap<u64, Refused>,
    /// Sockets that were set and counted, and of which more is to be set.
    counted: HashSet<u64>,
}

/// Over what time, and how long ago the sockets may have been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    pub(super) spread: Duration,
    /// What was reckoned with when the silence was judged.
    pub(super) delay: Duration,
}

/// What is to be written into the journal.
pub(super) struct Transaction<'a> {
    pub(super) command: &'a str,
    pub(super) undoes: Undoes,
    /// What the same command did before, which is undone together with it.
    pub(super) continues: Option<u64>,
    pub(super) reason: String,
    /// Sockets that are planned so far.
    pub(super) sockets: u64,
}

impl<'a> Setting<'a> {
    /// Writes the intent.
    ///
    /// # Errors
    /// When the journal cannot be written: then nothing is set.
    pub(super) fn begin(
        sink: &'a mut dyn ChangeSink,
        reach: Reach,
        state_dir: &'a Path,
        transaction: &Transaction<'_>,
        stderr: &mut dyn Write,
    ) -> Result<Self, CommandError> {
        let mut journal = Journal::open(state_dir, stderr)?;
        let name = connections::next_name(&journal);
        let change = Change {
            target: Target::Connections {
                file: name.clone(),
                count: transaction.sockets,
            },
            before: Value::Absent,
            after: Value::Text(name.clone()),
            reason: transaction.reason.clone(),
        };
        let begun = journal.continue_with(
            transaction.continues,
            sink.clock(),
            transaction.command,
            &transaction.undoes,
            &[change],
        )?;
        let file = match Connections::create(state_dir, &name, begun.id, &sink.boot()) {
            Ok(file) => file,
            Err(error) => {
                // That nothing was set is told, if it can be.
                let nothing = [Err("left, since its file could not be written".to_owned())];
                let _ = journal.conclude(begun, sink.clock(), &nothing);
                return Err(error);
            }
        };
        let outcome = Outcome {
            id: Some(begun.id),
            notes: journal.past.notes.clone(),
            ..Outcome::default()
        };
        let hz = sink.hz();
        // Setting may take minutes: the journal is not held meanwhile, only the file of this command.
        Ok(Self {
            sink,
            state_dir,
            begun,
            file,
            reach,
            hz,
            outcome,
            is_undo: transaction.command == UNDO,
            left: HashMap::new(),
            counted: HashSet::new(),
        })
    }

    /// Sets everything that is planned: listeners at once, connections over the time.
    ///
    /// # Errors
    /// When the journal cannot be written: what is not in it is not set.
    pub(super) fn make(
        &mut self,
        planned: &[Planned],
        timing: Timing,
        stderr: &mut dyn Write,
    ) -> Result<(), CommandError> {
        let listeners = planned.partition_point(|one| one.is_listener);
        let connections = planned.len() - listeners;
        if connections > 1 && timing.spread > Duration::from_secs(1) {
            // There is nowhere to say that stderr is closed.
            let _ = writeln!(
                stderr,
                "setting {} over {} (change {})",
                counted(connections.try_into().unwrap_or(u64::MAX), "connection"),
                human(Duration::from_secs(timing.spread.as_secs())),
                self.begun.id
            );
        }
        if timing.spread.is_zero() {
            return self.paced(planned, timing);
        }
        let (first, rest) = planned.split_at(listeners);
        let at_once = Timing {
            spread: Duration::ZERO,
            ..timing
        };
        self.paced(first, at_once)?;
        self.paced(rest, timing)
    }

    fn paced(&mut self, planned: &[Planned], timing: Timing) -> Result<(), CommandError> {
        match self.reach {
            Reach::All if !planned.is_empty() => self.walk(planned, timing),
            _ => self.one_by_one(planned, timing),
        }
    }

    /// Sets sockets through processes that hold them.
    fn one_by_one(&mut self, planned: &[Planned], timing: Timing) -> Result<(), CommandError> {
        let started = Instant::now();
        let schedule = Schedule::new(planned.len(), timing.spread);
        let mut at = 0;
        while at < planned.len() {
            let batch = schedule.batch(at, started.elapsed());
            at = batch.end;
            self.batch(&planned[batch.clone()], timing.delay, |nth| {
                wait_until(started + schedule.due(batch.start + nth));
            })?;
        }
        Ok(())
    }

    fn batch(
        &mut self,
        planned: &[Planned],
        delay: Duration,
        wait: impl Fn(usize),
    ) -> Result<(), CommandError> {
        let first = self.file.next();
        self.intend(planned)?;
        let mut left = BTreeMap::new();
        for (nth, one) in planned.iter().enumerate() {
            wait(nth);
            match set(self.sink, one, delay) {
                Ok(()) => self.done(one),
                Err(why) => {
                    let refused = Refused::of(&why);
                    left.insert(first + nth, refused.name().to_owned());
                    self.left.insert(one.id.cookie.0, refused);
                    self.outcome.fail(&why);
                }
            }
        }
        self.file.conclude(self.file.next(), &left)
    }

    fn intend(&mut self, planned: &[Planned]) -> Result<(), CommandError> {
        self.file.intend(planned.iter().map(|one| {
            let entry = Entry {
                cookie: one.id.cookie,
                before: one.before,
                step: one.step,
            };
            (&one.id, one.way.map(|way| way.pid), entry)
        }))
    }

    fn done(&mut self, one: &Planned) {
        self.left.remove(&one.id.cookie.0);
        let is_counted = self.counted.contains(&one.id.cookie.0);
        let after = noticed(&one.before.after(&one.step), self.hz);
        match (one.is_listener, is_counted) {
            (true, true) => {}
            (true, false) => self.outcome.listeners += 1,
            (false, true) => self.outcome.effect.further(after),
            (false, false) => {
                self.outcome.connections += 1;
                self.outcome.effect.add(&Effect {
                    before: noticed(&one.before.timers(), self.hz),
                    after,
                });
            }
        }
    }

    /// Before `next` is set: some of it may be among what was set before, as where a user timeout had no
    /// room until keepalive was on.
    fn count_once(&mut self, before: &[u64], next: &[Planned]) {
        let next: HashSet<u64> = next.iter().map(|one| one.id.cookie.0).collect();
        let set = before.iter().filter(|cookie| next.contains(cookie));
        let set = set.filter(|cookie| !self.left.contains_key(cookie));
        self.counted.extend(set);
    }

    /// Sockets that another try would not help.
    pub(super) fn given_up(&self) -> HashSet<u64> {
        let hopeless = self.left.iter().filter(|(_, why)| !why.may_be_retried());
        hopeless.map(|(cookie, _)| *cookie).collect()
    }

    /// How many were set so far.
    pub(super) const fn changed(&self) -> u64 {
        self.outcome.changed()
    }

    /// Writes what became of it.
    ///
    /// # Errors
    /// When nothing was set for lack of a right.
    pub(super) fn conclude(mut self, stderr: &mut dyn Write) -> Result<Outcome, CommandError> {
        for why in self.left.values() {
            *self.outcome.refused.entry(*why).or_default() += 1;
        }
        let mut missing = self.outcome.refused.keys();
        let sum = match missing.find(|why| **why != Refused::Vanished) {
            // An undoing that left something is to be tried again.
            Some(why) if self.is_undo => Err(why.name().to_owned()),
            Some(why) if self.outcome.changed() == 0 && !self.is_half_made() => {
                Err(why.name().to_owned())
            }
            _ => Ok(()),
        };
        let denied = self.outcome.changed() == 0
            && self.outcome.refused.contains_key(&Refused::NotPermitted);
        let clock = self.sink.clock();
        let concluded = Journal::open(self.state_dir, stderr)
            .and_then(|mut journal| journal.conclude(self.begun, clock, &[sum]));
        if let Err(error) = concluded {
            let note = format!("what was set stands, but the journal does not say so: {error}");
            self.outcome.notes.push(note);
        }
        if denied {
            let message = format!(
                "failed to set {}: {}",
                counted(self.left.len().try_into().unwrap_or(u64::MAX), "socket"),
                Refused::NotPermitted.why()
            );
            return Err(CommandError::new(ErrorKind::NotPermitted, message)
                .hint("run as root, or grant CAP_SYS_PTRACE"));
        }
        Ok(self.outcome)
    }

    fn is_half_made(&self) -> bool {
        self.outcome.refused.contains_key(&Refused::HalfMade)
    }
}

/// How often it is looked whether something came, or changed, while the first ones were set.
const PASSES: usize = 3;

/// Carries a plan out, and what `again` plans afterwards, until that is nothing.
///
/// # Errors
/// When the journal cannot be written, or nothing could be set.
pub(super) fn all(
    mut setting: Setting<'_>,
    plan: &mut Plan,
    stderr: &mut dyn Write,
    mut again: impl FnMut(&HashSet<u64>) -> Result<Plan, CommandError>,
) -> Result<Outcome, CommandError> {
    let mut failed = setting.make(&plan.planned, timing(plan), stderr).err();
    let first = setting.changed();
    let cookies =
        |planned: &[Planned]| -> Vec<u64> { planned.iter().map(|one| one.id.cookie.0).collect() };
    let mut tried = cookies(&plan.planned);
    for _ in 1..PASSES {
        if failed.is_some() {
            break;
        }
        match again(&setting.given_up()) {
            Ok(mut next) => {
                // What remains out of reach is what the last look says.
                plan.counts.skipped = std::mem::take(&mut next.counts.skipped);
                plan.counts.withheld = std::mem::take(&mut next.counts.withheld);
                plan.surveyed = std::mem::take(&mut next.surveyed);
                if next.planned.is_empty() {
                    break;
                }
                setting.count_once(&tried, &next.planned);
                tried.extend(cookies(&next.planned));
                failed = setting.make(&next.planned, timing(&next), stderr).err();
            }
            Err(error) => failed = Some(error),
        }
    }
    setting.outcome.meanwhile = setting.changed() - first;
    let mut outcome = setting.conclude(stderr)?;
    if let Some(error) = failed {
        if outcome.changed() == 0 {
            return Err(error);
        }
        outcome.notes.push(format!("not all was done: {error}"));
        outcome.is_cut_short = true;
    }
    Ok(outcome)
}

const fn timing(plan: &Plan) -> Timing {
    Timing {
        spread: plan.pace.spread,
        delay: plan.delay,
    }
}

/// Through one of the processes that hold it.
fn set(sink: &mut dyn ChangeSink, one: &Planned, delay: Duration) -> Result<(), NotSet> {
    let expected = Expected {
        timers: one.before.timers(),
        silence: one.silence(delay),
    };
    let mut try_through = |way: Way| {
        let process = Process {
            pid: way.pid,
            fd: way.fd,
            comm: Comm::new(b""),
        };
        let set = sink.set_socket(process, one.id.cookie, &expected, &one.step);
        set.map(|_| ())
    };
    let gone = Err(NotSet::Unreached(Unseen::Vanished));
    let mut outcome = one.way.map_or(gone, &mut try_through);
    for way in one.others.iter().flatten() {
        match outcome {
            // Through another one it may be reached.
            Err(NotSet::Unreached(Unseen::NotPermitted | Unseen::Vanished)) => {
                outcome = try_through(*way);
            }
            _ => break,
        }
    }
    outcome
}
