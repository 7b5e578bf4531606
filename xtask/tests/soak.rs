//! A small soak: every kind of connection, asked and ended as in the large one.

use std::path::PathBuf;
use std::process::Command;

/// Where `cargo xtask test` has built the product, beside this crate's program.
fn product() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_xtask")).with_file_name("sockpulse")
}

#[test]
fn root_a_soak_finds_all_deaths_and_spares_the_living() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces");
        return;
    }
    let mut soak = Command::new(env!("CARGO_BIN_EXE_xtask"));
    soak.args(["soak", "--connections", "200", "--rounds", "1"]);
    if product().exists() {
        soak.arg("--product").arg(product());
    }
    let output = soak.output().expect("xtask runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    let reached = text.lines().filter(|line| line.ends_with("| reached |"));
    assert_eq!(reached.count(), 14, "{text}");
}
