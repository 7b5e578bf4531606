//! Walks that write nothing: the floor that a reading is measured against.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{MapCore, MapFlags, MapHandle};
use zerocopy::FromBytes;

use crate::error::{Operation, Result};
use crate::load::{self, Program, failed};
use crate::risk::{self, RiskAccepted, TCP_ITERATOR};
use crate::skeleton::count::{CountSkelBuilder, OpenCountSkel};

const TASK_FILE: &str = "the counting task_file iterator";
const ITER_TCP: &str = "the counting tcp iterator";

/// A program that only counts the sockets it is shown.
#[derive(Debug)]
pub struct Counting {
    program: Program,
    /// The programs' variables: one counter.
    variables: MapHandle,
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
            .map_err(failed(Operation::Open, name))?;
        choose(&mut open);
        let loaded = open.load().map_err(failed(Operation::Load, name))?;
        let program = if name == TASK_FILE {
            &loaded.progs.count_task_file
        } else {
            &loaded.progs.count_iter_tcp
        };
        Ok(Self {
            program: Program::keep(name, program)?,
            variables: MapHandle::try_from(&loaded.maps.bss)
                .map_err(failed(Operation::Load, name))?,
        })
    }

    fn counted(&self) -> Result<u64> {
        let value = self
            .variables
            .lookup(&0u32.to_ne_bytes(), MapFlags::empty())
            .map_err(failed(Operation::Read, "a counter"))?
            .unwrap_or_default();
        Ok(u64::read_from_prefix(&value).map_or(0, |(count, _)| count))
    }
}
