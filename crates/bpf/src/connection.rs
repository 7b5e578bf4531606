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
    ///
    /// Queues are reckoned as inet_diag does (`tcp_diag_get_info()`, net/ipv4/tcp_diag.c): a FIN that
    /// was received or sent counts as a byte. The kernel keeps the times of segments as 32 bits of
    /// jiffies, so silences of more than 2^32 jiffies (198 days at 250 Hz, 49 at 1000 Hz) begin
    /// again from zero.
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
            orphan: Observed::Known(kind == Kind::TimeWait),
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
            // Also those that still say FIN-WAIT-2: it is the entry's timer, as inet_diag has it.
            Kind::TimeWait => Some(self.with_own_timer(entry, TimerKind::TimeWait, hz)),
            Kind::Request => Some(Connection {
                retransmits: Some(self.retransmits),
                ..self.with_own_timer(entry, TimerKind::SynAck, hz)
            }),
        }
    }

    /// The keepalive settings that the socket holds. Those of a Multipath TCP program's socket are its
    /// first subflow's, since the subflows have the timers; unknown while it has none.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sockpulse_core::Comm;
    use zerocopy::{FromBytes, FromZeros};

    use super::*;

    fn hz() -> Hz {
        Hz::new(250).unwrap()
    }

    /// An established connection without keepalive, as `task_file` writes it.
    fn record() -> Record {
        let mut record = Record::new_zeroed();
        record.kind = 1;
        record.family = AF_INET;
        record.state = 1;
        record.flags = flag::SETTINGS | flag::UID | flag::PROCESS | flag::FILE_REFS;
        record.file_refs = 1.into();
        record.local_addr[..4].copy_from_slice(&[10, 0, 0, 1]);
        record.local_port = 6379.into();
        record.pid = 812.into();
        record.fd = 9.into();
        record.comm[..5].copy_from_slice(b"redis");
        record
    }

    fn seen(change: impl FnOnce(&mut Record)) -> Connection {
        let mut record = record();
        change(&mut record);
        record.connection(hz()).unwrap()
    }

    #[test]
    fn zero_is_inherited_and_jiffies_become_seconds() {
        let settings = |change: fn(&mut Record)| seen(change).settings.known().unwrap();
        let inherited = settings(|_| ());
        assert!(!inherited.keepalive);
        assert_eq!(inherited.idle, Setting::Namespace);
        assert_eq!(inherited.interval, Setting::Namespace);
        assert_eq!(inherited.probes, Setting::Namespace);
        let own = settings(|r| {
            r.flags |= flag::KEEPALIVE;
            r.keepalive_time = 8250.into();
            r.keepalive_intvl = 1750.into();
            r.keepalive_probes = 4;
            r.user_timeout = 20_000.into();
        });
        assert!(own.keepalive);
        assert_eq!(own.idle, Setting::Socket(33));
        assert_eq!(own.interval, Setting::Socket(7));
        assert_eq!(own.probes, Setting::Socket(4));
        assert_eq!(own.user_timeout.get(), 20_000);
    }

    #[test]
    fn silence_is_the_younger_of_data_and_acknowledgement() {
        let both = |received: u32, acked: u32, state| {
            seen(|r| {
                r.received_age = received.into();
                r.acked_age = acked.into();
                r.state = state;
            })
            .silence_ms
        };
        assert_eq!(both(250, 500, 1), Some(1000));
        assert_eq!(both(500, 25, 8), Some(100));
        assert_eq!(both(0, 0, 2), None, "a SYN has no answer yet");
        assert_eq!(both(0, 0, 10), None, "a listener has no peer");
        assert_eq!(both(u32::MAX, u32::MAX, 1), Some(17_179_869_180));
    }

    #[test]
    fn the_two_timers_are_told_apart() {
        let timers = seen(|r| {
            r.flags |= flag::TIMER;
            r.timer = 74_647.into();
            r.pending = 1;
            r.retransmit_timer = 66.into();
        })
        .timers;
        let timer = |kind, expires_ms| Observed::Known(Some(Timer { kind, expires_ms }));
        assert_eq!(timers.keepalive, timer(TimerKind::Keepalive, 298_588));
        assert_eq!(timers.retransmission, timer(TimerKind::Retransmission, 264));
        for (pending, seen_as) in [
            (0, Observed::Known(None)),
            (3, timer(TimerKind::Persist, 0)),
            (5, timer(TimerKind::LossProbe, 0)),
            (6, timer(TimerKind::Reordering, 0)),
            (9, Observed::Unknown(Unseen::NotReported)),
        ] {
            let timers = seen(|r| {
                r.pending = pending;
                r.retransmit_timer = (-4).into();
            })
            .timers;
            assert_eq!(timers.retransmission, seen_as, "{pending}");
            assert_eq!(timers.keepalive, Observed::Known(None));
        }
    }

    #[test]
    fn the_keepalive_timer_of_a_lingering_orphan_is_no_keepalive() {
        let kind = |state, flags| {
            let connection = seen(|r| {
                r.state = state;
                r.flags |= flag::TIMER | flags;
            });
            connection.timers.keepalive.known().flatten().unwrap().kind
        };
        assert_eq!(kind(5, flag::DEAD), TimerKind::FinWait2);
        assert_eq!(kind(5, 0), TimerKind::Keepalive);
        assert_eq!(kind(4, flag::DEAD), TimerKind::Keepalive);
    }

    #[test]
    fn entries_are_told_as_inet_diag_tells_them() {
        let entry = |kind, state| {
            let connection = seen(|r| {
                r.kind = kind;
                r.state = state;
                r.flags = flag::TIMER;
            });
            let timer = connection.timers.keepalive.known().flatten().unwrap().kind;
            (timer, connection.orphan)
        };
        let orphan = Observed::Known(true);
        assert_eq!(entry(3, 6), (TimerKind::TimeWait, orphan));
        assert_eq!(entry(3, 5), (TimerKind::TimeWait, orphan));
        assert_eq!(entry(4, 12), (TimerKind::SynAck, Observed::Known(false)));
    }

    #[test]
    fn owners_are_those_of_the_record() {
        let owner = seen(|_| ()).owner;
        assert_eq!((owner.processes[0].pid, owner.processes[0].fd), (812, 9));
        assert_eq!(owner.processes[0].comm, Comm::new(b"redis"));
        assert_eq!(
            (owner.uid, owner.cgroup, owner.unseen),
            (Some(0), None, None)
        );
        let unseen = |kind, inode: u64| {
            let connection = seen(|r| {
                r.flags &= !flag::PROCESS;
                r.kind = kind;
                r.inode = inode.into();
            });
            assert_eq!(connection.source, Source::IterTcp);
            connection.owner.unseen.unwrap()
        };
        assert_eq!(unseen(1, 0), Unseen::NoProcess);
        assert_eq!(unseen(1, 7), Unseen::NotReported);
        assert_eq!(unseen(3, 0), Unseen::NoSocket);
        assert_eq!(unseen(4, 0), Unseen::NoSocket);
    }

    #[test]
    fn what_is_no_connection_gives_none() {
        let none = |change: fn(&mut Record)| {
            let mut record = record();
            change(&mut record);
            record.connection(hz()).is_none()
        };
        assert!(!none(|_| ()));
        assert!(none(|r| r.kind = 2), "a Multipath TCP program's socket");
        assert!(none(|r| r.kind = 0));
        assert!(none(|r| r.kind = 5));
        assert!(none(|r| r.state = 0));
        assert!(none(|r| r.state = 13));
        assert!(none(|r| r.family = 1));
    }

    #[test]
    fn only_one_counted_reference_is_certainly_not_shared() {
        let shared = |flags, refs: u32| {
            let mut record = record();
            record.flags = flags;
            record.file_refs = refs.into();
            record.may_be_shared()
        };
        assert!(!shared(flag::FILE_REFS, 1));
        assert!(shared(flag::FILE_REFS, 2));
        assert!(shared(flag::FILE_REFS, 0));
        assert!(shared(0, 1));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record(
            bytes in proptest::array::uniform32(any::<[u8; 6]>()),
            kind in 0..6u8,
            state in 0..14u8,
            v6 in any::<bool>(),
            hz in 1..=10_000u32,
        ) {
            let mut record = Record::read_from_prefix(bytes.as_flattened()).unwrap().0;
            let hz = Hz::new(hz).unwrap();
            let _ = record.connection(hz);
            // Most random bytes are refused at once: these are not.
            record.kind = kind;
            record.state = state;
            record.family = if v6 { AF_INET6 } else { AF_INET };
            let connection = record.connection(hz);
            let is_one = (1..=4).contains(&kind) && kind != 2 && (1..=12).contains(&state);
            prop_assert_eq!(connection.is_some(), is_one);
            let _ = (record.settings(hz), record.process(), record.may_be_shared());
        }
    }
}
