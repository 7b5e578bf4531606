//! Whose timeline is told: settings that were given, or connections that have them.

use std::time::Duration;

use sockpulse_core::machine::Setup;
use sockpulse_core::settings::OutOfRange;
use sockpulse_core::{
    EffectiveTimers, Hz, KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, Setting, SocketTimers,
    UserTimeout, UserTimeoutChoice,
};

use super::args::ExplainArgs;
use super::groups::Group;
use crate::error::{CommandError, ErrorKind};
use crate::options::Here;

/// Settings in force with all that decides what they amount to.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    /// What the socket holds.
    pub(super) timers: SocketTimers,
    /// What it inherits, and how data is retransmitted.
    pub(super) defaults: NetnsDefaults,
    /// The kernel's tick rate, if known.
    pub(super) hz: Option<Hz>,
    /// How long the first retransmission waits.
    pub(super) rto: Rto,
    /// Who has the settings.
    pub(super) whose: Whose,
}

/// The retransmission timeout without backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rto {
    /// That of a short path: there is no connection that it was measured on.
    ShortPath(Duration),
    /// That of connections: the shortest and the longest.
    Measured(Duration, Duration),
    /// No connection's could be seen.
    Unknown,
}

/// Who has the settings.
#[derive(Debug, Clone)]
pub(super) enum Whose {
    /// Nobody yet: they stand on the command line.
    Asked {
        /// Whether `--keepalive` was given.
        keepalive: bool,
        /// Whether `--user-timeout` was given.
        user_timeout: bool,
    },
    /// Connections that are open.
    Open(Box<Group>),
}

impl Subject {
    /// The settings of the command line, filled up with the defaults of this namespace.
    ///
    /// # Errors
    /// When an automatic user timeout is longer than the kernel takes.
    pub(super) fn asked(args: &ExplainArgs, here: &Here) -> Result<Self, CommandError> {
        let given = &args.settings;
        let defaults = here.defaults.clone();
        let own = |value: Option<u32>| value.map_or(Setting::Namespace, Setting::Socket);
        let mut timers = SocketTimers {
            keepalive: args.keepalive.unwrap_or(true),
            idle: own(given.idle.map(|idle| idle.get().into())),
            interval: own(given.interval.map(|interval| interval.get().into())),
            probes: own(given.probes.map(|probes| probes.get().into())),
            user_timeout: UserTimeout::OFF,
        };
        if let Some(choice) = given.user_timeout {
            timers.user_timeout = user_timeout(choice, &timers.effective(&defaults))?;
        }
        Ok(Self {
            timers,
            rto: Rto::ShortPath(of_a_short_path(&defaults, here.hz)),
            defaults,
            hz: here.hz,
            whose: Whose::Asked {
                keepalive: args.keepalive.is_some(),
                user_timeout: given.user_timeout.is_some(),
            },
        })
    }

    /// The settings with what is inherited filled in.
    pub(super) fn effective(&self) -> EffectiveTimers {
        self.timers.effective(&self.defaults)
    }

    /// How many connections have them; settings on the command line have none.
    pub(super) fn connections(&self) -> u64 {
        match &self.whose {
            Whose::Asked { .. } => 0,
            Whose::Open(group) => group.connections,
        }
    }

    /// What the machine is run with. In place of an unknown timeout stands that of a short path, and
    /// what follows from it is not told.
    pub(super) fn setup(&self) -> Setup {
        let rto = match self.rto {
            Rto::ShortPath(rto) | Rto::Measured(rto, _) => rto,
            Rto::Unknown => of_a_short_path(&self.defaults, self.hz),
        };
        Setup {
            hz: self.hz,
            rto,
            ..Setup::new(self.timers, self.defaults.clone())
        }
    }
}

/// The retransmission timeout on a path without a round trip to speak of, once data was acknowledged:
/// the floor of its variation, in whole ticks, and the round trip on top, rounded up to a tick
/// (`tcp_rtt_estimator()`, `__tcp_set_rto()`). The bare floor is what a connection has only before its first data, from
/// what is remembered of the destination (`tcp_init_metrics()`).
fn of_a_short_path(defaults: &NetnsDefaults, hz: Option<Hz>) -> Duration {
    let (floor, tick) = match hz {
        Some(hz) => (hz.duration(hz.jiffies(defaults.rto_min)), hz.duration(1)),
        None => (defaults.rto_min, Duration::from_millis(1)),
    };
    floor.saturating_add(tick).min(defaults.rto_max)
}

/// `auto` is reckoned with the values in force. A default may be one that no socket option takes.
fn user_timeout(
    choice: UserTimeoutChoice,
    timers: &EffectiveTimers,
) -> Result<UserTimeout, CommandError> {
    match choice {
        UserTimeoutChoice::Auto => automatic(timers).map_err(|why| {
            CommandError::new(
                ErrorKind::Usage,
                format!("--user-timeout auto comes to nothing here: {why}"),
            )
            .hint("give --user-timeout a duration, or --idle, --interval and --probes")
        }),
        UserTimeoutChoice::Off => Ok(UserTimeout::OFF),
        UserTimeoutChoice::Fixed(timeout) => Ok(timeout),
    }
}

fn automatic(timers: &EffectiveTimers) -> Result<UserTimeout, String> {
    let told = |error: OutOfRange| error.to_string();
    let whole = |name: &str, value: i64| {
        u64::try_from(value).map_err(|_| format!("the sysctl for {name} is {value}"))
    };
    let idle = KeepIdle::new(whole("idle", timers.idle.value)?).map_err(told)?;
    let interval = KeepIntvl::new(whole("interval", timers.interval.value)?).map_err(told)?;
    let probes = KeepCnt::new(whole("probes", timers.probes.value)?).map_err(told)?;
    UserTimeoutChoice::Auto
        .beside(idle, interval, probes)
        .map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Read on 6.18 with HZ = 250 from connections over loopback, for each `tcp_rto_min_us`.
    #[test]
    fn the_floor_is_whole_ticks() {
        for (rto_min_ms, rto_ms) in [(5, 12), (50, 56), (200, 204), (1_000, 1_004)] {
            let defaults = NetnsDefaults {
                rto_min: Duration::from_millis(rto_min_ms),
                ..NetnsDefaults::KERNEL
            };
            let rto = of_a_short_path(&defaults, Hz::new(250));
            assert_eq!(rto, Duration::from_millis(rto_ms), "{rto_min_ms}");
        }
    }
}
