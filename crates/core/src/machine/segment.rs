//! What a connection's machine is told, and what it does.

use super::Errno;
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeout};

/// What arrives for the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Acknowledges everything that was sent and leaves the window open: the answer to a probe, to
    /// data, to a FIN, and what completes a handshake.
    Ack,
    /// An acceptable ACK that acknowledges nothing new: it proves life, data stays in flight.
    Stale,
    /// Acknowledges everything and closes the window.
    ZeroWindow,
    /// Data from the peer.
    Data,
    /// The peer's FIN; acknowledges nothing new.
    Fin,
    /// An acceptable RST.
    Reset,
    /// An ICMP error that quotes the last segment sent.
    Unreachable(Errno),
}

/// What the kernel sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sent {
    /// A keepalive probe; how many are unanswered with it.
    Probe {
        /// `tcpi_probes`, this one included.
        unanswered: u32,
    },
    /// Data, for the first time.
    Data,
    /// A tail loss probe: the data once more, before the retransmission timeout.
    TailLossProbe,
    /// Data once more, behind a retransmission timeout.
    Retransmission {
        /// `tcpi_retransmits`, this one included.
        count: u32,
    },
    /// A window probe.
    WindowProbe {
        /// `tcpi_probes`, this one included.
        unanswered: u32,
    },
    /// A SYN.
    Syn {
        /// How often it was repeated: 0 for the first.
        count: u32,
    },
    /// A SYN-ACK.
    SynAck {
        /// How often it was repeated: 0 for the first.
        count: u32,
    },
    /// A FIN.
    Fin {
        /// How often it was repeated: 0 for the first.
        count: u32,
    },
}

/// What ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// As many keepalive probes as the settings allow are unanswered.
    Keepalive,
    /// `TCP_USER_TIMEOUT`.
    UserTimeout,
    /// Data was retransmitted for as long as `tcp_retries2` stands for.
    Retransmission,
    /// `tcp_retries2` window probes are unanswered.
    WindowProbes,
    /// Nobody answered the SYNs (`tcp_syn_retries`).
    Connect,
    /// Nobody answered the SYN-ACKs (`tcp_synack_retries`). No program saw the connection.
    Accept,
    /// What a closed socket still had to send was not acknowledged (`tcp_orphan_retries`).
    Orphan,
    /// A closed socket waited in vain for the peer's FIN (`tcp_fin_timeout`).
    FinTimeout,
    /// The peer, or something on the way, sent RST.
    Reset,
    /// An ICMP error ended the attempt to connect.
    Unreachable,
    /// Both ends closed, or data came for a socket that was closed.
    Closed,
}

impl Cause {
    /// In a few words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keepalive => "keepalive",
            Self::UserTimeout => "user timeout",
            Self::Retransmission => "retransmission",
            Self::WindowProbes => "window probes",
            Self::Connect => "connect",
            Self::Accept => "accept",
            Self::Orphan => "orphan",
            Self::FinTimeout => "fin timeout",
            Self::Reset => "reset",
            Self::Unreachable => "unreachable",
            Self::Closed => "closed",
        }
    }
}

/// What the machine does after an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Nothing that can be seen.
    None,
    /// A timer fired, found nothing to do and was armed anew.
    Rearmed,
    /// A segment leaves. If the device refuses it, tell [`super::KeepaliveMachine::on_congestion`].
    Send(Sent),
    /// The kernel's own end of it: the timers gave the connection up.
    GiveUp {
        /// What the program reads, if a program is left to read.
        errno: Option<Errno>,
        /// Which limit was reached.
        cause: Cause,
    },
    /// The other side's word, or the natural end.
    End {
        /// What the program reads, if a program is left to read.
        errno: Option<Errno>,
        /// What was received, or waited for.
        cause: Cause,
    },
}

/// A socket option that the program sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SocketOption {
    /// `SO_KEEPALIVE` = 1.
    KeepaliveOn,
    /// `SO_KEEPALIVE` = 0.
    KeepaliveOff,
    /// `TCP_KEEPIDLE`.
    Idle(KeepIdle),
    /// `TCP_KEEPINTVL`.
    Interval(KeepIntvl),
    /// `TCP_KEEPCNT`.
    Probes(KeepCnt),
    /// `TCP_USER_TIMEOUT`.
    UserTimeout(UserTimeout),
}
