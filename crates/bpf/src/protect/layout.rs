//! The rules as the programs read them: the twin of src/bpf/table.h.

use zerocopy::native_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) const LAYOUT: u32 = 1;
pub(super) const RULES: usize = 64;
pub(super) const CLAUSES: usize = 256;
pub(super) const NAMES: usize = 64;
pub(super) const PLACES: usize = 32;
pub(super) const TOKENS: usize = 63;
pub(super) const PATTERN: usize = 256;
pub(super) const TEXT: usize = 98304;
pub(super) const WORDS: usize = CLAUSES / 64;

/// `enum mode`.
pub(super) mod mode {
    pub(crate) const FILL: u8 = 0;
    pub(crate) const TIGHTEN: u8 = 1;
    pub(crate) const OVERRIDE: u8 = 2;
    pub(crate) const OFF: u8 = 3;
}

/// `enum rule_flag`.
pub(super) mod rule_flag {
    pub(crate) const LOCAL: u8 = 1 << 0;
    pub(crate) const USER_TIMEOUT: u8 = 1 << 1;
    pub(crate) const AUTO: u8 = 1 << 2;
}

/// `enum table_flag`.
pub(super) mod table_flag {
    pub(crate) const EACH: u32 = 1 << 0;
    pub(crate) const HOLD: u32 = 1 << 1;
    pub(crate) const PLACES: u32 = 1 << 2;
    pub(crate) const NAMES: u32 = 1 << 3;
}

/// `enum place_kind`.
pub(super) mod place_kind {
    pub(crate) const UNIT: u8 = 0;
    pub(crate) const CONTAINER: u8 = 1;
    pub(crate) const CGROUP: u8 = 2;
    pub(crate) const COUNT: usize = 3;
}

/// `enum clause_flag`.
pub(super) mod clause_flag {
    pub(crate) const PID: u32 = 1 << 0;
    pub(crate) const NETNS: u32 = 1 << 1;
    pub(crate) const PORT: u32 = 1 << 2;
    pub(crate) const LOCAL: u32 = 1 << 3;
    pub(crate) const REMOTE: u32 = 1 << 4;
}

/// `enum end_flag`.
pub(super) mod end_flag {
    pub(crate) const NET: u8 = 1 << 0;
    pub(crate) const PORT: u8 = 1 << 1;
    pub(crate) const V4: u8 = 1 << 2;
}

/// A set of clauses.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Clauses {
    word: [U64; WORDS],
}

impl Clauses {
    pub(super) fn insert(&mut self, clause: usize) {
        let word = &mut self.word[clause / 64];
        word.set(word.get() | 1 << (clause % 64));
    }
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Pattern {
    pub(super) stars: U64,
    pub(super) any: U64,
    pub(super) len: U16,
    pub(super) kind: u8,
    pub(super) automaton: u8,
    pub(super) reserved: U32,
    pub(super) token: [u8; PATTERN],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct EndPattern {
    pub(super) net: [u8; 16],
    pub(super) mask: [u8; 16],
    pub(super) port: U16,
    pub(super) flags: u8,
    pub(super) reserved: [u8; 5],
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Clause {
    pub(super) flags: U32,
    pub(super) pid: U32,
    pub(super) netns: U32,
    pub(super) port: U16,
    pub(super) rule: u8,
    pub(super) reserved: u8,
    pub(super) local: EndPattern,
    pub(super) remote: EndPattern,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Rule {
    pub(super) user_timeout: U32,
    pub(super) idle: U16,
    pub(super) interval: U16,
    pub(super) probes: u8,
    pub(super) mode: u8,
    pub(super) flags: u8,
    pub(super) counter: u8,
    pub(super) reserved: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Table {
    pub(super) layout: U32,
    pub(super) rules: U32,
    pub(super) text_at: U32,
    pub(super) text_len: U32,
    pub(super) generation: U64,
    pub(super) flags: U32,
    pub(super) clauses: U32,
    pub(super) names: U32,
    pub(super) places: U32,
    pub(super) nameless: Clauses,
    pub(super) placeless: [Clauses; place_kind::COUNT],
    pub(super) of_name: [Clauses; NAMES],
    pub(super) of_place: [Clauses; PLACES],
    pub(super) rule: [Rule; RULES],
    pub(super) clause: [Clause; CLAUSES],
    pub(super) name: [Pattern; NAMES],
    pub(super) place: [Pattern; PLACES],
    pub(super) text: [u8; TEXT],
}

/// What a rule did, as each processor counts it: `struct counts`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Outcomes {
    pub(super) right: U64,
    pub(super) set: U64,
    pub(super) refused: U64,
    pub(super) local: U64,
    pub(super) held: U64,
}

/// `struct meta`.
#[derive(
    Debug, Clone, Copy, PartialEq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub(super) struct Meta {
    pub(super) magic: U32,
    pub(super) layout: U32,
    pub(super) build: U64,
    pub(super) cgroup: U64,
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Pattern, token) == 24);
    assert!(size_of::<Pattern>() == 280);
    assert!(offset_of!(EndPattern, port) == 32);
    assert!(size_of::<EndPattern>() == 40);
    assert!(offset_of!(Clause, local) == 16);
    assert!(size_of::<Clause>() == 96);
    assert!(offset_of!(Rule, mode) == 9);
    assert!(size_of::<Rule>() == 16);
    assert!(offset_of!(Table, generation) == 16);
    assert!(offset_of!(Table, nameless) == 40);
    assert!(offset_of!(Table, of_name) == 168);
    assert!(offset_of!(Table, of_place) == 2216);
    assert!(offset_of!(Table, rule) == 3240);
    assert!(offset_of!(Table, clause) == 4264);
    assert!(offset_of!(Table, name) == 28840);
    assert!(offset_of!(Table, place) == 46760);
    assert!(offset_of!(Table, text) == 55720);
    assert!(size_of::<Table>() == 154_024);
};
