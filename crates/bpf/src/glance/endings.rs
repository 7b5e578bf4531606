//! How connections end that are watched.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use sockpulse_core::Cookie;
use zerocopy::native_endian::{I32, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Operation, Result};
use crate::load::{self, not_opened};
use crate::skeleton::endings::EndingsSkelBuilder;
use crate::sys;

const NAME: &str = "the state tracepoint";

/// Cookies that go into the kernel with one call.
const BATCH: usize = 4096;

/// The loaded program, attached to the kernel's tracepoint for changes of state
/// (`inet_sock_set_state`) until this is dropped. It notes the error of a connection that ends,
/// in any network namespace, if the connection is one of those watched.
///
/// Needs `CAP_BPF` and `CAP_PERFMON`; Linux 5.12.
#[derive(Debug)]
pub struct Endings {
    map: OwnedFd,
    /// Detaches when it is closed.
    _link: OwnedFd,
}

/// `struct ending`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Ending {
    error: I32,
    ended: U32,
}

impl Endings {
    /// Loads and attaches the program, with room for as many connections.
    ///
    /// # Errors
    /// As for [`TaskFile::load`](crate::TaskFile::load).
    pub fn load(room: usize) -> Result<Self> {
        let failed = |operation| move |error| Error::of(operation, NAME, error);
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = EndingsSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        let room = u32::try_from(room.max(1)).unwrap_or(u32::MAX);
        open.maps
            .endings
            .set_max_entries(room)
            .map_err(not_opened(NAME))?;
        load::load(NAME, open.open_object_mut())?;
        let map = sys::map(&open.maps.endings).map_err(failed(Operation::Load))?;
        let program = sys::program(&open.progs.note_ending).map_err(failed(Operation::Load))?;
        let link = sys::link_tracepoint(program.as_fd()).map_err(failed(Operation::Attach))?;
        Ok(Self { map, _link: link })
    }

    /// Watches these connections from now on, afresh those that were watched already. What ended
    /// before is not known.
    ///
    /// # Errors
    /// [`Error::Bpf`] when there are more than there is room for.
    pub fn watch(&mut self, cookies: &[Cookie]) -> Result<()> {
        let none = [Ending::new_zeroed(); BATCH];
        for batch in cookies.chunks(BATCH) {
            let keys: Vec<u64> = batch.iter().map(|cookie| cookie.0).collect();
            let values = none.get(..keys.len()).unwrap_or_default();
            sys::fill(self.map.as_fd(), &keys, values.as_bytes())
                .map_err(|error| Error::of(Operation::Write, NAME, error))?;
        }
        Ok(())
    }

    /// The error by which a connection ended, as an errno, 0 if it was closed without one; `None` if it
    /// was not seen to end. One that ended is not watched any more. The error is the one that the
    /// program gets to see, and it is still there: nothing was taken from the socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn take(&mut self, cookie: Cookie) -> Result<Option<i32>> {
        let failed = |operation| move |error| Error::of(operation, NAME, error);
        let mut ending = Ending::new_zeroed();
        let found = sys::find(self.map.as_fd(), cookie.0, ending.as_mut_bytes())
            .map_err(failed(Operation::Read))?;
        if !found || ending.ended.get() == 0 {
            return Ok(None);
        }
        self.forget(cookie)?;
        Ok(Some(ending.error.get()))
    }

    /// Watches a connection no longer.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn forget(&mut self, cookie: Cookie) -> Result<()> {
        sys::delete(self.map.as_fd(), cookie.0)
            .map_err(|error| Error::of(Operation::Write, NAME, error))
    }
}
