//! What happens, step by step, to a connection whose peer vanished without a word.

use alloc::vec::Vec;
use core::time::Duration;

use super::bounds::vanished;
use super::simulation::{Event, Run, Simulation, Start, Vanished};
use super::{Cause, Errno, Lateness, Sent, Setup};

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// Not before this.
    pub earliest: Duration,
    /// By the settings, if timers were exact.
    pub by_settings: Duration,
    /// Not after this, however late the timer wheel is.
    pub latest: Duration,
}

impl Window {
    /// One moment.
    #[must_use]
    pub const fn at(moment: Duration) -> Self {
        Self {
            earliest: moment,
            by_settings: moment,
            latest: moment,
        }
    }

    /// What covers both, by this one's settings.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            earliest: self.earliest.min(other.earliest),
            by_settings: self.by_settings,
            latest: self.latest.max(other.latest),
        }
    }

    /// Whether a moment lies inside.
    #[must_use]
    pub fn contains(&self, moment: Duration) -> bool {
        self.earliest <= moment && moment <= self.latest
    }
}

/// One step, or several alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    /// When it happens; of several, the first.
    pub at: Window,
    /// What happens; of several, the first.
    pub event: Event,
    /// How many alike are told by this step.
    pub times: u32,
    /// When the last of them happens; the same as `at` for one.
    pub until: Window,
}

impl Step {
    const fn one(event: Event, at: Window) -> Self {
        Self {
            at,
            event,
            times: 1,
            until: at,
        }
    }
}

/// What happens to a connection whose peer vanished at time zero. The last step is its end; without
/// one the connection stays for ever. Long rows of probes are told as a few steps.
#[must_use]
pub fn timeline(setup: &Setup, start: Start) -> Vec<Step> {
    let (soonest, usual) = match start {
        // Traffic ended, or a probe was answered: nobody can tell, so the window covers both.
        Start::Idle | Start::Answered => (Start::Idle, Start::Answered),
        other => (other, other),
    };
    let without_tail_loss_probe = Setup {
        tail_loss_probe: None,
        ..setup.clone()
    };
    let run = |start, lateness| {
        let setup = &without_tail_loss_probe;
        Simulation::run_briefly(setup, start, lateness, Vanished, MOST_EVENTS)
    };
    let soonest = run(soonest, Lateness::None);
    let exact = run(usual, Lateness::None);
    let latest = run(usual, Lateness::Most);
    let mut steps = steps(setup, start, [&soonest, &exact, &latest]);
    if exact.end.is_none() {
        add_what_was_cut_off(setup, start, &mut steps);
    }
    condense(&steps)
}

/// Enough for every row that grows; behind it, all waits are alike.
const MOST_EVENTS: usize = 1_000;

fn steps(setup: &Setup, start: Start, runs: [&Run; 3]) -> Vec<Step> {
    let [soonest, exact, latest] = runs.map(|run| -> Vec<(Duration, Event)> {
        let shown = |(_, event): &(Duration, Event)| *event != Event::Rearmed;
        run.events.iter().copied().filter(shown).collect()
    });
    let put_off = put_off_by_tail_loss_probe(setup, start);
    let mut steps: Vec<Step> = Vec::new();
    for (index, (at, event)) in exact.iter().enumerate() {
        let same = |other: &Vec<(Duration, Event)>| {
            let found = other.get(index).filter(|(_, seen)| seen == event);
            found.map_or(*at, |(at, _)| *at)
        };
        let put_off = match event {
            Event::Sent(Sent::Data | Sent::Fin { count: 0 }) => Duration::ZERO,
            _ => put_off,
        };
        steps.push(Step::one(
            *event,
            Window {
                earliest: same(&soonest).min(*at),
                by_settings: *at,
                latest: same(&latest).saturating_add(put_off),
            },
        ));
    }
    if runs[1].end.is_some()
        && let (Some(end), Some(formula)) = (steps.last_mut(), vanished(setup, start))
    {
        *end = Step::one(end.event, formula);
    }
    steps
}

/// A tail loss probe puts off everything behind the data by at most one timeout.
fn put_off_by_tail_loss_probe(setup: &Setup, start: Start) -> Duration {
    match start {
        Start::DataInFlight | Start::Closing => {
            let rto = setup.rto.min(setup.defaults.rto_max);
            setup.hz.map_or(rto, |hz| hz.latest(rto))
        }
        _ => Duration::ZERO,
    }
}

/// Alike steps go on until the end that the closed formula knows.
fn add_what_was_cut_off(setup: &Setup, start: Start, steps: &mut Vec<Step>) {
    let (Some(end), [.., before, last]) = (vanished(setup, start), steps.as_slice()) else {
        return;
    };
    let (before, last) = (*before, *last);
    let wait = |of: fn(&Window) -> Duration| of(&last.at).saturating_sub(of(&before.at));
    let step = wait(|at| at.by_settings).as_nanos().max(1);
    let left = end.by_settings.saturating_sub(last.at.by_settings);
    let more = u32::try_from(left.as_nanos().div_ceil(step).saturating_sub(1)).unwrap_or(u32::MAX);
    let later = |times: u32| {
        let add = |of: fn(&Window) -> Duration| {
            of(&last.at).saturating_add(wait(of).saturating_mul(times))
        };
        Window {
            earliest: add(|at| at.earliest),
            by_settings: add(|at| at.by_settings),
            latest: add(|at| at.latest),
        }
    };
    if more > 1 {
        steps.push(Step {
            at: later(1),
            event: counted_on(last.event, 1),
            times: more - 1,
            until: later(more - 1),
        });
    }
    if more > 0 {
        steps.push(Step::one(counted_on(last.event, more), later(more)));
    }
    steps.push(Step::one(
        Event::GivenUp {
            errno: (start != Start::Closing).then_some(Errno::TimedOut),
            cause: Cause::UserTimeout,
        },
        end,
    ));
}

