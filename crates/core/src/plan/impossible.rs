//! Why a wish cannot be met, and what comes nearest to it.

use alloc::boxed::Box;
use core::time::Duration;

use super::chance::Loss;
use super::search;
use super::settings::Settings;
use super::wish::{Broken, Fixed, Path, Wish};
use crate::settings::OutOfRange;

/// No settings do what is wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct Impossible {
    /// What stands in the way.
    pub limit: Limit,
    /// The wish that comes nearest, with the settings that meet it; `None` where none does.
    pub nearest: Option<Box<(Wish, Settings)>>,
}

/// What would have to give way for a plan to exist.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Limit {
    /// The detection time is too short for the probes that are needed.
    DetectWithin {
        /// What was asked for.
        asked: Duration,
        /// The shortest that is possible, at the latest.
        shortest: Duration,
    },
    /// A setting that was given.
    Setting {
        /// Which.
        setting: FixedSetting,
        /// What it breaks, put into the plan that would do without it.
        broken: Option<Broken>,
    },
    /// The path forgets before enough probes are sent.
    Path {
        /// Its timeout.
        timeout: Duration,
    },
    /// So many packets are lost that no number of probes suffices.
    Loss {
        /// What was asked for.
        asked: Loss,
    },
    /// The outage is longer than what else is wanted leaves time for.
    Outage {
        /// What was asked for.
        asked: Duration,
    },
    /// Several of these together: to give one of them up does not help.
    Several,
}

/// A setting that may be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FixedSetting {
    /// See [`Settings::idle`].
    Idle,
    /// See [`Settings::interval`].
    Interval,
    /// See [`Settings::probes`].
    Probes,
    /// See [`Settings::user_timeout`].
    UserTimeout,
}

impl FixedSetting {
    const ALL: [Self; 4] = [Self::UserTimeout, Self::Probes, Self::Interval, Self::Idle];

    /// As in flags and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Interval => "interval",
            Self::Probes => "probes",
            Self::UserTimeout => "user_timeout",
        }
    }
}

/// Gives up one thing after the other, the easiest first: the time, a given setting, the loss, the
/// outage. The first without which there is a plan is the limit.
pub(super) fn explain(wish: &Wish) -> Impossible {
    slower(wish)
        .or_else(|| freer(wish))
        .or_else(|| less_lossy(wish))
        .or_else(|| less_patient(wish))
        .unwrap_or_else(|| anything(wish))
}

fn nearest(limit: Limit, wish: Wish, settings: Settings) -> Impossible {
    Impossible {
        limit,
        nearest: Some(Box::new((wish, settings))),
    }
}

/// The same with the shortest detection time, in whole seconds.
fn slower(wish: &Wish) -> Option<Impossible> {
    let asked = wish.detect_within?;
    let within = |seconds: u64| {
        let wish = Wish {
            detect_within: Some(Duration::from_secs(seconds)),
            ..*wish
        };
        search::best(&wish).map(|settings| (wish, settings))
    };
    // From small to large: what is too short is quickly found to be so.
    let longest = 1 << 23;
    // Not in less time than asked for: what is in the way then is something else.
    let mut high = asked.as_secs();
    if asked.subsec_nanos() > 0 || high == 0 {
        high = high.saturating_add(1);
    }
    let mut found = within(high);
    let mut low = asked.as_secs();
    while found.is_none() && high < longest {
        low = high;
        high *= 2;
        found = within(high);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match within(middle) {
            Some(shorter) => (high, found) = (middle, Some(shorter)),
            None => low = middle,
        }
    }
    let (wish, settings) = found?;
    let shortest = settings.detects_idle(wish.hz).latest()?;
    Some(nearest(
        Limit::DetectWithin { asked, shortest },
        wish,
        settings,
    ))
}

