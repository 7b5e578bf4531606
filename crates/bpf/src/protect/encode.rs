//! From core's table to the one that the programs read.

use sockpulse_core::glob::Glob;
use sockpulse_core::protect::Mode;
use sockpulse_core::protect::table::{
    Clause, EndClause, NetFamily, PlacePattern, RuleEntry, Table,
};
use sockpulse_core::settings::UserTimeoutChoice;
use zerocopy::FromBytes;

use super::Accepted;
use super::layout::{
    self, LAYOUT, PATTERN, TEXT, TOKENS, clause_flag, end_flag, mode, place_kind, rule_flag,
    table_flag,
};
use crate::error::{Error, Result};

/// What a table is made from.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub(super) table: &'a Table,
    pub(super) texts: &'a [String],
    /// The counter of each rule.
    pub(super) counters: &'a [u8],
    pub(super) accepted: Accepted,
    pub(super) generation: u64,
}

/// The table's bytes.
pub(super) fn encode(source: &Source<'_>) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size_of::<layout::Table>()];
    let table = layout::Table::mut_from_bytes(&mut bytes)
        .expect("the vector has the table's size, and the table no alignment");
    let from = source.table;
    table.layout.set(LAYOUT);
    table.generation.set(source.generation);
    table.flags.set(flags(from, source.accepted));
    table.rules.set(count(from.rules()));
    table.clauses.set(count(from.clauses()));
    table.names.set(count(from.programs()));
    table.places.set(count(from.places()));
    for ((to, rule), counter) in table.rule.iter_mut().zip(from.rules()).zip(source.counters) {
        write_rule(to, rule, *counter);
    }
    for (to, name) in table.name.iter_mut().zip(from.programs()) {
        write_glob(to, name)?;
    }
    for (to, place) in table.place.iter_mut().zip(from.places()) {
        write_place(to, place)?;
    }
    for (number, clause) in from.clauses().iter().enumerate() {
        write_clause(&mut table.clause[number], clause);
        write_sets(table, number, clause);
    }
    write_texts(table, source.texts)?;
    Ok(bytes)
}

/// Whether each accepted connection has to be looked at by itself: a rule asks for something that its
/// listener cannot know.
pub(super) fn needs_each(table: &Table) -> bool {
    table.clauses().iter().any(|clause| {
        clause.remote.is_some()
            || clause.port.is_some()
            || clause.local.is_some_and(|local| local.net.is_some())
    })
}

/// The texts behind a table's rules.
pub(super) fn texts(table: &[u8]) -> Option<Vec<String>> {
    let (head, _) = layout::Table::ref_from_prefix(table).ok()?;
    let at = usize::try_from(head.text_at.get()).ok()?;
    let len = usize::try_from(head.text_len.get()).ok()?;
    let text = std::str::from_utf8(table.get(at..at.checked_add(len)?)?).ok()?;
    Some(text.split_terminator('\0').map(str::to_owned).collect())
}

/// Lists are no longer than their limits, which core keeps.
fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).expect("core's tables have at most 256 of anything")
}

fn flags(table: &Table, accepted: Accepted) -> u32 {
    let flag = |on, flag| if on { flag } else { 0 };
    flag(
        accepted == Accepted::Each || needs_each(table),
        table_flag::EACH,
    ) | flag(table.needs().setsockopt, table_flag::HOLD)
        | flag(!table.places().is_empty(), table_flag::PLACES)
        | flag(!table.programs().is_empty(), table_flag::NAMES)
}

fn write_rule(to: &mut layout::Rule, rule: &RuleEntry, counter: u8) {
    let asked = &rule.asked;
    to.mode = match rule.mode {
        Mode::Fill => mode::FILL,
        Mode::Tighten => mode::TIGHTEN,
        Mode::Override => mode::OVERRIDE,
        Mode::Off => mode::OFF,
    };
    to.counter = counter;
    to.idle.set(asked.idle.map_or(0, |idle| idle.get()));
    to.interval.set(asked.interval.map_or(0, |time| time.get()));
    to.probes = asked.probes.map_or(0, |count| count.get());
    if rule.include_local {
        to.flags |= rule_flag::LOCAL;
    }
    match asked.user_timeout {
        None => {}
        Some(UserTimeoutChoice::Off) => to.flags |= rule_flag::USER_TIMEOUT,
        Some(UserTimeoutChoice::Auto) => to.flags |= rule_flag::USER_TIMEOUT | rule_flag::AUTO,
        Some(UserTimeoutChoice::Fixed(timeout)) => {
            to.flags |= rule_flag::USER_TIMEOUT;
            to.user_timeout.set(timeout.get());
        }
    }
}

