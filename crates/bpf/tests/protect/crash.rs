//! An installer that is killed at any point: what was in force is, or what was to be. Between two
//! system calls nothing changes, so it is killed before each that changes anything.

#![expect(unsafe_code, reason = "ptrace")]
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use sockpulse_bpf::protect::{self, Accepted};
use sockpulse_core::protect::{Mode, Rule};

use super::common::{World, check, connect_away, has, in_world, rule};

/// How the child learns what to install, and where.
const JOB: &str = "SOCKPULSE_TEST_INSTALL";

fn rule_of(kind: &str) -> Rule {
    match kind {
        "fill-61" => rule(Mode::Fill, 61, 11, 5),
        "fill-62" => rule(Mode::Fill, 62, 11, 5),
        // Needs a program that the others do not.
        _ => rule(Mode::Override, 62, 11, 5),
    }
}

/// What the killed process does; by itself this tests nothing.
#[test]
fn child_of_the_crash_tests() {
    let Ok(job) = std::env::var(JOB) else {
        return;
    };
    let [pins, cgroup, kind] = job.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{job}");
    };
    let rules = [rule_of(kind)];
    let table = sockpulse_core::protect::Table::compile(&rules).unwrap();
    let wanted = protect::Wanted {
        table: &table,
        texts: &[rules[0].name.clone()],
        accepted: Accepted::Inherit,
        hz: super::common::hz(),
    };
    protect::install(pins.as_ref(), cgroup.as_ref(), &wanted).unwrap();
}

#[test]
fn root_killed_while_it_begins() {
    in_world(|world| kill_at_every_point(world, None, "fill-62"));
}

#[test]
fn root_killed_while_it_updates() {
    in_world(|world| kill_at_every_point(world, Some("fill-61"), "fill-62"));
}

#[test]
fn root_killed_while_it_replaces() {
    in_world(|world| kill_at_every_point(world, Some("fill-61"), "override-62"));
}

fn kill_at_every_point(world: &World, before: Option<&str>, then: &str) {
    let (mut old, mut new) = (0, 0);
    for point in 1.. {
        assert!(point < 200, "it never ends");
        // This repairs what the last one left.
        match before {
            Some(before) => assert!(world.install(&[rule_of(before)]).missing.is_empty()),
            None => drop(protect::remove(&world.pins).unwrap()),
        }
        let was = before.map_or(7200, |_| 61);
        assert_eq!(idle(), was, "point {point}: not repaired");
        let folders = fs::read_dir(&world.pins).map_or(0, Iterator::count);
        // One of an installation, and whose turn it is.
        let wanted = before.map_or(0, |_| 2);
        assert_eq!(folders, wanted, "point {point}: leftovers");

        let killed = run_until(world, then, point);
        let idle = idle();
        let told = world.load().map(|found| found.rules[0].text.clone());
        assert!(idle == was || idle == 62, "point {point}: {idle}");
        let right = if idle == 62 {
            new += 1;
            Some(rule_of(then).name)
        } else {
            old += 1;
            before.map(|before| rule_of(before).name)
        };
        assert_eq!(
            told, right,
            "point {point}: what is told is what is in force"
        );
        if !killed {
            break;
        }
    }
    // Both must have been met, or the points are the wrong ones.
    assert!(old > 2 && new > 0, "{old} old, {new} new");
}

fn idle() -> i32 {
    has(&connect_away(libc::AF_INET)).1
}

/// Runs the installer and kills it before its n-th change. Whether it came to that.
fn run_until(world: &World, kind: &str, point: u32) -> bool {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "crash::child_of_the_crash_tests",
            "--test-threads=1",
        ])
        .env(
            JOB,
            format!("{} {} {kind}", world.pins.display(), world.cgroup.display()),
        )
        .stdout(std::process::Stdio::null());
    // SAFETY: the closure makes one system call and touches no memory.
    let command = unsafe { command.pre_exec(trace_me) };
    let mut child = command.spawn().unwrap();
    let ended = trace(&child, point);
    let killed = match ended {
        None => {
            child.kill().unwrap();
            // All its threads have to be waited for, the first one last.
            let process = i32::try_from(child.id()).unwrap();
            while {
                let (thread, status) = wait();
                thread != process || !libc::WIFSIGNALED(status)
            } {}
            true
        }
        Some(status) => {
            assert_eq!(status, 0, "the installer failed");
            false
        }
    };
    // It was waited for as a traced process already.
    let _ = child.wait();
    killed
}

