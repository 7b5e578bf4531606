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
    /// The kernel refuses the caller programs that set options (`EPERM`).
    #[error(
        "{operation} {object}: not permitted; it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN \
         (or root), and no program in the way that allows no other beside it"
    )]
    HooksNotPermitted {
        /// What was tried.
        operation: Operation,
        /// On which program.
        object: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refuses the caller programs that look up sockets (`EPERM`).
    #[error(
        "{operation} {object}: not permitted; it needs CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN \
         (or root)"
    )]
    LookupNotPermitted {
        /// What was tried.
        operation: Operation,
        /// On which program.
        object: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
    /// Programs that are to outlive the command are kept by a bpffs, and there is none.
    #[error("pin the programs at {}: no bpffs is mounted there", path.display())]
    NoBpffs {
        /// Where they were to be kept.
        path: PathBuf,
    },
    /// What is pinned is not as it was left, or cannot be changed.
    #[error("{operation} {}", path.display())]
    Pin {
        /// What was tried.
        operation: Operation,
        /// On which file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// What is pinned was left by another build, which tells of its rules in another way.
    #[error("read the rules pinned at {}: another version of sockpulse left them", path.display())]
    Foreign {
        /// Where.
        path: PathBuf,
    },
    /// Part of what is pinned was taken away; programs may act by it all the same.
    #[error("read the rules pinned at {}: part of them was taken away", path.display())]
    Torn {
        /// Where.
        path: PathBuf,
    },
    /// A pattern does not fit into the table.
    #[error("hold {pattern:?} in the kernel's table: it is longer than {limit} bytes")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The most.
        limit: usize,
    },
    /// The rules' texts do not fit into the table.
    #[error(
        "hold the texts of the rules in the kernel's table: {len} bytes, and {limit} is the most"
    )]
    Texts {
        /// How long they are.
        len: usize,
        /// The most.
        limit: usize,
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
    /// Making a map.
    Create,
    /// Writing to a map.
    Write,
    /// Making a file that keeps a program, a map or a link.
    Pin,
    /// Opening such a file.
    Reopen,
    /// Removing such a file.
    Remove,
    /// Running a program by itself.
    Run,
    /// Keeping others from changing what is pinned.
    Lock,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Load => "load",
            Self::Attach => "attach",
            Self::Iterate => "start",
            Self::Read => "read from",
            Self::Create => "create",
            Self::Write => "write to",
            Self::Pin => "pin",
            Self::Reopen => "open",
            Self::Remove => "remove",
            Self::Run => "run",
            Self::Lock => "lock",
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

impl Error {
    /// The same for programs on a cgroup, which need a capability more.
    pub(crate) fn of_hook(operation: Operation, object: &'static str, source: io::Error) -> Self {
        match Self::of(operation, object, source) {
            Self::NotPermitted {
                operation,
                object,
                source,
            } => Self::HooksNotPermitted {
                operation,
                object,
                source,
            },
            error => error,
        }
    }
}

impl Error {
    /// The same for programs that look up sockets, which need a capability more.
    pub(crate) fn of_lookup(operation: Operation, object: &'static str, source: io::Error) -> Self {
        match Self::of(operation, object, source) {
            Self::NotPermitted {
                operation,
                object,
                source,
            } => Self::LookupNotPermitted {
                operation,
                object,
                source,
            },
            error => error,
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
