//! When a dead peer is noticed: the closed formulas.
//!
//! Three cases, which exclude each other at any moment: the connection is idle (keepalive decides,
//! `tcp_keepalive_timer()`), data is unacknowledged (retransmission decides, `tcp_write_timeout()`),
//! or the peer announced a zero window (the persist timer decides, `tcp_probe_timer()`); all in
//! net/ipv4/tcp_timer.c. Times count from the last segment received, from the sending of the data,
//! and from the arming of the persist timer.

use core::time::Duration;

use crate::settings::EffectiveTimers;
use crate::waits::{LastWait, UpTo, Waits, doubled, repeated};
use crate::wheel::Hz;

/// When a dead peer is noticed in one case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Noticed {
    /// The connection stays for ever.
    Never,
    /// The kernel gives the connection up.
    After {
        /// Not before this.
        earliest: Duration,
        /// By the settings, if timers were exact.
        by_settings: Duration,
        /// Not after this, however late the timer wheel is; equal to `by_settings` where the tick
        /// rate is unknown.
        latest: Duration,
    },
}

impl Noticed {
    /// The time by the settings, `None` for never.
    #[must_use]
    pub const fn by_settings(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After { by_settings, .. } => Some(by_settings),
        }
    }

    /// The latest time, `None` for never.
    #[must_use]
    pub const fn latest(self) -> Option<Duration> {
        match self {
            Self::Never => None,
            Self::After { latest, .. } => Some(latest),
        }
    }
}

/// When a dead peer is noticed, in each of the three cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Detection {
    /// Nothing is in flight or queued.
    pub idle: Noticed,
    /// Data is unacknowledged; `None` where the retransmission timeout is unknown.
    pub unacknowledged: Option<Noticed>,
    /// Data waits for a window that the dead peer will never open; `None` as above. With a user
    /// timeout a *living* peer that keeps its window closed is given up at the same time.
    pub zero_window: Option<Noticed>,
}

/// What retransmission and persist timers go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Backoff {
    /// The retransmission timeout without backoff.
    pub rto: Duration,
    /// Its ceiling (`tcp_rto_max()`).
    pub rto_max: Duration,
    /// `tcp_retries2`.
    pub retries2: u32,
}

impl Detection {
    /// All three cases.
    #[must_use]
    pub fn of(timers: &EffectiveTimers, backoff: Option<&Backoff>, hz: Option<Hz>) -> Self {
        let user_timeout = timers.user_timeout.duration();
        Self {
            idle: idle(timers, hz),
            unacknowledged: backoff.map(|b| unacknowledged(b, user_timeout, hz)),
            zero_window: backoff.map(|b| zero_window(b, user_timeout, hz)),
        }
    }
}

/// The last few detections and what each was made from. Connections of a machine have few settings
/// among them, and the formulas are what judging a connection costs most.
#[derive(Debug, Clone, Default)]
pub struct Remembered {
    kept: [Option<(Inputs, Detection)>; 4],
    oldest: usize,
}

type Inputs = (EffectiveTimers, Option<Backoff>, Option<Hz>);

impl Remembered {
    /// The same as [`Detection::of`].
    #[must_use]
    pub fn of(
        &mut self,
        timers: &EffectiveTimers,
        backoff: Option<&Backoff>,
        hz: Option<Hz>,
    ) -> Detection {
        let inputs = (*timers, backoff.copied(), hz);
        let known = self.kept.iter().flatten().find(|(kept, _)| *kept == inputs);
        if let Some((_, detection)) = known {
            return *detection;
        }
        let detection = Detection::of(timers, backoff, hz);
        self.kept[self.oldest] = Some((inputs, detection));
        self.oldest = (self.oldest + 1) % self.kept.len();
        detection
    }
}

/// How long the peer may be silent, by the settings, before it is probed.
///
/// After traffic that is `idle`. But when a probe was answered, the timer is armed with `interval`
/// (`tcp_keepalive_timer()`), and only what is missing to `idle` is waited for beyond that: an idle
/// connection is probed every `idle` or every `interval`, whichever is longer. `None` when it is
/// never probed, or only once: keepalive is off, or a default is -1 second.
#[must_use]
pub fn probe_period(timers: &EffectiveTimers) -> Option<Duration> {
    let idle = u64::try_from(timers.idle.value)
        .ok()
        .filter(|_| timers.keepalive)?;
    Some(Duration::from_secs(idle).max(interval(timers)?))
}

