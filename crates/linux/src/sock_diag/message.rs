//! What one inet_diag message says, translated into a [`Connection`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockpulse_core::{
    CgroupId, Connection, Cookie, End, Family, NetnsId, Observed, Owner, SocketId, Source,
    TcpState, Timer, TimerKind, Timers, Unseen,
};
use zerocopy::FromBytes;

use super::wire::{self, Answer, Info, Ne64};
use crate::error::Error;
use crate::netlink::{self, Cut};

/// The messages of a datagram, netlink's own left out. Any bytes may be given: what cannot be read
/// is an [`Error::Malformed`]; after a wrong length nothing follows.
pub fn messages(batch: &[u8]) -> Messages<'_> {
    Messages {
        inner: netlink::messages(batch),
    }
}

/// See [`messages()`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    inner: netlink::Messages<'a>,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<DiagMessage<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let message = match self.inner.next_content()? {
                Ok(message) => match message.kind {
                    wire::SOCK_DIAG_BY_FAMILY | wire::TCPDIAG_GETSOCK => {
                        DiagMessage::parse(message.payload)
                    }
                    _ => continue,
                },
                Err(Cut) => None,
            };
            return Some(message.ok_or_else(|| Error::Malformed {
                object: "an inet_diag message".into(),
            }));
        }
    }
}

/// Flags of `INET_DIAG_SOCKOPT` (`struct inet_diag_sockopt`, since 5.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketFlags(u16);

impl SocketFlags {
    /// `IP_TRANSPARENT`: the local address may be another host's (a transparent proxy).
    #[must_use]
    pub const fn transparent(self) -> bool {
        self.0 & (1 << 5) != 0
    }

    /// connect(2) was deferred to the first write (`TCP_FASTOPEN_CONNECT`).
    #[must_use]
    pub const fn connect_deferred(self) -> bool {
        self.0 & (1 << 10) != 0
    }
}

/// One socket as inet_diag shows it.
#[derive(Debug, Clone, Copy)]
pub struct DiagMessage<'a> {
    base: &'a Answer,
    info: Option<Info>,
    has_shutdown: bool,
    protocol: u8,
    cgroup: Option<CgroupId>,
    flags: Option<SocketFlags>,
    mptcp: bool,
}

/// Which structure of the kernel's stands behind a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Request,
    TimeWait,
}

impl<'a> DiagMessage<'a> {
    fn parse(payload: &'a [u8]) -> Option<Self> {
        let (base, rest) = Answer::ref_from_prefix(payload).ok()?;
        let mut message = Self {
            base,
            info: None,
            has_shutdown: false,
            protocol: wire::IPPROTO_TCP,
            cgroup: None,
            flags: None,
            mptcp: false,
        };
        for attribute in netlink::attributes(rest) {
            let (kind, value) = attribute.ok()?;
            match kind {
                wire::INFO => message.info = Some(Info::read_from_prefix(value).ok()?.0),
                wire::SHUTDOWN => message.has_shutdown = true,
                wire::PROTOCOL => message.protocol = *value.first()?,
                wire::CGROUP_ID => {
                    let id = Ne64::read_from_prefix(value).ok()?.0.get();
                    message.cgroup = (id != 0).then_some(CgroupId(id));
                }
                wire::SOCKOPT => {
                    let flags = <[u8; 2]>::read_from_prefix(value).ok()?.0;
                    message.flags = Some(SocketFlags(u16::from_le_bytes(flags)));
                }
                wire::ULP_INFO => message.mptcp = is_mptcp(value),
                _ => {}
            }
        }
        Some(message)
    }

