//! What is printed: whom it concerns, what became of them, and what is left; or one JSON document.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::{Map, Value as Json, json};
use sockpulse_core::Comm;
use sockpulse_core::ping::Verdict;

use super::args::ReapArgs;
use super::end::Ended;
use super::fate::Fate;
use super::left::Left;
use crate::app::Face;
use crate::append;
use crate::coverage::{self, counted, grouped, shown};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::fit;
use crate::options::OutputFormat;
use crate::ping::{Asked, Found, json, table, tell_left_out};
use crate::terminal::{self, Palette};

/// All that is to be said.
pub(super) struct Report<'a> {
    args: &'a ReapArgs,
    pub(super) found: Found,
    /// How many were found to be dead, or are to be taken for dead.
    pub(super) dead: usize,
    /// Those who were left, since it was only to be seen who they are, or nobody consented.
    pub(super) listed: Vec<Asked>,
    pub(super) declined: bool,
    /// While they were asked.
    pub(super) interrupted: bool,
    pub(super) ended: Option<Ended>,
}

/// Lines of a list that is read on a screen.
const LISTED: usize = 20;
/// Columns of what stands before the facts.
const LABEL: usize = 13;

impl<'a> Report<'a> {
    pub(super) const fn new(args: &'a ReapArgs, found: Found) -> Self {
        Self {
            args,
            found,
            dead: 0,
            listed: Vec::new(),
            declined: false,
            interrupted: false,
            ended: None,
        }
    }

    /// Prints it. What was not done, and what would help, goes to `stderr`.
    ///
    /// # Errors
    /// When the output cannot be written, or nothing was ended for lack of a right.
    pub(super) fn print(
        &self,
        face: &Face,
        out: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        let mut text = Vec::new();
        if face.output == OutputFormat::Json {
            append::json_document(&mut text, &Json::Object(self.document()).to_string());
            text.push(b'\n');
        } else {
            self.screen(face, &mut text);
        }
        out.write_all(&text)
            .and_then(|()| out.flush())
            .map_err(CommandError::output)?;
        for line in self.warnings() {
            // There is nowhere to say that stderr is closed.
            let _ = writeln!(stderr, "{line}");
        }
        let _ = tell_left_out(&self.found.count, stderr);
        if self.found.surveyed.coverage.is_partial() {
            let _ = coverage::gaps(&self.found.surveyed.coverage, stderr);
        }
        self.denied()?;
        Ok(self.exit())
    }

    /// Those who are listed, the longest silent first, as far as a screen holds them.
    pub(super) fn list(&self, width: usize, palette: Palette) -> Vec<u8> {
        let mut listed: Vec<&Asked> = self.listed.iter().collect();
        if listed.is_empty() {
            return Vec::new();
        }
        listed.sort_by_key(|(_, answer)| std::cmp::Reverse(answer.silence));
        let more = listed.len().saturating_sub(LISTED);
        listed.truncate(LISTED);
        let mut text = table::draw(&listed, width, palette);
        if more > 0 {
            let more = grouped(count(more));
            text.extend_from_slice(format!("… and {more} more\n").as_bytes());
        }
        text.push(b'\n');
        text
    }

    fn exit(&self) -> Exit {
        let left = self.ended.as_ref().is_some_and(|ended| {
            let mut fates = ended.fates.iter();
            let missed = |fate: &Fate| matches!(fate, Fate::Failed(_) | Fate::Unasked(_));
            !ended.notes.is_empty() || !ended.gaps.is_empty() || fates.any(|(_, fate)| missed(fate))
        });
        if left || self.found.count.is_partial() || self.found.surveyed.coverage.is_partial() {
            Exit::Partial
        } else {
            Exit::Done
        }
    }

    /// Nothing was ended, and a right is why.
    fn denied(&self) -> Result<(), CommandError> {
        let Some(ended) = &self.ended else {
            return Ok(());
        };
        let refused = ended.fates.iter().find_map(|(_, fate)| match fate {
            Fate::Failed(error) if error.is_permission() => Some(error.reason()),
            _ => None,
        });
        match refused {
            Some(why) if ended.count(is_destroyed) == 0 => {
                Err(CommandError::new(ErrorKind::NotPermitted, why)
                    .hint("run as root, or grant CAP_NET_ADMIN in the namespace of the connection"))
            }
            _ => Ok(()),
        }
    }

