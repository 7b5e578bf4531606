//! Processes as /proc shows them (proc(5)).
//!
//! Every reader takes the root of /proc as a parameter, so that recorded trees can be read too.
//! Names that processes give themselves are bytes from strangers; they are returned as they are.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use sockpulse_core::Comm;

pub use owners::{OwnerIndex, Wanted};

use crate::error::{Error, Operation, Result};

mod cgroups;
pub(crate) mod mounts;
mod owners;

/// A mounted /proc, or a recorded tree of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proc {
    root: PathBuf,
}

impl Default for Proc {
    /// The `/proc` of this machine.
    fn default() -> Self {
        Self::new("/proc")
    }
}

impl Proc {
    /// Reads the tree at `root`; nothing is opened yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where it is mounted.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The processes of the reader's pid namespace, lowest first. With `hidepid` only those that the
    /// caller may see.
    ///
    /// # Errors
    /// [`Error::System`] when /proc cannot be read.
    pub fn pids(&self) -> Result<Vec<u32>> {
        let failed =
            |error: std::io::Error| Error::io(Operation::Read, self.root.to_string_lossy(), &error);
        let mut pids = Vec::new();
        for entry in std::fs::read_dir(&self.root).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            pids.extend(name.to_str().and_then(|name| name.parse::<u32>().ok()));
        }
        pids.sort_unstable();
        Ok(pids)
    }

    /// A process's name (`/proc/PID/comm`), any bytes.
    ///
    /// # Errors
    /// [`Error::System`]; [`Error::is_gone()`] when the process has ended.
    pub fn comm(&self, pid: u32) -> Result<Comm> {
        let bytes = self.read(&format!("{pid}/comm"))?;
        Ok(Comm::new(bytes.strip_suffix(b"\n").unwrap_or(&bytes)))
    }

    /// The process that a thread belongs to (`Tgid` in `/proc/TID/status`).
    pub(crate) fn leader(&self, thread: u32) -> Option<u32> {
        let status = self.read(&format!("{thread}/status")).ok()?;
        let mut lines = status.split(|byte| *byte == b'\n');
        let number = lines.find_map(|line| line.strip_prefix(b"Tgid:"))?;
        std::str::from_utf8(number).ok()?.trim().parse().ok()
    }

    /// Whether this is the machine's first pid namespace, from which every process is visible.
    /// Its inode number is fixed (`PROC_PID_INIT_INO`, include/linux/proc_ns.h).
    #[must_use]
    pub fn is_of_the_whole_machine(&self) -> bool {
        const FIRST: &str = "pid:[4026531836]";
        std::fs::read_link(self.root.join("self/ns/pid"))
            .is_ok_and(|link| link.as_os_str() == FIRST)
    }

    /// Whether processes of others are invisible: /proc is mounted with `hidepid=invisible` or
    /// `hidepid=ptraceable` and the caller is not exempt. Process 1 always exists.
    #[must_use]
    pub fn hides_processes(&self) -> bool {
        rustix::fs::stat(self.root.join("1")).is_err()
    }

    /// Reads a file below the root.
    pub(crate) fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.root.join(name);
        std::fs::read(&path)
            .map_err(|error| Error::io(Operation::Read, path.to_string_lossy(), &error))
    }

    /// Opens the root for reading below it.
    pub(crate) fn open(&self) -> Result<OwnedFd> {
        open_directory(CWD, self.root.as_path())
            .map_err(|errno| Error::system(Operation::Open, self.root.to_string_lossy(), errno))
    }
}

fn open_directory(
    at: impl std::os::fd::AsFd,
    path: impl rustix::path::Arg,
) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(at, path, flags, Mode::empty())
}

/// Whether the process ended while it was looked at.
pub(crate) fn is_gone(errno: Errno) -> bool {
    matches!(errno, Errno::NOENT | Errno::SRCH)
}

/// Paths in /proc's tables have blanks, tabs, line ends and backslashes as `\ooo`.
fn unescape(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let octal = match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', ..] if *first == b'\\' => {
                Some((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'))
            }
            _ => None,
        };
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &tail[3..] } else { tail };
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_process_is_there() {
        let proc = Proc::default();
        let pid = std::process::id();
        assert!(proc.pids().unwrap().contains(&pid));
        assert!(!proc.comm(pid).unwrap().bytes().is_empty());
        assert!(proc.comm(u32::MAX).unwrap_err().is_gone());
    }

    #[test]
    fn octal_escapes_are_undone() {
        for (text, path) in [
            ("/run/netns/a", "/run/netns/a"),
            ("/a\\040b\\134c", "/a b\\c"),
            ("/a\\04", "/a\\04"),
            ("/a\\", "/a\\"),
            ("/a\\999", "/a\\999"),
        ] {
            assert_eq!(unescape(text.as_bytes()), path, "{text}");
        }
    }
}