/// The event that many alike ones later.
fn counted_on(event: Event, more: u32) -> Event {
    let Event::Sent(sent) = event else {
        return event;
    };
    Event::Sent(match sent {
        Sent::Probe { unanswered } => Sent::Probe {
            unanswered: unanswered.saturating_add(more),
        },
        Sent::WindowProbe { unanswered } => Sent::WindowProbe {
            unanswered: unanswered.saturating_add(more),
        },
        Sent::Retransmission { count } => Sent::Retransmission {
            count: count.saturating_add(more),
        },
        Sent::Fin { count } => Sent::Fin {
            count: count.saturating_add(more),
        },
        other => other,
    })
}

/// A row of more than this many alike steps is shortened to its first ones and its last one.
const ROW: usize = 8;
const SHOWN: usize = 3;

fn condense(steps: &[Step]) -> Vec<Step> {
    let mut shown = Vec::new();
    let alike = |one: &Step, other: &Step| kind(one.event) == kind(other.event);
    for row in steps.chunk_by(alike) {
        let middle = row.get(SHOWN..row.len() - 1).filter(|_| row.len() > ROW);
        match (middle, row) {
            (Some([first, between @ .., last]), [.., end]) => {
                shown.extend_from_slice(&row[..SHOWN]);
                let times = between.iter().map(|step| step.times);
                shown.push(Step {
                    until: last.until,
                    times: times.fold(first.times.saturating_add(last.times), u32::saturating_add),
                    ..*first
                });
                shown.push(*end);
            }
            _ => shown.extend_from_slice(row),
        }
    }
    shown
}

fn kind(event: Event) -> u8 {
    match event {
        Event::Sent(Sent::Probe { .. }) => 1,
        Event::Sent(Sent::Retransmission { .. }) => 2,
        Event::Sent(Sent::WindowProbe { .. }) => 3,
        Event::Sent(Sent::Syn { .. }) => 4,
        Event::Sent(Sent::SynAck { .. }) => 5,
        Event::Sent(Sent::Fin { .. }) => 6,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::tests::setup;
    use super::*;

    const ALL: [Start; 8] = [
        Start::Idle,
        Start::Answered,
        Start::DataInFlight,
        Start::ZeroWindow,
        Start::Connecting,
        Start::Accepting,
        Start::Closing,
        Start::FinWait2,
    ];

    #[test]
    fn an_idle_peer_that_vanished() {
        let steps = timeline(&setup(60, 10, 6, 0), Start::Idle);
        let at = |n: usize| steps[n].at.by_settings.as_secs();
        assert_eq!(steps.len(), 7);
        assert_eq!((at(0), at(1), at(5), at(6)), (60, 70, 110, 120));
        assert_eq!(
            steps[6].event,
            Event::GivenUp {
                errno: Some(Errno::TimedOut),
                cause: Cause::Keepalive
            }
        );
    }

    #[test]
    fn rows_are_short_and_in_order() {
        for start in ALL {
            for settings in [(60, 10, 127, 0), (1, 1, 1, 0), (1, 1, 9, 2_000_000_000)] {
                let (idle, interval, probes, user_timeout) = settings;
                let steps = timeline(&setup(idle, interval, probes, user_timeout), start);
                assert!(
                    !steps.is_empty() && steps.len() <= 12,
                    "{start:?} {settings:?}"
                );
                assert!(matches!(steps.last().unwrap().event, Event::GivenUp { .. }));
                assert!(steps.is_sorted_by_key(|step| step.at.by_settings));
                assert!(steps.iter().all(|step| {
                    let Window {
                        earliest,
                        by_settings,
                        latest,
                    } = step.at;
                    earliest <= by_settings && by_settings <= latest && step.times > 0
                }));
            }
        }
    }

    #[test]
    fn a_month_of_probes_is_told_quickly() {
        let steps = timeline(&setup(10, 1, 9, 2_000_000_000), Start::Idle);
        let [.., middle, last, end] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        let seconds = |at: Window| at.by_settings.as_secs();
        // Probes at 10, 11 .. 1,999,999; dead at 2,000,000.
        assert_eq!((seconds(last.at), seconds(end.at)), (1_999_999, 2_000_000));
        assert_eq!(
            last.event,
            Event::Sent(Sent::Probe {
                unanswered: 1_999_990
            })
        );
        assert_eq!(middle.times, 1_999_990 - 4);
        assert_eq!((seconds(middle.at), seconds(middle.until)), (13, 1_999_998));
    }
}
