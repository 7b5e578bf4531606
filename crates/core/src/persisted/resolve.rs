//! Which line each program ends with.

use alloc::string::String;
use alloc::vec::Vec;

use super::decide::{assignment, procps, systemd};
use super::sources::{Source, folder_problems, order};
use super::{Position, Problem, Program, Refused, Sysctl, Tree, Trouble};
use crate::wheel::Hz;

/// What both programs make of the same files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persisted {
    /// At boot, with systemd.
    pub systemd: Reading,
    /// `sysctl --system`.
    pub procps: Reading,
}

/// What one program makes of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// The program.
    pub program: Program,
    /// The paths that it reads, in its order.
    pub files: Vec<String>,
    /// The three defaults, in the order of [`Sysctl::ALL`].
    pub resolved: [Resolved; 3],
    /// What it stumbles over, whether or not it touches keepalive.
    pub problems: Vec<Problem>,
}

/// What becomes of one default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Which one.
    pub sysctl: Sysctl,
    /// The line that decides; without one the program leaves the value alone.
    pub winner: Option<Assignment>,
    /// The other lines about it, in the order in which they are read.
    pub passed: Vec<Passed>,
    /// Whether other versions of the program end otherwise: a line `-pattern` excludes keys from other
    /// patterns in procps after 4.0.2, and does nothing in 4.0.2, which is what is told here.
    pub depends_on_version: bool,
}

/// A line that sets a default, or excludes it from patterns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Where it stands.
    pub position: Position,
    /// The value as written; nothing for a line `-key`. Any bytes.
    pub text: Vec<u8>,
    /// What the kernel makes of it.
    pub value: Result<i64, Refused>,
    /// Whether the key is a pattern.
    pub pattern: bool,
    /// Whether it began with `-`.
    pub ignore_errors: bool,
}

/// A line without effect, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// The line.
    pub assignment: Assignment,
    /// Why it has no effect.
    pub why: Why,
}

/// Why a line has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// A later line sets the same.
    Overridden,
    /// It is a pattern, and a line names the key or excludes it, wherever that line stands.
    Named,
    /// A later line `-key` takes it back (systemd-sysctl).
    Excluded,
    /// It is such a line: `-key` sets nothing.
    SetsNothing,
    /// The kernel refuses the value. A program that writes line by line (procps) keeps what an earlier
    /// line set; one that writes only the last line (systemd-sysctl) sets nothing.
    Refused(Refused),
    /// The program does not read the file: one of the same name in a stronger folder hides it.
    Masked {
        /// The path of the other.
        by: String,
    },
    /// The program does not read files whose names begin with a dot (systemd-sysctl).
    Hidden,
    /// The program reads `/etc/sysctl.conf` only through a link in a folder (systemd-sysctl).
    NotRead,
}

impl Persisted {
    /// Reads a tree as both programs do. `hz` decides which times the kernel takes
    /// ([`Sysctl::range()`]).
    #[must_use]
    pub fn of(tree: &Tree, hz: Option<Hz>) -> Self {
        Self {
            systemd: Reading::of(tree, Program::SystemdSysctl, hz),
            procps: Reading::of(tree, Program::Procps, hz),
        }
    }

    /// What one program makes of the files.
    #[must_use]
    pub const fn by(&self, program: Program) -> &Reading {
        match program {
            Program::SystemdSysctl => &self.systemd,
            Program::Procps => &self.procps,
        }
    }

    /// Whether both programs end with the same value, or both with none.
    #[must_use]
    pub fn agree(&self, sysctl: Sysctl) -> bool {
        self.systemd.value(sysctl) == self.procps.value(sysctl)
    }
}

impl Reading {
    /// Reads a tree as one program does.
    #[must_use]
    pub fn of(tree: &Tree, program: Program, hz: Option<Hz>) -> Self {
        let order = order(tree, program);
        let mut problems = folder_problems(tree);
        let mut lines = Vec::new();
        for source in &order.read {
            problems.extend(source.problems(program));
            lines.extend(source.lines(program, &mut problems));
        }
        let resolved = Sysctl::ALL.map(|sysctl| {
            let mut resolved = match program {
                Program::SystemdSysctl => systemd(&lines, sysctl, hz),
                Program::Procps => procps(&lines, sysctl, hz),
            };
            for (source, why) in &order.unread {
                resolved
                    .passed
                    .extend(unread(source, why, sysctl, program, hz));
            }
            problems.extend(resolved.refusals());
            resolved
        });
        Self {
            program,
            files: order.read.into_iter().map(|source| source.path).collect(),
            resolved,
            problems,
        }
    }

    /// What becomes of one default.
    #[must_use]
    pub const fn of_sysctl(&self, sysctl: Sysctl) -> &Resolved {
        let [idle, interval, probes] = &self.resolved;
        match sysctl {
            Sysctl::Idle => idle,
            Sysctl::Interval => interval,
            Sysctl::Probes => probes,
        }
    }

    /// Whether all was read that the program reads. Otherwise the line that decides may be another one.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.problems.iter().any(Problem::leaves_doubt)
    }

    /// The value that it ends with; `None` when it leaves the default alone.
    #[must_use]
    pub fn value(&self, sysctl: Sysctl) -> Option<i64> {
        self.of_sysctl(sysctl).winner.as_ref()?.value.ok()
    }
}

impl Resolved {
    /// Lines that fail in the kernel, as problems.
    fn refusals(&self) -> impl Iterator<Item = Problem> {
        self.passed.iter().filter_map(|passed| match passed.why {
            Why::Refused(refused) => Some(Problem {
                path: passed.assignment.position.path.clone(),
                line: Some(passed.assignment.position.line),
                trouble: Trouble::Value(refused),
            }),
            _ => None,
        })
    }
}

/// Lines about a default in a file that the program does not read.
fn unread(
    source: &Source<'_>,
    why: &Why,
    sysctl: Sysctl,
    program: Program,
    hz: Option<Hz>,
) -> Vec<Passed> {
    let mut ignored = Vec::new();
    let lines = source.lines(program, &mut ignored);
    let concerned = lines
        .into_iter()
        .filter(|(_, line)| line.concerns(sysctl, program));
    concerned
        .map(|(position, line)| Passed {
            assignment: assignment(&position, &line, sysctl, hz),
            why: why.clone(),
        })
        .collect()
}
