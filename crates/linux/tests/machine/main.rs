//! The readers against a real machine: sockets, namespaces and processes made for the test, and other
//! tools' opinion of them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod cgroup;
mod common;
mod destroy;
mod file;
mod netns;
mod pidfd;
mod ping;
mod processes;
mod rearm;
mod recorded;
mod scene;
mod set;
mod sock_diag;
mod support;
mod sysctl;
