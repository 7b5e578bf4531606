//! A line on stderr that says how far it is, where somebody looks.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use sockpulse_core::grouped;
use sockpulse_core::ping::Verdict;

use super::count::Count;
use crate::options::OutputFormat;

/// The line. Nothing is written where stderr is no terminal, or rows run over the same one.
#[derive(Debug)]
pub(crate) struct Progress {
    total: u64,
    is_shown: bool,
    last: Option<Instant>,
}

/// More often nobody can read.
const STEP: Duration = Duration::from_millis(100);
/// Cells of the bar.
const BAR: u64 = 24;

impl Progress {
    pub(crate) fn new(output: OutputFormat, total: usize) -> Self {
        let rows = output != OutputFormat::Table && io::stdout().is_terminal();
        Self {
            total: total.try_into().unwrap_or(u64::MAX),
            is_shown: io::stderr().is_terminal() && !rows,
            last: None,
        }
    }

    /// Shows how many have answered, and how many are known to be dead.
    pub(crate) fn show(&mut self, count: &Count) {
        let is_new = self.last.is_none_or(|last| last.elapsed() >= STEP);
        if self.is_shown && is_new {
            self.last = Some(Instant::now());
            // Whoever looks at the line sees when it stops.
            let _ = write!(io::stderr(), "\r\x1b[K{}", self.line(count));
        }
    }

    /// Takes the line away.
    pub(crate) fn end(&mut self) {
        if self.is_shown && self.last.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }

    fn line(&self, count: &Count) -> String {
        let settled = count.total();
        let full = BAR * settled / self.total.max(1);
        let bar: String = (0..BAR)
            .map(|at| if at < full { '#' } else { '.' })
            .collect();
        let alive = grouped(count.of(Verdict::Alive));
        let dead = grouped(count.of(Verdict::Dead));
        let (settled, total) = (grouped(settled), grouped(self.total));
        format!("asking [{bar}] {settled} of {total}   alive {alive}   dead {dead}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockpulse_core::ping::{Answer, Why};

    #[test]
    fn the_bar_fills() {
        let progress = Progress {
            total: 2_000,
            is_shown: false,
            last: None,
        };
        let mut count = Count::default();
        for _ in 0..1_000 {
            count.add(&Answer {
                verdict: Verdict::Alive,
                ..Answer::unknown(Why::Signed)
            });
        }
        assert_eq!(
            progress.line(&count),
            "asking [############............] 1,000 of 2,000   alive 1,000   dead 0"
        );
    }
}
