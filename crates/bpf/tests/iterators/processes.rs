//! Sockets that other processes hold too, and processes as their own pid namespace numbers them.

use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use sockpulse_bpf::{TaskFile, records};

use crate::common::*;

/// A child process, ended with the test.
struct Sleeper(Child);

impl Drop for Sleeper {
    fn drop(&mut self) {
        let ended = self.0.kill().and_then(|()| self.0.wait());
        assert!(ended.is_ok());
    }
}

#[test]
fn root_a_socket_of_two_processes_comes_once_for_each() {
    in_namespace(|| {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        let fd = pair.client.as_raw_fd();
        let mut command = Command::new("sleep");
        command.arg("60");
        inherit(&mut command, fd);
        let child = Sleeper(command.spawn().unwrap());
        let task_file = TaskFile::load().unwrap();
        let cookie = cookie(&pair.client);
        let holders = || {
            let mut records = collect(task_file.open(None).unwrap());
            records.retain(|record| record.cookie() == cookie);
            records
        };
        let held = wait_for("the child's descriptor", || {
            let held = holders();
            (held.len() == 2).then_some(held)
        });
        assert!(held.iter().all(|record| record.may_be_shared()));
        let mut pids: Vec<_> = held.iter().map(|r| r.process().unwrap().pid).collect();
        pids.sort_unstable();
        let mut expected = [std::process::id(), child.0.id()];
        expected.sort_unstable();
        assert_eq!(pids, expected);
        // One process alone, and one that does not exist.
        let of_child = collect(task_file.open(Some(child.0.id())).unwrap());
        assert_eq!(of_child.len(), 1);
        drop(child);
        let alone = holders();
        assert_eq!(alone.len(), 1);
        assert!(!alone[0].may_be_shared());
    });
}

#[test]
fn root_processes_with_one_table_of_descriptors_share_its_sockets() {
    in_namespace(|| {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        let cookie = cookie(&pair.client);
        let child = Sharer::start();
        let task_file = TaskFile::load().unwrap();
        let mut held = collect(task_file.open(None).unwrap());
        held.retain(|record| record.cookie() == cookie);
        let pids: Vec<_> = held.iter().map(|r| r.process().unwrap().pid).collect();
        assert!(pids.contains(&std::process::id()), "{pids:?}");
        assert!(pids.contains(&child.0), "{pids:?}");
        assert!(held.iter().all(|record| record.may_be_shared()));
        drop(child);
        assert!(!find(&by_task_file(), &pair.client).may_be_shared());
    });
}

#[test]
fn root_a_process_that_does_not_exist_has_no_sockets() {
    in_namespace(|| {
        let task_file = TaskFile::load().unwrap();
        // Larger than any pid_max.
        assert!(collect(task_file.open(Some(1 << 30)).unwrap()).is_empty());
    });
}

/// The test calls itself as the first process of a pid namespace, where it must find itself as 1.
#[test]
fn root_pids_are_those_of_the_readers_namespace() {
    const INNER: &str = "SOCKPULSE_TEST_INNER";
    if std::env::var_os(INNER).is_some() {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        let task_file = TaskFile::load().unwrap();
        let mut reader = task_file.open(None).unwrap();
        let mut buffer = vec![0; 65536];
        let len = reader.read(&mut buffer).unwrap();
        let pids: Vec<_> = records(&buffer[..len])
            .iter()
            .map(|record| record.process().unwrap().pid)
            .collect();
        println!("inner: {pids:?}");
        drop(pair);
        return;
    }
    in_namespace(|| {
        unshare(libc::CLONE_NEWPID);
        let mut inner = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("processes::root_pids_are_those_of_the_readers_namespace")
            .env(INNER, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(inner.stdout.take().unwrap());
        let lines: Vec<_> = output.lines().map(Result::unwrap).collect();
        assert!(inner.wait().unwrap().success());
        assert!(
            lines.iter().any(|line| line.ends_with("inner: [1, 1, 1]")),
            "{lines:?}"
        );
    });
}

/// A child that shares the table of descriptors, ended with the test.
struct Sharer(u32);

#[expect(
    unsafe_code,
    reason = "clone(2), kill(2) and waitpid(2) are no part of std"
)]
impl Sharer {
    fn start() -> Self {
        let flags = libc::c_long::from(libc::CLONE_FILES | libc::SIGCHLD);
        // SAFETY: without CLONE_VM it is fork(2), and the child does nothing but wait for its end.
        let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
        if pid == 0 {
            loop {
                // SAFETY: async-signal-safe, and without arguments.
                unsafe { libc::pause() };
            }
        }
        Self(u32::try_from(pid).unwrap())
    }
}

#[expect(
    unsafe_code,
    reason = "clone(2), kill(2) and waitpid(2) are no part of std"
)]
impl Drop for Sharer {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0).unwrap();
        // SAFETY: the child is ours and not yet waited for, so the number is still its own.
        check(unsafe { libc::kill(pid, libc::SIGKILL) });
        let mut status = 0;
        // SAFETY: the status is written to a variable.
        check(unsafe { libc::waitpid(pid, &raw mut status, 0) });
    }
}

#[expect(unsafe_code, reason = "a descriptor is passed on to a child")]
fn inherit(command: &mut Command, fd: i32) {
    let keep = move || {
        // SAFETY: async-signal-safe, and plain numbers.
        check(unsafe { libc::fcntl(fd, libc::F_SETFD, 0) });
        Ok(())
    };
    // SAFETY: the closure only calls fcntl(2).
    unsafe { command.pre_exec(keep) };
}
