//! Asking in every network namespace side by side.

use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::Builder;
use std::time::Duration;

use sockpulse_core::ping::{Answer, Why};
use sockpulse_core::{Gap, NetnsId};

use super::course::Course;
use super::station::{NotThere, Station};
use super::subject::Subject;
use crate::error::CommandError;

/// What comes of asking, one after the other.
#[derive(Debug)]
pub(crate) enum Told<T> {
    /// The subject of this number is settled.
    Settled(usize, T),
    /// Some cannot be asked.
    Gap(Gap),
    /// Nothing new for a while.
    Tick,
}

/// How often is said that nothing is new.
const TICK: Duration = Duration::from_millis(100);

/// Sorts connections as [`all()`] needs them.
pub(crate) fn sort(subjects: &mut [Subject]) {
    subjects.sort_by_key(|subject| subject.id.netns);
}

/// Asks all connections, sorted by namespace, each namespace on a thread of its own.
///
/// # Errors
/// When whoever is told fails: then the rest is not asked.
pub(crate) fn all<T: Send>(
    course: &Course<'_, T>,
    unasked: &(dyn Fn(&Subject, Why) -> T + Sync),
    subjects: &[Subject],
    told: &mut dyn FnMut(Told<T>) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    std::thread::scope(|scope| {
        let (to, from) = channel();
        let mut first = 0;
        for group in subjects.chunk_by(|one, next| one.id.netns == next.id.netns) {
            let post = Post {
                course,
                unasked,
                group,
                first,
                to: to.clone(),
            };
            first += group.len();
            let builder = Builder::new().name("ask".into());
            let to = to.clone();
            if let Err(error) = builder.spawn_scoped(scope, move || post.work()) {
                let _ = to.send(Told::Gap(gap(group, error.to_string(), None)));
                for (at, subject) in (first - group.len()..first).zip(group) {
                    let _ = to.send(Told::Settled(at, unasked(subject, Why::NotEntered)));
                }
            }
        }
        drop(to);
        let result = loop {
            let result = match from.recv_timeout(TICK) {
                Ok(one) => told(one),
                Err(RecvTimeoutError::Timeout) => told(Told::Tick),
                Err(RecvTimeoutError::Disconnected) => break Ok(()),
            };
            if result.is_err() {
                break result;
            }
        };
        course.stop.store(true, Ordering::Relaxed);
        result
    })
}

/// The work in one namespace.
struct Post<'a, T> {
    course: &'a Course<'a, T>,
    unasked: &'a (dyn Fn(&Subject, Why) -> T + Sync),
    group: &'a [Subject],
    /// The number of the group's first.
    first: usize,
    to: Sender<Told<T>>,
}

impl<T: Send> Post<'_, T> {
    fn work(self) {
        let Some(netns) = self.group.first().map(|subject| subject.id.netns) else {
            return;
        };
        let mut settled = vec![false; self.group.len()];
        let result = self.ask(netns, &mut settled);
        let Err(NotThere {
            why,
            reason,
            remedy,
        }) = result
        else {
            return;
        };
        let gap = gap(self.group, reason, remedy);
        let _ = self.to.send(Told::Gap(gap));
        let left = settled.iter().enumerate().filter(|(_, settled)| !**settled);
        for (at, _) in left {
            let told = (self.unasked)(&self.group[at], why);
            let _ = self.to.send(Told::Settled(self.first + at, told));
        }
    }

    fn ask(&self, netns: NetnsId, settled: &mut [bool]) -> Result<(), NotThere> {
        let mut broken = None;
        let mut work = |station: &mut dyn Station| {
            let mut told = |at: usize, one: T| {
                settled[at] = true;
                // When nobody listens any more the course is stopped.
                let _ = self.to.send(Told::Settled(self.first + at, one));
            };
            broken = self.course.run(station, self.group, &mut told).err();
        };
        self.course.stations.at(netns, &mut work)?;
        match broken {
            None => Ok(()),
            Some(error) => Err(NotThere {
                why: Why::Interrupted,
                reason: error.to_string(),
                remedy: error.hints().first().cloned(),
            }),
        }
    }
}

fn gap(group: &[Subject], why: String, remedy: Option<String>) -> Gap {
    let netns = group.first().map_or(0, |subject| subject.id.netns.0);
    Gap {
        what: format!("the peers of network namespace {netns}"),
        why,
        remedy,
    }
}

/// For a course that only wants answers.
pub(crate) fn unasked(_: &Subject, why: Why) -> Answer {
    Answer::unknown(why)
}
