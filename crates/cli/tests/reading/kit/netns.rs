//! Network namespaces that live as long as a test needs them.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::sys;

/// A network namespace, held by a process in it (so that it can be found as containers are) and
/// perhaps by a name.
#[derive(Debug)]
pub(crate) struct Netns {
    file: File,
    holder: Child,
    name: Option<String>,
}

impl Netns {
    /// One without a name, as of a container; needs root.
    pub(crate) fn anonymous() -> Self {
        Self::held_by(OsStr::new("cat"))
    }

    /// The same with a process that was started from `program`, a link to cat(1).
    pub(crate) fn held_by(program: &OsStr) -> Self {
        let thread = || {
            sys::unshare_network();
            Self::hold(program, None)
        };
        let made = std::thread::scope(|scope| scope.spawn(thread).join());
        let netns = made.expect("the namespace's thread");
        netns.ip("link set lo up");
        netns
    }

    /// One with a name under /run/netns that begins with `name`; needs root.
    pub(crate) fn named(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{name}-{}-{number}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]));
        let file = File::open(format!("/run/netns/{name}")).expect("a new namespace");
        let netns = in_namespace(&file, || Self::hold(OsStr::new("cat"), Some(name)));
        netns.ip("link set lo up");
        netns
    }

    /// In the namespace of the calling thread.
    fn hold(program: &OsStr, name: Option<String>) -> Self {
        let file = File::open("/proc/thread-self/ns/net").expect("the own namespace");
        // Ends when its stdin does, so at the latest with this process.
        let holder = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process that holds the namespace");
        Self { file, holder, name }
    }

    /// Its inode number in nsfs.
    pub(crate) fn id(&self) -> u64 {
        self.file.metadata().expect("an open namespace").ino()
    }

    /// Its name under /run/netns.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().expect("a named namespace")
    }

    /// A process in it.
    pub(crate) fn pid(&self) -> u32 {
        self.holder.id()
    }

    /// Runs `work` in it, on a thread of its own: sockets made and processes started there belong
    /// to it.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        in_namespace(&self.file, work)
    }

    /// `ip WORDS` in it.
    pub(crate) fn ip(&self, words: &str) {
        self.run(|| run(Command::new("ip").args(words.split(' '))));
    }

    /// Sets `net.ipv4.NAME`.
    pub(crate) fn set(&self, name: &str, value: i64) {
        let path = format!("/proc/sys/net/ipv4/{name}");
        self.run(|| std::fs::write(&path, value.to_string()))
            .expect("a sysctl of an own namespace");
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
        if let Some(name) = &self.name {
            // A test that failed already says enough.
            let _ = Command::new("ip").args(["netns", "del", name]).status();
        }
    }
}

fn in_namespace<T: Send>(file: &File, work: impl FnOnce() -> T + Send) -> T {
    let thread = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
        work()
    };
    std::thread::scope(|scope| scope.spawn(thread).join())
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("a program that starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
