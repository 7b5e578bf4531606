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

    /// What it writes to stdout. Its stderr is shown.
    pub(super) fn output(&mut self) -> Result<String> {
        let output = self
            .command
            .output()
            .map_err(Error::system("run sockpulse"))?;
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
        self.expect_answer(output.status)?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// An incomplete answer (code 3) is one too: sockpulse itself says what is missing.
    fn expect_answer(&self, status: ExitStatus) -> Result<()> {
        if status.code() == Some(3) {
            return Ok(());
        }
        process::expect_success(&self.command, status)
    }
}
