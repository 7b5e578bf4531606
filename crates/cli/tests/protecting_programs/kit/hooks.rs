//! Rules for connections to come that reach no further than a cgroup of the test's own, kept in a bpffs
//! that nobody else sees.

#![expect(unsafe_code, reason = "a thread's own mounts have no safe wrapper")]

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{UnmountFlags, unmount};
use rustix::thread::{UnshareFlags, unshare_unsafe};
use sockpulse_linux::Proc;

use crate::kit::deadline::wait_for;
use crate::kit::stage::Stage;

/// A cgroup and a folder for pins.
pub(crate) struct Hooks {
    cgroup: PathBuf,
    bpffs: PathBuf,
    /// `--pins DIR --cgroup-root DIR`.
    words: [String; 4],
}

impl Hooks {
    /// Makes both; the mounts of the calling thread become its own. `None` without a cgroup v2
    /// hierarchy, which is told.
    pub(crate) fn new(test: &str, stage: &Stage) -> Option<Self> {
        let Some(root) = sockpulse_linux::cgroup::root(&Proc::default()) else {
            eprintln!("SKIPPED: {test} needs a cgroup v2 hierarchy");
            return None;
        };
        // SAFETY: the flag concerns mounts, root and working directory alone.
        unsafe { unshare_unsafe(UnshareFlags::NEWNS) }.expect("unshare(CLONE_NEWNS)");
        run(&["mount", "--make-rprivate", "/"]);
        let bpffs = stage.folder.at("bpf");
        std::fs::create_dir(&bpffs).unwrap();
        run(&["mount", "-t", "bpf", "bpf", bpffs.to_str().unwrap()]);
        let cgroup = root.join(format!("sockpulse-test-{}", std::process::id()));
        std::fs::create_dir(&cgroup).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let words = [
            "--pins".into(),
            text(&bpffs.join("pins")),
            "--cgroup-root".into(),
            text(&cgroup),
        ];
        Some(Self {
            cgroup,
            bpffs,
            words,
        })
    }

    /// What names them to the command.
    pub(crate) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }

    /// The cgroup's path in its hierarchy.
    pub(crate) fn cgroup(&self) -> &str {
        self.cgroup.file_name().unwrap().to_str().unwrap()
    }

    /// The command, started by a process that has moved into the cgroup.
    pub(crate) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]);
        inside.arg(self.cgroup.join("cgroup.procs"));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // What is pinned goes with it, and the programs with that; killed, with this thread's mounts.
        let _ = unmount(&self.bpffs, UnmountFlags::DETACH);
        let removed = || std::fs::remove_dir(&self.cgroup).is_ok() || !self.cgroup.exists();
        if std::thread::panicking() {
            let _ = removed();
        } else {
            wait_for("the cgroup to be empty", || removed().then_some(()));
        }
    }
}

fn run(words: &[&str]) {
    let done = Command::new(words[0]).args(&words[1..]).status();
    assert!(done.unwrap().success(), "{words:?}");
}
