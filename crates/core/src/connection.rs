//! One TCP socket as it was read: what is known, what is not, and why not.

use alloc::vec::Vec;
use core::fmt;
use core::net::IpAddr;

use crate::settings::SocketTimers;

/// The number that identifies a socket for its whole life: the same in inet_diag, BPF and
/// `SO_COOKIE`. Zero means that the kernel has not given one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Cookie(pub u64);

/// A network namespace's inode number in nsfs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsId(pub u32);

/// The id of a cgroup v2: its directory's inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CgroupId(pub u64);

/// One end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The address; IPv4-mapped addresses of IPv6 sockets stay mapped.
    pub addr: IpAddr,
    /// The port in host order.
    pub port: u16,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.addr {
            IpAddr::V4(addr) => write!(f, "{addr}:{}", self.port),
            IpAddr::V6(addr) => write!(f, "[{addr}]:{}", self.port),
        }
    }
}

/// The socket's address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// `AF_INET`.
    Ipv4,
    /// `AF_INET6`, IPv4-mapped addresses included.
    Ipv6,
}

impl Family {
    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
        }
    }
}

/// The states of RFC 9293 3.3.2 with the kernel's numbers (include/net/tcp_states.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// Data flows.
    Established = 1,
    /// A SYN was sent.
    SynSent = 2,
    /// A SYN was received; the connection may still be a request without a socket.
    SynReceived = 3,
    /// Closed here, the FIN is not acknowledged.
    FinWait1 = 4,
    /// Closed here; the peer has not closed yet.
    FinWait2 = 5,
    /// Waiting for old segments to die.
    TimeWait = 6,
    /// No connection.
    Close = 7,
    /// The peer closed; the program here has not.
    CloseWait = 8,
    /// Both closed, the last FIN is not acknowledged.
    LastAck = 9,
    /// Waiting for connections.
    Listen = 10,
    /// Both closed at the same time.
    Closing = 11,
}

impl TcpState {
    /// All states, in the kernel's order.
    pub const ALL: [Self; 11] = [
        Self::Established,
        Self::SynSent,
        Self::SynReceived,
        Self::FinWait1,
        Self::FinWait2,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::Closing,
    ];

    /// From the kernel's number; `TCP_NEW_SYN_RECV` (12) is SYN-RECEIVED too.
    #[must_use]
    pub fn from_kernel(number: u8) -> Option<Self> {
        match number {
            12 => Some(Self::SynReceived),
            n => Self::ALL.into_iter().find(|state| *state as u8 == n),
        }
    }

    /// RFC 9293's name, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::SynSent => "syn-sent",
            Self::SynReceived => "syn-received",
            Self::FinWait1 => "fin-wait-1",
            Self::FinWait2 => "fin-wait-2",
            Self::TimeWait => "time-wait",
            Self::Close => "closed",
            Self::CloseWait => "close-wait",
            Self::LastAck => "last-ack",
            Self::Listen => "listen",
            Self::Closing => "closing",
        }
    }

    /// Whether a peer may be silent for ever in this state, so that keepalive is what tells.
    #[must_use]
    pub const fn has_peer(self) -> bool {
        matches!(
            self,
            Self::Established | Self::CloseWait | Self::FinWait1 | Self::FinWait2
        )
    }
}

/// Why something could not be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Unseen {
    /// The source in use does not report it (inet_diag carries no keepalive settings).
    NotReported,
    /// Reading it needs a right that the caller lacks.
    NotPermitted,
    /// No process holds the socket: not accepted yet, orphaned, or the kernel's own.
    NoProcess,
    /// The socket or its process ended while it was read.
    Vanished,
    /// The namespace's defaults could not be read.
    NoDefaults,
    /// The socket is only an entry of the kernel's (a request or TIME-WAIT) and has no settings.
    NoSocket,
}

impl Unseen {
    /// All reasons.
    pub const ALL: [Self; 6] = [
        Self::NotReported,
        Self::NotPermitted,
        Self::NoProcess,
        Self::Vanished,
        Self::NoDefaults,
        Self::NoSocket,
    ];

