//! Which line each program ends with.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{
    Content, Directive, File, Flaw, Folder, Line, Pattern, Position, Program, Refused, SYSCTL_CONF,
    Sysctl, Tree, parse, read_as_kernel,
};
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
    /// The name holds a character by which procps takes it for a pattern of paths.
    NameIsPattern,
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
            Self::NameIsPattern => f.write_str("sysctl takes this name for a pattern of paths"),
        }
    }
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

/// A file as one of the two programs comes upon it.
#[derive(Clone)]
struct Source<'a> {
    path: String,
    name: &'a [u8],
    content: &'a Content,
}

impl<'a> Source<'a> {
    fn file(file: &'a File) -> Self {
        Self {
            path: file.path(),
            name: &file.name,
            content: &file.content,
        }
    }

    fn problem(&self, line: Option<usize>, trouble: Trouble) -> Problem {
        Problem {
            path: self.path.clone(),
            line,
            trouble,
        }
    }

    /// What is wrong with the file as a whole.
    fn problems(&self, program: Program) -> Vec<Problem> {
        let trouble = match self.content {
            Content::Text(_) | Content::Masked => None,
            Content::Dangling => Some(Trouble::Dangling),
            Content::Folder => Some(Trouble::Folder),
            Content::Special => Some(Trouble::Special),
            Content::TooLarge => Some(Trouble::TooLarge),
            Content::Unreadable(why) => Some(Trouble::Unreadable(why.clone())),
        };
        // procps hands the path to glob(3), with braces.
        let pattern = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'{' | b'\\');
        let named = program == Program::Procps && self.name.iter().any(pattern);
        trouble
            .into_iter()
            .chain(named.then_some(Trouble::NameIsPattern))
            .map(|trouble| self.problem(None, trouble))
            .collect()
    }

    fn lines(&self, program: Program, problems: &mut Vec<Problem>) -> Vec<(Position, Line)> {
        let Content::Text(text) = self.content else {
            return Vec::new();
        };
        let parsed = parse(text, program);
        for (number, flaw) in parsed.flaws {
            problems.push(self.problem(Some(number), Trouble::Line(flaw)));
        }
        let place = |line: Line| {
            let position = Position {
                path: self.path.clone(),
                line: line.number,
            };
            (position, line)
        };
        parsed.lines.into_iter().map(place).collect()
    }
}

/// Which files a program reads, in its order, and which it does not.
struct Order<'a> {
    read: Vec<Source<'a>>,
    unread: Vec<(Source<'a>, Why)>,
}

/// Names decide the order, whichever folder a file lies in; folders decide among equal names.
fn order(tree: &Tree, program: Program) -> Order<'_> {
    let mut files: Vec<&File> = tree.files.iter().collect();
    files.sort_by(|a, b| (&a.name, a.folder).cmp(&(&b.name, b.folder)));
    let mut order = Order {
        read: Vec::new(),
        unread: Vec::new(),
    };
    let mut strongest: Option<&File> = None;
    for file in files {
        let source = Source::file(file);
        if program == Program::SystemdSysctl && file.name.starts_with(b".") {
            order.unread.push((source, Why::Hidden));
            continue;
        }
        match strongest.filter(|strongest| strongest.name == file.name) {
            Some(strongest) => {
                let by = strongest.path();
                order.unread.push((source, Why::Masked { by }));
            }
            None => {
                strongest = Some(file);
                order.read.push(source);
            }
        }
    }
    if let Some(content) = &tree.sysctl_conf {
        let source = Source {
            path: SYSCTL_CONF.to_string(),
            name: b"sysctl.conf",
            content,
        };
        match program {
            Program::Procps => {
                // It is passed over unless it is a regular file.
                if matches!(
                    content,
                    Content::Text(_) | Content::TooLarge | Content::Unreadable(_)
                ) {
                    order.read.push(source);
                }
            }
            Program::SystemdSysctl => order.unread.push((source, Why::NotRead)),
        }
    }
    order
}

