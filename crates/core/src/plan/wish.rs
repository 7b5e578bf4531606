//! What is wanted of a plan, and whether settings are that.

use core::time::Duration;

use super::chance::{GOAL, Loss, Rhythm};
use super::settings::Settings;
use crate::paths::{OnExpiry, PATHS, PathTimeout};
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeoutChoice};
use crate::wheel::Hz;

/// One unanswered probe is no proof of death (RFC 1122 4.2.3.6), and two are little.
pub const FEWEST_PROBES: u32 = 3;

/// An outage that is ridden out unless another is asked for: a route change, a machine that moves.
const USUAL_OUTAGE: Duration = Duration::from_secs(60);

/// conntrack's timeout while data is unacknowledged; a box that many have.
const CONNTRACK_UNACKNOWLEDGED: Duration = Duration::from_secs(300);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wish {
    /// A peer that dies while the connection is idle is to be noticed within this time, however
    /// late timers are.
    pub detect_within: Option<Duration>,
    /// What lies between the ends.
    pub path: Option<Path>,
    /// How many packets are lost.
    pub loss: Loss,
    /// An outage that living connections are to survive; `None` for the usual one,
    /// [`Wish::outage`].
    pub outage: Option<Duration>,
    /// Settings that are not to be chosen.
    pub fixed: Fixed,
    /// The tick rate of the kernel that will run it: how late timers may be.
    pub hz: Hz,
}

/// Settings that are given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Fixed {
    /// See [`Settings::idle`].
    pub idle: Option<KeepIdle>,
    /// See [`Settings::interval`].
    pub interval: Option<KeepIntvl>,
    /// See [`Settings::probes`].
    pub probes: Option<KeepCnt>,
    /// See [`Settings::user_timeout`]; `auto` unless given.
    pub user_timeout: Option<UserTimeoutChoice>,
}

/// A box between the ends that forgets idle connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// After how much idleness.
    pub timeout: Duration,
    /// Whether a probe counts as traffic; `None` where that is not known.
    pub probe_counts: Option<bool>,
    /// What becomes of a connection that it forgot.
    pub on_expiry: OnExpiry,
    /// What people call it, if it is a known one.
    pub title: Option<&'static str>,
}

impl From<&PathTimeout> for Path {
    fn from(known: &PathTimeout) -> Self {
        Self {
            timeout: known.timeout,
            probe_counts: known.probe_counts,
            on_expiry: known.on_expiry,
            title: Some(known.title),
        }
    }
}

impl Path {
    /// A box of which only the timeout is known.
    #[must_use]
    pub const fn of(timeout: Duration) -> Self {
        Self {
            timeout,
            probe_counts: None,
            on_expiry: OnExpiry::Unknown,
            title: None,
        }
    }

    /// By when the probes that matter must have been sent: nine tenths of the timeout.
    #[must_use]
    pub fn safe(&self) -> Duration {
        self.timeout / 10 * 9
    }
}

/// What settings fall short of.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Broken {
    /// The interval would be the period.
    IntervalAboveIdle,
    /// A dead peer is noticed too late.
    Late {
        /// At the latest then.
        latest: Duration,
    },
    /// So few unanswered probes end the connection.
    FewProbes {
        /// By the settings and the lateness of timers.
        strikes: u32,
    },
    /// The path forgets a living connection when probes are lost.
    Forgotten {
        /// Probes that are sent before [`Path::safe`].
        in_time: u32,
    },
    /// Loss alone ends living connections too often.
    Deadly {
        /// The chance a day.
        chance: f64,
    },
    /// The probes are over before the outage is.
    ShortOutage {
        /// The longest that is survived.
        survives: Duration,
    },
    /// The user timeout that keepalive comes to is more than the option takes.
    NoUserTimeout,
    /// The first probe goes out just when a known box forgets the connection.
    Collides {
        /// That box's timeout.
        timeout: Duration,
    },
}

impl Wish {
    /// The outage that is ridden out: the one asked for; else 60 s, but not more than a third of
    /// the detection time or of the path's timeout.
    #[must_use]
    pub fn outage(&self) -> Duration {
        let of_target = self.detect_within.map_or(USUAL_OUTAGE, |target| target / 3);
        let of_path = self.held().map_or(USUAL_OUTAGE, |path| path.timeout / 3);
        self.outage
            .unwrap_or(USUAL_OUTAGE.min(of_target).min(of_path))
    }

