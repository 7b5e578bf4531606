//! The table of `list`: it streams, so the widths of its columns come from the first rows.

use sockpulse_core::Exposure;

use crate::fields::{Align, COLUMNS, FIELDS, Field};
use crate::fit::{self, Cut};
use crate::row::Row;
use crate::terminal::{self, Palette};

/// Rows that decide on the widths; later ones are cut to them.
const MEASURED: usize = 2_000;
/// Stages in which columns give way.
const STAGES: usize = 4;
/// Between the cells of a row as it is held. Cells are free of control characters.
const BETWEEN: u8 = 0x1f;

/// Which columns a table has and how wide it may be.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// What fits the terminal best.
    Usual(usize),
    /// These, in the width of the terminal.
    Columns(Vec<&'static Field>, usize),
    /// Everything, as wide as it is.
    Wide,
}

/// Lays out rows.
#[derive(Debug)]
pub(crate) struct Table {
    fields: Vec<&'static Field>,
    /// `None`: as wide as it is.
    room: Option<usize>,
    palette: Palette,
    /// Rows that wait for the widths, and where each ends.
    waiting: Vec<u8>,
    ends: Vec<usize>,
    layout: Option<Layout>,
    record: Vec<u8>,
}

/// Columns of each cell and the gap between them.
#[derive(Debug)]
struct Layout {
    widths: Vec<usize>,
    gap: usize,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(shape: Shape, palette: Palette) -> Self {
        let (fields, room) = match shape {
            Shape::Usual(width) => (usual(width), Some(width)),
            Shape::Columns(fields, width) => (fields, Some(width)),
            Shape::Wide => (FIELDS.iter().filter(|field| field.wide).collect(), None),
        };
        Self {
            fields,
            room,
            palette,
            waiting: Vec::new(),
            ends: Vec::new(),
            layout: None,
            record: Vec::new(),
        }
    }

    /// Takes a row; it is laid out at once when the widths are known.
    pub(crate) fn row(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        self.encode(&mut record, row);
        self.put(out, &record);
        self.record = record;
    }

