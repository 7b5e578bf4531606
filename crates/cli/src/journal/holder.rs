//! Who holds the journal, as far as the kernel tells.

use std::fmt;
use std::fs::File;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{major, minor};

use crate::coverage::shown;

/// The process that holds a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holder {
    pid: u32,
    /// Its name, unless it has just ended.
    name: Option<String>,
}

impl Holder {
    /// Looks for it in /proc/locks, which shows only processes of our own pid namespace.
    pub(super) fn of(file: &File) -> Option<Self> {
        let found = file.metadata().ok()?;
        let device = (major(found.dev()), minor(found.dev()));
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        let pid = holder_in(&locks, device, found.ino())?;
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        Some(Self {
            pid,
            name: name.map(|name| name.trim_end().to_owned()),
        })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}", self.pid)?;
        match &self.name {
            Some(name) => write!(f, " ({})", shown(name)),
            None => Ok(()),
        }
    }
}

/// The process that holds this file by flock(2). Some file systems have other device numbers here
/// than stat(2) says: then the inode number alone decides, if it stands there once.
fn holder_in(locks: &str, device: (u32, u32), inode: u64) -> Option<u32> {
    let held: Vec<_> = locks.lines().filter_map(held).collect();
    let mut here = held.iter().filter(|held| held.inode == inode);
    let exact = here.clone().find(|held| held.device == device);
    let found = match exact {
        Some(exact) => exact,
        None => here.next().filter(|_| here.next().is_none())?,
    };
    Some(found.pid)
}

struct Held {
    pid: u32,
    device: (u32, u32),
    inode: u64,
}

/// A line like `3: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF`; who waits stands behind an arrow.
fn held(line: &str) -> Option<Held> {
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    let [_, "FLOCK", _, _, pid, file, ..] = words[..] else {
        return None;
    };
    let mut parts = file.split(':');
    let mut hex = || u32::from_str_radix(parts.next()?, 16).ok();
    let device = (hex()?, hex()?);
    Some(Held {
        pid: pid.parse().ok()?,
        device,
        inode: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_told_from_others() {
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:01:131 0 EOF\n\
                     2: FLOCK  ADVISORY  WRITE 8 fe:02:131 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 9 fe:01:131 0 EOF\n\
                     3: -> FLOCK  ADVISORY  WRITE 10 fe:01:131 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 11 00:1f:132 0 EOF\nnonsense\n";
        for (device, inode, pid) in [
            ((0xfe, 1), 131, Some(9)),
            ((0xfe, 2), 131, Some(8)),
            ((0xfe, 3), 131, None),
            // As on btrfs.
            ((0, 0x2a), 132, Some(11)),
            ((0, 0x1f), 133, None),
        ] {
            assert_eq!(holder_in(locks, device, inode), pid, "{device:?} {inode}");
        }
    }

    #[test]
    fn names_are_shown_and_not_obeyed() {
        let holder = |name: Option<&str>| Holder {
            pid: 7,
            name: name.map(str::to_owned),
        };
        assert_eq!(holder(None).to_string(), "process 7");
        assert_eq!(
            holder(Some("a\u{1b}[2J")).to_string(),
            "process 7 (a\\x1b[2J)"
        );
    }
}
