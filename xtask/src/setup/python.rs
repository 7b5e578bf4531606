//! What the tests take from Python's registry: programs that Debian has not, or not new enough.
//! They go into a folder of the build and touch nothing else of the machine.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Every package with its version, dependencies too.
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Where the tests look for them.
fn folder() -> PathBuf {
    process::workspace().join("target/tools")
}

/// Installs what [`REQUIREMENTS`] says, unless that has been done.
///
/// # Errors
/// [`Error::Exit`] when pip fails; [`Error::File`] when the folder cannot be written.
pub(super) fn install(interrupt: &Interrupt) -> Result<()> {
    let folder = folder();
    let done = folder.join("requirements.txt");
    if fs::read_to_string(&done).is_ok_and(|text| text == REQUIREMENTS) {
        println!(
            "tools: all of Python's registry are in {}",
            folder.display()
        );
        return Ok(());
    }
    // Whatever an older list or a broken installation left.
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(Error::file("remove", &folder))?;
    }
    let list = process::workspace().join("xtask/src/setup/requirements.txt");
    let mut pip = Command::new("python3");
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-compile",
    ])
    .args(["--disable-pip-version-check", "--only-binary", ":all:"])
    .arg("--target")
    .arg(&folder)
    .arg("--requirement")
    .arg(list)
    .env("PIP_ROOT_USER_ACTION", "ignore");
    println!("$ {}", process::typed(&pip));
    process::run(pip.stdin(Stdio::null()), interrupt)?;
    compile_library_of_go(interrupt)?;
    fs::write(&done, REQUIREMENTS).map_err(Error::file("write", &done))
}

/// Go comes without its library compiled, which takes longer than a test should; the tests use the
/// same folder and the same settings.
fn compile_library_of_go(interrupt: &Interrupt) -> Result<()> {
    let mut go = Command::new(folder().join("go/bin/go"));
    go.args(["build", "context", "io", "net", "os", "syscall", "time"])
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOPATH", folder().join("go-path"))
        .env("GOCACHE", folder().join("go-cache"));
    println!("$ {}", process::typed(&go));
    process::run(go.stdin(Stdio::null()), interrupt)
}
