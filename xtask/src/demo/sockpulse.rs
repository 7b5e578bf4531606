//! Running the sockpulse that the demo has built.

use std::process::{Command, ExitStatus};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// A command of the sockpulse that was just built.
pub(super) struct Sockpulse {
    pub(super) command: Command,
    /// As one would type it with sockpulse installed.
    pub(super) typed: String,
}

impl Sockpulse {
    pub(super) fn new(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(process::target_directory()?.join("release/sockpulse"));
        command.args(words);
        let mut typed = Command::new("sockpulse");
        typed.args(words);
        Ok(Self {
            command,
            typed: process::typed(&typed),
        })
    }

    /// Runs it on the terminal.
    pub(super) fn show(&mut self, interrupt: &Interrupt) -> Result<()> {
        println!("$ {}", self.typed);
        let status = process::status(&mut self.command, interrupt)?;
        self.expect_answer(status)
    }

    /// Runs it with its data shown once it is all there, and returned; it has to find something, which is
    /// code 1.
    pub(super) fn show_findings(&mut self, limit: usize) -> Result<String> {
        println!("$ {}", self.typed);
        let output = self
            .command
            .output()
            .map_err(Error::system("run sockpulse"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        for line in lines.iter().take(limit) {
            println!("{line}");
        }
        let rest = lines.get(limit..).unwrap_or_default();
        // What it comes to stands at the end.
        if let Some((last, between)) = rest.split_last() {
            println!("… and {} more lines\n\n{last}", between.len());
        }
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        if output.status.code() == Some(1) {
            return Ok(text);
        }
        let status = output.status;
        Err(Error::Unexpected(format!("findings, it is {status}")))
    }

    /// Runs it and shows the first `limit` lines of what it writes to stdout, as `head` does, and
    /// all of stderr. Returns all of stdout.
    pub(super) fn show_beginning(&mut self, limit: usize) -> Result<String> {
        println!("$ {} | head -n {limit}", self.typed);
        let output = self
            .command
            .output()
            .map_err(Error::system("run sockpulse"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for line in text.lines().take(limit) {
            println!("{line}");
        }
        let more = text.lines().count().saturating_sub(limit);
        if more > 0 {
            println!("… and {more} more lines");
        }
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        self.expect_answer(output.status)?;
        Ok(text)
    }

    /// An incomplete answer (code 3) is one too: sockpulse itself says what is missing.
    fn expect_answer(&self, status: ExitStatus) -> Result<()> {
        if status.code() == Some(3) {
            return Ok(());
        }
        process::expect_success(&self.command, status)
    }
}
