//! Walks that write nothing: the floor that a reading is measured against.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::error::{Error, Operation, Result};
use crate::load::{self, Program, not_opened};
use crate::risk::{self, RiskAccepted, TCP_ITERATOR};
use crate::skeleton::count::{CountSkelBuilder, OpenCountSkel};
use crate::sys;

const TASK_FILE: &str = "the counting task_file iterator";
const ITER_TCP: &str = "the counting tcp iterator";

/// A program that only counts the sockets it is shown.
#[derive(Debug)]
pub struct Counting {
    name: &'static str,
    program: Program,
    /// The programs' variables: one counter.
    variables: OwnedFd,
}

impl Counting {
    /// Counts as [`TaskFile`](crate::TaskFile) walks.
    ///
    /// # Errors
    /// As for [`TaskFile::load`](crate::TaskFile::load).
    pub fn task_file() -> Result<Self> {
        Self::load(TASK_FILE, |open| {
            open.progs.count_iter_tcp.set_autoload(false);
        })
    }

    /// Counts as [`IterTcp`](crate::IterTcp) walks, in the calling thread's network namespace.
    ///
    /// # Errors
    /// As for [`IterTcp::load`](crate::IterTcp::load).
    pub fn iter_tcp(accepted: RiskAccepted) -> Result<Self> {
        risk::check(ITER_TCP, TCP_ITERATOR, accepted)?;
        Self::load(ITER_TCP, |open| {
            open.progs.count_task_file.set_autoload(false);
        })
    }

    /// Walks once and returns how many sockets were seen. Walks of the same program at the same time
    /// disturb each other's count.
    ///
    /// # Errors
    /// As for loading.
    pub fn run(&self) -> Result<u64> {
        let before = self.counted()?;
        let mut reader = self.program.open(None)?;
        let mut buffer = [0; size_of::<crate::Record>()];
        while reader.read(&mut buffer)? > 0 {}
        Ok(self.counted()?.wrapping_sub(before))
    }

    fn load(name: &'static str, choose: impl FnOnce(&mut OpenCountSkel<'_>)) -> Result<Self> {
        load::prepare(name)?;
        let mut object = MaybeUninit::uninit();
        let mut open = CountSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(name))?;
        choose(&mut open);
        load::load(name, open.open_object_mut())?;
        let program = if open.progs.count_task_file.autoload() {
            &open.progs.count_task_file
        } else {
            &open.progs.count_iter_tcp
        };
        Ok(Self {
            name,
            program: Program::keep(name, program)?,
            variables: sys::map(&open.maps.bss)
                .map_err(|error| Error::of(Operation::Load, name, error))?,
        })
    }

    fn counted(&self) -> Result<u64> {
        sys::counter(self.variables.as_fd())
            .map_err(|error| Error::of(Operation::Read, self.name, error))
    }
}
