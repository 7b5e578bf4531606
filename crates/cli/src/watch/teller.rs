//! Writes what happens, as lines for people or for programs.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sockpulse_core::Gap;

use super::json::{self, EventEncoder};
use super::summary::Summary;
use super::text;
use super::view::View;
use crate::app::Face;
use crate::coverage;
use crate::error::{CommandError, ErrorKind};
use crate::options::OutputFormat;
use crate::terminal::Palette;

/// The two outputs.
pub(super) struct Teller<'a> {
    form: Form,
    /// What was not written yet.
    text: Vec<u8>,
    out: &'a mut dyn Write,
    stderr: &'a mut dyn Write,
}

enum Form {
    Lines(Palette),
    Json(Box<EventEncoder>),
}

impl<'a> Teller<'a> {
    /// # Errors
    /// When the format is none for what has no end.
    pub(super) fn new(
        face: &Face,
        out: &'a mut dyn Write,
        stderr: &'a mut dyn Write,
    ) -> Result<Self, CommandError> {
        let form = match face.output {
            OutputFormat::Table => Form::Lines(face.palette),
            OutputFormat::JsonLines => Form::Json(Box::default()),
            OutputFormat::Json | OutputFormat::Csv => {
                let refusal = "watch prints lines, for people or of JSON";
                return Err(CommandError::new(ErrorKind::Usage, refusal).hint("-o jsonl"));
            }
        };
        Ok(Self {
            form,
            text: Vec::new(),
            out,
            stderr,
        })
    }

    /// Says that from now on nothing is missed.
    pub(super) fn begin(&mut self, summary: &Summary) -> Result<(), CommandError> {
        if let Form::Json(_) = self.form {
            json::beginning(&mut self.text, now(), summary);
        }
        self.flush()
    }

    /// Says that from now on it is known whose connections are.
    pub(super) fn looked(
        &mut self,
        summary: &Summary,
        connections: u64,
        namespaces: u64,
        every: Duration,
    ) -> Result<(), CommandError> {
        match self.form {
            Form::Lines(_) => self.say(&summary.looked(connections, namespaces, every)),
            Form::Json(_) => json::looked(&mut self.text, now(), connections, namespaces),
        }
        self.flush()
    }

    /// Says that it is told of events, and whose they are is not known yet.
    pub(super) fn look_is_late(&mut self) {
        if let Form::Lines(_) = self.form {
            self.say("looking at all sockets; till then a connection that was there has no owner");
        }
    }

    /// An event; it is written with the next [`flush`](Self::flush).
    pub(super) fn event(&mut self, view: &View<'_>) {
        match &mut self.form {
            Form::Lines(palette) => text::line(&mut self.text, view, *palette),
            Form::Json(encoder) => encoder.event(&mut self.text, view),
        }
    }

    /// So many events were lost since it was last asked.
    pub(super) fn lost(&mut self, count: u64) -> Result<(), CommandError> {
        match self.form {
            Form::Lines(palette) => text::lost(&mut self.text, now(), count, palette),
            Form::Json(_) => json::lost(&mut self.text, now(), count),
        }
        self.flush()
    }

    /// What it was, all in all.
    pub(super) fn end(&mut self, summary: &Summary) -> Result<(), CommandError> {
        match self.form {
            Form::Lines(_) => self.say(&summary.end()),
            Form::Json(_) => json::end(&mut self.text, now(), summary),
        }
        self.flush()
    }

    /// What the reader should know and need not mend.
    pub(super) fn note(&mut self, note: &str) {
        self.say(&format!("note: {}", coverage::shown(note)));
    }

    /// What could not be seen.
    pub(super) fn gaps(&mut self, gaps: &[Gap]) {
        for line in coverage::gap_lines(gaps) {
            self.say(&line);
        }
    }

    /// Writes what was told.
    pub(super) fn flush(&mut self) -> Result<(), CommandError> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = self
            .out
            .write_all(&self.text)
            .and_then(|()| self.out.flush());
        self.text.clear();
        written.map_err(CommandError::output)
    }

    fn say(&mut self, line: &str) {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(self.stderr, "{line}");
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
