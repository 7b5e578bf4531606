//! Cases by hand: both programs and we must end with the same values.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sockpulse_core::persisted::{MAX_LINE, Program, Sysctl};

use super::root::{Put, Root, programs_are_there};
use crate::common::isolated;

/// A case.
struct Case {
    what: String,
    files: Vec<(String, Put)>,
    /// The idle time that systemd-sysctl ends with.
    systemd: Option<i64>,
    /// And procps.
    procps: Option<i64>,
}

/// Lines of a file; core tests itself with the same.
const LINES: &str = include_str!("../../../../core/src/persisted/lines.txt");
const FOLDERS: &str = include_str!("folders.txt");
const FILE: &str = "/etc/sysctl.d/50-a.conf";
const KEY: &str = "net.ipv4.tcp_keepalive_time";

#[test]
fn root_folders_and_names_decide_as_in_the_real_programs() {
    let test = "sysctl::cases::root_folders_and_names_decide_as_in_the_real_programs";
    check(test, || {
        table(FOLDERS, |files| {
            files.split_whitespace().map(file).collect()
        })
    });
}

#[test]
fn root_lines_are_read_as_in_the_real_programs() {
    let test = "sysctl::cases::root_lines_are_read_as_in_the_real_programs";
    check(test, || {
        let one = |text: &str| {
            vec![(
                FILE.to_owned(),
                Put::Text(unescaped(&text.replace("KEY", KEY))),
            )]
        };
        let mut cases = table(LINES, one);
        let mut long = format!("{KEY}=5\n#").into_bytes();
        long.resize(long.len() + MAX_LINE, b'x');
        long.extend(format!("\n{KEY}=6\n").into_bytes());
        cases.push(Case {
            what: "a line of more than 1 MiB".to_owned(),
            files: vec![(FILE.to_owned(), Put::Text(long))],
            systemd: Some(5),
            procps: Some(6),
        });
        cases
    });
}

fn check(test: &str, cases: impl FnOnce() -> Vec<Case>) {
    if !programs_are_there(test) {
        return;
    }
    isolated(test, || {
        let root = Root::new();
        let mut wrong = Vec::new();
        for case in cases() {
            root.fill(&case.files);
            let said = catch_unwind(AssertUnwindSafe(|| root.compare(&case.what)));
            let Ok(said) = said else {
                wrong.push(case.what);
                continue;
            };
            let idle = Program::ALL.map(|program| said.by(program).value(Sysctl::Idle));
            if idle != [case.systemd, case.procps] {
                wrong.push(format!("{}: {idle:?}", case.what));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

fn table(text: &str, files: impl Fn(&str) -> Vec<(String, Put)>) -> Vec<Case> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let value = |text: &str| (text != "-").then(|| text.parse().unwrap());
    lines
        .map(|line| {
            let fields: Vec<&str> = line.splitn(4, '|').collect();
            let [systemd, procps, what, rest] = fields[..] else {
                panic!("{line}");
            };
            Case {
                what: what.trim().to_owned(),
                files: files(rest.strip_prefix(' ').unwrap_or(rest)),
                systemd: value(systemd.trim()),
                procps: value(procps.trim()),
            }
        })
        .collect()
}

/// A word of `folders.txt`.
fn file(word: &str) -> (String, Put) {
    if let Some((path, target)) = word.split_once("->") {
        return (path.to_owned(), Put::Link(target.to_owned()));
    }
    if let Some(path) = word.strip_suffix('/') {
        return (path.to_owned(), Put::Folder);
    }
    let (path, value) = word.split_once('=').unwrap();
    let text = if value.is_empty() {
        String::new()
    } else {
        format!("{KEY} = {value}\n")
    };
    (path.to_owned(), Put::Text(text.into_bytes()))
}

/// Backslashes stand before `n`, `r`, `t`, `0`, `xNN` and themselves.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(other) => other,
        });
    }
    bytes
}
