//! Which files each program reads, and in which order.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{
    Content, File, Folder, Line, Position, Problem, Program, SYSCTL_CONF, Tree, Trouble, Why, parse,
};

/// A file as one of the two programs comes upon it.
#[derive(Clone)]
pub(super) struct Source<'a> {
    pub(super) path: String,
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
    pub(super) fn problems(&self, program: Program) -> Vec<Problem> {
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

    pub(super) fn lines(
        &self,
        program: Program,
        problems: &mut Vec<Problem>,
    ) -> Vec<(Position, Line)> {
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
pub(super) struct Order<'a> {
    pub(super) read: Vec<Source<'a>>,
    pub(super) unread: Vec<(Source<'a>, Why)>,
}

/// Names decide the order, whichever folder a file lies in; folders decide among equal names.
pub(super) fn order(tree: &Tree, program: Program) -> Order<'_> {
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

pub(super) fn folder_problems(tree: &Tree) -> Vec<Problem> {
    let problem = |(folder, why): &(Folder, String)| Problem {
        path: folder.path().to_string(),
        line: None,
        trouble: Trouble::Unreadable(why.clone()),
    };
    tree.unreadable.iter().map(problem).collect()
}
