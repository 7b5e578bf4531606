//! `protect` and `undo` on real sockets of real programs, in network namespaces of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod existing;
mod killed;
mod new;
mod redis;
mod rights;
mod walking;

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
    pub(crate) mod redis;
    pub(crate) mod socket;
    pub(crate) mod sys;
    pub(crate) mod truth;
}

use kit::listing::{Ran, sockpulse};
use kit::netns::Netns;
use serde_json::Value;

/// Two hosts and a folder for the journal.
struct Stage {
    pair: kit::pair::Pair,
    state: tempfile::TempDir,
}

impl Stage {
    /// `None` without root, which is told.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_SYS_PTRACE)");
            return None;
        }
        Some(Self {
            pair: kit::pair::Pair::new(),
            state: tempfile::tempdir().unwrap(),
        })
    }

    fn state(&self) -> &str {
        self.state.path().to_str().unwrap()
    }

    /// Runs a command that changes something; the words go behind it.
    fn run(&self, command: &str, words: &[&str]) -> Ran {
        let mut all = vec![command, "--state-dir", self.state()];
        all.extend(words);
        self.in_namespace(&self.pair.here, &all)
    }

    fn in_namespace(&self, netns: &Netns, words: &[&str]) -> Ran {
        sockpulse(netns, words)
    }

    /// `protect` of the sockets in `here`, as a document; what else there is on the machine stays.
    fn protect(&self, words: &[&str]) -> Value {
        let mut all = vec!["-o", "json", "--existing", "--netns", "self"];
        all.extend(words);
        let ran = self.run("protect", &all);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.json()
    }

    fn undo(&self, words: &[&str]) -> Value {
        let mut all = vec!["-o", "json"];
        all.extend(words);
        let ran = self.run("undo", &all);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.json()
    }
}
