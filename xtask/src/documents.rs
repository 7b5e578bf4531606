//! A test of the documents: every file and every heading that one of them links to is there.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use crate::process;

/// Folders that are not ours to read.
const NOT_OURS: [&str; 3] = [".git", "target", "node_modules"];

#[test]
fn every_link_leads_somewhere() {
    let mut files = Vec::new();
    markdown_below(process::workspace(), &mut files);
    assert!(files.len() > 20, "{files:?}");
    let mut broken = Vec::new();
    for file in &files {
        for link in links_of(&read(file)) {
            if let Some(problem) = problem(file, &link) {
                broken.push(format!("{}: {link}: {problem}", file.display()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a document is text")
}

fn markdown_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        if entry.file_type().expect("its kind").is_dir() {
            if !NOT_OURS.iter().any(|name| entry.file_name() == **name) {
                markdown_below(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// Why a link leads nowhere; `None` if it leads somewhere or out of the workspace.
fn problem(from: &Path, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = match link.split_once('#') {
        Some((path, heading)) => (path, Some(heading)),
        None => (link, None),
    };
    let target = match (path, from.parent()) {
        ("", _) | (_, None) => from.to_path_buf(),
        (path, Some(folder)) => without_dots(&folder.join(path)),
    };
    if !target.starts_with(process::workspace()) {
        return Some("it leads out of the sources");
    }
    if !target.exists() {
        return Some("no such file");
    }
    let heading = heading?;
    (!headings_of(&read(&target)).contains(heading)).then_some("no such heading")
}

/// The path with each `..` taken for what stands before it.
fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The lines outside of fenced code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of `[text](target)`; code spans are not looked into.
fn links_of(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let mut rest = outside.as_str();
        while let Some((_, tail)) = rest.split_once("](") {
            let Some((target, tail)) = tail.split_once(')') else {
                break;
            };
            links.push(target.trim().to_owned());
            rest = tail;
        }
    }
    links
}

/// The names that headings have as targets: lower case, hyphens for spaces, no marks.
fn headings_of(text: &str) -> BTreeSet<String> {
    prose(text)
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            line.trim_start_matches('#')
                .trim()
                .chars()
                .filter_map(|letter| match letter {
                    ' ' => Some('-'),
                    '-' | '_' => Some(letter),
                    _ if letter.is_alphanumeric() => Some(letter),
                    _ => None,
                })
                .flat_map(char::to_lowercase)
                .collect()
        })
        .collect()
}

#[test]
fn links_stand_in_prose_only() {
    let page = "A [b](c.md), [d](../e.md#f) and `[no](code)`.\n\
                ```text\n[no](fence)\n```\n[g](https://example.org/x)\n";
    assert_eq!(
        links_of(page),
        ["c.md", "../e.md#f", "https://example.org/x"]
    );
}

#[test]
fn headings_are_named_as_a_forge_names_them() {
    let page = "# The gate: CVE-2026-74714\n```sh\n# no heading\n```\n## What `read()` says\n";
    let headings = headings_of(page);
    assert_eq!(
        headings.iter().map(String::as_str).collect::<Vec<_>>(),
        ["the-gate-cve-2026-74714", "what-read-says"]
    );
}

#[test]
fn a_link_that_leads_nowhere_is_told() {
    let from = process::workspace().join("docs/README.md");
    let said = |link: &str| problem(&from, link);
    assert_eq!(said("glossary.md"), None);
    assert_eq!(said("../README.md"), None);
    assert_eq!(said("https://example.org/"), None);
    assert_eq!(said("kernel-support.md#facilities"), None);
    assert_eq!(said("#documentation"), None);
    assert_eq!(said("no-such-page.md"), Some("no such file"));
    assert_eq!(said("glossary.md#no-such"), Some("no such heading"));
    assert_eq!(said("../../else.md"), Some("it leads out of the sources"));
}
