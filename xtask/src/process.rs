//! Running other programs: always with an argument vector, never through a shell.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Error, Result};
use crate::interrupt::{Interrupt, Wake};

/// The root of the workspace.
pub(crate) fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask lives in a folder of the workspace")
}

/// The folder in which cargo builds: this program was built into `TARGET/PROFILE/`.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    Ok(own
        .ancestors()
        .nth(2)
        .map_or_else(|| workspace().join("target"), Path::to_owned))
}

/// A command of the cargo that runs this program, in the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    command
}

/// Whether the effective user is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The command as a reader would type it.
pub(crate) fn typed(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = if program.ends_with("cargo") {
        OsStr::new("cargo")
    } else {
        program.as_os_str()
    };
    let mut text = quoted(program);
    for argument in command.get_args() {
        text.push(' ');
        text.push_str(&quoted(argument));
    }
    text
}

/// Runs a command in the foreground, with this process's terminal, and waits for its end.
///
/// After a signal the command gets SIGTERM, unless it got the Ctrl-C itself, and is still waited
/// for, so that nothing is left half done behind our back; a second signal kills it.
///
/// # Errors
/// [`Error::Start`]; [`Error::Interrupted`]. Any exit status is a success here.
pub(crate) fn status(command: &mut Command, interrupt: &Interrupt) -> Result<ExitStatus> {
    interrupt.check()?;
    let child = spawn(command)?;
    wait(child, interrupt)
}

/// As [`status`], but a status other than 0 is [`Error::Exit`].
pub(crate) fn run(command: &mut Command, interrupt: &Interrupt) -> Result<()> {
    let status = status(command, interrupt)?;
    expect_success(command, status)
}

/// Runs a short command to its end and returns what it wrote to stdout.
///
/// # Errors
/// [`Error::Start`]; [`Error::Exit`], after showing what it wrote to stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::Start {
            program: typed_program(command),
            source,
        })?;
    if !output.status.success() {
        eprint!("{}", String::from_utf8_lossy(&output.stderr));
    }
    expect_success(command, output.status)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Starts a command without waiting for it.
pub(crate) fn spawn(command: &mut Command) -> Result<Child> {
    command.spawn().map_err(|source| Error::Start {
        program: typed_program(command),
        source,
    })
}

/// Waits for the end of a child, see [`status`].
pub(crate) fn wait(mut child: Child, interrupt: &Interrupt) -> Result<ExitStatus> {
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())
        .map_err(Error::system("open a pidfd"))?;
    let mut asked = false;
    while interrupt.wait_for(&pidfd)? == Wake::Interrupted {
        // Some programs take a second signal for impatience and leave everything as it lies, so
        // none is sent to one that got its own. An error is fine: it has just ended.
        let _ = match (asked, interrupt.is_known_to_children()) {
            (false, true) => Ok(()),
            (false, false) => pidfd_send_signal(&pidfd, Signal::TERM),
            (true, _) => pidfd_send_signal(&pidfd, Signal::KILL),
        };
        asked = true;
    }
    let status = child
        .wait()
        .map_err(Error::system("wait for a child process"))?;
    interrupt.check()?;
    Ok(status)
}

/// Whether a program of that name is in `PATH` or a system folder.
pub(crate) fn is_in_path(program: &str) -> bool {
    // Where `ip` and `nft` are, which the PATH of a plain user does not name.
    let system = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(system)
        .any(|folder| folder.join(program).is_file())
}

/// [`Error::Exit`] unless the status is 0.
pub(crate) fn expect_success(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() {
        return Ok(());
    }
    Err(Error::Exit {
        command: typed(command),
        status,
    })
}

fn typed_program(command: &Command) -> String {
    command.get_program().to_string_lossy().into_owned()
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let mut command = Command::new("redis-server");
        command.args(["--save", "", "--name", "it's"]);
        assert_eq!(typed(&command), r"redis-server --save '' --name 'it'\''s'");
    }

    #[test]
    fn programs_are_looked_up_in_path() {
        assert!(is_in_path("sh"));
        assert!(!is_in_path("no-such-program-anywhere"));
    }

    #[test]
    fn a_failing_command_is_named_with_its_status() {
        let error = output(Command::new("sh").args(["-c", "exit 3"])).expect_err("exit 3");
        assert_eq!(
            error.to_string(),
            "run sh -c 'exit 3': it ended with exit status: 3"
        );
    }
}
