//! Why rules do not become a table.

use alloc::string::String;
use core::fmt;

/// What is wrong with which rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// More rules than the kernel's table holds.
    #[error("hold {count} rules in the kernel's table: {limit} is the most")]
    Rules {
        /// How many there are.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// With this rule there is too much of something.
    #[error(
        "hold rule {rule:?} in the kernel's table: with it there are {count} {what}, and {limit} is the most"
    )]
    Full {
        /// The rule's name.
        rule: String,
        /// What there is too much of.
        what: Counted,
        /// How many there are with it, as far as it was counted.
        count: usize,
        /// The most.
        limit: usize,
    },
    /// A pattern is too long.
    #[error(
        "hold rule {rule:?} in the kernel's table: its {selector} {pattern:?} is longer than {limit} bytes"
    )]
    Long {
        /// The rule's name.
        rule: String,
        /// Which selector.
        selector: &'static str,
        /// What was given.
        pattern: String,
        /// The most bytes.
        limit: usize,
    },
    /// The selector says something about a connection that is open, and nothing about one to come.
    #[error(
        "hold rule {rule:?} in the kernel's table: {selector} says nothing about connections to come"
    )]
    OnlyExisting {
        /// The rule's name.
        rule: String,
        /// Which selector.
        selector: &'static str,
    },
}

/// What a table holds so many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// Ways of taking one value out of each list of a selector.
    Clauses,
    /// Different names of programs.
    Programs,
    /// Different units, containers and cgroups.
    Places,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clauses => "combinations of its selectors' values",
            Self::Programs => "names of programs",
            Self::Places => "units, containers and cgroups",
        })
    }
}
