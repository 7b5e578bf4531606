//! Real programs, unchanged and never restarted, protected by the built `sockpulse protect`.
//!
//! Every test works in network namespaces of its own and names the namespace, the process or a program
//! with a name of its own, so that no other socket of the machine is touched.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod container;
mod kit;
mod plain;
mod postgresql;
mod redis;
mod runtimes;
mod servers;
mod storm;
mod to_come;

#[path = "../recipes/cluster.rs"]
mod cluster;
#[path = "../recipes/software.rs"]
mod software;
