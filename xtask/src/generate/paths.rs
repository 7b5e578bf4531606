//! From the data file of known idle timeouts: the table in core and its page in the reference.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use serde::Deserialize;
use sockpulse_cli::generate::Generated;
use sockpulse_core::duration::human;
use toml::Spanned;

use crate::error::{Error, Result};
use crate::process;

const DATA: &str = "crates/core/data/paths.toml";
const TABLE: &str = "crates/core/src/paths/table.rs";
const PAGE: &str = "docs/reference/paths.md";

/// The table and the page.
///
/// # Errors
/// [`Error::Data`] with the line of what is wrong in the data file.
pub(super) fn files() -> Result<Vec<Generated>> {
    let file = process::workspace().join(DATA);
    let text = std::fs::read_to_string(&file).map_err(Error::file("read", file))?;
    let paths = parse(&text)?;
    Ok(vec![
        Generated {
            path: TABLE.to_owned(),
            contents: table(&paths).into(),
        },
        Generated {
            path: PAGE.to_owned(),
            contents: page(&paths).into(),
        },
    ])
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    path: Vec<Spanned<Entry>>,
}

/// One box; what is left out is not known.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    title: String,
    #[serde(default)]
    aliases: Vec<String>,
    timeout_s: u64,
    min_s: Option<u64>,
    max_s: Option<u64>,
    probe_counts: Option<bool>,
    #[serde(default)]
    on_expiry: OnExpiry,
    #[serde(default)]
    note: String,
    source: String,
    /// More places, for the page only.
    #[serde(default)]
    more_sources: Vec<String>,
    #[serde(default = "yes")]
    verified: bool,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum OnExpiry {
    Rst,
    Silent,
    Closes,
    #[default]
    Unknown,
}

const fn yes() -> bool {
    true
}

/// The boxes by rising timeout, those of one timeout in the order of the file.
fn parse(text: &str) -> Result<Vec<Entry>> {
    let wrong = |at: usize, problem: String| Error::Data {
        file: DATA,
        line: text
            .get(..at)
            .map_or(0, |before| before.matches('\n').count())
            + 1,
        problem,
    };
    let data: Data = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        wrong(at, error.message().to_owned())
    })?;
    let mut seen = BTreeMap::new();
    let mut entries = Vec::new();
    for spanned in data.path {
        let at = spanned.span().start;
        let entry = spanned.into_inner();
        if let Some(problem) = entry.problem() {
            return Err(wrong(at, format!("{}: {problem}", entry.name)));
        }
        for name in entry.names() {
            if let Some(other) = seen.insert(name.to_owned(), entry.name.clone()) {
                return Err(wrong(at, format!("{name} names {other} already")));
            }
        }
        entries.push(entry);
    }
    entries.sort_by_key(|entry| entry.timeout_s);
    Ok(entries)
}

impl Entry {
    fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.name.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// What no reader of the table expects.
    fn problem(&self) -> Option<String> {
        if let Some(name) = self.names().find(|name| !is_kebab_case(name)) {
            return Some(format!(
                "{name:?} is not in kebab-case: letters, digits and single hyphens"
            ));
        }
        if self.title.trim().is_empty() {
            return Some("the title is empty".to_owned());
        }
        let links = std::iter::once(&self.source).chain(&self.more_sources);
        if let Some(link) = links.into_iter().find(|link| !link.starts_with("https://")) {
            return Some(format!("the source {link:?} is not a URL"));
        }
        if self.timeout_s == 0 {
            return Some("a timeout of 0 s".to_owned());
        }
        if self.min_s.is_some_and(|min| min > self.timeout_s) {
            return Some("the timeout is below min_s".to_owned());
        }
        if self.max_s.is_some_and(|max| max < self.timeout_s) {
            return Some("the timeout is above max_s".to_owned());
        }
        None
    }

    fn range(&self) -> String {
        let shown = |seconds| human(Duration::from_secs(seconds)).to_string();
        match (self.min_s, self.max_s) {
            (Some(min), Some(max)) if min == max => "fixed".to_owned(),
            (Some(min), Some(max)) => format!("{} to {}", shown(min), shown(max)),
            (Some(min), None) => format!("from {}", shown(min)),
            (None, Some(max)) => format!("up to {}", shown(max)),
            (None, None) => "?".to_owned(),
        }
    }
}

