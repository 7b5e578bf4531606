//! Reads a Linux machine by plain system calls: sock_diag, procfs, network namespaces, pidfd,
//! socket options, sysctls, cgroups.
//!
//! The adapters here translate and do not decide: they return the types of `sockpulse-core` with
//! what was seen, what was not, and why. Only [`sysctl::set()`], [`mod@file`], [`rearm`], [`mod@set`],
//! [`ping::Asker`] and [`sock_diag::Socket::destroy()`] write; [`ping::Sender`] sends.

mod child;
mod error;
mod hz;
mod netlink;
mod raw;

pub mod cgroup;
pub mod exec;
pub mod file;
pub mod netns;
pub mod opening;
pub mod pidfd;
pub mod ping;
pub mod procfs;
pub mod rearm;
pub mod seccomp;
pub mod set;
pub mod sock_diag;
pub mod sockopt;
pub mod support;
pub mod sysctl;

pub use error::{Error, Operation, Result};
pub use hz::hz;
pub use netlink::DumpEnd;
pub use procfs::Proc;

/// The running kernel's release, as `uname -r` prints it. Needs no privilege.
#[must_use]
pub fn kernel_release() -> String {
    let release = rustix::system::uname();
    release.release().to_string_lossy().into_owned()
}
