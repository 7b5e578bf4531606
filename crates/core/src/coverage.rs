//! What a reading covered and what it could not see.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use crate::connection::{Source, Unseen};

/// Something that was not seen, why, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// What was not seen.
    pub what: String,
    /// Why not.
    pub why: String,
    /// What to do about it: a command or a capability.
    pub remedy: Option<String>,
}

/// What a reading covered. It is part of every output.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Network namespaces that were read.
    pub namespaces: u64,
    /// Sockets by the source that showed them.
    pub sockets: BTreeMap<Source, u64>,
    /// Connections with a peer whose settings are unknown, by reason.
    pub unknown_settings: BTreeMap<Unseen, u64>,
    /// Sockets whose owning process is unknown, by reason.
    pub unknown_owners: BTreeMap<Unseen, u64>,
    /// What was not seen for want of a right or by an error: the reading is partial.
    pub gaps: Vec<Gap>,
    /// What the reader should know and need not mend.
    pub notes: Vec<String>,
}

impl Coverage {
    /// Whether something that exists could not be seen: exit status 3.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.gaps.is_empty()
    }

    /// All sockets seen.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sockets.values().sum()
    }
}
