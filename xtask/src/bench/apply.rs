//! How long it takes to set open sockets, in both ways: through duplicated descriptors, and in the
//! kernel, beside a bare dump of the kernel's iterator.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use sockpulse_bpf::risk::TCP_ITERATOR;
use sockpulse_core::grouped;

use super::measure::{Subject, median};
use super::stage::{self, Load};
use super::walking::{self, Walked};
use crate::error::{Error, Result};
use crate::process;

/// Rounds of the product, and of the bare walks; the report tells medians.
const ROUNDS: usize = 3;
const WALKS: usize = 7;

/// The most that one socket may take through its descriptor, in microseconds.
const GOAL_US: f64 = 15.0;

/// How many times as long as a bare dump setting in the kernel may take.
const GOAL_RATIO: f64 = 1.5;

/// Sockets for which the second goal is meant.
const FULL: u64 = 1_000_000;

/// The first process of the namespaces: opens the connections, sets both ends of each, and puts them
/// back, with this product; then walks.
pub(super) fn run(product: &Path, wanted: u32) -> Result<ExitCode> {
    stage::prepare()?;
    let mut load = Load::default();
    load.grow(stage::affordable(wanted)?)?;
    let sockets = u64::from(load.connections()) * 2;
    println!("{} sockets, {}", grouped(sockets), stage::busyness());
    let state = std::env::temp_dir().join(format!("sockpulse-bench-{}", std::process::id()));
    for way in [Way::Descriptors, Way::Kernel] {
        let measured = measure(product, way, &state, sockets);
        // What is left behind in a temporary folder is no reason to fail.
        let _ = std::fs::remove_dir_all(&state);
        print!("{}", measured?.report(way, sockets));
    }
    print!("{}", walks(sockets)?.report(sockets));
    Ok(ExitCode::SUCCESS)
}

/// How sockets are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Descriptors,
    Kernel,
}

impl Way {
    const fn title(self) -> &'static str {
        match self {
            Self::Descriptors => "through descriptors",
            Self::Kernel => "in the kernel",
        }
    }

    /// For `protect`, and for `undo`, which takes the kernel's own way wherever that is sound. Nothing
    /// connects in the benchmark's namespaces, so that the iterator's fault has nothing to meet.
    const fn words(self) -> [&'static [&'static str]; 2] {
        const RISK: &[&str] = &["--accept-kernel-risk", TCP_ITERATOR.id];
        match self {
            Self::Descriptors => [&["--source", "task-file"], &[]],
            Self::Kernel => [RISK, RISK],
        }
    }
}

/// What the rounds took.
#[derive(Debug, Default)]
struct Times {
    look: Vec<Time>,
    set: Vec<Time>,
    undo: Vec<Time>,
}

/// By the clock, and on a processor: where something else runs, these are not one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Time {
    wall: Duration,
    busy: Duration,
}

fn measure(product: &Path, way: Way, state: &Path, sockets: u64) -> Result<Times> {
    let mut times = Times::default();
    let state = state.to_string_lossy();
    // No probe comes while it is measured, and everything is local here.
    let protect = [
        "protect",
        "--existing",
        "--include-local",
        "--idle",
        "3h",
        "--spread",
        "0",
        "--state",
        "established",
    ];
    let journal = ["-o", "json", "--state-dir", &*state];
    let [set_words, undo_words] = way.words();
    for round in 0..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        let words =
            |more: &[&'static str]| -> Vec<&str> { [&protect, more, set_words, &journal].concat() };
        let look = timed(product, &words(&["--dry-run"]), "to_change", sockets)?;
        let set = timed(product, &words(&[]), "changed", sockets)?;
        let undo = [&["undo"][..], undo_words, &journal].concat();
        let undo = timed(product, &undo, "changed", sockets)?;
        // The first round warms up.
        if round > 0 {
            times.look.push(look);
            times.set.push(set);
            times.undo.push(undo);
        }
    }
    Ok(times)
}

