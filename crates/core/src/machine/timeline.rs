//! What happens, step by step, to a connection whose peer vanished without a word.

use alloc::vec::Vec;
use core::time::Duration;

use super::predict::closed_formula;
use super::simulation::{Event, Run, Simulation, Start, Vanished};
use super::{Lateness, Sent, Setup};

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

/// What happens to a connection whose peer vanished at time zero. The last step is its end; without
/// one the connection stays for ever. Long rows of probes are told as a few steps.
#[must_use]
pub fn timeline(setup: &Setup, start: Start) -> Vec<Step> {
    let (soonest, usual) = match start {
        // Traffic ended, or a probe was answered: nobody can tell, so the window covers both.
        Start::Idle | Start::Answered => (Start::Idle, Start::Answered),
        other => (other, other),
    };
    let put_off = Setup {
        tail_loss_probe: None,
        ..setup.clone()
    };
    let run = |start, lateness| Simulation::run(&put_off, start, lateness, Vanished, FOREVER);
    let (soonest, exact) = (run(soonest, Lateness::None), run(usual, Lateness::None));
    let latest = run(usual, Lateness::Most);
    condense(&steps(setup, start, &soonest, &exact, &latest))
}

const FOREVER: Duration = Duration::from_secs(400 * 86_400);

fn steps(setup: &Setup, start: Start, soonest: &Run, exact: &Run, latest: &Run) -> Vec<Step> {
    let seen = |run: &Run| -> Vec<(Duration, Event)> {
        let shown = |(_, event): &(Duration, Event)| *event != Event::Rearmed;
        run.events.iter().copied().filter(shown).collect()
    };
    let (soonest, exact, latest) = (seen(soonest), seen(exact), seen(latest));
    // A tail loss probe puts off everything behind the data by at most one timeout.
    let put_off = match start {
        Start::DataInFlight => setup.hz.map_or(setup.rto, |hz| hz.latest(setup.rto)),
        _ => Duration::ZERO,
    };
    let mut steps = Vec::new();
    for (index, (at, event)) in exact.iter().enumerate() {
        let same = |other: &Vec<(Duration, Event)>| {
            other
                .get(index)
                .filter(|(_, seen)| seen == event)
                .map(|(at, _)| *at)
        };
        let late = same(&latest).unwrap_or(*at);
        let first = *event == Event::Sent(Sent::Data);
        let mut window = Window {
            earliest: same(&soonest).unwrap_or(*at).min(*at),
            by_settings: *at,
            latest: late.saturating_add(if first { Duration::ZERO } else { put_off }),
        };
        let last = index + 1 == exact.len();
        if last && let Some(formula) = closed_formula(setup, start) {
            window = formula;
        }
        steps.push(Step {
            at: window,
            event: *event,
            times: 1,
            until: window,
        });
    }
    steps
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
            (Some([first, .., last]), [.., end]) => {
                shown.extend_from_slice(&row[..SHOWN]);
                shown.push(Step {
                    until: last.at,
                    times: u32::try_from(row.len() - SHOWN - 1).unwrap_or(u32::MAX),
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
    use crate::machine::{Cause, Errno};

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
}
