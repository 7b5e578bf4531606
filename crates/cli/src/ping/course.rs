//! The course of asking: everybody of a namespace at once, as fast as the pace allows.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockpulse_core::End;
use sockpulse_core::ping::{Answer, Glance, Gone, Inquiry, Method, Patience, Seen, Step, Why};
use sockpulse_linux::ping::Sent;

use super::pacer::Pacer;
use super::station::{Station, Stations};
use super::subject::Subject;
use crate::error::CommandError;

/// How connections are asked, and what is made of an answer on the spot.
pub(crate) struct Course<'a, T> {
    pub(crate) method: Method,
    /// `None`: nobody is asked, everybody is concluded with.
    pub(crate) patience: Option<Patience>,
    /// Of probes, over all namespaces.
    pub(crate) pacer: &'a Pacer,
    /// Of connections that are begun with, where there is a limit.
    pub(crate) starts: Option<&'a Pacer>,
    pub(crate) stations: &'a dyn Stations,
    /// Set when nobody wants to know any more.
    pub(crate) stop: &'a AtomicBool,
    /// Runs on the thread that is in the namespace, right after the look that settled it.
    pub(crate) conclude: &'a (dyn Fn(&mut dyn Station, &Subject, Answer) -> T + Sync),
}

/// Connections that are looked at in one go.
const BATCH: usize = 256;
/// How long a device's queue that is full is left alone.
const FULL: Duration = Duration::from_millis(1);
/// Nobody who interrupts it waits for longer.
const NAP: Duration = Duration::from_millis(100);

impl<T> Course<'_, T> {
    /// Asks them all, and tells of each when it is settled.
    ///
    /// # Errors
    /// When nothing can be seen any more; those of which nothing was told are not settled.
    pub(crate) fn run(
        &self,
        station: &mut dyn Station,
        subjects: &[Subject],
        told: &mut dyn FnMut(usize, T),
    ) -> Result<(), CommandError> {
        let Some(patience) = self.patience else {
            return self.conclude_all(station, subjects, told);
        };
        let mut run = Run {
            course: self,
            patience,
            station,
            subjects,
            told,
            fresh: 0,
            open: HashMap::new(),
            waiting: BinaryHeap::new(),
            parked: VecDeque::new(),
            by_ends: None,
        };
        while run.is_open() {
            if self.is_stopped() {
                run.interrupt();
                return Ok(());
            }
            run.turn()?;
        }
        Ok(())
    }

    fn conclude_all(
        &self,
        station: &mut dyn Station,
        subjects: &[Subject],
        told: &mut dyn FnMut(usize, T),
    ) -> Result<(), CommandError> {
        for (at, subject) in subjects.iter().enumerate() {
            if self.is_stopped() {
                return Ok(());
            }
            let answer = Answer::unknown(Why::Interrupted);
            told(at, (self.conclude)(station, subject, answer));
        }
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.stations.is_interrupted()
    }
}

/// A connection that is being asked.
struct Open {
    inquiry: Inquiry,
    /// Whether it had to wait for its turn, so that an answer may have come long before it was seen.
    was_parked: bool,
    /// Of the last probe, as ICMP quotes it.
    sequence: u32,
}

/// What to do with a connection that was looked at.
enum Next {
    Send(Glance),
    Look(Duration),
    Settled(Answer),
}

struct Run<'a, T> {
    course: &'a Course<'a, T>,
    patience: Patience,
    station: &'a mut dyn Station,
    subjects: &'a [Subject],
    told: &'a mut dyn FnMut(usize, T),
    /// The first that was not begun with.
    fresh: usize,
    open: HashMap<usize, Open>,
    /// When to look at whom again.
    waiting: BinaryHeap<Reverse<(Duration, usize)>>,
    /// They want to send, and wait for their turn.
    parked: VecDeque<usize>,
    /// Whose probe ICMP speaks of; made when it is needed first.
    by_ends: Option<HashMap<(End, End), usize>>,
}

/// Who is looked at, and whether the right to send was taken for it.
type Turn = (usize, Right);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Right {
    Taken,
    None,
}

