//! Looks at connections whose ends are known, without a walk.

mod endings;
mod layout;

use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use sockpulse_core::ping::Glance;
use sockpulse_core::{Cookie, End, Hz};

use self::layout::{Cell, MOST};
use crate::error::{Error, Operation, Result};
use crate::load::{self, not_opened};
use crate::shared::Shared;
use crate::skeleton::glance::GlanceSkelBuilder;
use crate::sys;

pub use self::endings::Endings;

const NAME: &str = "the socket lookup";

/// Whom to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whom {
    /// The socket's identity. Another socket between the same ends is not looked at.
    pub cookie: Cookie,
    /// This end.
    pub local: End,
    /// The peer's.
    pub remote: End,
    /// The device that the socket is bound to; 0: none.
    pub ifindex: u32,
}

/// What was seen of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The connection.
    Seen(Glance),
    /// There is none any more: its socket is closed, or only an entry of TIME-WAIT is left.
    Gone,
    /// It cannot be looked up: the device that it is bound to is not there.
    NoDevice,
}

impl Look {
    /// The connection, if it was seen.
    #[must_use]
    pub const fn glance(self) -> Option<Glance> {
        match self {
            Self::Seen(glance) => Some(glance),
            Self::Gone | Self::NoDevice => None,
        }
    }
}

/// The loaded program. It finds a connection as the kernel does when a segment comes in
/// (`bpf_skc_lookup_tcp()`, net/core/filter.c), and reads the socket without its lock.
///
/// Nothing is attached: the program runs only while [`look`](Self::look) is called
/// (`BPF_PROG_TEST_RUN`). One serves all network namespaces, one thread at a time. A look by itself
/// was measured to take 3 to 4 µs, and 0.6 to 1.5 µs among a thousand or more (Linux 6.18).
///
/// Needs `CAP_BPF`, `CAP_PERFMON` and `CAP_NET_ADMIN`; Linux 5.12.
#[derive(Debug)]
pub struct Glances {
    program: OwnedFd,
    /// The program is run only by who has these, and has ended when the run returns.
    cells: Shared<Cell>,
    hz: Hz,
}

impl Glances {
    /// Loads the program.
    ///
    /// # Errors
    /// [`Error::LookupNotPermitted`]; else as for [`TaskFile::load`](crate::TaskFile::load).
    pub fn load(hz: Hz) -> Result<Self> {
        let failed = |error| Error::of_lookup(Operation::Load, NAME, error);
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = GlanceSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        sys::load(open.open_object_mut()).map_err(failed)?;
        let array = sys::map(&open.maps.glances).map_err(failed)?;
        Ok(Self {
            program: sys::program(&open.progs.glance).map_err(failed)?,
            cells: Shared::map(array.as_fd(), MOST).map_err(failed)?,
            hz,
        })
    }

    /// Looks at connections of the network namespace in which the calling thread is now, and appends
    /// an answer for each, in their order.
    ///
    /// # Errors
    /// What the kernel says of a run.
    pub fn look(&mut self, whom: &[Whom], looks: &mut Vec<Look>) -> Result<()> {
        looks.reserve(whom.len());
        for same in whom.chunk_by(|a, b| a.ifindex == b.ifindex) {
            for batch in same.chunks(MOST) {
                self.look_at(batch, looks)?;
            }
        }
        Ok(())
    }

    /// At no more than a run looks at, all bound to the same device.
    fn look_at(&mut self, batch: &[Whom], looks: &mut Vec<Look>) -> Result<()> {
        const ENODEV: i32 = 19;
        for (cell, whom) in self.cells.as_mut_slice().iter_mut().zip(batch) {
            *cell = Cell::of(whom);
        }
        let count = u32::try_from(batch.len()).expect("a run has not that many");
        let ifindex = batch.first().map_or(0, |whom| whom.ifindex);
        let run = || sys::run_on_packet(self.program.as_fd(), count, ifindex);
        let mut ran = run();
        // Older kernels say so when a signal came meanwhile.
        while matches!(&ran, Err(error) if error.kind() == ErrorKind::Interrupted) {
            ran = run();
        }
        match ran {
            Ok(()) => {}
            Err(error) if ifindex != 0 && error.raw_os_error() == Some(ENODEV) => {
                looks.extend(batch.iter().map(|_| Look::NoDevice));
                return Ok(());
            }
            Err(error) => return Err(Error::of_lookup(Operation::Run, NAME, error)),
        }
        let cells = self.cells.as_mut_slice().iter().take(batch.len());
        looks.extend(cells.map(|cell| cell.glance(self.hz).map_or(Look::Gone, Look::Seen)));
        Ok(())
    }
}

/// Whether the kernel takes the program and runs it.
pub(crate) fn try_look() -> Result<()> {
    let nowhere = End {
        addr: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        port: 0,
    };
    let nobody = Whom {
        cookie: Cookie(0),
        local: nowhere,
        remote: nowhere,
        ifindex: 0,
    };
    // Ticks are reckoned with only when something is seen.
    let hz = Hz::new(100).expect("kernels have it");
    Glances::load(hz)?.look(&[nobody], &mut Vec::new())
}
