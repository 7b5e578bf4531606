//! The program's memory, which is also ours.

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::layout::{Cell, MOST};

const LEN: usize = MOST * size_of::<Cell>();

/// The questions and answers of one run.
#[derive(Debug)]
pub(super) struct Cells {
    at: NonNull<Cell>,
}

// SAFETY: the memory belongs to the process, not to a thread.
unsafe impl Send for Cells {}

impl Cells {
    /// Maps the values of an array with [`MOST`] of them.
    pub(super) fn map(array: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: new memory at a place that the kernel chooses.
        let at = unsafe {
            mmap(
                ptr::null_mut(),
                LEN,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                array,
                0,
            )
        }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { at })
    }

    /// The cells. Nobody else has them: the program is run only by who has the `Cells` too, and has
    /// ended when the run returns.
    pub(super) fn as_mut_slice(&mut self) -> &mut [Cell] {
        // SAFETY: mapped in this length, of a type that takes any bytes, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), MOST) }
    }
}

impl Drop for Cells {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and not used any more.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), LEN) };
    }
}
