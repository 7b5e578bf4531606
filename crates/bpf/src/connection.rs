//! From a record to what core knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sockpulse_core::{
    CgroupId, Connection, End, Family, Hz, Observed, Owner, Setting, SocketId, SocketTimers,
    Source, TcpState, Timer, TimerKind, Timers, Unseen, UserTimeout,
};

use crate::record::{Kind, Record, flag};

/// `AF_INET` and `AF_INET6` of socket(2).
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

impl Record {
    /// The connection, with times turned into milliseconds at the kernel's tick rate; `None` for
    /// the socket of a Multipath TCP program (its subflows are the connections) and for what is no
    /// record.
    #[must_use]
    pub fn connection(&self, hz: Hz) -> Option<Connection> {
        let kind = self.kind()?;
        let state = TcpState::from_kernel(self.state)?;
        let (family, local, remote) = match self.family {
            AF_INET => (Family::Ipv4, v4(self.local_addr), v4(self.remote_addr)),
            AF_INET6 => (Family::Ipv6, v6(self.local_addr), v6(self.remote_addr)),
            _ => return None,
        };
        let id = SocketId {
            cookie: self.cookie(),
            netns: self.netns(),
            local: End {
                addr: local,
                port: self.local_port.get(),
            },
            remote: End {
                addr: remote,
                port: self.remote_port.get(),
            },
        };
        let entry = Connection {
            id,
            family,
            state,
            ifindex: self.ifindex.get(),
            mptcp: self.has(flag::SUBFLOW),
            orphan: Observed::Unknown(Unseen::NoSocket),
            inode: self.inode.get(),
            settings: self.settings(hz),
            timers: Timers {
                keepalive: Observed::Known(None),
                retransmission: Observed::Known(None),
            },
            unanswered_probes: None,
            silence_ms: None,
            sent_ms: None,
            unread_bytes: None,
            unacked_bytes: None,
            in_flight: None,
            snd_una: None,
            rcv_nxt: None,
            rto_ms: None,
            retransmits: None,
            backoff: None,
            owner: self.owner(kind),
            source: if self.has(flag::PROCESS) {
                Source::TaskFile
            } else {
                Source::IterTcp
            },
        };
        match kind {
            Kind::Mptcp => None,
            Kind::Tcp => Some(self.fill(entry, hz)),
            Kind::TimeWait => Some(self.with_own_timer(
                entry,
                if state == TcpState::FinWait2 {
                    TimerKind::FinWait2
                } else {
                    TimerKind::TimeWait
                },
                hz,
            )),
            Kind::Request => Some(Connection {
                retransmits: Some(self.retransmits),
                ..self.with_own_timer(entry, TimerKind::SynAck, hz)
            }),
        }
    }

    /// The keepalive settings that the socket holds. Those of a Multipath TCP program's socket are
    /// its own `SO_KEEPALIVE` and its first subflow's values.
    #[must_use]
    pub fn settings(&self, hz: Hz) -> Observed<SocketTimers> {
        match self.kind() {
            Some(Kind::Tcp | Kind::Mptcp) if self.has(flag::SETTINGS) => {}
            Some(Kind::Tcp | Kind::Mptcp) => return Observed::Unknown(Unseen::NotReported),
            _ => return Observed::Unknown(Unseen::NoSocket),
        }
        let seconds = |jiffies: u32| setting(jiffies / hz.get(), jiffies == 0);
        Observed::Known(SocketTimers {
            keepalive: self.has(flag::KEEPALIVE),
            idle: seconds(self.keepalive_time.get()),
            interval: seconds(self.keepalive_intvl.get()),
            probes: setting(self.keepalive_probes.into(), self.keepalive_probes == 0),
            // The kernel stores no more than an int, so nothing is cut off here.
            user_timeout: UserTimeout::new(self.user_timeout.get().into())
                .unwrap_or(UserTimeout::MAX),
        })
    }

