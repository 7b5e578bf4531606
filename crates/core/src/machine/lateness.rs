//! When a timer of the machine fires: exactly, as late as it may, or as the wheel would have it.

use core::time::Duration;

use crate::wheel::Hz;

/// How late timers fire. Without a tick rate in the [`Setup`](super::Setup) all are exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lateness {
    /// Not at all.
    None,
    /// Always by the most that the wheel may.
    Most,
    /// As the wheel does, if this many jiffies had passed since boot at time zero.
    Phase(u64),
}

impl Lateness {
    pub(super) fn fires(self, hz: Option<Hz>, now: Duration, wait: Duration) -> Duration {
        match (self, hz) {
            // A timer of no length fires at the next tick.
            (Self::None, _) | (_, None) => now.saturating_add(wait.max(SHORTEST)),
            (Self::Most, Some(hz)) => now.saturating_add(hz.latest(wait)),
            (Self::Phase(zero), Some(hz)) => {
                let armed = zero.saturating_add(hz.passed(now));
                let fires = hz.fires(armed, hz.jiffies(wait));
                hz.duration(fires.saturating_sub(zero))
                    .max(now.saturating_add(wait))
            }
        }
    }
}

/// Some tick: 1 ms at HZ 1000.
const SHORTEST: Duration = Duration::from_millis(1);
