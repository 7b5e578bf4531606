//! What is made from the definitions: completions, manual pages, reference pages.

use std::io::{self, Write};

use clap_complete::Shell;

use crate::app::command;
use crate::error::{CommandError, Exit};
use crate::fields;

/// A generated file: its path from the root of the sources, and what stands in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// Where it belongs.
    pub path: String,
    /// Its contents.
    pub contents: Vec<u8>,
}

/// Every file that is generated from the command line's definition and the registry of fields.
///
/// # Errors
/// Writing to memory fails only when clap's generators do.
pub fn files() -> io::Result<Vec<Generated>> {
    let mut files = Vec::new();
    let mut add = |path: String, contents: Vec<u8>| files.push(Generated { path, contents });
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish] {
        let mut contents = Vec::new();
        write_completions(shell, &mut contents);
        let name = match shell {
            Shell::Zsh => "_sockpulse".to_string(),
            Shell::Bash => "sockpulse.bash".to_string(),
            Shell::Fish => "sockpulse.fish".to_string(),
            other => format!("sockpulse.{other}"),
        };
        add(format!("completions/{name}"), contents);
    }
    let mut root = Vec::new();
    write_page(&built(), &mut root)?;
    add("man/sockpulse.1".into(), root);
    for (name, command) in every_command(&built()) {
        let mut page = Vec::new();
        write_page(&command, &mut page)?;
        add(format!("man/sockpulse-{}.1", name.replace(' ', "-")), page);
    }
    add("docs/reference/fields.md".into(), fields_reference().into());
    add(
        "docs/reference/software.md".into(),
        crate::software::reference::page().into(),
    );
    add(
        "docs/reference/commands.md".into(),
        commands_reference().into(),
    );
    Ok(files)
}

/// The reference of fields as a Markdown page.
#[must_use]
pub fn fields_reference() -> String {
    fields::reference()
}

/// The help of every command as a Markdown page.
#[must_use]
pub fn commands_reference() -> String {
    let mut page = String::from(
        "# Commands\n\n<!-- Generated from the definition of the command line: do not edit. -->\n",
    );
    let mut add = |title: &str, mut command: clap::Command| {
        let help = command.render_long_help().to_string();
        let lines: Vec<_> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!(
            "\n## {title}\n\n```text\n{}\n```\n",
            lines.join("\n").trim_end()
        ));
    };
    let root = built().term_width(100);
    add("sockpulse", root.clone());
    for (name, command) in every_command(&root) {
        add(&format!("sockpulse {name}"), command.term_width(100));
    }
    page
}

/// The commands with their names, each before those below it.
fn every_command(root: &clap::Command) -> Vec<(String, clap::Command)> {
    let mut commands = Vec::new();
    for sub in root.get_subcommands() {
        let name = sub.get_name();
        // `help` has no page of its own.
        if name == "help" {
            continue;
        }
        commands.push((name.to_owned(), sub.clone()));
        let below = every_command(sub).into_iter();
        commands.extend(below.map(|(below, command)| (format!("{name} {below}"), command)));
    }
    commands
}

/// Prints completions.
pub(crate) fn completions(shell: Shell, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    write_completions(shell, &mut text);
    out.write_all(&text).map_err(CommandError::output)?;
    Ok(Exit::Done)
}

/// Prints the manual page of one command, or of all in one.
pub(crate) fn man(name: Option<&str>, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    let root = built();
    match name.and_then(|name| root.find_subcommand(name)) {
        Some(sub) => write_page(sub, &mut text),
        None => write_whole(&root, &mut text),
    }
    .and_then(|()| out.write_all(&text))
    .map_err(CommandError::output)?;
    Ok(Exit::Done)
}

fn write_completions(shell: Shell, text: &mut Vec<u8>) {
    clap_complete::generate(shell, &mut command(), "sockpulse", text);
}

/// The definition with full names and global options handed down. `help` has no page of its own.
fn built() -> clap::Command {
    let mut root = command().disable_help_subcommand(true);
    root.build();
    root
}

fn write_page(command: &clap::Command, text: &mut Vec<u8>) -> io::Result<()> {
    let name = command
        .get_display_name()
        .unwrap_or("sockpulse")
        .to_string();
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .manual("sockpulse")
        .source(format!("sockpulse {}", env!("CARGO_PKG_VERSION")))
        .render(&mut page)?;
    for line in unfilled(&page) {
        text.extend_from_slice(line);
    }
    Ok(())
}

/// The lines of a page in which the examples keep their line breaks, under a name of their own.
fn unfilled(page: &[u8]) -> Vec<&[u8]> {
    let mut lines: Vec<&[u8]> = Vec::new();
    let mut inside = false;
    for line in page.split_inclusive(|byte| *byte == b'\n') {
        if inside && line.starts_with(b".SH") {
            lines.push(b".fi\n");
            inside = false;
        }
        if line == b".SH EXTRA\n" {
            lines.extend([&b".SH EXAMPLES\n"[..], b".nf\n"]);
            inside = true;
        } else if line == b".SH Commands\n" {
            lines.push(b".SH COMMANDS\n");
        } else {
            lines.push(line);
        }
    }
    if inside {
        lines.push(b".fi\n");
    }
    lines
}

/// The root's page, with each command's sections one level deeper below it.
fn write_whole(root: &clap::Command, text: &mut Vec<u8>) -> io::Result<()> {
    write_page(root, text)?;
    for (name, sub) in every_command(root) {
        let man = clap_mangen::Man::new(sub.clone());
        let mut sections = Vec::new();
        man.render_synopsis_section(&mut sections)?;
        man.render_description_section(&mut sections)?;
        man.render_options_section(&mut sections)?;
        if sub.get_after_long_help().or(sub.get_after_help()).is_some() {
            man.render_extra_section(&mut sections)?;
        }
        writeln!(text, ".SH \"SOCKPULSE {}\"", name.to_uppercase())?;
        for line in unfilled(&sections) {
            match line.strip_prefix(b".SH ") {
                Some(rest) => {
                    text.extend_from_slice(b".SS ");
                    text.extend_from_slice(rest);
                }
                None => text.extend_from_slice(line),
            }
        }
    }
    Ok(())
}