    /// A stable word for JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotReported => "not-reported",
            Self::NotPermitted => "not-permitted",
            Self::NoProcess => "no-process",
            Self::Vanished => "vanished",
            Self::NoDefaults => "no-defaults",
            Self::NoSocket => "no-socket",
        }
    }

    /// A clause for people.
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::NotReported => "inet_diag does not report settings",
            Self::NotPermitted => "not permitted to look into the owning process",
            Self::NoProcess => {
                "no visible process has it open (not accepted yet, orphaned, the kernel's, in io_uring)"
            }
            Self::Vanished => "the socket or its process ended while it was read",
            Self::NoDefaults => "the namespace's defaults could not be read",
            Self::NoSocket => "a request or TIME-WAIT entry has no settings",
        }
    }
}

/// Something that was seen, or the reason why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Observed<T> {
    /// Seen.
    Known(T),
    /// Not seen, and why.
    Unknown(Unseen),
}

impl<T> Observed<T> {
    /// What was seen.
    pub fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }

    /// A reference to what was seen.
    pub const fn as_ref(&self) -> Observed<&T> {
        match self {
            Self::Known(value) => Observed::Known(value),
            Self::Unknown(why) => Observed::Unknown(*why),
        }
    }
}

/// What a pending timer will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerKind {
    /// Retransmit unacknowledged data.
    Retransmission,
    /// Send a tail loss probe (RFC 8985).
    LossProbe,
    /// Give up waiting for reordered segments (RACK).
    Reordering,
    /// Probe a zero window.
    Persist,
    /// Send a keepalive probe.
    Keepalive,
    /// End an orphan that lingers in FIN-WAIT-2: the kernel uses the keepalive timer for it.
    FinWait2,
    /// End TIME-WAIT.
    TimeWait,
    /// Retransmit the SYN-ACK of a connection request.
    SynAck,
}

impl TimerKind {
    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Retransmission => "retransmission",
            Self::LossProbe => "loss-probe",
            Self::Reordering => "reordering",
            Self::Persist => "persist",
            Self::Keepalive => "keepalive",
            Self::FinWait2 => "fin-wait-2",
            Self::TimeWait => "time-wait",
            Self::SynAck => "syn-ack",
        }
    }
}

/// A pending timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timer {
    /// What it will do.
    pub kind: TimerKind,
    /// Milliseconds until it is due; 0 when it is due or overdue.
    pub expires_ms: u64,
}

/// The two timers that TCP keeps for a socket. inet_diag shows one of them: a pending
/// retransmission hides the keepalive timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timers {
    /// `sk_timer`: keepalive, or lingering in FIN-WAIT-2; TIME-WAIT and request entries have one
    /// of their own kind.
    pub keepalive: Observed<Option<Timer>>,
    /// `icsk_retransmit_timer`: retransmission, loss probe, zero-window probe.
    pub retransmission: Observed<Option<Timer>>,
}

impl Timers {
    /// The pending timer that is due first, as far as it was seen.
    #[must_use]
    pub fn next(&self) -> Option<Timer> {
        let seen = |timer: Observed<Option<Timer>>| timer.known().flatten();
        match (seen(self.keepalive), seen(self.retransmission)) {
            (Some(a), Some(b)) => Some(if b.expires_ms < a.expires_ms { b } else { a }),
            (a, b) => a.or(b),
        }
    }
}

/// A process's name as the kernel keeps it: at most 15 bytes, chosen by the process itself, so any
/// bytes but NUL may stand in it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Comm([u8; 16]);

impl Comm {
    /// From the kernel's bytes; what follows the first NUL is ignored.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut comm = [0; 16];
        let text = bytes.iter().take_while(|b| **b != 0).take(15);
        for (to, from) in comm.iter_mut().zip(text) {
            *to = *from;
        }
        Self(comm)
    }

    /// The name's bytes, which may be control characters and need not be UTF-8.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        &self.0[..len]
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Comm(\"{}\")", self.bytes().escape_ascii())
    }
}

/// A process that holds the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process {
    /// Its id in the pid namespace of the reader.
    pub pid: u32,
    /// The lowest descriptor seen for the socket.
    pub fd: u32,
    /// Its name.
    pub comm: Comm,
}

/// Whose socket it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// The processes that hold it, lowest pid first; empty when none does or none could be seen.
    pub processes: Vec<Process>,
    /// The user that created it; `None` for entries without a socket.
    pub uid: Option<u32>,
    /// The cgroup v2 in which it was created.
    pub cgroup: Option<CgroupId>,
    /// Why no process is named, if none is.
    pub unseen: Option<Unseen>,
}

