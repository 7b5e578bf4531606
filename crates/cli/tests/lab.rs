//! The lab as a user meets it: without root, and when it is killed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use assert_cmd::cargo::cargo_bin;

fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED: {test} needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW)");
    }
    root
}

/// Looks again and again until there is something.
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within 30 s");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A copy of the binary that everybody may run.
struct Open {
    folder: tempfile::TempDir,
}

impl Open {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::copy(cargo_bin!("sockpulse"), folder.path().join("sockpulse")).unwrap();
        Self { folder }
    }

    /// The lab as a user without any right.
    fn lab(&self, words: &str) -> Child {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--inh-caps=-all", "--bounding-set=-all"]);
        command.arg(self.folder.path().join("sockpulse")).arg("lab");
        command.args(words.split(' ')).args(["-o", "json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }
}

/// One of each kind of fault: every program and sysctl that the lab uses.
const KINDS: [&str; 10] = [
    "vanish",
    "vanish-ipv6",
    "nat-silent",
    "nat-rebooted-strict",
    "power-cycle",
    "peer-stopped",
    "own-link-down",
    "zero-window-gone --user-timeout 3s",
    "connect-nowhere-old",
    "orphan",
];

#[test]
fn root_deaths_in_a_lab_without_root_are_as_predicted() {
    if !is_root("a user without rights") {
        return;
    }
    let open = Open::new();
    let running = KINDS.map(|words| (words, open.lab(words)));
    for (words, child) in running {
        let Output {
            status,
            stdout,
            stderr,
        } = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&stderr);
        assert!(status.success(), "{words}: {status} {said}");
        let document: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
        assert_eq!(document["machine"]["rights"], "user namespace", "{words}");
        assert_eq!(document["runs"][0]["verdict"], "holds", "{words}");
    }
}

/// The processes that a process has started.
fn children(parent: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| {
            let pids = text.split_whitespace().filter_map(|pid| pid.parse().ok());
            pids.collect::<Vec<u32>>()
        })
        .collect()
}

/// The network namespaces that the threads of a process are in.
fn namespaces(pid: &Path) -> BTreeSet<PathBuf> {
    let tasks = fs::read_dir(pid.join("task"));
    let tasks = tasks.into_iter().flatten().flatten();
    tasks
        .filter_map(|task| fs::read_link(task.path().join("ns/net")).ok())
        .collect()
}

fn program(pid: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim().to_owned())
}

#[test]
fn root_a_lab_that_is_killed_leaves_nothing_behind() {
    if !is_root("a lab") {
        return;
    }
    let mut lab = Command::new(cargo_bin!("sockpulse"));
    lab.args(["lab", "peer-stopped"]);
    let mut lab = lab
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let held = wait_for("the server's process", || {
        let mut sleeping = children(lab.id()).into_iter();
        sleeping.find(|pid| program(*pid).as_deref() == Some("sleep"))
    });
    let own = namespaces(Path::new("/proc/self"));
    let theirs = namespaces(&PathBuf::from(format!("/proc/{}", lab.id())));
    let theirs: BTreeSet<PathBuf> = theirs.difference(&own).cloned().collect();
    assert_eq!(theirs.len(), 3, "client, router, server: {theirs:?}");
    let named = || fs::read_dir("/run/netns").map_or(0, Iterator::count);
    let before = named();

    lab.kill().unwrap();
    lab.wait().unwrap();
    wait_for("the end of the server's process", || {
        (program(held).as_deref() != Some("sleep")).then_some(())
    });
    wait_for("the end of the namespaces", || {
        let all = fs::read_dir("/proc").unwrap().flatten();
        let left = all.flat_map(|process| namespaces(&process.path()));
        left.into_iter()
            .all(|namespace| !theirs.contains(&namespace))
            .then_some(())
    });
    assert_eq!(named(), before, "the lab gives no names");
}
