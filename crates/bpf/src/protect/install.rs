//! Putting rules into force, replacing and ending them.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use zerocopy::{FromBytes, IntoBytes};

use super::encode::{Source, encode};
use super::hook::Hook;
use super::installed::{Installed, MAGIC, Standing, describe, needed, standing};
use super::layout::{LAYOUT, Meta, Outcomes, RULES, Table, table_flag};
use super::object::{NAME, Object, file, program_file};
use super::pins::{Pins, Turn, at};
use super::{Accepted, Removed, Wanted, sys};
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
    match standing_here(&pins, &turn, &cgroup)? {
        Some(standing) => update(&standing, &cgroup, wanted)?,
        None => replace(&pins, &mut turn, &cgroup, wanted)?,
    }
    pins.remove_others(turn.number)?;
    let standing = standing(pins.installation(turn.number))?;
    let standing = standing.ok_or_else(|| Error::NoBpffs { path: path.into() })?;
    describe(&standing)
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

/// What is in force, if this build can go on with it.
fn standing_here(pins: &Pins, turn: &Turn, cgroup: &Cgroup) -> Result<Option<Standing>> {
    if turn.number == 0 {
        return Ok(None);
    }
    let standing = match standing(pins.installation(turn.number)) {
        Ok(Some(standing)) => standing,
        Ok(None) | Err(Error::Foreign { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    if standing.meta != meta(cgroup) {
        return Ok(None);
    }
    for name in [file::COUNTERS, file::OWNERS, file::SEED] {
        if standing.folder.open(name)?.is_none() {
            return Ok(None);
        }
    }
    for hook in Hook::ALL {
        if standing.folder.open(program_file(hook))?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(standing))
}

fn meta(cgroup: &Cgroup) -> Meta {
    Meta {
        magic: MAGIC.into(),
        layout: LAYOUT.into(),
        build: build().into(),
        cgroup: cgroup.id.into(),
    }
}

/// Puts everything beside what is there, and then gives it the turn.
fn replace(pins: &Pins, turn: &mut Turn, cgroup: &Cgroup, wanted: &Wanted<'_>) -> Result<()> {
    let before = previous(pins, turn);
    let number = pins.unused(turn.number)?;
    let folder = pins.installation(number);
    let object = Object::load(turn.map(), number, wanted.hz)?;
    let counters: Vec<u8> = (0..).take(wanted.table.rules().len()).collect();
    let table = encode(&Source {
        table: wanted.table,
        texts: wanted.texts,
        counters: &counters,
        accepted: sticky(wanted.accepted, before.as_ref()),
        generation: 1,
    })?;
    folder.create()?;
    let write = |name, error| Error::of_hook(Operation::Write, name, error);
    sys::write(object.file(file::META), meta(cgroup).as_bytes())
        .map_err(|error| write(NAME, error))?;
    put_table(object.file(file::TABLES), &table)?;
    for (name, fd) in &object.files {
        folder.pin(name, fd.as_fd())?;
    }
    for hook in needed(flags(&table)) {
        let link = attach(object.file(program_file(hook)), cgroup, hook)?;
        folder.pin_link(hook, link.as_fd())?;
    }
    if flags(&table) & table_flag::EACH != 0 {
        seed(object.file(file::SEED))?;
    }
    turn.give(number)
}

/// Attaches what the new table needs beside, puts it in the place of the old one, and detaches what is
/// not needed any more.
fn update(standing: &Standing, cgroup: &Cgroup, wanted: &Wanted<'_>) -> Result<()> {
    let folder = &standing.folder;
    let open = |name: &str| -> Result<OwnedFd> {
        let opened = folder.open(name)?;
        opened.ok_or_else(|| Error::Foreign {
            path: folder.path.clone(),
        })
    };
    let counters = open(file::COUNTERS)?;
    let kept = keep_counters(standing, wanted.texts);
    for fresh in kept.iter().filter(|kept| kept.fresh) {
        sys::clear_each(
            counters.as_fd(),
            fresh.counter.into(),
            size_of::<Outcomes>(),
        )
        .map_err(at(Operation::Write, &folder.path))?;
    }
    let numbers: Vec<u8> = kept.iter().map(|kept| kept.counter).collect();
    let table = encode(&Source {
        table: wanted.table,
        texts: wanted.texts,
        counters: &numbers,
        accepted: sticky(wanted.accepted, Some(standing)),
        generation: standing.head().generation.get() + 1,
    })?;
    let hooks = needed(flags(&table));
    for hook in &hooks {
        if !standing.is_attached(*hook)? {
            folder.remove_link(*hook)?;
            let link = attach(open(program_file(*hook))?.as_fd(), cgroup, *hook)?;
            folder.pin_link(*hook, link.as_fd())?;
        }
    }
    if flags(&table) & table_flag::EACH != 0 {
        seed(open(file::SEED)?.as_fd())?;
    }
    put_table(open(file::TABLES)?.as_fd(), &table)?;
    for hook in Hook::ALL {
        if !hooks.contains(&hook) {
            folder.remove_link(hook)?;
        }
    }
    Ok(())
}

/// What was in force under another build, as far as this one understands it.
fn previous(pins: &Pins, turn: &Turn) -> Option<Standing> {
    standing(pins.installation(turn.number)).ok().flatten()
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

struct Kept {
    counter: u8,
    fresh: bool,
}

/// A rule whose text stays keeps its counter; others get those that no rule has.
fn keep_counters(standing: &Standing, texts: &[String]) -> Vec<Kept> {
    let mut old: Vec<(String, u8)> = standing
        .texts()
        .into_iter()
        .zip(standing.head().rule.iter().map(|rule| rule.counter))
        .collect();
    let used: Vec<u8> = old.iter().map(|(_, counter)| *counter).collect();
    let limit = u8::try_from(2 * RULES).unwrap_or(u8::MAX);
    let mut free = (0..limit).filter(|counter| !used.contains(counter));
    texts
        .iter()
        .map(|text| {
            let same = old.iter().position(|(known, _)| known == text);
            match same.map(|at| old.remove(at)) {
                Some((_, counter)) => Kept {
                    counter,
                    fresh: false,
                },
                None => Kept {
                    counter: free.next().unwrap_or(0),
                    fresh: true,
                },
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
