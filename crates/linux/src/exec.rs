//! Becoming another program, which finds everything as the caller of sockpulse left it.
//!
//! Before `main` Rust's runtime ignores `SIGPIPE` and opens /dev/null in the place of standard
//! descriptors that are closed. Both would be handed on; what runs earlier remembers how it was. The
//! standard library's own exec empties the mask of signals, which is the caller's too.

#![expect(
    unsafe_code,
    reason = "rustix has no execvp(3) nor signal dispositions, and a function that runs before Rust's \
              runtime is named in a section of the program"
)]

use std::ffi::{CString, OsStr};
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use libc::c_int;
use rustix::io::Errno;

static PIPE_WAS_DEFAULT: AtomicBool = AtomicBool::new(false);
/// A bit for each of the first three descriptors.
static WERE_CLOSED: AtomicU8 = AtomicU8::new(0);

/// The dynamic linker calls what this section holds before `main` (System V ABI, "Initialization
/// and Termination Functions").
// SAFETY: the section holds addresses of functions of this type; this one makes system calls and
// stores flags, and needs nothing that the runtime prepares.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the old one is written to a local.
    let asked = unsafe { libc::sigaction(libc::SIGPIPE, ptr::null(), action.as_mut_ptr()) };
    // SAFETY: zeros are a sigaction.
    let action = unsafe { action.assume_init() };
    let default = asked == 0 && action.sa_sigaction == libc::SIG_DFL;
    PIPE_WAS_DEFAULT.store(default, Ordering::Relaxed);
    let closed = (0..3).filter(|fd| is_closed(*fd));
    WERE_CLOSED.store(closed.fold(0, |bits, fd| bits | 1 << fd), Ordering::Relaxed);
}

fn is_closed(fd: c_int) -> bool {
    // SAFETY: takes numbers; that the descriptor is not open is an answer.
    unsafe { libc::fcntl(fd, libc::F_GETFD) < 0 }
}

/// Becomes the program, which is looked up in `PATH` as execvp(3) does. Returns only when that failed;
/// then the caller's process is as it was.
pub fn replace(program: &OsStr, arguments: &[impl AsRef<OsStr>]) -> Errno {
    let words = [program]
        .into_iter()
        .chain(arguments.iter().map(AsRef::as_ref));
    let words: Result<Vec<CString>, _> = words.map(|word| CString::new(word.as_bytes())).collect();
    let Ok(words) = words else {
        return Errno::INVAL;
    };
    let mut pointers: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(ptr::null());
    let before = restore();
    // SAFETY: the words end with zeros and outlive the call, the list ends with a null pointer.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    let errno = Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO);
    if before {
        disposition(libc::SIG_IGN);
    }
    errno
}

/// Puts signals and descriptors back; whether `SIGPIPE` was changed.
fn restore() -> bool {
    let closed = WERE_CLOSED.load(Ordering::Relaxed);
    for fd in (0..3).filter(|fd| closed & (1 << fd) != 0) {
        hand_nothing_on(fd);
    }
    let default = PIPE_WAS_DEFAULT.load(Ordering::Relaxed);
    if default {
        disposition(libc::SIG_DFL);
    }
    default
}

/// Closes a descriptor when the exec succeeds; until then errors can be written.
fn hand_nothing_on(fd: c_int) {
    // SAFETY: takes numbers.
    unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
}

fn disposition(action: libc::sighandler_t) {
    // SAFETY: neither of both is a function.
    unsafe { libc::signal(libc::SIGPIPE, action) };
}

/// Adds a variable to the environment that [`replace`] hands on, or changes it.
///
/// The caller has one thread: another one could read the environment meanwhile.
pub fn set_variable(name: &str, value: &OsStr) {
    // SAFETY: there is no other thread.
    unsafe { std::env::set_var(name, value) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_executed_returns() {
        let none: [&OsStr; 0] = [];
        let errno = replace(OsStr::new("/nonexistent/program"), &none);
        assert_eq!(errno, Errno::NOENT);
        assert_eq!(replace(OsStr::new("a\0b"), &none), Errno::INVAL);
        assert_eq!(replace(OsStr::new("/etc"), &none), Errno::ACCESS);
    }
}
