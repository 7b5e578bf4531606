//! Finds the settings that cost least: the longest period, then the fewest probes, then the
//! shortest interval.

use core::time::Duration;

use super::chance::{GOAL, Rhythm};
use super::settings::Settings;
use super::wish::{Broken, FEWEST_PROBES, Wish};
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeoutChoice};

/// Numbers that people like: whole seconds, minutes and hours, each at most half as long again as
/// the one before.
pub const ROUND: &[u16] = &[
    1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 45, 50, 60, 75, 90, 120, 150, 180, 240, 300,
    360, 480, 600, 720, 900, 1200, 1500, 1800, 2400, 2700, 3000, 3600, 5400, 7200, 9000, 10800,
    14400, 18000, 21600, 28800, 32400,
];

/// As many probes as the kernel's default has. More would make the period a little longer at the
/// price of a burst: they are taken only where nothing goes without.
const USUAL_PROBES: u32 = 9;

/// How many seconds above the shortest interval every one is tried.
const NEAR: u16 = 20;

/// The best settings in round numbers; where there are none, in any; `None` where nothing serves.
pub(super) fn best(wish: &Wish) -> Option<Settings> {
    let range = Range::of(wish)?;
    round(wish, &range, USUAL_PROBES)
        .or_else(|| round(wish, &range, u32::from(KeepCnt::MAX.get())))
        .or_else(|| exact(wish, &range))
}

/// What is worth trying.
struct Range {
    /// Least and greatest number of probes; zero where the user timeout was given, which takes the
    /// place of the count.
    probes: (u32, u32),
    /// A longer idle detects too late, or leaves the path to forget.
    longest: u16,
}

impl Range {
    fn of(wish: &Wish) -> Option<Self> {
        let target = wish.detect_within.unwrap_or(Duration::MAX);
        let probes = match (wish.fixed.probes, wish.user_timeout()) {
            (Some(probes), _) => (u32::from(probes.get()), u32::from(probes.get())),
            (None, UserTimeoutChoice::Fixed(_)) => (0, 0),
            (None, _) => (FEWEST_PROBES, u32::from(KeepCnt::MAX.get())),
        };
        if let UserTimeoutChoice::Fixed(limit) = wish.user_timeout()
            && limit.duration().is_some_and(|limit| limit > target)
        {
            return None;
        }
        let open = wish.held().map_or(Duration::MAX, |path| path.safe());
        let longest = u16::try_from(target.min(open).as_secs()).unwrap_or(u16::MAX);
        Some(Self {
            probes,
            longest: longest.min(KeepIdle::MAX.get()),
        })
    }
}

fn round(wish: &Wish, range: &Range, most: u32) -> Option<Settings> {
    let (idle, interval) = (
        wish.fixed.idle.map(KeepIdle::get),
        wish.fixed.interval.map(KeepIntvl::get),
    );
    let idles = idle.as_ref().map_or(ROUND, core::slice::from_ref);
    let intervals = interval.as_ref().map_or(ROUND, core::slice::from_ref);
    let most = most.max(range.probes.0).min(range.probes.1);
    for idle in idles.iter().rev().filter(|idle| **idle <= range.longest) {
        for probes in range.probes.0..=most {
            if !may_live(wish, *idle, *idle, probes) {
                continue;
            }
            let shortest = shortest_interval(wish, probes);
            let intervals = intervals
                .iter()
                .filter(|interval| (shortest..=*idle).contains(*interval));
            for interval in intervals {
                let found = candidate(wish, *idle, *interval, probes);
                match found.map(|found| (found, wish.broken(&found))) {
                    Some((found, None)) => return Some(found),
                    // A longer interval makes it worse.
                    Some((_, Some(Broken::Late { .. }))) if probes > 0 => break,
                    Some((_, Some(Broken::Forgotten { in_time: 0 | 1 }))) => break,
                    _ => {}
                }
            }
        }
    }
    None
}

/// Every idle and every number of probes, with the shortest intervals that ride out the outage and
/// the round ones above.
///
/// A given user timeout is tried with round numbers only: with it the time of death jumps from tick
/// to tick, and nothing can be skipped.
fn exact(wish: &Wish, range: &Range) -> Option<Settings> {
    let (fewest, most) = range.probes;
    if fewest < FEWEST_PROBES || matches!(wish.user_timeout(), UserTimeoutChoice::Fixed(_)) {
        return None;
    }
    let mut best: Option<Settings> = None;
    for probes in fewest..=most {
        if !may_live(wish, range.longest, range.longest, probes) {
            continue;
        }
        let shortest = shortest_interval(wish, probes);
        for interval in intervals_from(wish, shortest) {
            let Some(longest) = longest_idle(wish, range, interval, probes) else {
                break;
            };
            let better = best.map_or(1, |best| best.idle.get() + 1).max(interval);
            let (low, high) = match wish.fixed.idle.map(KeepIdle::get) {
                Some(fixed) => (fixed.max(better), fixed.min(longest)),
                None => (better, longest),
            };
            best = longest_of(wish, (low, high), interval, probes).or(best);
        }
    }
    best
}

