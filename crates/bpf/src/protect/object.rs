//! Loading the programs and their maps.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use sockpulse_core::Hz;

use super::hook::Hook;
use crate::error::{Error, Operation, Result};
use crate::load::{self, not_opened};
use crate::skeleton::protect::ProtectSkelBuilder;
use crate::sys;

pub(super) const NAME: &str = "the programs that set connections";

/// Programs and maps, by the names of their files.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) files: Vec<(&'static str, OwnedFd)>,
}

/// File names.
pub(super) mod file {
    pub(crate) const META: &str = "meta";
    pub(crate) const TABLES: &str = "tables";
    pub(crate) const COUNTERS: &str = "counters";
    pub(crate) const OWNERS: &str = "owners";
    pub(crate) const NAMES: &str = "names";
    pub(crate) const PLACES: &str = "places";
    pub(crate) const WORKS: &str = "works";
    pub(crate) const SEED: &str = "seed";
    pub(crate) const MATCH: &str = "match_once";
    pub(crate) const PLAN: &str = "plan_once";
}

/// The name of a hook's program's file.
pub(super) fn program_file(hook: Hook) -> &'static str {
    match hook {
        Hook::Connect4 => "on_connect4",
        Hook::Connect6 => "on_connect6",
        Hook::Bind4 => "on_bind4",
        Hook::Bind6 => "on_bind6",
        Hook::SetSockOpt => "on_setsockopt",
        Hook::SockOps => "on_sockops",
    }
}

impl Object {
    /// Loads everything. Whose turn it is stands in `turn`.
    pub(super) fn load(turn: BorrowedFd<'_>, installation: u64, hz: Hz) -> Result<Self> {
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = ProtectSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        let constants = open
            .maps
            .rodata_data
            .as_deref_mut()
            .expect("the programs have constants");
        constants.hz = hz.get();
        constants.installation = installation;
        open.maps.turn.reuse_fd(turn).map_err(not_opened(NAME))?;
        sys::load(open.open_object_mut())
            .map_err(|error| Error::of_hook(Operation::Load, NAME, error))?;

        let progs = &open.progs;
        let maps = &open.maps;
        let files = [
            (file::META, sys::map(&maps.meta)),
            (file::TABLES, sys::map(&maps.tables)),
            (file::COUNTERS, sys::map(&maps.counters)),
            (file::OWNERS, sys::map(&maps.owners)),
            (file::NAMES, sys::map(&maps.names)),
            (file::PLACES, sys::map(&maps.places)),
            (file::WORKS, sys::map(&maps.works)),
            (file::SEED, sys::program(&progs.seed)),
            (file::MATCH, sys::program(&progs.match_once)),
            (file::PLAN, sys::program(&progs.plan_once)),
            (
                program_file(Hook::Connect4),
                sys::program(&progs.on_connect4),
            ),
            (
                program_file(Hook::Connect6),
                sys::program(&progs.on_connect6),
            ),
            (program_file(Hook::Bind4), sys::program(&progs.on_bind4)),
            (program_file(Hook::Bind6), sys::program(&progs.on_bind6)),
            (
                program_file(Hook::SetSockOpt),
                sys::program(&progs.on_setsockopt),
            ),
            (program_file(Hook::SockOps), sys::program(&progs.on_sockops)),
        ];
        let files = files
            .into_iter()
            .map(|(name, fd)| Ok((name, fd?)))
            .collect::<std::io::Result<_>>()
            .map_err(|error| Error::of_hook(Operation::Load, NAME, error))?;
        Ok(Self { files })
    }

    /// One of them.
    pub(super) fn file(&self, name: &str) -> BorrowedFd<'_> {
        let file = self.files.iter().find(|(known, _)| *known == name);
        file.expect("every file that is asked for is in the list")
            .1
            .as_fd()
    }
}
