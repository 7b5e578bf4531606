//! The pace at which sockets are set.

use std::ops::Range;
use std::time::{Duration, Instant};

/// The most that is written into the journal at once, before it is done.
pub(super) const BATCH: usize = 4096;

/// With a pace, what is due within this time.
const AHEAD: Duration = Duration::from_secs(1);

/// When which socket is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    count: usize,
    spread: Duration,
}

impl Schedule {
    pub(super) const fn new(count: usize, spread: Duration) -> Self {
        Self { count, spread }
    }

    /// The first one at once, the last one at the end of the time.
    pub(super) fn due(&self, at: usize) -> Duration {
        let part = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
        let last = self.count.saturating_sub(1).max(1);
        self.spread.mul_f64(part(at.min(last)) / part(last))
    }

    /// What is written into the journal together, from this one on: at least one.
    pub(super) fn batch(&self, from: usize, now: Duration) -> Range<usize> {
        let most = self.count.min(from + BATCH);
        let end = (from + 1..most)
            .find(|at| self.due(*at) > now.saturating_add(AHEAD))
            .unwrap_or(most);
        from..end
    }

    /// How many may be set at this time, from this one on, if `most` is the most: at least one.
    pub(super) fn ready(&self, from: usize, most: usize, now: Duration) -> usize {
        let now = now.saturating_add(SHORT);
        let due = (from..self.count).take(most);
        due.take_while(|at| self.due(*at) <= now).count().max(1)
    }
}

/// Waits of this length are left out: they add up to the same.
const SHORT: Duration = Duration::from_millis(2);

/// Waits until something is due.
pub(super) fn wait_until(due: Instant) {
    let left = due.saturating_duration_since(Instant::now());
    if left > SHORT {
        std::thread::sleep(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_covers_all_in_order_and_looks_a_second_ahead() {
        for (count, spread) in [(0, 0), (1, 30), (2, 30), (10_000, 0), (10_000, 7)] {
            let schedule = Schedule::new(count, Duration::from_secs(spread));
            let (mut at, mut now) = (0, Duration::ZERO);
            while at < count {
                let batch = schedule.batch(at, now);
                assert!(batch.start == at && batch.len() <= BATCH && !batch.is_empty());
                let last = schedule.due(batch.end - 1);
                assert!(batch.len() == 1 || last <= now + AHEAD);
                now = now.max(last);
                at = batch.end;
            }
            assert_eq!(now, Duration::from_secs(if count > 1 { spread } else { 0 }));
        }
    }

    #[test]
    fn what_is_ready_is_due_and_never_nothing() {
        for (count, spread) in [(1, 30), (2, 30), (10_000, 0), (10_000, 7)] {
            let schedule = Schedule::new(count, Duration::from_secs(spread));
            let (mut at, mut now) = (0, Duration::ZERO);
            while at < count {
                now = now.max(schedule.due(at));
                let ready = schedule.ready(at, 4_095, now);
                assert!((1..=4_095).contains(&ready) && at + ready <= count);
                assert!(ready == 1 || schedule.due(at + ready - 1) <= now + SHORT);
                at += ready;
            }
        }
        let at_once = Schedule::new(10_000, Duration::ZERO);
        assert_eq!(at_once.ready(9_000, 4_095, Duration::ZERO), 1_000);
    }
}
