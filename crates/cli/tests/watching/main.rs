//! `watch` on real sockets of real programs, in network namespaces of the tests' own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod causes;
mod kinds;
mod lost;
mod owners;
mod scan;
mod speed;
mod watcher;

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
    pub(crate) mod sys;
    pub(crate) mod truth;
}

/// Whether the test can be run; where not, it says so.
fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!(
            "SKIPPED: {test} needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, CAP_NET_ADMIN)"
        );
    }
    root
}
