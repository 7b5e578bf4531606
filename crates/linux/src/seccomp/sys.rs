//! The system calls of a supervisor that rustix lacks.

#![expect(
    unsafe_code,
    reason = "rustix lacks seccomp(2), its ioctls and process_vm_readv(2)"
)]

use std::io::IoSliceMut;
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use libc::{c_int, c_long, c_ulong, sock_filter};
use rustix::io::Errno;

use crate::child::{self, Change, Side, end_of, leave};

/// seccomp(2): installs a filter on the calling thread, and returns its listener.
pub(super) fn install(filter: &[sock_filter], flags: c_ulong) -> Result<OwnedFd, Errno> {
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| Errno::INVAL)?,
        filter: filter.as_ptr().cast_mut(),
    };
    let flags = flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program and its instructions outlive the call, which only reads them.
    let fd = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    let fd = RawFd::try_from(answer(fd)?).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether the kernel knows an action of filters (`SECCOMP_GET_ACTION_AVAIL`).
pub(super) fn knows_action(action: u32) -> bool {
    let get = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the action is read during the call.
    let known = unsafe { libc::syscall(libc::SYS_seccomp, get, 0, &raw const action) };
    known == 0
}

/// An ioctl(2) of a listener with a structure that the kernel reads and writes.
///
/// # Safety
/// The structure must be the one that the request names.
unsafe fn ioctl<T>(fd: BorrowedFd<'_>, request: libc::Ioctl, value: *mut T) -> Result<i32, Errno> {
    // SAFETY: the caller promises that the structure is the request's.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, value) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// `SECCOMP_IOCTL_NOTIF_RECV`, into memory that may be shared with another process.
pub(super) fn receive(fd: BorrowedFd<'_>, into: &Shared) -> Result<libc::seccomp_notif, Errno> {
    // SAFETY: the page is ours to write: the other process reads it only when we are dead.
    unsafe { ptr::write_bytes(into.0, 0, 1) };
    // SAFETY: a seccomp_notif is what this request writes.
    unsafe { ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_RECV, into.0) }?;
    Ok(into.get())
}

/// `SECCOMP_IOCTL_NOTIF_SEND`.
pub(super) fn send(fd: BorrowedFd<'_>, mut reply: libc::seccomp_notif_resp) -> Result<(), Errno> {
    // SAFETY: a seccomp_notif_resp is what this request reads.
    unsafe { ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_SEND, &raw mut reply) }.map(drop)
}

/// `SECCOMP_IOCTL_NOTIF_ID_VALID`: whether the caller still waits for its answer.
pub(super) fn is_waiting(fd: BorrowedFd<'_>, mut id: u64) -> bool {
    // SAFETY: a u64 is what this request reads.
    unsafe { ioctl(fd, libc::SECCOMP_IOCTL_NOTIF_ID_VALID, &raw mut id) }.is_ok()
}

/// How a descriptor came into the waiting process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Added {
    /// Its number there is the call's result already.
    Answered,
    /// Its number there; the call still waits (before 5.14).
    Number(c_int),
}

/// `SECCOMP_IOCTL_NOTIF_ADDFD`: puts a duplicate of a descriptor into the waiting process.
pub(super) fn add(
    listener: BorrowedFd<'_>,
    id: u64,
    fd: BorrowedFd<'_>,
    fd_flags: c_int,
) -> Result<Added, Errno> {
    let addition = |flags: c_ulong| libc::seccomp_notif_addfd {
        id,
        flags: u32::try_from(flags).unwrap_or_default(),
        srcfd: fd.as_raw_fd().cast_unsigned(),
        newfd: 0,
        newfd_flags: fd_flags.cast_unsigned(),
    };
    let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
    let mut at_once = addition(libc::SECCOMP_ADDFD_FLAG_SEND);
    // SAFETY: a seccomp_notif_addfd is what this request reads.
    match unsafe { ioctl(listener, request, &raw mut at_once) } {
        Ok(_) => return Ok(Added::Answered),
        Err(Errno::INVAL) => {}
        Err(errno) => return Err(errno),
    }
    let mut first = addition(0);
    // SAFETY: as above.
    unsafe { ioctl(listener, request, &raw mut first) }.map(Added::Number)
}

