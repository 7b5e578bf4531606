//! The settings of keepalive, range-checked as the kernel checks them, and where each comes from.

use core::time::Duration;

use crate::namespace::NetnsDefaults;

/// A value outside what the kernel's socket option accepts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be between {min} and {max}{sep}{unit}, not {value}", sep = if unit.is_empty() { "" } else { " " })]
pub struct OutOfRange {
    /// The setting in sockpulse's vocabulary.
    pub setting: &'static str,
    /// The smallest accepted value.
    pub min: u64,
    /// The largest accepted value.
    pub max: u64,
    /// What is counted; empty where the setting's name says so.
    pub unit: &'static str,
    /// What was asked for.
    pub value: u64,
}

macro_rules! ranged {
    ($(#[$doc:meta])* $name:ident, $repr:ty, $setting:literal, $min:literal, $max:literal, $unit:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($repr);

        impl $name {
            /// The smallest value that the kernel accepts.
            pub const MIN: Self = Self($min);
            /// The largest value that the kernel accepts.
            pub const MAX: Self = Self($max);

            /// Checks the value against the kernel's range.
            ///
            /// # Errors
            /// [`OutOfRange`]; a value is never clamped.
            pub fn new(value: u64) -> Result<Self, OutOfRange> {
                match <$repr>::try_from(value) {
                    Ok(inner) if ($min..=$max).contains(&inner) => Ok(Self(inner)),
                    _ => Err(OutOfRange {
                        setting: $setting, min: $min, max: $max, unit: $unit, value,
                    }),
                }
            }

            /// The number as the kernel takes it.
            #[must_use]
            pub const fn get(self) -> $repr {
                self.0
            }
        }
    };
}

ranged!(
    /// `TCP_KEEPIDLE`: silence in seconds before the first probe (tcp(7)); 1..=32767.
    KeepIdle, u16, "idle", 1, 32767, "seconds"
);
ranged!(
    /// `TCP_KEEPINTVL`: seconds between probes (tcp(7)); 1..=32767.
    KeepIntvl, u16, "interval", 1, 32767, "seconds"
);
ranged!(
    /// `TCP_KEEPCNT`: unanswered probes before the connection is given up (tcp(7)); 1..=127.
    KeepCnt, u8, "probes", 1, 127, ""
);
ranged!(
    /// `TCP_USER_TIMEOUT` in milliseconds (tcp(7), RFC 5482); 0 means off.
    UserTimeout, u32, "user_timeout", 0, 2_147_483_647, "milliseconds"
);

/// Rounds a duration up to whole seconds, so that nothing sooner than asked happens.
fn whole_seconds(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_add(u64::from(duration.subsec_nanos() > 0))
}

impl KeepIdle {
    /// Sub-second parts round up.
    ///
    /// # Errors
    /// [`OutOfRange`] outside 1..=32767 s.
    pub fn from_duration(duration: Duration) -> Result<Self, OutOfRange> {
        Self::new(whole_seconds(duration))
    }
}

impl KeepIntvl {
    /// Sub-second parts round up.
    ///
    /// # Errors
    /// [`OutOfRange`] outside 1..=32767 s.
    pub fn from_duration(duration: Duration) -> Result<Self, OutOfRange> {
        Self::new(whole_seconds(duration))
    }
}

impl UserTimeout {
    /// No user timeout.
    pub const OFF: Self = Self(0);

    /// Parts of a millisecond round up.
    ///
    /// # Errors
    /// [`OutOfRange`] beyond 2147483647 ms, 24 days.
    pub fn from_duration(duration: Duration) -> Result<Self, OutOfRange> {
        let ms = duration.as_nanos().div_ceil(1_000_000);
        Self::new(u64::try_from(ms).unwrap_or(u64::MAX))
    }

    /// The timeout, or `None` when it is off.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        (self.0 > 0).then(|| Duration::from_millis(u64::from(self.0)))
    }
}

/// Which user timeout is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UserTimeoutChoice {
    /// As long as keepalive takes: `idle` + `interval` x `probes`, so that data in flight is given up
    /// no sooner than an idle connection, and the count of probes is not cut short.
    Auto,
    /// None.
    Off,
    /// This one.
    Fixed(UserTimeout),
}

impl UserTimeoutChoice {
    /// The timeout beside these settings.
    ///
    /// # Errors
    /// [`OutOfRange`] when `auto` comes to more milliseconds than the option takes.
    pub fn beside(
        self,
        idle: KeepIdle,
        interval: KeepIntvl,
        probes: KeepCnt,
    ) -> Result<UserTimeout, OutOfRange> {
        match self {
            Self::Auto => {
                let probing = u64::from(interval.get()) * u64::from(probes.get());
                UserTimeout::new((u64::from(idle.get()) + probing) * 1_000)
            }
            Self::Off => Ok(UserTimeout::OFF),
            Self::Fixed(timeout) => Ok(timeout),
        }
    }
}