fn folder_problems(tree: &Tree) -> Vec<Problem> {
    let problem = |(folder, why): &(Folder, String)| Problem {
        path: folder.path().to_string(),
        line: None,
        trouble: Trouble::Unreadable(why.clone()),
    };
    tree.unreadable.iter().map(problem).collect()
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

fn assignment(position: &Position, line: &Line, sysctl: Sysctl, hz: Option<Hz>) -> Assignment {
    let text = match &line.directive {
        Directive::Set(text) => text.clone(),
        Directive::Exclude => Vec::new(),
    };
    Assignment {
        position: position.clone(),
        value: read_as_kernel(sysctl, &text, hz),
        text,
        pattern: line.is_pattern(),
        ignore_errors: line.ignore_errors,
    }
}

/// systemd-sysctl keeps one value for each key, as it is written; a later line takes the place of an
/// earlier one and goes to the end, unless it says the same. Then it writes them all in that order,
/// and a pattern passes over keys that have a line of their own.
fn systemd(lines: &[(Position, Line)], sysctl: Sysctl, hz: Option<Hz>) -> Resolved {
    let mut kept: Vec<usize> = Vec::new();
    let mut passed: Vec<(usize, Why)> = Vec::new();
    for (at, (_, line)) in lines.iter().enumerate() {
        if !line.concerns(sysctl, Program::SystemdSysctl) {
            continue;
        }
        let Some(slot) = kept.iter().position(|of| lines[*of].1.key == line.key) else {
            kept.push(at);
            continue;
        };
        let earlier = kept[slot];
        let why = match line.directive {
            Directive::Exclude => Why::Excluded,
            Directive::Set(_) => Why::Overridden,
        };
        passed.push((earlier, why));
        if lines[earlier].1.directive == line.directive {
            kept[slot] = at;
        } else {
            kept.remove(slot);
            kept.push(at);
        }
    }
    let named = kept
        .iter()
        .any(|at| lines[*at].1.key == sysctl.path().as_bytes());
    let mut writes = Vec::new();
    for at in kept {
        let (_, line) = &lines[at];
        if line.directive == Directive::Exclude {
            passed.push((at, Why::SetsNothing));
        } else if line.is_pattern() && named {
            passed.push((at, Why::Named));
        } else {
            writes.push(at);
        }
    }
    judge(lines, writes, passed, sysctl, hz)
}

/// procps keeps every line and writes them in order; a pattern passes over keys that any line names
/// or excludes. In procps 4.0.2 a pattern excludes nothing; later versions compare it by fnmatch(3).
fn procps(lines: &[(Position, Line)], sysctl: Sysctl, hz: Option<Hz>) -> Resolved {
    let path = sysctl.path().as_bytes();
    let excludes =
        |line: &Line| line.directive == Directive::Exclude && Pattern::new(&line.key).covers(path);
    let named = lines.iter().any(|(_, line)| line.key == path);
    let mut passed = Vec::new();
    let mut writes = Vec::new();
    let mut depends = false;
    for (at, (_, line)) in lines.iter().enumerate() {
        if line.directive == Directive::Exclude {
            if excludes(line) {
                passed.push((at, Why::SetsNothing));
            }
        } else if line.concerns(sysctl, Program::Procps) {
            if !line.is_pattern() {
                writes.push(at);
            } else if named {
                passed.push((at, Why::Named));
            } else {
                writes.push(at);
                depends = true;
            }
        }
    }
    Resolved {
        depends_on_version: depends && lines.iter().any(|(_, line)| excludes(line)),
        ..judge(lines, writes, passed, sysctl, hz)
    }
}

/// The last write that the kernel accepts decides.
fn judge(
    lines: &[(Position, Line)],
    writes: Vec<usize>,
    mut passed: Vec<(usize, Why)>,
    sysctl: Sysctl,
    hz: Option<Hz>,
) -> Resolved {
    let made = |at: usize| {
        let (position, line) = &lines[at];
        assignment(position, line, sysctl, hz)
    };
    let winner = writes
        .iter()
        .copied()
        .rev()
        .find(|at| made(*at).value.is_ok());
    for at in writes {
        match made(at).value {
            Err(refused) => passed.push((at, Why::Refused(refused))),
            Ok(_) if Some(at) != winner => passed.push((at, Why::Overridden)),
            Ok(_) => {}
        }
    }
    passed.sort_by_key(|(at, _)| *at);
    let passed = passed.into_iter().map(|(at, why)| Passed {
        assignment: made(at),
        why,
    });
    Resolved {
        sysctl,
        winner: winner.map(made),
        passed: passed.collect(),
        depends_on_version: false,
    }
}
