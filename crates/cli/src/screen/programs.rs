//! The programs that are worst off.

use sockpulse_core::audit::{ProgramKey, ProgramTally};
use sockpulse_core::{Exposure, Place, Unseen};

use super::{Audited, Line, painted};
use crate::append;
use crate::coverage::grouped;
use crate::fit::{self, Cut};
use crate::terminal::{self, Palette};

/// Programs of which something can be said, laid out.
pub(super) struct Programs {
    heading: Line,
    rows: Vec<Line>,
    width: usize,
    palette: Palette,
}

/// A column of numbers; it is left out where every program has none.
struct Column {
    title: &'static str,
    number: fn(&ProgramTally) -> u64,
    show: fn(&mut Vec<u8>, u64),
    style: anstyle::Style,
}

fn dash_or_number(out: &mut Vec<u8>, n: u64) {
    match n {
        0 => out.push(b'-'),
        n => append::grouped(out, n),
    }
}

fn dash_or_span(out: &mut Vec<u8>, millis: u64) {
    match millis {
        0 => out.push(b'-'),
        millis => append::span(out, millis),
    }
}

fn dash_or_volume(out: &mut Vec<u8>, bytes: u64) {
    match bytes {
        0 => out.push(b'-'),
        bytes => append::volume(out, bytes),
    }
}

const COLUMNS: [Column; 7] = [
    Column {
        title: "unprotected",
        number: |tally| tally.exposed(Exposure::Unprotected),
        show: dash_or_number,
        style: terminal::BAD,
    },
    Column {
        title: "slow",
        number: |tally| tally.exposed(Exposure::Slow),
        show: dash_or_number,
        style: terminal::WARN,
    },
    Column {
        title: "fragile",
        number: |tally| tally.exposed(Exposure::Fragile),
        show: dash_or_number,
        style: terminal::BAD,
    },
    Column {
        title: "unknown",
        number: |tally| tally.exposed(Exposure::Unknown),
        show: dash_or_number,
        style: anstyle::Style::new(),
    },
    Column {
        title: "silent>1h",
        number: |tally| tally.silent,
        show: dash_or_number,
        style: anstyle::Style::new(),
    },
    Column {
        title: "longest",
        number: |tally| tally.longest_silence_ms,
        show: dash_or_span,
        style: anstyle::Style::new(),
    },
    Column {
        title: "queued",
        number: |tally| tally.queued_by_silent,
        show: dash_or_volume,
        style: anstyle::Style::new(),
    },
];

impl Programs {
    pub(super) fn new(audited: &Audited<'_>, width: usize, palette: Palette) -> Self {
        let worst: Vec<&(ProgramKey, ProgramTally)> = audited
            .report
            .programs
            .iter()
            .filter(|(_, tally)| tally.endangered() + tally.exposed(Exposure::Unknown) > 0)
            .collect();
        let columns: Vec<&Column> = COLUMNS
            .iter()
            .filter(|column| worst.iter().any(|(_, tally)| (column.number)(tally) > 0))
            .collect();
        let cells: Vec<Vec<Vec<u8>>> = worst
            .iter()
            .map(|(_, tally)| columns.iter().map(|column| cell(column, tally)).collect())
            .collect();
        let widths: Vec<usize> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| {
                let widest = cells.iter().map(|row| row[at].len()).max();
                widest.unwrap_or(0).max(column.title.len())
            })
            .collect();
        let numbers: usize = widths.iter().map(|width| width + 2).sum();
        let names: Vec<(Vec<u8>, Vec<u8>)> = worst
            .iter()
            .map(|(key, tally)| (name(key, tally), place(&(audited.place)(key))))
            .collect();
        let (program, place) = name_widths(&names, width.saturating_sub(numbers));

        let mut heading = Vec::new();
        put(&mut heading, b"program", program, Cut::End);
        if place > 0 {
            heading.push(b' ');
            put(&mut heading, b"where", place, Cut::End);
        }
        for (column, width) in columns.iter().zip(&widths) {
            fit::spaces(&mut heading, 2 + width - column.title.len());
            heading.extend_from_slice(column.title.as_bytes());
        }
        let heading = painted(palette, terminal::BOLD, &String::from_utf8_lossy(&heading));