/// Runs it, and sees that it did all of it: a fast command that misses sockets is no command.
fn timed(product: &Path, words: &[&str], key: &str, sockets: u64) -> Result<Time> {
    let words = words.iter().map(OsString::from);
    let subject = Subject {
        name: "sockpulse",
        words: [product.into()].into_iter().chain(words).collect(),
    };
    let mut text = String::new();
    let (read, sample) = subject.read(|output| output.read_to_string(&mut text))?;
    read.map_err(Error::system("read what the product says"))?;
    let did = format!("\"{key}\":{sockets}");
    // What follows the number is another key, or the end of the object.
    let found = text
        .match_indices(&did)
        .any(|(at, _)| text[at + did.len()..].starts_with([',', '}']));
    if found {
        Ok(Time {
            wall: sample.wall,
            busy: sample.busy,
        })
    } else {
        let line = format!(
            "{:?} did not do all of {sockets} sockets: {text}",
            subject.words
        );
        Err(Error::Unexpected(line))
    }
}

impl Times {
    fn report(self, way: Way, sockets: u64) -> String {
        let [look, set, undo] = [self.look, self.set, self.undo].map(|times| middle(&times));
        // It looks twice: what came meanwhile is set too.
        let alone = Time {
            wall: set.wall.saturating_sub(look.wall * 2),
            busy: set.busy.saturating_sub(look.busy * 2),
        };
        let goal = match way {
            Way::Descriptors => {
                let [wall, busy] = [alone.wall, alone.busy].map(|time| micros_each(time, sockets));
                let verdict = verdict(wall, busy, GOAL_US);
                format!("goal: at most {GOAL_US} us a socket to set: {verdict}\n")
            }
            Way::Kernel => String::new(),
        };
        format!(
            "\n{}, medians of {ROUNDS} rounds\n{}{}{}{}{goal}",
            way.title(),
            line("protect --dry-run, one look", look, sockets),
            line("protect, with two looks", set, sockets),
            line("  of which setting", alone, sockets),
            line("undo, with one look", undo, sockets),
        )
    }
}

/// The bare walks of each round.
#[derive(Debug, Default)]
struct Walks {
    dumps: Vec<Walked>,
    sets: Vec<Walked>,
}

/// A dump and a walk that sets take turns, each in a process of its own.
fn walks(sockets: u64) -> Result<Walks> {
    let mut walks = Walks::default();
    for round in 0..=WALKS {
        eprintln!("walk {round} of {WALKS}");
        let dump = walk("dump", sockets)?;
        let set = walk("set", sockets)?;
        if round > 0 {
            walks.dumps.push(dump);
            walks.sets.push(set);
        }
    }
    Ok(walks)
}

fn walk(kind: &str, sockets: u64) -> Result<Walked> {
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    let line = process::output(Command::new(own).args(["bench", "walk", kind]))?;
    let walked = walking::parse(&line).ok_or_else(|| Error::Unexpected(line.clone()))?;
    if walked.sockets < sockets {
        let line = format!("walk {kind} met {} of {sockets} sockets", walked.sockets);
        return Err(Error::Unexpected(line));
    }
    Ok(walked)
}

impl Walks {
    fn report(&self, sockets: u64) -> String {
        let all = |walks: &[Walked]| middle(&walks.iter().map(all).collect::<Vec<_>>());
        let orders = median(self.sets.iter().map(|set| set.loaded)).unwrap_or_default();
        let meant = if sockets < FULL {
            format!(", meant for {} sockets", grouped(FULL))
        } else {
            String::new()
        };
        let wall = self.ratios(|time| time.wall);
        let busy = self.ratios(|time| time.busy);
        format!(
            "\nthe kernel's iterator by itself, medians of {WALKS} rounds\n{}{}\
             {:28}{:>9.3} s{:>9.2} us a socket\n\
             set / dump: {wall} by the clock, {busy} on a processor\n\
             goal: at most {GOAL_RATIO} x a bare dump{meant}: {}\n",
            line("bare dump", all(&self.dumps), sockets),
            line("set, four options each", all(&self.sets), sockets),
            "  of which orders go in",
            orders.as_secs_f64(),
            micros_each(orders, sockets),
            verdict(wall.middle, busy.middle, GOAL_RATIO),
        )
    }

