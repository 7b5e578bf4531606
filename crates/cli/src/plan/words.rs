//! Times, chances and numbers in words.

use std::time::Duration;

use sockpulse_core::plan::{Fixed, Loss, Settings, Wish};
use sockpulse_core::{UserTimeoutChoice, grouped, human};

use super::args::{PathChoice, PlanArgs};

/// A time by the settings: whole seconds as they are.
pub(super) fn time(time: Duration) -> String {
    if time.subsec_millis() == 0 || time.as_secs() == 0 {
        return human(time).to_string();
    }
    if time.as_secs() < 60 {
        return format!("{}s", tenths(time.as_millis()));
    }
    let seconds = Duration::from_secs(time.as_secs());
    let whole = if time.subsec_millis() >= 500 {
        seconds + Duration::from_secs(1)
    } else {
        seconds
    };
    human(whole).to_string()
}

/// A time that is not exceeded: rounded up, to a tenth below a minute.
pub(super) fn at_the_latest(time: Duration) -> String {
    if time < Duration::from_secs(60) {
        return format!("{}s", tenths(time.as_nanos().div_ceil(1_000_000)));
    }
    let more = Duration::from_secs(u64::from(time.subsec_nanos() > 0));
    human(Duration::from_secs(time.as_secs()) + more).to_string()
}

/// Milliseconds as seconds with at most one decimal, rounded up.
fn tenths(ms: u128) -> String {
    let tenths = ms.div_ceil(100);
    match tenths % 10 {
        0 => (tenths / 10).to_string(),
        tenth => format!("{}.{tenth}", tenths / 10),
    }
}

/// A chance in short: `3.0e-8`, or 0.
pub(super) fn chance(chance: f64) -> String {
    if chance == 0.0 {
        return "0".into();
    }
    format!("{chance:.1e}")
}

/// A share in percent, as `--loss` takes it: with four decimals, or as many as it takes to be read
/// as the same; what is too small or too great for that is no percentage.
pub(super) fn percent(loss: Loss) -> String {
    let percent = loss.get() * 100.0;
    let written = (4..=12).map(|decimals| format!("{percent:.decimals$}"));
    let same = |text: &String| {
        let read: Option<f64> = text.parse().ok();
        read.is_some_and(|read| (read / 100.0 - loss.get()).abs() <= 1e-9 * loss.get())
            && read != Some(100.0)
    };
    match written.into_iter().find(same) {
        Some(text) => format!("{}%", text.trim_end_matches('0').trim_end_matches('.')),
        None => format!("{:e}", loss.get()),
    }
}

/// A rate: three figures below a hundred, whole numbers above.
pub(super) fn rate(rate: f64) -> String {
    if rate >= 99.95 {
        return whole(rate);
    }
    let decimals = match rate {
        rate if rate >= 9.995 => 1,
        rate if rate >= 0.0995 => 2,
        _ => 4,
    };
    format!("{rate:.decimals$}")
}

/// Grouped in threes; the number is not negative.
fn whole(number: f64) -> String {
    format!("{number:.0}")
        .parse()
        .map_or_else(|_| format!("{number:.3e}"), grouped)
}

/// Bytes with a decimal unit, as networks count.
pub(super) fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 6] = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut scaled = bytes;
    let mut unit = 0;
    while scaled >= 999.95 && unit + 1 < UNITS.len() {
        scaled /= 1_000.0;
        unit += 1;
    }
    format!("{scaled:.1} {}", UNITS[unit])
}

/// The settings as options.
pub(super) fn options(settings: &Settings) -> String {
    let timeout = match settings.user_timeout.duration() {
        None => "off".into(),
        Some(limit) if is_automatic(settings, limit) => "auto".into(),
        Some(limit) => human(limit).to_string(),
    };
    format!(
        "--idle {} --interval {} --probes {} --user-timeout {timeout}",
        human(settings.idle_duration()),
        human(settings.interval_duration()),
        settings.probes.get()
    )
}

fn is_automatic(settings: &Settings, limit: Duration) -> bool {
    let probing = settings.interval_duration() * u32::from(settings.probes.get());
    settings.idle_duration() + probing == limit
}

/// The command line of a wish, as far as it differs from what goes without saying.
pub(super) fn command(args: &PlanArgs, wish: &Wish) -> String {
    let mut words = vec!["sockpulse plan".to_owned()];
    if let Some(target) = wish.detect_within {
        words.push(format!("--detect-within {}", human(target)));
    }
    match args.path {
        Some(PathChoice::Known(known)) if wish.path.is_some() => {
            words.push(format!("--path {}", known.name));
        }
        _ => words.extend(
            wish.path
                .map(|path| format!("--path-timeout {}", human(path.timeout))),
        ),
    }
    if wish.loss != Loss::USUAL {
        words.push(format!("--loss {}", percent(wish.loss)));
    }
    if let Some(outage) = wish.outage {
        words.push(format!("--outage {}", human(outage)));
    }
    if let Some(hz) = args.hz {
        words.push(format!("--hz {}", hz.get()));
    }
    words.extend(given(&wish.fixed));
    words.join(" ")
}

fn given(fixed: &Fixed) -> Vec<String> {
    let seconds = |s: u16| human(Duration::from_secs(u64::from(s))).to_string();
    let idle = fixed.idle.map(|idle| seconds(idle.get()));
    let interval = fixed.interval.map(|interval| seconds(interval.get()));
    let probes = fixed.probes.map(|probes| probes.get().to_string());
    let timeout = fixed.user_timeout.map(|choice| match choice {
        UserTimeoutChoice::Auto => "auto".into(),
        UserTimeoutChoice::Off => "off".into(),
        UserTimeoutChoice::Fixed(limit) => human(limit.duration().unwrap_or_default()).to_string(),
    });
    [
        ("--idle", idle),
        ("--interval", interval),
        ("--probes", probes),
        ("--user-timeout", timeout),
    ]
    .into_iter()
    .filter_map(|(option, value)| Some(format!("{option} {}", value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_exact_as_they_deserve() {
        for (number, text) in [
            (0.005_555, "0.0056"),
            (0.5, "0.50"),
            (12.34, "12.3"),
            (388.9, "389"),
            (5_555_555.6, "5,555,556"),
        ] {
            assert_eq!(rate(number), text);
        }
        assert_eq!(bytes(0.73), "0.7 B");
        assert_eq!(bytes(51_333.0), "51.3 kB");
        assert_eq!(bytes(7.3e17), "730.0 PB");
        assert_eq!(percent(Loss::new(0.07).unwrap()), "7%");
        for (loss, text) in [
            (0.0, "0%"),
            (0.000_25, "0.025%"),
            (1e-7, "0.00001%"),
            (0.123_456_789, "12.3456789%"),
            (0.999_999, "99.9999%"),
            (0.999_999_999_9, "99.99999999%"),
            (1e-300, "1e-300"),
            (0.999_999_999_999_999, "9.99999999999999e-1"),
        ] {
            assert_eq!(percent(Loss::new(loss).unwrap()), text);
        }
        assert_eq!(chance(3.04e-8), "3.0e-8");
    }

    #[test]
    fn the_latest_time_is_never_understated() {
        for (ms, text) in [
            (10_320, "10.4s"),
            (9_000, "9s"),
            (282_176, "4m43s"),
            (600_000, "10m"),
        ] {
            assert_eq!(at_the_latest(Duration::from_millis(ms)), text);
        }
        assert_eq!(time(Duration::from_millis(570_200)), "9m30s");
    }
}
