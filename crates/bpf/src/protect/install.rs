//! Putting rules into force, replacing and ending them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zerocopy::{FromBytes, IntoBytes};

use super::encode::{Source, encode};
use super::hook::Hook;
use super::installed::{Installed, MAGIC, Standing, describe, needed, standing};
use super::layout::{LAYOUT, Meta, Outcomes, Table, table_flag};
use super::object::{Choice, NAME, Object, Questions, file, program_file};
use super::pins::{self, Pins, Turn, at};
use super::{Accepted, Removed, Wanted, sys, twin};
use crate::error::{Error, Operation, Result};
use crate::reader::Reader;

/// Tells these programs from those of another build.
fn build() -> u64 {
    env!("PROTECT_BUILD").parse().unwrap_or(0)
}

pub(super) fn install(path: &Path, cgroup: &Path, wanted: &Wanted<'_>) -> Result<Installed> {
    let cgroup = Cgroup::open(cgroup)?;
    let pins = Pins::create(path)?;
    let mut turn = match pins.turn()? {
        Some(turn) => turn,
        None => pins.create_turn()?,
    };
    let before = match standing(pins.installation(turn.number)) {
        Err(Error::Foreign { .. }) => None,
        before => before?,
    };
    let new = New::of(wanted, before.as_ref(), &cgroup)?;
    match &before {
        Some(before) if new.fits(before)? => update(before, &cgroup, &new)?,
        _ => replace(&pins, &mut turn, &cgroup, wanted, &new)?,
    }
    pins.remove_others(turn.number)?;
    let standing = standing(pins.installation(turn.number))?;
    let standing = standing.ok_or_else(|| Error::NoBpffs { path: path.into() })?;
    describe(&standing)
}

pub(super) fn rehearse(path: &Path, cgroup: &Path, wanted: &Wanted<'_>) -> Result<()> {
    let cgroup = Cgroup::open(cgroup)?;
    pins::may_write(path)?;
    let before = match Pins::existing(path)? {
        Some(pins) => match pins.turn()? {
            Some(turn) => standing(pins.installation(turn.number)),
            None => Ok(None),
        },
        None => Ok(None),
    };
    let before = match before {
        Err(Error::Foreign { .. }) => None,
        before => before?,
    };
    let new = New::of(wanted, before.as_ref(), &cgroup)?;
    twin::try_hooks(&new.hooks)
}

pub(super) fn remove(path: &Path) -> Result<Removed> {
    let Some(pins) = Pins::existing(path)? else {
        return Ok(Removed::Nothing);
    };
    let mut found = Removed::Leftovers;
    if let Some(mut turn) = pins.turn()? {
        if turn.number != 0 {
            found = Removed::InForce;
        }
        // All programs at once, then one after the other.
        turn.give(0)?;
    }
    pins.remove()?;
    Ok(found)
}

/// Where programs are attached.
struct Cgroup {
    file: File,
    id: u64,
}

impl Cgroup {
    fn open(path: &Path) -> Result<Self> {
        let open = || {
            let file = File::open(path)?;
            // In a cgroup v2 the inode number is the id.
            let id = file.metadata()?.ino();
            Ok(Self { file, id })
        };
        open().map_err(at(Operation::Reopen, path))
    }
}

fn meta(cgroup: &Cgroup) -> Meta {
    Meta {
        magic: MAGIC.into(),
        layout: LAYOUT.into(),
        build: build().into(),
        cgroup: cgroup.id.into(),
    }
}

/// The new table, and what it has to do with the one before.
struct New {
    table: Vec<u8>,
    hooks: Vec<Hook>,
    meta: Meta,
    /// Counters that begin anew.
    fresh: Vec<u8>,
    /// Counters and owners of listeners, if they are kept.
    kept: Vec<(&'static str, OwnedFd)>,
}

impl New {
    fn of(wanted: &Wanted<'_>, before: Option<&Standing>, cgroup: &Cgroup) -> Result<Self> {
        let meta = meta(cgroup);
        let related = before
            .filter(|before| (before.meta.layout, before.meta.build) == (meta.layout, meta.build));
        let mut kept = Vec::new();
        if let Some(before) = related {
            for name in [file::COUNTERS, file::OWNERS] {
                kept.extend(before.folder.open(name)?.map(|map| (name, map)));
            }
        }
        let counts_on = related.filter(|_| kept.iter().any(|(name, _)| *name == file::COUNTERS));
        let counters = keep_counters(counts_on, wanted.texts, wanted.table.rules().len());
        let numbers: Vec<u8> = counters.iter().map(|counter| counter.number).collect();
        let table = encode(&Source {
            table: wanted.table,
            texts: wanted.texts,
            counters: &numbers,
            accepted: sticky(wanted.accepted, before),
            generation: related.map_or(1, |before| before.head().generation.get() + 1),
        })?;
        let fresh = counters.iter().filter(|counter| counter.fresh);
        Ok(Self {
            hooks: needed(flags(&table)),
            fresh: fresh.map(|counter| counter.number).collect(),
            table,
            meta,
            kept,
        })
    }

    fn reopened(&self) -> Result<Vec<(&'static str, OwnedFd)>> {
        let again = self
            .kept
            .iter()
            .map(|(name, map)| Ok((*name, map.try_clone()?)));
        again
            .collect::<std::io::Result<_>>()
            .map_err(|error| Error::of_hook(Operation::Reopen, NAME, error))
    }

