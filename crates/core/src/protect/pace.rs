//! How fast steps may be made, so that the probes that follow are no storm.
//!
//! A step that switches keepalive on is followed by a first probe when the idle time is over. Many
//! steps at once make many probes at once, the more so as the timer wheel gathers what is due within
//! one of its buckets ([`wheel`](crate::wheel)) and fires it together. Where a device
//! drops packets without telling TCP, as loopback does beyond `netdev_max_backlog` (1,000), such a
//! burst counts as unanswered probes.

use core::time::Duration;

use super::{Asked, Jitter, Step, jitter};
use crate::settings::{KeepIdle, SocketTimers};
use crate::wheel::Hz;

/// Processor time of one probe and its answer: 1,004,400 probes whose answers came took one processor
/// about 5 s, both ends on one machine (measured on 6.18 over loopback).
const PROBE_COST: Duration = Duration::from_micros(5);

/// What every namespace begins with.
const KERNELS_IDLE_S: u64 = 7_200;

/// When the first probe follows a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FirstProbe {
    /// Keepalive was off, or comes off, or the timer is left alone: by the step alone none comes
    /// before the idle time is over.
    Later,
    /// Keepalive is on and the idle time changes: at once if the silence is longer, else when it is.
    AtOnce,
    /// None: nothing arms a timer.
    None,
}

impl FirstProbe {
    /// Of a step on a connection.
    #[must_use]
    pub const fn of(step: &Step, timers: &SocketTimers) -> Self {
        match (step.keepalive, timers.keepalive, step.idle) {
            (Some(true), false, _) => Self::Later,
            (None, true, Some(_)) => Self::AtOnce,
            _ => Self::None,
        }
    }
}

/// What is to be spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Connections of which the first probe comes when the idle time is over.
    pub later: u64,
    /// Connections that may be probed at once.
    pub at_once: u64,
    /// The idle time that is asked for, or that the namespace gives; without one the kernel's two
    /// hours.
    pub idle: Option<KeepIdle>,
    /// Whether idle times differ; they do only where the rule asks for one.
    pub jitter: Jitter,
}

impl Load {
    /// Nothing yet, by this rule.
    #[must_use]
    pub const fn new(asked: &Asked, jitter: Jitter) -> Self {
        Self {
            later: 0,
            at_once: 0,
            idle: asked.idle,
            jitter: match asked.idle {
                Some(_) => jitter,
                None => Jitter::None,
            },
        }
    }

    /// Counts one more.
    pub fn add(&mut self, first: FirstProbe) {
        match first {
            FirstProbe::Later => self.later += 1,
            FirstProbe::AtOnce => self.at_once += 1,
            FirstProbe::None => {}
        }
    }
}

/// How many probes may come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// In one second.
    pub per_second: u64,
    /// At one tick of the timer wheel: half of what loopback takes before it drops
    /// (`netdev_max_backlog`).
    pub per_bucket: u64,
    /// The longest spread that is chosen for the sake of the other two. Beyond it more probes come
    /// together: devices other than loopback tell TCP what they drop, and it tries again after half
    /// a second without counting.
    pub longest: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            per_second: 1_000,
            per_bucket: 500,
            longest: Duration::from_mins(5),
        }
    }
}

/// Over what time steps are spread, and what comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// From the first step to the last.
    pub spread: Duration,
    /// First probes in the busiest second, at most.
    pub busiest_second: u64,
    /// First probes at the busiest tick of the timer wheel, at most.
    pub busiest_tick: u64,
    /// Processor time that the busiest second takes.
    pub cpu: Duration,
}

impl Pace {
    /// What comes of the load when it is spread over this time, or over the least time that keeps
    /// within the limits, the longest if none does. Where the tick rate is unknown, the worst of the
    /// usual ones is taken.
    #[must_use]
    pub fn plan(load: &Load, hz: Option<Hz>, spread: Option<Duration>, limits: &Limits) -> Self {
        if let Some(spread) = spread {
            return Self::of(load, hz, spread);
        }
        let keeps = |ms| Self::of(load, hz, Duration::from_millis(ms)).keeps(limits);
        let longest = u64::try_from(limits.longest.as_millis()).unwrap_or(u64::MAX);
        let (mut least, mut most) = (0, longest);
        while least < most {
            let middle = u64::midpoint(least, most);
            if keeps(middle) {
                most = middle;
            } else {
                least = middle + 1;
            }
        }
        Self::of(load, hz, Duration::from_millis(least))
    }

