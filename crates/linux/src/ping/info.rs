//! What `TCP_INFO` tells of a connection, as a look at it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use sockpulse_core::TcpState;
use sockpulse_core::ping::Glance;

use crate::error::{Error, Operation, Result};
use crate::{raw, sockopt};

/// `struct tcp_info` up to `tcpi_data_segs_in` (since 4.6).
const LENGTH: usize = 156;
/// The kernel's least variance of a retransmission timeout (`TCP_RTO_MIN`).
const LEAST_VARIANCE: Duration = Duration::from_millis(200);

/// A look at a connection through a descriptor of it. Nothing changes.
///
/// Sequence numbers are counted from the connection's begin, since the kernel tells no others, and what a
/// segment would need besides is missing: no probe can be built from this.
///
/// # Errors
/// [`Error::System`] when it is no TCP socket.
#[doc(alias = "TCP_INFO")]
pub fn glance(socket: impl AsFd) -> Result<Glance> {
    let socket = socket.as_fd();
    let info = Info::of(socket)?;
    let queued = |result: Result<u64, rustix::io::Errno>, name: &'static str| {
        let bytes = result.map_err(|errno| Error::system(Operation::ReadOption, name, errno))?;
        Ok(u32::try_from(bytes).unwrap_or(u32::MAX))
    };
    let acked = info.low_word(120);
    Ok(Glance {
        cookie: sockopt::cookie(socket)?,
        state: TcpState::from_kernel(info.0[0]).unwrap_or(TcpState::Close),
        segs_in: info.word(140),
        data_segs_in: info.word(152),
        silence: Duration::from_millis(info.word(52).min(info.word(56)).into()),
        unanswered: info.0[3],
        unacked: queued(raw::not_acknowledged(socket), "SIOCOUTQ")?,
        unread: queued(rustix::io::ioctl_fionread(socket), "SIOCINQ")?,
        retransmits: info.0[2],
        retransmitted: info.word(100),
        rto: info.rto(),
        srtt: Some(info.micros(68)).filter(|srtt| !srtt.is_zero()),
        snd_una: acked,
        snd_nxt: acked,
        rcv_nxt: info.low_word(128),
        window: 0,
        timestamps: None,
        hop_limit: None,
        traffic_class: 0,
        mark: 0,
        signed: false,
        soft_error: None,
        mptcp: false,
        orphan: false,
        keepalive: sockopt::keepalive(socket)?,
    })
}

struct Info([u8; LENGTH]);

impl Info {
    fn of(socket: BorrowedFd<'_>) -> Result<Self> {
        raw::option(socket, libc::IPPROTO_TCP, libc::TCP_INFO)
            .map(Self)
            .map_err(|errno| Error::system(Operation::ReadOption, "TCP_INFO", errno))
    }

    fn word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    /// The lower half of a number of 64 bits.
    fn low_word(&self, at: usize) -> u32 {
        let bytes = self.0.get(at..).and_then(|rest| rest.first_chunk());
        let number = bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes));
        u32::try_from(number & u64::from(u32::MAX)).unwrap_or(0)
    }

    fn micros(&self, at: usize) -> Duration {
        Duration::from_micros(self.word(at).into())
    }

    /// Not backed off: while segments are retransmitted it is reckoned anew from the round trips, as
    /// the kernel does when one is acknowledged. (`tcpi_rttvar` is a quarter of the deviation.)
    fn rto(&self) -> Duration {
        if self.0[2] == 0 {
            return self.micros(8);
        }
        self.micros(68) + (self.micros(72) * 4).max(LEAST_VARIANCE)
    }
}
