//! `sockpulse audit`: what is wrong, where, how much, and what mends it.

mod data;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::{self, Write};

use sockpulse_core::audit::ProgramKey;
use sockpulse_core::{Audit, Exposure, Place, Report, Target};

use crate::app::Face;
use crate::args::AuditArgs;
use crate::coverage;
use crate::error::{CommandError, Exit};
use crate::fit;
use crate::machine::Machine;
use crate::options::{OutputFormat, Surveyed};
use crate::row::Row;
use crate::screen::{self, Audited, Size};
use crate::terminal;

/// Runs the command.
///
/// # Errors
/// When nothing could be read or the output cannot be written.
pub(crate) fn run(
    args: &AuditArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut count = Count::new(Target {
        detect_within: args.survey.detect_within,
        hz: None,
    });
    let surveyed = (machine.survey)(&args.survey.options(), &mut |row| {
        count.add(row);
        Ok(())
    })?;
    let (report, places) = count.finish(&surveyed);
    let mut told = Vec::new();
    let exit = tell(args, face, &report, &surveyed, &mut told);
    let below = lines(&told, face.width);
    show(face, &report, &places, &surveyed, below, out).map_err(CommandError::output)?;
    // There is nowhere to say that stderr is closed.
    let _ = stderr.write_all(&told);
    Ok(exit)
}

/// What stands on stderr below the output.
fn tell(
    args: &AuditArgs,
    face: &Face,
    report: &Report,
    surveyed: &Surveyed,
    told: &mut Vec<u8>,
) -> Exit {
    if surveyed.coverage.is_partial() {
        let written = match face.output {
            // The screen ends with the line itself.
            OutputFormat::Table => coverage::gaps(&surveyed.coverage, told),
            _ => coverage::report(&surveyed.coverage, surveyed.elapsed, told),
        };
        // Writing to memory does not fail.
        let _ = written;
    }
    if report.total.total() == 0 && !args.survey.options().selector.is_empty() {
        // A mistyped name would pass for a clean machine.
        let _ = writeln!(told, "no connection matches");
    }
    judge(&args.fail_on, report, surveyed, told)
}

/// Lines that a text takes on a terminal.
fn lines(text: &[u8], width: usize) -> usize {
    let text = String::from_utf8_lossy(text);
    let lines = text.lines();
    lines
        .map(|line| fit::width(line.as_bytes()).div_ceil(width.max(1)).max(1))
        .sum()
}

/// Counts rows, and keeps the place of each program.
struct Count {
    audit: Audit,
    places: Places,
    /// A run of rows mostly belongs to one program.
    last: Option<ProgramKey>,
}

/// Where programs run. Their cgroup alone does not tell: where it is the root or unknown, as with
/// hybrid mounts, the place is that of the process.
type Places = BTreeMap<ProgramKey, Place>;

impl Count {
    fn new(target: Target) -> Self {
        Self {
            audit: Audit::new(target),
            places: BTreeMap::new(),
            last: None,
        }
    }

    fn add(&mut self, row: &Row<'_>) {
        let key = ProgramKey::of(row.connection);
        let counts = row.assessment.exposure.is_some();
        if counts && self.last != Some(key) {
            self.places.entry(key).or_insert_with(|| row.place.clone());
            self.last = Some(key);
        }
        self.audit.add(row.connection, row.assessment);
    }

    fn finish(self, surveyed: &Surveyed) -> (Report, Places) {
        (self.audit.finish(&surveyed.namespaces), self.places)
    }
}

fn show(
    face: &Face,
    report: &Report,
    places: &Places,
    surveyed: &Surveyed,
    below: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let host = terminal::host();
    let place = |key: &ProgramKey| places.get(key).cloned().unwrap_or_default();
    let audited = Audited {
        host: &host,
        report,
        namespaces: &surveyed.namespaces,
        coverage: &surveyed.coverage,
        elapsed: surveyed.elapsed,
        place: &place,
    };
    let mut text = Vec::new();
    match face.output {
        OutputFormat::Table => {
            let size = Size {
                width: face.width,
                // What follows on stderr must not push the headline off the top.
                height: face.height.map(|height| height.saturating_sub(below)),
            };
            screen::draw(&mut text, &audited, size, face.palette);
        }
        OutputFormat::Json => data::json(&mut text, &audited)?,
        OutputFormat::JsonLines => data::json_lines(&mut text, &audited)?,
        OutputFormat::Csv => data::csv(&mut text, &audited),
    }
    out.write_all(&text)?;
    out.flush()
}

/// What was asked to fail on weighs more than what could not be seen: it is certain.
fn judge(
    fail_on: &[Exposure],
    report: &Report,
    surveyed: &Surveyed,
    stderr: &mut dyn Write,
) -> Exit {
    let failing: Vec<String> = Exposure::ALL
        .into_iter()
        .filter(|exposure| fail_on.contains(exposure))
        .map(|exposure| (exposure, report.total.exposed(exposure)))
        .filter(|(_, count)| *count > 0)
        .map(|(exposure, count)| format!("{} {}", coverage::grouped(count), exposure.name()))
        .collect();
    if !failing.is_empty() {
        let _ = writeln!(stderr, "failed: {}", failing.join(", "));
        return Exit::Findings;
    }
    if surveyed.coverage.is_partial() {
        Exit::Partial
    } else {
        Exit::Done
    }
}
