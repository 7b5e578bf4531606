//! `cargo xtask test`: everything that continuous integration checks, in one command.
//!
//! Every step runs even when an earlier one failed; the tests come last, so that their summary is
//! what is left on the screen.

mod suite;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::{architecture, linked, process, setup};

/// The feature of this crate for its commands that link the product.
const PRODUCT: &str = "xtask/product";

type Run = fn(&Interrupt) -> Result<()>;

const STEPS: [(&str, Run); 7] = [
    ("format", format),
    ("lints", lints),
    ("architecture", |_| architecture::check()),
    ("dependencies", dependencies),
    ("generated files", generated_files),
    ("documentation tests", documentation_tests),
    ("tests", suite::run),
];

struct Outcome {
    step: &'static str,
    took: Duration,
    passed: bool,
}

/// Runs all steps and says at the end which failed.
///
/// # Errors
/// [`Error::Steps`] with the names of those that failed; a failed setup; [`Error::Interrupted`].
pub(crate) fn run(interrupt: &Interrupt) -> Result<ExitCode> {
    setup::all(interrupt)?;
    let mut outcomes = Vec::new();
    for (step, run) in STEPS {
        println!("\n== {step}");
        let start = Instant::now();
        let result = run(interrupt);
        let took = start.elapsed();
        match &result {
            Ok(()) => println!("== {step}: passed in {:.1} s", took.as_secs_f64()),
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => {
                println!("== {step}: failed to {error}");
                for hint in error.hints() {
                    println!("   hint: {hint}");
                }
            }
        }
        outcomes.push(Outcome {
            step,
            took,
            passed: result.is_ok(),
        });
    }
    summary(&outcomes)
}

fn summary(outcomes: &[Outcome]) -> Result<ExitCode> {
    println!();
    for outcome in outcomes {
        let verdict = if outcome.passed { "passed" } else { "FAILED" };
        let seconds = outcome.took.as_secs_f64();
        println!("{verdict}  {:20} {seconds:7.1} s", outcome.step);
    }
    let failed: Vec<&'static str> = outcomes
        .iter()
        .filter(|outcome| !outcome.passed)
        .map(|outcome| outcome.step)
        .collect();
    if failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Error::Steps(failed))
}

fn format(interrupt: &Interrupt) -> Result<()> {
    shown(&["fmt", "--all", "--check"], interrupt)
}

fn lints(interrupt: &Interrupt) -> Result<()> {
    // With the commands that link the product, and as it is built on a fresh machine.
    let all = ["clippy", "--locked", "--workspace", "--features", PRODUCT];
    let fresh = ["clippy", "--locked", "--package", "xtask"];
    for words in [&all[..], &fresh[..]] {
        let rest = ["--all-targets", "--", "-D", "warnings"];
        shown(&[words, &rest].concat(), interrupt)?;
    }
    // What is only in the shared object.
    let object = ["clippy", "--locked", "--package", "sockpulse-preload"];
    let rest = ["--lib", "--features", "object", "--", "-D", "warnings"];
    shown(&[&object[..], &rest].concat(), interrupt)
}

fn dependencies(interrupt: &Interrupt) -> Result<()> {
    if !process::is_in_path("cargo-deny") {
        println!("  not checked: cargo-deny is not installed (cargo install --locked cargo-deny)");
        return Ok(());
    }
    shown(&["deny", "check", "--hide-inclusion-graph"], interrupt)
}

fn generated_files(interrupt: &Interrupt) -> Result<()> {
    linked::run_step(&["generate", "--check"], interrupt)
}

fn documentation_tests(interrupt: &Interrupt) -> Result<()> {
    shown(&["test", "--locked", "--workspace", "--doc"], interrupt)
}

fn shown(words: &[&str], interrupt: &Interrupt) -> Result<()> {
    let mut command = process::cargo(words.iter().copied());
    println!("$ {}", process::typed(&command));
    process::run(&mut command, interrupt)
}
