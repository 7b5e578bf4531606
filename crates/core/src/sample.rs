//! A connection and a namespace for unit tests.

use alloc::vec;
use core::net::IpAddr;

use crate::connection::*;
use crate::namespace::{LocalRoutes, Namespace, NetnsDefaults};
use crate::settings::{Setting, SocketTimers, UserTimeout};

pub(crate) fn namespace() -> Namespace {
    let mut local = LocalRoutes::default();
    local.insert(ipnet::IpNet::from(IpAddr::from([10, 0, 0, 1])));
    Namespace {
        id: NetnsId(1),
        name: "host".into(),
        own: true,
        pid: Some(1),
        defaults: Some(NetnsDefaults::KERNEL),
        local,
    }
}

/// Established with 60/10/6 of its own, silent for ten seconds.
pub(crate) fn connection() -> Connection {
    let end = |addr: [u8; 4], port| End {
        addr: IpAddr::from(addr),
        port,
    };
    let timer = Timer {
        kind: TimerKind::Keepalive,
        expires_ms: 50_000,
    };
    Connection {
        id: SocketId {
            cookie: Cookie(42),
            netns: NetnsId(1),
            local: end([10, 0, 0, 1], 6379),
            remote: end([10, 0, 0, 9], 51234),
        },
        family: Family::Ipv4,
        state: TcpState::Established,
        ifindex: 0,
        mptcp: false,
        orphan: Observed::Known(false),
        inode: 7,
        settings: Observed::Known(SocketTimers {
            keepalive: true,
            idle: Setting::Socket(60),
            interval: Setting::Socket(10),
            probes: Setting::Socket(6),
            user_timeout: UserTimeout::OFF,
        }),
        timers: Timers {
            keepalive: Observed::Known(Some(timer)),
            retransmission: Observed::Known(None),
        },
        unanswered_probes: Some(0),
        silence_ms: Some(10_000),
        sent_ms: Some(10_000),
        unread_bytes: Some(0),
        unacked_bytes: Some(0),
        in_flight: Some(false),
        snd_una: Some(1),
        rcv_nxt: Some(1),
        rto_ms: Some(204),
        retransmits: Some(0),
        backoff: Some(0),
        owner: Owner {
            processes: vec![Process {
                pid: 812,
                fd: 9,
                comm: Comm::new(b"redis-server"),
            }],
            uid: Some(110),
            cgroup: Some(CgroupId(5)),
            unseen: None,
        },
        source: Source::TaskFile,
    }
}

/// The same with keepalive off.
pub(crate) fn off(connection: &Connection) -> Connection {
    let mut off = connection.clone();
    if let Observed::Known(timers) = &mut off.settings {
        *timers = SocketTimers {
            keepalive: false,
            idle: Setting::Namespace,
            interval: Setting::Namespace,
            probes: Setting::Namespace,
            user_timeout: UserTimeout::OFF,
        };
    }
    off.timers.keepalive = Observed::Known(None);
    off
}