fn trace_me() -> io::Result<()> {
    // SAFETY: has no arguments.
    let answer = unsafe { libc::ptrace(libc::PTRACE_TRACEME) };
    if answer < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Steps from system call to system call until the process is to be killed, or has ended by itself:
/// with this status. The test harness runs tests on threads.
fn trace(child: &Child, point: u32) -> Option<i32> {
    let process = i32::try_from(child.id()).unwrap();
    let (mut stopped, _) = wait();
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE;
    // SAFETY: a plain number as data.
    let set = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, process, 0, options) };
    assert!(set >= 0, "{}", io::Error::last_os_error());
    let (mut changes, mut signal, mut loading) = (0, 0, false);
    loop {
        // SAFETY: a plain number as data. A thread that is gone is waited for all the same.
        unsafe { libc::ptrace(libc::PTRACE_SYSCALL, stopped, 0, signal) };
        signal = 0;
        let (thread, status) = wait();
        stopped = thread;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            if thread == process {
                return Some(status);
            }
            continue;
        }
        match libc::WSTOPSIG(status) {
            at if at == libc::SIGTRAP | 0x80 => {
                changes += u32::from(changes_something(thread, &mut loading));
                if changes == point {
                    return None;
                }
            }
            libc::SIGTRAP | libc::SIGSTOP => {}
            other => signal = other,
        }
    }
}

/// Waits for the next stop, or end, of any thread that this one traces.
fn wait() -> (i32, i32) {
    let mut status = 0;
    let which = libc::__WALL | libc::__WNOTHREAD;
    // SAFETY: the status outlives the call.
    let thread = check(unsafe { libc::waitpid(-1, &raw mut status, which) });
    (thread, status)
}

/// Whether the process is about to make a system call that changes what is pinned or attached. While
/// libbpf loads programs, it writes to maps that nobody sees yet; it ends with the folder for them.
fn changes_something(thread: i32, loading: &mut bool) -> bool {
    const MAP_UPDATE_ELEM: u64 = 2;
    /// BPF_BTF_LOAD: the programs' types come first.
    const BTF_LOAD: u64 = 18;
    const OBJ_PIN: u64 = 6;
    const LINK_CREATE: u64 = 28;
    const LINK_DETACH: u64 = 34;
    let Some((number, command)) = call(thread) else {
        return false;
    };
    match number {
        libc::SYS_bpf if command == BTF_LOAD => {
            *loading = true;
            false
        }
        libc::SYS_bpf if command == MAP_UPDATE_ELEM => !*loading,
        libc::SYS_bpf => matches!(command, OBJ_PIN | LINK_CREATE | LINK_DETACH),
        number if is_file_change(number) => {
            *loading = false;
            true
        }
        _ => false,
    }
}

fn is_file_change(number: libc::c_long) -> bool {
    #[cfg(target_arch = "x86_64")]
    if [libc::SYS_mkdir, libc::SYS_unlink, libc::SYS_rmdir].contains(&number) {
        return true;
    }
    [libc::SYS_mkdirat, libc::SYS_unlinkat].contains(&number)
}

/// The system call that is about to be made, and its first argument.
fn call(thread: i32) -> Option<(libc::c_long, u64)> {
    // SAFETY: all zeros are a valid structure of numbers.
    let mut info: libc::ptrace_syscall_info = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: the structure is as long as said.
    let answer = unsafe {
        libc::ptrace(
            libc::PTRACE_GET_SYSCALL_INFO,
            thread,
            size_of_val(&info),
            &raw mut info,
        )
    };
    assert!(answer >= 0, "{}", io::Error::last_os_error());
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: the kernel fills this member in at a call's entry.
    let entry = unsafe { info.u.entry };
    Some((libc::c_long::try_from(entry.nr).unwrap(), entry.args[0]))
}
