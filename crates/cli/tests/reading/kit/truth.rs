//! What the kernel tells a socket's own process.

use std::os::fd::AsFd;
use std::time::Instant;

use rustix::net::sockopt;

use super::sys;

/// The options of a socket, by getsockopt(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) cookie: u64,
    pub(crate) inode: u64,
    pub(crate) keepalive: bool,
    pub(crate) idle_s: u64,
    pub(crate) interval_s: u64,
    pub(crate) probes: u64,
    pub(crate) user_timeout_ms: u64,
}

impl Truth {
    /// Asks.
    pub(crate) fn of(socket: impl AsFd) -> Self {
        let socket = socket.as_fd();
        Self {
            cookie: sockopt::socket_cookie(socket).unwrap(),
            inode: rustix::fs::fstat(socket).unwrap().st_ino,
            keepalive: sockopt::socket_keepalive(socket).unwrap(),
            idle_s: sockopt::tcp_keepidle(socket).unwrap().as_secs(),
            interval_s: sockopt::tcp_keepintvl(socket).unwrap().as_secs(),
            probes: sockopt::tcp_keepcnt(socket).unwrap().into(),
            user_timeout_ms: sockopt::tcp_user_timeout(socket).unwrap().into(),
        }
    }
}

/// What changes by itself, by `TCP_INFO`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Milliseconds since the last segment from the peer.
    pub(crate) silence_ms: u64,
    /// Milliseconds since data was last sent.
    pub(crate) sent_ms: u64,
    pub(crate) unanswered_probes: u64,
    pub(crate) retransmits: u64,
    pub(crate) backoff: u64,
    pub(crate) rto_ms: u64,
    pub(crate) state: u8,
    /// When it was asked.
    pub(crate) at: Instant,
}

impl Moment {
    /// Asks.
    pub(crate) fn of(socket: impl AsFd) -> Self {
        let info = sys::tcp_info(socket);
        Self {
            silence_ms: info.tcpi_last_data_recv.min(info.tcpi_last_ack_recv).into(),
            sent_ms: info.tcpi_last_data_sent.into(),
            unanswered_probes: info.tcpi_probes.into(),
            retransmits: info.tcpi_retransmits.into(),
            backoff: info.tcpi_backoff.into(),
            rto_ms: u64::from(info.tcpi_rto) / 1000,
            state: info.tcpi_state,
            at: Instant::now(),
        }
    }
}