/// `None` for a default of -1 second: behind the first probe, the timer never fires again.
fn interval(timers: &EffectiveTimers) -> Option<Duration> {
    let seconds = u64::try_from(timers.interval.value).ok()?;
    Some(Duration::from_secs(seconds))
}

/// Keepalive: the timer ticks when the silence has lasted for the [`probe_period`] (for `idle` only,
/// if no probe was answered since the last traffic), and then every `interval`.
///
/// Without a user timeout the connection is given up at the tick at which `probes` are unanswered.
/// With one the count is ignored: it is given up at the first tick at which the silence has reached
/// the user timeout and a probe is unanswered.
#[must_use]
pub fn idle(timers: &EffectiveTimers, hz: Option<Hz>) -> Noticed {
    let Some(idle) = u64::try_from(timers.idle.value)
        .ok()
        .filter(|_| timers.keepalive)
        .map(Duration::from_secs)
    else {
        return Noticed::Never;
    };
    // Where no probe is ever sent, none is ever answered, and no interval waited for.
    let unprobed = timers.probes.value == 0 && timers.user_timeout.duration().is_none();
    let interval = match interval(timers) {
        _ if unprobed => Duration::ZERO,
        Some(interval) => interval,
        None => return Noticed::Never,
    };
    let ticks = Ticks { idle, interval, hz };
    match timers.user_timeout.duration() {
        Some(limit) => ticks.up_to(limit),
        None => ticks.counted(u32::try_from(timers.probes.value).unwrap_or(0)),
    }
}

/// After how few unanswered probes in a row a living connection may be given up.
///
/// With a user timeout the kernel does not count, it looks at the silence at each tick: ticks that
/// come late reach the user timeout sooner in the count.
#[must_use]
pub fn strikes(timers: &EffectiveTimers, hz: Option<Hz>) -> u32 {
    let late = |timer: Duration| hz.map_or(timer, |hz| hz.latest(timer));
    match (timers.user_timeout.duration(), interval(timers)) {
        (Some(limit), Some(interval)) => {
            let period = probe_period(timers).unwrap_or(interval);
            ticks_up_to(limit, late(period), late(interval))
        }
        // No tick comes behind the first probe.
        (Some(_), None) => u32::MAX,
        (None, _) => u32::try_from(timers.probes.value).unwrap_or(0),
    }
}

/// The ticks of the keepalive timer while nobody answers.
struct Ticks {
    idle: Duration,
    interval: Duration,
    hz: Option<Hz>,
}

impl Ticks {
    fn late(&self, timer: Duration) -> Duration {
        self.hz.map_or(timer, |hz| hz.latest(timer))
    }

    fn period(&self) -> Duration {
        self.idle.max(self.interval)
    }

    /// The tick at which so many probes are unanswered.
    fn counted(&self, probes: u32) -> Noticed {
        let late = self.late(self.interval);
        Noticed::After {
            earliest: after(self.idle, self.interval, probes),
            by_settings: after(self.period(), self.interval, probes),
            latest: after(self.late(self.period()), late, probes),
        }
    }

    /// The first tick behind a probe that reaches the user timeout.
    fn up_to(&self, limit: Duration) -> Noticed {
        let (idle, interval, period) = (self.idle, self.interval, self.period());
        let late_interval = self.late(interval);
        if interval.is_zero() {
            // A tick every jiffy.
            let reached = idle.max(limit);
            return Noticed::After {
                earliest: reached,
                by_settings: reached,
                latest: self
                    .late(idle)
                    .max(limit)
                    .saturating_add(late_interval.saturating_mul(2)),
            };
        }
        let by_settings = after(period, interval, ticks_up_to(limit, period, interval));
        if period > idle {
            // The first tick comes at any time from idle to the period, as traffic would have it.
            return Noticed::After {
                earliest: limit.max(after(idle, interval, 1)).min(by_settings),
                by_settings,
                latest: self.late(period).max(limit).saturating_add(late_interval),
            };
        }
        // Late ticks may reach it earlier in the count.
        let late_idle = self.late(idle);
        let soonest = ticks_up_to(limit, late_idle, late_interval);
        Noticed::After {
            earliest: after(idle, interval, soonest).max(limit.min(by_settings)),
            by_settings,
            latest: after(late_idle, late_interval, ticks_up_to(limit, idle, interval)),
        }
    }
}

