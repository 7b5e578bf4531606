//! What the programs stumble over.

use alloc::string::String;

use super::{Flaw, Refused};

/// Something that a program stumbles over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: String,
    /// The line, if it is one.
    pub line: Option<usize>,
    /// What it is.
    pub trouble: Trouble,
}

/// What a program stumbles over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// A line is not taken.
    Line(Flaw),
    /// The kernel refuses the value of a line about keepalive that would otherwise count.
    Value(Refused),
    /// A link to nothing.
    Dangling,
    /// A folder with the name of a file.
    Folder,
    /// A FIFO, a socket or a device: the program may wait on it for ever.
    Special,
    /// The file is larger than anything that is read here: what it says is unknown.
    TooLarge,
    /// It could not be read here, and why: what it says is unknown.
    Unreadable(String),
    /// The name holds a character of patterns: procps reads other files too if it fits them, for it hands
    /// the path to glob(3).
    NameIsPattern,
}

impl Problem {
    /// Whether it hides lines from us that the program would read, or hides from the program what we
    /// read: then the line that decides may be another one.
    #[must_use]
    pub const fn leaves_doubt(&self) -> bool {
        matches!(
            self.trouble,
            Trouble::Special | Trouble::TooLarge | Trouble::Unreadable(_) | Trouble::NameIsPattern
        )
    }
}

/// The file and the line, and what it is.
impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.trouble)
    }
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Line(flaw) => write!(f, "the line {flaw}"),
            Self::Value(refused) => refused.fmt(f),
            Self::Dangling => f.write_str("a link to a file that is not there"),
            Self::Folder => f.write_str("a folder, not a file"),
            Self::Special => f.write_str("no regular file"),
            Self::TooLarge => f.write_str("too large to be read here"),
            Self::Unreadable(why) => f.write_str(why),
            Self::NameIsPattern => f.write_str("sysctl may take this name for a pattern of paths"),
        }
    }
}