        let rows = names.iter().zip(&cells).map(|((name, at), cells)| {
            let mut line = Vec::new();
            put(&mut line, name, program, Cut::BeforeParenthesis);
            if place > 0 {
                line.push(b' ');
                put(&mut line, at, place, Cut::End);
            }
            for ((column, width), cell) in columns.iter().zip(&widths).zip(cells) {
                fit::spaces(&mut line, 2 + width - cell.len());
                let some = cell.as_slice() != b"-";
                let style = if some { column.style } else { terminal::DIM };
                palette.paint(&mut line, style, cell);
            }
            line
        });
        Self {
            heading,
            rows: rows.collect(),
            width,
            palette,
        }
    }

    /// Lines that at most `count` programs take.
    pub(super) fn height(&self, count: usize) -> usize {
        match self.rows.len() {
            0 => 0,
            n if n <= count => 1 + n,
            _ => 1 + count + 1,
        }
    }

    /// As many programs as fit `room` lines, one at least.
    pub(super) fn lines(self, room: usize) -> Vec<Line> {
        if self.rows.is_empty() {
            return Vec::new();
        }
        let all = self.rows.len();
        let shown = if all < room {
            all
        } else {
            room.saturating_sub(2).max(1).min(all)
        };
        let mut lines = vec![self.heading];
        lines.extend(self.rows.into_iter().take(shown));
        if shown < all {
            let more = u64::try_from(all - shown).unwrap_or(u64::MAX);
            let text = format!(
                "and {} more: pipe into less to see them, or use -o csv",
                grouped(more)
            );
            lines.push(painted(
                self.palette,
                terminal::DIM,
                &super::limited(&text, self.width),
            ));
        }
        lines
    }
}

fn cell(column: &Column, tally: &ProgramTally) -> Vec<u8> {
    let mut cell = Vec::new();
    (column.show)(&mut cell, (column.number)(tally));
    cell
}

/// `redis-server(812)`, as in a listing's OWNER; of several processes none stands for the rest:
/// `postgres (9 procs)`.
fn name(key: &ProgramKey, tally: &ProgramTally) -> Vec<u8> {
    let Some(program) = &key.program else {
        return match key.unseen {
            Some(Unseen::NotPermitted) => b"(not permitted)".to_vec(),
            _ => b"(no process)".to_vec(),
        };
    };
    let mut name = Vec::new();
    append::visible(&mut name, program.bytes());
    if tally.processes > 1 {
        name.extend_from_slice(format!(" ({} procs)", grouped(tally.processes)).as_bytes());
    } else if let Some(pid) = tally.pid {
        name.push(b'(');
        append::number(&mut name, pid);
        name.push(b')');
    }
    name
}

fn place(place: &Place) -> Vec<u8> {
    let text = match (&place.container, &place.unit) {
        (Some(id), _) if id.len() == 64 => id.get(..12).unwrap_or(id),
        (Some(name), _) => name,
        (None, Some(unit)) => unit.strip_suffix(".service").unwrap_or(unit),
        (None, None) => "",
    };
    let mut shown = Vec::new();
    append::visible(&mut shown, text.as_bytes());
    shown
}

/// Columns for the name and the place; the place gives way first.
fn name_widths(names: &[(Vec<u8>, Vec<u8>)], room: usize) -> (usize, usize) {
    let programs = names.iter().map(|(name, _)| fit::width(name));
    let program = programs.max().unwrap_or(0).max("program".len());
    let places = names.iter().map(|(_, place)| fit::width(place));
    let place = match places.max().unwrap_or(0) {
        0 => 0,
        width => width.max("where".len()),
    };
    if program >= room {
        return (room, 0);
    }
    match room - program {
        // Too little to tell one place from another.
        left if left < 7 => (program, 0),
        left => (program, place.min(left - 1)),
    }
}

fn put(line: &mut Vec<u8>, text: &[u8], width: usize, side: Cut) {
    let taken = fit::cut(line, text, width, side);
    fit::spaces(line, width - taken);
}