/// Where a connection was read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// BPF's `task_file` iterator.
    TaskFile,
    /// BPF's `tcp` iterator.
    IterTcp,
    /// inet_diag, with the settings read through a duplicate of the descriptor (pidfd_getfd).
    Pidfd,
    /// inet_diag alone.
    SockDiag,
}

impl Source {
    /// As printed in JSON: both BPF iterators are `bpf`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TaskFile | Self::IterTcp => "bpf",
            Self::Pidfd => "pidfd",
            Self::SockDiag => "sock_diag",
        }
    }
}

/// What identifies a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId {
    /// The identity: addresses and ports are reused, cookies are not.
    pub cookie: Cookie,
    /// Its network namespace.
    pub netns: NetnsId,
    /// The end here.
    pub local: End,
    /// The peer's end; port 0 for listeners.
    pub remote: End,
}

/// One TCP socket as read from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Identity and ends.
    pub id: SocketId,
    /// Address family.
    pub family: Family,
    /// State.
    pub state: TcpState,
    /// The device that the socket is bound to; 0 for none.
    pub ifindex: u32,
    /// Whether this is a subflow of a Multipath TCP connection.
    pub mptcp: bool,
    /// Whether its program closed it and only the kernel still holds it (`SOCK_DEAD`).
    pub orphan: Observed<bool>,
    /// Inode number of the socket in sockfs; 0 when no `struct socket` belongs to it.
    pub inode: u64,
    /// Keepalive settings as the socket holds them.
    pub settings: Observed<SocketTimers>,
    /// Pending timers.
    pub timers: Timers,
    /// Probes sent since the peer was last heard; zero-window probes count here too
    /// (`icsk_probes_out`).
    pub unanswered_probes: Option<u8>,
    /// Milliseconds since the last segment from the peer (data or ACK) was received.
    pub silence_ms: Option<u64>,
    /// Milliseconds since data was last sent.
    pub sent_ms: Option<u64>,
    /// Bytes received that the program has not read; for listeners the connections waiting to be
    /// accepted.
    pub unread_bytes: Option<u64>,
    /// Bytes written that the peer has not acknowledged, queued ones included; for listeners the
    /// length of the accept queue.
    pub unacked_bytes: Option<u64>,
    /// Whether segments are in flight (`packets_out` is not zero).
    pub in_flight: Option<bool>,
    /// First sequence number not acknowledged by the peer.
    pub snd_una: Option<u32>,
    /// Next sequence number expected from the peer.
    pub rcv_nxt: Option<u32>,
    /// The retransmission timeout in force, milliseconds.
    pub rto_ms: Option<u32>,
    /// Retransmissions of the oldest segment so far.
    pub retransmits: Option<u8>,
    /// Exponent of the retransmission or zero-window backoff.
    pub backoff: Option<u8>,
    /// Whose it is.
    pub owner: Owner,
    /// Where it was read.
    pub source: Source,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_the_kernels_numbers() {
        for state in TcpState::ALL {
            assert_eq!(TcpState::from_kernel(state as u8), Some(state));
        }
        assert_eq!(TcpState::from_kernel(12), Some(TcpState::SynReceived));
        assert_eq!(TcpState::from_kernel(0), None);
        assert_eq!(TcpState::from_kernel(13), None);
    }

    #[test]
    fn comm_stops_at_nul_and_at_fifteen_bytes() {
        assert_eq!(Comm::new(b"redis-server\0junk").bytes(), b"redis-server");
        assert_eq!(Comm::new(&[b'x'; 40]).bytes().len(), 15);
        assert_eq!(Comm::new(b"").bytes(), b"");
    }

    #[test]
    fn the_next_timer_is_the_one_due_first() {
        let timer = |kind, expires_ms| Observed::Known(Some(Timer { kind, expires_ms }));
        let timers = Timers {
            keepalive: timer(TimerKind::Keepalive, 60_000),
            retransmission: timer(TimerKind::Retransmission, 200),
        };
        assert_eq!(
            timers.next().map(|t| t.kind),
            Some(TimerKind::Retransmission)
        );
        let hidden = Timers {
            keepalive: Observed::Unknown(Unseen::NotReported),
            ..timers
        };
        assert_eq!(
            hidden.next().map(|t| t.kind),
            Some(TimerKind::Retransmission)
        );
    }
}
