//! What one inet_diag message says, translated into a [`Connection`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockpulse_core::{
    Connection, End, Family, NetnsId, Observed, Owner, SocketId, Source, TcpState, Timer,
    TimerKind, Timers, Unseen,
};

use super::message::DiagMessage;
use super::wire;

/// Which structure of the kernel's stands behind a message.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Socket,
    Request,
    TimeWait,
}

impl DiagMessage<'_> {
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
            unacked_bytes: is_socket.then_some(difference(base.wqueue).into()),
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
            Observed::Known(Some(Timer {
                kind,
                expires_ms: difference(self.base.expires).into(),
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

/// What the kernel has subtracted. Negative stands for nothing: the timer is overdue (on kernels that
/// do not clamp it), or one sequence number has overtaken the other while both were read unlocked.
fn difference(value: wire::Ne32) -> u32 {
    u32::try_from(value.get().cast_signed()).unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use sockpulse_core::{CgroupId, Cookie};

    use super::*;
    use crate::sock_diag::wire::{Answer, Be16, Ne32};

    const INODE: u32 = 77;

    /// An established IPv4 connection with a program, as bytes.
    fn answer(change: impl FnOnce(&mut Answer)) -> Vec<u8> {
        let mut answer = Answer::new_zeroed();
        answer.family = wire::AF_INET;
        answer.state = TcpState::Established as u8;
        answer.id.sport = Be16::new(6379);
        answer.id.src[..4].copy_from_slice(&[10, 0, 0, 1]);
        answer.inode = Ne32::new(INODE);
        change(&mut answer);
        answer.as_bytes().to_vec()
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn connection(bytes: &[u8]) -> Connection {
        let message = DiagMessage::parse(bytes).unwrap();
        message.connection(NetnsId(1)).unwrap()
    }

    /// With `INET_DIAG_SHUTDOWN`, which every socket has.
    fn timers(state: u8, timer: u8, inode: u32, expires: u32) -> Timers {
        let mut bytes = answer(|answer| {
            answer.state = state;
            answer.timer = timer;
            answer.inode = Ne32::new(inode);
            answer.expires = Ne32::new(expires);
        });
        bytes.extend(attribute(wire::SHUTDOWN, &[0]));
        connection(&bytes).timers
    }

    fn seen(kind: TimerKind, expires_ms: u64) -> Observed<Option<Timer>> {
        Observed::Known(Some(Timer { kind, expires_ms }))
    }

    #[test]
    fn one_timer_is_shown_and_hides_the_other() {
        let none = Observed::Known(None);
        let hidden = Observed::Unknown(Unseen::NotReported);
        let established = TcpState::Established as u8;
        let lingering = TcpState::FinWait2 as u8;
        for (name, timers, keepalive, retransmission) in [
            ("none", timers(established, 0, INODE, 0), none, none),
            (
                "a retransmission hides keepalive",
                timers(established, 1, INODE, 204),
                hidden,
                seen(TimerKind::Retransmission, 204),
            ),
            (
                "keepalive",
                timers(established, 2, INODE, 60_000),
                seen(TimerKind::Keepalive, 60_000),
                none,
            ),
            (
                "half closed, with a program",
                timers(lingering, 2, INODE, 60_000),
                seen(TimerKind::Keepalive, 60_000),
                none,
            ),
            (
                "an orphan lingers",
                timers(lingering, 2, 0, 58_000),
                seen(TimerKind::FinWait2, 58_000),
                none,
            ),
            (
                "a zero window hides keepalive",
                timers(established, 4, INODE, 500),
                hidden,
                seen(TimerKind::Persist, 500),
            ),
            (
                "overdue on kernels that do not clamp",
                timers(established, 2, INODE, 0_u32.wrapping_sub(8)),
                seen(TimerKind::Keepalive, 0),
                none,
            ),
            (
                "a later kernel's",
                timers(established, 9, INODE, 1),
                hidden,
                hidden,
            ),
        ] {
            assert_eq!(timers.keepalive, keepalive, "{name}");
            assert_eq!(timers.retransmission, retransmission, "{name}");
        }
    }

    #[test]
    fn counts_belong_to_the_timer_that_is_shown() {
        let counted = |timer| {
            let connection = connection(&answer(|answer| {
                answer.timer = timer;
                answer.retrans = 3;
            }));
            (connection.unanswered_probes, connection.retransmits)
        };
        assert_eq!(counted(0), (None, None));
        assert_eq!(counted(1), (None, Some(3)));
        assert_eq!(counted(2), (Some(3), None));
        assert_eq!(counted(4), (Some(3), None));
    }

    #[test]
    fn a_queue_is_never_negative() {
        let unacked = |wqueue| {
            let bytes = answer(|answer| answer.wqueue = Ne32::new(wqueue));
            connection(&bytes).unacked_bytes
        };
        assert_eq!(unacked(7), Some(7));
        assert_eq!(unacked(0_u32.wrapping_sub(1448)), Some(0));
    }

    #[test]
    fn entries_are_told_from_sockets() {
        let bare = |state: u8, timer| {
            connection(&answer(|answer| {
                answer.state = state;
                answer.timer = timer;
                answer.inode = Ne32::ZERO;
            }))
        };
        let no_socket = Observed::Unknown(Unseen::NoSocket);
        for state in [TcpState::SynReceived as u8, 12] {
            let request = bare(state, 1);
            assert_eq!(request.timers.keepalive, seen(TimerKind::SynAck, 0));
            assert_eq!(request.settings, no_socket);
            assert_eq!(request.retransmits, Some(0));
            assert_eq!((request.owner.uid, request.unread_bytes), (None, None));
        }
        // A fast-open socket that nobody accepted yet.
        let mut early = answer(|answer| {
            answer.state = TcpState::SynReceived as u8;
            answer.timer = 1;
            answer.inode = Ne32::ZERO;
        });
        early.extend(attribute(wire::SHUTDOWN, &[0]));
        let early = connection(&early);
        assert_eq!(early.settings, Observed::Unknown(Unseen::NotReported));
        assert_eq!(early.orphan, Observed::Known(false));
        for state in [TcpState::TimeWait, TcpState::FinWait2] {
            let entry = bare(state as u8, 3);
            assert_eq!(entry.timers.keepalive, seen(TimerKind::TimeWait, 0));
            assert_eq!(entry.settings, no_socket);
            assert_eq!(entry.orphan, Observed::Known(true));
        }
        for (state, orphan) in [
            (TcpState::Established, false),
            (TcpState::CloseWait, false),
            (TcpState::FinWait1, true),
            (TcpState::LastAck, true),
            (TcpState::Closing, true),
        ] {
            let socket = bare(state as u8, 0);
            assert_eq!(socket.orphan, Observed::Known(orphan), "{state:?}");
            assert_eq!(socket.owner.unseen, Some(Unseen::NoProcess));
        }
    }

    #[test]
    fn tcp_info_is_taken_where_it_means_something() {
        // The times are at 44, 52 and 56; rto at 8, packets in flight at 24.
        let mut info = [0u8; 248];
        for (place, value) in [(8, 204_000u32), (24, 2), (44, 50), (52, 900), (56, 70)] {
            info[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        (info[2], info[3], info[4]) = (1, 5, 4);
        let of_state = |state: TcpState| {
            let mut bytes = answer(|answer| answer.state = state as u8);
            bytes.extend(attribute(wire::INFO, &info));
            connection(&bytes)
        };
        let connection = of_state(TcpState::CloseWait);
        assert_eq!(
            connection.silence_ms,
            Some(70),
            "the sooner of data and ACK"
        );
        assert_eq!(connection.sent_ms, Some(50));
        assert_eq!(connection.rto_ms, Some(204));
        assert_eq!(connection.in_flight, Some(true));
        assert_eq!(connection.unanswered_probes, Some(5));
        assert_eq!(
            (connection.retransmits, connection.backoff),
            (Some(1), Some(4))
        );
        let connecting = of_state(TcpState::SynSent);
        assert_eq!((connecting.silence_ms, connecting.sent_ms), (None, None));
        assert_eq!(connecting.rto_ms, Some(204));
        let listener = of_state(TcpState::Listen);
        assert_eq!((listener.silence_ms, listener.rto_ms), (None, None));
        assert_eq!(
            (listener.in_flight, listener.unanswered_probes),
            (None, None)
        );
    }

    #[test]
    fn attributes_that_matter() {
        let mut bytes = answer(|answer| answer.id.cookie = [Ne32::new(1), Ne32::new(2)]);
        bytes.extend(attribute(wire::CGROUP_ID, &4711u64.to_ne_bytes()));
        bytes.extend(attribute(wire::SOCKOPT, &[1 << 5, 1 << 2]));
        let ulp = attribute(wire::ULP_NAME, b"mptcp\0");
        bytes.extend(attribute(wire::ULP_INFO | 0x8000, &ulp));
        let message = DiagMessage::parse(&bytes).unwrap();
        assert_eq!(message.cookie(), Cookie(2 << 32 | 1));
        let flags = message.flags().unwrap();
        assert!(flags.transparent() && flags.connect_deferred());
        let connection = message.connection(NetnsId(1)).unwrap();
        assert!(connection.mptcp);
        assert_eq!(connection.owner.cgroup, Some(CgroupId(4711)));

        let mut bytes = answer(|_| ());
        bytes.extend(attribute(wire::CGROUP_ID, &0u64.to_ne_bytes()));
        bytes.extend(attribute(
            wire::ULP_INFO,
            &attribute(wire::ULP_NAME, b"tls\0"),
        ));
        assert_eq!(connection_of(&bytes), (None, false));
    }

    fn connection_of(bytes: &[u8]) -> (Option<CgroupId>, bool) {
        let connection = connection(bytes);
        (connection.owner.cgroup, connection.mptcp)
    }

    #[test]
    fn what_is_no_tcp_socket_is_left_out() {
        let none = |bytes: &[u8]| DiagMessage::parse(bytes).unwrap().connection(NetnsId(1));
        assert_eq!(none(&answer(|answer| answer.family = 1)), None);
        assert_eq!(none(&answer(|answer| answer.state = 99)), None);
        let mut mptcp_parent = answer(|_| ());
        mptcp_parent.extend(attribute(wire::PROTOCOL, &[6, 0]));
        assert!(none(&mptcp_parent).is_some());
        mptcp_parent.extend(attribute(wire::PROTOCOL, &[132]));
        assert_eq!(none(&mptcp_parent), None);
        // Cut attributes and too short values make the whole message unreadable.
        for cut in [&[9u8, 0, 2, 0][..], &attribute(wire::INFO, &[0; 8])] {
            let bytes = [answer(|_| ()), cut.to_vec()].concat();
            assert!(DiagMessage::parse(&bytes).is_none());
        }
        assert!(DiagMessage::parse(&[0; 71]).is_none());
    }
}
