//! `run --method seccomp` on programs as they are: an ordinary user starts them, `sockpulse list` says
//! what their connections have, and what they say and how they end is held against the same program
//! started alone.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../recipes/expected.rs"]
mod expected;
#[path = "../recipes/kit.rs"]
mod kit;
#[expect(dead_code, reason = "the tests of recipes use the rest")]
#[path = "../recipes/software.rs"]
mod software;

mod clients;
mod faults;
mod refusals;
mod scene;
mod servers;
mod transparent;