/// socket(2) with the numbers of another program.
pub(super) fn socket(domain: c_int, kind: c_int, protocol: c_int) -> Result<OwnedFd, Errno> {
    // SAFETY: takes numbers only.
    let fd = unsafe { libc::socket(domain, kind | libc::SOCK_CLOEXEC, protocol) };
    if fd < 0 {
        return Err(last_errno());
    }
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// `SECCOMP_IOCTL_NOTIF_SET_FLAGS` (since 6.6), whose value is no pointer.
pub(super) fn set_flags(fd: BorrowedFd<'_>, flags: c_ulong) -> Result<(), Errno> {
    let request = libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS;
    // SAFETY: this request takes a number.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request, flags) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(())
}

/// A page that outlives forks: what one process writes the other reads.
pub(super) struct Shared(*mut libc::seccomp_notif);

impl Shared {
    /// A page of zeros.
    pub(super) fn new() -> Result<Self, Errno> {
        let length = size_of::<libc::seccomp_notif>();
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping wherever the kernel likes touches no memory that exists.
        let page = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
        if page == libc::MAP_FAILED {
            return Err(last_errno());
        }
        Ok(Self(page.cast()))
    }

    /// What stands there.
    pub(super) fn get(&self) -> libc::seccomp_notif {
        // SAFETY: the mapping is never taken away, and any bytes are a seccomp_notif.
        unsafe { ptr::read_volatile(self.0) }
    }
}

/// Does something in a child, which ends with it; whether it succeeded there.
pub(super) fn rehearse(attempt: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
    let child = match child::fork()? {
        Side::Child => leave(attempt().map_or_else(Errno::raw_os_error, |()| 0)),
        Side::Parent(child) => child,
    };
    match end_of(child)? {
        Change::Failed(errno) => Err(Errno::from_raw_os_error(errno)),
        Change::Done | Change::Stopped => Ok(()),
    }
}

/// Lets a stopped process go on.
pub(super) fn go_on(child: c_int) {
    // SAFETY: a signal to our own child, which nobody else waits for.
    unsafe { libc::kill(child, libc::SIGCONT) };
}

/// Writes over what this process was started with, where `ps` and others find it: a name in the place
/// of its command line or of its environment, the rest zeros.
///
/// Nobody asks for arguments or variables afterwards; whoever does finds empty ones.
pub(super) fn overwrite(memory: Range<usize>, name: &[u8]) {
    let length = memory.end.saturating_sub(memory.start);
    if length <= name.len() {
        return;
    }
    let words: *mut u8 = ptr::with_exposed_provenance_mut(memory.start);
    // SAFETY: the kernel names this range as the memory of our arguments or of our environment.
    unsafe { ptr::write_bytes(words, 0, length) };
    // SAFETY: the range is longer than what is written.
    unsafe { ptr::copy_nonoverlapping(name.as_ptr(), words, name.len()) };
}

/// process_vm_readv(2): memory of another process; how many bytes were there.
pub(super) fn peek(pid: u32, address: u64, into: &mut [u8]) -> Result<usize, Errno> {
    let pid = c_int::try_from(pid).map_err(|_| Errno::SRCH)?;
    let remote = libc::iovec {
        iov_base: ptr::without_provenance_mut(usize::try_from(address).map_err(|_| Errno::FAULT)?),
        iov_len: into.len(),
    };
    let local = [IoSliceMut::new(into)];
    // SAFETY: an IoSliceMut is an iovec; the kernel writes within it.
    let read =
        unsafe { libc::process_vm_readv(pid, local.as_ptr().cast(), 1, &raw const remote, 1, 0) };
    usize::try_from(read).map_err(|_| last_errno())
}

/// kcmp(2): whether two threads have one table of descriptors.
pub(super) fn share_descriptors(one: u32, other: u32) -> bool {
    const KCMP_FILES: c_int = 2;
    let none: c_ulong = 0;
    // SAFETY: takes numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, one, other, KCMP_FILES, none, none) == 0 }
}

fn answer(result: c_long) -> Result<c_long, Errno> {
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}
