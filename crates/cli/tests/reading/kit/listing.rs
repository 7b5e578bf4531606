//! The product's binary, and what it prints.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde_json::Value;

use super::netns::Netns;
use super::sys;

/// The binary under test.
pub(crate) const SOCKPULSE: &str = env!("CARGO_BIN_EXE_sockpulse");

/// No run takes longer.
const LIMIT: Timespec = Timespec {
    tv_sec: 60,
    tv_nsec: 0,
};

/// The ways to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    TaskFile,
    IterTcp,
    Pidfd,
    SockDiag,
}

impl Source {
    pub(crate) const ALL: [Self; 4] = [Self::TaskFile, Self::IterTcp, Self::Pidfd, Self::SockDiag];

    /// The flags that choose it. The risk is taken here because nothing connects while the tests
    /// read: arriving SYNs are what the fault needs.
    pub(crate) fn flags(self) -> Vec<&'static str> {
        match self {
            Self::TaskFile => vec!["--source", "task-file"],
            Self::IterTcp => vec![
                "--source",
                "iter-tcp",
                "--accept-kernel-risk",
                "CVE-2026-74714",
            ],
            Self::Pidfd => vec!["--source", "pidfd"],
            Self::SockDiag => vec!["--source", "sock-diag"],
        }
    }
}

/// A run of a program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit status; `None` after a signal.
    pub(crate) status: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    /// The largest resident set, KiB.
    pub(crate) peak_kib: u64,
}

impl Ran {
    /// stdout as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| {
            let text = String::from_utf8_lossy(&self.stdout);
            panic!("{error} in {text}\nstderr: {}", self.stderr)
        })
    }
}

/// Runs a command to its end, with a limit; both outputs are kept in memory files, so that none can
/// block it.
pub(crate) fn run(command: &mut Command) -> Ran {
    let stdout = memory_file();
    let ran = run_to(command, stdout.try_clone().unwrap().into());
    Ran {
        stdout: content(stdout),
        ..ran
    }
}

/// As [`run`], with stdout elsewhere.
pub(crate) fn run_to(command: &mut Command, stdout: Stdio) -> Ran {
    let stderr = memory_file();
    command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr.try_clone().unwrap())
        .env("NO_COLOR", "1");
    #[expect(
        clippy::zombie_processes,
        reason = "wait4 reaps it and tells its memory"
    )]
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).expect("pidfd_open");
    let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
    let late = poll(&mut ended, Some(&LIMIT)).expect("poll") == 0;
    if late {
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
    let (status, peak_kib) = sys::reap(&child);
    let stderr = String::from_utf8_lossy(&content(stderr)).into_owned();
    assert!(!late, "{command:?}: not done within a minute: {stderr}");
    Ran {
        status: status.code(),
        stdout: Vec::new(),
        stderr,
        peak_kib,
    }
}

/// `sockpulse WORDS` in the namespace.
pub(crate) fn sockpulse(netns: &Netns, words: &[&str]) -> Ran {
    netns.run(|| run(Command::new(SOCKPULSE).args(words)))
}

/// Connections by cookie, and all else that was said.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) rows: BTreeMap<u64, Row>,
    pub(crate) coverage: Value,
    pub(crate) ran: Ran,
}

impl Listing {
    /// `sockpulse list -o json WORDS` in the namespace, read by `source`.
    ///
    /// # Panics
    /// When it fails or a socket comes twice.
    pub(crate) fn of(netns: &Netns, source: Source, words: &[&str]) -> Self {
        let mut all = vec!["list", "-o", "json"];
        all.extend(source.flags());
        all.extend(words);
        Self::from(sockpulse(netns, &all))
    }

    /// From a run of `list -o json`.
    pub(crate) fn from(ran: Ran) -> Self {
        assert!(
            matches!(ran.status, Some(0 | 3)),
            "exit status {:?}: {}",
            ran.status,
            ran.stderr
        );
        let mut json = ran.json();
        assert_eq!(json["schema_version"], 1);
        let mut rows = BTreeMap::new();
        let Value::Array(connections) = json["connections"].take() else {
            panic!("no connections: {json}");
        };
        for connection in connections {
            let row = Row(connection);
            let cookie = row.cookie();
            if let Some(first) = rows.insert(cookie, row) {
                panic!("twice: {first:?} and {:?}", rows[&cookie]);
            }
        }
        Self {
            rows,
            coverage: json["coverage"].take(),
            ran,
        }
    }

    /// The row of a cookie.
    pub(crate) fn row(&self, cookie: u64) -> &Row {
        self.rows
            .get(&cookie)
            .unwrap_or_else(|| panic!("no socket {cookie:#x} in {:#?}", self.rows))
    }
}

/// A connection as JSON.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row(pub(crate) Value);

impl Row {
    /// The value at a JSON pointer; null where there is none.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.at(pointer).as_str()
    }

    pub(crate) fn number(&self, pointer: &str) -> Option<u64> {
        self.at(pointer).as_u64()
    }

    /// Every process that holds the socket with descriptor and name, by pid. Other readers, of tests
    /// that run beside this one, may hold a duplicate for a moment: they are left out.
    pub(crate) fn processes(&self) -> Vec<(u64, u64, &str)> {
        let several = self.at("/owner/processes").as_array();
        let owners = several.map_or_else(|| std::slice::from_ref(self.at("/owner")), Vec::as_slice);
        owners
            .iter()
            .filter_map(|owner| {
                let program = owner["program"].as_str()?;
                Some((owner["pid"].as_u64()?, owner["fd"].as_u64()?, program))
            })
            .filter(|(_, _, program)| *program != "sockpulse")
            .collect()
    }

    pub(crate) fn cookie(&self) -> u64 {
        let text = self
            .text("/cookie")
            .and_then(|text| text.strip_prefix("0x"));
        let number = text.and_then(|text| u64::from_str_radix(text, 16).ok());
        number.unwrap_or_else(|| panic!("no cookie in {self:?}"))
    }

    pub(crate) fn end(&self, side: &str) -> (IpAddr, u16) {
        let addr = self.text(&format!("/{side}/addr")).expect("an address");
        let port = self.number(&format!("/{side}/port")).expect("a port");
        (
            addr.parse().expect("an address"),
            u16::try_from(port).expect("a port"),
        )
    }
}

pub(crate) fn memory_file() -> File {
    let file: OwnedFd = memfd_create("output", MemfdFlags::CLOEXEC).expect("memfd_create");
    file.into()
}

fn content(mut file: File) -> Vec<u8> {
    use std::io::Seek;
    let mut bytes = Vec::new();
    file.rewind().expect("a memory file");
    file.read_to_end(&mut bytes).expect("a memory file");
    bytes
}