impl<T> Run<'_, T> {
    fn is_open(&self) -> bool {
        self.fresh < self.subjects.len() || !self.open.is_empty()
    }

    /// Looks once at whoever is due, and does what follows from that.
    fn turn(&mut self) -> Result<(), CommandError> {
        self.hear();
        let now = self.station.now();
        let batch = self.due(now);
        if batch.is_empty() {
            let until = self.next_turn(now).min(now + NAP);
            self.station.wait(until);
            return Ok(());
        }
        let whom: Vec<&Subject> = batch.iter().map(|(at, _)| &self.subjects[*at]).collect();
        let mut seen = Vec::with_capacity(whom.len());
        self.station.look(&whom, &mut seen)?;
        let now = self.station.now();
        for ((at, right), seen) in batch.into_iter().zip(seen) {
            self.advance(at, now, seen, right);
        }
        Ok(())
    }

    /// Answers that may have come, and those who may send: new ones before others, so that the living
    /// are known soon.
    fn due(&mut self, now: Duration) -> Vec<Turn> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Some(Reverse((at, who))) = self.waiting.peek().copied()
            && at <= now
        {
            self.waiting.pop();
            batch.push((who, Right::None));
        }
        let mut left = self.subjects.len() - self.fresh;
        if let Some(starts) = self.course.starts {
            left = starts.take(now, left);
        }
        let wanted = (BATCH - batch.len()).min(left + self.parked.len());
        let rights = self.course.pacer.take(now, wanted);
        let begun = left.min(rights);
        if let Some(starts) = self.course.starts {
            starts.give_back(left - begun);
        }
        batch.extend((self.fresh..self.fresh + begun).map(|at| (at, Right::Taken)));
        self.fresh += begun;
        let others = self.parked.drain(..rights - begun);
        batch.extend(others.map(|at| (at, Right::Taken)));
        batch
    }

    fn next_turn(&self, now: Duration) -> Duration {
        let mut next = Duration::MAX;
        if let Some(Reverse((at, _))) = self.waiting.peek() {
            next = *at;
        }
        let is_fresh = self.fresh < self.subjects.len();
        if is_fresh || !self.parked.is_empty() {
            let mut turn = self.course.pacer.due();
            if let Some(starts) = self.course.starts.filter(|_| self.parked.is_empty()) {
                turn = turn.max(starts.due());
            }
            next = next.min(turn);
        }
        next.max(now)
    }

    fn advance(&mut self, at: usize, now: Duration, seen: Result<Seen, Why>, right: Right) {
        let step = match seen {
            Ok(seen) => self.next(at, now, seen),
            Err(why) => Next::Settled(self.because(at, why)),
        };
        if let Next::Send(glance) = step {
            // Who was not begun with goes first.
            let is_free = self.fresh == self.subjects.len() && self.parked.is_empty();
            if right == Right::Taken || (is_free && self.course.pacer.take(now, 1) == 1) {
                return self.send(at, &glance);
            }
            if let Some(open) = self.open.get_mut(&at) {
                open.was_parked = true;
            }
            self.parked.push_back(at);
            return;
        }
        if right == Right::Taken {
            self.course.pacer.give_back(1);
        }
        match step {
            Next::Look(when) => self.waiting.push(Reverse((when, at))),
            Next::Settled(answer) => self.settle(at, answer),
            Next::Send(_) => {}
        }
    }

    /// What follows from what was seen.
    fn next(&mut self, at: usize, now: Duration, seen: Seen) -> Next {
        if let Seen::Glance(first) = &seen
            && !self.open.contains_key(&at)
        {
            let inquiry = Inquiry::new(self.course.method, self.patience, first);
            let open = Open {
                inquiry,
                was_parked: false,
                sequence: 0,
            };
            self.open.insert(at, open);
        }
        let ended = |gone| {
            Next::Settled(Answer {
                gone: Some(gone),
                ..Answer::unknown(Why::Ended(gone))
            })
        };
        let Some(open) = self.open.get_mut(&at) else {
            // It ended before it could be begun with.
            return match seen {
                Seen::Gone(gone) => ended(gone),
                Seen::Glance(_) => ended(Gone::Unknown),
            };
        };
        match (open.inquiry.next(now, seen), seen) {
            (Step::Send, Seen::Glance(glance)) => Next::Send(glance),
            (Step::Send, Seen::Gone(gone)) => ended(gone),
            (Step::Look { at }, _) => Next::Look(at),
            (Step::Done(answer), _) => Next::Settled(Answer {
                rtt: answer.rtt.filter(|_| !open.was_parked),
                ..answer
            }),
        }
    }

    fn send(&mut self, at: usize, glance: &Glance) {
        // The answer may be there before the call returns.
        let now = self.station.now();
        let sent = self.station.send(&self.subjects[at], glance);
        match (sent, self.open.get_mut(&at)) {
            (Ok(Sent::Left), Some(open)) => {
                open.inquiry.sent(now);
                open.was_parked = false;
                open.sequence = glance.snd_una.wrapping_sub(1);
                self.waiting.push(Reverse((now, at)));
            }
            (Ok(_), _) => {
                self.course.pacer.give_back(1);
                self.waiting.push(Reverse((now + FULL, at)));
            }
            (Err(why), _) => {
                let answer = self.because(at, why);
                self.settle(at, answer);
            }
        }
    }

    fn settle(&mut self, at: usize, answer: Answer) {
        self.open.remove(&at);
        let told = (self.course.conclude)(self.station, &self.subjects[at], answer);
        (self.told)(at, told);
    }

    fn because(&self, at: usize, why: Why) -> Answer {
        let open = self.open.get(&at);
        open.map_or(Answer::unknown(why), |open| open.inquiry.because(why))
    }

    fn interrupt(&mut self) {
        let mut left: Vec<usize> = self.open.keys().copied().collect();
        left.sort_unstable();
        left.extend(self.fresh..self.subjects.len());
        self.fresh = self.subjects.len();
        for at in left {
            let answer = self.because(at, Why::Interrupted);
            self.settle(at, answer);
        }
    }

    fn hear(&mut self) {
        while let Some(one) = self.station.hear() {
            let by_ends = self.by_ends.get_or_insert_with(|| {
                let all = self.subjects.iter().enumerate();
                all.map(|(at, subject)| ((bare(subject.id.local), bare(subject.id.remote)), at))
                    .collect()
            });
            let at = by_ends.get(&(one.local, one.remote));
            let open = at.and_then(|at| self.open.get_mut(at));
            // Other traffic of the connection may be unwelcome for reasons of its own.
            if let Some(open) = open.filter(|open| open.sequence == one.seq) {
                open.inquiry.hear(one.unreachable);
            }
        }
    }
}

/// As it stands in a packet.
fn bare(end: End) -> End {
    End {
        addr: end.addr.to_canonical(),
        port: end.port,
    }
}