    fn of(load: &Load, hz: Option<Hz>, spread: Duration) -> Self {
        let usual = [100, 250, 300, 1000].map(Hz::new);
        let rates = match hz {
            Some(_) => [hz, None, None, None],
            None => usual,
        };
        let mut pace = Self {
            spread,
            busiest_second: 0,
            busiest_tick: 0,
            cpu: Duration::ZERO,
        };
        for hz in rates.into_iter().flatten() {
            let (second, tick) = busiest(load, hz, spread);
            pace.busiest_second = pace.busiest_second.max(second);
            pace.busiest_tick = pace.busiest_tick.max(tick);
        }
        let probes = u32::try_from(pace.busiest_second).unwrap_or(u32::MAX);
        pace.cpu = PROBE_COST.saturating_mul(probes);
        pace
    }

    /// Whether it keeps within the limits.
    #[must_use]
    pub const fn keeps(&self, limits: &Limits) -> bool {
        self.busiest_second <= limits.per_second && self.busiest_tick <= limits.per_bucket
    }
}

/// First probes in the busiest second and at the busiest tick.
fn busiest(load: &Load, hz: Hz, spread: Duration) -> (u64, u64) {
    let second = u64::from(hz.get());
    let spread = hz.jiffies(spread).max(1);
    let idle = load.idle.map_or(KERNELS_IDLE_S, |idle| idle.get().into());
    let jitter_s = match (load.jitter, load.idle) {
        (Jitter::Eighth, Some(idle)) => u64::from(jitter::most(idle)),
        _ => 0,
    };
    let width = hz.width(idle * second);
    let later = Boxes {
        last: jitter_s,
        apart: second,
        length: spread,
    };
    let at_once = Boxes { last: 0, ..later };
    // Whole buckets fire within the second.
    let gathered = second.div_ceil(width) * width;
    let one = (
        later.most(load.later, gathered),
        later.most(load.later, width),
    );
    let other = (
        at_once.most(load.at_once, second),
        at_once.most(load.at_once, 1),
    );
    if spread > (idle - jitter_s) * second {
        // The first of the ones come while the last of the others are still probed.
        return (one.0 + other.0, one.1 + other.1);
    }
    (one.0.max(other.0), one.1.max(other.1))
}

/// When timers are due that are armed evenly over a time, in jiffies: for each of the idle times, a
/// second apart, one box of that length.
struct Boxes {
    /// The number of the last box; the first is 0.
    last: u64,
    /// From the beginning of one box to that of the next.
    apart: u64,
    length: u64,
}

impl Boxes {
    /// The most of `count` timers that are due within any such time, on average over what the jitter
    /// makes of them.
    fn most(&self, count: u64, within: u64) -> u64 {
        // At the most, a box begins where the time begins, or one ends where it ends.
        let densest = (0..=self.last)
            .flat_map(|box_| {
                let begins = box_ * self.apart;
                let ends = begins + self.length;
                [begins, ends.saturating_sub(within)]
            })
            .map(|from| self.until(from.saturating_add(within)) - self.until(from))
            .max()
            .unwrap_or(0);
        let all = u128::from(self.last + 1) * u128::from(self.length);
        let most = (u128::from(count) * densest).div_ceil(all);
        u64::try_from(most).unwrap_or(u64::MAX)
    }

    /// What lies before a time, as a length over all boxes.
    fn until(&self, time: u64) -> u128 {
        let boxes = self.last + 1;
        let over = match time.checked_sub(self.length) {
            Some(since) => (since / self.apart + 1).min(boxes),
            None => 0,
        };
        let begun = time.div_ceil(self.apart).clamp(over, boxes);
        // Those that have begun and are not over: time - apart x number, for each.
        let (time, apart) = (u128::from(time), u128::from(self.apart));
        let (over, begun) = (u128::from(over), u128::from(begun));
        let numbers = (over + begun).saturating_sub(1) * (begun - over) / 2;
        over * u128::from(self.length) + (begun - over) * time - apart * numbers
    }
}

#[cfg(test)]
mod tests {
    use super::super::jittered;
    use super::*;
    use crate::connection::Cookie;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;

