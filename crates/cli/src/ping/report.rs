//! What is printed: as answers come, or the worst first when all are there.

use std::cmp::Reverse;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use sockpulse_core::ping::{Answer, Method, Verdict};

use super::count::Count;
use super::subject::{LeftOut, Subject};
use super::{Asked, json, table};
use crate::app::Face;
use crate::append;
use crate::coverage::{self, counted, grouped};
use crate::error::{CommandError, Exit};
use crate::fit;
use crate::options::{OutputFormat, Surveyed};

/// Rows are written in pieces of this size, or as often as this.
const PIECE: usize = 64 * 1024;
const OFTEN: Duration = Duration::from_millis(50);

/// The output of `ping`.
pub(super) struct Report<'a> {
    face: &'a Face,
    all: bool,
    surveyed: &'a Surveyed,
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
    rows: u64,
    flushed: Instant,
    /// What waits for the table.
    asked: Vec<Asked>,
    /// How they were asked, if anybody was.
    pub(super) method: Option<Method>,
    /// How many sockets hold a value themselves from now on.
    pub(super) pinned: usize,
}

impl<'a> Report<'a> {
    pub(super) fn new(
        face: &'a Face,
        all: bool,
        surveyed: &'a Surveyed,
        out: &'a mut dyn Write,
    ) -> Self {
        let mut buffer = Vec::new();
        match face.output {
            OutputFormat::Json => buffer.extend_from_slice(b"{\"schema_version\":1,\"results\":["),
            OutputFormat::Csv => buffer.extend_from_slice(json::HEADER.as_bytes()),
            OutputFormat::Table | OutputFormat::JsonLines => {}
        }
        Self {
            face,
            all,
            surveyed,
            out,
            buffer,
            rows: 0,
            flushed: Instant::now(),
            asked: Vec::new(),
            method: None,
            pinned: 0,
        }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn answer(
        &mut self,
        subject: &Subject,
        answer: &Answer,
    ) -> Result<(), CommandError> {
        let names = &self.surveyed.namespaces;
        match self.face.output {
            OutputFormat::Table => self.asked.push((subject.clone(), *answer)),
            OutputFormat::Json => {
                let between: &[u8] = if self.rows == 0 { b"\n" } else { b",\n" };
                self.buffer.extend_from_slice(between);
                json::object(&mut self.buffer, subject, answer, names);
            }
            OutputFormat::JsonLines => {
                json::object(&mut self.buffer, subject, answer, names);
                self.buffer.push(b'\n');
            }
            OutputFormat::Csv => json::record(&mut self.buffer, subject, answer),
        }
        self.rows += 1;
        if self.buffer.len() >= PIECE || self.flushed.elapsed() >= OFTEN {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes what is there.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn flush(&mut self) -> Result<(), CommandError> {
        self.flushed = Instant::now();
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.out.write_all(&self.buffer);
        self.buffer.clear();
        written
            .and_then(|()| self.out.flush())
            .map_err(CommandError::output)
    }

    /// Writes the rest, and to `stderr` what could not be found out.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn finish(
        mut self,
        count: &Count,
        stderr: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        match self.face.output {
            OutputFormat::Table if count.total() > 0 => self.table(count),
            OutputFormat::Json => self.end_of_document(count),
            _ => {}
        }
        self.flush()?;
        // There is nowhere to say that stderr is closed.
        let _ = self.tell(count, stderr);
        let dead = count.of(Verdict::Dead) + count.of(Verdict::Refused);
        Ok(if dead > 0 {
            Exit::Findings
        } else if count.is_partial() || self.surveyed.coverage.is_partial() {
            Exit::Partial
        } else {
            Exit::Done
        })
    }

    fn table(&mut self, count: &Count) {
        /// The heading, a blank line, the sums, and what the shell writes next.
        const AROUND: usize = 5;
        let rank = |verdict: Verdict| table::WORST.iter().position(|one| *one == verdict);
        self.asked
            .sort_by_key(|(_, answer)| (rank(answer.verdict), Reverse(answer.silence)));
        let fits = self
            .face
            .height
            .is_none_or(|height| self.asked.len() + AROUND <= height);
        let shown: Vec<&Asked> = self
            .asked
            .iter()
            .filter(|(_, answer)| self.all || fits || answer.verdict != Verdict::Alive)
            .collect();
        let hidden = self.asked.len() - shown.len();
        if !shown.is_empty() {
            let table = table::draw(&shown, self.face.width, self.face.palette);
            self.buffer.extend_from_slice(&table);
            self.buffer.push(b'\n');
        }
        let mut sums = table::sums(count);
        if hidden > 0 {
            sums += "   (the living are listed with --all)";
        }
        for line in fit::wrap(&sums, self.face.width, 2) {
            self.buffer.extend_from_slice(line.as_bytes());
            self.buffer.push(b'\n');
        }
    }

    fn end_of_document(&mut self, count: &Count) {
        let out = &mut self.buffer;
        out.extend_from_slice(b"\n]");
        for verdict in Verdict::ALL {
            out.extend_from_slice(format!(",\"{}\":", verdict.name()).as_bytes());
            append::number(out, count.of(verdict));
        }
        let method = self
            .method
            .map_or("null".to_owned(), |method| format!("\"{}\"", method.name()));
        let pinned = self.pinned;
        let text = format!(",\"method\":{method},\"pinned\":{pinned},\"left_out\":{{");
        out.extend_from_slice(text.as_bytes());
        for (at, (why, number)) in count.left_out.iter().enumerate() {
            let between = if at == 0 { "" } else { "," };
            out.extend_from_slice(format!("{between}\"{}\":{number}", why.name()).as_bytes());
        }
        out.extend_from_slice(b"},\"gaps\":");
        let gaps = coverage::gaps_json(&count.gaps).to_string();
        append::json_document(out, &gaps);
        out.extend_from_slice(b",\"coverage\":");
        coverage::json(out, &self.surveyed.coverage);
        out.extend_from_slice(b"}\n");
    }

    fn tell(&self, count: &Count, stderr: &mut dyn Write) -> io::Result<()> {
        if self.face.output == OutputFormat::Table {
            if count.total() == 0 {
                let what = if self.surveyed.coverage.total() > 0 && count.left_out.is_empty() {
                    "no connection matches"
                } else {
                    "there is nobody to ask"
                };
                writeln!(stderr, "{what}")?;
            }
            tell_left_out(count, stderr)?;
        }
        for (why, number) in count.unknown.iter().chain(&count.ended) {
            let number = counted(*number, "connection");
            writeln!(stderr, "unknown: {number}: {}", coverage::shown(why))?;
        }
        for line in count.heard() {
            writeln!(stderr, "{line}")?;
        }
        for line in coverage::gap_lines(&count.gaps) {
            writeln!(stderr, "{line}")?;
        }
        if self.surveyed.coverage.is_partial() {
            coverage::report(&self.surveyed.coverage, self.surveyed.elapsed, stderr)?;
        }
        if self.face.output == OutputFormat::Table && count.of(Verdict::Dead) > 0 {
            writeln!(
                stderr,
                "hint: sockpulse reap ends the dead; it takes the same selectors"
            )?;
        }
        Ok(())
    }
}

/// Those with nobody to ask.
pub(crate) fn tell_left_out(count: &Count, stderr: &mut dyn Write) -> io::Result<()> {
    let parts: Vec<String> = count
        .left_out
        .iter()
        .map(|(why, number)| match why {
            LeftOut::State(state) => format!("{} {}", grouped(*number), state.name()),
            LeftOut::NoCookie => format!("{} without a cookie", grouped(*number)),
        })
        .collect();
    if parts.is_empty() {
        return Ok(());
    }
    writeln!(stderr, "left out, with nobody to ask: {}", parts.join(", "))
}
