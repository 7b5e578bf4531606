//! Loading the programs and attaching them.

use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::OpenProgram;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::{Kinds, Wanted};
use crate::error::{Error, Operation, Result};
use crate::load::{self, Program, not_opened};
use crate::protect;
use crate::skeleton::watch::{OpenWatchSkel, WatchSkelBuilder};
use crate::sys;

pub(super) const NAME: &str = "the programs that watch connections";

/// How many bytes of events wait for the reader at most: 16,000 of them.
const ROOM: u32 = 4 << 20;

/// The programs at work. Dropping them detaches them.
#[derive(Debug)]
pub(super) struct Programs {
    pub(super) ring: OwnedFd,
    lost: OwnedFd,
    programs: Vec<OwnedFd>,
    /// Detach when they are closed.
    _links: Vec<OwnedFd>,
}

impl Programs {
    /// What was there before is known when it returns, and nothing that happens meanwhile is missed.
    pub(super) fn attach(wanted: &Wanted<'_>) -> Result<Self> {
        let failed = |operation| move |error| failed(wanted.kinds, operation, error);
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = WatchSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        set_up(&mut open, wanted)?;
        sys::load(open.open_object_mut()).map_err(failed(Operation::Load))?;
        if let Some(table) = wanted.among {
            let among = sys::map(&open.maps.among).map_err(failed(Operation::Load))?;
            protect::sys::write(among.as_fd(), &protect::to_match(table)?)
                .map_err(failed(Operation::Write))?;
        }

        let mut links = Vec::new();
        let mut programs = Vec::new();
        let progs = &open.progs;
        for program in [&progs.on_state, &progs.on_reset, &progs.on_timer] {
            if program.autoload() {
                let program = sys::program(program).map_err(failed(Operation::Load))?;
                let link = sys::link_tracepoint(program.as_fd());
                links.push(link.map_err(failed(Operation::Attach))?);
                programs.push(program);
            }
        }
        if let Some(cgroup) = cgroup(wanted) {
            links.push(attach_to(cgroup, &progs.on_setsockopt)?);
        }
        learn(&progs.learn)?;
        Ok(Self {
            ring: sys::map(&open.maps.ring).map_err(failed(Operation::Load))?,
            lost: sys::map(&open.maps.lost).map_err(failed(Operation::Load))?,
            programs,
            _links: links,
        })
    }

    /// Events for which there was no room.
    pub(super) fn lost(&self) -> Result<u64> {
        let mut lost = [0; 8];
        protect::sys::read(self.lost.as_fd(), &mut lost)
            .map_err(|error| Error::of(Operation::Read, NAME, error))?;
        Ok(u64::from_ne_bytes(lost))
    }

    /// How often a program was not run since it was running already.
    pub(super) fn skipped(&self) -> Result<u64> {
        let misses = self.programs.iter().map(|program| {
            sys::misses(program.as_fd()).map_err(|error| Error::of(Operation::Read, NAME, error))
        });
        misses.sum()
    }
}

/// Loads the programs and drops them again.
pub(super) fn try_loading(kinds: Kinds, hz: sockpulse_core::Hz) -> Result<()> {
    load::prepare(NAME)?;
    let mut object = MaybeUninit::uninit();
    let mut open = WatchSkelBuilder::default()
        .open(&mut object)
        .map_err(not_opened(NAME))?;
    let wanted = Wanted {
        kinds,
        among: None,
        cgroup: None,
        hz,
    };
    set_up(&mut open, &wanted)?;
    sys::load(open.open_object_mut()).map_err(|error| failed(kinds, Operation::Load, error))
}

fn set_up(open: &mut OpenWatchSkel<'_>, wanted: &Wanted<'_>) -> Result<()> {
    let constants = open.maps.rodata_data.as_deref_mut();
    let constants = constants.expect("the programs have constants");
    constants.hz = wanted.hz.get();
    constants.kinds = wanted.kinds.0;
    constants.only_some = wanted.among.is_some().into();
    open.maps
        .ring
        .set_max_entries(ROOM)
        .map_err(not_opened(NAME))?;
    let kinds = wanted.kinds;
    let ticks = Kinds::PROBING.with(Kinds::RECOVERED);
    let progs = &mut open.progs;
    progs.on_reset.set_autoload(kinds.has(Kinds::DIED));
    progs.on_timer.set_autoload(kinds.has(ticks));
    progs.on_setsockopt.set_autoload(kinds.has(Kinds::CHANGED));
    Ok(())
}

fn cgroup<'a>(wanted: &Wanted<'a>) -> Option<&'a std::path::Path> {
    wanted.cgroup.filter(|_| wanted.kinds.has(Kinds::CHANGED))
}

fn attach_to(cgroup: &std::path::Path, program: &OpenProgram<'_>) -> Result<OwnedFd> {
    let folder = File::open(cgroup).map_err(|source| Error::Pin {
        operation: Operation::Reopen,
        path: cgroup.into(),
        source,
    })?;
    let attach = || {
        let program = sys::program(program)?;
        protect::sys::attach(
            program.as_fd(),
            folder.as_fd(),
            protect::Hook::SetSockOpt.kind(),
        )
    };
    attach().map_err(|error| Error::of_hook(Operation::Attach, NAME, error))
}

/// Tells the programs whose the listeners are that are there, and by what to know a keepalive timer:
/// a socket has one as soon as it is made.
fn learn(program: &OpenProgram<'_>) -> Result<()> {
    let failed = |error| Error::of(Operation::Iterate, NAME, error);
    let _socket = rustix::net::socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(|error| failed(error.into()))?;
    let mut walk = Program::keep(NAME, program)?.iterate()?;
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut walk, &mut answer).map_err(failed)?;
    if answer.iter().all(|byte| *byte == 0) {
        return Err(failed(std::io::ErrorKind::NotFound.into()));
    }
    Ok(())
}

/// The program on a cgroup needs a capability more.
fn failed(kinds: Kinds, operation: Operation, error: std::io::Error) -> Error {
    if kinds.has(Kinds::CHANGED) {
        Error::of_hook(operation, NAME, error)
    } else {
        Error::of(operation, NAME, error)
    }
}