fn is_kebab_case(name: &str) -> bool {
    name.split('-').all(|word| {
        !word.is_empty()
            && word
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn table(paths: &[Entry]) -> String {
    let mut code = String::from(
        "//! Generated by `cargo xtask generate` from `data/paths.toml`: do not edit.\n\n\
         use core::time::Duration;\n\n\
         use super::{OnExpiry, PathTimeout};\n\n\
         /// Defaults as their makers document them, the shortest first.\n\
         pub const PATHS: &[PathTimeout] = &[\n",
    );
    for path in paths {
        // Writing to a string does not fail.
        let _ = write!(
            code,
            "    PathTimeout {{\n        \
             name: {name:?},\n        \
             title: {title:?},\n        \
             aliases: &{aliases:?},\n        \
             timeout: Duration::from_secs({timeout}),\n        \
             min: {min},\n        \
             max: {max},\n        \
             probe_counts: {probe_counts:?},\n        \
             on_expiry: OnExpiry::{on_expiry},\n        \
             note: {note:?},\n        \
             source: {source:?},\n        \
             verified: {verified},\n    \
             }},\n",
            name = path.name,
            title = path.title,
            aliases = path.aliases,
            timeout = in_code(path.timeout_s),
            min = optional_in_code(path.min_s),
            max = optional_in_code(path.max_s),
            probe_counts = path.probe_counts,
            on_expiry = match path.on_expiry {
                OnExpiry::Rst => "Reset",
                OnExpiry::Silent => "Silent",
                OnExpiry::Closes => "Closes",
                OnExpiry::Unknown => "Unknown",
            },
            note = path.note,
            source = path.source,
            verified = path.verified,
        );
    }
    code.push_str("];\n");
    code
}

/// Long numbers in groups of three, as clippy wants them.
fn in_code(seconds: u64) -> String {
    if seconds < 10_000 {
        return seconds.to_string();
    }
    sockpulse_core::number::grouped(seconds).replace(',', "_")
}

fn optional_in_code(seconds: Option<u64>) -> String {
    seconds.map_or_else(
        || "None".to_owned(),
        |seconds| format!("Some(Duration::from_secs({}))", in_code(seconds)),
    )
}

fn page(paths: &[Entry]) -> String {
    let mut page = String::from(
        "# Idle timeouts on the path\n\n\
         <!-- Generated from crates/core/data/paths.toml: do not edit. -->\n\n\
         How long boxes between two hosts remember a connection on which nothing is sent. A name, or\n\
         an alias, is what `sockpulse plan --path` takes.\n\n\
         - *timeout*: the default. *settable*: the range that it can be set to; `?` is not known.\n\
         - *probe counts*: whether an empty keepalive probe is traffic to the box. Where it is not,\n  \
           no keepalive holds the connection open: the program has to send something.\n\
         - *on expiry*: what becomes of the connection. `rst`: the next segment from either end is\n  \
           answered with a RST. `silent`: segments vanish. `closes`: the box ends the connection by\n  \
           itself.\n\
         - A source in *italics* quotes the maker; the maker's own words were not found.\n\n\
         | name | what | timeout | settable | probe counts | on expiry | source |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for path in paths {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} ({} s) | {} | {} | {} | {} |",
            path.name,
            path.title,
            human(Duration::from_secs(path.timeout_s)),
            path.timeout_s,
            path.range(),
            match path.probe_counts {
                Some(true) => "yes",
                Some(false) => "**no**",
                None => "?",
            },
            match path.on_expiry {
                OnExpiry::Rst => "rst",
                OnExpiry::Silent => "silent",
                OnExpiry::Closes => "closes",
                OnExpiry::Unknown => "?",
            },
            links(path),
        );
    }
    page.push_str("\n## Notes\n\n");
    for path in paths {
        let _ = write!(page, "- `{}`", path.name);
        if !path.aliases.is_empty() {
            let _ = write!(page, " (also `{}`)", path.aliases.join("`, `"));
        }
        let note = if path.note.is_empty() {
            "nothing further"
        } else {
            &path.note
        };
        let _ = writeln!(page, ": {note}");
    }
    page
}

fn links(path: &Entry) -> String {
    std::iter::once(&path.source)
        .chain(&path.more_sources)
        .map(|link| {
            let host = link.trim_start_matches("https://");
            let host = host.split('/').next().unwrap_or(host);
            let link = format!("[{host}]({link})");
            if path.verified {
                link
            } else {
                format!("*{link}*")
            }
        })
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "[[path]]\nname = \"a-box\"\ntitle = \"A box\"\ntimeout_s = 300\n\
                       source = \"https://example.org/a\"\n";

    fn refusal(text: &str) -> String {
        parse(text).expect_err("refused").to_string()
    }

    #[test]
    fn what_is_left_out_is_not_known() {
        let paths = parse(ONE).expect("good data");
        let code = table(&paths);
        assert!(code.contains("probe_counts: None,\n"), "{code}");
        assert!(code.contains("on_expiry: OnExpiry::Unknown,\n"), "{code}");
        assert!(code.contains("min: None,\n"), "{code}");
        assert!(page(&paths).contains("| `a-box` | A box | 5m (300 s) | ? | ? | ? |"));
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        for (text, expected) in [
            ("[[path]]\nname = 3\n", "line 2: invalid type"),
            ("\n\nnonsense", "line 3: "),
            (
                &format!("{ONE}timeout = 3\n"),
                "line 6: unknown field `timeout`",
            ),
            (
                &format!("\n{}", ONE.replace("a-box", "A box")),
                "line 2: A box: \"A box\" is not in kebab-case",
            ),
            (&format!("{ONE}min_s = 301\n"), "the timeout is below min_s"),
            (&format!("{ONE}max_s = 299\n"), "the timeout is above max_s"),
            (
                &ONE.replace("https", "http"),
                "the source \"http://example.org/a\" is not a URL",
            ),
            (&format!("{ONE}{ONE}"), "line 6: a-box names a-box already"),
            (&ONE.replace("300", "0"), "a timeout of 0 s"),
            (
                &format!("{ONE}on_expiry = \"boom\"\n"),
                "line 6: unknown variant `boom`",
            ),
        ] {
            let said = refusal(text);
            assert!(said.contains(expected), "{said}\nwants {expected}");
            assert!(said.contains("crates/core/data/paths.toml"), "{said}");
        }
    }

    #[test]
    fn the_shortest_comes_first() {
        let other = ONE.replace("a-box", "b").replace("300", "60");
        let paths = parse(&format!("{ONE}{other}")).expect("good data");
        assert_eq!(paths[0].name, "b");
    }

    #[test]
    fn long_numbers_are_in_groups() {
        assert_eq!(in_code(350), "350");
        assert_eq!(in_code(432_000), "432_000");
    }
}