    fn screen(&self, face: &Face, text: &mut Vec<u8>) {
        // Whoever declined has seen them.
        if !self.declined {
            text.extend_from_slice(&self.list(face.width, face.palette));
        }
        if let Some(ended) = &self.ended
            && ended.count(is_destroyed) > 0
        {
            programs(ended, text);
            text.push(b'\n');
        }
        for (label, fact) in self.facts() {
            let lines = fit::wrap(&fact, face.width.saturating_sub(LABEL), 0);
            for (at, line) in lines.iter().enumerate() {
                let label = if at == 0 { label } else { "" };
                text.extend_from_slice(format!("{label:LABEL$}{line}\n").as_bytes());
            }
        }
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        let host = terminal::host();
        let mut facts = Vec::new();
        if self.args.unverified {
            let dead = counted(count(self.dead), "connection");
            facts.push((
                "unverified",
                format!("{dead} as silent as that, and not asked"),
            ));
        } else {
            facts.push(("asked", table::sums(&self.found.count)));
        }
        let Some(ended) = &self.ended else {
            let fact = if self.interrupted {
                "nothing was ended: it was interrupted".into()
            } else if self.dead == 0 {
                format!("nothing to end on {host}")
            } else if self.declined {
                "nothing was ended: nobody consented".into()
            } else {
                "nothing was ended: --dry-run".into()
            };
            facts.push(("", fact));
            return facts;
        };
        let destroyed = ended.count(is_destroyed);
        facts.push((
            "ended",
            format!("{} on {host}", counted(destroyed, "connection")),
        ));
        if destroyed > 0 {
            facts.extend(left(&ended.left));
            let told =
                "their programs read ECONNABORTED (software caused connection abort) and go on";
            facts.push(("", told.into()));
        }
        for (fate, why) in [
            ("spared", "they were heard meanwhile"),
            ("gone", "they had ended by themselves"),
        ] {
            let number = ended.count(|one| one.name() == fate);
            if number > 0 {
                facts.push((fate, format!("{}: {why}", grouped(number))));
            }
        }
        if let (Some(id), Some(file)) = (ended.id, &ended.file) {
            let undone = if destroyed > 0 {
                ", which cannot be undone"
            } else {
                ""
            };
            let told = format!("change {id}{undone}; recorded in {}", shown(file));
            facts.push(("", told));
        }
        facts
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let count = &self.found.count;
        for (why, number) in count.unknown.iter().chain(&count.ended) {
            let number = counted(*number, "connection");
            lines.push(format!("unknown: {number}: {}", shown(why)));
        }
        lines.extend(count.heard());
        lines.extend(coverage::gap_lines(&count.gaps));
        let Some(ended) = &self.ended else {
            return lines;
        };
        let mut reasons: BTreeMap<String, u64> = BTreeMap::new();
        for (_, fate) in &ended.fates {
            match fate {
                Fate::Unasked(why) => *reasons.entry(why.clone()).or_default() += 1,
                Fate::Failed(error) => *reasons.entry(error.reason()).or_default() += 1,
                _ => {}
            }
        }
        for (why, number) in reasons {
            let number = counted(number, "connection");
            lines.push(format!("not ended: {number}: {}", shown(&why)));
        }
        lines.extend(coverage::gap_lines(&ended.gaps));
        lines.extend(
            ended
                .notes
                .iter()
                .map(|note| format!("note: {}", shown(note))),
        );
        lines
    }

