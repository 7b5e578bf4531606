//! The rules as the kernel's programs read them, and the matcher's twin in Rust.
//!
//! A rule's selector becomes *clauses*: one for each way of taking one value out of each of its "or"
//! lists. A clause is an "and" of at most one value of each kind, and matches what satisfies all of
//! them; one without values matches everything. Clauses stand in the order of their rules, so that the
//! first clause that matches names the first rule that does.
//!
//! Programs' names and places stand in lists of their own, each once, and a clause names them by
//! number: whether a cgroup lies in a place is found out once for each cgroup and remembered as
//! a mask, and the same can be done for names.
//!
//! # Layout
//!
//! [`Table::encode`] writes [`TABLE_BYTES`] bytes, in the byte order of the machine, without padding
//! but for what is named here; [`layout`] has the offsets as constants. What is beyond a count is
//! zero.
//!
//! ```text
//! table      0  u32  rules            how many
//!            4  u32  clauses
//!            8  u32  programs
//!           12  u32  places
//!           16  rule[64], program[64], place[32], clause[256]
//! rule       0  u8   mode             1 fill, 2 tighten, 3 override, 4 off
//!  (16)      1  u8   asks             1 idle, 2 interval, 4 probes, 8 user timeout
//!            2  u8   include_local    0, 1
//!            3  u8   user_timeout     0 not asked, 1 auto, 2 user_timeout_ms (0: off)
//!            4  u16  idle, seconds
//!            6  u16  interval, seconds
//!            8  u32  user_timeout_ms
//!           12  u8   probes
//!           13  u8[3] zero
//! program    0  u8   kind             1 the name, 2 a pattern with * and ?
//!  (36)      1  u8   length
//!            2  u8[2] zero
//!            4  u8[32] bytes
//! place      0  u8   kind             1 unit, 2 container, 3 cgroup
//!  (260)     1  u8   zero
//!            2  u16  length
//!            4  u8[256] bytes; a unit's or container's are a pattern, a cgroup's a path without
//!                    slash at its end
//! clause     0  u16  wants            1 program, 2 pid, 4 unit, 8 container, 16 cgroup, 32 local,
//!  (96)                               64 remote, 128 port, 256 netns
//!            2  u8   rule
//!            3  u8   program          number in the list
//!            4  u32  places           mask of places, all of which are wanted
//!            8  u32  pid
//!           12  u32  netns
//!           16  u16  port             of either end
//!           18  u8[2] zero
//!           20  end  local
//!           56  end  remote
//!           92  u8[4] zero
//! end        0  u8   family           0 any address, 4, 6
//!  (36)      1  u8   zero
//!            2  u16  port             in the machine's byte order; 0 any
//!            4  u8[16] address        in network order; IPv4 as ::ffff:a.b.c.d
//!           20  u8[16] mask           address & mask = address
//! ```
//!
//! # What the twin in C has to do
//!
//! - A *name* matches as [`Glob`] does, over the at most 15 bytes before the first
//!   NUL. It is that of the process (`task->group_leader->comm`), not of a thread.
//! - An *address* is of family 4 if it is IPv4 or IPv4-mapped, else 6. A pattern of family 4 matches
//!   only those of family 4, and one of family 6 only those of family 6.
//! - An end that is not known ([`Subject::local`], [`Subject::remote`]) matches no pattern, and no
//!   port.
//! - The *unit* is the innermost part of the cgroup's path that ends in `.service`, `.scope`,
//!   `.socket`, `.mount` or `.swap`; a pattern matches it whole, or without its `.service`.
//! - The *container* is the innermost part that is 64 hexadecimal digits; `lxc.payload.NAME`;
//!   `machine-NAME.scope`, where `\x2d` in NAME stands for `-`; or `PREFIX-ID.scope` with 64 such
//!   digits and one of the prefixes of [`Place`](crate::place::Place). A pattern matches it whole, or
//!   its first twelve bytes.
//! - A *cgroup* pattern matches the path itself and everything below; an empty one every path that is
//!   known.
//! - A path that is longer than [`PATH_BYTES`] or deeper than [`PATH_PARTS`] is not known: it
//!   lies in no place.

mod compile;
mod encode;
mod error;
mod matching;
#[cfg(test)]
mod tests;

pub use encode::layout;
pub use error::{Counted, TableError};
pub use matching::Subject;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::Ipv6Addr;

use super::{Asked, Mode, Rule};
use crate::connection::NetnsId;
use crate::glob::Glob;

/// The most rules.
pub const RULES: usize = 64;
/// The most clauses of all rules together.
pub const CLAUSES: usize = 256;
/// The most different names of programs.
pub const PROGRAMS: usize = 64;
/// The most different units, containers and cgroups together.
pub const PLACES: usize = 32;
/// The longest pattern for a program's name, in bytes.
pub const GLOB_BYTES: usize = 32;
/// The longest pattern for a unit, container or cgroup, in bytes.
pub const PLACE_BYTES: usize = 256;
/// The longest path of a cgroup that is looked at, in bytes.
pub const PATH_BYTES: usize = 1024;
/// The most parts of a path that is looked at.
pub const PATH_PARTS: usize = 32;
/// The length of an encoded table.
pub const TABLE_BYTES: usize = layout::TABLE;

