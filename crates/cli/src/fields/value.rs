//! One value of a row, and how each face writes it.

use std::cmp::Ordering;
use std::time::Duration;

use sockpulse_core::finding::CodeSet;
use sockpulse_core::{End, Exposure, Origin, Owner};

use crate::append;

/// What stands in one field of one row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    /// Exists, but could not be seen.
    Unknown,
    /// There is no such thing for this connection.
    Absent,
    /// Known not to happen.
    Never,
    /// Yes or no.
    Flag(bool),
    /// A switch.
    Switch(bool),
    /// A plain number.
    Number(u64),
    /// A number printed in hexadecimal.
    Hex(u64),
    /// A volume in bytes.
    Volume(u64),
    /// A time in milliseconds.
    Millis(u64),
    /// A time, for programs in seconds with decimals.
    Seconds(Duration),
    /// A setting in seconds and where it comes from.
    SettingSeconds(i64, Option<Origin>),
    /// A setting that counts, and where it comes from.
    SettingCount(i64, Option<Origin>),
    /// `TCP_USER_TIMEOUT` in milliseconds, 0 for off.
    UserTimeout(u32),
    /// One of a fixed set of words.
    Word(&'static str),
    /// A state, of which people are shown a shorter form.
    State(&'static str, &'static str),
    /// What becomes of the connection.
    Exposed(Exposure),
    /// A text from the machine.
    Text(&'a str),
    /// Bytes that a process chose.
    Bytes(&'a [u8]),
    /// One end of a connection.
    End(End),
    /// Findings.
    Codes(CodeSet),
    /// Whose it is, in one cell.
    Owned(&'a Owner),
}

impl Value<'_> {
    /// For people: units, short words, `?` for unknown, `-` for absent.
    pub(crate) fn show(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unknown => out.push(b'?'),
            Self::Absent => out.push(b'-'),
            Self::Never => out.extend_from_slice(b"never"),
            Self::Flag(flag) => out.extend_from_slice(if *flag { b"yes" } else { b"no" }),
            Self::Switch(on) => out.extend_from_slice(if *on { b"on" } else { b"off" }),
            Self::Number(n) => append::number(out, *n),
            Self::Hex(n) => append::hex(out, *n),
            Self::Volume(bytes) => append::volume(out, *bytes),
            Self::Millis(millis) => append::span(out, *millis),
            Self::Seconds(duration) => append::span(out, whole_millis(*duration)),
            Self::SettingSeconds(value, origin) => {
                setting(out, *value, *origin, append::setting_seconds);
            }
            Self::SettingCount(value, origin) => {
                setting(out, *value, *origin, append::number);
            }
            Self::UserTimeout(0) => out.extend_from_slice(b"off"),
            Self::UserTimeout(ms) => append::span(out, u64::from(*ms)),
            Self::Word(word) | Self::State(_, word) => out.extend_from_slice(word.as_bytes()),
            Self::Exposed(exposure) => out.extend_from_slice(exposure.name().as_bytes()),
            Self::Text(text) => append::visible(out, text.as_bytes()),
            Self::Bytes(bytes) => append::visible(out, bytes),
            Self::End(end) => append::end(out, end),
            Self::Codes(codes) if codes.is_empty() => out.push(b'-'),
            Self::Codes(codes) => list(out, *codes),
            Self::Owned(owner) => owned(out, owner),
        }
    }

    /// For programs: base units without their names, nothing where there is no value.
    pub(crate) fn raw(&self, out: &mut Vec<u8>) {
        match self {
            Self::Unknown | Self::Absent | Self::Never => {}
            Self::Flag(flag) | Self::Switch(flag) => {
                out.extend_from_slice(if *flag { b"true" } else { b"false" });
            }
            Self::Volume(n) | Self::Millis(n) => append::number(out, *n),
            Self::Seconds(duration) => append::seconds(out, *duration),
            Self::SettingSeconds(value, _) | Self::SettingCount(value, _) => {
                append::number(out, *value);
            }
            Self::UserTimeout(ms) => append::number(out, *ms),
            Self::State(word, _) => out.extend_from_slice(word.as_bytes()),
            Self::Codes(codes) => list(out, *codes),
            Self::Owned(_)
            | Self::Number(_)
            | Self::Hex(_)
            | Self::Word(_)
            | Self::Exposed(_)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::End(_) => self.show(out),
        }
    }

    /// What rows are sorted by.
    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Unknown | Self::Absent => Key::Missing,
            Self::Never => Key::Number(u64::MAX),
            Self::Flag(flag) | Self::Switch(flag) => Key::Number(u64::from(*flag)),
            Self::Number(n) | Self::Hex(n) | Self::Volume(n) | Self::Millis(n) => Key::Number(*n),
            Self::Seconds(duration) => Key::Number(whole_millis(*duration)),
            Self::SettingSeconds(value, _) | Self::SettingCount(value, _) => {
                Key::Number(u64::try_from(*value).unwrap_or(0))
            }
            Self::UserTimeout(ms) => Key::Number(u64::from(*ms)),
            Self::Exposed(exposure) => Key::Number(u64::from(*exposure as u8)),
            Self::End(end) => Key::End(*end),
            Self::Word(_)
            | Self::State(..)
            | Self::Text(_)
            | Self::Bytes(_)
            | Self::Codes(_)
            | Self::Owned(_) => {
                let mut text = Vec::new();
                self.raw(&mut text);
                Key::Text(text.into_boxed_slice())
            }
        }
    }
}

/// Sorts rows; those without a value come last, whichever the direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// By number.
    Number(u64),
    /// By address, then by port.
    End(End),
    /// By bytes.
    Text(Box<[u8]>),
    /// Nothing to go by.
    Missing,
}

impl Key {
    /// The order of two rows.
    pub(crate) fn order(&self, other: &Self, direction: Direction) -> Ordering {
        let ascending = match (self, other) {
            (Self::Missing, Self::Missing) => return Ordering::Equal,
            (Self::Missing, _) => return Ordering::Greater,
            (_, Self::Missing) => return Ordering::Less,
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::End(a), Self::End(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            // One column has one kind of key.
            _ => Ordering::Equal,
        };
        match direction {
            Direction::Ascending => ascending,
            Direction::Descending => ascending.reverse(),
        }
    }
}

/// Which way rows are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Small values first.
    Ascending,
    /// Large values first.
    Descending,
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A value of the socket's own stands bare, an inherited one in parentheses, and one of which the
/// origin cannot be told has a question mark.
fn setting(
    out: &mut Vec<u8>,
    value: i64,
    origin: Option<Origin>,
    show: impl FnOnce(&mut Vec<u8>, i64),
) {
    let inherited = origin == Some(Origin::Namespace);
    if inherited {
        out.push(b'(');
    }
    show(out, value);
    match origin {
        Some(Origin::Socket) => {}
        Some(Origin::Namespace) => out.push(b')'),
        None => out.push(b'?'),
    }
}

fn list(out: &mut Vec<u8>, codes: CodeSet) {
    for (at, code) in codes.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(code.name().as_bytes());
    }
}

fn owned(out: &mut Vec<u8>, owner: &Owner) {
    let Some(process) = owner.processes.first() else {
        let unseen = match owner.unseen {
            Some(why) => why.name(),
            None => "?",
        };
        out.extend_from_slice(unseen.as_bytes());
        return;
    };
    append::visible(out, process.comm.bytes());
    out.push(b'(');
    append::number(out, process.pid);
    out.push(b')');
    if owner.processes.len() > 1 {
        out.push(b'+');
        append::number(out, owner.processes.len() - 1);
    }
}
