//! Values of options: read by core, refused with the known ones and the nearest.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, StringValueParser, TypedValueParser};
use clap_complete::Shell;
use sockpulse_core::event::Name;
use sockpulse_core::selector::parse_state;
use sockpulse_core::{Code, Exposure, Namespace, TcpState, parse_duration};
use sockpulse_preload::Mode;

use crate::fields::{Direction, FIELDS, Field};
use crate::listing::Sort;
use crate::options::{NetnsChoice, OutputFormat, SourceChoice};
use crate::run::args::Method;
use crate::watch::args::Method as Watching;

/// A parser of words from a fixed set. clap shows them in help, in completions and in the error,
/// where it proposes the nearest.
fn words<T: Clone + Send + Sync + 'static>(
    known: impl IntoIterator<Item = (&'static str, T)>,
) -> impl TypedValueParser<Value = T> {
    let known: Vec<(&'static str, T)> = known.into_iter().collect();
    let names: Vec<&'static str> = known.iter().map(|(name, _)| *name).collect();
    PossibleValuesParser::new(names).try_map(move |text| {
        let found = known.iter().find(|(name, _)| *name == text);
        found.map(|(_, value)| value.clone()).ok_or("not known")
    })
}

pub(crate) fn output() -> impl TypedValueParser<Value = OutputFormat> {
    words([
        ("table", OutputFormat::Table),
        ("json", OutputFormat::Json),
        ("jsonl", OutputFormat::JsonLines),
        ("csv", OutputFormat::Csv),
    ])
}

/// For commands that have no rows to list.
pub(crate) fn document() -> impl TypedValueParser<Value = OutputFormat> {
    words([("table", OutputFormat::Table), ("json", OutputFormat::Json)])
}

pub(crate) fn color() -> impl TypedValueParser<Value = anstream::ColorChoice> {
    words([
        ("auto", anstream::ColorChoice::Auto),
        ("always", anstream::ColorChoice::Always),
        ("never", anstream::ColorChoice::Never),
    ])
}

pub(crate) fn switch() -> impl TypedValueParser<Value = bool> {
    words([("on", true), ("off", false)])
}

pub(crate) fn source() -> impl TypedValueParser<Value = SourceChoice> {
    words([
        ("auto", SourceChoice::Auto),
        ("task-file", SourceChoice::TaskFile),
        ("iter-tcp", SourceChoice::IterTcp),
        ("pidfd", SourceChoice::Pidfd),
        ("sock-diag", SourceChoice::SockDiag),
    ])
}

pub(crate) fn run_mode() -> impl TypedValueParser<Value = Mode> {
    words([Mode::Fill, Mode::Tighten, Mode::Override].map(|mode| (mode.name(), mode)))
}

pub(crate) fn run_method() -> impl TypedValueParser<Value = Method> {
    words([
        ("auto", Method::Auto),
        ("seccomp", Method::Seccomp),
        ("preload", Method::Preload),
    ])
}

/// Kinds of events, as they are asked for.
pub(crate) fn event() -> impl TypedValueParser<Value = Name> {
    words(Name::ASKED.map(|name| (name.name(), name)))
}

pub(crate) fn watch_method() -> impl TypedValueParser<Value = Watching> {
    words([
        ("auto", Watching::Auto),
        ("bpf", Watching::Bpf),
        ("scan", Watching::Scan),
    ])
}

pub(crate) fn shell() -> impl TypedValueParser<Value = Shell> {
    words([
        ("bash", Shell::Bash),
        ("zsh", Shell::Zsh),
        ("fish", Shell::Fish),
        ("elvish", Shell::Elvish),
    ])
}

pub(crate) fn exposure() -> impl TypedValueParser<Value = Exposure> {
    words(Exposure::ALL.map(|exposure| (exposure.name(), exposure)))
}

/// States by RFC 9293's names; those of ss are understood too.
pub(crate) fn state() -> impl TypedValueParser<Value = TcpState> {
    let known = TcpState::ALL.map(|state| {
        let name = PossibleValue::new(state.name());
        match state {
            TcpState::Established => name.alias("estab"),
            TcpState::SynReceived => name.alias("syn-recv"),
            TcpState::Listen => name.alias("listening"),
            TcpState::Close => name.alias("close"),
            _ => name,
        }
    });
    PossibleValuesParser::new(known).try_map(|text| parse_state(&text).ok_or("not a state"))
}

/// Any text: completions know the codes, and the command itself refuses what is none of them.
pub(crate) fn code() -> impl TypedValueParser<Value = String> {
    CodeParser
}

#[derive(Clone)]
struct CodeParser;

impl TypedValueParser for CodeParser {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&clap::Arg>,
        value: &std::ffi::OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let codes = Code::ALL.iter();
        Some(Box::new(codes.map(|code| {
            PossibleValue::new(code.name()).help(code.title())
        })))
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| error.to_string())
}

/// A target of no time at all would make every connection slow.
pub(crate) fn target(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("the time must be longer than nothing, like 10m".into()),
        time => Ok(time),
    }
}

pub(crate) fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err("a port is a number from 1 to 65535".into()),
    }
}

pub(crate) fn pid(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        _ => Err("a process id is a number above 0".into()),
    }
}