/// The same without one of the settings that were given.
fn freer(wish: &Wish) -> Option<Impossible> {
    FixedSetting::ALL.into_iter().find_map(|setting| {
        let fixed = without(wish.fixed, setting)?;
        let free = Wish { fixed, ..*wish };
        let settings = search::best(&free)?;
        let broken = match put_back(wish, setting, settings) {
            Ok(forced) => wish.broken(&forced),
            Err(OutOfRange { .. }) => Some(Broken::NoUserTimeout),
        };
        Some(nearest(Limit::Setting { setting, broken }, free, settings))
    })
}

/// `None` if it was not given.
fn without(fixed: Fixed, setting: FixedSetting) -> Option<Fixed> {
    let mut free = fixed;
    match setting {
        FixedSetting::Idle => free.idle = None,
        FixedSetting::Interval => free.interval = None,
        FixedSetting::Probes => free.probes = None,
        FixedSetting::UserTimeout => free.user_timeout = None,
    }
    (free != fixed).then_some(free)
}

/// The plan with the setting as it was given.
fn put_back(wish: &Wish, setting: FixedSetting, plan: Settings) -> Result<Settings, OutOfRange> {
    let (mut forced, fixed) = (plan, &wish.fixed);
    match setting {
        FixedSetting::Idle => forced.idle = fixed.idle.unwrap_or(plan.idle),
        FixedSetting::Interval => forced.interval = fixed.interval.unwrap_or(plan.interval),
        FixedSetting::Probes => forced.probes = fixed.probes.unwrap_or(plan.probes),
        FixedSetting::UserTimeout => {}
    }
    Settings::new(
        forced.idle,
        forced.interval,
        forced.probes,
        wish.user_timeout(),
    )
}

/// The same with fewer packets lost: what can be kept of the goal.
fn less_lossy(wish: &Wish) -> Option<Impossible> {
    let at = |loss: Loss| {
        let wish = Wish { loss, ..*wish };
        search::best(&wish).map(|settings| (wish, settings))
    };
    let found = rarer(wish.loss).find_map(at).or_else(|| at(Loss::NONE))?;
    let pathless = Wish {
        path: None,
        ..*wish
    };
    let limit = match wish.held() {
        Some(Path { timeout, .. }) if search::best(&pathless).is_some() => Limit::Path { timeout },
        _ => Limit::Loss { asked: wish.loss },
    };
    Some(nearest(limit, found.0, found.1))
}

/// Losses below this one with a single figure, the greatest first: 0.9 … 0.1, 0.09 … 0.00001.
fn rarer(loss: Loss) -> impl Iterator<Item = Loss> {
    let scales = [10u32, 100, 1_000, 10_000, 100_000];
    let chances = scales.into_iter().flat_map(|scale| {
        (1..=9u32)
            .rev()
            .map(move |n| f64::from(n) / f64::from(scale))
    });
    chances
        .filter(move |chance| *chance < loss.get())
        .filter_map(Loss::new)
}

/// The same with a shorter outage, in whole seconds.
fn less_patient(wish: &Wish) -> Option<Impossible> {
    let asked = wish.outage?;
    let rides = |seconds: u64| {
        let wish = Wish {
            outage: Some(Duration::from_secs(seconds)),
            ..*wish
        };
        search::best(&wish).map(|settings| (wish, settings))
    };
    let mut found = rides(0)?;
    let (mut low, mut high) = (0, asked.as_secs().saturating_add(1));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match rides(middle) {
            Some(longer) => (low, found) = (middle, longer),
            None => high = middle,
        }
    }
    Some(nearest(Limit::Outage { asked }, found.0, found.1))
}

/// Everything given up but the path and, as far as possible, the time.
fn anything(wish: &Wish) -> Impossible {
    let free = Wish {
        loss: Loss::NONE,
        outage: None,
        fixed: Fixed::default(),
        ..*wish
    };
    let found = search::best(&free).map(|settings| Box::new((free, settings)));
    let nearest = found.or_else(|| slower(&free)?.nearest);
    let limit = match free.held() {
        // Then it is the path alone.
        Some(Path { timeout, .. }) if nearest.is_none() => Limit::Path { timeout },
        _ => Limit::Several,
    };
    Impossible { limit, nearest }
}
