//! Four values that stand together: what a plan chooses and a configuration file says.

use core::fmt;
use core::time::Duration;

use crate::detection::{self, Backoff, Noticed};
use crate::settings::{
    Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Origin, OutOfRange, UserTimeout,
    UserTimeoutChoice,
};
use crate::wheel::Hz;

/// Keepalive switched on, with all four settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Silence before the first probe.
    pub idle: KeepIdle,
    /// Time between probes.
    pub interval: KeepIntvl,
    /// Unanswered probes before the connection is given up.
    pub probes: KeepCnt,
    /// Limit for unacknowledged data; [`UserTimeout::OFF`] for none.
    pub user_timeout: UserTimeout,
}

impl Settings {
    /// Three values and the user timeout that is wanted beside them.
    ///
    /// # Errors
    /// [`OutOfRange`] when an automatic user timeout comes to more than the option takes.
    pub fn new(
        idle: KeepIdle,
        interval: KeepIntvl,
        probes: KeepCnt,
        user_timeout: UserTimeoutChoice,
    ) -> Result<Self, OutOfRange> {
        Ok(Self {
            idle,
            interval,
            probes,
            user_timeout: user_timeout.beside(idle, interval, probes)?,
        })
    }

    /// As a socket has them that holds each value itself.
    #[must_use]
    pub fn timers(&self) -> EffectiveTimers {
        let own = |value: i64| Effective {
            value,
            origin: Some(Origin::Socket),
        };
        EffectiveTimers {
            keepalive: true,
            idle: own(i64::from(self.idle.get())),
            interval: own(i64::from(self.interval.get())),
            probes: own(i64::from(self.probes.get())),
            user_timeout: self.user_timeout,
        }
    }

    /// How often an idle connection is probed whose peer answers.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.idle_duration().max(self.interval_duration())
    }

    /// When a peer that dies while the connection is idle is noticed.
    #[must_use]
    pub fn detects_idle(&self, hz: Hz) -> Noticed {
        detection::idle(&self.timers(), Some(hz))
    }

    /// When a peer that dies while data is in flight is noticed.
    #[must_use]
    pub fn detects_busy(&self, backoff: &Backoff, hz: Hz) -> Noticed {
        detection::unacknowledged(backoff, self.user_timeout.duration(), Some(hz))
    }

    /// `idle` as a duration.
    #[must_use]
    pub fn idle_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.idle.get()))
    }

    /// `interval` as a duration.
    #[must_use]
    pub fn interval_duration(&self) -> Duration {
        Duration::from_secs(u64::from(self.interval.get()))
    }

    /// After how many unanswered probes a living connection is given up in the worst case.
    #[must_use]
    pub fn strikes(&self, hz: Hz) -> u32 {
        detection::strikes(&self.timers(), Some(hz))
    }
}

/// As people write them in short: `60/10/6`.
impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (idle, interval) = (self.idle.get(), self.interval.get());
        write!(f, "{idle}/{interval}/{}", self.probes.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(
        idle: u64,
        interval: u64,
        probes: u64,
        user_timeout: UserTimeoutChoice,
    ) -> Settings {
        Settings::new(
            KeepIdle::new(idle).unwrap(),
            KeepIntvl::new(interval).unwrap(),
            KeepCnt::new(probes).unwrap(),
            user_timeout,
        )
        .unwrap()
    }

    #[test]
    fn a_longer_interval_is_the_period() {
        let settings = settings(10, 75, 9, UserTimeoutChoice::Off);
        assert_eq!(settings.period(), Duration::from_secs(75));
    }
}