    /// The socket's identity.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        let [low, high] = self.base.id.cookie;
        Cookie(u64::from(low.get()) | u64::from(high.get()) << 32)
    }

    /// The inode number in sockfs; 0 when no `struct socket` belongs to it.
    #[must_use]
    pub fn inode(&self) -> u64 {
        u64::from(self.base.inode.get())
    }

    /// The state; `None` for numbers that are no TCP state.
    #[must_use]
    pub fn state(&self) -> Option<TcpState> {
        TcpState::from_kernel(self.base.state)
    }

    /// Whether it is a subflow of Multipath TCP. Its inode number is that of the socket that the
    /// program holds; the subflow itself is in no descriptor table.
    #[must_use]
    pub const fn is_mptcp(&self) -> bool {
        self.mptcp
    }

    /// Flags of the socket, if the kernel tells them.
    #[must_use]
    pub const fn flags(&self) -> Option<SocketFlags> {
        self.flags
    }

    /// Everything that inet_diag says. `None` when it is no TCP socket of IPv4 or IPv6.
    ///
    /// inet_diag carries no keepalive settings, and a pending timer does not tell them either: the
    /// same timer ends an orphan's FIN-WAIT-2, and a retransmission hides it. They are
    /// [`Unseen::NotReported`] for sockets and [`Unseen::NoSocket`] for requests and TIME-WAIT.
    #[must_use]
    pub fn connection(&self, netns: NetnsId) -> Option<Connection> {
        let base = self.base;
        if self.protocol != wire::IPPROTO_TCP {
            return None;
        }
        let state = self.state()?;
        let (family, local, remote) = self.ends()?;
        let kind = self.kind();
        let is_socket = kind == Kind::Socket;
        let info = self.info.filter(|_| is_socket);
        let connected = info.filter(|_| is_connected(state));
        // A listener's numbers mean other things.
        let active = info.filter(|_| state != TcpState::Listen);
        Some(Connection {
            id: SocketId {
                cookie: self.cookie(),
                netns,
                local,
                remote,
            },
            family,
            state,
            ifindex: base.id.ifindex.get(),
            mptcp: self.mptcp,
            orphan: Observed::Known(self.is_orphan(kind, state)),
            inode: self.inode(),
            settings: Observed::Unknown(match kind {
                Kind::Socket => Unseen::NotReported,
                Kind::Request | Kind::TimeWait => Unseen::NoSocket,
            }),
            timers: self.timers(kind, state),
            unanswered_probes: match (kind, base.timer) {
                (Kind::Socket, wire::TIMER_KEEPALIVE | wire::TIMER_PERSIST) => Some(base.retrans),
                _ => active.map(|info| info.probes),
            },
            silence_ms: connected.map(|info| {
                info.last_data_recv
                    .get()
                    .min(info.last_ack_recv.get())
                    .into()
            }),
            sent_ms: connected.map(|info| info.last_data_sent.get().into()),
            unread_bytes: is_socket.then_some(base.rqueue.get().into()),
            unacked_bytes: is_socket.then_some(base.wqueue.get().into()),
            in_flight: active.map(|info| info.unacked.get() > 0),
            snd_una: None,
            rcv_nxt: None,
            rto_ms: active.map(|info| info.rto.get() / 1000),
            retransmits: match (kind, base.timer) {
                (Kind::Request, _) | (Kind::Socket, wire::TIMER_RETRANSMISSION) => {
                    Some(base.retrans)
                }
                _ => active.map(|info| info.retransmits),
            },
            backoff: active.map(|info| info.backoff),
            owner: Owner {
                processes: Vec::new(),
                uid: is_socket.then_some(base.uid.get()),
                cgroup: self.cgroup,
                unseen: Some(if base.inode.get() == 0 {
                    Unseen::NoProcess
                } else {
                    Unseen::NotReported
                }),
            },
            source: Source::SockDiag,
        })
    }

    fn ends(&self) -> Option<(Family, End, End)> {
        let id = &self.base.id;
        let family = match self.base.family {
            wire::AF_INET => Family::Ipv4,
            wire::AF_INET6 => Family::Ipv6,
            _ => return None,
        };
        let end = |bytes: [u8; 16], port: wire::Be16| End {
            addr: match family {
                Family::Ipv4 => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
                Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(bytes)),
            },
            port: port.get(),
        };
        Some((family, end(id.src, id.sport), end(id.dst, id.dport)))
    }

    /// Requests say SYN-RECEIVED and have neither inode nor attributes; a socket in the same state
    /// (fast open, simultaneous open) has `INET_DIAG_SHUTDOWN`, which every socket has since 3.7.
    /// TIME-WAIT entries, also those that still say FIN-WAIT-2, have a timer of their own kind.
    fn kind(&self) -> Kind {
        if self.base.timer == wire::TIMER_TIME_WAIT {
            return Kind::TimeWait;
        }
        let bare = !self.has_shutdown && self.info.is_none() && self.base.inode.get() == 0;
        match self.state() {
            Some(TcpState::SynReceived) if bare => Kind::Request,
            Some(TcpState::TimeWait) => Kind::TimeWait,
            _ => Kind::Socket,
        }
    }

    /// A socket without inode is either closed by its program or not accepted yet; only the former
    /// can have sent a FIN.
    fn is_orphan(&self, kind: Kind, state: TcpState) -> bool {
        match kind {
            Kind::TimeWait => true,
            Kind::Request => false,
            Kind::Socket => {
                self.base.inode.get() == 0
                    && matches!(
                        state,
                        TcpState::FinWait1
                            | TcpState::FinWait2
                            | TcpState::Closing
                            | TcpState::LastAck
                    )
            }
        }
    }

    /// `inet_sk_diag_fill()`, net/ipv4/inet_diag.c: a pending retransmission is shown rather than
    /// the keepalive timer, so that only its absence tells both.
    fn timers(&self, kind: Kind, state: TcpState) -> Timers {
        let pending = |kind| {
            let expires = self.base.expires.get();
            // Kernels that do not clamp an overdue timer show a negative number.
            let overdue = i32::try_from(expires).is_err();
            Observed::Known(Some(Timer {
                kind,
                expires_ms: if overdue { 0 } else { expires.into() },
            }))
        };
        const NONE: Observed<Option<Timer>> = Observed::Known(None);
        const HIDDEN: Observed<Option<Timer>> = Observed::Unknown(Unseen::NotReported);
        let (keepalive, retransmission) = match (kind, self.base.timer) {
            (Kind::Request, _) => (pending(TimerKind::SynAck), NONE),
            (Kind::TimeWait, _) => (pending(TimerKind::TimeWait), NONE),
            (Kind::Socket, wire::TIMER_NONE) => (NONE, NONE),
            (Kind::Socket, wire::TIMER_RETRANSMISSION) => {
                (HIDDEN, pending(TimerKind::Retransmission))
            }
            (Kind::Socket, wire::TIMER_PERSIST) => (HIDDEN, pending(TimerKind::Persist)),
            (Kind::Socket, wire::TIMER_KEEPALIVE) => {
                let lingers = state == TcpState::FinWait2 && self.base.inode.get() == 0;
                let kind = if lingers {
                    TimerKind::FinWait2
                } else {
                    TimerKind::Keepalive
                };
                (pending(kind), NONE)
            }
            (Kind::Socket, _) => (HIDDEN, HIDDEN),
        };
        Timers {
            keepalive,
            retransmission,
        }
    }
}

/// States in which the times of tcp_info count from real segments.
const fn is_connected(state: TcpState) -> bool {
    matches!(
        state,
        TcpState::Established
            | TcpState::CloseWait
            | TcpState::FinWait1
            | TcpState::FinWait2
            | TcpState::Closing
            | TcpState::LastAck
    )
}

fn is_mptcp(ulp: &[u8]) -> bool {
    netlink::attributes(ulp)
        .map_while(Result::ok)
        .any(|(kind, name)| {
            kind == wire::ULP_NAME && name.split(|b| *b == 0).next() == Some(b"mptcp")
        })
}
