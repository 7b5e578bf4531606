//! Processes that are forked off this one and never execute another program.

#![expect(
    unsafe_code,
    reason = "rustix lacks fork(2), waitid(2) for stops and close_range(2)"
)]

use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::ptr;

use libc::{c_int, c_long};
use rustix::io::Errno;

/// Which of the two processes a fork returned in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// The new one.
    Child,
    /// The old one; the id of the new one.
    Parent(c_int),
}

/// clone(2) like fork(2), but the end of the child raises no signal: the caller may have blocked
/// `SIGCHLD`, and would hand a pending one to what it executes.
///
/// Where the caller has more than one thread, the child calls nothing that takes a lock or allocates:
/// who holds the lock is not there to open it.
pub(crate) fn fork() -> Result<Side, Errno> {
    let none: c_long = 0;
    // SAFETY: without flags and stack the child goes on with a copy of everything.
    let pid = unsafe { libc::syscall(libc::SYS_clone, none, none, none, none, none) };
    match c_int::try_from(pid) {
        Ok(0) => Ok(Side::Child),
        Ok(pid) if pid > 0 => Ok(Side::Parent(pid)),
        Ok(_) => Err(last_errno()),
        Err(_) => Err(Errno::RANGE),
    }
}

/// How a child changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It ended with status 0.
    Done,
    /// It ended with another one, or by the signal of that number.
    Failed(c_int),
    /// It was stopped.
    Stopped,
}

/// waitid(2) for a child, however it was made.
pub(crate) fn wait(child: c_int) -> Result<Change, Errno> {
    let id = libc::id_t::try_from(child).map_err(|_| Errno::CHILD)?;
    let options = libc::WEXITED | libc::WSTOPPED | libc::__WALL;
    loop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: the information is written to a local of the right type.
        let result = unsafe { libc::waitid(libc::P_PID, id, info.as_mut_ptr(), options) };
        if result < 0 {
            match last_errno() {
                Errno::INTR => continue,
                errno => return Err(errno),
            }
        }
        // SAFETY: zeros are a siginfo_t, and waitid(2) wrote it.
        let info = unsafe { info.assume_init() };
        // SAFETY: this is the siginfo_t of a child.
        let status = unsafe { info.si_status() };
        return Ok(match info.si_code {
            libc::CLD_EXITED if status == 0 => Change::Done,
            libc::CLD_STOPPED | libc::CLD_TRAPPED => Change::Stopped,
            _ => Change::Failed(status),
        });
    }
}

/// Waits until a child has ended, also if it is stopped meanwhile.
pub(crate) fn end_of(child: c_int) -> Result<Change, Errno> {
    loop {
        match wait(child) {
            Ok(Change::Stopped) => {}
            end => return end,
        }
    }
}

/// Ends this process at once: nothing that was copied from the parent is flushed or run.
pub(crate) fn leave(status: c_int) -> ! {
    // SAFETY: never returns, and runs no code of ours.
    unsafe { libc::_exit(status) }
}

/// Blocks every signal that can be blocked, for good.
pub(crate) fn block_signals() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) writes the whole set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    // SAFETY: the set is filled; the old one is not asked for.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut()) };
}

/// Closes every descriptor except these, of whatever kind.
pub(crate) fn close_all_but(kept: &mut [RawFd]) {
    kept.sort_unstable();
    let mut from: u32 = 0;
    let ranges = kept.iter().map(|fd| fd.cast_unsigned());
    for fd in ranges.chain([u32::MAX]) {
        if fd > from {
            close_range(from, if fd == u32::MAX { fd } else { fd - 1 });
        }
        from = fd.saturating_add(1);
    }
}

fn close_range(first: u32, last: u32) {
    let no_flags: c_int = 0;
    // SAFETY: what owns one of these descriptors is never used again in this process.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, no_flags) };
    if done == 0 {
        return;
    }
    // Before 5.9, or refused: the first thousand, as many as a process usually may have.
    for fd in first..=last.min(1023) {
        // SAFETY: as above.
        unsafe { libc::close(fd.cast_signed()) };
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
