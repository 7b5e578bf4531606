//! Times and origins in words.

use std::time::Duration;

use sockpulse_core::{EffectiveTimers, Origin, UserTimeout, human};

use super::subject::{Subject, Whose};
use crate::append;

/// A time to the second; a short one to the tenth or to the millisecond, one of days to the minute.
pub(super) fn moment(time: Duration) -> String {
    rounded(time, |nanos, unit| nanos.saturating_add(unit / 2) / unit)
}

/// The same for what is not to be exceeded.
pub(super) fn at_the_latest(time: Duration) -> String {
    rounded(time, u128::div_ceil)
}

/// The same for what comes no sooner.
pub(super) fn at_the_earliest(time: Duration) -> String {
    rounded(time, |nanos, unit| nanos / unit)
}

fn rounded(time: Duration, divide: fn(u128, u128) -> u128) -> String {
    let (second, millisecond) = (1_000_000_000, 1_000_000);
    let nanos = time.as_nanos();
    if nanos < second {
        let count = divide(nanos, millisecond);
        return if count == 0 {
            "0s".into()
        } else {
            format!("{count}ms")
        };
    }
    let tenths = divide(nanos, second / 10);
    if tenths < 100 && !tenths.is_multiple_of(10) {
        return format!("{}.{}s", tenths / 10, tenths % 10);
    }
    let unit = if nanos < second * DAY_S { 1 } else { 60 };
    let count = divide(nanos, second * unit).saturating_mul(unit);
    let seconds = u64::try_from(count).unwrap_or(u64::MAX);
    human(Duration::from_secs(seconds)).to_string()
}

const DAY_S: u128 = 86_400;

/// A setting in seconds, as `list` and `audit` write it.
pub(super) fn setting(seconds: i64) -> String {
    let mut text = Vec::new();
    append::setting_seconds(&mut text, seconds);
    String::from_utf8_lossy(&text).into_owned()
}

/// The settings in short: `60/10/6`.
pub(super) fn short(timers: &EffectiveTimers) -> String {
    let base = if timers.keepalive {
        let [idle, interval, probes] =
            [timers.idle, timers.interval, timers.probes].map(|setting| setting.value);
        format!("{idle}/{interval}/{probes}")
    } else {
        "keepalive off".into()
    };
    match timers.user_timeout.duration() {
        Some(limit) => format!("{base}, user timeout {}", moment(limit)),
        None => base,
    }
}

/// A setting's name, its value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) name: &'static str,
    pub(super) value: String,
    pub(super) from: String,
}

/// The settings as a table. Where keepalive is off the others would say nothing.
pub(super) fn settings(subject: &Subject, timers: &EffectiveTimers) -> Vec<Told> {
    let told = |name, value, from| Told { name, value, from };
    let (keepalive, user_timeout) = match subject.whose {
        Whose::Asked {
            keepalive,
            user_timeout,
        } => (
            if keepalive { "--keepalive" } else { "assumed" },
            if user_timeout {
                "--user-timeout"
            } else {
                "not given"
            },
        ),
        Whose::Open(_) => (
            if timers.keepalive {
                "set on the socket"
            } else {
                "never asked for"
            },
            if timers.user_timeout == UserTimeout::OFF {
                "never asked for"
            } else {
                "set on the socket"
            },
        ),
    };
    let from = |origin, option: &str, file: &str| match (origin, &subject.whose) {
        (Some(Origin::Socket), Whose::Asked { .. }) => option.to_owned(),
        (Some(Origin::Socket), Whose::Open(_)) => "set on the socket".into(),
        (Some(Origin::Namespace), _) => format!("/proc/sys/net/ipv4/{file}"),
        (None, _) => "socket or sysctl: which of them cannot be told".into(),
    };
    let on = if timers.keepalive { "on" } else { "off" };
    let mut rows = vec![told("keepalive", on.into(), keepalive.into())];
    if timers.keepalive {
        let (idle, interval, probes) = (timers.idle, timers.interval, timers.probes);
        rows.push(told(
            "idle",
            setting(idle.value),
            from(idle.origin, "--idle", "tcp_keepalive_time"),
        ));
        rows.push(told(
            "interval",
            setting(interval.value),
            from(interval.origin, "--interval", "tcp_keepalive_intvl"),
        ));
        rows.push(told(
            "probes",
            probes.value.to_string(),
            from(probes.origin, "--probes", "tcp_keepalive_probes"),
        ));
    }
    let limit = timers.user_timeout.duration().map_or("off".into(), moment);
    rows.push(told("user timeout", limit, user_timeout.into()));
    if timers.user_timeout == UserTimeout::OFF {
        let retries = subject.defaults.retries2.to_string();
        rows.push(told(
            "retries2",
            retries,
            "/proc/sys/net/ipv4/tcp_retries2".into(),
        ));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_what_matters_and_limits_the_safe_way() {
        for (millis, least, nearest, most) in [
            (0, "0s", "0s", "0s"),
            (204, "204ms", "204ms", "204ms"),
            (1_400, "1.4s", "1.4s", "1.4s"),
            (5_000, "5s", "5s", "5s"),
            (5_036, "5s", "5s", "5.1s"),
            (9_960, "9.9s", "10s", "10s"),
            (12_600, "12s", "13s", "13s"),
            (124_336, "2m4s", "2m4s", "2m5s"),
            (928_700, "15m28s", "15m29s", "15m29s"),
            (7_875_000, "2h11m15s", "2h11m15s", "2h11m15s"),
            (2_073_599_000, "23d23h59m", "24d", "24d"),
        ] {
            let time = Duration::from_millis(millis);
            assert_eq!(
                (at_the_earliest(time), moment(time), at_the_latest(time)),
                (least.into(), nearest.into(), most.into())
            );
        }
    }
}
