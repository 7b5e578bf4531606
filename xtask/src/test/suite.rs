//! The step that runs the tests, and the tests that skipped themselves.
//!
//! A test that lacks a privilege writes a line `SKIPPED: needs …` and passes. That is fine for a
//! developer without root, and a hole in continuous integration: there, and as root, it fails.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::Stdio;

use super::PRODUCT;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

const MARK: &str = "SKIPPED:";

/// Runs every test of the workspace, by nextest where it is installed.
pub(super) fn run(interrupt: &Interrupt) -> Result<()> {
    let (result, skipped) = if process::is_in_path("cargo-nextest") {
        nextest(interrupt)?
    } else {
        println!("  cargo-nextest is not installed: cargo test runs instead, without time limits");
        cargo_test(interrupt)?
    };
    for line in &skipped {
        println!("  {line}");
    }
    result?;
    let must_run_all = process::is_root() || std::env::var_os("CI").is_some();
    if skipped.is_empty() || !must_run_all {
        return Ok(());
    }
    Err(Error::SkippedTests(skipped))
}

/// The result of the run, and the tests that skipped themselves.
type Ran = (Result<()>, Vec<String>);

fn nextest(interrupt: &Interrupt) -> Result<Ran> {
    let report = report_path();
    match std::fs::remove_file(&report) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::file("remove", report)(error));
        }
        _ => {}
    }
    let mut command = process::cargo(["nextest", "run", "--locked", "--workspace"]);
    command.args(["--features", PRODUCT, "--profile", "ci"]);
    println!("$ {}", process::typed(&command));
    let result = process::run(&mut command, interrupt);
    if matches!(result, Err(Error::Interrupted)) {
        return Err(Error::Interrupted);
    }
    let skipped = match std::fs::read_to_string(&report) {
        Ok(text) => skipped_in_report(&text),
        // No report is no news only when the run itself failed.
        Err(error) if result.is_ok() => return Err(Error::file("read", report)(error)),
        Err(_) => Vec::new(),
    };
    Ok((result, skipped))
}

/// Where the profile `ci` of `.config/nextest.toml` puts its report.
fn report_path() -> PathBuf {
    process::workspace().join("target/nextest/ci/junit.xml")
}

/// The tests of a JUnit report that wrote a line with [`MARK`], with that line.
fn skipped_in_report(report: &str) -> Vec<String> {
    let mut test = String::new();
    let mut skipped = Vec::new();
    for line in report.lines() {
        if let Some((_, rest)) = line.split_once("<testcase name=\"") {
            test = unescaped(rest.split('"').next().unwrap_or_default());
        }
        if let Some(at) = line.find(MARK) {
            let reason = line[at..].split('<').next().unwrap_or_default();
            skipped.push(format!("{test}: {}", unescaped(reason.trim_end())));
        }
    }
    skipped
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}

fn cargo_test(interrupt: &Interrupt) -> Result<Ran> {
    let mut command = process::cargo(["test", "--locked", "--workspace", "--all-targets"]);
    command.args([
        "--features",
        PRODUCT,
        "--no-fail-fast",
        "--",
        "--show-output",
    ]);
    println!("$ {}", process::typed(&command));
    let mut child = process::spawn(command.stdout(Stdio::piped()))?;
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut skipped = Vec::new();
        for line in stdout
            .into_iter()
            .flat_map(|out| BufReader::new(out).lines())
        {
            let Ok(line) = line else { break };
            println!("{line}");
            if line.contains(MARK) {
                skipped.push(line);
            }
        }
        skipped
    });
    let status = process::wait(child, interrupt)?;
    let skipped = reader.join().unwrap_or_default();
    let result = process::expect_success(&command, status);
    Ok((result, skipped))
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="2">
    <testsuite name="sockpulse-linux" tests="2">
        <testcase name="netns::root_enters" classname="sockpulse-linux" time="0.01">
            <system-out>running 1 test
</system-out>
            <system-err>SKIPPED: needs CAP_SYS_ADMIN &amp; a kernel &gt;= 5.8</system-err>
        </testcase>
        <testcase name="reads_sysctls" classname="sockpulse-linux" time="0.01">
            <system-err>nothing to say</system-err>
        </testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn a_test_that_skipped_itself_is_found_in_the_report() {
        assert_eq!(
            skipped_in_report(REPORT),
            ["netns::root_enters: SKIPPED: needs CAP_SYS_ADMIN & a kernel >= 5.8"]
        );
    }

    #[test]
    fn a_report_without_the_mark_has_none() {
        assert!(skipped_in_report(&REPORT.replace(MARK, "ran:")).is_empty());
    }
}
