//! A host: a network namespace that lives as long as a thread of this process.
//!
//! It has no name and no file: when the process ends, however it ends, nothing is left of it. The
//! programs that it started are killed by the kernel when its thread ends (`PR_SET_PDEATHSIG`).

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::{fs, io};

use rustix::thread::gettid;
use sockpulse_core::NetnsId;

use crate::error::{Error, Result};
use crate::sys;

type Job = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. Dropping it ends the thread and its programs; the
/// namespace goes when its last socket is closed.
#[derive(Debug)]
pub struct Host {
    name: &'static str,
    namespace: String,
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    /// Makes one with its loopback up. Needs [`crate::Rights`].
    ///
    /// # Errors
    /// [`Error::NotPermitted`], or what `ip` had to say.
    pub fn new(name: &'static str) -> Result<Self> {
        let (jobs, todo) = channel::<Job>();
        let (tell, told) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let entered = sys::unshare_network().map(|()| gettid());
                let failed = entered.is_err();
                // The maker waits for this; should it be gone, so is the channel of jobs.
                let _ = tell.send(entered);
                if !failed {
                    work(&todo);
                }
            })
            .map_err(Error::system("start a thread"))?;
        let tid = told
            .recv()
            .map_err(|_| io::Error::other("its thread ended"))
            .map_err(Error::system("make a network namespace"))?
            .map_err(|errno| Error::NotPermitted {
                operation: "unshare(CLONE_NEWNET)",
                errno,
            })?;
        let host = Self {
            name,
            namespace: format!(
                "/proc/{}/task/{}/ns/net",
                std::process::id(),
                tid.as_raw_nonzero()
            ),
            jobs: Some(jobs),
            thread: Some(thread),
        };
        host.ip(&["link set lo up"])?;
        Ok(host)
    }

    /// The file of its namespace, as `ip link … netns` takes it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its namespace's number.
    #[must_use]
    pub fn id(&self) -> Option<NetnsId> {
        let number = fs::metadata(&self.namespace).ok()?.ino();
        u32::try_from(number).ok().map(NetnsId)
    }

    /// Runs a closure on the host's thread and waits for it: sockets that it opens and threads that
    /// it starts belong to the host.
    ///
    /// # Panics
    /// When the closure does.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = channel();
        let job = move || {
            let result = catch_unwind(AssertUnwindSafe(work));
            // Whoever asked waits for the answer.
            let _ = tell.send(result);
        };
        let jobs = self.jobs.as_ref().expect("the channel closes on drop");
        assert!(jobs.send(Box::new(job)).is_ok(), "the thread outlives us");
        match told.recv().expect("the thread answers every job") {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Commands of ip(8), one each.
    ///
    /// # Errors
    /// [`Error::MissingProgram`], [`Error::Program`].
    pub fn ip<S: AsRef<str>>(&self, commands: &[S]) -> Result<()> {
        let batch: Vec<&str> = commands.iter().map(AsRef::as_ref).collect();
        self.feed("ip", "iproute2", &["-batch", "-"], batch.join("\n"))
    }

    /// Rules of nft(8), taken on together or not at all.
    ///
    /// # Errors
    /// As above.
    pub fn nft(&self, rules: &str) -> Result<()> {
        self.feed("nft", "nftables", &["-f", "-"], rules.to_owned())
    }

    /// Forgets every connection that it tracks: conntrack(8).
    ///
    /// # Errors
    /// As above.
    pub fn flush_conntrack(&self) -> Result<()> {
        self.feed("conntrack", "conntrack", &["-F"], String::new())
    }

    /// Sets a sysctl of its namespace, named as in sysctl(8).
    ///
    /// # Errors
    /// [`Error::Sysctl`].
    pub fn sysctl(&self, name: &str, value: i64) -> Result<()> {
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        // /proc/sys/net is that of whoever opens the file.
        self.run(move || fs::write(path, value.to_string()))
            .map_err(|source| Error::Sysctl {
                name: name.to_owned(),
                value,
                host: self.name,
                source,
            })
    }

    /// Starts a program in the host's namespace that holds `stdin` and is killed with the host.
    ///
    /// # Errors
    /// [`Error::Start`], [`Error::MissingProgram`].
    pub fn start(
        &self,
        program: &'static str,
        arguments: &[&str],
        stdin: impl Into<Stdio>,
    ) -> Result<Child> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(stdin.into());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        self.spawn(program, "coreutils", command)
    }

    /// Runs a program to its end with `text` as its input.
    fn feed(
        &self,
        program: &'static str,
        package: &'static str,
        arguments: &[&str],
        text: String,
    ) -> Result<()> {
        let mut command = Command::new(program);
        command.args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(Stdio::piped());
        let mut child = self.spawn(program, package, command)?;
        let failed = |source| Error::Start { program, source };
        if let Some(mut stdin) = child.stdin.take() {
            // What it did not read it will complain of.
            let _ = stdin.write_all(text.as_bytes());
        }
        let output = child.wait_with_output().map_err(failed)?;
        if output.status.success() {
            return Ok(());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        let said = match stderr.lines().next() {
            Some(line) => line.trim().to_owned(),
            None => output.status.to_string(),
        };
        let missing_right = said.contains("not permitted") || said.contains("ermission denied");
        if missing_right {
            return Err(Error::NotPermitted {
                operation: program,
                errno: rustix::io::Errno::PERM,
            });
        }
        Err(Error::Program {
            program,
            host: self.name,
            said,
        })
    }

    fn spawn(
        &self,
        program: &'static str,
        package: &'static str,
        mut command: Command,
    ) -> Result<Child> {
        command.env("PATH", search_path(std::env::var_os("PATH")));
        let spawned = self.run(move || sys::die_with_this_thread(&mut command).spawn());
        spawned.map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::MissingProgram { program, package },
            _ => Error::Start { program, source },
        })
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was handed to whoever asked for the job.
            let _ = thread.join();
        }
    }
}

/// The host's thread: does what it is asked until nobody can ask any more.
fn work(todo: &Receiver<Job>) {
    while let Ok(job) = todo.recv() {
        job();
    }
}

/// `PATH` with the folders in which `ip` and `nft` are, which that of a plain user lacks. An
/// empty entry would be the current folder, in which anybody may have put a program of that name.
fn search_path(path: Option<OsString>) -> OsString {
    let folders = "/usr/sbin:/sbin:/usr/bin:/bin";
    match path {
        Some(mut path) if !path.is_empty() => {
            path.push(":");
            path.push(folders);
            path
        }
        _ => folders.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_looked_for_where_the_user_says_then_in_the_systems_folders() {
        let folders = "/usr/sbin:/sbin:/usr/bin:/bin";
        for (path, searched) in [
            (None, folders.to_owned()),
            (Some(""), folders.to_owned()),
            (Some("/opt/bin"), format!("/opt/bin:{folders}")),
        ] {
            let found = search_path(path.map(OsString::from));
            assert_eq!(found, OsString::from(searched), "{path:?}");
        }
    }
}
