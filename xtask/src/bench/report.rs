//! What was measured, as text, with the goals beside it.

use std::fmt::Write;
use std::time::Duration;

use sockpulse_core::grouped;

use super::measure::{Sample, median};
use super::stage::Series;

pub(super) const AUDIT: &str = "sockpulse audit";
pub(super) const LIST: &str = "sockpulse list -o jsonl";
pub(super) const SS: &str = "ss -H -tn";
pub(super) const SS_INFO: &str = "ss -H -tnoi";
pub(super) const SS_PROCESSES: &str = "ss -H -tnop";
pub(super) const TASK_FILE: &str = "floor: bare task_file dump";
pub(super) const SOCK_DIAG: &str = "floor: bare sock_diag dump";
pub(super) const COUNT: &str = "floor: iter/tcp, count only";

/// Sockets for which the goals are meant.
const FULL: u64 = 1_000_000;

/// The runs of one series.
pub(super) fn table(series: &Series) -> String {
    let mut text = format!(
        "\n{} sockets: {} loopback connections, held by {} processes, opened in {:.1} s\n\
         {:38}{:>8}{:>9}{:>9}{:>8}{:>10}\n",
        grouped(sockets(series)),
        grouped(series.connections.into()),
        series.processes,
        series.opened_in.as_secs_f64(),
        "median of 5 rounds, output to /dev/null",
        "wall s",
        "fastest",
        "slowest",
        "cpu s",
        "peak MiB",
    );
    for (subject, samples) in &series.runs {
        let walls = samples.iter().map(|sample| sample.wall);
        let line = writeln!(
            text,
            "{:39}{:>7.3}{:>9.3}{:>9.3}{:>8.3}{:>10.1}",
            subject.name,
            seconds(median(walls.clone())),
            seconds(walls.clone().min()),
            seconds(walls.max()),
            seconds(median(samples.iter().map(|sample| sample.busy))),
            mib(samples),
        );
        line.expect("writing to a string never fails");
    }
    text.push('\n');
    text
}

/// The ratios, each with its goal.
pub(super) fn goals(small: &Series, large: &Series) -> String {
    let mut text = String::new();
    if sockets(large) < FULL {
        text += "the goals are meant for 1,000,000 sockets (and 100,000 for ss -tnop)\n";
    }
    for goal in [
        ratio(large, AUDIT, TASK_FILE, Bound::AtMost(1.6)),
        ratio(large, SS, LIST, Bound::Above(1.0)),
        ratio(large, SS_INFO, LIST, Bound::AtLeast(4.0)),
        ratio(small, SS_PROCESSES, LIST, Bound::AtLeast(20.0)),
        peak(large, LIST, Bound::Below(64.0)),
        peak(small, LIST, Bound::Below(64.0)),
    ] {
        text += &goal.line();
    }
    text + &growth(small, large, LIST) + &growth(small, large, AUDIT)
}

enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Above(f64),
    Below(f64),
}

struct Goal {
    what: String,
    value: f64,
    unit: &'static str,
    bound: Bound,
}

impl Goal {
    fn line(&self) -> String {
        let (words, limit, reached) = match self.bound {
            Bound::AtMost(limit) => ("at most", limit, self.value <= limit),
            Bound::AtLeast(limit) => ("at least", limit, self.value >= limit),
            Bound::Above(limit) => ("more than", limit, self.value > limit),
            Bound::Below(limit) => ("less than", limit, self.value < limit),
        };
        let unit = self.unit;
        format!(
            "{:68}{:>7.2}{unit}   goal: {words} {limit}{unit}, {}\n",
            self.what,
            self.value,
            if reached { "reached" } else { "MISSED" },
        )
    }
}

fn ratio(series: &Series, name: &str, unit: &str, bound: Bound) -> Goal {
    let wall = |name| seconds(median(runs(series, name).iter().map(|sample| sample.wall)));
    Goal {
        what: format!("{name} / {unit}, {} sockets", grouped(sockets(series))),
        value: wall(name) / wall(unit),
        unit: "",
        bound,
    }
}

fn peak(series: &Series, name: &str, bound: Bound) -> Goal {
    Goal {
        what: format!(
            "peak memory of {name}, {} sockets",
            grouped(sockets(series))
        ),
        value: mib(runs(series, name)),
        unit: " MiB",
        bound,
    }
}

/// What a socket more costs the reader's memory.
fn growth(small: &Series, large: &Series, name: &str) -> String {
    let more = sockets(large).saturating_sub(sockets(small));
    if more == 0 {
        return String::new();
    }
    let peak = |series| median(runs(series, name).iter().map(|sample| sample.peak_kib));
    let bytes = peak(large)
        .unwrap_or(0)
        .saturating_sub(peak(small).unwrap_or(0))
        * 1024;
    format!(
        "memory of {name} grows by {:.1} bytes a socket between {} and {} sockets\n",
        float(bytes) / float(more),
        grouped(sockets(small)),
        grouped(sockets(large)),
    )
}

fn runs<'a>(series: &'a Series, name: &str) -> &'a [Sample] {
    series
        .runs
        .iter()
        .find(|(subject, _)| subject.name == name)
        .map_or(&[], |(_, samples)| samples)
}

fn sockets(series: &Series) -> u64 {
    2 * u64::from(series.connections)
}

fn mib(samples: &[Sample]) -> f64 {
    float(median(samples.iter().map(|sample| sample.peak_kib)).unwrap_or(0)) / 1024.0
}

fn seconds(time: Option<Duration>) -> f64 {
    time.map_or(f64::NAN, |time| time.as_secs_f64())
}

/// Exact up to four thousand million, which nothing here reaches.
fn float(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::Subject;

    fn series(connections: u32, walls: &[(&'static str, u64, u64)]) -> Series {
        let run = |&(name, milliseconds, peak_kib): &(&'static str, u64, u64)| {
            let sample = Sample {
                wall: Duration::from_millis(milliseconds),
                busy: Duration::from_millis(milliseconds),
                peak_kib,
            };
            let subject = Subject {
                name,
                words: Vec::new(),
            };
            (subject, vec![sample; 5])
        };
        Series {
            connections,
            processes: 6,
            opened_in: Duration::from_secs(1),
            runs: walls.iter().map(run).collect(),
        }
    }

    #[test]
    fn goals_are_told_from_the_medians() {
        let small = series(50_000, &[(LIST, 100, 20 << 10), (SS_PROCESSES, 1_900, 1)]);
        let large = series(
            500_000,
            &[
                (AUDIT, 1_600, 30 << 10),
                (LIST, 2_000, 65 << 10),
                (SS, 2_600, 1),
                (SS_INFO, 8_000, 1),
                (TASK_FILE, 1_000, 1),
            ],
        );
        let text = goals(&small, &large);
        let told = |start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).unwrap();
            line.ends_with("reached")
        };
        assert!(told("sockpulse audit / floor"));
        assert!(told("ss -H -tn /"));
        assert!(told("ss -H -tnoi /"));
        assert!(!told("ss -H -tnop /"));
        assert!(!told("peak memory of sockpulse list -o jsonl, 1,000,000"));
        assert!(told("peak memory of sockpulse list -o jsonl, 100,000"));
        assert!(text.contains("grows by 52.4 bytes a socket"));
        assert!(!text.contains("the goals are meant for"));
    }
}
