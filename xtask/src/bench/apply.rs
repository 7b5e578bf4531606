//! How long it takes to set open sockets through duplicated descriptors, and to put them back.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use super::stage::{self, Load};
use crate::error::{Error, Result};
use crate::process;

/// Rounds; the report tells medians.
const ROUNDS: usize = 3;

/// The most that one socket may take, in microseconds.
const GOAL_US: f64 = 15.0;

/// The first process of the namespaces: opens the connections, sets both ends of each, and puts them
/// back, with this product.
pub(super) fn run(product: &Path, wanted: u32) -> Result<ExitCode> {
    stage::prepare()?;
    let mut load = Load::default();
    load.grow(stage::affordable(wanted)?)?;
    let sockets = u64::from(load.connections()) * 2;
    let state = std::env::temp_dir().join(format!("sockpulse-bench-{}", std::process::id()));
    let measured = measure(product, &state, sockets);
    // What is left behind in a temporary folder is no reason to fail.
    let _ = std::fs::remove_dir_all(&state);
    let times = measured?;
    print!("{}", times.report(sockets));
    Ok(ExitCode::SUCCESS)
}

/// What the rounds took.
#[derive(Debug, Default)]
struct Times {
    look: Vec<Duration>,
    set: Vec<Duration>,
    undo: Vec<Duration>,
}

fn measure(product: &Path, state: &Path, sockets: u64) -> Result<Times> {
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
    for round in 0..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        let words = |more: &[&'static str]| -> Vec<&str> { [&protect, more, &journal].concat() };
        let look = timed(product, &words(&["--dry-run"]), "to_change", sockets)?;
        let set = timed(product, &words(&[]), "changed", sockets)?;
        let undo = timed(
            product,
            &[&["undo"][..], &journal].concat(),
            "changed",
            sockets,
        )?;
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
fn timed(product: &Path, words: &[&str], key: &str, sockets: u64) -> Result<Duration> {
    let mut command = Command::new(product);
    command.args(words);
    let started = Instant::now();
    let text = process::output(&mut command)?;
    let took = started.elapsed();
    let did = format!("\"{key}\":{sockets}");
    // What follows the number is another key, or the end of the object.
    let found = text
        .match_indices(&did)
        .any(|(at, _)| text[at + did.len()..].starts_with([',', '}']));
    if found {
        Ok(took)
    } else {
        let line = format!(
            "{} did not do all of {sockets} sockets: {text}",
            words.join(" ")
        );
        Err(Error::Unexpected(line))
    }
}

impl Times {
    fn report(mut self, sockets: u64) -> String {
        let look = median(&mut self.look);
        let set = median(&mut self.set);
        let undo = median(&mut self.undo);
        // It looks twice: what came meanwhile is set too.
        let alone = set.saturating_sub(look * 2);
        let each = micros_each(alone, sockets);
        let verdict = if each <= GOAL_US { "reached" } else { "MISSED" };
        let line = |what: &str, time: Duration| {
            format!(
                "{what:28}{:>9.3} s{:>9.2} us a socket\n",
                time.as_secs_f64(),
                micros_each(time, sockets)
            )
        };
        format!(
            "{sockets} sockets, medians of {ROUNDS} rounds\n{}{}{}{}\ngoal: at most {GOAL_US} us a socket to set: {verdict}\n",
            line("protect --dry-run, one look", look),
            line("protect, with two looks", set),
            line("  of which setting", alone),
            line("undo, with one look", undo),
        )
    }
}

fn micros_each(time: Duration, sockets: u64) -> f64 {
    let sockets = u32::try_from(sockets).unwrap_or(u32::MAX);
    time.as_secs_f64() * 1e6 / f64::from(sockets.max(1))
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_is_what_two_looks_leave() {
        let ms = Duration::from_millis;
        let times = Times {
            look: vec![ms(300), ms(100), ms(200)],
            set: vec![ms(1_400); 3],
            undo: vec![ms(1_000); 3],
        };
        let report = times.report(100_000);
        assert!(report.contains("of which setting"), "{report}");
        assert!(report.contains("10.00 us a socket"), "{report}");
        assert!(
            report.ends_with("15 us a socket to set: reached\n"),
            "{report}"
        );
    }
}