    /// Connection by connection, from the jiffy `phase` on.
    fn counted(load: &Load, hz: Hz, spread: Duration, phase: u64) -> (u64, u64) {
        let mut fired: BTreeMap<u64, u64> = BTreeMap::new();
        let span = hz.jiffies(spread);
        for n in 0..load.later {
            let armed = phase + span * n / load.later;
            let idle = load.idle.unwrap();
            let idle = match load.jitter {
                Jitter::Eighth => jittered(idle, Cookie(n + 1)),
                Jitter::None => idle,
            };
            let length = u64::from(idle.get()) * u64::from(hz.get());
            *fired.entry(hz.fires(armed, length)).or_default() += 1;
        }
        for n in 0..load.at_once {
            *fired
                .entry(phase + span * n / load.at_once + 1)
                .or_default() += 1;
        }
        let ticks: Vec<(u64, u64)> = fired.into_iter().collect();
        let second = u64::from(hz.get());
        let in_second = |from: usize| {
            let until = ticks[from].0 + second;
            let within = ticks[from..].iter().take_while(|(at, _)| *at < until);
            within.map(|(_, probes)| probes).sum::<u64>()
        };
        (
            (0..ticks.len()).map(in_second).max().unwrap_or(0),
            ticks.iter().map(|(_, probes)| *probes).max().unwrap_or(0),
        )
    }

    /// Chance puts a few more into one bucket than the average.
    fn chance(mean: u64) -> u64 {
        5 * mean.isqrt() + 5
    }

    #[test]
    fn what_is_predicted_is_what_is_counted() {
        for (later, at_once, idle, jitter, spread_ms, hz) in [
            (10_000, 0, 60, Jitter::Eighth, 0, 250),
            (10_000, 0, 60, Jitter::Eighth, 41_000, 250),
            (10_000, 0, 60, Jitter::None, 41_000, 250),
            (10_000, 0, 60, Jitter::None, 500, 1000),
            (20_000, 0, 10, Jitter::Eighth, 300, 1000),
            (20_000, 0, 9, Jitter::Eighth, 3_000, 100),
            (20_000, 0, 1, Jitter::Eighth, 7_000, 250),
            (30_000, 0, 7200, Jitter::Eighth, 600_000, 250),
            (5_000, 5_000, 20, Jitter::Eighth, 60_000, 250),
            (5_000, 5_000, 120, Jitter::Eighth, 10_000, 300),
            (0, 9_000, 120, Jitter::Eighth, 10_000, 250),
        ] {
            let load = Load {
                later,
                at_once,
                idle: KeepIdle::new(idle).ok(),
                jitter,
            };
            let (hz, spread) = (Hz::new(hz).unwrap(), Duration::from_millis(spread_ms));
            let pace = Pace::plan(&load, Some(hz), Some(spread), &Limits::default());
            let mut most = (0, 0);
            for phase in (0..64).map(|n| n * 997) {
                let (second, tick) = counted(&load, hz, spread, phase);
                most = (most.0.max(second), most.1.max(tick));
            }
            for (predicted, counted) in [(pace.busiest_second, most.0), (pace.busiest_tick, most.1)]
            {
                let case = alloc::format!(
                    "{later}+{at_once} idle {idle} {jitter:?} over {spread:?} at {hz:?}"
                );
                assert!(
                    counted <= predicted + chance(predicted),
                    "{case}: {counted} > {predicted}"
                );
                // Buckets of several widths are reckoned as the widest: never twice what comes.
                assert!(
                    predicted <= counted * 2 + 5,
                    "{case}: {counted} << {predicted}"
                );
            }
        }
    }

    #[test]
    fn a_spread_is_no_longer_than_is_borne() {
        let load = Load {
            later: 10_000,
            idle: KeepIdle::new(7200).ok(),
            ..Load::default()
        };
        let limits = Limits::default();
        let pace = Pace::plan(&load, Hz::new(250), None, &limits);
        assert_eq!(pace.spread, limits.longest);
        assert!(!pace.keeps(&limits));
    }

    #[test]
    fn the_least_spread_that_keeps_is_found() {
        let limits = Limits {
            longest: Duration::from_hours(24),
            ..Limits::default()
        };
        for (later, idle) in [(100, 60), (10_000, 60), (1_000_000, 60), (10_000, 7200)] {
            let load = Load {
                later,
                idle: KeepIdle::new(idle).ok(),
                ..Load::default()
            };
            let hz = Hz::new(250);
            let pace = Pace::plan(&load, hz, None, &limits);
            assert!(pace.keeps(&limits), "{pace:?}");
            if pace.spread.is_zero() {
                assert!(later < 500);
                continue;
            }
            let shorter = pace.spread * 9 / 10;
            assert!(!Pace::plan(&load, hz, Some(shorter), &limits).keeps(&limits));
            let unknown = Pace::plan(&load, None, None, &limits);
            assert!(unknown.spread >= pace.spread, "the worst of all rates");
        }
    }

    #[test]
    fn nothing_is_no_load() {
        let pace = Pace::plan(&Load::default(), None, None, &Limits::default());
        assert_eq!((pace.spread, pace.busiest_second), (Duration::ZERO, 0));
    }
}
