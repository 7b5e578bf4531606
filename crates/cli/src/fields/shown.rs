//! The keepalive settings of a row: what is in force, or what the socket itself holds.

use sockpulse_core::{Effective, EffectiveTimers, Observed, Origin, Setting};

use crate::row::Row;

/// The keepalive settings of a row as far as they are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shown {
    /// `SO_KEEPALIVE`.
    pub(crate) keepalive: Option<bool>,
    /// Seconds of silence before the first probe.
    pub(crate) idle: Part,
    /// Seconds between probes.
    pub(crate) interval: Part,
    /// Number of probes.
    pub(crate) probes: Part,
    /// `TCP_USER_TIMEOUT`, milliseconds.
    pub(crate) user_timeout_ms: Option<u32>,
}

/// A setting's value and origin, either of which may be unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) value: Option<i64>,
    pub(crate) origin: Option<Origin>,
}

impl From<Effective> for Part {
    fn from(effective: Effective) -> Self {
        Self {
            value: Some(effective.value),
            origin: effective.origin,
        }
    }
}

impl From<Setting<u32>> for Part {
    fn from(setting: Setting<u32>) -> Self {
        let (value, origin) = match setting {
            Setting::Namespace => (None, Some(Origin::Namespace)),
            Setting::Socket(value) => (Some(value.into()), Some(Origin::Socket)),
            Setting::Either(value) => (Some(value.into()), None),
        };
        Self { value, origin }
    }
}

impl Shown {
    /// What is in force; without the namespace's defaults, what the socket itself holds.
    pub(crate) fn of(row: &Row<'_>) -> Self {
        if let Observed::Known(timers) = row.assessment.effective {
            let EffectiveTimers {
                keepalive,
                idle,
                interval,
                probes,
                user_timeout,
            } = timers;
            return Self {
                keepalive: Some(keepalive),
                idle: idle.into(),
                interval: interval.into(),
                probes: probes.into(),
                user_timeout_ms: Some(user_timeout.get()),
            };
        }
        const UNKNOWN: Part = Part {
            value: None,
            origin: None,
        };
        match row.connection.settings {
            Observed::Known(timers) => Self {
                keepalive: Some(timers.keepalive),
                idle: timers.idle.into(),
                interval: timers.interval.into(),
                probes: timers.probes.into(),
                user_timeout_ms: Some(timers.user_timeout.get()),
            },
            Observed::Unknown(_) => Self {
                keepalive: None,
                idle: UNKNOWN,
                interval: UNKNOWN,
                probes: UNKNOWN,
                user_timeout_ms: None,
            },
        }
    }
}
