//! The table's bytes.

use alloc::vec;
use alloc::vec::Vec;

use super::{Clause, EndClause, NetFamily, PlacePattern, RuleEntry, Table};
use crate::glob::Glob;
use crate::protect::Mode;
use crate::settings::UserTimeoutChoice;

/// Sizes and offsets in bytes, which the C header holds against its own. See the
/// [module](super#layout).
pub mod layout {
    use super::super::{CLAUSES, GLOB_BYTES, PLACE_BYTES, PLACES, PROGRAMS, RULES};

    /// The counts before the first list.
    pub const HEAD: usize = 16;
    /// One rule.
    pub const RULE: usize = 16;
    /// One program's name.
    pub const PROGRAM: usize = 4 + GLOB_BYTES;
    /// One unit, container or cgroup.
    pub const PLACE: usize = 4 + PLACE_BYTES;
    /// One clause.
    pub const CLAUSE: usize = 96;
    /// One end of a clause.
    pub const END: usize = 36;
    /// Where rules begin.
    pub const RULES_AT: usize = HEAD;
    /// Where programs' names begin.
    pub const PROGRAMS_AT: usize = RULES_AT + RULES * RULE;
    /// Where places begin.
    pub const PLACES_AT: usize = PROGRAMS_AT + PROGRAMS * PROGRAM;
    /// Where clauses begin.
    pub const CLAUSES_AT: usize = PLACES_AT + PLACES * PLACE;
    /// The whole table.
    pub const TABLE: usize = CLAUSES_AT + CLAUSES * CLAUSE;
    /// Where a clause has its end here.
    pub const CLAUSE_LOCAL_AT: usize = 20;
    /// Where a clause has the far end.
    pub const CLAUSE_REMOTE_AT: usize = CLAUSE_LOCAL_AT + END;
}

pub(super) fn encode(table: &Table) -> Vec<u8> {
    let mut bytes = vec![0; layout::TABLE];
    let lengths = [
        table.rules.len(),
        table.clauses.len(),
        table.programs.len(),
        table.places.len(),
    ];
    for (n, length) in lengths.into_iter().enumerate() {
        // Limits are small.
        put(
            &mut bytes,
            n * 4,
            &u32::try_from(length).unwrap_or(0).to_ne_bytes(),
        );
    }
    let rules = table.rules.iter().map(rule);
    list(&mut bytes, layout::RULES_AT, layout::RULE, rules);
    let programs = table.programs.iter().map(program);
    list(&mut bytes, layout::PROGRAMS_AT, layout::PROGRAM, programs);
    let places = table.places.iter().map(place);
    list(&mut bytes, layout::PLACES_AT, layout::PLACE, places);
    let clauses = table.clauses.iter().map(clause);
    list(&mut bytes, layout::CLAUSES_AT, layout::CLAUSE, clauses);
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn list(bytes: &mut [u8], at: usize, size: usize, entries: impl Iterator<Item = Vec<u8>>) {
    for (n, entry) in entries.enumerate() {
        put(bytes, at + n * size, &entry);
    }
}

fn rule(rule: &RuleEntry) -> Vec<u8> {
    let asked = &rule.asked;
    let asks = u8::from(asked.idle.is_some())
        | u8::from(asked.interval.is_some()) << 1
        | u8::from(asked.probes.is_some()) << 2
        | u8::from(asked.user_timeout.is_some()) << 3;
    let (kind, user_timeout_ms) = match asked.user_timeout {
        None => (0, 0),
        Some(UserTimeoutChoice::Auto) => (1, 0),
        Some(UserTimeoutChoice::Off) => (2, 0),
        Some(UserTimeoutChoice::Fixed(timeout)) => (2, timeout.get()),
    };
    let mut bytes = vec![mode(rule.mode), asks, u8::from(rule.include_local), kind];
    bytes.extend(asked.idle.map_or(0, |idle| idle.get()).to_ne_bytes());
    bytes.extend(asked.interval.map_or(0, |time| time.get()).to_ne_bytes());
    bytes.extend(user_timeout_ms.to_ne_bytes());
    bytes.push(asked.probes.map_or(0, |count| count.get()));
    bytes
}

const fn mode(mode: Mode) -> u8 {
    match mode {
        Mode::Fill => 1,
        Mode::Tighten => 2,
        Mode::Override => 3,
        Mode::Off => 4,
    }
}

fn program(glob: &Glob) -> Vec<u8> {
    let pattern = glob.pattern();
    let kind = if glob.is_literal() { 1 } else { 2 };
    let mut bytes = vec![kind, u8::try_from(pattern.len()).unwrap_or(0), 0, 0];
    bytes.extend(pattern);
    bytes
}

fn place(place: &PlacePattern) -> Vec<u8> {
    let (kind, text) = match place {
        PlacePattern::Unit(glob) => (1, glob.pattern()),
        PlacePattern::Container(glob) => (2, glob.pattern()),
        PlacePattern::Cgroup(path) => (3, path.as_bytes()),
    };
    let mut bytes = vec![kind, 0];
    bytes.extend(u16::try_from(text.len()).unwrap_or(0).to_ne_bytes());
    bytes.extend(text);
    bytes
}

fn clause(clause: &Clause) -> Vec<u8> {
    let wants = [
        clause.program.is_some(),
        clause.pid.is_some(),
        clause.unit.is_some(),
        clause.container.is_some(),
        clause.cgroup.is_some(),
        clause.local.is_some(),
        clause.remote.is_some(),
        clause.port.is_some(),
        clause.netns.is_some(),
    ];
    let wants = (0..)
        .zip(wants)
        .fold(0, |mask, (n, wanted)| mask | u16::from(wanted) << n);
    let mut bytes = Vec::with_capacity(layout::CLAUSE);
    bytes.extend(wants.to_ne_bytes());
    bytes.extend([clause.rule, clause.program.unwrap_or(0)]);
    bytes.extend(clause.places().to_ne_bytes());
    bytes.extend(clause.pid.unwrap_or(0).to_ne_bytes());
    bytes.extend(clause.netns.map_or(0, |id| id.0).to_ne_bytes());
    bytes.extend(clause.port.unwrap_or(0).to_ne_bytes());
    bytes.extend([0, 0]);
    bytes.extend(end(clause.local.as_ref()));
    bytes.extend(end(clause.remote.as_ref()));
    bytes
}

fn end(end: Option<&EndClause>) -> [u8; layout::END] {
    let mut bytes = [0; layout::END];
    let Some(end) = end else {
        return bytes;
    };
    put(&mut bytes, 2, &end.port.unwrap_or(0).to_ne_bytes());
    if let Some(net) = &end.net {
        bytes[0] = match net.family {
            NetFamily::V4 => 4,
            NetFamily::V6 => 6,
        };
        put(&mut bytes, 4, &net.addr.octets());
        put(&mut bytes, 20, &net.mask.octets());
    }
    bytes
}
