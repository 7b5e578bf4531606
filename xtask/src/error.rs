//! What can go wrong in a command of this crate.

use std::io;
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};

/// The result of everything in this crate.
pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A failed operation. The message reads after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    #[error("understand the command {0:?}")]
    UnknownCommand(String),
    #[error("start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("run {command}: it ended with {status}")]
    Exit { command: String, status: ExitStatus },
    #[error("{operation} {}: {source}", path.display())]
    File {
        operation: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("{operation}: {source}")]
    System {
        operation: &'static str,
        source: io::Error,
    },
    #[error("finish: interrupted by a signal")]
    Interrupted,
    #[error("see {event} within {seconds} s")]
    Late { event: String, seconds: u64 },
    #[error("find what the build and the tests need: {} missing", .0.join(", "))]
    MissingPackages(Vec<&'static str>),
    #[error("install the missing packages without root")]
    InstallNeedsRoot { command: String },
    #[error("read the answer of {program}: {line:?}")]
    Answer { program: String, line: String },
    #[error("show what was expected: {0}")]
    Unexpected(String),
    #[error("pass: {}", .0.join(", "))]
    Steps(Vec<&'static str>),
    #[error("keep the architecture: {}", .0.join("; "))]
    Architecture(Vec<String>),
    #[error("run every test: {} skipped", .0.len())]
    SkippedTests(Vec<String>),
    #[cfg(feature = "product")]
    #[error("dump by {0}: {1}")]
    Floor(String, Box<dyn std::error::Error>),
    #[cfg(feature = "product")]
    #[error("{0} without root")]
    NeedsRoot(&'static str),
    #[cfg(feature = "product")]
    #[error("read {file}, line {line}: {problem}")]
    Data {
        file: &'static str,
        line: usize,
        problem: String,
    },
    #[cfg(feature = "product")]
    #[error("find the generated files up to date: {}", .0.join(", "))]
    OutOfDate(Vec<String>),
}

impl Error {
    /// For `map_err` on an operation on a file.
    pub(crate) fn file(
        operation: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }

    /// For `map_err` on a system call.
    pub(crate) fn system<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::System {
            operation,
            source: source.into(),
        }
    }

    /// What the reader can do about it, one line each.
    pub(crate) fn hints(&self) -> Vec<String> {
        match self {
            Self::Start { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                vec!["install what is missing: cargo xtask setup".to_owned()]
            }
            Self::Exit { command, .. } if command.starts_with("ip netns add") => vec![
                "it needs CAP_SYS_ADMIN and CAP_NET_ADMIN; a container has them with --privileged"
                    .to_owned(),
            ],
            Self::InstallNeedsRoot { command } => vec![format!("run as root: {command}")],
            #[cfg(feature = "product")]
            Self::OutOfDate(_) => vec!["write them again: cargo xtask generate".to_owned()],
            Self::SkippedTests(_) => {
                vec!["root and CI must run every test: grant what each line above names".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// 130 after a signal, 2 for wrong usage, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Interrupted => ExitCode::from(130),
            Self::UnknownCommand(_) => ExitCode::from(2),
            _ => ExitCode::FAILURE,
        }
    }
}
