//! What no process holds: orphans, TIME-WAIT, connections not accepted yet, requests.

use std::net::{Shutdown, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use sockpulse_bpf::glance::{Look, Whom};
use sockpulse_bpf::{Kind, Record};
use sockpulse_core::{Connection, Observed, TcpState, Timer, TimerKind, Unseen};

use crate::common::*;
use crate::glances::look;

/// The one connection with this local port that the tcp iterator shows in the state.
fn with_port(records: &[Record], port: u16, state: TcpState) -> Option<(Kind, Connection)> {
    let mut found = records.iter().filter_map(|record| {
        let connection = connection(record);
        let wanted = connection.id.local.port == port && connection.state == state;
        wanted.then(|| (record.kind().unwrap(), connection))
    });
    let first = found.next();
    assert_eq!(found.next(), None);
    first
}

fn to(connection: &Connection) -> Whom {
    Whom {
        cookie: connection.id.cookie,
        local: connection.id.local,
        remote: connection.id.remote,
        ifindex: connection.ifindex,
    }
}

fn timer(connection: &Connection) -> Timer {
    connection.timers.keepalive.known().flatten().unwrap()
}

#[test]
fn root_time_wait_is_an_entry_without_settings() {
    in_namespace(|| {
        let Pair { client, server, .. } = pair("127.0.0.1:0", "127.0.0.1");
        let (local, remote) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
        let cookie = cookie(&client);
        drop(client);
        drop(server);
        let (kind, seen) = wait_for("TIME-WAIT", || {
            with_port(&by_iter_tcp(), local.port(), TcpState::TimeWait)
        });
        assert_eq!(kind, Kind::TimeWait);
        assert_eq!(seen.id.cookie, cookie);
        assert_eq!(
            (seen.id.remote.addr, seen.id.remote.port),
            (remote.ip(), remote.port())
        );
        assert_eq!(seen.settings, Observed::Unknown(Unseen::NoSocket));
        assert_eq!(seen.orphan, Observed::Known(true));
        assert_eq!(seen.owner.unseen, Some(Unseen::NoSocket));
        assert_eq!(
            (seen.owner.uid, seen.owner.cgroup, seen.inode),
            (None, None, 0)
        );
        assert_eq!((seen.silence_ms, seen.rto_ms), (None, None));
        assert_eq!(timer(&seen).kind, TimerKind::TimeWait);
        assert!(
            (50_000..65_000).contains(&timer(&seen).expires_ms),
            "{:?}",
            timer(&seen)
        );
    });
}

#[test]
fn root_an_orphan_that_lingers_is_not_one_with_keepalive() {
    in_namespace(|| {
        let Pair { client, server, .. } = pair("127.0.0.1:0", "127.0.0.1");
        // Longer than TIME-WAIT: the socket itself lingers, with its keepalive timer.
        set(&client, libc::IPPROTO_TCP, libc::TCP_LINGER2, 100);
        let port = client.local_addr().unwrap().port();
        client.shutdown(Shutdown::Write).unwrap();
        let state = || get::<libc::tcp_info>(&client, libc::IPPROTO_TCP, libc::TCP_INFO).tcpi_state;
        wait_for("FIN-WAIT-2", || (state() == 5).then_some(()));
        drop(client);
        let (kind, seen) = wait_for("the orphan", || {
            with_port(&by_iter_tcp(), port, TcpState::FinWait2)
        });
        assert_eq!((kind, seen.orphan), (Kind::Tcp, Observed::Known(true)));
        assert!(!seen.settings.known().unwrap().keepalive);
        assert_eq!(timer(&seen).kind, TimerKind::FinWait2);
        assert_eq!(
            (seen.inode, seen.owner.unseen),
            (0, Some(Unseen::NoProcess))
        );
        assert!(with_port(&by_task_file(), port, TcpState::FinWait2).is_none());
        drop(server);
    });
}

#[test]
fn root_an_orphan_of_ordinary_patience_is_an_entry_in_fin_wait_2() {
    in_namespace(|| {
        let Pair { client, server, .. } = pair("[::1]:0", "[::1]");
        let port = client.local_addr().unwrap().port();
        drop(client);
        let (kind, seen) = wait_for("the entry", || {
            with_port(&by_iter_tcp(), port, TcpState::FinWait2)
        });
        assert_eq!(
            (kind, timer(&seen).kind),
            (Kind::TimeWait, TimerKind::TimeWait)
        );
        assert_eq!(seen.id.local.addr.to_string(), "::1");
        drop(server);
    });
}

#[test]
fn root_a_connection_that_waits_for_accept_has_settings_and_no_process() {
    in_namespace(|| {
        let listener = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        keepalive(&listener, 44, 11, 5);
        let at = bind_and_listen(&listener, 8);
        let client = TcpStream::connect(at).unwrap();
        let records = by_iter_tcp();
        let (kind, seen) = with_port(&records, at.port(), TcpState::Established).unwrap();
        assert_eq!((kind, seen.inode), (Kind::Tcp, 0));
        assert_eq!(seen.orphan, Observed::Known(false));
        assert_eq!(seen.owner.unseen, Some(Unseen::NoProcess));
        let inherited = connection(&find(&records, &listener)).settings;
        assert_eq!(seen.settings, inherited);
        assert!(inherited.known().unwrap().keepalive);
        let waiting = connection(&find(&records, &listener));
        assert_eq!(
            (waiting.unread_bytes, waiting.unacked_bytes),
            (Some(1), Some(8))
        );
        assert!(with_port(&by_task_file(), at.port(), TcpState::Established).is_none());
        drop(client);
    });
}

#[test]
fn root_a_request_is_an_entry_in_syn_received() {
    in_namespace(|| {
        let listener = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        // The request stays until data comes, and its one SYN has long arrived when it is read.
        set(&listener, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, 30);
        let at = bind_and_listen(&listener, 8);
        let client = TcpStream::connect(at).unwrap();
        let (kind, seen) = with_port(&by_iter_tcp(), at.port(), TcpState::SynReceived).unwrap();
        assert_eq!(kind, Kind::Request);
        assert_eq!(seen.id.remote.port, client.local_addr().unwrap().port());
        assert_eq!(seen.settings, Observed::Unknown(Unseen::NoSocket));
        assert_eq!(seen.retransmits, Some(0));
        assert_eq!(timer(&seen).kind, TimerKind::SynAck);
        assert_eq!(look(to(&seen)), Look::Gone);
    });
}

#[test]
fn root_multipath_sockets_are_told_from_their_subflows() {
    const IPPROTO_MPTCP: i32 = 262;
    in_namespace(|| {
        if !multipath_available() {
            eprintln!("SKIPPED: needs a kernel with CONFIG_MPTCP");
            return;
        }
        let make = || socket(libc::AF_INET, libc::SOCK_STREAM, IPPROTO_MPTCP);
        let listener = make();
        let at = bind_and_listen(&listener, 8);
        let client = make();
        connect(&client, at);
        keepalive(&client, 55, 6, 7);
        let of_tasks = by_task_file();
        let inode = inode(&client);
        let parent = of_tasks
            .iter()
            .find(|record| record.inode() == inode)
            .unwrap();
        assert_eq!(parent.kind(), Some(Kind::Mptcp));
        assert_eq!(parent.connection(hz()), None);
        let fd = u32::try_from(client.as_raw_fd()).unwrap();
        assert_eq!(parent.process().unwrap().fd, fd);
        let settings = parent.settings(hz()).known().unwrap();
        let tcp = |option| u32::try_from(get::<i32>(&client, libc::IPPROTO_TCP, option)).unwrap();
        assert!(settings.keepalive);
        assert_eq!(
            settings.idle,
            sockpulse_core::Setting::Socket(tcp(libc::TCP_KEEPIDLE))
        );
        assert_eq!(
            settings.interval,
            sockpulse_core::Setting::Socket(tcp(libc::TCP_KEEPINTVL))
        );
        assert_eq!(
            settings.probes,
            sockpulse_core::Setting::Socket(tcp(libc::TCP_KEEPCNT))
        );

        let of_tcp = by_iter_tcp();
        let subflow = of_tcp
            .iter()
            .find(|record| record.inode() == inode)
            .unwrap();
        let subflow = connection(subflow);
        assert!(subflow.mptcp);
        assert_eq!(subflow.state, TcpState::Established);
        assert_eq!(subflow.id.remote.port, at.port());
        assert_eq!(subflow.settings.known(), Some(settings));
        assert!(look(to(&subflow)).glance().unwrap().mptcp);
    });
}

fn multipath_available() -> bool {
    std::fs::read("/proc/sys/net/mptcp/enabled").is_ok_and(|enabled| enabled == b"1\n")
}

#[test]
fn root_sockets_with_several_descriptors_are_marked() {
    in_namespace(|| {
        let alone = pair("127.0.0.1:0", "127.0.0.1");
        let duplicated = pair("127.0.0.1:0", "127.0.0.1");
        let copy: OwnedFd = duplicated.client.try_clone().unwrap().into();
        let records = by_task_file();
        assert!(!find(&records, &alone.client).may_be_shared());
        assert!(!find(&records, &alone.listener).may_be_shared());
        let both: Vec<_> = records
            .iter()
            .filter(|record| record.cookie() == cookie(&copy))
            .collect();
        let fds: Vec<_> = both.iter().map(|r| r.process().unwrap().fd).collect();
        let fd = |socket: &dyn AsRawFd| u32::try_from(socket.as_raw_fd()).unwrap();
        assert_eq!(fds, [fd(&duplicated.client), fd(&copy)]);
        assert!(both.iter().all(|record| record.may_be_shared()));
        drop(copy);
        assert!(!find(&by_task_file(), &duplicated.client).may_be_shared());
    });
}
