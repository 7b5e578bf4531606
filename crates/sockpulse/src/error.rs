//! What can fail.

use std::fmt;
use std::io;

use rustix::io::Errno;
use sockpulse_core::settings::OutOfRange;

/// What was being done with an option.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// getsockopt(2).
    Read,
    /// setsockopt(2).
    Set,
}

/// An error of this crate. Messages read after "failed to" and end with the system's own words, which
/// many programs would not ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// A value that the kernel would refuse. Nothing was set.
    OutOfRange(OutOfRange),
    /// The kernel refused.
    System {
        /// What was being done.
        operation: Operation,
        /// The option, by its name in C.
        option: &'static str,
        /// The kernel's answer, as errno(3) numbers it.
        errno: i32,
    },
}

impl Error {
    pub(crate) fn system(operation: Operation, option: &'static str, errno: Errno) -> Self {
        Self::System {
            operation,
            option,
            errno: errno.raw_os_error(),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Set => "set",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange(range) => write!(f, "choose a setting: {range}"),
            Self::System {
                operation,
                option,
                errno,
            } => {
                let said = io::Error::from_raw_os_error(*errno);
                write!(f, "{operation} option {option}: {said}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<OutOfRange> for Error {
    fn from(range: OutOfRange) -> Self {
        Self::OutOfRange(range)
    }
}

/// For programs whose errors are those of the system: `InvalidInput` for a value out of range, else
/// the kernel's own.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        match &error {
            Error::OutOfRange(_) => Self::new(io::ErrorKind::InvalidInput, error),
            Error::System { errno, .. } => Self::new(Self::from_raw_os_error(*errno).kind(), error),
        }
    }
}
