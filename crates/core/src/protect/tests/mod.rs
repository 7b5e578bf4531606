//! Decisions: cases by hand, and properties over any socket and rule.

mod cases;
mod lost_probes;
mod properties;

use alloc::string::String;

use proptest::prelude::*;

use super::*;
use crate::connection::{Connection, Observed, Timer, TimerKind};
use crate::namespace::{Namespace, NetnsDefaults};
use crate::sample;
use crate::settings::{
    KeepCnt, KeepIdle, KeepIntvl, Setting, SocketTimers, UserTimeout, UserTimeoutChoice,
};

fn asked(idle: u64, interval: u64, probes: u64) -> Asked {
    Asked {
        idle: KeepIdle::new(idle).ok(),
        interval: KeepIntvl::new(interval).ok(),
        probes: KeepCnt::new(probes).ok(),
        user_timeout: None,
    }
}

fn rule(mode: Mode, asked: Asked) -> Rule {
    Rule {
        name: String::new(),
        selector: crate::Selector::default(),
        asked,
        mode,
        include_local: false,
    }
}

fn exactly() -> Terms {
    Terms {
        jitter: Jitter::None,
        ..Terms::default()
    }
}

fn with(connection: &Connection, timers: SocketTimers) -> Connection {
    Connection {
        settings: Observed::Known(timers),
        ..connection.clone()
    }
}

fn timers_of(connection: &Connection) -> SocketTimers {
    connection.settings.known().unwrap()
}

/// The connection as it is read once the step is made.
fn after(connection: &Connection, step: &Step, defaults: &NetnsDefaults) -> Connection {
    let before = timers_of(connection);
    let timers = step.applied(&before);
    let mut after = with(connection, timers);
    let idle_ms = u64::try_from(timers.effective(defaults).idle.value).unwrap_or(0) * 1_000;
    let silence = connection.silence_ms.unwrap_or(0);
    let armed = match (before.keepalive, timers.keepalive, step.idle) {
        (_, false, _) => Some(None),
        (false, true, _) => Some(Some(idle_ms)),
        (true, true, Some(_)) => Some(Some(idle_ms.saturating_sub(silence))),
        (true, true, None) => None,
    };
    if let Some(armed) = armed {
        after.timers.keepalive = Observed::Known(armed.map(|expires_ms| Timer {
            kind: TimerKind::Keepalive,
            expires_ms,
        }));
    }
    after
}

fn setting(values: core::ops::Range<u32>) -> impl Strategy<Value = Setting<u32>> {
    prop_oneof![
        Just(Setting::Namespace),
        values.clone().prop_map(Setting::Socket),
        values.prop_map(Setting::Either),
    ]
}

prop_compose! {
    fn sockets()(
        keepalive: bool,
        idle in setting(1..200),
        interval in setting(1..60),
        probes in setting(1..12),
        user_timeout_ms in prop_oneof![Just(0_u64), 1_u64..600_000],
    ) -> SocketTimers {
        let user_timeout = UserTimeout::new(user_timeout_ms).unwrap();
        SocketTimers { keepalive, idle, interval, probes, user_timeout }
    }
}

prop_compose! {
    fn askings()(
        idle in prop::option::of(1_u64..200),
        interval in prop::option::of(1_u64..60),
        probes in prop::option::of(1_u64..12),
        user_timeout in prop::option::of(prop_oneof![
            Just(UserTimeoutChoice::Auto),
            Just(UserTimeoutChoice::Auto),
            Just(UserTimeoutChoice::Off),
            (1_u64..600_000).prop_map(|ms| UserTimeoutChoice::Fixed(UserTimeout::new(ms).unwrap())),
        ]),
    ) -> Asked {
        Asked {
            idle: idle.and_then(|idle| KeepIdle::new(idle).ok()),
            interval: interval.and_then(|time| KeepIntvl::new(time).ok()),
            probes: probes.and_then(|count| KeepCnt::new(count).ok()),
            user_timeout,
        }
    }
}

fn modes() -> impl Strategy<Value = Mode> {
    prop::sample::select(Mode::ALL.to_vec())
}

fn jitters() -> impl Strategy<Value = Jitter> {
    prop_oneof![Just(Jitter::Eighth), Just(Jitter::None)]
}

prop_compose! {
    /// What a sysctl may hold, sense or not.
    fn namespaces()(
        idle_s in prop_oneof![Just(7200), Just(60), -1..400_i64, Just(40_000)],
        interval_s in prop_oneof![Just(75), -1..60_i64],
        probes in prop_oneof![Just(9), 0..12_i64],
    ) -> Namespace {
        Namespace {
            defaults: Some(NetnsDefaults { idle_s, interval_s, probes, ..NetnsDefaults::KERNEL }),
            ..sample::namespace()
        }
    }
}
