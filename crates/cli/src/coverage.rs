//! What was seen and what was not, in words on stderr and as an object in JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value as Json, json};
pub(crate) use sockpulse_core::grouped;
use sockpulse_core::{Coverage, Gap, Unseen};

use crate::append;

/// How much a sentence says of what is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Reasons in a word.
    Short,
    /// Reasons in a clause.
    Full,
}

/// One line: `complete: saw 1,204 sockets in 3 namespaces (bpf 1,180, sock_diag 24) in 31ms`.
pub(crate) fn sentence(coverage: &Coverage, elapsed: Duration, detail: Detail) -> String {
    let completeness = if coverage.is_partial() {
        "partial"
    } else {
        "complete"
    };
    let total = coverage.total();
    let mut line = format!(
        "{completeness}: saw {} in {}",
        counted(total, "socket"),
        counted(coverage.namespaces, "namespace")
    );
    if total > 0 {
        let parts: Vec<_> = by_name(coverage)
            .iter()
            .map(|(name, count)| format!("{name} {}", grouped(*count)))
            .collect();
        // Writing to a string does not fail.
        let _ = write!(line, " ({})", parts.join(", "));
    }
    let mut time = Vec::new();
    let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    append::span(&mut time, millis.max(1));
    let _ = write!(line, " in {}", String::from_utf8_lossy(&time));
    for (what, by_reason) in [
        ("settings", &coverage.unknown_settings),
        ("owner", &coverage.unknown_owners),
    ] {
        unknown(&mut line, what, by_reason, detail);
    }
    line
}

/// Writes the line, what was not seen, why, and what would help.
pub(crate) fn report(
    coverage: &Coverage,
    elapsed: Duration,
    stderr: &mut dyn Write,
) -> io::Result<()> {
    writeln!(stderr, "{}", sentence(coverage, elapsed, Detail::Full))?;
    gaps(coverage, stderr)?;
    for note in &coverage.notes {
        writeln!(stderr, "note: {}", shown(note))?;
    }
    Ok(())
}

/// Writes what was not seen, why, and below it what would help.
pub(crate) fn gaps(coverage: &Coverage, stderr: &mut dyn Write) -> io::Result<()> {
    let lines = gap_lines(&coverage.gaps);
    lines.iter().try_for_each(|line| writeln!(stderr, "{line}"))
}

/// What was not seen, why, and below it what would help. One remedy often closes several gaps.
pub(crate) fn gap_lines(gaps: &[Gap]) -> Vec<String> {
    let mut remedies: Vec<Option<&str>> = Vec::new();
    for gap in gaps {
        if !remedies.contains(&gap.remedy.as_deref()) {
            remedies.push(gap.remedy.as_deref());
        }
    }
    let mut lines = Vec::new();
    for remedy in remedies {
        for gap in gaps.iter().filter(|gap| gap.remedy.as_deref() == remedy) {
            let (what, why) = (shown(&gap.what), shown(&gap.why));
            lines.push(format!("not seen: {what}: {why}"));
        }
        lines.extend(remedy.map(|remedy| format!("hint: {}", shown(remedy))));
    }
    lines
}

/// What was not seen, as JSON.
pub(crate) fn gaps_json(gaps: &[Gap]) -> Json {
    let gaps = gaps.iter();
    gaps.map(|gap| json!({ "what": gap.what, "why": gap.why, "remedy": gap.remedy }))
        .collect()
}

/// The coverage as a JSON object.
pub(crate) fn json(out: &mut Vec<u8>, coverage: &Coverage) {
    out.extend_from_slice(b"{\"complete\":");
    out.extend_from_slice(if coverage.is_partial() {
        b"false"
    } else {
        b"true"
    });
    out.extend_from_slice(b",\"namespaces\":");
    append::number(out, coverage.namespaces);
    out.extend_from_slice(b",\"sockets\":");
    counts(out, by_name(coverage).into_iter());
    for (key, by_reason) in [
        (",\"unknown_settings\":", &coverage.unknown_settings),
        (",\"unknown_owners\":", &coverage.unknown_owners),
    ] {
        out.extend_from_slice(key.as_bytes());
        counts(out, by_reason.iter().map(|(why, n)| (why.name(), *n)));
    }
    out.extend_from_slice(b",\"gaps\":[");
    for (at, gap) in coverage.gaps.iter().enumerate() {
        out.extend_from_slice(if at > 0 {
            b",{\"what\":"
        } else {
            b"{\"what\":"
        });
        append::json_string(out, gap.what.as_bytes());
        out.extend_from_slice(b",\"why\":");
        append::json_string(out, gap.why.as_bytes());
        out.extend_from_slice(b",\"remedy\":");
        match &gap.remedy {
            Some(remedy) => append::json_string(out, remedy.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"],\"notes\":[");
    for (at, note) in coverage.notes.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        append::json_string(out, note.as_bytes());
    }
    out.extend_from_slice(b"]}");
}

/// `1 socket`, `1,204 sockets`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Text with names from the machine in it, safe for a terminal.
pub(crate) fn shown(text: &str) -> String {
    let mut out = Vec::new();
    append::visible(&mut out, text.as_bytes());
    String::from_utf8_lossy(&out).into_owned()
}

/// Both BPF readers go by one name.
fn by_name(coverage: &Coverage) -> BTreeMap<&'static str, u64> {
    let mut sources = BTreeMap::new();
    for (source, count) in &coverage.sockets {
        *sources.entry(source.name()).or_insert(0) += count;
    }
    sources.retain(|_, count| *count > 0);
    sources
}

/// What nobody could know is left out: a TIME-WAIT entry has neither settings nor a process.
fn unknown(line: &mut String, what: &str, by_reason: &BTreeMap<Unseen, u64>, detail: Detail) {
    let hidden = by_reason
        .iter()
        .filter(|(why, count)| **count > 0 && !matches!(why, Unseen::NoProcess | Unseen::NoSocket));
    for (why, count) in hidden {
        let count = grouped(*count);
        // Writing to a string does not fail.
        let _ = match detail {
            Detail::Short => write!(line, "; {what} unknown for {count} ({})", why.name()),
            Detail::Full => write!(line, "; {what} unknown for {count}: {}", why.why()),
        };
    }
}

fn counts<'a>(out: &mut Vec<u8>, counts: impl Iterator<Item = (&'a str, u64)>) {
    out.push(b'{');
    for (at, (name, count)) in counts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        append::json_string(out, name.as_bytes());
        out.push(b':');
        append::number(out, count);
    }
    out.push(b'}');
}
