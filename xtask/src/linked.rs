//! The commands that link the product: built by a second cargo, with the feature `product`, once
//! the packages for that are installed.

use std::process::{Command, ExitCode};

use crate::error::Result;
use crate::interrupt::Interrupt;
use crate::{process, setup};

/// Makes sure of the packages, then runs `words` in an xtask that links the product. Its exit
/// code is handed on.
pub(crate) fn run(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    setup::run(interrupt)?;
    let status = process::status(&mut command(words), interrupt)?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}

/// As [`run`], for a caller that has made sure of the packages and takes failure for an error.
pub(crate) fn run_step(words: &[&str], interrupt: &Interrupt) -> Result<()> {
    process::run(&mut command(words), interrupt)
}

/// `bench` is built optimised, all else as tests are.
fn command(words: &[&str]) -> Command {
    let profile = if words.first() == Some(&"bench") {
        "release"
    } else {
        "dev"
    };
    let options = ["run", "--quiet", "--package", "xtask"];
    let options = options.into_iter().chain(["--features", "product"]);
    let options = options.chain(["--profile", profile, "--"]);
    process::cargo(options.chain(words.iter().copied()))
}
