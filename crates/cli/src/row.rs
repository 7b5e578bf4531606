//! One line of a listing: a connection with what is needed to show it.

use sockpulse_core::{Assessment, Connection, Namespace, Place};

/// A connection, its judgement and where it lives. It borrows from the survey and lives for one call
/// of the visitor only.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// What was read.
    pub connection: &'a Connection,
    /// What was made of it.
    pub assessment: &'a Assessment,
    /// The place of the cgroup it was made in; `Place::default()` when unknown.
    pub place: &'a Place,
    /// Its network namespace, if that was read.
    pub namespace: Option<&'a Namespace>,
}
