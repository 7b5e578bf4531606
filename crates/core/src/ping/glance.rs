//! What one cheap look at a connection tells.

use core::time::Duration;

use crate::connection::{Cookie, TcpState};

/// A look at one connection. It is taken again and again while the connection is being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Glance {
    /// Which connection: addresses and ports may have been given to another by now.
    pub cookie: Cookie,
    /// Its state.
    pub state: TcpState,
    /// Segments that came in, with and without data (`tcpi_segs_in`).
    pub segs_in: u32,
    /// Those with data.
    pub data_segs_in: u32,
    /// Since an acknowledgement or data came that was taken in: the later of `rcv_tstamp` and
    /// `icsk_ack.lrcvtime`.
    pub silence: Duration,
    /// Unanswered probes of the kernel's own (`icsk_probes_out`).
    pub unanswered: u8,
    /// Bytes that the peer has not acknowledged, queued ones included (`write_seq - snd_una`).
    pub unacked: u32,
    /// Bytes that the program has not read.
    pub unread: u32,
    /// Retransmissions of the oldest segment so far (`icsk_retransmits`).
    pub retransmits: u8,
    /// Segments that were ever retransmitted (`total_retrans`).
    pub retransmitted: u32,
    /// The retransmission timeout as the round trips give it, *not* backed off: `srtt` plus the
    /// variance, as `__tcp_set_rto()` reckons it. Before any round trip was measured `icsk_rto`.
    pub rto: Duration,
    /// The smoothed round trip; `None` before any was measured.
    pub srtt: Option<Duration>,
    /// First sequence number that the peer has not acknowledged.
    pub snd_una: u32,
    /// Next sequence number to send.
    pub snd_nxt: u32,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: u32,
    /// The receive window as it stands in a header: scaled down.
    pub window: u16,
    /// Set where both ends agreed on timestamps (RFC 7323).
    pub timestamps: Option<Timestamps>,
    /// The socket's own time to live or hop limit; `None` for the default.
    pub hop_limit: Option<u8>,
    /// Type of service or traffic class of the socket's packets, congestion bits as they stand there.
    pub traffic_class: u8,
    /// The socket's mark (`SO_MARK`), by which its packets may be routed; 0 for none.
    pub mark: u32,
    /// Whether segments are signed (MD5, RFC 2385, or AO, RFC 5925).
    pub signed: bool,
    /// An error that was heard of and has not ended the connection (`sk_err_soft`).
    pub soft_error: Option<i32>,
    /// Whether it is a subflow of Multipath TCP.
    pub mptcp: bool,
    /// Whether its program closed it and only the kernel holds it (`SOCK_DEAD`).
    pub orphan: bool,
    /// Whether keepalive is on.
    pub keepalive: bool,
}

/// The two numbers of a timestamps option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timestamps {
    /// Our clock at the look, with the connection's offset. A peer drops what is older than what it
    /// has seen already (PAWS, RFC 7323 5).
    pub value: u32,
    /// The last one of the peer's (`ts_recent`).
    pub echo: u32,
}

impl Glance {
    /// Whether any segment came since the earlier look.
    #[must_use]
    pub const fn heard_since(&self, earlier: &Self) -> bool {
        self.segs_in != earlier.segs_in
    }
}