/// Rules, compiled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Table {
    rules: Vec<RuleEntry>,
    programs: Vec<Glob>,
    places: Vec<PlacePattern>,
    clauses: Vec<Clause>,
}

/// What the connections of a rule are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleEntry {
    /// Who wins.
    pub mode: Mode,
    /// What is asked for.
    pub asked: Asked,
    /// Whether connections with both ends in one namespace are meant too.
    pub include_local: bool,
}

/// Where a process may run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlacePattern {
    /// A systemd unit.
    Unit(Glob),
    /// A container.
    Container(Glob),
    /// A cgroup's path without slash at its end, and everything below.
    Cgroup(String),
}

/// Values that must all match; what is `None` matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clause {
    /// The number of its rule.
    pub rule: u8,
    /// The program's name, by its number in [`Table::programs`].
    pub program: Option<u8>,
    /// The process.
    pub pid: Option<u32>,
    /// The unit, by its number in [`Table::places`].
    pub unit: Option<u8>,
    /// The container, by its number there.
    pub container: Option<u8>,
    /// The cgroup, by its number there.
    pub cgroup: Option<u8>,
    /// The end here.
    pub local: Option<EndClause>,
    /// The far end.
    pub remote: Option<EndClause>,
    /// The port of either end.
    pub port: Option<u16>,
    /// The network namespace.
    pub netns: Option<NetnsId>,
}

/// One end, as the kernel compares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndClause {
    /// The address lies here.
    pub net: Option<Net>,
    /// The port is this.
    pub port: Option<u16>,
}

/// Addresses whose bits under the mask are these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    /// Addresses of the other family are not in it.
    pub family: NetFamily,
    /// IPv4 addresses mapped.
    pub addr: Ipv6Addr,
    /// The bits that count.
    pub mask: Ipv6Addr,
}

/// Which addresses; IPv4-mapped ones are IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// What a table looks at: programs that no rule needs are not attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    /// Where the process runs.
    pub place: bool,
    /// The end here: it is not known yet when a program connects without having bound.
    pub local: bool,
    /// The far end: it is not known yet when a program listens.
    pub remote: bool,
    /// What programs ask for later has to be looked at: a rule tightens, overrides or switches off, or
    /// sets a user timeout.
    pub setsockopt: bool,
}

impl Table {
    /// Compiles the rules, the first of which that matches decides.
    ///
    /// # Errors
    /// [`TableError`]: too many of something, a pattern that is too long, or a selector that says
    /// nothing about connections to come.
    pub fn compile(rules: &[Rule]) -> Result<Self, TableError> {
        compile::compile(rules)
    }

    /// The number of the first rule that matches.
    #[must_use]
    pub fn first_match(&self, subject: &Subject<'_>) -> Option<usize> {
        let places = self.places_of(subject.cgroup);
        self.clauses
            .iter()
            .find(|clause| self.satisfied(clause, subject, places))
            .map(|clause| usize::from(clause.rule))
    }

    /// In which of its places a cgroup lies: bit n stands for the n-th.
    #[must_use]
    pub fn places_of(&self, cgroup: &str) -> u32 {
        matching::places(&self.places, cgroup)
    }

    /// The table as the kernel's programs read it: [`TABLE_BYTES`] bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode::encode(self)
    }

    /// Its rules, in order.
    #[must_use]
    pub fn rules(&self) -> &[RuleEntry] {
        &self.rules
    }

    /// Its different units, containers and cgroups, in the order of their bits.
    #[must_use]
    pub fn places(&self) -> &[PlacePattern] {
        &self.places
    }

    /// Its different names of programs, in the order of their numbers.
    #[must_use]
    pub fn programs(&self) -> &[Glob] {
        &self.programs
    }

    /// Its clauses, in the order in which they decide.
    #[must_use]
    pub fn clauses(&self) -> &[Clause] {
        &self.clauses
    }

    /// How many clauses it has.
    #[must_use]
    pub fn clause_count(&self) -> usize {
        self.clauses.len()
    }

    /// What it looks at.
    #[must_use]
    pub fn needs(&self) -> Needs {
        let any = |wants: fn(&Clause) -> bool| self.clauses.iter().any(wants);
        Needs {
            place: !self.places.is_empty(),
            local: any(|clause| clause.local.is_some() || clause.port.is_some()),
            remote: any(|clause| clause.remote.is_some() || clause.port.is_some()),
            setsockopt: self
                .rules
                .iter()
                .any(|rule| rule.mode != Mode::Fill || rule.asked.user_timeout.is_some()),
        }
    }
}
