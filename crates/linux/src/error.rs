//! What can fail while a machine is read or set.

use rustix::io::Errno;

/// What was being done when a system call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// open(2), openat(2), open_by_handle_at(2).
    Open,
    /// read(2), getdents64(2), readlinkat(2), fstat(2).
    Read,
    /// write(2).
    Write,
    /// openat(2) with `O_CREAT`.
    Create,
    /// fchmod(2), fchown(2).
    SetMode,
    /// fsync(2).
    Sync,
    /// renameat(2).
    Replace,
    /// unlinkat(2).
    Remove,
    /// socket(2), connect(2).
    OpenSocket,
    /// getsockopt(2).
    ReadOption,
    /// setsockopt(2).
    SetOption,
    /// send(2) on a netlink socket, sendmsg(2) on a raw one.
    Send,
    /// recv(2) on a netlink socket.
    Receive,
    /// setns(2).
    EnterNamespace,
    /// clone(2) of a thread.
    StartThread,
    /// clone(2) of a process, pipe(2).
    Start,
}

impl Operation {
    const fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Create => "create",
            Self::SetMode => "set the mode of",
            Self::Sync => "sync",
            Self::Replace => "replace",
            Self::Remove => "remove",
            Self::OpenSocket => "open",
            Self::ReadOption => "read option",
            Self::SetOption => "set option",
            Self::Send => "send",
            Self::Receive => "receive",
            Self::EnterNamespace => "enter",
            Self::StartThread => "start a thread for",
            Self::Start => "start",
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.verb())
    }
}

/// An error of this crate. Messages read after "failed to"; the system's own words are the source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call failed.
    #[error("{operation} {object}")]
    System {
        /// What was being done.
        operation: Operation,
        /// To what: a path, a kind of socket, a namespace. Paths may hold any character.
        object: String,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// The kernel answered a netlink request with an error.
    #[error("{request}")]
    Refused {
        /// What was asked.
        request: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A netlink datagram was longer than the buffer, which the kernel promises not to do.
    #[error("{request}: a datagram of {length} bytes does not fit into {buffer}")]
    Truncated {
        /// What was asked.
        request: &'static str,
        /// The datagram's length.
        length: usize,
        /// The buffer's length.
        buffer: usize,
    },
    /// Bytes from the kernel are not what its interface promises.
    #[error("understand {object}")]
    Malformed {
        /// What was being read.
        object: String,
    },
    /// Several network namespaces go by the word.
    #[error("tell which network namespace {name} is: {}", among.join(", "))]
    AmbiguousNamespace {
        /// As it was written.
        name: String,
        /// What they are called. Their names may hold any character.
        among: Vec<String>,
    },
    /// There is no such network namespace.
    #[error("find the network namespace {name}")]
    NoSuchNamespace {
        /// As the user wrote it.
        name: String,
    },
    /// There is no such process.
    #[error("find process {pid}")]
    NoSuchProcess {
        /// Its id.
        pid: u32,
    },
    /// A file is there, but it is not a namespace (an unfinished `ip netns add` leaves such a file).
    #[error("use {path} as a network namespace")]
    NotANamespace {
        /// The file.
        path: String,
    },
    /// A value that was written is not what is read afterwards.
    #[error("keep {wanted} in {object}, which now reads {found}")]
    NotKept {
        /// The file.
        object: String,
        /// What was written.
        wanted: i64,
        /// What was read.
        found: i64,
    },
    /// There is something at the path that must not be replaced.
    #[error("replace {path}: it is {kind}")]
    NotAFile {
        /// The path. Paths may hold any character.
        path: String,
        /// What it is, with its article.
        kind: &'static str,
    },
}

impl Error {
    pub(crate) fn system(operation: Operation, object: impl Into<String>, errno: Errno) -> Self {
        Self::System {
            operation,
            object: object.into(),
            errno,
        }
    }

    /// For readers that go through the standard library.
    pub(crate) fn io(
        operation: Operation,
        object: impl Into<String>,
        error: &std::io::Error,
    ) -> Self {
        let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
        Self::system(operation, object, errno)
    }

    /// The error as a clause, with the kernel's own words: for a gap's reason.
    #[must_use]
    pub fn reason(&self) -> String {
        match self.errno() {
            Some(errno) => format!("failed to {self}: {}", words(errno)),
            None => format!("failed to {self}"),
        }
    }

    /// The kernel's error number, if a system call or a netlink request failed.
    #[must_use]
    pub const fn errno(&self) -> Option<Errno> {
        match self {
            Self::System { errno, .. } | Self::Refused { errno, .. } => Some(*errno),
            _ => None,
        }
    }

    /// Whether a right was missing.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.errno(), Some(Errno::PERM | Errno::ACCESS))
    }

    /// Whether the process, file or socket does not exist (any more).
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.errno(),
            Some(Errno::NOENT | Errno::SRCH | Errno::STALE)
        ) || matches!(
            self,
            Self::NoSuchNamespace { .. } | Self::NoSuchProcess { .. }
        )
    }
}

/// The system's text for an error number, without the number.
pub(crate) fn words(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_lowercase(),
        None => text,
    }
}

/// A number with its noun: `1 process`, `2 processes`.
pub(crate) fn counted(number: usize, one: &str, more: &str) -> String {
    let noun = if number == 1 { one } else { more };
    format!("{number} {noun}")
}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_follow_their_number() {
        assert_eq!(counted(1, "process", "processes"), "1 process");
        assert_eq!(counted(0, "process", "processes"), "0 processes");
    }

    #[test]
    fn messages_read_after_failed_to() {
        let error = Error::system(Operation::Read, "/proc/7/comm", Errno::ACCESS);
        assert_eq!(format!("failed to {error}"), "failed to read /proc/7/comm");
        assert_eq!(
            error.reason(),
            "failed to read /proc/7/comm: permission denied"
        );
        assert!(error.is_permission());
        assert!(!error.is_gone());
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert_eq!(source.as_deref(), Some("Permission denied (os error 13)"));
        assert!(Error::NoSuchProcess { pid: 7 }.is_gone());
    }
}
