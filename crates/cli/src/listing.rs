//! Writes the rows of `list` as they come, or sorted when all are there.

use std::io::{self, Write};

use sockpulse_core::Coverage;

use crate::coverage;
use crate::csv::CsvEncoder;
use crate::fields::{Direction, Field, Key};
use crate::json::JsonEncoder;
use crate::row::Row;
use crate::table::Table;

/// Rows are written in pieces of at least this size.
const PIECE: usize = 64 * 1024;

/// How rows are written.
#[derive(Debug)]
pub(crate) enum Encoder {
    Json(Box<JsonEncoder>),
    JsonLines(Box<JsonEncoder>),
    Csv(CsvEncoder),
    Table(Table),
}

/// By which field rows are sorted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sort {
    /// The field.
    pub(crate) field: &'static Field,
    /// Which way.
    pub(crate) direction: Direction,
}

/// A listing that is being written.
pub(crate) struct Listing<'w> {
    out: &'w mut dyn Write,
    encoder: Encoder,
    buffer: Vec<u8>,
    rows: u64,
    held: Option<Held>,
}

/// Rows that wait to be sorted: their text, and for each what it is sorted by.
struct Held {
    sort: Sort,
    text: Vec<u8>,
    rows: Vec<(Key, std::ops::Range<usize>)>,
}

impl<'w> Listing<'w> {
    /// An empty listing. With `sort` nothing is written before the last row.
    pub(crate) fn new(out: &'w mut dyn Write, encoder: Encoder, sort: Option<Sort>) -> Self {
        Self {
            out,
            encoder,
            buffer: Vec::with_capacity(2 * PIECE),
            rows: 0,
            held: sort.map(|sort| Held {
                sort,
                text: Vec::new(),
                rows: Vec::new(),
            }),
        }
    }

    /// Takes one row.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn row(&mut self, row: &Row<'_>) -> io::Result<()> {
        if let Some(held) = &mut self.held {
            let start = held.text.len();
            match &mut self.encoder {
                Encoder::Json(json) | Encoder::JsonLines(json) => {
                    json.connection(&mut held.text, row);
                }
                Encoder::Csv(csv) => csv.connection(&mut held.text, row),
                Encoder::Table(table) => table.encode(&mut held.text, row),
            }
            let key = (held.sort.field.of)(row).key();
            held.rows.push((key, start..held.text.len()));
            return Ok(());
        }
        self.before();
        match &mut self.encoder {
            Encoder::Json(json) | Encoder::JsonLines(json) => {
                json.connection(&mut self.buffer, row);
            }
            Encoder::Csv(csv) => csv.connection(&mut self.buffer, row),
            Encoder::Table(table) => table.row(&mut self.buffer, row),
        }
        self.after()
    }

    /// Writes the rest. Returns the number of rows.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(crate) fn finish(mut self, coverage: &Coverage) -> io::Result<u64> {
        if let Some(mut held) = self.held.take() {
            let direction = held.sort.direction;
            held.rows.sort_by(|(a, _), (b, _)| a.order(b, direction));
            for (_, range) in held.rows {
                self.before();
                let record = &held.text[range];
                match &mut self.encoder {
                    Encoder::Table(table) => table.put(&mut self.buffer, record),
                    _ => self.buffer.extend_from_slice(record),
                }
                self.after()?;
            }
        }
        if self.rows == 0 {
            self.open();
        }
        match &mut self.encoder {
            Encoder::Json(_) => {
                self.buffer.extend_from_slice(b"\n],\"coverage\":");
                coverage::json(&mut self.buffer, coverage);
                self.buffer.extend_from_slice(b"}\n");
            }
            Encoder::Table(table) => table.finish(&mut self.buffer),
            Encoder::JsonLines(_) | Encoder::Csv(_) => {}
        }
        self.out.write_all(&self.buffer)?;
        self.out.flush()?;
        Ok(self.rows)
    }

    fn open(&mut self) {
        match &self.encoder {
            Encoder::Json(_) => self
                .buffer
                .extend_from_slice(b"{\"schema_version\":1,\"connections\":["),
            Encoder::Csv(csv) => csv.header(&mut self.buffer),
            Encoder::JsonLines(_) | Encoder::Table(_) => {}
        }
    }

    fn before(&mut self) {
        if self.rows == 0 {
            self.open();
        }
        if matches!(self.encoder, Encoder::Json(_)) {
            let between: &[u8] = if self.rows == 0 { b"\n" } else { b",\n" };
            self.buffer.extend_from_slice(between);
        }
    }

    fn after(&mut self) -> io::Result<()> {
        if matches!(self.encoder, Encoder::JsonLines(_)) {
            self.buffer.push(b'\n');
        }
        self.rows += 1;
        if self.buffer.len() >= PIECE {
            self.out.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }
}
