//! Timers that were armed before the default was lowered, armed anew, a few at a time.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use sockpulse_core::{Coverage, Unseen as Why, human};
use sockpulse_linux::rearm::NotRearmed;

use super::DocumentOrText;
use super::impact::{Impact, Waiting};
use crate::coverage::{counted, shown};
use crate::error::Exit;
use crate::sink::ChangeSink;
use crate::stop;

/// What reaching into a process needs.
const PTRACE: &str = "run as root, or grant CAP_SYS_PTRACE";

/// What became of the timers.
#[derive(Debug, Default)]
pub(super) struct Rearmed {
    asked: u64,
    done: u64,
    /// Probed meanwhile, closed, or switched off by their program: nothing is missing.
    changed: u64,
    /// No process holds them, or none that is known.
    unowned: u64,
    not_permitted: u64,
    /// The first other failure, and how many.
    failed: u64,
    failure: Option<String>,
    /// Not come to, since somebody stopped it.
    stopped: u64,
}

/// Connections of which it is not known whether they wait for a timer.
#[derive(Debug, Default)]
pub(super) struct Unseen {
    pub(super) connections: u64,
    /// What would help.
    hints: Vec<String>,
}

impl Unseen {
    pub(super) fn of(impact: &Impact, coverage: &Coverage) -> Self {
        let mut hints: Vec<String> = Vec::new();
        let refused = coverage.unknown_settings.get(&Why::NotPermitted);
        if refused.is_some_and(|count| *count > 0) {
            hints.push(PTRACE.into());
        }
        for remedy in coverage.gaps.iter().filter_map(|gap| gap.remedy.as_deref()) {
            let remedy = shown(remedy);
            if !hints.contains(&remedy) {
                hints.push(remedy);
            }
        }
        Self {
            connections: impact.unknown_timers,
            hints,
        }
    }

    /// Says how many, and what would help.
    pub(super) fn tell(&self, report: &mut DocumentOrText<'_>) {
        if self.connections == 0 {
            return;
        }
        report.warn(format!(
            "{} with settings that could not be seen: it is not known whether a timer was armed \
             before",
            counted(self.connections, "connection")
        ));
        let hints = self.hints.iter().map(|hint| format!("hint: {hint}"));
        hints.for_each(|hint| report.warn(hint));
    }
}

/// Arms them all, spread evenly over the time. Whoever interrupts it learns what was done until then.
pub(super) fn all(
    sink: &mut dyn ChangeSink,
    waiting: &[Waiting],
    spread: Duration,
    stderr: &mut dyn Write,
) -> Rearmed {
    let mut rearmed = Rearmed::default();
    let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
    let stop = stop::interruption();
    if count > 1 && spread > Duration::from_secs(1) {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(
            stderr,
            "arming {} anew over {}",
            counted(count.into(), "timer"),
            human(spread)
        );
    }
    let started = Instant::now();
    for (at, one) in (0_u32..).zip(waiting) {
        // The last one is armed at the end of the time, the first one at once.
        let due = spread.mul_f64(f64::from(at) / f64::from(count.saturating_sub(1).max(1)));
        if !wait_until(started + due, &stop) {
            rearmed.stopped = u64::from(count - at);
            break;
        }
        rearmed.count(sink, one);
    }
    rearmed
}

/// Whether the time came; not if it was stopped before. Short waits are left out: they add up to the
/// same.
fn wait_until(due: Instant, stop: &AtomicBool) -> bool {
    const SHORT: Duration = Duration::from_millis(2);
    /// A sleep goes on after a signal: this is how long it is not seen.
    const SLICE: Duration = Duration::from_millis(50);
    loop {
        if stop.load(Ordering::Relaxed) {
            return false;
        }
        let left = due.saturating_duration_since(Instant::now());
        if left <= SHORT {
            return true;
        }
        std::thread::sleep(left.min(SLICE));
    }
}

impl Rearmed {
    fn count(&mut self, sink: &mut dyn ChangeSink, waiting: &Waiting) {
        self.asked += 1;
        let Some(process) = waiting.process else {
            self.unowned += 1;
            return;
        };
        match sink.rearm(process, waiting.cookie) {
            Ok(()) => self.done += 1,
            Err(NotRearmed::Changed | NotRearmed::Probing) => self.changed += 1,
            Err(NotRearmed::Unreached(Why::Vanished)) => self.changed += 1,
            Err(NotRearmed::Unreached(Why::NotPermitted)) => self.not_permitted += 1,
            Err(NotRearmed::Unreached(_)) => self.unowned += 1,
            Err(NotRearmed::Failed(error)) => {
                self.failed += 1;
                self.failure.get_or_insert(error.reason());
            }
        }
    }

    /// Says what was done and what was not.
    pub(super) fn tell(&self, unseen: &Unseen, report: &mut DocumentOrText<'_>) -> Exit {
        report.say(self.done_line(unseen));
        if self.stopped > 0 {
            report.warn(format!("stopped: {}", left(self.stopped)));
        }
        for (count, why) in [
            (self.changed, "closed, probed or switched off meanwhile"),
            (
                self.unowned,
                "no process holds the connection, so it cannot be reached",
            ),
            (
                self.not_permitted,
                "not permitted to reach into the process",
            ),
        ] {
            if count > 0 {
                report.warn(format!("{}: {why}", left(count)));
            }
        }
        if let Some(failure) = &self.failure {
            report.warn(format!(
                "{} not armed anew: {failure}",
                counted(self.failed, "timer")
            ));
        }
        unseen.tell(report);
        if self.not_permitted > 0 && unseen.connections == 0 {
            report.warn(format!("hint: {PTRACE}"));
        }
        report.field(
            "rearm",
            json!({
                "asked": self.asked,
                "done": self.done,
                "changed": self.changed,
                "out_of_reach": self.unowned,
                "not_permitted": self.not_permitted,
                "failed": self.failed,
                "stopped": self.stopped,
                "unknown": unseen.connections,
            }),
        );
        let missed = self.unowned + self.not_permitted + self.failed + self.stopped;
        if missed + unseen.connections > 0 {
            Exit::Partial
        } else {
            Exit::Done
        }
    }

    fn done_line(&self, unseen: &Unseen) -> String {
        match (self.asked + self.stopped, self.done) {
            (0, _) if unseen.connections > 0 => {
                "no timer was seen that had to be armed anew".into()
            }
            (0, _) => "no timer had to be armed anew".into(),
            (asked, 0) => format!("none of {} was armed anew", counted(asked, "timer")),
            (asked, done) => format!(
                "armed anew: {done} of {} armed before; the first probe comes one idle time from now",
                counted(asked, "timer")
            ),
        }
    }
}

fn left(count: u64) -> String {
    let state = if count == 1 { "it was" } else { "they were" };
    format!("{} left as {state}", counted(count, "timer"))
}
