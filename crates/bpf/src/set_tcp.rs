//! The iterator that sets the TCP sockets of one network namespace.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use sockpulse_core::Hz;
use zerocopy::FromBytes;

use crate::error::{Error, Operation, Result};
use crate::load::{self, Program, not_opened};
use crate::order::{Answer, Order, Places, Verdict};
use crate::risk::{self, RiskAccepted, TCP_ITERATOR};
use crate::shared::Shared;
use crate::skeleton::set_tcp::SetTcpSkelBuilder;
use crate::sys;

const NAME: &str = "the tcp iterator that sets";

/// The loaded program with its orders.
///
/// It finds sockets by their cookies, so that no process is reached into, and none need hold them:
/// what waits to be accepted is set too. The kernel holds a socket's lock while it is set
/// (`bpf_iter_tcp_seq_show()`, net/ipv4/tcp_ipv4.c).
///
/// Needs `CAP_BPF` and `CAP_PERFMON`; Linux 5.15.
#[derive(Debug)]
pub struct SetTcp {
    program: Program,
}

/// One walk. It sets while it is read, and may be read from any thread.
#[derive(Debug)]
pub struct Walk {
    file: File,
    buffer: Vec<u8>,
}

impl SetTcp {
    /// Loads the program and its orders, which are numbered from 0, unless the running kernel can be crashed by it and the
    /// caller has not accepted that. Nothing is set yet. Takes 128 bytes of the kernel's memory an
    /// order. One that finds no room between others is never answered, as if its socket were gone.
    ///
    /// # Errors
    /// As for [`IterTcp::load`](crate::IterTcp::load); and when the kernel has no memory for so many.
    pub fn load(
        accepted: RiskAccepted,
        hz: Hz,
        orders: impl ExactSizeIterator<Item = Order>,
    ) -> Result<Self> {
        risk::check(NAME, TCP_ITERATOR, accepted)?;
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = SetTcpSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        let places = Places::needed(orders.len());
        let entries = u32::try_from(places).unwrap_or(u32::MAX);
        let constants = open.maps.rodata_data.as_deref_mut();
        let constants = constants.expect("the program has constants");
        constants.hz = hz.get();
        constants.places = entries;
        open.maps
            .orders
            .set_max_entries(entries)
            .map_err(not_opened(NAME))?;
        load::load(NAME, open.open_object_mut())?;
        let map =
            sys::map(&open.maps.orders).map_err(|error| Error::of(Operation::Load, NAME, error))?;
        let mut shared = Shared::map(map.as_fd(), places)
            .map_err(|error| Error::of(Operation::Write, NAME, error))?;
        let mut room = Places(shared.as_mut_slice());
        let left = orders
            .zip(0..)
            .filter(|(order, nth)| !room.put(order.encode(*nth)))
            .count();
        if left > 0 {
            tracing::info!("{left} orders found no room");
        }
        let program = Program::keep(NAME, &open.progs.set_tcp)?;
        Ok(Self { program })
    }

    /// Starts a walk over the network namespace in which the calling thread is now. Listeners come
    /// first.
    ///
    /// # Errors
    /// As for [`SetTcp::load`].
    pub fn open(&self) -> Result<Walk> {
        Ok(Walk {
            file: self.program.iterate()?,
            buffer: Vec::new(),
        })
    }
}

impl Walk {
    /// The most that one call sets: answers of one call fit into the kernel's buffer, whatever its
    /// size is, since a socket whose answer does not fit is shown once more (`bpf_seq_read()`).
    pub const MOST: usize = (32 * 1024) / size_of::<Answer>() - 1;

    /// Goes on until as many sockets have answered, and tells which and how; nothing at the end.
    /// Between two calls no lock is held, and sockets that come and go do not disturb the walk; on
    /// kernels before 6.17 one may be passed over then. An order is carried out once.
    ///
    /// # Errors
    /// What read(2) says. Then it is not known which sockets were set since the last answer.
    pub fn advance(&mut self, most: usize) -> Result<Vec<(usize, Verdict)>> {
        self.buffer
            .resize(most.clamp(1, Self::MOST) * size_of::<Answer>(), 0);
        loop {
            match self.file.read(&mut self.buffer) {
                Ok(len) => {
                    let answers = <[Answer]>::ref_from_bytes(&self.buffer[..len]).unwrap_or(&[]);
                    return Ok(answers.iter().filter_map(Answer::told).collect());
                }
                // The kernel pauses after a million sockets that had no order.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::of(Operation::Read, NAME, error)),
            }
        }
    }
}
