//! Descriptors of calling threads, borrowed by pidfd_getfd(2).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use libc::c_int;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{getpeername, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Resource, getrlimit, pidfd_getfd, pidfd_open,
};

use super::sys;
use crate::Proc;
use crate::child;

/// Borrows descriptors, and remembers the last threads that it borrowed from.
pub(super) struct Lender {
    /// A pidfd never stands for another process later, as the number may.
    known: Vec<(u32, OwnedFd)>,
    most: usize,
    threads: Threads,
}

/// A program's descriptor, as long as a call on it is held.
///
/// If the program closes it meanwhile, giving it back is what closes it. A connection with unsent data
/// and `SO_LINGER` would keep the supervisor in that, and every other call of the program with it.
pub(super) struct Loan(Option<OwnedFd>);

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
    pub(super) fn borrow(&mut self, thread: u32, number: c_int) -> Option<Loan> {
        self.duplicate(thread, number)
            .map(|socket| Loan(Some(socket)))
    }

    fn duplicate(&mut self, thread: u32, number: c_int) -> Option<OwnedFd> {
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

impl Loan {
    /// What was lent.
    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        let socket = self.0.as_ref();
        socket.expect("it is given back at the end only").as_fd()
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        match self.0.take() {
            Some(socket) if may_linger(&socket) => close_elsewhere(socket),
            _ => {}
        }
    }
}

fn may_linger(socket: &OwnedFd) -> bool {
    let lingers = sockopt::socket_linger(socket).is_ok_and(|time| time > Some(Duration::ZERO));
    // Before it is connected there is nothing to wait for.
    lingers && getpeername(socket).is_ok()
}

/// Has another process close it last, by its end: nothing lingers then (`PF_EXITING` in
/// `inet_release()`, net/ipv4/af_inet.c).
fn close_elsewhere(socket: OwnedFd) {
    let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC) else {
        return;
    };
    match child::fork() {
        Ok(child::Side::Child) => {
            drop(write);
            // Until the other one has closed its duplicate, or has ended.
            let mut end = [PollFd::from_borrowed_fd(read.as_fd(), PollFlags::empty())];
            let _ = poll(&mut end, None);
            child::leave(0);
        }
        Ok(child::Side::Parent(child)) => {
            drop(socket);
            drop(write);
            let _ = child::end_of(child);
        }
        Err(_) => {}
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
