//! What the tests of reading stand on: namespaces of their own, sockets in them, the product's
//! binary, and oracles that know the truth by other ways.

pub(crate) use ss::lines_of_ss_are_understood;

pub(crate) mod deadline;
pub(crate) mod fixture;
pub(crate) mod listing;
pub(crate) mod netns;
pub(crate) mod openly;
pub(crate) mod pair;
pub(crate) mod redis;
pub(crate) mod socket;
pub(crate) mod ss;
pub(crate) mod sys;
pub(crate) mod truth;

/// Whether the test may go on; says loudly that it does not when it lacks root.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF)");
    }
    root
}
