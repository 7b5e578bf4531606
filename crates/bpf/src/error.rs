//! What can go wrong, as the operation and its object.

use std::io;
use std::path::PathBuf;

use crate::risk::KernelRisk;

/// The result of an operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why the kernel's sockets could not be read by BPF. Messages read after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refuses the caller (`EPERM`).
    #[error("{operation} {object}: not permitted; it needs CAP_BPF and CAP_PERFMON (or root)")]
    NotPermitted {
        /// What was tried.
        operation: Operation,
        /// On which program.
        object: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// There is no bpf(2) (`ENOSYS`): left out of the kernel, or filtered.
    #[error(
        "{operation} {object}: this kernel has no bpf(2); it needs CONFIG_BPF_SYSCALL \
         (or a container runtime that does not filter it)"
    )]
    NoBpf {
        /// What was tried.
        operation: Operation,
        /// On which program.
        object: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel does not describe its types, so the programs cannot be fitted to it.
    #[error(
        "load {object}: no type information at {}; the kernel needs CONFIG_DEBUG_INFO_BTF, \
         and /sys must be mounted", path.display()
    )]
    NoBtf {
        /// Which program.
        object: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The facility has a known fault in the running kernel.
    #[error(
        "load {object}: kernel {kernel} is affected by {} ({}); \
         accept it by name if your distribution has mended it", risk.id, risk.what
    )]
    KernelRisk {
        /// Which program.
        object: &'static str,
        /// The fault.
        risk: KernelRisk,
        /// The running kernel's version.
        kernel: String,
    },
    /// The program does not fit the kernel (`EINVAL`, `EACCES` and others): it lacks a function or a
    /// field that the program uses.
    /// libbpf's log says which (`tracing`, target `libbpf`).
    #[error("load {object}: this kernel does not accept it; it needs Linux 5.12 or later")]
    Rejected {
        /// Which program.
        object: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Any other refusal by libbpf or the kernel.
    #[error("{operation} {object}")]
    Bpf {
        /// What was tried.
        operation: Operation,
        /// On which program.
        object: &'static str,
        /// Its answer.
        source: io::Error,
    },
    /// The buffer does not hold a single record.
    #[error("read records of {needed} bytes into a buffer of {len}")]
    BufferTooSmall {
        /// The buffer's length.
        len: usize,
        /// The length of one record.
        needed: usize,
    },
    /// No risk goes by this name.
    #[error("accept the kernel risk {id:?}: the only one known is {}", crate::risk::TCP_ITERATOR.id)]
    UnknownRisk {
        /// The name given.
        id: String,
    },
}

/// What was tried when it went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Parsing the compiled object.
    Open,
    /// Loading the program into the kernel.
    Load,
    /// Making an iterator of the program.
    Attach,
    /// Starting a walk.
    Iterate,
    /// Reading records.
    Read,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Iterate => "start",
            Self::Read => "read from",
        })
    }
}

impl Error {
    /// Sorts the kernel's answer by what helps against it.
    pub(crate) fn of(operation: Operation, object: &'static str, source: io::Error) -> Self {
        const EPERM: i32 = 1;
        const ENOSYS: i32 = 38;
        match source.raw_os_error() {
            Some(EPERM) => Self::NotPermitted {
                operation,
                object,
                source,
            },
            Some(ENOSYS) => Self::NoBpf {
                operation,
                object,
                source,
            },
            Some(_) if operation == Operation::Load && !is_shortage(&source) => {
                Self::Rejected { object, source }
            }
            _ => Self::Bpf {
                operation,
                object,
                source,
            },
        }
    }
}

/// Out of memory or of descriptors.
fn is_shortage(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    error.kind() == io::ErrorKind::OutOfMemory
        || matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}
