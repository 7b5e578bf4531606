//! What the model says before anything has happened.

use std::time::Duration;

use sockpulse_core::machine::{
    Cause, Errno, Event, Lateness, Outcome, Setup, Simulation, Start, Window, predict,
};
use sockpulse_core::plan::{self, Loss};
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl};

use crate::fault::{Fault, PeerWindow, Unread};
use crate::scenario::Begin;
use crate::watch::Ending;

/// What the model says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prediction {
    /// What becomes of the connection.
    pub outcome: Predicted,
    /// What ends it; `None` where nothing does, or that is left to luck.
    pub cause: Option<Cause>,
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
    /// How late timers are decides, or which packets are lost.
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

/// What becomes of a connection, and what ends it.
type Foretold = (Predicted, Option<Cause>);

/// More steps than anybody reads.
const STEPS: usize = 64;

impl Prediction {
    /// Of a connection that begins so, in a world with that fault, watched for so long if it stays.
    pub(crate) fn of(setup: &Setup, begin: Begin, fault: Fault, watch: Duration) -> Self {
        match fault {
            Fault::Killed(unread) => return Self::of_killed(unread),
            Fault::Loss { permille } if chance_of_death(setup, permille, watch) > NEGLIGIBLE => {
                return Self::without_steps(Predicted::Depends);
            }
            _ => {}
        }
        let start = begin.start();
        let noted = match begin {
            Begin::Connecting => fault.most_noted(),
            _ => 0,
        };
        let world = |noted| move || fault.world(begin.window(), noted);
        let horizon = horizon(setup);
        let outcome = |setup: &Setup, noted| match predict(setup, start, world(noted), horizon) {
            Outcome::Alive => (Predicted::Stays, None),
            Outcome::Depends => (Predicted::Depends, None),
            Outcome::Ends { at, errno, cause } => {
                let ending = errno.map_or(Ending::Dropped, |errno| Ending::Error(errno.number()));
                (Predicted::Ends { at, ending }, Some(cause))
            }
        };
        let both = |(one, cause): Foretold, (other, its): Foretold| {
            (one.or(other), cause.filter(|_| cause == its))
        };
        // Whether the kernel sends a tail loss probe is its own affair: the window covers both.
        let probed = Setup {
            tail_loss_probe: Some(setup.rto),
            ..setup.clone()
        };
        let mut all = both(outcome(setup, 0), outcome(&probed, 0));
        for noted in 1..=noted {
            all = both(all, outcome(setup, noted));
        }
        let (outcome, cause) = all;
        let until = match outcome {
            Predicted::Ends { at, .. } => at.latest,
            _ => SHOWN,
        };
        let run = |setup, late| Simulation::run(setup, start, late, world(noted)(), until).events;
        let steps = |setup| steps(run(setup, Lateness::None), run(setup, Lateness::Most));
        Self {
            outcome,
            cause,
            steps: steps(setup),
            with_tail_loss_probe: steps(&probed),
        }
    }

    /// The peer's kernel tells of its process's death at once.
    fn of_killed(unread: Unread) -> Self {
        let (ending, cause) = match unread {
            Unread::Nothing => (Ending::EndOfStream, None),
            Unread::Data => (
                Ending::Error(Errno::ConnectionReset.number()),
                Some(Cause::Reset),
            ),
        };
        let at = Window::at(Duration::ZERO);
        Self {
            cause,
            ..Self::without_steps(Predicted::Ends { at, ending })
        }
    }

    const fn without_steps(outcome: Predicted) -> Self {
        Self {
            outcome,
            cause: None,
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

/// How far the model looks: far enough for the settings to end it, and for a busy connection.
fn horizon(setup: &Setup) -> Duration {
    const BUSY: Duration = Duration::from_secs(3 * 3600);
    let timers = setup.timers.effective(&setup.defaults);
    let seconds = |value: i64| Duration::from_secs(u64::try_from(value).unwrap_or(0));
    // The last probe waits too.
    let ticks = u32::try_from(timers.probes.value).map_or(1, |probes| probes.saturating_add(2));
    let all = [
        seconds(timers.idle.value),
        seconds(timers.interval.value).saturating_mul(ticks),
        timers.user_timeout.duration().unwrap_or_default(),
    ]
    .into_iter()
    .fold(BUSY, Duration::saturating_add);
    // The wheel fires an eighth too late at most.
    all.saturating_add(all / 8)
}

/// A chance that is taken for none.
const NEGLIGIBLE: f64 = 1e-4;

/// The chance that loss alone ends an idle connection while it is watched, or a little more; 1 where it
/// cannot be told.
fn chance_of_death(setup: &Setup, permille: u16, watch: Duration) -> f64 {
    let timers = setup.timers.effective(&setup.defaults);
    if !timers.keepalive || permille == 0 {
        return 0.0;
    }
    let whole = |value: i64| u64::try_from(value).ok();
    let asked = || {
        let settings = plan::Settings {
            idle: KeepIdle::new(whole(timers.idle.value)?).ok()?,
            interval: KeepIntvl::new(whole(timers.interval.value)?).ok()?,
            probes: KeepCnt::new(whole(timers.probes.value)?).ok()?,
            user_timeout: timers.user_timeout,
        };
        let loss = Loss::new(f64::from(permille) / 1_000.0)?;
        let ends = plan::rhythm(&settings, setup.hz?).ends_per_day(loss);
        Some(ends * watch.as_secs_f64() / 86_400.0)
    };
    asked().unwrap_or(1.0).min(1.0)
}

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

#[cfg(test)]
mod tests {
    use sockpulse_core::{Hz, NetnsDefaults};

    use super::*;
    use crate::settings::Settings;

    const WATCH: Duration = Duration::from_secs(12);

    fn outcome(settings: Settings, fault: Fault) -> Predicted {
        let mut setup = Setup::new(settings.timers(), NetnsDefaults::KERNEL);
        setup.hz = Hz::new(250);
        Prediction::of(&setup, Begin::Idle, fault, WATCH).outcome
    }

    #[test]
    fn a_vanished_peer_is_noticed_however_long_it_takes() {
        for (settings, seconds) in [
            (Settings::INHERITED, 7_200 + 9 * 75),
            (Settings::own(32_767, 1, 3), 32_767 + 3),
            (Settings::own(1, 32_767, 127), 127 * 32_767 + 1),
            (Settings::own(2, 600, 3).and(40_000_000), 40_000),
        ] {
            let Predicted::Ends { at, ending } = outcome(settings, Fault::Vanish) else {
                panic!("{settings} stays");
            };
            assert_eq!(ending, Ending::Error(Errno::TimedOut.number()));
            assert_eq!(at.earliest, Duration::from_secs(seconds), "{settings}");
        }
    }

    #[test]
    fn nothing_is_predicted_where_luck_decides() {
        let lossy = |settings, permille| outcome(settings, Fault::Loss { permille });
        for (settings, permille, predicted) in [
            (Settings::own(1, 1, 8), 100, Predicted::Stays),
            (Settings::own(1, 1, 8), 900, Predicted::Depends),
            (Settings::own(1, 1, 1), 10, Predicted::Depends),
            // A user timeout takes the place of the count.
            (Settings::own(1, 1, 8).and(2_000), 100, Predicted::Depends),
            (Settings::own(1, 1, 1), 0, Predicted::Stays),
            (Settings::OFF, 999, Predicted::Stays),
        ] {
            assert_eq!(
                lossy(settings, permille),
                predicted,
                "{settings} at {permille}"
            );
        }
    }
}