    /// A row's cells as they are held: a byte for the exposure, then the cells.
    pub(crate) fn encode(&self, record: &mut Vec<u8>, row: &Row<'_>) {
        let exposure = row.assessment.exposure;
        record.push(exposure.map_or(u8::MAX, |exposure| exposure as u8));
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                record.push(BETWEEN);
            }
            (field.of)(row).show(record);
        }
    }

    /// Takes a row that was held.
    pub(crate) fn put(&mut self, out: &mut Vec<u8>, record: &[u8]) {
        if let Some(layout) = &self.layout {
            self.line(out, layout, record);
            return;
        }
        self.waiting.extend_from_slice(record);
        self.ends.push(self.waiting.len());
        if self.ends.len() >= MEASURED {
            self.settle(out);
        }
    }

    /// Writes what still waits.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        if self.layout.is_none() {
            self.settle(out);
        }
    }

    fn settle(&mut self, out: &mut Vec<u8>) {
        let waiting = std::mem::take(&mut self.waiting);
        let ends = std::mem::take(&mut self.ends);
        let starts = std::iter::once(0).chain(ends.iter().copied());
        let records: Vec<&[u8]> = starts
            .zip(&ends)
            .map(|(start, end)| &waiting[start..*end])
            .collect();
        let layout = self.measure(&records);
        self.header(out, &layout);
        for record in records {
            self.line(out, &layout, record);
        }
        self.layout = Some(layout);
    }

    fn measure(&self, records: &[&[u8]]) -> Layout {
        let mut widths: Vec<usize> = self.fields.iter().map(narrowest).collect();
        for record in records {
            for (width, cell) in widths.iter_mut().zip(cells(record)) {
                *width = (*width).max(fit::width(cell));
            }
        }
        let Some(room) = self.room else {
            return Layout { widths, gap: 2 };
        };
        let total = |widths: &[usize], gap: usize| {
            widths.iter().sum::<usize>() + gap * widths.len().saturating_sub(1)
        };
        if total(&widths, 2) <= room {
            return Layout { widths, gap: 2 };
        }
        for stage in 0..STAGES {
            while total(&widths, 1) > room {
                // The widest of the columns that may be cut gives way.
                let widest = widths
                    .iter_mut()
                    .zip(&self.fields)
                    .filter(|(width, field)| {
                        least(field)
                            .is_some_and(|least| **width > least[stage].max(field.title.len()))
                    })
                    .map(|(width, _)| width)
                    .max_by_key(|width| **width);
                match widest {
                    Some(width) => *width -= 1,
                    None => break,
                }
            }
        }
        Layout { widths, gap: 1 }
    }

    fn header(&self, out: &mut Vec<u8>, layout: &Layout) {
        let mut line = Vec::new();
        for (at, (field, width)) in self.fields.iter().zip(&layout.widths).enumerate() {
            let text = field.title.as_bytes();
            self.cell(&mut line, layout, at, *width, text, anstyle::Style::new());
        }
        self.palette.paint(out, terminal::BOLD, &line);
        out.push(b'\n');
    }

    fn line(&self, out: &mut Vec<u8>, layout: &Layout, record: &[u8]) {
        let exposure = record
            .first()
            .and_then(|tag| Exposure::ALL.get(usize::from(*tag)));
        for (at, (cell, width)) in cells(record).zip(&layout.widths).enumerate() {
            let style = match exposure {
                Some(exposure) if self.fields[at].name == "exposure" => {
                    terminal::of_exposure(*exposure)
                }
                _ => anstyle::Style::new(),
            };
            self.cell(out, layout, at, *width, cell, style);
        }
        out.push(b'\n');
    }

    fn cell(
        &self,
        out: &mut Vec<u8>,
        layout: &Layout,
        at: usize,
        width: usize,
        text: &[u8],
        style: anstyle::Style,
    ) {
        let align = self.fields[at].align;
        if at > 0 {
            fit::spaces(out, layout.gap);
        }
        if align == Align::Right {
            fit::spaces(out, width.saturating_sub(fit::width(text)));
            self.palette.paint(out, style, text);
            return;
        }
        let side = match align {
            Align::Tail => Cut::Start,
            Align::Owner => Cut::BeforeParenthesis,
            Align::Left | Align::Right => Cut::End,
        };
        let mut kept = Vec::new();
        let room = if self.room.is_some() {
            width
        } else {
            usize::MAX
        };
        let taken = fit::cut(&mut kept, text, room, side);
        self.palette.paint(out, style, &kept);
        if at + 1 < self.fields.len() {
            fit::spaces(out, width.saturating_sub(taken));
        }
    }
}

/// What a column has at least, whatever the first rows hold: an exposure is never cut.
fn narrowest(field: &&'static Field) -> usize {
    let names = Exposure::ALL.map(|exposure| exposure.name().len());
    match field.name {
        "exposure" => names.into_iter().max().unwrap_or_default(),
        _ => field.title.len(),
    }
}

/// How narrow a column may get, stage by stage: of our own end the port says most, of the peer's
/// the address is wanted whole for as long as possible (an IPv4 address and its port take 21 columns,
/// the same mapped into IPv6 up to 30), of an owner the process. `None` for what cannot be cut.
fn least(field: &Field) -> Option<[usize; STAGES]> {
    match (field.name, field.align) {
        (_, Align::Right) | ("state" | "exposure" | "keepalive", _) => None,
        ("local", _) => Some([13, 7, 7, 6]),
        ("remote", _) => Some([30, 23, 21, 8]),
        ("owner", _) => Some([20, 16, 11, 9]),
        _ => Some([17, 10, 6, 6]),
    }
}

fn cells(record: &[u8]) -> impl Iterator<Item = &[u8]> {
    record
        .get(1..)
        .unwrap_or_default()
        .split(|byte| *byte == BETWEEN)
}

fn usual(width: usize) -> Vec<&'static Field> {
    let (_, names) = COLUMNS
        .iter()
        .rev()
        .find(|(least, _)| width >= *least)
        .unwrap_or(&COLUMNS[0]);
    names.iter().filter_map(|name| Field::named(name)).collect()
}