/// Ticks behind the first until the limit, at least one.
fn ticks_up_to(limit: Duration, first: Duration, step: Duration) -> u32 {
    let missing = limit.saturating_sub(first).as_nanos();
    let ticks = missing.div_ceil(step.as_nanos().max(1));
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}

fn after(first: Duration, step: Duration, times: u32) -> Duration {
    first.saturating_add(step.saturating_mul(times))
}

/// The timeout from which the kernel reckons what a number of retransmissions stands for:
/// `TCP_RTO_MIN`, a constant, in `retransmits_timed_out()`. Neither `tcp_rto_min_us` nor the route's
/// `rto_min` has a part in it, though both change how fast retransmission really is.
pub const RETRIES_BASE: Duration = Duration::from_millis(200);

/// The time that a number of retransmissions stands for, with timeouts doubled from `base` up to
/// `rto_max`: `tcp_model_timeout()`. The base is [`RETRIES_BASE`], or 1 s in a handshake.
#[must_use]
pub fn model_timeout(base: Duration, rto_max: Duration, retries: u32) -> Duration {
    let ratio = rto_max.as_nanos() / base.as_nanos().max(1);
    let doublings = ratio.max(1).ilog2().min(retries);
    let exponential = base.saturating_mul((2u32 << doublings.min(30)) - 1);
    exponential.saturating_add(rto_max.saturating_mul(retries - doublings))
}

/// Retransmission with doubled timeouts, until the time since the *first retransmission* has reached
/// the user timeout, or what `tcp_retries2` stands for.
///
/// A tail loss probe may come before the first retransmission and puts it off by at most one RTO.
#[must_use]
pub fn unacknowledged(
    backoff: &Backoff,
    user_timeout: Option<Duration>,
    hz: Option<Hz>,
) -> Noticed {
    let late = |timer: Duration| hz.map_or(timer, |hz| hz.latest(timer));
    let first = backoff.rto.min(backoff.rto_max);
    let (limit, last) = match user_timeout {
        Some(limit) => (limit, LastWait::Cut),
        None => (retries2_time(backoff), LastWait::Whole),
    };
    let UpTo { all, soonest } = doubled(first, backoff.rto_max, limit, last, late);
    let soonest = match hz {
        Some(_) => soonest,
        // How late timers are is not known: not before the limit is all that is sure.
        None => limit.min(all.exact),
    };
    Noticed::After {
        earliest: first.saturating_add(soonest),
        by_settings: first.saturating_add(all.exact),
        latest: late(first).saturating_mul(2).saturating_add(all.latest),
    }
}

/// The time that `tcp_retries2` stands for.
fn retries2_time(backoff: &Backoff) -> Duration {
    model_timeout(RETRIES_BASE, backoff.rto_max, backoff.retries2)
}

/// The first wait of the persist timer: `tcp_probe0_base()` holds it at 200 ms at least, whatever
/// `tcp_rto_min_us` says.
#[must_use]
pub fn persist_base(backoff: &Backoff) -> Duration {
    backoff
        .rto
        .max(Duration::from_millis(200))
        .min(backoff.rto_max)
}

