//! When a program learns of a connection's end, in a network that is known beforehand.

use core::time::Duration;

use super::bounds::vanished;
use super::simulation::{End, Run, Simulation, Start, World};
use super::timeline::Window;
use super::{Cause, Errno, Lateness, Setup};

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It lives at the time asked for, however late timers are.
    Alive,
    /// It ends within the window.
    Ends {
        /// When.
        at: Window,
        /// What the program reads, if one is left to read.
        errno: Option<Errno>,
        /// Why, by the settings.
        cause: Cause,
    },
    /// How late timers are decides: it may end or live, or end in different ways.
    Depends,
}

/// Predicts the end of a connection in a world, of which `world` makes a new one for each run.
///
/// The connection is run with exact timers, with timers as late as they may be, and with the wheel
/// at evenly spaced phases; the window covers them all. If nobody answered in any run, the window
/// also covers that of the closed formulas, which bound *every* phase. Where somebody answers for a
/// time, a moment at which the network changes and a timer may fall together so closely that a phase
/// in between behaves as none of those tried: keep faults a little away from timers.
#[must_use]
pub fn predict<W: World>(
    setup: &Setup,
    start: Start,
    mut world: impl FnMut() -> W,
    until: Duration,
) -> Outcome {
    let mut run = |lateness| Simulation::run(setup, start, lateness, world(), until);
    let exact = run(Lateness::None);
    let mut seen = Seen::new(&exact);
    if setup.hz.is_some() {
        seen.add(&run(Lateness::Most));
        for phase in 0..PHASES {
            seen.add(&run(Lateness::Phase(phase * SPACING)));
        }
    }
    seen.outcome(setup, start, exact.end)
}

const PHASES: u64 = 32;
/// Jiffies between phases: prime, so that buckets of every level are entered at different places.
const SPACING: u64 = 8_209;

struct Seen {
    ends: u32,
    lives: u32,
    answered: bool,
    alike: bool,
    first: Option<End>,
    earliest: Duration,
    latest: Duration,
}

impl Seen {
    fn new(exact: &Run) -> Self {
        let mut seen = Self {
            ends: 0,
            lives: 0,
            answered: false,
            alike: true,
            first: exact.end,
            earliest: Duration::MAX,
            latest: Duration::ZERO,
        };
        seen.add(exact);
        seen
    }

    fn add(&mut self, run: &Run) {
        self.answered |= run.answered;
        let Some(end) = run.end else {
            self.lives += 1;
            return;
        };
        self.ends += 1;
        self.earliest = self.earliest.min(end.at);
        self.latest = self.latest.max(end.at);
        self.alike &= self.first.is_some_and(|first| first.errno == end.errno);
    }

    fn outcome(self, setup: &Setup, start: Start, exact: Option<End>) -> Outcome {
        let Some(end) = exact.filter(|_| self.lives == 0 && self.alike) else {
            return if self.ends == 0 {
                Outcome::Alive
            } else {
                Outcome::Depends
            };
        };
        let mut at = Window {
            earliest: self.earliest,
            by_settings: end.at,
            latest: self.latest,
        };
        let timers_alone =
            !self.answered && !matches!(end.cause, Cause::Reset | Cause::Unreachable);
        if timers_alone && let Some(formula) = vanished(setup, start) {
            at = at.and(formula);
        }
        Outcome::Ends {
            at,
            errno: end.errno,
            cause: end.cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::simulation::tests::setup;
    use super::*;
    use crate::machine::{Answer, Sent};

    const ANSWERED: Answer = Answer::Acked {
        after: Duration::from_millis(1),
    };

    fn foretold(at: impl Fn(Duration) -> Answer + Copy) -> Outcome {
        let until = Duration::from_secs(60);
        let world = move || move |now: Duration, _: Sent| at(now);
        predict(&setup(2, 1, 3, 0), Start::Idle, world, until)
    }

    /// The faults of a lab on 6.18, and the seconds to the failing read(2).
    #[test]
    fn faults_that_were_measured_lie_in_the_window() {
        let lost = foretold(|_| Answer::Lost);
        // The peer's host is back at 3.5 s and knows nothing of the connection.
        let power_cycle = foretold(|now| match now.as_millis() {
            0..3_500 => Answer::Lost,
            _ => Answer::Reset {
                after: Duration::from_millis(1),
            },
        });
        for (outcome, measured, wanted) in [
            (lost, 5.08, Errno::TimedOut),
            (power_cycle, 4.08, Errno::ConnectionReset),
        ] {
            let Outcome::Ends { at, errno, .. } = outcome else {
                panic!("{outcome:?}");
            };
            assert_eq!(errno, Some(wanted));
            let measured = Duration::from_secs_f64(measured);
            let slack = Duration::from_millis(60);
            assert!(
                at.earliest <= measured && measured <= at.latest + slack,
                "{at:?}"
            );
        }
    }

    #[test]
    fn an_outage_that_is_healed_in_time_is_survived() {
        let healed = foretold(|now| match now.as_millis() {
            0..3_700 => Answer::Lost,
            _ => ANSWERED,
        });
        assert_eq!(healed, Outcome::Alive);
    }

    #[test]
    fn what_the_wheel_decides_is_not_foretold() {
        // The first probe leaves at 2 s, or up to 32 ms later.
        let close = foretold(|now| match now.as_millis() {
            2_000..2_020 => Answer::Reset {
                after: Duration::ZERO,
            },
            _ => ANSWERED,
        });
        assert_eq!(close, Outcome::Depends);
    }
}
