//! What is in force, read back from the kernel.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Accepted;
use super::hook::Hook;
use super::layout::{self, LAYOUT, Meta, Outcomes, table_flag};
use super::object::file;
use super::pins::{Installation, Pins, at};
use super::{encode, sys};
use crate::error::{Error, Operation, Result};

/// `meta.magic`.
pub(super) const MAGIC: u32 = 0x7370_756c;

/// Rules in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Installed {
    /// The rules in order.
    pub rules: Vec<InstalledRule>,
    /// Who decides over accepted connections.
    pub accepted: Accepted,
    /// Which programs are attached.
    pub hooks: Vec<Hook>,
    /// Which programs ought to be attached and are not: somebody removed their files, or their cgroup
    /// is gone. [`install`](super::install) mends it.
    pub missing: Vec<Hook>,
    /// The id of the cgroup.
    pub cgroup: u64,
}

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InstalledRule {
    /// What its installer wrote about it.
    pub text: String,
    /// What it did since it has been in force.
    pub counts: Counts,
}

/// What a rule did: sockets for which a decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Something was set.
    pub set: u64,
    /// Everything was right already.
    pub right: u64,
    /// The kernel refused an option, or defaults would have ended healthy connections.
    pub refused: u64,
    /// Left out since both ends are in one namespace.
    pub local: u64,
    /// Calls of setsockopt(2) whose value was replaced.
    pub held: u64,
}

/// The table, programs and links of an installation of this build's layout.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) folder: Installation,
    pub(super) meta: Meta,
    pub(super) table: Vec<u8>,
}

pub(super) fn load(pins: &Path) -> Result<Option<Installed>> {
    let Some(pins) = Pins::existing(pins)? else {
        return Ok(None);
    };
    let turn = pins.turn()?.map(|turn| turn.number);
    let standing = match turn {
        Some(0) => return Ok(None),
        Some(number) => standing(pins.installation(number))?,
        None => None,
    };
    match standing {
        Some(standing) => describe(&standing).map(Some),
        // Programs whose links are left go on with the maps that they have open.
        None => match pins.attached()? {
            Some(path) => Err(Error::Torn { path }),
            None => Ok(None),
        },
    }
}

/// Reads an installation; `None` when what it needs is not all there.
pub(super) fn standing(folder: Installation) -> Result<Option<Standing>> {
    let (Some(meta), Some(tables)) = (folder.open(file::META)?, folder.open(file::TABLES)?) else {
        return Ok(None);
    };
    let foreign = || Error::Foreign {
        path: folder.path.clone(),
    };
    let meta = read_meta(meta.as_fd()).ok_or_else(foreign)?;
    if meta.magic.get() != MAGIC || meta.layout.get() != LAYOUT {
        return Err(foreign());
    }
    let path = folder.path.join(file::TABLES);
    let inner = match sys::read_map(tables.as_fd()) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        inner => inner.map_err(at(Operation::Read, &path))?,
    };
    let mut table = vec![0; size_of::<layout::Table>()];
    sys::read(inner.as_fd(), &mut table).map_err(at(Operation::Read, &path))?;
    Ok(Some(Standing {
        folder,
        meta,
        table,
    }))
}

fn read_meta(map: BorrowedFd<'_>) -> Option<Meta> {
    let mut meta = Meta::new_zeroed();
    sys::read(map, meta.as_mut_bytes()).ok()?;
    Some(meta)
}

impl Standing {
    pub(super) fn head(&self) -> &layout::Table {
        layout::Table::ref_from_bytes(&self.table).expect("it was read into a vector of this size")
    }

    pub(super) fn texts(&self) -> Vec<String> {
        encode::texts(&self.table).unwrap_or_default()
    }

    /// The hooks that its table needs.
    pub(super) fn needed(&self) -> Vec<Hook> {
        needed(self.head().flags.get())
    }

    /// Whether a hook's link is there and has its cgroup.
    pub(super) fn is_attached(&self, hook: Hook) -> Result<bool> {
        let Some(link) = self.folder.link(hook)? else {
            return Ok(false);
        };
        sys::is_attached(link.as_fd(), self.meta.cgroup.get())
            .map_err(at(Operation::Read, &self.folder.path))
    }
}

/// The hooks of a table with these flags.
pub(super) fn needed(flags: u32) -> Vec<Hook> {
    let mut hooks = Vec::new();
    if flags & table_flag::HOLD != 0 {
        hooks.push(Hook::SetSockOpt);
    }
    if flags & table_flag::EACH != 0 {
        hooks.push(Hook::SockOps);
    } else {
        hooks.extend([Hook::Bind4, Hook::Bind6, Hook::Connect4, Hook::Connect6]);
    }
    hooks
}

pub(super) fn describe(standing: &Standing) -> Result<Installed> {
    let (mut hooks, mut missing) = (Vec::new(), Vec::new());
    for hook in standing.needed() {
        if standing.is_attached(hook)? {
            hooks.push(hook);
        } else {
            missing.push(hook);
        }
    }
    let head = standing.head();
    let counters = standing.folder.open(file::COUNTERS)?;
    let mut texts = standing.texts().into_iter();
    let mut rules = Vec::new();
    let count = usize::try_from(head.rules.get()).unwrap_or(0);
    for rule in head.rule.iter().take(count) {
        let counts = match &counters {
            Some(counters) => counts(counters.as_fd(), rule.counter)
                .map_err(at(Operation::Read, &standing.folder.path))?,
            None => Counts::default(),
        };
        rules.push(InstalledRule {
            text: texts.next().unwrap_or_default(),
            counts,
        });
    }
    Ok(Installed {
        rules,
        accepted: if head.flags.get() & table_flag::EACH == 0 {
            Accepted::Inherit
        } else {
            Accepted::Each
        },
        hooks,
        missing,
        cgroup: standing.meta.cgroup.get(),
    })
}

/// The sum over all processors.
fn counts(counters: BorrowedFd<'_>, counter: u8) -> std::io::Result<Counts> {
    let values = sys::read_each(counters, counter.into(), size_of::<Outcomes>())?;
    let mut sum = Counts::default();
    for value in values.chunks_exact(size_of::<Outcomes>()) {
        let Ok(value) = Outcomes::ref_from_bytes(value) else {
            continue;
        };
        sum.right += value.right.get();
        sum.set += value.set.get();
        sum.refused += value.refused.get();
        sum.local += value.local.get();
        sum.held += value.held.get();
    }
    Ok(sum)
}
