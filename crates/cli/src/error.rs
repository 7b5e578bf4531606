//! Errors of commands: what failed, which exit status follows, and what would help.

use std::error::Error;
use std::fmt;
use std::io;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub enum Exit {
    /// Everything was done: 0.
    #[default]
    Done,
    /// Findings at or above `--fail-on`: 1.
    Findings,
    /// Something could not be seen: 3.
    Partial,
}

impl Exit {
    /// The exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Findings => 1,
            Self::Partial => 3,
        }
    }
}

/// Why a command failed, as far as the exit status tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line or a configuration is wrong: 2.
    Usage,
    /// Something could not be seen or done: 3.
    Incomplete,
    /// A right is missing: 4. A hint names the capability.
    NotPermitted,
    /// The output could not be written: 3, or 0 when its reader has gone.
    Output,
    /// A fault in sockpulse: 70.
    Bug,
}

impl ErrorKind {
    /// The exit status.
    #[must_use]
    pub const fn status(self) -> u8 {
        match self {
            Self::Usage => 2,
            Self::Incomplete | Self::Output => 3,
            Self::NotPermitted => 4,
            Self::Bug => 70,
        }
    }
}

/// The exit status of a fault in sockpulse, panics included.
pub const BUG_STATUS: u8 = 70;

/// A command's failure.
#[derive(Debug)]
pub struct CommandError {
    kind: ErrorKind,
    source: Box<dyn Error + Send + Sync>,
    hints: Vec<String>,
}

impl CommandError {
    /// A failure; the source's chain is what gets printed.
    #[must_use]
    pub fn new(kind: ErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            source: source.into(),
            hints: Vec::new(),
        }
    }

    /// Output could not be written. A closed pipe is how `head` says that it has enough: it ends the
    /// command with success.
    #[must_use]
    pub fn output(error: io::Error) -> Self {
        Self::new(ErrorKind::Output, error)
    }

    /// Adds what would help: a command to run, a capability to grant.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What the exit status is chosen by.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the reader of our output has gone.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        self.kind == ErrorKind::Output
            && self
                .source
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// The exit status.
    #[must_use]
    pub fn status(&self) -> u8 {
        if self.is_broken_pipe() {
            0
        } else {
            self.kind.status()
        }
    }

    /// What would help.
    #[must_use]
    pub fn hints(&self) -> &[String] {
        &self.hints
    }
}

/// The chain of causes on one line, outermost first.
impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.source.to_string();
        f.write_str(&text)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            let next = error.to_string();
            // An error that prints its cause itself is not repeated.
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.source()
    }
}
