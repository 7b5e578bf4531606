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
    /// Of two parts of a command: done only if both are.
    pub const fn and(self, other: Self) -> Self {
        match self {
            Self::Done => other,
            ended => ended,
        }
    }

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
    /// A program to start cannot be executed: 126, as env(1) and its like have it.
    NotExecutable,
    /// A program to start was not found: 127.
    NotFound,
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
            Self::NotExecutable => 126,
            Self::NotFound => 127,
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

    /// The same, as it is told of what was only rehearsed.
    pub(crate) fn foreseen(self) -> Self {
        let source = format!("would fail: {self}").into();
        Self { source, ..self }
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
        if self.kind == ErrorKind::Output {
            f.write_str("failed to write the output: ")?;
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("failed to open /x")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_chain_of_causes_stands_on_one_line() {
        let cause = io::Error::other("gone");
        let error = CommandError::new(ErrorKind::Incomplete, Outer(cause)).hint("look");
        assert_eq!(error.to_string(), "failed to open /x: gone");
        assert_eq!(
            (error.status(), error.hints()),
            (3, &["look".to_string()][..])
        );
    }

    #[test]
    fn only_a_broken_pipe_of_the_output_is_success() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(CommandError::output(pipe()).status(), 0);
        assert_eq!(CommandError::new(ErrorKind::Incomplete, pipe()).status(), 3);
        let full = CommandError::output(io::ErrorKind::StorageFull.into());
        assert_eq!(full.status(), 3);
        assert_eq!(
            full.to_string(),
            "failed to write the output: no storage space"
        );
    }

    #[test]
    fn statuses_are_those_of_the_manual() {
        let kinds = [
            (ErrorKind::Usage, 2),
            (ErrorKind::Incomplete, 3),
            (ErrorKind::NotPermitted, 4),
            (ErrorKind::Bug, 70),
            (ErrorKind::NotExecutable, 126),
            (ErrorKind::NotFound, 127),
        ];
        for (kind, status) in kinds {
            assert_eq!(kind.status(), status);
        }
        let exits = [(Exit::Done, 0), (Exit::Findings, 1), (Exit::Partial, 3)];
        for (exit, status) in exits {
            assert_eq!(exit.status(), status);
        }
    }
}
