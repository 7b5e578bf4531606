//! What a command that changes something prints: sentences for people, or one JSON document.

use std::io::Write;
use std::path::Path;

use serde_json::{Map, Value as Json, json};
use sockpulse_core::change::Change;

use crate::app::Face;
use crate::append;
use crate::apply::{self, Applied, Plan};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::options::OutputFormat;
use crate::sink::ChangeSink;

/// Collects what is said; it is printed at the end, so that nothing stands between.
#[derive(Debug)]
pub(super) struct DocumentOrText<'a> {
    face: &'a Face,
    /// For stdout.
    said: Vec<String>,
    /// For stderr.
    warned: Vec<String>,
    document: Map<String, Json>,
    /// Why what is only looked at could not be done.
    refusal: Option<CommandError>,
}

impl<'a> DocumentOrText<'a> {
    /// An empty report.
    ///
    /// # Errors
    /// For formats that list rows: there are none here.
    pub(super) fn new(face: &'a Face, command: &str) -> Result<Self, CommandError> {
        if matches!(face.output, OutputFormat::Csv | OutputFormat::JsonLines) {
            let message = format!("{command} prints text or one JSON document");
            return Err(CommandError::new(ErrorKind::Usage, message).hint("use -o table or json"));
        }
        Ok(Self {
            face,
            said: Vec::new(),
            warned: Vec::new(),
            document: Map::from_iter([("schema_version".to_owned(), json!(1))]),
            refusal: None,
        })
    }

    /// A line on stdout.
    pub(super) fn say(&mut self, line: String) {
        self.said.push(line);
    }

    /// Lines on stdout.
    pub(super) fn lines(&mut self, lines: impl IntoIterator<Item = String>) {
        self.said.extend(lines);
    }

    /// A line on stderr.
    pub(super) fn warn(&mut self, line: String) {
        self.warned.push(line);
    }

    /// What the journal had to say.
    pub(super) fn notes(&mut self, notes: &[String]) {
        let notes = notes.iter().map(|note| format!("note: {note}"));
        self.warned.extend(notes);
    }

    /// A key of the document.
    pub(super) fn field(&mut self, key: &str, value: Json) {
        self.document.insert(key.to_owned(), value);
    }

    /// The changes; without an outcome they were not made.
    pub(super) fn changes(&mut self, changes: &[Change], applied: Option<&Applied>) {
        let made = |at: usize| {
            let outcome = applied.and_then(|applied| applied.outcomes.get(at));
            !matches!(outcome, Some(Err(_)))
        };
        // What failed is told by itself: nothing is printed that was not done.
        let made = changes.iter().enumerate().filter(|(at, _)| made(*at));
        self.said
            .extend(made.flat_map(|(_, change)| apply::lines(change)));
        self.field("dry_run", applied.is_none().into());
        self.field("changes", apply::json(changes, applied));
    }

    /// Of a plan that is not carried out, what would stand in its way: said at the end.
    pub(super) fn rehearse(&mut self, sink: &mut dyn ChangeSink, plan: &Plan, state_dir: &Path) {
        let refusal = apply::rehearse(sink, plan, state_dir).err();
        let why = refusal.as_ref().map(CommandError::to_string);
        self.field("would_fail", why.into());
        self.refusal = refusal.map(CommandError::foreseen);
    }

    /// Whether the rehearsal found nothing in the way.
    pub(super) const fn is_possible(&self) -> bool {
        self.refusal.is_none()
    }

    /// What became of the changes, and how to come back.
    pub(super) fn outcome(&mut self, applied: &Applied, changes: &[Change]) -> Exit {
        self.notes(&applied.notes);
        for line in apply::failures(changes, applied) {
            self.warn(line);
        }
        if let Some(failure) = &applied.failure {
            for hint in failure.hints() {
                self.warn(format!("hint: {hint}"));
            }
        }
        let done = applied.outcomes.iter().any(Result::is_ok);
        if let Some(id) = applied.id.filter(|_| done) {
            self.say(format!("change {id}; taken back by: sockpulse undo {id}"));
        }
        self.field("id", applied.id.into());
        if applied.failure.is_some() {
            Exit::Partial
        } else {
            Exit::Done
        }
    }

    /// Prints what was said, before something that takes its time; a document is printed whole.
    pub(super) fn print_so_far(&mut self, out: &mut dyn Write) -> Result<(), CommandError> {
        let said = std::mem::take(&mut self.said);
        if self.face.output == OutputFormat::Json {
            return Ok(());
        }
        let mut text = said.join("\n");
        if !text.is_empty() {
            text.push('\n');
        }
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(CommandError::output)
    }

    /// Prints the rest.
    ///
    /// # Errors
    /// When the output cannot be written; what the rehearsal found.
    pub(super) fn finish(
        mut self,
        out: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<(), CommandError> {
        self.print_so_far(out)?;
        if self.face.output == OutputFormat::Json {
            let document = Json::Object(self.document).to_string();
            let mut text = Vec::new();
            append::json_document(&mut text, &document);
            text.push(b'\n');
            out.write_all(&text)
                .and_then(|()| out.flush())
                .map_err(CommandError::output)?;
        }
        for line in &self.warned {
            // There is nowhere to say that stderr is closed.
            let _ = writeln!(stderr, "{line}");
        }
        self.refusal.map_or(Ok(()), Err)
    }
}
