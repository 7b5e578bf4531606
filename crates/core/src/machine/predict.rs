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
