//! System calls that rustix lacks.

#![expect(
    unsafe_code,
    reason = "rustix lacks TCP_INFO, SO_NETNS_COOKIE, options by number, SIOCOUTQ and pthread_sigmask"
)]

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// getsockopt(2): the first `N` bytes of an option's value.
pub(crate) fn option<const N: usize>(
    fd: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
) -> Result<[u8; N], Errno> {
    let mut value = [0_u8; N];
    let mut length = libc::socklen_t::try_from(N).unwrap_or_default();
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the value has `length` bytes, and both pointers are to locals.
    let result =
        unsafe { libc::getsockopt(fd, level, name, value.as_mut_ptr().cast(), &raw mut length) };
    match usize::try_from(length) {
        _ if result != 0 => Err(last_errno()),
        Ok(length) if length == N => Ok(value),
        _ => Err(Errno::INVAL),
    }
}

/// setsockopt(2) with a C int.
pub(crate) fn set_option(
    fd: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> Result<(), Errno> {
    set_bytes(fd, level, name, &value.to_ne_bytes())
}

/// setsockopt(2) with any value.
pub(crate) fn set_bytes(
    fd: impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &[u8],
) -> Result<(), Errno> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| Errno::INVAL)?;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the value has the length that is said.
    let result = unsafe { libc::setsockopt(fd, level, name, value.as_ptr().cast(), length) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(())
}

/// `SIOCOUTQ`: bytes written to a TCP socket that the peer has not acknowledged.
pub(crate) fn not_acknowledged(fd: impl AsFd) -> Result<u64, Errno> {
    let mut bytes: libc::c_int = 0;
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the request writes an int.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result < 0 {
        return Err(last_errno());
    }
    Ok(u64::from(bytes.unsigned_abs()))
}

/// A duplicate of a descriptor that this process hands on to what it executes, so that it can be
/// looked at as an owned one.
pub(crate) fn handed_on(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: takes numbers; a descriptor that is not open is an answer.
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if flags < 0 || flags & libc::FD_CLOEXEC != 0 {
        return None;
    }
    // SAFETY: as above.
    let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 0) };
    // SAFETY: the kernel made this descriptor for us just now.
    (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Runs `work` while the calling thread receives no signal that can be held back. One that comes
/// meanwhile is received afterwards; `SIGKILL` and `SIGSTOP` cannot be held back.
pub(crate) fn without_signals<T>(work: impl FnOnce() -> T) -> T {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset(3) writes the whole set.
    unsafe { libc::sigfillset(all.as_mut_ptr()) };
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the first set is filled, the second is written.
    let blocked =
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, all.as_ptr(), before.as_mut_ptr()) };
    let _restored = (blocked == 0).then_some(Mask(before));
    work()
}

/// The mask to return to, also after a panic.
struct Mask(MaybeUninit<libc::sigset_t>);

impl Drop for Mask {
    fn drop(&mut self) {
        // SAFETY: the set was written by pthread_sigmask(3), which succeeded.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, self.0.as_ptr(), std::ptr::null_mut()) };
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_wrong_length_are_refused() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let kind = option::<4>(&socket, libc::SOL_SOCKET, libc::SO_TYPE).unwrap();
        assert_eq!(i32::from_ne_bytes(kind), libc::SOCK_STREAM);
        let long = option::<8>(&socket, libc::SOL_SOCKET, libc::SO_TYPE);
        assert_eq!(long, Err(Errno::INVAL));
        let file = std::fs::File::open("/dev/null").unwrap();
        let none = option::<4>(&file, libc::SOL_SOCKET, libc::SO_TYPE);
        assert_eq!(none, Err(Errno::NOTSOCK));
    }

    #[test]
    fn the_mask_of_signals_is_put_back() {
        let blocked = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let line = status.lines().find(|line| line.starts_with("SigBlk:"));
            line.unwrap().to_owned()
        };
        let before = blocked();
        assert_ne!(without_signals(blocked), before);
        assert_eq!(blocked(), before);
    }
}
