//! Sockets of every kind, read by both iterators and compared with what their owner is told.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use crate::common::*;
use sockpulse_bpf::{Kind, Record};
use sockpulse_core::{
    Comm, Connection, Family, Observed, Setting, Source, TcpState, Timer, TimerKind, Unseen,
};

/// Every field that the owner can ask for; the record was read after `since`.
fn compare(
    record: &Record,
    since: Instant,
    socket: &impl AsRawFd,
    ends: (SocketAddr, Option<SocketAddr>),
) {
    let connection = connection(record);
    let tcp = |option| u32::try_from(get::<i32>(socket, libc::IPPROTO_TCP, option)).unwrap();
    assert_eq!(connection.id.cookie, cookie(socket));
    assert_eq!(connection.id.netns.0, netns());
    assert_eq!(connection.inode, inode(socket));
    let local = (connection.id.local.addr, connection.id.local.port);
    assert_eq!(local, (ends.0.ip(), ends.0.port()));
    if let Some(remote) = ends.1 {
        let end = (connection.id.remote.addr, connection.id.remote.port);
        assert_eq!(end, (remote.ip(), remote.port()));
    }
    let domain: i32 = get(socket, libc::SOL_SOCKET, libc::SO_DOMAIN);
    let family = match connection.family {
        Family::Ipv4 => libc::AF_INET,
        Family::Ipv6 => libc::AF_INET6,
    };
    assert_eq!(family, domain);
    assert_eq!(connection.orphan, Observed::Known(false));
    assert!(!connection.mptcp);
    assert_eq!(connection.owner.uid, Some(uid()));
    assert!(connection.owner.cgroup.is_some());

    let settings = connection.settings.known().unwrap();
    let on: i32 = get(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    assert_eq!(settings.keepalive, on == 1);
    assert_eq!(in_force(settings.idle, 7200), tcp(libc::TCP_KEEPIDLE));
    assert_eq!(in_force(settings.interval, 75), tcp(libc::TCP_KEEPINTVL));
    assert_eq!(in_force(settings.probes, 9), tcp(libc::TCP_KEEPCNT));
    assert_eq!(settings.user_timeout.get(), tcp(libc::TCP_USER_TIMEOUT));

    let info: libc::tcp_info = get(socket, libc::IPPROTO_TCP, libc::TCP_INFO);
    assert_eq!(connection.state as u8, info.tcpi_state);
    if connection.state == TcpState::Listen {
        assert_eq!(connection.unacked_bytes, Some(info.tcpi_sacked.into()));
        assert_eq!(connection.unread_bytes, Some(info.tcpi_unacked.into()));
        assert_eq!(connection.silence_ms, None);
        return;
    }
    let silence = info.tcpi_last_data_recv.min(info.tcpi_last_ack_recv);
    assert_near(connection.silence_ms, silence, since);
    assert_near(connection.sent_ms, info.tcpi_last_data_sent, since);
    assert_eq!(connection.unanswered_probes, Some(info.tcpi_probes));
    assert_eq!(connection.retransmits, Some(info.tcpi_retransmits));
    assert_eq!(connection.backoff, Some(info.tcpi_backoff));
    assert_eq!(connection.rto_ms, Some(info.tcpi_rto / 1000));
    assert_eq!(connection.in_flight, Some(info.tcpi_unacked > 0));
    let queued = |request| {
        let mut bytes = 0i32;
        ioctl(socket, request, &mut bytes);
        Some(u64::try_from(bytes).unwrap())
    };
    assert_eq!(connection.unread_bytes, queued(libc::FIONREAD));
    assert_eq!(connection.unacked_bytes, queued(libc::TIOCOUTQ));
}

fn in_force(setting: Setting<u32>, default: u32) -> u32 {
    match setting {
        Setting::Namespace => default,
        Setting::Socket(value) => value,
        Setting::Either(_) => panic!("BPF sees what the socket holds"),
    }
}

/// The owner was asked later, but not by more than has passed since.
fn assert_near(ms: Option<u64>, later: u32, since: Instant) {
    let (ms, later) = (ms.unwrap(), u64::from(later));
    let passed = u64::try_from(since.elapsed().as_millis()).unwrap();
    // Both are cut to jiffies.
    assert!(
        ms <= later + 10 && later <= ms + passed + 20,
        "{ms} ms, then {later} ms, {passed} ms passed"
    );
}

/// What one iterator shows, and a moment before it was asked.
struct Reading {
    source: Source,
    since: Instant,
    records: Vec<Record>,
}

fn by_both() -> [Reading; 2] {
    let read = |source, records: fn() -> Vec<Record>| Reading {
        source,
        since: Instant::now(),
        records: records(),
    };
    [
        read(Source::TaskFile, by_task_file),
        read(Source::IterTcp, by_iter_tcp),
    ]
}

#[test]
fn root_settings_are_those_that_getsockopt_tells() {
    in_namespace(|| {
        let untouched = pair("127.0.0.1:0", "127.0.0.1");
        let own = pair("127.0.0.1:0", "127.0.0.1");
        keepalive(&own.client, 33, 7, 4);
        set(
            &own.client,
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            45_678,
        );
        let inherited = pair("127.0.0.1:0", "127.0.0.1");
        set(&inherited.client, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
        let largest = pair("127.0.0.1:0", "127.0.0.1");
        keepalive(&largest.client, 32767, 32767, 127);
        set(
            &largest.client,
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            i32::MAX,
        );
        let only_values = pair("127.0.0.1:0", "127.0.0.1");
        keepalive(&only_values.client, 1, 1, 1);
        set(&only_values.client, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0);
        let v6 = pair("[::1]:0", "[::1]");
        let mapped = pair("[::]:0", "127.0.0.1");
        let armed = Instant::now();
        for Reading {
            source,
            since,
            records,
        } in by_both()
        {
            for pair in [
                &untouched,
                &own,
                &inherited,
                &largest,
                &only_values,
                &v6,
                &mapped,
            ] {
                for end in [&pair.client, &pair.server] {
                    let record = find(&records, end);
                    assert_eq!(record.kind(), Some(Kind::Tcp));
                    assert_eq!(connection(&record).source, source);
                    let ends = (end.local_addr().unwrap(), end.peer_addr().ok());
                    compare(&record, since, end, ends);
                }
                let record = find(&records, &pair.listener);
                let local = pair.listener.local_addr().unwrap();
                compare(&record, since, &pair.listener, (local, None));
            }
            let own = connection(&find(&records, &own.client));
            let settings = own.settings.known().unwrap();
            assert_eq!(settings.idle, Setting::Socket(33));
            let timer = own.timers.keepalive.known().flatten().unwrap();
            assert_eq!(timer.kind, TimerKind::Keepalive);
            let passed = u64::try_from(armed.elapsed().as_millis()).unwrap();
            let left = (32_900 - passed.min(32_000))..=33_020;
            assert!(
                left.contains(&timer.expires_ms),
                "{timer:?} after {passed} ms"
            );
            let untouched = connection(&find(&records, &untouched.client));
            assert_eq!(untouched.settings.known().unwrap().idle, Setting::Namespace);
            assert_eq!(untouched.timers.keepalive, Observed::Known(None));
            let mapped = connection(&find(&records, &mapped.server));
            assert_eq!(mapped.id.local.addr.to_string(), "::ffff:127.0.0.1");
        }
    });
}

#[test]
fn root_both_iterators_agree() {
    in_namespace(|| {
        let pairs = ["127.0.0.1", "[::1]"].map(|ip| pair(&format!("{ip}:0"), ip));
        keepalive(&pairs[0].client, 40, 8, 3);
        let [of_tasks, of_tcp] = by_both().map(|reading| reading.records);
        assert_eq!((of_tasks.len(), of_tcp.len()), (6, 6));
        for record in &of_tasks {
            let other = of_tcp.iter().find(|r| r.cookie() == record.cookie());
            let as_seen = |record: &Record| {
                let connection = connection(record);
                Connection {
                    // What changes with time and with the source.
                    timers: sockpulse_core::Timers {
                        keepalive: Observed::Unknown(Unseen::NotReported),
                        ..connection.timers
                    },
                    silence_ms: None,
                    sent_ms: None,
                    owner: sockpulse_core::Owner {
                        processes: vec![],
                        unseen: None,
                        ..connection.owner
                    },
                    source: Source::TaskFile,
                    ..connection
                }
            };
            assert_eq!(as_seen(record), as_seen(other.unwrap()));
            let process = record.process().unwrap();
            assert_eq!(process.pid, std::process::id());
            let comm = std::fs::read("/proc/self/comm").unwrap();
            assert_eq!(process.comm, Comm::new(comm.strip_suffix(b"\n").unwrap()));
            assert!(!record.may_be_shared());
        }
        let fd = u32::try_from(pairs[0].client.as_raw_fd()).unwrap();
        assert_eq!(find(&of_tasks, &pairs[0].client).process().unwrap().fd, fd);
        let owner = connection(&find(&of_tcp, &pairs[0].client)).owner;
        assert_eq!(
            (owner.processes, owner.unseen),
            (vec![], Some(Unseen::NotReported))
        );
    });
}

#[test]
fn root_half_closed_connections_keep_their_state() {
    in_namespace(|| {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        pair.client.shutdown(std::net::Shutdown::Write).unwrap();
        let client_state =
            || get::<libc::tcp_info>(&pair.client, libc::IPPROTO_TCP, libc::TCP_INFO).tcpi_state;
        wait_for("FIN-WAIT-2", || (client_state() == 5).then_some(()));
        for Reading { records, .. } in by_both() {
            let client = connection(&find(&records, &pair.client));
            let server = connection(&find(&records, &pair.server));
            assert_eq!(client.state, TcpState::FinWait2);
            assert_eq!(server.state, TcpState::CloseWait);
            assert_eq!(client.orphan, Observed::Known(false));
            assert_eq!(client.timers.keepalive, Observed::Known(None));
        }
    });
}

#[test]
fn root_unread_and_unacknowledged_bytes_are_counted_and_the_timers_told_apart() {
    in_namespace(|| {
        let mut pair = pair("127.0.0.1:0", "127.0.0.1");
        keepalive(&pair.client, 100, 10, 5);
        // Fill the receiver until its window is closed.
        pair.client.set_nonblocking(true).unwrap();
        let chunk = vec![0; 1 << 16];
        while pair.client.write(&chunk).is_ok() {}
        // The window is closed when the persist timer runs (ICSK_TIME_PROBE0).
        wait_for("the persist timer", || {
            let [of_tasks, of_tcp] = by_both().map(|reading| reading.records);
            let seen = [of_tasks, of_tcp].map(|r| connection(&find(&r, &pair.client)));
            seen.iter()
                .all(|c| {
                    matches!(
                        c.timers.retransmission,
                        Observed::Known(Some(Timer { kind: TimerKind::Persist, expires_ms })) if expires_ms < 10_000
                    )
                })
                .then_some(())
        });
        let unread = || {
            let mut unread = 0i32;
            ioctl(&pair.server, libc::FIONREAD, &mut unread);
            u64::try_from(unread).unwrap()
        };
        // A window probe may carry data: the readings count when none came meanwhile.
        let (unread, readings) = wait_for("a moment in which nothing arrives", || {
            let before = unread();
            let readings = by_both();
            (unread() == before).then_some((before, readings))
        });
        assert!(unread > 0);
        for Reading { records, .. } in readings {
            let client = connection(&find(&records, &pair.client));
            assert!(client.unacked_bytes.unwrap() > 0);
            let timer = client.timers.keepalive.known().flatten().unwrap();
            assert!((90_000..102_100).contains(&timer.expires_ms), "{timer:?}");
            let server = connection(&find(&records, &pair.server));
            assert_eq!(server.unread_bytes, Some(unread));
        }
    });
}

#[test]
fn root_the_age_of_what_was_sent_is_told_from_that_of_what_was_heard() {
    in_namespace(|| {
        let mut pair = pair("127.0.0.1:0", "127.0.0.1");
        pair.client.write_all(b"question").unwrap();
        let info = || get::<libc::tcp_info>(&pair.client, libc::IPPROTO_TCP, libc::TCP_INFO);
        wait_for("some silence", || {
            (info().tcpi_last_data_sent > 500 && info().tcpi_last_ack_recv > 500).then_some(())
        });
        pair.server.write_all(b"answer").unwrap();
        for Reading { since, records, .. } in by_both() {
            let client = connection(&find(&records, &pair.client));
            assert!(client.sent_ms.unwrap() > 500);
            assert!(client.silence_ms.unwrap() + 400 < client.sent_ms.unwrap());
            assert_near(client.silence_ms, info().tcpi_last_data_recv, since);
            // The acknowledgement of its answer is the last that the server heard.
            let server = connection(&find(&records, &pair.server));
            assert_near(server.silence_ms, info().tcpi_last_data_recv, since);
        }
    });
}

#[test]
fn root_syn_sent_has_neither_silence_nor_peer_numbers() {
    in_namespace(|| {
        // A full accept queue answers no more SYNs.
        let listener = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let at = bind_and_listen(&listener, 0);
        let mut waiting = Vec::new();
        let stuck = wait_for("a connection that gets no answer", || {
            let socket = socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_NONBLOCK, 0);
            connect(&socket, at);
            let answered = wait_for("an answer, or a second SYN", || {
                let info: libc::tcp_info = get(&socket, libc::IPPROTO_TCP, libc::TCP_INFO);
                match (info.tcpi_state, info.tcpi_retransmits) {
                    (1, _) => Some(true),
                    (_, 0) => None,
                    _ => Some(false),
                }
            });
            if answered {
                waiting.push(socket);
                None
            } else {
                Some(socket)
            }
        });
        let record = find(&by_task_file(), &stuck);
        let connection = connection(&record);
        assert_eq!(connection.state, TcpState::SynSent);
        assert_eq!((connection.silence_ms, connection.sent_ms), (None, None));
        let timer = connection.timers.retransmission.known().flatten().unwrap();
        assert_eq!(timer.kind, TimerKind::Retransmission);
        assert_eq!(connection.in_flight, Some(true));
        assert!(connection.retransmits.unwrap() > 0);
    });
}