    /// The path, if keepalive can hold it open at all.
    #[must_use]
    pub fn held(&self) -> Option<Path> {
        self.path.filter(|path| path.probe_counts != Some(false))
    }

    /// The user timeout that is wanted.
    #[must_use]
    pub fn user_timeout(&self) -> UserTimeoutChoice {
        self.fixed.user_timeout.unwrap_or(UserTimeoutChoice::Auto)
    }

    /// What the settings fall short of, or `None` if they are what is wanted.
    #[must_use]
    pub fn broken(&self, settings: &Settings) -> Option<Broken> {
        if settings.interval.get() > settings.idle.get() {
            return Some(Broken::IntervalAboveIdle);
        }
        if let (Some(target), Some(latest)) =
            (self.detect_within, settings.detects_idle(self.hz).latest())
            && latest > target
        {
            return Some(Broken::Late { latest });
        }
        if let Some(path) = self.held()
            && let in_time @ 0..2 = probes_before(path.safe(), settings, self.hz)
        {
            return Some(Broken::Forgotten { in_time });
        }
        let strikes = settings.strikes(self.hz);
        if strikes < FEWEST_PROBES {
            return Some(Broken::FewProbes { strikes });
        }
        let survives = survives(settings, self.hz);
        if survives < self.outage() {
            return Some(Broken::ShortOutage { survives });
        }
        let rhythm = rhythm(settings, self.hz);
        let chance = rhythm.chance_per_day(self.loss);
        if chance >= GOAL {
            return Some(Broken::Deadly { chance });
        }
        self.forgotten(settings, rhythm)
            .or_else(|| self.collides(settings))
    }

    /// Only an answered probe is taken to refresh the path, and all that are needed to get an answer
    /// must go out in time. If the connection is given up before, the path does not matter.
    fn forgotten(&self, settings: &Settings, rhythm: Rhythm) -> Option<Broken> {
        let path = self.held()?;
        let in_time = probes_before(path.safe(), settings, self.hz);
        let needed = Rhythm {
            strikes: in_time.min(rhythm.strikes),
            ..rhythm
        };
        (needed.chance_per_day(self.loss) >= GOAL).then_some(Broken::Forgotten { in_time })
    }

    /// An idle that was given is only warned of.
    fn collides(&self, settings: &Settings) -> Option<Broken> {
        if self.fixed.idle.is_some() {
            return None;
        }
        collision(settings, self.hz).map(|timeout| Broken::Collides { timeout })
    }
}

/// The longest outage that living connections survive wherever it begins. The worst beginning is
/// just before a probe; then the last probe before the death must still be answered.
#[must_use]
pub fn survives(settings: &Settings, hz: Hz) -> Duration {
    settings.interval_duration() * (settings.strikes(hz) - 1)
}

/// How it is probed in the worst case.
#[must_use]
pub fn rhythm(settings: &Settings, hz: Hz) -> Rhythm {
    Rhythm {
        period: settings.period(),
        interval: settings.interval_duration(),
        strikes: settings.strikes(hz),
    }
}

/// The timeout of a known box that falls into the time in which the first probe may go out: the two
/// race each other. Boxes that take no notice of probes do not matter.
#[must_use]
pub fn collision(settings: &Settings, hz: Hz) -> Option<Duration> {
    let first = settings.idle_duration()..=hz.latest(settings.idle_duration());
    let counting = PATHS.iter().filter(|path| path.probe_counts != Some(false));
    counting
        .map(|path| path.timeout)
        .chain([CONNTRACK_UNACKNOWLEDGED])
        .find(|timeout| first.contains(timeout))
}

/// How many probes are sent before `limit`, each as late as it may be.
pub(super) fn probes_before(limit: Duration, settings: &Settings, hz: Hz) -> u32 {
    let (first, step) = (
        hz.latest(settings.period()),
        hz.latest(settings.interval_duration()),
    );
    let Some(left) = limit.checked_sub(first) else {
        return 0;
    };
    let more = left.as_nanos() / step.as_nanos();
    u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
}
