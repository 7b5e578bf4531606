//! A simulated day over a path that loses packets: as many living connections are given up as
//! renewal theory says.

use std::time::Duration;

use sockpulse_core::NetnsDefaults;
use sockpulse_core::machine::Setup;
use sockpulse_core::machine::loss::lossy_day;
use sockpulse_core::settings::{Setting, SocketTimers, UserTimeout};

const CONNECTIONS: u32 = 1_000;
const DAY: u32 = 86_400;
/// Two-sided 99.99 % of the normal distribution.
const DEVIATIONS: f64 = 3.891;

/// splitmix64.
fn random(mut seed: u64) -> impl FnMut() -> u64 {
    move || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// What happens between two segments from the peer: the first tick comes after `first`, then one
/// every `interval`, and the tick behind `most` unanswered probes ends the connection.
struct Cycle {
    first: u32,
    interval: u32,
    most: u32,
}

/// Mean and variance of the deaths of one connection in a day, by the seconds that are left of it.
///
/// With q the probability that a probe stays unanswered, a cycle ends by an answer to its k-th probe
/// with q^(k-1) (1-q), after first + (k-1) interval, and by death with q^most, after first + most x
/// interval. Then the next cycle begins, in which the same holds for the time that is left.
fn deaths(cycle: &Cycle, loss: f64) -> (f64, f64) {
    let unanswered = 1.0 - (1.0 - loss) * (1.0 - loss);
    let day = DAY as usize;
    let (mut mean, mut square) = (vec![0.0; day + 1], vec![0.0; day + 1]);
    for left in 0..=day {
        let mut chance = 1.0;
        for tick in 0..=cycle.most {
            let length = (cycle.first + tick * cycle.interval) as usize;
            let Some(rest) = left.checked_sub(length) else {
                break;
            };
            if tick == cycle.most {
                mean[left] += chance * (1.0 + mean[rest]);
                square[left] += chance * (1.0 + 2.0 * mean[rest] + square[rest]);
            } else {
                let answered = chance * (1.0 - unanswered);
                mean[left] += answered * mean[rest];
                square[left] += answered * square[rest];
                chance *= unanswered;
            }
        }
    }
    (mean[day], square[day] - mean[day] * mean[day])
}

fn holds(timers: (u32, u32, u32, u64), cycle: &Cycle, loss: f64, seed: u64) {
    let (idle, interval, probes, user_timeout_ms) = timers;
    let setup = Setup::new(
        SocketTimers {
            keepalive: true,
            idle: Setting::Socket(idle),
            interval: Setting::Socket(interval),
            probes: Setting::Socket(probes),
            user_timeout: UserTimeout::new(user_timeout_ms).expect("in range"),
        },
        NetnsDefaults::KERNEL,
    );
    let day = Duration::from_secs(DAY.into());
    let report = lossy_day(&setup, loss, CONNECTIONS, day, random(seed));
    let (mean, variance) = deaths(cycle, loss);
    let (expected, spread) = (
        mean * f64::from(CONNECTIONS),
        DEVIATIONS * (variance * f64::from(CONNECTIONS)).sqrt(),
    );
    let seen = f64::from(u32::try_from(report.deaths).expect("few"));
    assert!(
        (seen - expected).abs() <= spread,
        "{timers:?}: {seen} deaths, expected {expected:.1} +- {spread:.1}; {report:?}"
    );
    // The interval says something: it is narrow, and nobody died unprobed.
    assert!(seen > 50.0 && spread < expected / 2.0);
    assert!(report.probes > report.answers + report.deaths);
}

#[test]
fn thirty_percent_of_loss_for_a_day() {
    let cycle = Cycle {
        first: 60,
        interval: 10,
        most: 6,
    };
    holds((60, 10, 6, 0), &cycle, 0.3, 1);
}

#[test]
fn an_interval_as_long_as_the_idle_time() {
    let cycle = Cycle {
        first: 75,
        interval: 75,
        most: 9,
    };
    holds((75, 75, 9, 0), &cycle, 0.3, 2);
}

/// With a user timeout the count of probes says nothing: here the third unanswered one is fatal.
#[test]
fn a_user_timeout_in_place_of_the_count() {
    let cycle = Cycle {
        first: 60,
        interval: 10,
        most: 3,
    };
    holds((60, 10, 9, 85_000), &cycle, 0.1, 3);
}

#[test]
fn without_loss_nobody_dies() {
    let timers = SocketTimers {
        keepalive: true,
        idle: Setting::Socket(60),
        interval: Setting::Socket(10),
        probes: Setting::Socket(1),
        user_timeout: UserTimeout::OFF,
    };
    let setup = Setup::new(timers, NetnsDefaults::KERNEL);
    let day = Duration::from_secs(DAY.into());
    let report = lossy_day(&setup, 0.0, 10, day, random(4));
    assert_eq!((report.deaths, report.answers), (0, 10 * 1_440));
    assert_eq!(report.probes, report.answers);
}
