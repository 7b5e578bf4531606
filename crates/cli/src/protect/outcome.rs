//! What became of the sockets that were to be set.

use std::collections::BTreeMap;

use sockpulse_core::Unseen;
use sockpulse_core::protect::Tally;
use sockpulse_linux::set::NotSet;

/// What was done, and what was not.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The transaction's number in the journal.
    pub(super) id: Option<u64>,
    /// Connections that have what was planned, read back.
    pub(super) connections: u64,
    pub(super) listeners: u64,
    /// Of both, those that came, or changed, while the first ones were set.
    pub(super) meanwhile: u64,
    /// Those that were left as they were.
    pub(super) refused: BTreeMap<Refused, u64>,
    /// The first words of the kernel's, where it refused an option.
    pub(super) failure: Option<String>,
    /// When a dead peer is noticed, before and after, by those that were set.
    pub(super) effect: Tally,
    /// Whether it ended before all was tried.
    pub(super) is_cut_short: bool,
    /// What the journal had to say.
    pub(super) notes: Vec<String>,
}

impl Outcome {
    pub(super) const fn changed(&self) -> u64 {
        self.connections + self.listeners
    }

    /// Whether something that should have been done was not.
    pub(super) fn is_partial(&self) -> bool {
        self.is_cut_short || self.refused.keys().any(|why| why.is_missing())
    }

    /// Keeps the kernel's words.
    pub(super) fn fail(&mut self, why: &NotSet) {
        if let NotSet::Failed(error) | NotSet::HalfMade(error) = why {
            self.failure.get_or_insert_with(|| error.reason());
        }
    }
}

/// Why a socket was left as it was when its turn came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Refused {
    /// A right is missing.
    NotPermitted,
    /// It is gone.
    Vanished,
    /// It cannot be reached: Multipath TCP, or a kernel without pidfd_getfd(2).
    OutOfReach,
    /// Its program set options meanwhile, or closes it.
    Changed,
    /// A probe is unanswered by now.
    Probing,
    /// Too silent by now for the user timeout.
    Silent,
    /// The kernel refused an option.
    Failed,
    /// The same, and some options are set.
    HalfMade,
}

impl Refused {
    pub(super) const fn of(why: &NotSet) -> Self {
        match why {
            NotSet::Unreached(Unseen::NotPermitted) => Self::NotPermitted,
            NotSet::Unreached(Unseen::Vanished) => Self::Vanished,
            NotSet::Changed => Self::Changed,
            NotSet::Probing => Self::Probing,
            NotSet::Silent => Self::Silent,
            NotSet::Failed(_) => Self::Failed,
            NotSet::HalfMade(_) => Self::HalfMade,
            // Whatever else keeps from it.
            _ => Self::OutOfReach,
        }
    }

    /// A stable word for JSON and the journal.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::NotPermitted => "not-permitted",
            Self::Vanished => "vanished",
            Self::OutOfReach => "out-of-reach",
            Self::Changed => "changed",
            Self::Probing => "probing",
            Self::Silent => "silent",
            Self::Failed => "failed",
            Self::HalfMade => "half-made",
        }
    }

    /// A clause for people.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::NotPermitted => "not permitted to reach into the process",
            Self::Vanished => "closed meanwhile",
            Self::OutOfReach => "no process could be found through which it is reached",
            Self::Changed => "its program changed it meanwhile",
            Self::Probing => "a probe is unanswered by now",
            Self::Silent => "silent for too long by now for the user timeout",
            Self::Failed => "the kernel refused an option",
            Self::HalfMade => "the kernel refused an option, and others are set",
        }
    }

    /// Whether it may be different when it is looked at anew.
    pub(super) const fn may_be_retried(self) -> bool {
        matches!(self, Self::Vanished | Self::Changed | Self::Silent)
    }

    /// Whether something misses that was asked for: what is gone misses nothing, and the program and
    /// a peer that is being asked have precedence.
    const fn is_missing(self) -> bool {
        matches!(
            self,
            Self::NotPermitted | Self::OutOfReach | Self::Silent | Self::Failed | Self::HalfMade
        )
    }
}
