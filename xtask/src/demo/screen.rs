//! How the demo talks: numbered steps, and each command as the reader could type it.

use std::process::Command;

use crate::process;

/// Counts the steps.
#[derive(Debug, Default)]
pub(super) struct Screen {
    step: u8,
}

impl Screen {
    /// A screen that goes on after that many steps.
    pub(super) fn after(step: u8) -> Self {
        Self { step }
    }

    /// Announces the next step in one line.
    pub(super) fn step(&mut self, title: &str) {
        self.step += 1;
        println!("\n[{}] {title}", self.step);
    }

    /// Shows a command that is run now.
    pub(super) fn command(&self, command: &Command) {
        println!("$ {}", process::typed(command));
    }
}
