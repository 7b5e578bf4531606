//! How many probes leave in a second, over all network namespaces.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Hands out the right to send, evenly over time. Times are of one clock for all who ask.
#[derive(Debug)]
pub(crate) struct Pacer {
    /// Nanoseconds from one probe to the next.
    gap: u64,
    /// What may be caught up with: what came due within this time.
    slack: u64,
    /// When the next one is due, nanoseconds.
    next: Mutex<u64>,
}

/// Whoever comes late by as much as this may send what came due meanwhile at once.
const SLACK: Duration = Duration::from_millis(10);

impl Pacer {
    /// So many in a second, at least one.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            gap: 1_000_000_000 / u64::from(per_second.max(1)),
            slack: nanos(SLACK),
            next: Mutex::new(0),
        }
    }

    /// Takes at most `wanted` rights, as many as are due.
    pub(crate) fn take(&self, now: Duration, wanted: usize) -> usize {
        let mut next = self.next();
        let now = nanos(now);
        *next = (*next).max(now.saturating_sub(self.slack));
        let mut taken = 0;
        while taken < wanted && *next <= now {
            *next = next.saturating_add(self.gap.max(1));
            taken += 1;
        }
        taken
    }

    /// Gives back what was not used.
    pub(crate) fn give_back(&self, count: usize) {
        let count = u64::try_from(count).unwrap_or(0);
        let mut next = self.next();
        *next = next.saturating_sub(self.gap.max(1).saturating_mul(count));
    }

    /// When the next right is due.
    pub(crate) fn due(&self) -> Duration {
        Duration::from_nanos(*self.next())
    }

    fn next(&self) -> std::sync::MutexGuard<'_, u64> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_leave_as_are_allowed() {
        for (rate, step_ms) in [(1_000, 1), (1_000, 7), (200, 1), (50_000, 3), (1, 100)] {
            let pacer = Pacer::new(rate);
            let mut sent = 0_u64;
            for step in 0..10_000 / step_ms {
                sent += u64::try_from(pacer.take(Duration::from_millis(step * step_ms), 1_000))
                    .unwrap();
            }
            let allowed = u64::from(rate) * 10;
            assert!(
                (allowed - allowed / 100..=allowed + 1).contains(&sent),
                "{rate}: {sent}"
            );
        }
    }

    #[test]
    fn what_was_missed_is_not_caught_up_with() {
        let pacer = Pacer::new(1_000);
        assert_eq!(pacer.take(Duration::ZERO, 10), 1);
        let late = Duration::from_secs(60);
        assert_eq!(
            pacer.take(late, usize::MAX),
            11,
            "what came due within the slack"
        );
        assert_eq!(pacer.take(late, 1), 0);
        assert!(pacer.due() > late && pacer.due() < late + Duration::from_millis(2));
        pacer.give_back(1);
        assert_eq!(pacer.take(late, 5), 1);
    }
}
