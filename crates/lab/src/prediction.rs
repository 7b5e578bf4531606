//! What the model says before anything has happened.

use std::time::Duration;

use sockpulse_core::machine::{
    Errno, Event, Lateness, Outcome, Setup, Simulation, Start, Window, predict,
};

use crate::fault::{Fault, PeerWindow, Unread};
use crate::scenario::Begin;
use crate::watch::Ending;

/// What the model says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// What becomes of the connection.
    pub outcome: Predicted,
    /// What happens until then, the first steps of it.
    pub steps: Vec<Expectation>,
    /// The same where the kernel sends a tail loss probe.
    pub with_tail_loss_probe: Vec<Expectation>,
}

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predicted {
    /// It stays for as long as it is watched.
    Stays,
    /// It ends.
    Ends {
        /// When, counted from where [`Begin`] says.
        at: Window,
        /// How.
        ending: Ending,
    },
    /// How late timers are decides.
    Depends,
}

impl Predicted {
    /// What covers both.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Stays, Self::Stays) => Self::Stays,
            (
                Self::Ends { at, ending },
                Self::Ends {
                    at: other_at,
                    ending: other,
                },
            ) if ending == other => Self::Ends {
                at: at.and(other_at),
                ending,
            },
            _ => Self::Depends,
        }
    }
}

/// One thing that should happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expectation {
    /// When.
    pub at: Window,
    /// What.
    pub event: Event,
}

/// More steps than anybody reads.
const STEPS: usize = 64;

impl Prediction {
    /// Of a connection that begins so, in a world with that fault.
    pub(crate) fn of(setup: &Setup, begin: Begin, fault: Fault) -> Self {
        if let Fault::Killed(unread) = fault {
            return Self::of_killed(unread);
        }
        let start = begin.start();
        let noted = match begin {
            Begin::Connecting => fault.most_noted(),
            _ => 0,
        };
        let world = |noted| move || fault.world(begin.window(), noted);
        let outcome = |setup: &Setup, noted| match predict(setup, start, world(noted), HORIZON) {
            Outcome::Alive => Predicted::Stays,
            Outcome::Depends => Predicted::Depends,
            Outcome::Ends { at, errno, .. } => Predicted::Ends {
                at,
                ending: errno.map_or(Ending::Dropped, |errno| Ending::Error(errno.number())),
            },
        };
        // Whether the kernel sends a tail loss probe is its own affair: the window covers both.
        let probed = Setup {
            tail_loss_probe: Some(setup.rto),
            ..setup.clone()
        };
        let mut all = outcome(setup, 0).or(outcome(&probed, 0));
        for noted in 1..=noted {
            all = all.or(outcome(setup, noted));
        }
        let outcome = all;
        let until = match outcome {
            Predicted::Ends { at, .. } => at.latest,
            _ => SHOWN,
        };
        let run = |setup, late| Simulation::run(setup, start, late, world(noted)(), until).events;
        let steps = |setup| steps(run(setup, Lateness::None), run(setup, Lateness::Most));
        Self {
            outcome,
            steps: steps(setup),
            with_tail_loss_probe: steps(&probed),
        }
    }

    /// The peer's kernel tells of its process's death at once.
    fn of_killed(unread: Unread) -> Self {
        let ending = match unread {
            Unread::Nothing => Ending::EndOfStream,
            Unread::Data => Ending::Error(Errno::ConnectionReset.number()),
        };
        let at = Window::at(Duration::ZERO);
        Self {
            outcome: Predicted::Ends { at, ending },
            steps: Vec::new(),
            with_tail_loss_probe: Vec::new(),
        }
    }

    /// Takes the steps that so many sent packets fit better.
    pub(crate) fn fit(&mut self, packets: usize) {
        let sent = |steps: &[Expectation]| {
            let sent = |step: &&Expectation| matches!(step.event, Event::Sent(_));
            steps.iter().filter(sent).count()
        };
        if sent(&self.with_tail_loss_probe).abs_diff(packets) < sent(&self.steps).abs_diff(packets)
        {
            std::mem::swap(&mut self.steps, &mut self.with_tail_loss_probe);
        }
    }
}

/// How far the model looks: the kernel's own defaults end sooner.
const HORIZON: Duration = Duration::from_secs(3 * 3600);
/// How far the steps of a connection go that stays.
const SHOWN: Duration = Duration::from_secs(60);

impl Begin {
    const fn start(self) -> Start {
        match self {
            Self::Idle | Self::HalfOpen => Start::Idle,
            Self::InFlight | Self::LateWrite => Start::DataInFlight,
            Self::ZeroWindow | Self::ZeroWindowThenGone | Self::SlowReader => Start::ZeroWindow,
            Self::Connecting => Start::Connecting,
            Self::Accepting | Self::HalfOpenServer => Start::Accepting,
            Self::Closing => Start::Closing,
        }
    }

    const fn window(self) -> PeerWindow {
        match self {
            // Some data passes now and then, but never all of what is queued first: for the timers
            // the window stays closed (tcp_ack_probe()).
            Self::ZeroWindow | Self::SlowReader => PeerWindow::Closed,
            _ => PeerWindow::Open,
        }
    }
}

/// Both runs side by side, as far as the same things happen in both.
fn steps(exact: Vec<(Duration, Event)>, late: Vec<(Duration, Event)>) -> Vec<Expectation> {
    let seen = |(_, event): &(Duration, Event)| *event != Event::Rearmed;
    let both = exact
        .into_iter()
        .filter(seen)
        .zip(late.into_iter().filter(seen));
    both.take_while(|((_, one), (_, other))| one == other)
        .map(|((at, event), (latest, _))| Expectation {
            at: Window {
                earliest: at,
                by_settings: at,
                latest: latest.max(at),
            },
            event,
        })
        .take(STEPS)
        .collect()
}
