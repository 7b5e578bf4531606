//! Waits that double, as those of retransmission and of the persist timer do, added up.

use core::time::Duration;

/// What several waits add up to.
#[derive(Clone, Copy)]
pub(crate) struct Waits {
    /// If timers were exact.
    pub(crate) exact: Duration,
    /// If each were as late as it may be.
    pub(crate) latest: Duration,
}

/// Waits up to a limit.
#[derive(Clone, Copy)]
pub(crate) struct UpTo {
    /// All of them, if timers were exact.
    pub(crate) all: Waits,
    /// The fewest that may do: late timers can reach the limit with fewer waits, never before it.
    pub(crate) soonest: Duration,
}

impl Waits {
    const NONE: Self = Self {
        exact: Duration::ZERO,
        latest: Duration::ZERO,
    };

    /// The same wait `count` times more.
    fn and(self, count: u32, wait: Duration, late: impl Fn(Duration) -> Duration) -> Self {
        Self {
            exact: self.exact.saturating_add(wait.saturating_mul(count)),
            latest: self.latest.saturating_add(late(wait).saturating_mul(count)),
        }
    }
}

/// What becomes of the wait that would go beyond the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastWait {
    /// It ends at the limit: `tcp_clamp_rto_to_user_timeout()`.
    Cut,
    /// It is waited for.
    Whole,
}

/// Waits that begin with twice `before` and double up to `ceiling`, until they reach the limit. At
/// the ceiling they are alike and are reckoned at once: a user timeout may be 24 days, and anybody
/// may set it.
pub(crate) fn doubled(
    before: Duration,
    ceiling: Duration,
    limit: Duration,
    last: LastWait,
    late: impl Fn(Duration) -> Duration,
) -> UpTo {
    let mut waits = Waits::NONE;
    let mut soonest = None;
    let mut timeout = before;
    while waits.exact < limit {
        timeout = timeout.saturating_mul(2).min(ceiling);
        if timeout.is_zero() {
            break;
        }
        let left = limit.saturating_sub(waits.exact);
        let whole = u32::try_from(left.as_nanos() / timeout.as_nanos()).unwrap_or(u32::MAX);
        let (count, wait) = if timeout == ceiling && whole > 1 {
            (whole, timeout)
        } else if last == LastWait::Cut {
            (1, timeout.min(left))
        } else {
            (1, timeout)
        };
        let after = waits.and(count, wait, &late);
        if soonest.is_none() && after.latest >= limit {
            let missing = limit.saturating_sub(waits.latest).as_nanos();
            let fewest = missing.div_ceil(late(wait).as_nanos().max(1));
            let fewest = u32::try_from(fewest).unwrap_or(count).min(count);
            let early = waits.exact.saturating_add(wait.saturating_mul(fewest));
            soonest = Some(early.max(limit));
        }
        waits = after;
    }
    UpTo {
        all: waits,
        soonest: soonest.map_or(waits.exact, |early| early.min(waits.exact)),
    }
}

/// A first wait and `more` behind it that double up to `ceiling`, where they are alike.
pub(crate) fn repeated(
    first: Duration,
    ceiling: Duration,
    more: u32,
    late: impl Fn(Duration) -> Duration,
) -> Waits {
    let mut waits = Waits::NONE.and(1, first, &late);
    let (mut timeout, mut left) = (first, more);
    while left > 0 {
        let next = timeout.saturating_mul(2).min(ceiling);
        let count = if next == timeout { left } else { 1 };
        waits = waits.and(count, next, &late);
        left -= count;
        timeout = next;
    }
    waits
}