    fn document(&self) -> Map<String, Json> {
        let mut document = Map::from_iter([
            ("schema_version".to_owned(), json!(1)),
            ("dry_run".to_owned(), self.args.writing.dry_run.into()),
            ("verified".to_owned(), (!self.args.unverified).into()),
            ("declined".to_owned(), self.declined.into()),
        ]);
        let mut put = |key: &str, value: Json| document.insert(key.to_owned(), value);
        for verdict in Verdict::ALL {
            put(verdict.name(), self.found.count.of(verdict).into());
        }
        let ended = self.ended.as_ref();
        for fate in ["destroyed", "spared", "gone", "unasked", "failed"] {
            let number = ended.map(|ended| ended.count(|one| one.name() == fate));
            put(fate, number.unwrap_or(0).into());
        }
        put("id", ended.and_then(|ended| ended.id).into());
        put("file", ended.and_then(|ended| ended.file.clone()).into());
        let left = ended.map(|ended| &ended.left);
        put(
            "descriptors",
            left.map(|left| json!({ "before": left.descriptors, "after": left.still_open }))
                .into(),
        );
        put(
            "memory_bytes",
            left.map(|left| json!({ "before": left.memory, "after": left.still_taken }))
                .into(),
        );
        let listed = self.listed.iter().map(|one| (one, Json::Null));
        let fates = ended.into_iter().flat_map(|ended| &ended.fates);
        let fates = fates.map(|(one, fate)| (one, Json::from(fate.name())));
        let names = &self.found.surveyed.namespaces;
        let results = listed.chain(fates).map(|((subject, answer), outcome)| {
            let mut text = Vec::new();
            json::object(&mut text, subject, answer, names);
            let mut object: Json = serde_json::from_slice(&text).unwrap_or_default();
            object["outcome"] = outcome;
            object
        });
        put("results", results.collect());
        let left_out = self.found.count.left_out.iter();
        let left_out = left_out.map(|(why, number)| (why.name().to_owned(), Json::from(*number)));
        put("left_out", Json::Object(left_out.collect()));
        let mut gaps = self.found.count.gaps.clone();
        gaps.extend(
            ended
                .into_iter()
                .flat_map(|ended| ended.gaps.iter().cloned()),
        );
        put("gaps", coverage::gaps_json(&gaps));
        let mut text = Vec::new();
        coverage::json(&mut text, &self.found.surveyed.coverage);
        put(
            "coverage",
            serde_json::from_slice(&text).unwrap_or_default(),
        );
        document
    }
}

impl Ended {
    fn count(&self, is_meant: impl Fn(&Fate) -> bool) -> u64 {
        count(self.fates.iter().filter(|(_, fate)| is_meant(fate)).count())
    }
}

const fn is_destroyed(fate: &Fate) -> bool {
    matches!(fate, Fate::Destroyed(_))
}

fn count(number: usize) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// How many of which program's were ended, the most first.
fn programs(ended: &Ended, text: &mut Vec<u8>) {
    let mut programs: BTreeMap<Option<(Comm, u32)>, u64> = BTreeMap::new();
    for ((subject, _), _) in ended.fates.iter().filter(|(_, fate)| is_destroyed(fate)) {
        let program = subject.process.map(|process| (process.comm, process.pid));
        *programs.entry(program).or_default() += 1;
    }
    let mut programs: Vec<_> = programs.into_iter().collect();
    programs.sort_by_key(|(_, number)| std::cmp::Reverse(*number));
    let more = programs.len().saturating_sub(LISTED);
    text.extend_from_slice(format!("{:LABEL$}{:>9}  program\n", "", "ended").as_bytes());
    for (program, number) in programs.iter().take(LISTED) {
        let name = program.map_or("without a process".into(), |(comm, pid)| {
            format!("{} ({pid})", shown(&String::from_utf8_lossy(comm.bytes())))
        });
        text.extend_from_slice(
            format!("{:LABEL$}{:>9}  {name}\n", "", grouped(*number)).as_bytes(),
        );
    }
    if more > 0 {
        let more = counted(count(more), "more program");
        text.extend_from_slice(format!("{:LABEL$}{:>9}  {more}\n", "", "").as_bytes());
    }
}

/// Descriptors and memory, before and after.
fn left(left: &Left) -> Vec<(&'static str, String)> {
    let volume = |bytes: Option<u64>| {
        bytes.map_or("?".to_owned(), |bytes| {
            let mut text = Vec::new();
            append::volume(&mut text, bytes);
            String::from_utf8_lossy(&text).into_owned()
        })
    };
    let open = left.still_open.map_or("?".to_owned(), grouped);
    let mut facts = vec![(
        "descriptors",
        format!("{} before, {open} after", grouped(left.descriptors)),
    )];
    if left.still_open.is_some_and(|open| open > 0) {
        facts.push((
            "",
            "a program closes its own when it reads the error".into(),
        ));
    }
    facts.push((
        "buffers",
        format!(
            "{} before, {} after",
            volume(left.memory),
            volume(left.still_taken)
        ),
    ));
    facts
}