/// One setting as a socket holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Setting<T> {
    /// The kernel stores 0: the socket follows its namespace's default.
    Namespace,
    /// The program set it; the socket will never follow the default again.
    Socket(T),
    /// The value in force is known, but not whether the socket holds it itself: getsockopt(2)
    /// answers alike in both cases.
    Either(T),
}

/// The keepalive settings that a socket holds, before defaults are filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SocketTimers {
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// `TCP_KEEPIDLE` in seconds.
    pub idle: Setting<u32>,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval: Setting<u32>,
    /// `TCP_KEEPCNT`.
    pub probes: Setting<u32>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: UserTimeout,
}

/// Where a value in force comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// Set on the socket by its program (or inherited from its listener).
    Socket,
    /// The network namespace's sysctl.
    Namespace,
}

impl Origin {
    /// As printed in tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Namespace => "namespace",
        }
    }
}

/// A value in force and its origin; `None` when the origin cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Effective {
    /// The value: seconds, or a number of probes.
    pub value: i64,
    /// Where it comes from.
    pub origin: Option<Origin>,
}

/// A socket's settings with the namespace's defaults filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EffectiveTimers {
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// Seconds of silence before the first probe.
    pub idle: Effective,
    /// Seconds between probes.
    pub interval: Effective,
    /// Unanswered probes before the connection is given up.
    pub probes: Effective,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: UserTimeout,
}

impl SocketTimers {
    /// Fills in what the socket inherits, as `keepalive_time_when()` and its siblings do
    /// (include/net/tcp.h).
    #[must_use]
    pub fn effective(&self, defaults: &NetnsDefaults) -> EffectiveTimers {
        EffectiveTimers {
            keepalive: self.keepalive,
            idle: resolve(self.idle, defaults.idle_s),
            interval: resolve(self.interval, defaults.interval_s),
            probes: resolve(self.probes, defaults.probes),
            user_timeout: self.user_timeout,
        }
    }
}

fn resolve(setting: Setting<u32>, default: i64) -> Effective {
    match setting {
        Setting::Namespace => Effective {
            value: default,
            origin: Some(Origin::Namespace),
        },
        Setting::Socket(value) => Effective {
            value: i64::from(value),
            origin: Some(Origin::Socket),
        },
        // A value that differs from the default can only be the socket's own.
        Setting::Either(value) => Effective {
            value: i64::from(value),
            origin: (i64::from(value) != default).then_some(Origin::Socket),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_the_kernels() {
        assert!(KeepIdle::new(0).is_err());
        assert_eq!(KeepIdle::new(32767), Ok(KeepIdle::MAX));
        assert!(KeepIntvl::new(32768).is_err());
        assert!(KeepCnt::new(128).is_err());
        assert_eq!(KeepCnt::new(127).map(KeepCnt::get), Ok(127));
        assert_eq!(UserTimeout::new(0).map(UserTimeout::duration), Ok(None));
        assert!(UserTimeout::new(1 << 31).is_err());
    }

    #[test]
    fn sub_seconds_round_up() {
        assert_eq!(
            KeepIdle::from_duration(Duration::from_millis(1)),
            KeepIdle::new(1)
        );
        assert_eq!(
            KeepIntvl::from_duration(Duration::from_millis(1001)),
            KeepIntvl::new(2)
        );
        assert!(KeepIdle::from_duration(Duration::ZERO).is_err());
    }

    #[test]
    fn an_automatic_user_timeout_is_as_long_as_keepalive_takes() {
        let beside = |choice: UserTimeoutChoice, idle, interval, probes| {
            choice.beside(
                KeepIdle::new(idle).unwrap(),
                KeepIntvl::new(interval).unwrap(),
                KeepCnt::new(probes).unwrap(),
            )
        };
        let auto = UserTimeoutChoice::Auto;
        assert_eq!(beside(auto, 60, 10, 6), UserTimeout::new(120_000));
        assert!(beside(auto, 32767, 32767, 127).is_err());
        assert_eq!(
            beside(UserTimeoutChoice::Off, 60, 10, 6),
            Ok(UserTimeout::OFF)
        );
        let half = UserTimeout::from_duration(Duration::from_micros(1_500)).unwrap();
        assert_eq!(half.get(), 2);
        assert_eq!(beside(UserTimeoutChoice::Fixed(half), 60, 10, 6), Ok(half));
    }

    #[test]
    fn origins_are_told_only_when_known() {
        let defaults = NetnsDefaults::KERNEL;
        let timers = SocketTimers {
            keepalive: true,
            idle: Setting::Either(7200),
            interval: Setting::Either(10),
            probes: Setting::Namespace,
            user_timeout: UserTimeout::OFF,
        };
        let effective = timers.effective(&defaults);
        assert_eq!(
            effective.idle,
            Effective {
                value: 7200,
                origin: None
            }
        );
        assert_eq!(
            effective.interval,
            Effective {
                value: 10,
                origin: Some(Origin::Socket)
            }
        );
        assert_eq!(
            effective.probes,
            Effective {
                value: 9,
                origin: Some(Origin::Namespace)
            }
        );
    }
}
