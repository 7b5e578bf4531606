//! `cargo xtask generate [--check]`: the reference pages, manual pages and completions, made from
//! the definitions in the code and from data files.

mod paths;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use sockpulse_cli::generate::{Generated, files};
use sockpulse_core::Code;

use crate::error::{Error, Result};
use crate::process;

/// The folders in which nothing is written by hand.
const FOLDERS: [&str; 3] = ["completions", "docs/reference", "man"];

/// Writes every generated file and removes what is no longer generated; with `--check` it only
/// compares.
///
/// # Errors
/// [`Error::OutOfDate`] with each file that differs from what would be written.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let mut wanted = files().map_err(Error::system("generate files"))?;
    wanted.push(Generated {
        path: "docs/reference/findings.md".to_owned(),
        contents: findings_reference().into(),
    });
    wanted.extend(paths::files()?);
    let changes = changes(&wanted)?;
    match words {
        [] => write(&changes)?,
        ["--check"] if changes.is_empty() => {}
        ["--check"] => {
            return Err(Error::OutOfDate(
                changes.into_iter().map(|change| change.name).collect(),
            ));
        }
        _ => {
            return Err(Error::UnknownCommand(format!(
                "generate {}",
                words.join(" ")
            )));
        }
    }
    println!("generated: {} files are up to date", wanted.len());
    Ok(ExitCode::SUCCESS)
}

/// A file that differs from what is to stand there.
struct Change<'a> {
    name: String,
    /// `None`: it is no longer generated.
    contents: Option<&'a [u8]>,
}

impl Change<'_> {
    fn path(&self) -> PathBuf {
        process::workspace().join(&self.name)
    }
}

fn changes(wanted: &[Generated]) -> Result<Vec<Change<'_>>> {
    let mut changes = Vec::new();
    for file in wanted {
        let path = process::workspace().join(&file.path);
        let current = match std::fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        if current.as_deref() != Some(&file.contents) {
            changes.push(Change {
                name: file.path.clone(),
                contents: Some(&file.contents),
            });
        }
    }
    let names: BTreeSet<&str> = wanted.iter().map(|file| file.path.as_str()).collect();
    for folder in FOLDERS {
        for name in names_in(folder)? {
            if !names.contains(name.as_str()) {
                changes.push(Change {
                    name,
                    contents: None,
                });
            }
        }
    }
    Ok(changes)
}

/// The files of a folder, by their path from the root of the workspace.
fn names_in(folder: &str) -> Result<Vec<String>> {
    let path = process::workspace().join(folder);
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::file("read", path)(error)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("read", &path))?;
        names.push(format!("{folder}/{}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}

fn write(changes: &[Change<'_>]) -> Result<()> {
    for change in changes {
        let path = change.path();
        if let Some(contents) = change.contents {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(Error::file("make", folder))?;
            }
            std::fs::write(&path, contents).map_err(Error::file("write", &path))?;
            println!("  wrote {}", change.name);
        } else {
            std::fs::remove_file(&path).map_err(Error::file("remove", &path))?;
            println!("  removed {}, which is no longer generated", change.name);
        }
    }
    Ok(())
}

/// An index of the findings, one line each.
fn findings_reference() -> String {
    let mut page = String::from(
        "# Findings\n\n\
         <!-- Generated from the findings of sockpulse-core: do not edit. -->\n\n\
         What `sockpulse audit` can say. `sockpulse explain CODE` shows the whole page of one.\n\n\
         | code | severity | what it says |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| [{name}](../findings/{name}.md) | {severity} | {title} |",
            name = code.name(),
            severity = code.severity().name(),
            title = code.title(),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_has_a_line_and_its_page_exists() {
        let page = findings_reference();
        for code in Code::ALL {
            let link = format!("../findings/{}.md", code.name());
            assert!(page.contains(&link), "{link}");
            let target = process::workspace().join("docs/reference").join(&link);
            assert!(target.exists(), "{}", target.display());
        }
    }

    #[test]
    fn a_file_that_differs_and_a_missing_one_are_changes() {
        let own = "xtask/src/generate.rs";
        let same = std::fs::read(process::workspace().join(own)).expect("this file");
        let file = |path: &str, contents: &[u8]| Generated {
            path: path.to_owned(),
            contents: contents.to_vec(),
        };
        let wanted = [
            file(own, &same),
            file("xtask/Cargo.toml", b"other"),
            file("xtask/no-such-file", b""),
        ];
        let names: Vec<String> = changes(&wanted)
            .expect("changes")
            .into_iter()
            .filter(|change| change.contents.is_some())
            .map(|change| change.name)
            .collect();
        assert_eq!(names, ["xtask/Cargo.toml", "xtask/no-such-file"]);
    }
}
