//! One sysctl file, line by line, as each program splits and reads it.

use alloc::vec::Vec;

use super::{Pattern, Program, Sysctl};

/// A longer line makes systemd-sysctl give up the rest of the file (`LONG_LINE_MAX`).
pub const MAX_LINE: usize = 1 << 20;

/// A file's text, read by one program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// What it asks for, in its order.
    pub lines: Vec<Line>,
    /// What the program does not take, with the line's number.
    pub flaws: Vec<(usize, Flaw)>,
}

/// A line that asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from one; only line feeds count.
    pub number: usize,
    /// Below `/proc/sys`, with slashes between parts, as the program keeps it.
    pub key: Vec<u8>,
    /// Whether it began with `-`: failures are not reported.
    pub ignore_errors: bool,
    /// What is asked.
    pub directive: Directive,
}

/// What a line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Directive {
    /// `key = value`: the value without the blanks around it.
    Set(Vec<u8>),
    /// `-key`: patterns are not to touch it.
    Exclude,
}

/// Why a line is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Flaw {
    /// No `=`.
    #[error("is no assignment")]
    NoAssignment,
    /// Longer than [`MAX_LINE`]: systemd-sysctl reads no further.
    #[error("is longer than 1 MiB: the rest of the file is not read")]
    TooLong,
    /// It holds a zero byte: systemd-sysctl ends the line there and takes the rest as another,
    /// procps throws the rest away.
    #[error("holds a zero byte")]
    ZeroByte,
}

impl Line {
    /// Whether the key holds `*`, `?` or `[`.
    #[must_use]
    pub fn is_pattern(&self) -> bool {
        Pattern::is_one(&self.key)
    }

    /// Whether it is about this default, by name or by pattern.
    #[must_use]
    pub fn concerns(&self, sysctl: Sysctl, program: Program) -> bool {
        let path = sysctl.path().as_bytes();
        if self.is_pattern() {
            return Pattern::new(&simplified(&self.key, program)).finds(path);
        }
        simplified(&self.key, program) == path
    }
}

/// Reads a file's text as `program` does.
#[must_use]
pub fn parse(text: &[u8], program: Program) -> Parsed {
    let mut parsed = Parsed::default();
    for (at, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let number = at + 1;
        if line.contains(&0) {
            parsed.flaws.push((number, Flaw::ZeroByte));
        }
        let read_on = match program {
            Program::SystemdSysctl => systemd(line, number, &mut parsed),
            Program::Procps => {
                procps(line, number, &mut parsed);
                true
            }
        };
        if !read_on {
            break;
        }
    }
    parsed
}

/// For systemd-sysctl a carriage return and a zero byte end a line too. Says whether it reads on.
fn systemd(line: &[u8], number: usize, parsed: &mut Parsed) -> bool {
    const BLANKS: &[u8] = b" \t\n\r";
    for part in line.split(|byte| matches!(byte, b'\r' | 0)) {
        if part.len() > MAX_LINE {
            parsed.flaws.push((number, Flaw::TooLong));
            return false;
        }
        let part = trim(part, BLANKS);
        if matches!(part.first(), None | Some(b'#' | b';')) {
            continue;
        }
        let (dashed, key, value) = halves(part);
        let directive = match value {
            Some(value) => Directive::Set(trim(value, BLANKS).to_vec()),
            None if dashed => Directive::Exclude,
            None => {
                parsed.flaws.push((number, Flaw::NoAssignment));
                continue;
            }
        };
        parsed.lines.push(Line {
            number,
            key: without_empty_parts(&exchanged(trim(key, BLANKS))),
            ignore_errors: dashed,
            directive,
        });
    }
    true
}

/// procps works on C strings: what follows a zero byte does not exist.
fn procps(line: &[u8], number: usize, parsed: &mut Parsed) {
    const BLANKS: &[u8] = b" \t\n\r\x0b\x0c";
    let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
    let line = trim_start(line, BLANKS);
    if line.len() < 2 || matches!(line[0], b'#' | b';') {
        return;
    }
    let (dashed, key, value) = halves(line);
    let directive = match value {
        Some(value) => Directive::Set(trim(value, BLANKS).to_vec()),
        None if dashed => Directive::Exclude,
        None => {
            if !trim(line, BLANKS).is_empty() {
                parsed.flaws.push((number, Flaw::NoAssignment));
            }
            return;
        }
    };
    // Only the end is stripped, and one more dash is taken away.
    let key = trim_end(key, BLANKS);
    parsed.lines.push(Line {
        number,
        key: exchanged(key.strip_prefix(b"-").unwrap_or(key)),
        ignore_errors: dashed,
        directive,
    });
}

/// Whether the line begins with a dash, the key without it, and what follows the first `=`.
fn halves(line: &[u8]) -> (bool, &[u8], Option<&[u8]>) {
    let mut halves = line.splitn(2, |byte| *byte == b'=');
    let key = halves.next().unwrap_or_default();
    let bare = key.strip_prefix(b"-");
    (bare.is_some(), bare.unwrap_or(key), halves.next())
}

/// Keys whose first separator is a slash stay as they are; in others dots and slashes change places.
fn exchanged(key: &[u8]) -> Vec<u8> {
    let first = key.iter().find(|byte| matches!(byte, b'/' | b'.'));
    if first != Some(&b'.') {
        return key.to_vec();
    }
    let exchange = |byte: &u8| match byte {
        b'.' => b'/',
        b'/' => b'.',
        other => *other,
    };
    key.iter().map(exchange).collect()
}

/// Takes away empty parts and parts that are a single dot.
fn without_empty_parts(key: &[u8]) -> Vec<u8> {
    let parts = key.split(|byte| *byte == b'/');
    let kept: Vec<&[u8]> = parts
        .filter(|part| !part.is_empty() && *part != b".")
        .collect();
    kept.join(&b'/')
}

/// The file that a key means. The kernel follows `..` for procps; systemd-sysctl refuses such keys.
fn simplified(key: &[u8], program: Program) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    for part in key.split(|byte| *byte == b'/') {
        match part {
            [] | b"." => {}
            b".." if program == Program::Procps => {
                kept.pop();
            }
            part => kept.push(part),
        }
    }
    kept.join(&b'/')
}

fn trim<'a>(text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    trim_end(trim_start(text, blanks), blanks)
}

fn trim_start<'a>(text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    let start = text.iter().position(|byte| !blanks.contains(byte));
    start.map_or(&[], |start| &text[start..])
}

fn trim_end<'a>(text: &'a [u8], blanks: &[u8]) -> &'a [u8] {
    let end = text.iter().rposition(|byte| !blanks.contains(byte));
    end.map_or(&[], |end| &text[..=end])
}