    /// Whether the programs that are there can go on with the new table.
    fn fits(&self, before: &Standing) -> Result<bool> {
        if before.meta != self.meta || self.kept.len() < 2 {
            return Ok(false);
        }
        let seed = self.hooks.contains(&Hook::SockOps).then_some(file::SEED);
        for name in self.hooks.iter().copied().map(program_file).chain(seed) {
            if before.folder.open(name)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// While the table before is still in force.
    fn clear_counters(&self, counters: BorrowedFd<'_>) -> Result<()> {
        for counter in &self.fresh {
            sys::clear_each(counters, (*counter).into(), size_of::<Outcomes>())
                .map_err(|error| Error::of_hook(Operation::Write, NAME, error))?;
        }
        Ok(())
    }
}

/// Puts everything beside what is there, and then gives it the turn.
fn replace(
    pins: &Pins,
    turn: &mut Turn,
    cgroup: &Cgroup,
    wanted: &Wanted<'_>,
    new: &New,
) -> Result<()> {
    let number = pins.unused(turn.number)?;
    let folder = pins.installation(number);
    let choice = Choice {
        hooks: &new.hooks,
        questions: Questions::No,
        kept: new.reopened()?,
    };
    let object = Object::load(turn.map(), number, wanted.hz, &choice)?;
    folder.create()?;
    sys::write(object.file(file::META), new.meta.as_bytes())
        .map_err(|error| Error::of_hook(Operation::Write, NAME, error))?;
    new.clear_counters(object.file(file::COUNTERS))?;
    put_table(object.file(file::TABLES), &new.table)?;
    for (name, fd) in &object.files {
        folder.pin(name, fd.as_fd())?;
    }
    for hook in &new.hooks {
        let link = attach(object.file(program_file(*hook)), cgroup, *hook)?;
        folder.pin_link(*hook, link.as_fd())?;
    }
    if new.hooks.contains(&Hook::SockOps) {
        seed(object.file(file::SEED))?;
    }
    turn.give(number)
}

/// Attaches what the new table needs beside, puts it in the place of the old one, and detaches what is
/// not needed any more.
fn update(before: &Standing, cgroup: &Cgroup, new: &New) -> Result<()> {
    let folder = &before.folder;
    let open = |name: &str| -> Result<OwnedFd> {
        let opened = folder.open(name)?;
        opened.ok_or_else(|| Error::Foreign {
            path: folder.path.clone(),
        })
    };
    new.clear_counters(open(file::COUNTERS)?.as_fd())?;
    for hook in &new.hooks {
        if !before.is_attached(*hook)? {
            folder.remove_link(*hook)?;
            let link = attach(open(program_file(*hook))?.as_fd(), cgroup, *hook)?;
            folder.pin_link(*hook, link.as_fd())?;
        }
    }
    if new.hooks.contains(&Hook::SockOps) {
        seed(open(file::SEED)?.as_fd())?;
    }
    put_table(open(file::TABLES)?.as_fd(), &new.table)?;
    for hook in Hook::ALL {
        if !new.hooks.contains(&hook) {
            folder.remove_link(hook)?;
        }
    }
    Ok(())
}

/// Between the two ways of deciding over accepted connections there is only one way without a gap.
fn sticky(accepted: Accepted, before: Option<&Standing>) -> Accepted {
    match before {
        Some(before) if before.head().flags.get() & table_flag::EACH != 0 => Accepted::Each,
        _ => accepted,
    }
}

fn flags(table: &[u8]) -> u32 {
    Table::ref_from_bytes(table).map_or(0, |table| table.flags.get())
}

struct Counter {
    number: u8,
    fresh: bool,
}

/// A rule whose text stays keeps its counter; others get those that no rule has. There are twice as
/// many as rules.
fn keep_counters(before: Option<&Standing>, texts: &[String], rules: usize) -> Vec<Counter> {
    let mut old: Vec<(String, u8)> = before.map_or_else(Vec::new, |before| {
        let numbers = before.head().rule.iter().map(|rule| rule.counter);
        before.texts().into_iter().zip(numbers).collect()
    });
    let used: Vec<u8> = old.iter().map(|(_, number)| *number).collect();
    let mut free = (0..).filter(|number| !used.contains(number));
    (0..rules)
        .map(|rule| {
            let text = texts.get(rule);
            let same = old.iter().position(|(known, _)| Some(known) == text);
            let number = same.map(|at| old.remove(at).1);
            Counter {
                fresh: number.is_none(),
                number: number.or_else(|| free.next()).unwrap_or(0),
            }
        })
        .collect()
}

/// A whole new table in the place of the old one, in one step. Returns when no program uses the old
/// one any more.
pub(super) fn put_table(tables: BorrowedFd<'_>, table: &[u8]) -> Result<()> {
    let put = || {
        let map = sys::create_array(c"sockpulse_table", table.len())?;
        sys::write(map.as_fd(), table)?;
        sys::write_map(tables, map.as_fd())
    };
    put().map_err(|error| Error::of_hook(Operation::Write, NAME, error))
}

fn attach(program: BorrowedFd<'_>, cgroup: &Cgroup, hook: Hook) -> Result<OwnedFd> {
    sys::attach(program, cgroup.file.as_fd(), hook.kind())
        .map_err(|error| Error::of_hook(Operation::Attach, hook.name(), error))
}

/// Tells the programs whose the listeners are that were there before.
fn seed(program: BorrowedFd<'_>) -> Result<()> {
    let walk = || {
        let link = crate::sys::link_iterator(program, None)?;
        crate::sys::create_iterator(link.as_fd())
    };
    let file = walk().map_err(|error| Error::of_hook(Operation::Iterate, NAME, error))?;
    let mut reader = Reader::new(NAME, file, None);
    let mut buffer = vec![0; 4096];
    while reader.read(&mut buffer)? > 0 {}
    Ok(())
}