/// The intervals to try, the shortest first.
fn intervals_from(wish: &Wish, shortest: u16) -> impl Iterator<Item = u16> {
    let near = shortest.saturating_add(NEAR);
    let given = wish.fixed.interval.map(KeepIntvl::get);
    let free = (shortest..near).chain(ROUND.iter().copied().filter(move |i| *i >= near));
    given
        .into_iter()
        .filter(move |given| *given >= shortest)
        .chain(free.filter(move |_| given.is_none()))
        .take_while(|interval| *interval <= KeepIntvl::MAX.get())
}

/// The shortest interval with which so many probes ride out the outage.
fn shortest_interval(wish: &Wish, probes: u32) -> u16 {
    let gaps = u128::from(probes.saturating_sub(1).max(1)) * 1_000;
    // A given user timeout takes the place of the count.
    let needed = match probes {
        0 => 1,
        _ => wish.outage().as_millis().div_ceil(gaps).max(1),
    };
    u16::try_from(needed).unwrap_or(u16::MAX)
}

/// The longest idle from low to high that serves. Where one does not, the next that may is jumped to.
fn longest_of(
    wish: &Wish,
    (low, high): (u16, u16),
    interval: u16,
    probes: u32,
) -> Option<Settings> {
    let late = |seconds: u16| wish.hz.latest(Duration::from_secs(u64::from(seconds)));
    let mut idle = high;
    // A shorter idle is probed more often, and is ended by loss more often.
    while idle >= low && may_live(wish, idle, interval, probes) {
        let found = candidate(wish, idle, interval, probes)?;
        let next = match wish.broken(&found) {
            None => return Some(found),
            Some(Broken::Forgotten { in_time }) => {
                let path = wish.held()?;
                let in_time = |idle: u16| late(idle) + late(interval) * in_time <= path.safe();
                last(low, idle - 1, in_time)
            }
            Some(Broken::Collides { .. }) => Some(idle - 1),
            // Timers that are less late leave room for more probes.
            Some(_) => {
                let lateness = late(idle).saturating_sub(found.idle_duration());
                last(low, idle - 1, |idle| {
                    late(idle) - Duration::from_secs(u64::from(idle)) < lateness
                })
            }
        };
        idle = next?;
    }
    None
}

/// The longest idle, not below the interval, that detects in time and lets two probes through
/// before the path forgets.
fn longest_idle(wish: &Wish, range: &Range, interval: u16, probes: u32) -> Option<u16> {
    let late = |seconds: u16| wish.hz.latest(Duration::from_secs(u64::from(seconds)));
    last(interval, range.longest, |idle| {
        let (first, step) = (late(idle), late(interval));
        let detects = first.saturating_add(step * probes);
        wish.detect_within.is_none_or(|target| detects <= target)
            && wish.held().is_none_or(|path| first + step <= path.safe())
    })
}

/// The greatest number of a range that serves, if all numbers below one that serves do too.
fn last(mut low: u16, mut high: u16, serves: impl Fn(u16) -> bool) -> Option<u16> {
    if high < low || !serves(low) {
        return None;
    }
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if serves(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Some(low)
}

/// Whether loss alone permits so few probes, if timers were exact.
fn may_live(wish: &Wish, idle: u16, interval: u16, probes: u32) -> bool {
    let rhythm = Rhythm {
        period: Duration::from_secs(u64::from(idle)),
        interval: Duration::from_secs(u64::from(interval)),
        strikes: probes,
    };
    probes == 0 || rhythm.chance_per_day(wish.loss) < GOAL
}

/// The settings of these numbers; `None` where one is out of range.
fn candidate(wish: &Wish, idle: u16, interval: u16, probes: u32) -> Option<Settings> {
    let choice = wish.user_timeout();
    let probes = match choice {
        UserTimeoutChoice::Fixed(limit) if probes == 0 => {
            let after_first = u64::from(limit.get()).saturating_sub(u64::from(idle) * 1_000);
            after_first
                .div_ceil(u64::from(interval) * 1_000)
                .clamp(1, 127)
        }
        _ => u64::from(probes),
    };
    let (idle, interval) = (u64::from(idle), u64::from(interval));
    Settings::new(
        KeepIdle::new(idle).ok()?,
        KeepIntvl::new(interval).ok()?,
        KeepCnt::new(probes).ok()?,
        choice,
    )
    .ok()
}
