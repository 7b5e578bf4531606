//! `ping` and `reap` on real connections, in network namespaces of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod kinds;
mod option;
mod races;
mod reaping;
mod time;
mod traces;
mod verdicts;

#[expect(
    dead_code,
    reason = "shared with the tests of reading, which use more of it"
)]
#[path = "../reading/kit"]
mod kit {
    pub(crate) mod deadline;
    pub(crate) mod listing;
    pub(crate) mod netns;
    pub(crate) mod pair;
    pub(crate) mod socket;
    pub(crate) mod ss;
    pub(crate) mod sys;
    pub(crate) mod truth;
}

use std::net::TcpStream;
use std::process::Command;

use kit::listing::{Ran, Row, sockpulse};
use kit::netns::Netns;
use kit::pair::{Pair, VANISHING};
use kit::truth::Truth;
use serde_json::Value;

/// Two hosts and a folder for the journal.
struct Stage {
    pair: Pair,
    state: tempfile::TempDir,
}

impl Stage {
    /// `None` without root, which is told.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!(
                "SKIPPED: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF)"
            );
            return None;
        }
        Some(Self {
            pair: Pair::new(),
            state: tempfile::tempdir().unwrap(),
        })
    }

    /// `ping` of what there is in `here`.
    fn ping(&self, words: &[&str]) -> Answers {
        let mut all = vec!["ping", "-o", "json", "--netns", "self"];
        all.extend(words);
        Answers::of(sockpulse(&self.pair.here, &all))
    }

    /// `reap` of what there is in `here`.
    fn reap(&self, words: &[&str]) -> Ran {
        let state = self.state.path().to_str().unwrap();
        let mut all = vec![
            "reap",
            "-o",
            "json",
            "--netns",
            "self",
            "--state-dir",
            state,
        ];
        all.extend(words);
        sockpulse(&self.pair.here, &all)
    }
}

/// What `ping -o json` told.
struct Answers {
    ran: Ran,
    document: Value,
}

impl Answers {
    fn of(ran: Ran) -> Self {
        assert!(
            matches!(ran.status, Some(0 | 1 | 3)),
            "{:?}: {}",
            ran.status,
            ran.stderr
        );
        let document = ran.json();
        Self { ran, document }
    }

    /// The answer of the connection of which this is the socket.
    fn about(&self, socket: &TcpStream) -> &Value {
        self.of_cookie(Truth::of(socket).cookie)
            .unwrap_or_else(|| panic!("not asked: {}", self.document))
    }

    fn of_cookie(&self, cookie: u64) -> Option<&Value> {
        let results = self.document["results"].as_array().unwrap();
        results
            .iter()
            .find(|result| Row((*result).clone()).cookie() == cookie)
    }

    fn verdict(&self, socket: &TcpStream) -> &str {
        self.about(socket)["verdict"].as_str().unwrap()
    }
}

/// Rules of nft(8) in a namespace.
fn nft(netns: &Netns, rules: &str) {
    netns.run(|| {
        let output = Command::new("nft").arg(rules).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "nft {rules}: {said}");
    });
}

/// From now on nothing that comes from `here` gets in there.
fn deafen(netns: &Netns) {
    nft(
        netns,
        "add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; \
         add rule inet deaf in iifname eth0 meta l4proto tcp drop",
    );
}

/// It hears again.
fn heal(netns: &Netns) {
    nft(netns, "delete table inet deaf");
}

/// A connection whose peer will have vanished without a word once [`Pair::vanish`] was called.
fn doomed(stage: &Stage, listener: &std::net::TcpListener) -> (TcpStream, TcpStream) {
    kit::socket::connected(&stage.pair.here, VANISHING, listener)
}