pub(crate) fn netns(text: &str) -> Result<NetnsChoice, String> {
    match text {
        "" => {
            Err("write all, self, a name as `sockpulse defaults` shows it, or a process id".into())
        }
        "all" => Ok(NetnsChoice::All),
        "self" => Ok(NetnsChoice::Own),
        name if name.contains('/') => Err("the name of a namespace has no slash".into()),
        name => Ok(NetnsChoice::Named(name.into())),
    }
}

/// The word by which a namespace is asked for, to be pasted: the name that is shown, where it is plain.
pub(crate) fn netns_word(namespace: &Namespace) -> String {
    let name = &namespace.name;
    let name = name.strip_prefix("container ").unwrap_or(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
    let means_another = matches!(name, "all" | "self")
        || name.starts_with(['-', '.'])
        || name.parse::<u32>().is_ok();
    if !name.is_empty() && name.chars().all(plain) && !means_another {
        return name.to_owned();
    }
    match namespace.pid {
        Some(pid) => pid.to_string(),
        None => namespace.id.0.to_string(),
    }
}

pub(crate) fn nonempty(text: &str) -> Result<String, String> {
    if text.is_empty() {
        Err("a name is missing".into())
    } else {
        Ok(text.into())
    }
}

pub(crate) fn cgroup(text: &str) -> Result<String, String> {
    // People paste paths with the mount point in front.
    let path = text.strip_prefix("/sys/fs/cgroup").unwrap_or(text);
    match path {
        "" if text.is_empty() => Err("a path is missing, like /system.slice".into()),
        "" => Ok("/".into()),
        path if path.starts_with('/') => Ok(path.into()),
        path => Err(format!(
            "a cgroup's path starts at the root: did you mean /{path}?"
        )),
    }
}

pub(crate) fn cve(text: &str) -> Result<String, String> {
    let id = text.to_ascii_uppercase();
    let mut parts = id.split('-');
    let number = |part: Option<&str>| {
        part.is_some_and(|part| part.len() >= 4 && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let sound = parts.next() == Some("CVE") && number(parts.next()) && number(parts.next());
    if sound && parts.next().is_none() {
        Ok(id)
    } else {
        Err("write the fault's id, like CVE-2026-74714; `sockpulse doctor` names it".into())
    }
}

pub(crate) fn field(text: &str) -> Result<&'static Field, String> {
    Field::named(text).ok_or_else(|| {
        let names = FIELDS.iter().map(|field| field.name);
        let known = names.clone().collect::<Vec<_>>().join(", ");
        match nearest(text, names) {
            Some(near) => format!("did you mean {near}? Known fields: {known}"),
            None => format!("known fields: {known}"),
        }
    })
}

pub(crate) fn sort(text: &str) -> Result<Sort, String> {
    let (name, direction) = match text.strip_prefix('-') {
        Some(name) => (name, Direction::Descending),
        None => (text, Direction::Ascending),
    };
    Ok(Sort {
        field: field(name)?,
        direction,
    })
}

/// The name that differs least, if it differs by little.
pub(crate) fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text = text.to_ascii_lowercase();
    let contained = |name: &str| text.len() >= 3 && (name.contains(&*text) || text.contains(name));
    names
        .map(|name| {
            (
                if contained(name) {
                    1
                } else {
                    edits(&text, name)
                },
                name,
            )
        })
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .map(|(_, name)| name)
}

/// How many letters must be put in, taken out or changed (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_are_found() {
        let names = || FIELDS.iter().map(|field| field.name);
        for (text, near) in [
            ("silense", Some("silence")),
            ("Local", Some("local")),
            ("keep", Some("keepalive")),
            ("detects", Some("detects_idle")),
            ("xyzzy", None),
            ("q", None),
        ] {
            assert_eq!(nearest(text, names()), near, "{text}");
        }
    }

    #[test]
    fn every_state_and_exposure_has_a_word() {
        for name in ["estab", "syn-recv", "listening", "close", "time-wait"] {
            assert!(parse_state(name).is_some(), "{name}");
        }
        assert_eq!(cve("cve-2026-74714"), Ok("CVE-2026-74714".into()));
        assert!(cve("74714").is_err() && cve("CVE-2026-").is_err());
        assert_eq!(
            cgroup("/sys/fs/cgroup/system.slice"),
            Ok("/system.slice".into())
        );
        assert!(cgroup("system.slice").is_err());
    }

    #[test]
    fn a_namespace_is_named_so_that_it_is_found_again() {
        let word = |name: &str, pid| {
            netns_word(&Namespace {
                id: sockpulse_core::NetnsId(4_026_532_101),
                name: name.into(),
                pid,
                ..crate::sample::namespace()
            })
        };
        for (name, expected) in [
            ("web", "web"),
            ("container 0123456789ab", "0123456789ab"),
            ("redis.service", "redis.service"),
            ("redis.service (4711)", "4711"),
            ("$(reboot)", "4711"),
            ("-x", "4711"),
            ("17", "4711"),
            ("all", "4711"),
        ] {
            assert_eq!(word(name, Some(4711)), expected, "{name}");
        }
        assert_eq!(word("a b", None), "4026532101");
    }
}
