//! How late the kernel's timer wheel may be (kernel/time/timer.c).
//!
//! The wheel has levels of 64 buckets; each level is eight times as coarse as the one below. A timer
//! is put into the first bucket that ends after its time, so it fires up to one bucket late and
//! never early.

use core::time::Duration;

/// The kernel's tick rate, `CONFIG_HZ`: jiffies a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hz(u32);

impl Hz {
    /// A tick rate; `None` for zero or more than 10 000, which no kernel has.
    #[must_use]
    pub const fn new(hz: u32) -> Option<Self> {
        if hz == 0 || hz > 10_000 {
            None
        } else {
            Some(Self(hz))
        }
    }

    /// Jiffies a second.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The length of `jiffies`.
    #[must_use]
    pub fn duration(self, jiffies: u64) -> Duration {
        let hz = u64::from(self.0);
        let whole = Duration::from_secs(jiffies / hz);
        whole + Duration::from_nanos(jiffies % hz * 1_000_000_000 / hz)
    }

    /// The number of jiffies in a duration, rounded up as the kernel does for timeouts.
    #[must_use]
    pub fn jiffies(self, duration: Duration) -> u64 {
        // Seconds and their fraction apart: 128-bit division would be what a judgement costs most.
        let hz = u64::from(self.0);
        // A tick need not be a whole number of nanoseconds: one too many is none.
        let fraction = (u64::from(duration.subsec_nanos()) * hz).saturating_sub(hz - 1);
        duration
            .as_secs()
            .saturating_mul(hz)
            .saturating_add(fraction.div_ceil(1_000_000_000))
    }

    /// The whole jiffies that have passed after a time.
    #[must_use]
    pub fn passed(self, time: Duration) -> u64 {
        let hz = u64::from(self.0);
        // As above: a nanosecond before a tick is the tick.
        let fraction = u64::from(time.subsec_nanos()) * hz + hz - 1;
        time.as_secs()
            .saturating_mul(hz)
            .saturating_add(fraction / 1_000_000_000)
    }

    /// The jiffy at whose beginning a timer fires that is armed at the jiffy `armed` for `length`
    /// jiffies: the end of its bucket (`calc_index()`).
    #[must_use]
    pub fn fires(self, armed: u64, length: u64) -> u64 {
        let width = bucket(length);
        let expires = armed.saturating_add(length);
        (expires / width).saturating_add(1).saturating_mul(width)
    }

    /// The width in jiffies of the bucket that a timer of so many jiffies falls into: all that is due
    /// within it fires together.
    #[must_use]
    pub fn width(self, length: u64) -> u64 {
        bucket(length)
    }

    /// The most that a timer of this length may be late: one bucket of its level.
    #[must_use]
    pub fn lateness(self, timer: Duration) -> Duration {
        self.duration(bucket(self.jiffies(timer)))
    }

    /// A timer's length with the most that it may be late. The kernel counts it in whole jiffies.
    #[must_use]
    pub fn latest(self, timer: Duration) -> Duration {
        let jiffies = self.jiffies(timer);
        self.duration(jiffies.saturating_add(bucket(jiffies)))
    }
}

/// Levels of the wheel with `HZ > 100`; beyond the last, the granularity stays.
const LEVELS: u32 = 9;
const LEVEL_SIZE: u64 = 64;

/// The width in jiffies of the bucket that a timer of `delta` jiffies falls into: `calc_wheel_index()`.
fn bucket(delta: u64) -> u64 {
    let mut level = 0;
    while level + 1 < LEVELS && delta >= (LEVEL_SIZE - 1) << (level * 3) {
        level += 1;
    }
    1 << (level * 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn buckets_at_250_hz_are_those_measured() {
        let hz = Hz::new(250).unwrap();
        for (timer, late) in [
            (0.2, 0.004),
            (1.0, 0.032),
            (15.0, 0.256),
            (60.0, 2.048),
            (128.0, 2.048),
            (140.0, 16.384),
            (1000.0, 16.384),
            (7200.0, 131.072),
        ] {
            assert_eq!(hz.lateness(seconds(timer)), seconds(late), "{timer} s");
        }
    }

    #[test]
    fn jiffies_and_their_lengths_agree_at_every_rate() {
        for hz in [24, 100, 250, 300, 1000, 1024] {
            let hz = Hz::new(hz).unwrap();
            for n in 0..5_000 {
                assert_eq!(hz.jiffies(hz.duration(n)), n);
                assert_eq!(hz.passed(hz.duration(n)), n);
            }
        }
    }

    /// The kernel counts in jiffies: what is shorter than one is waited for as one.
    #[test]
    fn the_latest_time_is_reckoned_in_whole_jiffies() {
        let hz = Hz::new(250).unwrap();
        for (timer_ms, latest_ms) in [(201, 208), (204, 208), (1, 8), (60_000, 62_048)] {
            assert_eq!(
                hz.latest(Duration::from_millis(timer_ms)),
                Duration::from_millis(latest_ms)
            );
        }
    }

    #[test]
    fn a_timer_fires_at_the_end_of_its_bucket() {
        let hz = Hz::new(250).unwrap();
        for (armed, length, fires) in [
            (0, 51, 52),
            (7, 51, 59),
            // 64 jiffies: buckets of 8.
            (0, 64, 72),
            (7, 64, 72),
            (8, 64, 80),
            // 60 s: buckets of 512.
            (0, 15_000, 15_360),
            (360, 15_000, 15_872),
        ] {
            assert_eq!(hz.fires(armed, length), fires, "{length} from {armed}");
        }
    }

    #[test]
    fn no_timer_fires_early_or_later_than_the_latest() {
        for hz in [100, 250, 300, 1000] {
            let hz = Hz::new(hz).unwrap();
            for length in [1, 50, 62, 63, 64, 503, 504, 505, 15_000, 1_800_000] {
                for armed in (0..40_000).step_by(37) {
                    let late = hz.fires(armed, length) - armed - length;
                    assert!(late > 0 && hz.duration(late) <= hz.lateness(hz.duration(length)));
                }
            }
        }
    }

    #[test]
    fn jiffies_round_up() {
        let hz = Hz::new(250).unwrap();
        assert_eq!(hz.jiffies(Duration::from_millis(1)), 1);
        assert_eq!(hz.jiffies(Duration::from_secs(60)), 15_000);
        assert_eq!(hz.duration(15_000), Duration::from_secs(60));
        assert_eq!(Hz::new(0), None);
    }
}
