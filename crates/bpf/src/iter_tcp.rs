//! The iterator over the TCP sockets of one network namespace.

use std::mem::MaybeUninit;

use libbpf_rs::skel::{OpenSkel, SkelBuilder};

use crate::error::Result;
use crate::load::{self, Program, not_opened};
use crate::reader::Reader;
use crate::risk::{self, RiskAccepted, TCP_ITERATOR};
use crate::skeleton::iter_tcp::IterTcpSkelBuilder;

pub(crate) const NAME: &str = "the tcp iterator";

/// The loaded `tcp` program: every TCP socket of one network namespace, with TIME-WAIT entries,
/// connection requests and orphans (`bpf_iter_reg` of net/ipv4/tcp_ipv4.c), without processes.
///
/// Needs `CAP_BPF` and `CAP_PERFMON`; Linux 5.12. Only sockets that are bound and neither listen nor
/// connect are missing.
#[derive(Debug)]
pub struct IterTcp {
    program: Program,
}

impl IterTcp {
    /// Loads the program, unless the running kernel can be crashed by it and the caller has not
    /// accepted that.
    ///
    /// # Errors
    /// [`Error::KernelRisk`](crate::Error::KernelRisk); else as for
    /// [`TaskFile::load`](crate::TaskFile::load).
    pub fn load(accepted: RiskAccepted) -> Result<Self> {
        risk::check(NAME, TCP_ITERATOR, accepted)?;
        load::prepare(NAME)?;
        let mut object = MaybeUninit::uninit();
        let mut open = IterTcpSkelBuilder::default()
            .open(&mut object)
            .map_err(not_opened(NAME))?;
        load::load(NAME, open.open_object_mut())?;
        let program = Program::keep(NAME, &open.progs.iter_tcp)?;
        Ok(Self { program })
    }

    /// Starts a walk over the network namespace in which the calling thread is now; the reader may
    /// then be read from any thread.
    ///
    /// # Errors
    /// As for [`IterTcp::load`].
    pub fn open(&self) -> Result<Reader> {
        self.program.open(None)
    }
}
