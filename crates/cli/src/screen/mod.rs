//! The screen of `audit`: what is wrong, where, how much, and the command that mends it. It fits the
//! terminal: what is worst stays, what does not fit is counted.

mod defaults;
mod exposures;
mod findings;
mod programs;
mod verdict;

pub(crate) use defaults::noticed_after;

#[cfg(test)]
mod tests;

use std::time::Duration;

use sockpulse_core::audit::ProgramKey;
use sockpulse_core::{Coverage, Namespace, Place, Report};

use crate::coverage::{self, Detail};
use crate::fit;
use crate::terminal::{self, Palette};

/// What the screen shows.
pub(crate) struct Audited<'a> {
    /// The machine's name: at night several terminals look alike.
    pub(crate) host: &'a str,
    /// Connections, counted and judged.
    pub(crate) report: &'a Report,
    /// The namespaces that were read.
    pub(crate) namespaces: &'a [Namespace],
    /// What was seen.
    pub(crate) coverage: &'a Coverage,
    /// How long reading took.
    pub(crate) elapsed: Duration,
    /// Where a program runs.
    pub(crate) place: &'a dyn Fn(&ProgramKey) -> Place,
}

/// The terminal to fit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Columns.
    pub(crate) width: usize,
    /// Lines; `None` where nothing scrolls away: in a file or a pager.
    pub(crate) height: Option<usize>,
}

/// A line with its styles, without its line feed.
type Line = Vec<u8>;

/// Programs that are shown even where findings ask for the room.
const PROGRAMS: usize = 3;
/// Lines where nothing scrolls away.
const ENOUGH: usize = 10_000;

/// Appends the screen.
pub(crate) fn draw(out: &mut Vec<u8>, audited: &Audited<'_>, size: Size, palette: Palette) {
    let width = size.width;
    let head = vec![verdict::line(audited, width, palette)];
    let exposures = exposures::lines(audited.report, width, palette);
    let foot = foot(audited, width, palette);
    let programs = programs::Programs::new(audited, width, palette);

    // The prompt takes a line, and each section but the last is followed by an empty one.
    let fixed = [&head, &exposures, &foot].map(|section| section_height(section));
    let height = size.height.unwrap_or(ENOUGH);
    let room = height.saturating_sub(fixed.iter().sum());
    let reserved = match programs.height(PROGRAMS) {
        0 => 0,
        lines => lines + 1,
    };
    let findings = findings::lines(audited, width, room.saturating_sub(reserved + 1), palette);
    let left = room.saturating_sub(section_height(&findings) + 1);
    let programs = programs.lines(left);

    let sections = [head, exposures, programs, findings, foot];
    let shown = sections.iter().filter(|section| !section.is_empty());
    for (at, section) in shown.enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        for line in section {
            out.extend_from_slice(line);
            out.push(b'\n');
        }
    }
}

fn section_height(lines: &[Line]) -> usize {
    if lines.is_empty() { 0 } else { lines.len() + 1 }
}

/// Facts that stand behind the rest: the kernel's defaults, and what was seen.
fn foot(audited: &Audited<'_>, width: usize, palette: Palette) -> Vec<Line> {
    let mut lines = defaults::lines(audited.namespaces, width, palette);
    let seen = coverage::sentence(audited.coverage, audited.elapsed, Detail::Short);
    let style = if audited.coverage.is_partial() {
        terminal::WARN
    } else {
        terminal::DIM
    };
    for text in fit::wrap(&seen, width, 2) {
        lines.push(painted(palette, style, &text));
    }
    lines
}

fn painted(palette: Palette, style: anstyle::Style, text: &str) -> Line {
    let mut line = Vec::new();
    palette.paint(&mut line, style, text.as_bytes());
    line
}

/// A text that must not be longer than the terminal is wide.
fn limited(text: &str, width: usize) -> String {
    let mut kept = Vec::new();
    fit::cut(&mut kept, text.as_bytes(), width, fit::Cut::End);
    String::from_utf8_lossy(&kept).into_owned()
}
