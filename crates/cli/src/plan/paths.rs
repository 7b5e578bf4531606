//! The idle timeouts that are known.

use std::io;

use serde_json::{Value, json};
use sockpulse_core::human;
use sockpulse_core::paths::{OnExpiry, PATHS, PathTimeout};

use crate::app::Face;
use crate::options::OutputFormat;
use crate::{append, fit, terminal};

/// Appends them as a table, or as JSON with all that is known.
pub(super) fn print(out: &mut Vec<u8>, face: &Face) -> io::Result<()> {
    match face.output {
        OutputFormat::Json => {
            let paths: Vec<Value> = PATHS.iter().map(entry).collect();
            let document = json!({ "schema_version": 1, "paths": paths });
            append::json_document(out, &serde_json::to_string(&document)?);
            out.push(b'\n');
        }
        OutputFormat::JsonLines => {
            for path in PATHS {
                append::json_document(out, &serde_json::to_string(&entry(path))?);
                out.push(b'\n');
            }
        }
        _ => table(out, face),
    }
    Ok(())
}

fn entry(path: &PathTimeout) -> Value {
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs());
    json!({
        "name": path.name,
        "title": path.title,
        "aliases": path.aliases,
        "timeout_s": path.timeout.as_secs(),
        "min_s": seconds(path.min),
        "max_s": seconds(path.max),
        "probe_counts": path.probe_counts,
        "on_expiry": path.on_expiry.name(),
        "note": path.note,
        "source": path.source,
        "verified": path.verified,
    })
}

/// A line each with its source below: a source is longer than what is left of a line.
fn table(out: &mut Vec<u8>, face: &Face) {
    let longest = |text: fn(&PathTimeout) -> &str| {
        let widths = PATHS.iter().map(|path| fit::width(text(path).as_bytes()));
        widths.max().unwrap_or(0)
    };
    let (name, title) = (longest(|path| path.name), longest(|path| path.title));
    let head = format!(
        "{:name$}  {:title$}  {:<8}  {:<6}  {}",
        "name", "what", "forgets", "probe", "then"
    );
    face.palette.paint(out, terminal::BOLD, head.as_bytes());
    out.push(b'\n');
    for path in PATHS {
        let counts = match path.probe_counts {
            Some(true) => "counts",
            Some(false) => "no",
            None => "?",
        };
        let line = format!(
            "{:name$}  {:title$}  {:<8}  {counts:<6}  {}\n",
            path.name,
            path.title,
            human(path.timeout).to_string(),
            then(path.on_expiry)
        );
        out.extend_from_slice(line.as_bytes());
        // Where the maker's own words were not found, others quote them.
        let quoted = if path.verified { "" } else { "second-hand: " };
        let source = format!("  {quoted}{}", path.source);
        face.palette.paint(out, terminal::DIM, source.as_bytes());
        out.push(b'\n');
    }
}

fn then(on_expiry: OnExpiry) -> &'static str {
    match on_expiry {
        OnExpiry::Reset => "RST",
        OnExpiry::Silent => "silence",
        OnExpiry::Closes => "closes",
        _ => "?",
    }
}
