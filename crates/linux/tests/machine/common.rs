//! A network namespace for every test that needs one.

use std::process::Command;
use std::time::{Duration, Instant};

/// Set in the process that runs the test's body.
const INSIDE: &str = "SOCKPULSE_TEST_INSIDE";

/// Runs `body` in network and mount namespaces of its own, with `lo` up and an empty `/run`: the test's
/// program is started once more, with the test's full name, under unshare(1). Without root, a user namespace is made too; where
/// that is forbidden, the test is skipped loudly.
pub(crate) fn isolated(test: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == test) {
        sh("ip link set lo up && mount -t tmpfs tmpfs /run");
        body();
        return;
    }
    let namespaces = if is_root() { "-nm" } else { "-Urnm" };
    let possible = Command::new("unshare").args([namespaces, "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {test} needs root or unprivileged user namespaces");
        return;
    }
    let output = Command::new("unshare")
        .arg(namespaces)
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{errors}"
    );
    eprint!("{errors}");
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Skips, loudly, what needs root.
pub(crate) fn needs_root(test: &str) -> bool {
    if !is_root() {
        eprintln!("SKIPPED: {test} needs root");
    }
    is_root()
}

/// Runs the test's program once more as a user without any right, with a variable set for it.
/// To be called in [`isolated()`], whose `/run` takes a copy that everybody may start.
pub(crate) fn as_nobody(test: &str, variable: &str, value: &str) {
    std::fs::copy(std::env::current_exe().unwrap(), "/run/test-program").unwrap();
    sh("chmod 755 /run /run/test-program");
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["/run/test-program", test, "--exact", "--nocapture"])
        .env(variable, value)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a shell command that must succeed and returns what it wrote.
pub(crate) fn sh(command: &str) -> String {
    let output = Command::new("sh").args(["-euc", command]).output().unwrap();
    assert!(
        output.status.success(),
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Waits until `condition` gives a value.
pub(crate) fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
