//! Two hosts, and `sockpulse protect` on one of them.

use serde_json::Value;

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Ran, Row, Source, sockpulse};
use crate::kit::netns::Netns;
use crate::kit::pair::Pair;
use crate::software::Folder;

/// What most tests ask for, exactly.
pub(crate) const ASKED: [&str; 7] = [
    "--idle",
    "60s",
    "--interval",
    "10s",
    "--probes",
    "6",
    "--no-jitter",
];

/// Two hosts joined by a cable, and where commands remember what they did.
pub(crate) struct Stage {
    pub(crate) pair: Pair,
    pub(crate) folder: Folder,
}

impl Stage {
    /// Builds it; needs root.
    pub(crate) fn new() -> Self {
        Self {
            pair: Pair::new(),
            folder: Folder::new(),
        }
    }

    /// `sockpulse protect --existing` for what is in the namespace `here` alone; it must succeed.
    pub(crate) fn protect(&self, words: &[&str]) -> Report {
        let mut all = vec!["--netns", "self"];
        all.extend(words);
        let ran = self.run_protect(&all);
        let report = Report::of(&ran);
        assert_eq!(ran.status, Some(0), "{words:?}: {}{report:#?}", ran.stderr);
        report
    }

    /// For what the words select on the whole machine: nothing may be refused. Namespaces of others
    /// may be out of sight, which is none of ours.
    pub(crate) fn protect_everywhere(&self, words: &[&str]) -> Report {
        let ran = self.run_protect(words);
        let report = Report::of(&ran);
        let refused = report.0["refused"].as_object();
        let done = refused.is_some_and(serde_json::Map::is_empty);
        assert!(
            matches!(ran.status, Some(0 | 3)) && done,
            "{words:?}: {}{report:#?}",
            ran.stderr
        );
        report
    }

    /// The same, whatever becomes of it.
    pub(crate) fn run_protect(&self, words: &[&str]) -> Ran {
        let mut all = vec!["protect", "--existing", "-o", "json"];
        all.extend(words);
        self.run(&all)
    }

    /// `sockpulse WORDS --state-dir DIR` in the namespace `here`.
    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        let state = self.folder.at("state");
        let mut all = words.to_vec();
        all.extend(["--state-dir", state.to_str().expect("UTF-8")]);
        sockpulse(&self.pair.here, &all)
    }

    /// What of `here` the words select, as the kernel has it.
    pub(crate) fn rows(&self, words: &[&str]) -> Vec<Row> {
        rows(&self.pair.here, words)
    }

    /// Waits until that many sockets are there and all have it.
    pub(crate) fn expect(&self, words: &[&str], count: usize, has: Has) -> Vec<Row> {
        expect(&self.pair.here, words, count, has)
    }
}

/// What of the namespace the words select.
pub(crate) fn rows(netns: &Netns, words: &[&str]) -> Vec<Row> {
    let mut all = vec!["--netns", "self"];
    all.extend(words);
    let listing = Listing::of(netns, Source::TaskFile, &all);
    listing.rows.into_values().collect()
}

/// Waits until that many sockets are there and all have it.
///
/// # Panics
/// When they have not; says what they have.
pub(crate) fn expect(netns: &Netns, words: &[&str], count: usize, has: Has) -> Vec<Row> {
    let mut last = Vec::new();
    let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for("sockets as they should be", || {
            last = rows(netns, words);
            (last.len() == count && last.iter().all(|row| Has::of(row) == has)).then_some(())
        });
    }));
    let what: Vec<Has> = last.iter().map(Has::of).collect();
    assert!(
        waited.is_ok(),
        "{words:?}: {count} with {has:?}, not {what:#?} of {last:#?}"
    );
    last
}

/// The settings of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Has {
    pub(crate) on: bool,
    pub(crate) idle_s: u64,
    pub(crate) interval_s: u64,
    pub(crate) probes: u64,
    pub(crate) user_timeout_ms: u64,
}

impl Has {
    /// What a program has that asks for nothing.
    pub(crate) const NOTHING: Self = Self {
        on: false,
        idle_s: 7200,
        interval_s: 75,
        probes: 9,
        user_timeout_ms: 0,
    };

    /// [`ASKED`].
    pub(crate) const ASKED: Self = Self::on(60, 10, 6);

    /// Keepalive on with these.
    pub(crate) const fn on(idle_s: u64, interval_s: u64, probes: u64) -> Self {
        Self {
            on: true,
            idle_s,
            interval_s,
            probes,
            user_timeout_ms: 0,
        }
    }

    /// As it was read.
    pub(crate) fn of(row: &Row) -> Self {
        let number = |name: &str| {
            let number = row.number(&format!("/keepalive/{name}"));
            number.unwrap_or_else(|| panic!("{name} is not known: {row:?}"))
        };
        Self {
            on: row.at("/keepalive/on") == true,
            idle_s: number("idle/seconds"),
            interval_s: number("interval/seconds"),
            probes: number("probes/count"),
            user_timeout_ms: number("user_timeout/ms"),
        }
    }
}

/// What `protect` said.
#[derive(Debug)]
pub(crate) struct Report(pub(crate) Value);

impl Report {
    /// From its JSON.
    pub(crate) fn of(ran: &Ran) -> Self {
        let json = ran.json();
        assert_eq!(json["schema_version"], 1);
        Self(json)
    }

    /// A count; `/connections/changed`.
    pub(crate) fn count(&self, pointer: &str) -> u64 {
        let number = self.0.pointer(pointer).and_then(Value::as_u64);
        number.unwrap_or_else(|| panic!("no {pointer} in {self:#?}"))
    }

    /// Connections and listeners that were changed.
    pub(crate) fn changed(&self) -> (u64, u64) {
        (
            self.count("/connections/changed"),
            self.count("/listeners/changed"),
        )
    }

    /// Nothing was left to do.
    pub(crate) fn is_idle(&self) -> bool {
        self.changed() == (0, 0)
            && self.count("/connections/to_change") == 0
            && self.count("/listeners/to_change") == 0
    }
}
