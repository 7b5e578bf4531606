//! Other people's programs: finding, starting, ending them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::listing::{memory_file, run};
use crate::kit::netns::Netns;

/// Where `cargo xtask setup` puts what comes from Python's registry.
pub(crate) fn tools() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools")
}

/// Whether the test may go on: it has root and each program is there. Says loudly what is missing.
pub(crate) fn ready(test: &str, programs: &[&Path]) -> bool {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_BPF)");
        return false;
    }
    for program in programs {
        if find(program).is_none() {
            eprintln!(
                "SKIPPED: {test} needs {}: cargo xtask setup",
                program.display()
            );
            return false;
        }
    }
    true
}

/// A program by path, or by name in the folders where Debian puts them.
pub(crate) fn find(program: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    // The newest PostgreSQL.
    let mut postgresql: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .collect();
    postgresql.sort();
    folders.extend(postgresql.into_iter().rev());
    folders
        .into_iter()
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

/// A command of a program that [`ready`] has found.
pub(crate) fn command(program: impl AsRef<Path>) -> Command {
    Command::new(find(program.as_ref()).unwrap())
}

/// Runs a command in the namespace, with a limit, and returns what it said on stdout.
///
/// # Panics
/// When it fails.
pub(crate) fn said(netns: &Netns, command: &mut Command) -> String {
    let ran = netns.run(|| run(command));
    let stdout = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert_eq!(ran.status, Some(0), "{command:?}: {stdout}{}", ran.stderr);
    stdout
}

/// A program that runs until this is dropped.
pub(crate) struct Daemon {
    child: Child,
    signal: Signal,
}

impl Daemon {
    /// Starts it in the namespace; its output goes into a memory file. `signal` ends it.
    pub(crate) fn start(netns: &Netns, command: &mut Command, signal: Signal) -> Self {
        let output = memory_file();
        command
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output);
        let child = netns.run(|| command.spawn());
        let child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self { child, signal }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Programs of ours end with their stdin.
        drop(self.child.stdin.take());
        let _ = kill_process(Pid::from_child(&self.child), self.signal);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that everybody may enter, removed in the end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// A new one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sockpulse-recipe-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Self(path)
    }

    /// A path in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
