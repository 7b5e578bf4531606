//! Timers that were armed before the default was lowered, armed anew, a few at a time.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::json;
use sockpulse_core::{Unseen, human};
use sockpulse_linux::rearm::NotRearmed;

use super::DocumentOrText;
use super::impact::Waiting;
use crate::coverage::counted;
use crate::error::Exit;
use crate::sink::ChangeSink;

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
}

/// Arms them all, spread evenly over the time.
pub(super) fn all(
    sink: &mut dyn ChangeSink,
    waiting: &[Waiting],
    spread: Duration,
    stderr: &mut dyn Write,
) -> Rearmed {
    let mut rearmed = Rearmed::default();
    let count = u32::try_from(waiting.len()).unwrap_or(u32::MAX);
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
        wait_until(started + due);
        rearmed.count(sink, one);
    }
    rearmed
}

/// Short waits are left out: they add up to the same.
fn wait_until(due: Instant) {
    const SHORT: Duration = Duration::from_millis(2);
    let left = due.saturating_duration_since(Instant::now());
    if left > SHORT {
        std::thread::sleep(left);
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
            Err(NotRearmed::Unreached(Unseen::Vanished)) => self.changed += 1,
            Err(NotRearmed::Unreached(Unseen::NotPermitted)) => self.not_permitted += 1,
            Err(NotRearmed::Unreached(_)) => self.unowned += 1,
            Err(NotRearmed::Failed(error)) => {
                self.failed += 1;
                self.failure.get_or_insert(error.reason());
            }
        }
    }

    /// Says what was done and what was not.
    pub(super) fn tell(&self, report: &mut DocumentOrText<'_>) -> Exit {
        if self.asked == 0 {
            report.say("no timer had to be armed anew".into());
        } else {
            report.say(format!(
                "{} armed anew: the first probe comes one idle time from now",
                counted(self.done, "timer")
            ));
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
                report.warn(format!(
                    "{} left as they were: {why}",
                    counted(count, "timer")
                ));
            }
        }
        if let Some(failure) = &self.failure {
            report.warn(format!(
                "{} not armed anew: {failure}",
                counted(self.failed, "timer")
            ));
        }
        if self.not_permitted > 0 {
            report.warn("hint: run as root, or grant CAP_SYS_PTRACE".into());
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
            }),
        );
        if self.unowned + self.not_permitted + self.failed > 0 {
            Exit::Partial
        } else {
            Exit::Done
        }
    }
}
