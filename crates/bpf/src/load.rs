//! Loading: what is checked before, where libbpf's messages go, what its errors mean.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use libbpf_rs::{OpenObject, OpenProgram, PrintLevel};

use crate::error::{Error, Operation, Result};
use crate::reader::Reader;
use crate::sys;

/// Where the kernel describes its types.
pub(crate) const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A loaded program; the object that it came from is not needed any more.
#[derive(Debug)]
pub(crate) struct Program {
    name: &'static str,
    fd: OwnedFd,
}

impl Program {
    /// Keeps a loaded program beyond its object's life.
    pub(crate) fn keep(name: &'static str, program: &OpenProgram<'_>) -> Result<Self> {
        let fd = sys::program(program).map_err(|error| Error::of(Operation::Load, name, error))?;
        Ok(Self { name, fd })
    }

    /// Starts a walk that writes records.
    pub(crate) fn open(&self, pid: Option<u32>) -> Result<Reader> {
        const E2BIG: i32 = 7;
        let (link, only) = match sys::link_iterator(self.fd.as_fd(), pid) {
            // Before Linux 6.1 the kernel cannot choose a process: the reader does.
            Err(error) if pid.is_some() && error.raw_os_error() == Some(E2BIG) => {
                (sys::link_iterator(self.fd.as_fd(), None), pid)
            }
            link => (link, None),
        };
        Ok(Reader::new(self.name, self.created(link)?, only))
    }

    /// Starts a walk over everything.
    pub(crate) fn iterate(&self) -> Result<File> {
        self.created(sys::link_iterator(self.fd.as_fd(), None))
    }

    fn created(&self, link: io::Result<OwnedFd>) -> Result<File> {
        let link = link.map_err(|error| Error::of(Operation::Attach, self.name, error))?;
        sys::create_iterator(link.as_fd())
            .map_err(|error| Error::of(Operation::Iterate, self.name, error))
    }
}

/// Loads an open object's programs into the kernel.
pub(crate) fn load(name: &'static str, object: &mut OpenObject) -> Result<()> {
    sys::load(object).map_err(|error| Error::of(Operation::Load, name, error))
}

/// To be called before anything else of libbpf: sends its messages to `tracing` and makes sure that
/// the kernel has type information, without which libbpf's answer would be a riddle.
pub(crate) fn prepare(name: &'static str) -> Result<()> {
    libbpf_rs::set_print(Some((verbosity(), trace)));
    let path = Path::new(BTF);
    match path.try_exists() {
        Ok(true) => Ok(()),
        _ => Err(Error::NoBtf {
            object: name,
            path: path.into(),
        }),
    }
}

/// Turns libbpf-rs's refusal to open an object into ours.
pub(crate) fn not_opened(name: &'static str) -> impl FnOnce(libbpf_rs::Error) -> Error {
    move |error| Error::of(Operation::Open, name, io::Error::other(error))
}

/// What nobody listens to is not even put into words: libbpf has a message for each field fitted.
fn verbosity() -> PrintLevel {
    if tracing::enabled!(target: "libbpf", tracing::Level::TRACE) {
        PrintLevel::Debug
    } else if tracing::enabled!(target: "libbpf", tracing::Level::DEBUG) {
        PrintLevel::Info
    } else {
        PrintLevel::Warn
    }
}

/// libbpf warns about every refusal, which the error tells too: nothing of it is news to the user.
fn trace(level: PrintLevel, message: String) {
    let message = message.trim_end();
    match level {
        PrintLevel::Warn => tracing::info!(target: "libbpf", "{message}"),
        PrintLevel::Info => tracing::debug!(target: "libbpf", "{message}"),
        PrintLevel::Debug => tracing::trace!(target: "libbpf", "{message}"),
    }
}