    fn owner(&self, kind: Kind) -> Owner {
        let process = self.process();
        let unseen = match (kind, process) {
            (_, Some(_)) => None,
            (Kind::TimeWait | Kind::Request, None) => Some(Unseen::NoSocket),
            (Kind::Tcp | Kind::Mptcp, None) if self.inode.get() == 0 => Some(Unseen::NoProcess),
            (Kind::Tcp | Kind::Mptcp, None) => Some(Unseen::NotReported),
        };
        Owner {
            processes: process.into_iter().collect(),
            uid: self.has(flag::UID).then(|| self.uid.get()),
            cgroup: Some(self.cgroup_id.get())
                .filter(|id| *id != 0)
                .map(CgroupId),
            unseen,
        }
    }

    /// Adds what full sockets have.
    fn fill(&self, entry: Connection, hz: Hz) -> Connection {
        let dead = self.has(flag::DEAD);
        let state = entry.state;
        let common = Connection {
            orphan: Observed::Known(dead),
            timers: Timers {
                keepalive: Observed::Known(self.keepalive_timer(state, hz)),
                retransmission: self.retransmission(hz),
            },
            unread_bytes: Some(self.unread.get().into()),
            unacked_bytes: Some(self.unacked.get().into()),
            ..entry
        };
        if matches!(state, TcpState::Listen | TcpState::Close) {
            return common;
        }
        let age = |jiffies: u32| milliseconds(jiffies, hz);
        // Before a connection is established nothing was heard or sent, and the kernel's stamps are
        // left-overs. Until data arrives `received_age` counts from when it was established.
        let connected = !matches!(state, TcpState::SynSent | TcpState::SynReceived);
        let silence = self.received_age.get().min(self.acked_age.get());
        Connection {
            unanswered_probes: Some(self.probes_out),
            silence_ms: connected.then(|| age(silence)),
            sent_ms: connected.then(|| age(self.sent_age.get())),
            in_flight: Some(self.packets_out.get() > 0),
            snd_una: Some(self.snd_una.get()),
            rcv_nxt: Some(self.rcv_nxt.get()),
            rto_ms: u32::try_from(age(self.rto.get())).ok(),
            retransmits: Some(self.retransmits),
            backoff: Some(self.backoff),
            ..common
        }
    }

    fn with_own_timer(&self, entry: Connection, kind: TimerKind, hz: Hz) -> Connection {
        Connection {
            timers: Timers {
                keepalive: Observed::Known(self.own_timer(kind, hz)),
                retransmission: Observed::Known(None),
            },
            ..entry
        }
    }

    /// The keepalive timer also ends orphans in FIN-WAIT-2 (`tcp_keepalive_timer()`).
    fn keepalive_timer(&self, state: TcpState, hz: Hz) -> Option<Timer> {
        let kind = if self.has(flag::DEAD) && state == TcpState::FinWait2 {
            TimerKind::FinWait2
        } else {
            TimerKind::Keepalive
        };
        self.own_timer(kind, hz)
    }

    fn own_timer(&self, kind: TimerKind, hz: Hz) -> Option<Timer> {
        self.has(flag::TIMER).then(|| Timer {
            kind,
            expires_ms: remaining(self.timer.get(), hz),
        })
    }

    /// `ICSK_TIME_…` of include/net/inet_connection_sock.h.
    fn retransmission(&self, hz: Hz) -> Observed<Option<Timer>> {
        let kind = match self.pending {
            0 => return Observed::Known(None),
            1 => TimerKind::Retransmission,
            3 => TimerKind::Persist,
            5 => TimerKind::LossProbe,
            6 => TimerKind::Reordering,
            _ => return Observed::Unknown(Unseen::NotReported),
        };
        Observed::Known(Some(Timer {
            kind,
            expires_ms: remaining(self.retransmit_timer.get(), hz),
        }))
    }
}

const fn setting(value: u32, inherited: bool) -> Setting<u32> {
    if inherited {
        Setting::Namespace
    } else {
        Setting::Socket(value)
    }
}

fn v4(bytes: [u8; 16]) -> IpAddr {
    let [a, b, c, d, ..] = bytes;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

fn v6(bytes: [u8; 16]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(bytes))
}

fn milliseconds(jiffies: u32, hz: Hz) -> u64 {
    u64::from(jiffies) * 1000 / u64::from(hz.get())
}

/// Of a timer that is due: 0.
fn remaining(jiffies: i32, hz: Hz) -> u64 {
    milliseconds(u32::try_from(jiffies).unwrap_or(0), hz)
}
