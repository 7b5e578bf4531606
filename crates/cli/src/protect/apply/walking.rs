//! Sockets set by a walk through the kernel's own table of them.
//!
//! In which order a walk comes by is not known before, so that all of them are written into the journal
//! first. Of a command that is killed meanwhile each socket has to be looked at.

use std::collections::BTreeMap;
use std::time::Instant;

use sockpulse_bpf::{Order, Walk};
use sockpulse_linux::set::NotSet;

use super::schedule::{BATCH, Schedule, wait_until};
use super::{Refused, Setting, Timing};
use crate::error::CommandError;
use crate::protect::plan::Planned;
use crate::walk::Pacer;

impl Setting<'_> {
    /// Sets sockets wherever they are. What the walk does not meet is tried through its processes: it
    /// was closed, or is in a namespace that cannot be entered.
    pub(super) fn walk(&mut self, planned: &[Planned], timing: Timing) -> Result<(), CommandError> {
        let first = self.file.next();
        for batch in planned.chunks(BATCH) {
            self.intend(batch)?;
        }
        let mut namespaces = BTreeMap::new();
        for one in planned {
            *namespaces.entry(one.id.netns).or_default() += 1;
        }
        let mut orders = planned.iter().map(|one| Order {
            cookie: one.id.cookie,
            before: one.before.timers(),
            silence: one.silence(timing.delay),
            step: one.step,
        });
        let mut account = Account::new(Schedule::new(planned.len(), timing.spread), planned.len());
        let end = self.sink.walk(&mut orders, &namespaces, &mut account);
        if let Some(why) = &account.failure {
            self.outcome.fail(why);
        }
        if end.is_err() {
            // What was set since the last answer is not known: the journal claims nothing.
            for (one, _) in planned
                .iter()
                .zip(&account.answers)
                .filter(|(_, answer)| **answer == Answer::Set)
            {
                self.done(one);
            }
            return end;
        }
        let unmet = self.conclude_walk(first, planned, &account.answers)?;
        let part = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let timing = Timing {
            spread: timing
                .spread
                .mul_f64(part(unmet.len()) / part(planned.len())),
            ..timing
        };
        self.one_by_one(&unmet, timing)
    }

    /// Writes what came of it, and returns what is to be tried in another way.
    fn conclude_walk(
        &mut self,
        first: usize,
        planned: &[Planned],
        answers: &[Answer],
    ) -> Result<Vec<Planned>, CommandError> {
        let mut unmet = Vec::new();
        let mut number = first;
        for (planned, answers) in planned.chunks(BATCH).zip(answers.chunks(BATCH)) {
            let mut left = BTreeMap::new();
            for (one, answer) in planned.iter().zip(answers) {
                let refused = match answer {
                    Answer::Set => None,
                    Answer::Left(why) => Some(*why),
                    Answer::Unmet => Some(Refused::Vanished),
                };
                match refused {
                    None => self.done(one),
                    Some(why) => {
                        left.insert(number, why.name().to_owned());
                        self.left.insert(one.id.cookie.0, why);
                    }
                }
                if *answer == Answer::Unmet && one.way.is_some() {
                    unmet.push(one.clone());
                }
                number += 1;
            }
            self.file.conclude(number, &left)?;
        }
        Ok(unmet)
    }
}

/// What became of one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Unmet,
    Set,
    Left(Refused),
}

/// What is told on the way.
struct Account {
    schedule: Schedule,
    started: Instant,
    /// How many have answered.
    told: usize,
    answers: Vec<Answer>,
    /// The first refusal of the kernel's.
    failure: Option<NotSet>,
}

impl Account {
    fn new(schedule: Schedule, count: usize) -> Self {
        Self {
            schedule,
            started: Instant::now(),
            told: 0,
            answers: vec![Answer::Unmet; count],
            failure: None,
        }
    }
}

impl Pacer for Account {
    fn turn(&mut self) -> usize {
        wait_until(self.started + self.schedule.due(self.told));
        let now = self.started.elapsed();
        self.schedule.ready(self.told, Walk::MOST, now)
    }

    fn told(&mut self, number: usize, result: Result<(), NotSet>) {
        self.told += 1;
        let Some(answer) = self.answers.get_mut(number) else {
            return;
        };
        *answer = match &result {
            Ok(()) => Answer::Set,
            Err(why) => Answer::Left(Refused::of(why)),
        };
        if let Err(why @ (NotSet::Failed(_) | NotSet::HalfMade(_))) = result {
            self.failure.get_or_insert(why);
        }
    }
}
