//! Descriptors of calling threads, borrowed by pidfd_getfd(2).

use std::os::fd::OwnedFd;

use libc::c_int;
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, getrlimit, pidfd_getfd, pidfd_open,
};

use super::sys;
use crate::Proc;

/// Borrows descriptors, and remembers the last threads that it borrowed from.
pub(super) struct Lender {
    /// A pidfd never stands for another process later, as the number may.
    known: Vec<(u32, OwnedFd)>,
    most: usize,
    threads: Threads,
}

/// How threads that are not their process's first are reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// By themselves: `PIDFD_THREAD`, since 6.9.
    Directly,
    /// Through their process, if they share its table of descriptors.
    ThroughProcess,
}

/// As many as are worth to be remembered.
const KNOWN: usize = 8;

/// What a supervisor has open beside them, with some to spare.
const OTHERS: u64 = 8;

impl Lender {
    /// Knows nobody yet.
    pub(super) fn new() -> Self {
        Self {
            known: Vec::with_capacity(KNOWN),
            most: most(),
            threads: Threads::Directly,
        }
    }

    /// A duplicate of the thread's descriptor; `None` where it has none of that number, or where
    /// the right to trace it is missing.
    pub(super) fn borrow(&mut self, thread: u32, number: c_int) -> Option<OwnedFd> {
        if let Some(at) = self.known.iter().position(|(known, _)| *known == thread) {
            match take(&self.known[at].1, number) {
                // Another one has its number by now.
                Err(Errno::SRCH) => drop(self.known.swap_remove(at)),
                answer => return answer.ok(),
            }
        }
        let (pidfd, lasting) = self.open(thread)?;
        let socket = take(&pidfd, number).ok();
        if lasting && self.most > 0 {
            if self.known.len() == self.most {
                self.known.remove(0);
            }
            self.known.push((thread, pidfd));
        }
        socket
    }

    /// The thread's pidfd, and whether it stands for that thread as long as it exists.
    fn open(&mut self, thread: u32) -> Option<(OwnedFd, bool)> {
        if self.threads == Threads::Directly {
            match Self::pidfd(thread, PidfdFlags::from_bits_retain(PIDFD_THREAD)) {
                Err(Errno::INVAL) => self.threads = Threads::ThroughProcess,
                answer => return answer.ok().map(|pidfd| (pidfd, true)),
            }
        }
        if let Ok(pidfd) = Self::pidfd(thread, PidfdFlags::empty()) {
            return Some((pidfd, true));
        }
        let process = Proc::default().leader(thread)?;
        if !sys::share_descriptors(thread, process) {
            return None;
        }
        let pidfd = Self::pidfd(process, PidfdFlags::empty()).ok()?;
        Some((pidfd, false))
    }

    fn pidfd(pid: u32, flags: PidfdFlags) -> Result<OwnedFd, Errno> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(Errno::SRCH)?;
        pidfd_open(pid, flags)
    }
}

/// The limit of open files may leave no room.
fn most() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = limit.saturating_sub(OTHERS);
    usize::try_from(room).map_or(KNOWN, |room| room.min(KNOWN))
}

fn take(pidfd: &OwnedFd, number: c_int) -> Result<OwnedFd, Errno> {
    pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty())
}

/// `PIDFD_THREAD` (include/uapi/linux/pidfd.h).
const PIDFD_THREAD: u32 = 0o200;
