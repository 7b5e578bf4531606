//! `cargo xtask bench list [--connections N]`: how fast sockets are read, beside ss and beside bare
//! dumps, all measured in one run.
//!
//! The connections are real ones over loopback, opened in namespaces of their own (network, pid and
//! mount): no reader sees anything else, nothing outside is opened, and when the first process of
//! the pid namespace ends, however that comes about, the kernel ends the others with it.
//!
//! ```text
//! bench list            builds the product, enters the namespaces, waits
//!   bench stage N       pid 1 in there: starts holders, measures, prints; ends when its stdin does
//!     bench hold I N    opens N connections and holds them until its stdin ends
//!     bench floor KIND  one bare dump, without joining, judging or formatting
//! bench apply           the same, and sets every socket
//!   bench setting P N   pid 1 in there
//!     bench walk KIND   the kernel's iterator by itself, that dumps or sets
//! ```

mod apply;
mod connect;
mod floor;
mod hold;
mod measure;
mod report;
mod running;
mod stage;
mod walking;
mod watching;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Connections of the full measurement: a million sockets.
const FULL: u32 = 500_000;

/// Connections that are set: a hundred thousand sockets.
const SOME: u32 = 50_000;

/// The whole measurement is ended after this long.
const LIMIT: Duration = Duration::from_secs(1800);

/// Runs `bench WORDS`.
///
/// # Errors
/// [`Error::UnknownCommand`]; [`Error::NeedsRoot`]; [`Error::Late`] after half an hour; whatever a step of
/// it fails with.
pub(crate) fn run(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    match words {
        ["list"] => list(FULL, interrupt),
        ["list", "--connections", count] => list(number(count, words)?, interrupt),
        ["apply"] => apply(&built(interrupt)?, SOME, interrupt),
        ["apply", "--connections", count] => {
            apply(&built(interrupt)?, number(count, words)?, interrupt)
        }
        // With a product that is built already.
        ["apply", product] => apply(Path::new(product), SOME, interrupt),
        ["setting", product, count] => apply::run(Path::new(product), number(count, words)?),
        ["connect"] => connect::run(interrupt),
        ["connect-stage"] => connect::stage(),
        ["watch"] => watching::run(interrupt),
        ["watch-stage"] => watching::stage(),
        ["run"] => running::run(interrupt),
        // With a product that is built already.
        ["run", product] => running::measure(Path::new(product), interrupt),
        ["stage", count] => stage::run(number(count, words)?),
        ["hold", index, count] => hold::run(number(index, words)?, number(count, words)?),
        ["floor", kind] => floor::run(kind),
        ["walk", kind] => walking::run(kind),
        _ => Err(unknown(words)),
    }
}

fn number(text: &str, words: &[&str]) -> Result<u32> {
    text.parse().map_err(|_| unknown(words))
}

fn unknown(words: &[&str]) -> Error {
    Error::UnknownCommand(format!("bench {}", words.join(" ")))
}

fn list(connections: u32, interrupt: &Interrupt) -> Result<ExitCode> {
    built(interrupt)?;
    staged(&["stage".into(), connections.to_string().into()], interrupt)
}

/// Every socket of so many connections is set, and put back.
fn apply(product: &Path, connections: u32, interrupt: &Interrupt) -> Result<ExitCode> {
    let words = [
        "setting".into(),
        product.into(),
        connections.to_string().into(),
    ];
    staged(&words, interrupt)
}

/// Builds the product as it is shipped.
fn built(interrupt: &Interrupt) -> Result<PathBuf> {
    if !process::is_root() {
        return Err(Error::NeedsRoot("measure: BPF and namespaces"));
    }
    let build = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "sockpulse-cli",
    ];
    process::run(&mut process::cargo(build), interrupt)?;
    Ok(process::target_directory()?.join("release/sockpulse"))
}

/// Runs `bench WORDS` as the first process of namespaces of its own.
fn staged(words: &[OsString], interrupt: &Interrupt) -> Result<ExitCode> {
    if !process::is_root() {
        return Err(Error::NeedsRoot("measure: BPF and namespaces"));
    }
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--pid", "--kill-child", "--mount-proc"])
        .arg("--")
        .arg(own)
        .arg("bench")
        .args(words)
        .stdin(Stdio::piped());
    let mut stage = Stage(process::spawn(&mut unshare)?);
    let mut status = None;
    interrupt.wait_until("the end of the measurement", LIMIT, || {
        status = stage
            .0
            .try_wait()
            .map_err(Error::system("wait for a child process"))?;
        Ok(status.is_some())
    })?;
    match status {
        Some(status) if status.success() => Ok(ExitCode::SUCCESS),
        // It has said why.
        _ => Ok(ExitCode::FAILURE),
    }
}

/// The namespaces' first process, seen from outside.
struct Stage(Child);

impl Drop for Stage {
    fn drop(&mut self) {
        // The end of its stdin ends it, and with it every process in its pid namespace.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}
