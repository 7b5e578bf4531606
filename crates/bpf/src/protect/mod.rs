//! Settings for connections to come: programs on a cgroup that outlive the command.
//!
//! [`install`] loads them, gives them the rules, attaches them and keeps them in a folder of a bpffs;
//! [`load`] tells what is in force there; [`remove`] ends it. Whatever happens in between, a crash
//! included, either the old rules are in force or the new ones: all that an installation needs is
//! there before one write to one map makes it the one that acts.

mod encode;
mod hook;
mod install;
mod installed;
mod layout;
mod object;
mod pins;
pub(crate) mod sys;
mod twin;

use std::path::Path;

pub use hook::Hook;
pub use installed::{Counts, Installed, InstalledRule};
#[doc(hidden)]
pub use twin::{Answers, Planned};

use sockpulse_core::Hz;
use sockpulse_core::protect::Table;

use crate::error::Result;

/// Where programs, maps and links are kept unless another folder is named.
pub const PINS: &str = "/sys/fs/bpf/sockpulse";

/// Who decides over the connections that a program accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Accepted {
    /// Their listener, from which they inherit; costs nothing. Where a rule asks for what a listener
    /// cannot know (a far end, an address of this end), as [`Each`](Self::Each).
    #[default]
    Inherit,
    /// A program that is run for every connection.
    Each,
}

/// What is to be in force.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The rules.
    pub table: &'a Table,
    /// What [`Installed`] tells of each rule, in the same order: JSON, or whatever the caller
    /// understands.
    pub texts: &'a [String],
    /// Who decides over accepted connections.
    pub accepted: Accepted,
    /// The kernel's tick rate.
    pub hz: Hz,
}

/// Puts rules into force on a cgroup and all below it, in the place of those that were, and returns
/// when they are.
///
/// Listeners that were there before hand on what they have. Once every connection has been decided
/// over by itself ([`Accepted::Each`]) it stays so until [`remove`]: listeners made meanwhile have
/// nothing to hand on.
///
/// Needs `CAP_BPF`, `CAP_PERFMON`, `CAP_NET_ADMIN`, a cgroup v2 hierarchy and a bpffs; Linux 5.15.
///
/// # Errors
/// [`Error::NoBpffs`](crate::Error::NoBpffs),
/// [`Error::HooksNotPermitted`](crate::Error::HooksNotPermitted),
/// [`Error::Rejected`](crate::Error::Rejected) where the kernel lacks something,
/// [`Error::Pin`](crate::Error::Pin), and what is wrong with the rules. Then what was in force still
/// is, and what was begun is cleared away by the next run.
pub fn install(pins: &Path, cgroup: &Path, wanted: &Wanted<'_>) -> Result<Installed> {
    install::install(pins, cgroup, wanted)
}

/// Whether [`install`] would succeed, as far as that can be told without changing anything: the
/// programs are loaded and dropped again, the folder and the cgroup are looked at. That a program in
/// the way allows no other beside it is seen only when they are attached.
///
/// # Errors
/// As of [`install`].
pub fn rehearse(pins: &Path, cgroup: &Path, wanted: &Wanted<'_>) -> Result<()> {
    install::rehearse(pins, cgroup, wanted)
}

/// What is in force, if anything is.
///
/// # Errors
/// [`Error::Foreign`](crate::Error::Foreign) when it cannot be told since another version's rules are,
/// [`Error::Torn`](crate::Error::Torn) when somebody took a part away;
/// [`Error::Pin`](crate::Error::Pin).
pub fn load(pins: &Path) -> Result<Option<Installed>> {
    installed::load(pins)
}

/// Ends what is in force, whatever version put it there, and removes the folder. Says whether there
/// was anything. Connections and listeners keep what they have.
///
/// # Errors
/// [`Error::Pin`](crate::Error::Pin).
pub fn remove(pins: &Path) -> Result<Removed> {
    install::remove(pins)
}

/// The table as the matcher in the kernel reads it, for programs that set nothing.
pub(crate) fn to_match(table: &Table) -> Result<Vec<u8>> {
    let counters: Vec<u8> = (0..).take(table.rules().len()).collect();
    encode::encode(&encode::Source {
        table,
        texts: &[],
        counters: &counters,
        accepted: Accepted::Inherit,
        generation: 1,
    })
}

/// Loads the programs of some hooks and drops them again.
pub(crate) fn try_hooks(hooks: &[Hook]) -> Result<()> {
    twin::try_hooks(hooks)
}

/// Whether the folder could be made in a bpffs.
pub(crate) fn can_pin(pins: &Path) -> bool {
    pins::is_in_bpffs(pins)
}

/// What [`remove`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// Rules were in force.
    InForce,
    /// Nothing was in force, but something was left over.
    Leftovers,
    /// There was nothing.
    Nothing,
}
