//! `cargo xtask bench run`: what `sockpulse run` costs a connection, in C and in Go, by both methods and
//! beside the same program alone. Everything is loopback; no privilege is needed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Rounds, each with every way once, so that what else the machine does falls on all of them.
const ROUNDS: usize = 7;

/// Connections of one run.
const CONNECTIONS: &str = "4000";

/// The settings, every one of which costs a system call.
const SETTINGS: [&str; 8] = [
    "--idle",
    "60s",
    "--interval",
    "10s",
    "--probes",
    "6",
    "--user-timeout",
    "auto",
];

/// What a method may add to a connection, and what one may take in all, microseconds.
const PRELOAD_ADDS: f64 = 10.0;
const SECCOMP_TAKES: f64 = 80.0;

/// Builds the product and the programs, and measures.
pub(super) fn run(interrupt: &Interrupt) -> Result<ExitCode> {
    let build = [
        "build",
        "--quiet",
        "--release",
        "--package",
        "sockpulse-cli",
    ];
    process::run(&mut process::cargo(build), interrupt)?;
    process::run(&mut process::cargo(["--quiet", "preload"]), interrupt)?;
    measure(
        &process::target_directory()?.join("release/sockpulse"),
        interrupt,
    )
}

/// Measures with a product that is there, and the library beside it.
pub(super) fn measure(product: &Path, interrupt: &Interrupt) -> Result<ExitCode> {
    let c = compile_c(interrupt)?;
    print!("{}", table("C", &c, product, interrupt)?);
    match compile_go(interrupt)? {
        Some(go) => print!("{}", table("Go, static", &go, product, interrupt)?),
        None => println!("Go is not measured: cargo xtask setup"),
    }
    Ok(ExitCode::SUCCESS)
}

/// How a program is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Alone,
    Preload,
    Seccomp,
    Override,
}

impl Way {
    const ALL: [Self; 4] = [Self::Alone, Self::Preload, Self::Seccomp, Self::Override];

    const fn name(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Preload => "preload",
            Self::Seccomp => "seccomp",
            Self::Override => "seccomp, override",
        }
    }

    fn command(self, product: &Path, program: &Path) -> Command {
        let (method, mode) = match self {
            Self::Alone => {
                let mut command = Command::new(program);
                command.arg(CONNECTIONS);
                return command;
            }
            Self::Preload => ("preload", "fill"),
            Self::Seccomp => ("seccomp", "fill"),
            Self::Override => ("seccomp", "override"),
        };
        let mut command = Command::new(product);
        command
            .args(["run", "--method", method, "--mode", mode])
            .args(SETTINGS)
            .arg("--")
            .arg(program)
            .arg(CONNECTIONS);
        command
    }
}

/// Each figure of each way, one value a round.
type Figures = BTreeMap<String, BTreeMap<Way, Vec<f64>>>;

fn table(language: &str, program: &Path, product: &Path, interrupt: &Interrupt) -> Result<String> {
    let is_static = language != "C";
    let ways = Way::ALL.into_iter();
    let ways: Vec<Way> = ways
        .filter(|way| !(is_static && *way == Way::Preload))
        .collect();
    let mut figures = Figures::new();
    for _ in 0..ROUNDS {
        for way in &ways {
            interrupt.check()?;
            let said = process::output(&mut way.command(product, program))?;
            for line in said.lines() {
                let (name, value) = line.split_once(' ').unwrap_or((line, ""));
                let value = value.parse().map_err(|_| Error::Unexpected(said.clone()))?;
                let of_name = figures.entry(name.to_owned()).or_default();
                of_name.entry(*way).or_default().push(value);
            }
        }
    }
    Ok(text(language, &figures))
}

fn text(language: &str, figures: &Figures) -> String {
    let mut text = format!(
        "\n{language}: microseconds, medians of {ROUNDS} rounds of {CONNECTIONS} connections\n\
         {:24}{:>10}{:>10}{:>10}{:>10}\n",
        "", "median", "fastest", "slowest", "added"
    );
    for (name, ways) in figures {
        let base = ways
            .get(&Way::Alone)
            .map_or(f64::NAN, |values| median(values));
        for (way, values) in ways {
            let value = median(values);
            let fastest = values.iter().copied().fold(f64::INFINITY, f64::min);
            let slowest = values.iter().copied().fold(0.0, f64::max);
            let added = value - base;
            let goal = match (name.as_str(), way) {
                ("connection", Way::Preload) => goal("adds", PRELOAD_ADDS, added),
                // A program that alone takes as long has a goal of its own.
                ("connection", Way::Seccomp) if base < SECCOMP_TAKES / 2.0 => {
                    goal("takes", SECCOMP_TAKES, value)
                }
                ("connection", Way::Seccomp) => goal("adds", SECCOMP_TAKES, added),
                _ => String::new(),
            };
            let what = format!("{}, {}", shown(name), way.name());
            text +=
                &format!("{what:34}{value:>9.2}{fastest:>9.2}{slowest:>9.2}{added:>+9.2}{goal}\n");
        }
    }
    text
}

fn goal(verb: &str, limit: f64, value: f64) -> String {
    let reached = if value <= limit { "reached" } else { "MISSED" };
    format!("   goal: {verb} at most {limit}, {reached}")
}

fn shown(name: &str) -> &str {
    match name {
        "call" => "getppid",
        "block" => "16 KiB of data",
        name => name,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

fn folder() -> Result<PathBuf> {
    let folder = process::target_directory()?.join("bench");
    std::fs::create_dir_all(&folder).map_err(Error::system("make a folder"))?;
    Ok(folder)
}

fn source(name: &str) -> PathBuf {
    process::workspace()
        .join("xtask/src/bench/running")
        .join(name)
}

fn compile_c(interrupt: &Interrupt) -> Result<PathBuf> {
    let program = folder()?.join("client-c");
    let mut compile = Command::new("cc");
    compile
        .arg("-O2")
        .arg("-o")
        .arg(&program)
        .arg(source("client.c"));
    process::run(&mut compile, interrupt)?;
    Ok(program)
}

/// `None` where Go is not there.
fn compile_go(interrupt: &Interrupt) -> Result<Option<PathBuf>> {
    let tools = process::workspace().join("target/tools");
    let go = tools.join("go/bin/go");
    if !go.is_file() {
        return Ok(None);
    }
    let program = folder()?.join("client-go");
    let mut build = Command::new(go);
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(source("client.go"))
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOPATH", tools.join("go-path"))
        .env("GOCACHE", tools.join("go-cache"));
    process::run(&mut build, interrupt)?;
    Ok(Some(program))
}
