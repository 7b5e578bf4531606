//! Standard output, which may be closed.
//!
//! Before `main` Rust's runtime opens /dev/null where one of the standard descriptors is closed
//! (`sanitize_standard_fds()`), so that output would vanish without a word. Only what runs earlier
//! can still see it.

#![expect(
    unsafe_code,
    reason = "a function that runs before Rust's runtime is named in a section of the program"
)]

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::Errno;

static CLOSED: AtomicBool = AtomicBool::new(false);

/// The dynamic linker calls what this section holds before `main` (System V ABI, "Initialization
/// and Termination Functions").
// SAFETY: the section holds addresses of functions of this type; this one makes a system call and
// stores a flag, and needs nothing that the runtime prepares.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    let flags = rustix::io::fcntl_getfd(rustix::stdio::stdout());
    CLOSED.store(flags == Err(Errno::BADF), Ordering::Relaxed);
}

/// A descriptor of standard output of its own: writes are not cut into lines.
///
/// # Errors
/// `EBADF` when the program was started with standard output closed.
pub(crate) fn open() -> io::Result<File> {
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Errno::BADF.into());
    }
    Ok(rustix::stdio::stdout().try_clone_to_owned()?.into())
}
