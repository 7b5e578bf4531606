//! The file of our own: its text, and the name under which it wins.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    Assignment, Content, File, Folder, Passed, Persisted, Program, Resolved, SYSCTL_CONF, Sysctl,
    Tree, Why,
};
use crate::wheel::Hz;

/// Where our file goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The name in `/etc/sysctl.d`.
    pub name: String,
    /// Files of ours under other names, which are to be removed.
    pub superseded: Vec<String>,
    /// Lines that win over ours all the same, or would keep it from being read.
    pub obstacles: Vec<Obstacle>,
}

impl Placement {
    /// The file's path.
    #[must_use]
    pub fn path(&self) -> String {
        format!("{}/{}", Folder::Etc.path(), self.name)
    }
}

/// A line that stands in the way of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// The program that ends with it.
    pub program: Program,
    /// The default.
    pub sysctl: Sysctl,
    /// The line, which may say the same by chance. Its text is empty when it is a line `-key` that takes
    /// ours back (systemd-sysctl).
    pub line: Assignment,
}

impl Obstacle {
    /// Whether no name helps, because procps reads `/etc/sysctl.conf` after all folders.
    #[must_use]
    pub fn is_sysctl_conf(&self) -> bool {
        self.line.position.path == SYSCTL_CONF
    }
}

/// The name of our file begins with so many `z` as it needs to be the last that counts.
const STEM: &str = "-sockpulse.conf";
const MOST: usize = 16;

/// Whether a file of this name in `/etc/sysctl.d` is ours.
#[must_use]
pub fn is_own(name: &[u8]) -> bool {
    let stem = name.strip_suffix(STEM.as_bytes());
    stem.is_some_and(|stem| {
        (2..=MOST).contains(&stem.len()) && stem.iter().all(|byte| *byte == b'z')
    })
}

/// The name under which a file in `/etc/sysctl.d` with these values decides under both programs. If
/// there is none, the one with the fewest lines in the way, and these lines. The values are to be ones
/// that the kernel takes.
#[must_use]
pub fn placement(tree: &Tree, values: &[(Sysctl, i64)], hz: Option<Hz>) -> Placement {
    let mut best: Option<Placement> = None;
    for length in 2..=MOST {
        let tried = try_name(tree, &format!("{}{STEM}", "z".repeat(length)), values, hz);
        let better = best
            .as_ref()
            .is_none_or(|best| tried.obstacles.len() < best.obstacles.len());
        if better {
            best = Some(tried);
        }
        if best.as_ref().is_some_and(|best| best.obstacles.is_empty()) {
            break;
        }
    }
    best.expect("at least one name is tried")
}

fn try_name(tree: &Tree, name: &str, values: &[(Sysctl, i64)], hz: Option<Hz>) -> Placement {
    let (own, others): (Vec<&File>, Vec<&File>) = tree
        .files
        .iter()
        .partition(|file| file.folder == Folder::Etc && is_own(&file.name));
    let mut with = Tree {
        files: others.into_iter().cloned().collect(),
        ..tree.clone()
    };
    with.files.push(File {
        folder: Folder::Etc,
        name: name.as_bytes().to_vec(),
        link: None,
        content: Content::Text(print(values, &[]).into_bytes()),
    });
    let superseded = own.into_iter().filter(|file| file.name != name.as_bytes());
    let mut placement = Placement {
        name: String::from(name),
        superseded: superseded
            .map(|file| String::from_utf8_lossy(&file.name).into_owned())
            .collect(),
        obstacles: Vec::new(),
    };
    let path = placement.path();
    let persisted = Persisted::of(&with, hz);
    for program in Program::ALL {
        for (sysctl, _) in values {
            let resolved = persisted.by(program).of_sysctl(*sysctl);
            if let Some(line) = in_the_way(resolved, &path) {
                placement.obstacles.push(Obstacle {
                    program,
                    sysctl: *sysctl,
                    line: line.clone(),
                });
            }
        }
    }
    placement
}

/// The line that decides instead of one in the file at `path`.
fn in_the_way<'a>(resolved: &'a Resolved, path: &str) -> Option<&'a Assignment> {
    match &resolved.winner {
        Some(winner) => (winner.position.path != path).then_some(winner),
        // Ours cannot fail in the kernel, so it was taken back by the line `-key` that is read last.
        None => {
            let takes_back = |passed: &&Passed| passed.why == Why::SetsNothing;
            let last = resolved.passed.iter().rev().find(takes_back);
            last.map(|passed| &passed.assignment)
        }
    }
}

/// The text of a sysctl file: comments, then one assignment a line.
#[must_use]
pub fn print(values: &[(Sysctl, i64)], comments: &[&str]) -> String {
    let mut text = String::new();
    for comment in comments.iter().flat_map(|comment| comment.lines()) {
        text.push_str(if comment.is_empty() { "#" } else { "# " });
        text.push_str(comment);
        text.push('\n');
    }
    for (sysctl, value) in values {
        text.push_str(&format!("{} = {value}\n", sysctl.key()));
    }
    text
}
