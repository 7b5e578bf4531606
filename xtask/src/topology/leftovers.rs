//! What a topology leaves behind whose owner was killed before it could clean up.

use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result};
use crate::process;

/// Removes the topologies of this `kind` whose owner is gone: the processes in their namespaces,
/// the namespaces, the folders. Returns what was removed, by name.
pub(crate) fn remove_leftovers(kind: &str) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for namespace in namespaces()? {
        if owner(&namespace, kind).is_some_and(|pid| !is_running(pid)) {
            kill_processes_in(&namespace)?;
            process::output(Command::new("ip").args(["netns", "delete", &namespace]))?;
            removed.push(namespace);
        }
    }
    for (name, path) in folders()? {
        if owner(&name, kind).is_some_and(|pid| !is_running(pid)) {
            std::fs::remove_dir_all(&path).map_err(Error::file("remove", &path))?;
            removed.push(path.display().to_string());
        }
    }
    Ok(removed)
}

/// The named network namespaces of this machine.
pub(super) fn namespaces() -> Result<Vec<String>> {
    let list = process::output(Command::new("ip").args(["netns", "list"]))?;
    // A line is `NAME` or `NAME (id: 3)`.
    let names = list.lines().filter_map(|line| line.split(' ').next());
    Ok(names.map(str::to_owned).collect())
}

/// The process id in `KIND-PID` or `KIND-PID-HOST`.
fn owner(name: &str, kind: &str) -> Option<u32> {
    let rest = name.strip_prefix(kind)?.strip_prefix('-')?;
    rest.split('-').next()?.parse().ok()
}

/// Whether `pid` is a program of the same name as this one; the number alone may have been given
/// to another process since.
fn is_running(pid: u32) -> bool {
    let comm = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm"));
    match (comm(pid), comm(std::process::id())) {
        (Ok(other), Ok(own)) => other == own,
        _ => false,
    }
}

fn kill_processes_in(namespace: &str) -> Result<()> {
    let pids = process::output(Command::new("ip").args(["netns", "pids", namespace]))?;
    for pid in pids.lines().filter_map(|line| line.trim().parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            match kill_process(pid, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => return Err(Error::system("kill a leftover process")(error)),
            }
        }
    }
    Ok(())
}

fn folders() -> Result<Vec<(String, PathBuf)>> {
    let root = std::env::temp_dir();
    let entries = std::fs::read_dir(&root).map_err(Error::file("read", root))?;
    Ok(entries
        .flatten()
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path(),
            )
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_the_number_after_the_kind() {
        for (name, expected) in [
            ("sockpulse-demo-4242-client1", Some(4242)),
            ("sockpulse-demo-4242", Some(4242)),
            ("sockpulse-demo", None),
            ("sockpulse-demo-client1", None),
            ("other-4242-client1", None),
        ] {
            assert_eq!(owner(name, "sockpulse-demo"), expected, "{name}");
        }
    }

    #[test]
    fn this_process_is_running_and_an_impossible_one_is_not() {
        assert!(is_running(std::process::id()));
        assert!(!is_running(u32::MAX));
    }

    #[test]
    fn root_the_topology_of_a_dead_owner_is_removed() {
        if !process::is_root() {
            eprintln!("SKIPPED: needs CAP_SYS_ADMIN for namespaces");
            return;
        }
        // No process can have this number: pid_max is 2^22 at most.
        let namespace = "sockpulse-test-leftover-4194305-server";
        let folder = std::env::temp_dir().join("sockpulse-test-leftover-4194305");
        process::output(Command::new("ip").args(["netns", "add", namespace])).expect("ip netns");
        std::fs::create_dir_all(&folder).expect("a folder");
        let removed = remove_leftovers("sockpulse-test-leftover").expect("removed");
        assert_eq!(removed.len(), 2, "{removed:?}");
        assert!(!namespaces().expect("list").contains(&namespace.to_owned()));
        assert!(!folder.exists());
    }
}
