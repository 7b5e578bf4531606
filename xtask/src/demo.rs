//! `cargo xtask demo`: what sockpulse is for, on real input.
//!
//! A real redis-server that never asks for keepalive, clients on the other side of a router, and
//! most of the client hosts vanish without a word. Redis goes on counting them; sockpulse shows
//! what it does not know.

mod client;
mod redis;
mod scenario;
mod screen;
mod sockpulse;

use std::process::{Command, ExitCode};
use std::time::Instant;

pub(crate) use client::run as client;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::topology::remove_leftovers;
use crate::{process, setup};
use screen::Screen;
use sockpulse::Sockpulse;

/// The word for [`scenario_in_user_namespace`] on the command line.
pub(crate) const SCENARIO: &str = "demo-scenario";
/// The word for [`client()`] on the command line.
pub(crate) const CLIENT: &str = "demo-client";

/// What the names of the demo's namespaces and folders begin with.
const KIND: &str = "sockpulse-demo";

/// Sets up, builds, shows the scenario, then the machine itself.
///
/// Without root the scenario runs in a user namespace, where BPF is not allowed.
pub(crate) fn run(interrupt: &Interrupt) -> Result<ExitCode> {
    let start = Instant::now();
    let mut screen = Screen::default();
    screen.step("the Debian packages that this needs");
    setup::run(interrupt)?;
    screen.step("an optimised sockpulse");
    let mut build = process::cargo(["build", "--release", "--package", "sockpulse-cli"]);
    screen.command(&build);
    process::run(&mut build, interrupt)?;

    let built = Instant::now();
    if process::is_root() {
        for name in remove_leftovers(KIND)? {
            println!("  removed what a killed demo left behind: {name}");
        }
        scenario::run(&mut screen, interrupt)?;
    } else {
        in_user_namespace(&mut screen, interrupt)?;
    }

    screen.step("this machine itself");
    Sockpulse::new(&["audit"])?.show(interrupt)?;
    println!(
        "\ndone in {:.1} s, {:.1} s of it without packages and build",
        start.elapsed().as_secs_f64(),
        built.elapsed().as_secs_f64()
    );
    Ok(ExitCode::SUCCESS)
}

/// The scenario alone, as the first process of a user namespace, see [`run`].
pub(crate) fn scenario_in_user_namespace(interrupt: &Interrupt) -> Result<ExitCode> {
    // `ip netns` keeps the names of namespaces there, and /run belongs to the machine's root.
    let mount = ["-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"];
    process::output(Command::new("mount").args(mount))?;
    let mut screen = Screen::after(STEPS_BEFORE_SCENARIO);
    scenario::run(&mut screen, interrupt)?;
    Ok(ExitCode::SUCCESS)
}

/// How many steps [`run`] shows before the scenario.
const STEPS_BEFORE_SCENARIO: u8 = 2;

fn in_user_namespace(screen: &mut Screen, interrupt: &Interrupt) -> Result<()> {
    println!("\nNot root: the network below is made in a user namespace. Making namespaces needs");
    println!(
        "CAP_SYS_ADMIN and CAP_NET_ADMIN, and BPF is not to be had there, so sockpulse reads by"
    );
    println!("its slower ways. The full picture: sudo -E env PATH=\"$PATH\" cargo xtask demo");
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    let path = std::env::var("PATH").unwrap_or_default();
    let mut unshare = Command::new("unshare");
    unshare.args(["--user", "--map-root-user", "--net", "--mount", "--pid"]);
    unshare.args(["--fork", "--kill-child", "--mount-proc"]);
    unshare.arg(own).arg(SCENARIO);
    unshare.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    // Its files go with it, whatever ends it.
    unshare.env("TMPDIR", "/run");
    process::run(&mut unshare, interrupt)?;
    *screen = Screen::after(STEPS_BEFORE_SCENARIO + scenario::STEPS);
    Ok(())
}
