//! The iterator over the descriptors of all processes.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::error::Result;
use crate::load::{self, Program, not_opened};
use crate::reader::Reader;
use crate::skeleton::task_file::TaskFileSkelBuilder;

const NAME: &str = "the task_file iterator";

/// The loaded `task_file` program: every TCP socket that a process holds, in all network namespaces,
/// with the process (`bpf_iter_reg` of kernel/bpf/task_iter.c).
///
/// Walks the processes of the caller's pid namespace. Sockets held by several descriptors come once
/// for each. Needs `CAP_BPF` and `CAP_PERFMON`; Linux 5.12.
#[derive(Debug)]
pub struct TaskFile {
    program: Program,
}

impl TaskFile {
    /// Loads the program.
    ///
    /// # Errors
    /// [`Error::NotPermitted`](crate::Error::NotPermitted), [`Error::NoBtf`](crate::Error::NoBtf),
    /// [`Error::NoBpf`](crate::Error::NoBpf), or [`Error::Bpf`](crate::Error::Bpf) where the kernel
    /// lacks something that the program uses.
    pub fn load() -> Result<Self> {
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = TaskFileSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        load::load(NAME, open.open_object_mut())?;
        let program = Program::keep(NAME, &open.progs.task_file)?;
        Ok(Self { program })
    }

    /// Starts a walk over all processes, or over one. A process that does not exist has no sockets.
    ///
    /// # Errors
    /// As for [`TaskFile::load`].
    pub fn open(&self, pid: Option<u32>) -> Result<Reader> {
        self.program.open(pid)
    }
}
