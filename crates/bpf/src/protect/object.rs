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

/// What is to be loaded.
#[derive(Debug)]
pub(super) struct Choice<'a> {
    /// The programs of these hooks. The verifier takes some 50 ms for each.
    pub(super) hooks: &'a [Hook],
    /// Whether to answer questions of [`Answers`](super::Answers).
    pub(super) questions: Questions,
    /// Maps of another installation that go on in this one.
    pub(super) kept: Vec<(&'static str, OwnedFd)>,
}

/// Whether the programs are loaded that only answer questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Questions {
    No,
    Yes,
}

impl Object {
    /// Loads what is needed. Whose turn it is stands in `turn`.
    pub(super) fn load(
        turn: BorrowedFd<'_>,
        installation: u64,
        hz: Hz,
        choice: &Choice<'_>,
    ) -> Result<Self> {
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

        let maps = &mut open.maps;
        maps.turn.reuse_fd(turn).map_err(not_opened(NAME))?;
        for (name, map) in &choice.kept {
            let to = match *name {
                file::COUNTERS => &mut maps.counters,
                _ => &mut maps.owners,
            };
            to.reuse_fd(map.as_fd()).map_err(not_opened(NAME))?;
        }
        for mut program in open.open_object_mut().progs_mut() {
            let wanted = program.name().to_str().is_some_and(|name| choice.has(name));
            program.set_autoload(wanted);
        }
        sys::load(open.open_object_mut())
            .map_err(|error| Error::of_hook(Operation::Load, NAME, error))?;

        let maps = &open.maps;
        let mut files = vec![
            (file::META, sys::map(&maps.meta)),
            (file::TABLES, sys::map(&maps.tables)),
            (file::COUNTERS, sys::map(&maps.counters)),
            (file::OWNERS, sys::map(&maps.owners)),
            (file::NAMES, sys::map(&maps.names)),
            (file::PLACES, sys::map(&maps.places)),
            (file::WORKS, sys::map(&maps.works)),
        ];
        let progs = &open.progs;
        let programs = [
            (file::SEED, &progs.seed),
            (file::MATCH, &progs.match_once),
            (file::PLAN, &progs.plan_once),
            (program_file(Hook::Connect4), &progs.on_connect4),
            (program_file(Hook::Connect6), &progs.on_connect6),
            (program_file(Hook::Bind4), &progs.on_bind4),
            (program_file(Hook::Bind6), &progs.on_bind6),
            (program_file(Hook::SetSockOpt), &progs.on_setsockopt),
            (program_file(Hook::SockOps), &progs.on_sockops),
        ];
        let programs = programs.into_iter().filter(|(name, _)| choice.has(name));
        files.extend(programs.map(|(name, program)| (name, sys::program(program))));
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

impl Choice<'_> {
    fn has(&self, program: &str) -> bool {
        self.hooks.iter().any(|hook| program_file(*hook) == program)
            || (program == file::SEED && self.hooks.contains(&Hook::SockOps))
            || (self.questions == Questions::Yes && [file::MATCH, file::PLAN].contains(&program))
    }
}
