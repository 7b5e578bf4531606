//! The ring buffer that the programs write to, read through libbpf.

#![expect(unsafe_code, reason = "libbpf's C functions")]

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll;
use zerocopy::FromBytes;

use super::raw::Raw;

/// What one call reads at most, so that it returns however much is written meanwhile.
const MOST: u32 = 16 * 1024;

/// A reader of a ring buffer. The writers never wait for it.
#[derive(Debug)]
pub(super) struct Ring {
    reader: NonNull<libbpf_sys::ring_buffer>,
    /// Told when a writer wakes the reader, and at no other time: some leave it asleep.
    wakes: OwnedFd,
    /// Where the reader puts what it has read. A pointer, since libbpf has it too.
    taken: NonNull<Vec<Raw>>,
}

// SAFETY: libbpf's reader belongs to no thread, and nothing else has these pointers.
unsafe impl Send for Ring {}

impl Ring {
    pub(super) fn open(map: BorrowedFd<'_>) -> io::Result<Self> {
        let wakes = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let on_edges = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&wakes, map, epoll::EventData::new_u64(0), on_edges)?;
        let taken = NonNull::from(Box::leak(Box::<Vec<Raw>>::default()));
        // SAFETY: the descriptor is open, the vector lives until the reader is freed, and there are no
        // options.
        let reader = unsafe {
            libbpf_sys::ring_buffer__new(
                map.as_raw_fd(),
                Some(take),
                taken.as_ptr().cast::<c_void>(),
                std::ptr::null(),
            )
        };
        let Some(reader) = NonNull::new(reader) else {
            let error = io::Error::last_os_error();
            // SAFETY: it was leaked above, and nobody else has it.
            drop(unsafe { Box::from_raw(taken.as_ptr()) });
            return Err(error);
        };
        Ok(Self {
            reader,
            wakes,
            taken,
        })
    }

    /// Waits until a writer wakes the reader; a signal ends the waiting too. Says whether it was not
    /// a signal.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<bool> {
        let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
        let mut events = Vec::with_capacity(1);
        let spare = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.wakes, spare, Some(&timeout)) {
            Ok(_) => Ok(true),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Hands on what is there, and says whether there may be more.
    pub(super) fn read(&mut self, mut each: impl FnMut(&Raw)) -> io::Result<bool> {
        // SAFETY: the reader is open, and calls `take` alone, with the vector that nobody else uses now.
        let answer =
            unsafe { libbpf_sys::ring_buffer__consume_n(self.reader.as_ptr(), MOST.into()) };
        // SAFETY: the reader is done with it until the next call.
        let taken = unsafe { self.taken.as_mut() };
        taken.drain(..).for_each(|raw| each(&raw));
        match u32::try_from(answer) {
            Ok(read) => Ok(read >= MOST),
            Err(_) => Err(io::Error::from_raw_os_error(answer.wrapping_neg())),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: it was made by ring_buffer__new(), and is not used again.
        unsafe { libbpf_sys::ring_buffer__free(self.reader.as_ptr()) };
        // SAFETY: it was leaked when the ring was opened, and the reader that had it is gone.
        drop(unsafe { Box::from_raw(self.taken.as_ptr()) });
    }
}

/// Called by libbpf for each entry.
unsafe extern "C" fn take(taken: *mut c_void, data: *mut c_void, len: libbpf_sys::size_t) -> c_int {
    if usize::try_from(len) != Ok(size_of::<Raw>()) {
        return 0;
    }
    // SAFETY: libbpf passes what it was given, which is a vector that nobody else uses during the call.
    let taken = unsafe { &mut *taken.cast::<Vec<Raw>>() };
    // SAFETY: the entry has as many bytes as said, which are not written to any more.
    let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), size_of::<Raw>()) };
    taken.extend(Raw::read_from_bytes(bytes));
    0
}