/// Zero-window probes with doubled timeouts, until `tcp_retries2` of them are unanswered or the user
/// timeout has passed since the first, whichever comes sooner.
#[must_use]
pub fn zero_window(backoff: &Backoff, user_timeout: Option<Duration>, hz: Option<Hz>) -> Noticed {
    let late = |timer: Duration| hz.map_or(timer, |hz| hz.latest(timer));
    let first = persist_base(backoff);
    let by_count = repeated(first, backoff.rto_max, backoff.retries2, late);
    // The timeout counts from the first probe, and each wait behind it may be late.
    let by_time = user_timeout.map(|limit| {
        let waits = doubled(first, backoff.rto_max, limit, LastWait::Cut, late);
        Waits {
            exact: first.saturating_add(limit),
            latest: late(first).saturating_add(waits.all.latest),
        }
    });
    let waits = match by_time {
        Some(by_time) => Waits {
            exact: by_time.exact.min(by_count.exact),
            latest: by_time.latest.min(by_count.latest),
        },
        None => by_count,
    };
    Noticed::After {
        earliest: waits.exact,
        by_settings: waits.exact,
        latest: waits.latest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::namespace::NetnsDefaults;
    use crate::settings::{Setting, SocketTimers, UserTimeout};

    fn timers(idle: u32, interval: u32, probes: u32, user_timeout_ms: u64) -> EffectiveTimers {
        SocketTimers {
            keepalive: true,
            idle: Setting::Socket(idle),
            interval: Setting::Socket(interval),
            probes: Setting::Socket(probes),
            user_timeout: UserTimeout::new(user_timeout_ms).unwrap(),
        }
        .effective(&NetnsDefaults::KERNEL)
    }

    fn backoff(rto_ms: u64, retries2: u32) -> Backoff {
        Backoff {
            rto: Duration::from_millis(rto_ms),
            rto_max: Duration::from_secs(120),
            retries2,
        }
    }

    fn hz() -> Option<Hz> {
        Hz::new(250)
    }

    /// Measured on kernel 6.18 with HZ = 250: (idle, interval, probes, user timeout, seconds to death).
    #[test]
    fn idle_deaths_that_were_measured_lie_in_the_window() {
        for (idle_s, interval, probes, ut, measured) in [
            (2, 1, 3, 0, 5.08),
            (2, 1, 3, 1_000, 3.05),
            (2, 1, 3, 2_500, 3.04),
            (2, 1, 3, 3_000, 3.04),
            (2, 1, 3, 4_200, 5.07),
            (2, 1, 3, 5_000, 5.08),
            (2, 1, 3, 7_500, 8.15),
            (2, 1, 3, 10_000, 10.22),
            (2, 1, 3, 12_300, 13.29),
            (2, 4, 3, 3_000, 6.17),
            (2, 4, 3, 9_000, 10.36),
            (10, 2, 2, 0, 14.09),
            // After an answered probe the timer runs for the interval.
            (2, 10, 2, 0, 30.56),
            (3, 9, 1, 0, 18.47),
            (2, 10, 9, 15_000, 20.32),
        ] {
            let Noticed::After {
                earliest,
                by_settings,
                latest,
            } = idle(&timers(idle_s, interval, probes, ut), hz())
            else {
                panic!("never");
            };
            let measured = Duration::from_secs_f64(measured);
            let slack = Duration::from_millis(60);
            assert!(earliest <= by_settings && by_settings <= latest);
            assert!(
                earliest <= measured && measured <= latest + slack,
                "{idle_s}/{interval}/{probes} ut {ut}: {earliest:?}..{latest:?}, saw {measured:?}"
            );
        }
    }

    #[test]
    fn late_ticks_use_a_user_timeout_up_with_fewer_probes() {
        for (idle, interval, probes, user_timeout, needed) in [
            (60, 10, 6, 120_000, 6),
            (60, 10, 6, 0, 6),
            (60, 10, 1, 0, 1),
            // The first tick may be 16.4 s late, which uses up the time of all nine probes.
            (600, 1, 9, 609_000, 1),
            (600, 1, 9, 0, 9),
            (600, 15, 6, 690_000, 5),
            (60, 10, 6, 30_000, 1),
        ] {
            let timers = timers(idle, interval, probes, user_timeout);
            assert_eq!(strikes(&timers, hz()), needed, "{idle}/{interval}/{probes}");
        }
        assert_eq!(strikes(&timers(600, 1, 9, 609_000), None), 9);
    }

    #[test]
    fn the_kernels_defaults_take_over_two_hours() {
        let noticed = idle(&timers(7200, 75, 9, 0), hz());
        assert_eq!(noticed.by_settings(), Some(Duration::from_secs(7875)));
        // 7200 + 131.072 + 9 x (75 + 2.048)
        assert_eq!(noticed.latest(), Some(Duration::from_millis(8_024_504)));
    }

    #[test]
    fn a_longer_interval_sets_the_pace() {
        let seconds = |noticed: Noticed| noticed.by_settings().map(|time| time.as_secs());
        assert_eq!(seconds(idle(&timers(60, 75, 9, 0), hz())), Some(750));
        assert_eq!(seconds(idle(&timers(75, 60, 9, 0), hz())), Some(615));
        assert_eq!(
            probe_period(&timers(60, 75, 9, 0)),
            Some(Duration::from_secs(75))
        );
        let mut never = timers(60, 75, 9, 0);
        never.keepalive = false;
        assert_eq!(probe_period(&never), None);
    }

    #[test]
    fn off_is_never() {
        let off = EffectiveTimers {
            keepalive: false,
            ..timers(60, 10, 6, 30_000)
        };
        assert_eq!(idle(&off, hz()), Noticed::Never);
        let mut negative = timers(60, 10, 6, 0);
        negative.idle.value = -1;
        assert_eq!(idle(&negative, hz()), Noticed::Never);
    }

    /// Only a sysctl can say so. Measured on 6.18, idle 2 s: (interval, probes, user timeout, end).
    #[test]
    fn intervals_that_only_a_sysctl_can_hold() {
        for (interval, probes, user_timeout, end) in [
            (0, 3, 6_000, Some(6)),
            (0, 3, 1_000, Some(2)),
            (0, 3, 0, Some(2)),
            (-1, 3, 6_000, None),
            (-1, 1, 0, None),
            // The first tick ends it, so that none is missed.
            (-1, 0, 0, Some(2)),
        ] {
            let mut timers = timers(2, 1, probes, user_timeout);
            timers.interval.value = interval;
            timers.probes.value = i64::from(probes);
            let seconds = idle(&timers, hz()).by_settings().map(|end| end.as_secs());
            assert_eq!(seconds, end, "{interval}, {probes}, {user_timeout} ms");
        }
    }

    #[test]
    fn zero_probes_kill_at_the_idle_time() {
        let mut none = timers(60, 10, 1, 0);
        none.probes.value = 0;
        assert_eq!(
            idle(&none, hz()).by_settings(),
            Some(Duration::from_secs(60))
        );
    }

    #[test]
    fn the_model_timeout_is_the_documented_one() {
        // tcp_retries2 = 15 is documented as 924.6 s, 8 as the RFC 1122 minimum of more than 100 s.
        for (retries2, millis) in [(15, 924_600), (8, 102_200), (5, 12_600), (0, 200)] {
            let time = retries2_time(&backoff(204, retries2));
            assert_eq!(time, Duration::from_millis(millis), "{retries2}");
        }
    }

    /// Measured on 6.18 with HZ = 250: (rto in ms, its ceiling in s, retries2, user timeout in ms,
    /// seconds from the write to the death). An RTO of 12, 56 and 1004 ms is what `tcp_rto_min_us` of
    /// 5,000, 50,000 and 1,000,000 made of a short path; `tcp_retries2` stands for the same time.
    #[test]
    fn busy_deaths_that_were_measured_lie_in_the_window() {
        for (rto, rto_max, retries2, ut, measured) in [
            (204, 120, 15, 3_000, 3.42),
            (204, 120, 15, 10_000, 10.45),
            (204, 120, 5, 0, 13.4),
            (204, 5, 8, 0, 27.13),
            (12, 120, 3, 0, 3.18),
            (56, 120, 0, 0, 0.47),
            (56, 120, 4, 0, 7.37),
            (56, 5, 8, 0, 27.88),
            (56, 5, 15, 0, 63.71),
            (1_004, 120, 3, 0, 8.18),
        ] {
            let ut = (ut > 0).then(|| Duration::from_millis(ut));
            let backoff = Backoff {
                rto_max: Duration::from_secs(rto_max),
                ..backoff(rto, retries2)
            };
            let Noticed::After {
                earliest, latest, ..
            } = unacknowledged(&backoff, ut, hz())
            else {
                panic!("never");
            };
            let measured = Duration::from_secs_f64(measured);
            let slack = Duration::from_millis(60);
            assert!(
                earliest <= measured && measured <= latest + slack,
                "{backoff:?}: {earliest:?}..{latest:?}, saw {measured:?}"
            );
        }
    }

    #[test]
    fn late_timers_may_save_a_retransmission_only_where_they_reach_the_limit() {
        let windows = |rto_max, retries2| {
            let backoff = Backoff {
                rto_max: Duration::from_secs(rto_max),
                ..backoff(204, retries2)
            };
            [hz(), None].map(|hz| match unacknowledged(&backoff, None, hz) {
                Noticed::After {
                    earliest,
                    by_settings,
                    ..
                } => (earliest.as_millis(), by_settings.as_millis()),
                Noticed::Never => panic!("never"),
            })
        };
        // 26.2 s behind the first retransmission: the timer of 26.12 s reaches it if it is late.
        assert_eq!(windows(5, 8), [(26_404, 31_324), (26_404, 31_324)]);
        // 924.6 s: the timer of 808.5 s is never so late. Without a tick rate nobody knows.
        assert_eq!(windows(120, 15), [(928_692, 928_692), (924_804, 928_692)]);
    }

    #[test]
    fn a_user_timeout_ends_a_zero_window() {
        let noticed = zero_window(&backoff(204, 15), Some(Duration::from_secs(4)), hz());
        let Noticed::After {
            earliest, latest, ..
        } = noticed
        else {
            panic!("never")
        };
        let measured = Duration::from_millis(4_300);
        assert!(earliest <= measured && measured <= latest + Duration::from_millis(60));
    }

    /// Measured on 6.18 with `tcp_rto_min_us` = 5000: with an RTO of 12 ms the persist timer begins
    /// with 196 ms all the same.
    #[test]
    fn the_persist_timer_never_begins_below_200_ms() {
        // 200 + 400 + 800 + 1600
        assert_eq!(
            zero_window(&backoff(12, 3), None, None).by_settings(),
            Some(Duration::from_millis(3_000))
        );
    }

    #[test]
    fn the_count_of_zero_window_probes_ends_it_before_a_long_user_timeout() {
        let hour = Some(Duration::from_secs(3_600));
        for retries2 in [3, 5, 8] {
            let backoff = backoff(204, retries2);
            assert_eq!(
                zero_window(&backoff, hour, hz()),
                zero_window(&backoff, None, hz())
            );
        }
        let short = Some(Duration::from_secs(2));
        let noticed = zero_window(&backoff(204, 15), short, hz());
        assert_eq!(noticed.by_settings(), Some(Duration::from_millis(2_204)));
    }

    /// Wait by wait, as the kernel does it.
    fn one_by_one(b: &Backoff, user_timeout: Option<Duration>) -> Duration {
        let limit = user_timeout.unwrap_or_else(|| retries2_time(b));
        let first = b.rto.min(b.rto_max);
        let (mut passed, mut timeout) = (Duration::ZERO, first);
        while passed < limit {
            timeout = (timeout * 2).min(b.rto_max);
            passed += match user_timeout {
                Some(_) => timeout.min(limit - passed),
                None => timeout,
            };
        }
        first + passed
    }

    #[test]
    fn alike_waits_are_reckoned_at_once_and_rightly() {
        for rto in [200, 204, 3_000, 119_000, 120_000] {
            for retries2 in [0, 3, 8, 15, 100] {
                for ut in [
                    None,
                    Some(1),
                    Some(240_000),
                    Some(360_001),
                    Some(86_400_000),
                ] {
                    let ut = ut.map(Duration::from_millis);
                    let b = backoff(rto, retries2);
                    assert_eq!(
                        unacknowledged(&b, ut, None).by_settings(),
                        Some(one_by_one(&b, ut)),
                        "rto {rto} ms, retries2 {retries2}, user timeout {ut:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn no_value_that_a_program_can_set_takes_long() {
        let hostile = Backoff {
            rto_max: Duration::from_millis(1),
            ..backoff(1, u32::MAX)
        };
        let month = Some(Duration::from_millis(2_147_483_647));
        for ut in [None, month] {
            let _ = unacknowledged(&hostile, ut, hz());
            let _ = zero_window(&hostile, ut, hz());
        }
    }

    #[test]
    fn what_is_remembered_is_what_would_be_reckoned() {
        let mut remembered = Remembered::default();
        for n in 0..200u32 {
            let timers = timers(60 + n % 3, 10, 6, u64::from(n % 2) * 5_000);
            let backoff = (n % 7 != 0).then(|| backoff(200 + u64::from(n % 5) * 4, 15));
            assert_eq!(
                remembered.of(&timers, backoff.as_ref(), hz()),
                Detection::of(&timers, backoff.as_ref(), hz())
            );
        }
    }

    #[test]
    fn degenerate_values_end() {
        for retries2 in [0, 1, 255] {
            for rto in [0, 1, 200, 120_000] {
                let b = backoff(rto, retries2);
                let _ = unacknowledged(&b, None, hz());
                let _ = unacknowledged(&b, Some(Duration::from_millis(1)), None);
                let _ = zero_window(&b, Some(Duration::from_millis(1)), hz());
                let _ = zero_window(&b, None, hz());
            }
        }
        let _ = idle(&timers(1, 1, 1, 2_147_483_647), hz());
    }
}
