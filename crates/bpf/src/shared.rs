//! The values of an array in the kernel, which are also in our memory.

#![expect(unsafe_code, reason = "memory shared with the kernel")]

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use zerocopy::{FromBytes, IntoBytes};

/// Values of one array, mapped.
#[derive(Debug)]
pub(crate) struct Shared<T> {
    at: NonNull<T>,
    count: usize,
}

// SAFETY: the memory belongs to the process, not to a thread.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: FromBytes + IntoBytes> Shared<T> {
    /// Maps so many values of an array with `BPF_F_MMAPABLE` (Linux 5.5) whose values have this size:
    /// a multiple of eight bytes, since that is how far they are apart.
    pub(crate) fn map(array: BorrowedFd<'_>, count: usize) -> io::Result<Self> {
        const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 8) };
        // SAFETY: new memory at a place that the kernel chooses; it refuses more than the array has.
        let at = unsafe {
            mmap(
                ptr::null_mut(),
                count * size_of::<T>(),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                array,
                0,
            )
        }?;
        let at = NonNull::new(at.cast()).ok_or(io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { at, count })
    }

    /// The values. Whoever maps them sees to it that no program that uses the array runs meanwhile.
    pub(crate) fn as_mut_slice(&mut self) -> &mut [T] {
        // SAFETY: mapped in this length, of a type that takes any bytes, and borrowed exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.count) }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and not used any more.
        let _ = unsafe { munmap(self.at.as_ptr().cast(), self.count * size_of::<T>()) };
    }
}
