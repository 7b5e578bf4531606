//! Answers as a table, the worst first.

use std::time::Duration;

use sockpulse_core::ping::{Answer, Verdict};

use super::Asked;
use super::count::Count;
use super::subject::Subject;
use crate::append;
use crate::coverage::grouped;
use crate::fit::{self, Cut};
use crate::terminal::{self, Palette};

const TITLES: [&str; COLUMNS] = [
    "verdict",
    "rtt",
    "probes",
    "silence",
    "in flight",
    "peer",
    "here",
    "owner",
];
const COLUMNS: usize = 8;
/// What was not acknowledged, and how often it was sent again. Left out where nothing is.
const IN_FLIGHT: usize = 4;
const PEER: usize = 5;
const HERE: usize = 6;
const OWNER: usize = 7;
const GAP: usize = 2;

/// The worst first, as they stand in the table and in the line below it.
pub(crate) const WORST: [Verdict; 5] = [
    Verdict::Dead,
    Verdict::Refused,
    Verdict::Unknown,
    Verdict::Busy,
    Verdict::Alive,
];

/// Lines of these answers, with a heading.
pub(crate) fn draw(asked: &[&Asked], width: usize, palette: Palette) -> Vec<u8> {
    let rows: Vec<[Vec<u8>; COLUMNS]> = asked
        .iter()
        .map(|(subject, answer)| cells(subject, answer))
        .collect();
    let widths = widths(&rows, width);
    let mut out = Vec::new();
    let mut heading = Vec::new();
    let titles = TITLES.map(|title| title.as_bytes().to_vec());
    line(&mut heading, &titles, &widths, None, palette);
    palette.paint(&mut out, terminal::BOLD, &heading);
    out.push(b'\n');
    for ((_, answer), row) in asked.iter().zip(&rows) {
        line(&mut out, row, &widths, Some(answer.verdict), palette);
        out.push(b'\n');
    }
    out
}

/// For people: `0.14 ms`, `12 ms`, `1.2 s`.
pub(crate) fn round_trip(rtt: Duration) -> String {
    let micros = rtt.as_micros();
    match micros {
        0..10_000 => format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10),
        10_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

/// `dead 244   refused 3   alive 812 (0.10 ms to 0.43 ms)`.
pub(crate) fn sums(count: &Count) -> String {
    let parts = WORST.iter().filter_map(|verdict| {
        let number = count.of(*verdict);
        let mut part = format!("{} {}", verdict.name(), grouped(number));
        if let (Verdict::Alive, Some((shortest, longest))) = (verdict, count.rtt()) {
            let (shortest, longest) = (round_trip(shortest), round_trip(longest));
            part += &if shortest == longest {
                format!(" ({shortest})")
            } else {
                format!(" ({shortest} to {longest})")
            };
        }
        let always = matches!(verdict, Verdict::Alive | Verdict::Dead);
        (always || number > 0).then_some(part)
    });
    parts.collect::<Vec<_>>().join("   ")
}

fn cells(subject: &Subject, answer: &Answer) -> [Vec<u8>; COLUMNS] {
    let made = |append: &dyn Fn(&mut Vec<u8>)| {
        let mut cell = Vec::new();
        append(&mut cell);
        cell
    };
    let in_flight = answer.last.as_ref().filter(|glance| glance.unacked > 0);
    [
        answer.verdict.name().into(),
        answer.rtt.map_or("-".into(), round_trip).into_bytes(),
        answer.probes.to_string().into_bytes(),
        made(&|cell| match answer.silence {
            Some(silence) => {
                let millis = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
                append::span(cell, millis);
            }
            None => cell.push(b'?'),
        }),
        made(&|cell| {
            if let Some(glance) = in_flight {
                append::volume(cell, glance.unacked.into());
                if glance.retransmits > 0 {
                    cell.extend_from_slice(format!(", {}x", glance.retransmits).as_bytes());
                }
            }
        }),
        made(&|cell| append::end(cell, &subject.id.remote)),
        made(&|cell| append::end(cell, &subject.id.local)),
        made(&|cell| owner(cell, subject)),
    ]
}

fn owner(cell: &mut Vec<u8>, subject: &Subject) {
    let Some(process) = &subject.process else {
        let why = subject.unowned.map_or("?", |why| why.name());
        cell.extend_from_slice(why.as_bytes());
        return;
    };
    append::visible(cell, process.comm.bytes());
    cell.extend_from_slice(format!("({})", process.pid).as_bytes());
    if subject.holders > 1 {
        cell.extend_from_slice(format!("+{}", subject.holders - 1).as_bytes());
    }
}

/// What is too wide is taken from our own end first, of which the port says most, then from the
/// owner's name, then from the peer's.
fn widths(rows: &[[Vec<u8>; COLUMNS]], room: usize) -> [usize; COLUMNS] {
    const LEAST: [(usize, usize); 4] = [(HERE, 7), (OWNER, 16), (PEER, 21), (OWNER, 9)];
    let mut widths = TITLES.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(fit::width(cell));
        }
    }
    if rows.iter().all(|row| row[IN_FLIGHT].is_empty()) {
        widths[IN_FLIGHT] = 0;
    }
    let gaps = GAP * (widths.iter().filter(|width| **width > 0).count() - 1);
    for (column, least) in LEAST {
        let total = widths.iter().sum::<usize>() + gaps;
        let over = total.saturating_sub(room);
        let least = least.min(widths[column]);
        widths[column] = widths[column].saturating_sub(over).max(least);
    }
    widths
}

fn line(
    out: &mut Vec<u8>,
    row: &[Vec<u8>; COLUMNS],
    widths: &[usize; COLUMNS],
    verdict: Option<Verdict>,
    palette: Palette,
) {
    for (at, (cell, width)) in row.iter().zip(widths).enumerate() {
        if *width == 0 {
            continue;
        }
        if at > 0 {
            fit::spaces(out, GAP);
        }
        if (1..=IN_FLIGHT).contains(&at) {
            fit::spaces(out, width.saturating_sub(fit::width(cell)));
            out.extend_from_slice(cell);
            continue;
        }
        let side = match at {
            PEER | HERE => Cut::Start,
            OWNER => Cut::BeforeParenthesis,
            _ => Cut::End,
        };
        let mut kept = Vec::new();
        let taken = fit::cut(&mut kept, cell, *width, side);
        match verdict.filter(|_| at == 0) {
            Some(verdict) => palette.paint(out, style(verdict), &kept),
            None => out.extend_from_slice(&kept),
        }
        if at + 1 < COLUMNS {
            fit::spaces(out, width.saturating_sub(taken));
        }
    }
}

/// The colour of a verdict.
pub(crate) const fn style(verdict: Verdict) -> anstyle::Style {
    match verdict {
        Verdict::Alive => terminal::GOOD,
        Verdict::Dead | Verdict::Refused => terminal::BAD,
        Verdict::Busy => terminal::WARN,
        Verdict::Unknown => terminal::DIM,
    }
}