    /// How many times as long as its dump each round's setting took.
    fn ratios(&self, of: fn(Time) -> Duration) -> Ratios {
        let seconds = |walked: &Walked| of(all(walked)).as_secs_f64();
        let rounds = self.dumps.iter().zip(&self.sets);
        let mut ratios: Vec<f64> = rounds
            .map(|(dump, set)| seconds(set) / seconds(dump))
            .collect();
        ratios.sort_by(f64::total_cmp);
        let at = |index: usize| ratios.get(index).copied().unwrap_or(f64::NAN);
        Ratios {
            least: at(0),
            middle: at(ratios.len() / 2),
            most: at(ratios.len().saturating_sub(1)),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Ratios {
    least: f64,
    middle: f64,
    most: f64,
}

impl fmt::Display for Ratios {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            least,
            middle,
            most,
        } = self;
        write!(f, "{middle:.2} ({least:.2} to {most:.2})")
    }
}

fn all(walked: &Walked) -> Time {
    Time {
        wall: walked.loaded + walked.walk,
        busy: walked.busy,
    }
}

/// On an idle machine both are one: hardly anything here waits.
fn verdict(wall: f64, busy: f64, most: f64) -> String {
    let told = |value: f64| if value <= most { "reached" } else { "MISSED" };
    format!("{}, on a processor {}", told(wall), told(busy))
}

/// Each by itself.
fn middle(times: &[Time]) -> Time {
    let of = |time: fn(&Time) -> Duration| median(times.iter().map(time)).unwrap_or_default();
    Time {
        wall: of(|time| time.wall),
        busy: of(|time| time.busy),
    }
}

fn line(what: &str, time: Time, sockets: u64) -> String {
    format!(
        "{what:28}{:>9.3} s{:>9.2} us a socket{:>9.2} us on a processor\n",
        time.wall.as_secs_f64(),
        micros_each(time.wall, sockets),
        micros_each(time.busy, sockets)
    )
}

fn micros_each(time: Duration, sockets: u64) -> f64 {
    let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
    time.as_secs_f64() * 1e6 / f64::from(sockets.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_is_what_two_looks_leave() {
        let time = |ms| Time {
            wall: Duration::from_millis(ms),
            busy: Duration::from_millis(ms / 2),
        };
        let times = Times {
            look: vec![time(300), time(100), time(200)],
            set: vec![time(1_400); 3],
            undo: vec![time(1_000); 3],
        };
        let report = times.report(Way::Descriptors, 100_000);
        assert!(report.contains("of which setting"), "{report}");
        assert!(
            report.contains("10.00 us a socket     5.00 us on a processor"),
            "{report}"
        );
        assert!(
            report.ends_with("15 us a socket to set: reached, on a processor reached\n"),
            "{report}"
        );
    }

    #[test]
    fn the_ratio_is_the_middle_one_and_orders_count() {
        let walked = |loaded, walk, busy| Walked {
            sockets: 10,
            loaded: Duration::from_millis(loaded),
            walk: Duration::from_millis(walk),
            busy: Duration::from_millis(busy),
        };
        let walks = Walks {
            dumps: vec![walked(0, 100, 100); 3],
            sets: vec![
                walked(10, 100, 110),
                walked(60, 100, 110),
                walked(500, 100, 120),
            ],
        };
        let report = walks.report(10);
        assert!(
            report.contains("set / dump: 1.60 (1.10 to 6.00) by the clock, 1.10"),
            "{report}"
        );
        assert!(
            report.ends_with("meant for 1,000,000 sockets: MISSED, on a processor reached\n"),
            "{report}"
        );
    }
}