fn write_text(to: &mut layout::Pattern, text: &[u8]) -> Result<()> {
    let too_long = || Error::Pattern {
        pattern: String::from_utf8_lossy(text).into_owned(),
        limit: PATTERN,
    };
    to.token
        .get_mut(..text.len())
        .ok_or_else(too_long)?
        .copy_from_slice(text);
    to.len
        .set(u16::try_from(text.len()).map_err(|_| too_long())?);
    Ok(())
}

/// `*` and `?` become sets of states, other bytes stay tokens.
fn write_glob(to: &mut layout::Pattern, glob: &Glob) -> Result<()> {
    if glob.is_literal() {
        return write_text(to, glob.pattern());
    }
    let (mut tokens, mut stars, mut any) = (Vec::new(), 0_u64, 0_u64);
    for byte in glob.pattern() {
        if tokens.len() > TOKENS {
            break;
        }
        match byte {
            b'*' => stars |= 1 << tokens.len(),
            b'?' => {
                any |= 1 << tokens.len();
                tokens.push(0);
            }
            byte => tokens.push(*byte),
        }
    }
    if tokens.len() > TOKENS {
        return Err(Error::Pattern {
            pattern: String::from_utf8_lossy(glob.pattern()).into_owned(),
            limit: TOKENS,
        });
    }
    to.automaton = 1;
    to.stars.set(stars);
    to.any.set(any);
    write_text(to, &tokens)
}

fn write_place(to: &mut layout::Pattern, place: &PlacePattern) -> Result<()> {
    match place {
        PlacePattern::Unit(unit) => {
            to.kind = place_kind::UNIT;
            write_glob(to, unit)
        }
        PlacePattern::Container(container) => {
            to.kind = place_kind::CONTAINER;
            write_glob(to, container)
        }
        PlacePattern::Cgroup(path) => {
            to.kind = place_kind::CGROUP;
            write_text(to, path.as_bytes())
        }
    }
}

fn write_clause(to: &mut layout::Clause, clause: &Clause) {
    to.rule = clause.rule;
    let mut flags = 0;
    if let Some(pid) = clause.pid {
        flags |= clause_flag::PID;
        to.pid.set(pid);
    }
    if let Some(netns) = clause.netns {
        flags |= clause_flag::NETNS;
        to.netns.set(netns.0);
    }
    if let Some(port) = clause.port {
        flags |= clause_flag::PORT;
        to.port.set(port);
    }
    if let Some(end) = &clause.local {
        flags |= clause_flag::LOCAL;
        write_end(&mut to.local, end);
    }
    if let Some(end) = &clause.remote {
        flags |= clause_flag::REMOTE;
        write_end(&mut to.remote, end);
    }
    to.flags.set(flags);
}

fn write_end(to: &mut layout::EndPattern, end: &EndClause) {
    if let Some(port) = end.port {
        to.flags |= end_flag::PORT;
        to.port.set(port);
    }
    if let Some(net) = &end.net {
        to.flags |= end_flag::NET;
        if net.family == NetFamily::V4 {
            to.flags |= end_flag::V4;
        }
        to.net = net.addr.octets();
        to.mask = net.mask.octets();
    }
}

/// Puts a clause into the sets that are remembered for names and places.
fn write_sets(table: &mut layout::Table, number: usize, clause: &Clause) {
    match clause.program {
        Some(name) => table.of_name[usize::from(name)].insert(number),
        None => table.nameless.insert(number),
    }
    let kinds = [clause.unit, clause.container, clause.cgroup];
    for (placeless, place) in table.placeless.iter_mut().zip(kinds) {
        match place {
            Some(place) => table.of_place[usize::from(place)].insert(number),
            None => placeless.insert(number),
        }
    }
}

/// Each with a NUL behind it, which no JSON contains.
fn write_texts(table: &mut layout::Table, texts: &[String]) -> Result<()> {
    let text: Vec<u8> = texts
        .iter()
        .flat_map(|text| text.bytes().filter(|byte| *byte != 0).chain([0]))
        .collect();
    let too_long = || Error::Texts {
        len: text.len(),
        limit: TEXT,
    };
    table
        .text
        .get_mut(..text.len())
        .ok_or_else(too_long)?
        .copy_from_slice(&text);
    table
        .text_len
        .set(u32::try_from(text.len()).map_err(|_| too_long())?);
    let at = std::mem::offset_of!(layout::Table, text);
    table
        .text_at
        .set(u32::try_from(at).map_err(|_| too_long())?);
    Ok(())
}
