//! Looks at single connections, compared with what their owner is told.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sockpulse_bpf::glance::{Glances, Look, Whom};
use sockpulse_core::ping::{Glance, segment};
use sockpulse_core::{Cookie, End, TcpState};

use crate::common::*;
use crate::wire::*;

fn end(at: SocketAddr) -> End {
    End {
        addr: at.ip(),
        port: at.port(),
    }
}

pub(crate) fn whom(stream: &TcpStream) -> Whom {
    Whom {
        cookie: cookie(stream),
        local: end(stream.local_addr().unwrap()),
        remote: end(stream.peer_addr().unwrap()),
        ifindex: 0,
    }
}

fn looks(glances: &mut Glances, whom: &[Whom]) -> Vec<Look> {
    let mut looks = Vec::new();
    glances.look(whom, &mut looks).unwrap();
    assert_eq!(looks.len(), whom.len());
    looks
}

pub(crate) fn look(whom: Whom) -> Look {
    looks(&mut Glances::load(hz()).unwrap(), &[whom])[0]
}

fn glance(stream: &TcpStream) -> Glance {
    look(whom(stream)).glance().unwrap()
}

/// What the owner is told: the words of `struct tcp_info` as far as Linux 6.2 has them.
fn info(stream: &TcpStream) -> [u32; 60] {
    get(stream, libc::IPPROTO_TCP, libc::TCP_INFO)
}

/// Of words of tcp_info.
mod word {
    pub(super) const STATES: usize = 0;
    pub(super) const RTO: usize = 2;
    pub(super) const LAST_DATA_RECV: usize = 13;
    pub(super) const LAST_ACK_RECV: usize = 14;
    pub(super) const RTT: usize = 17;
    pub(super) const TOTAL_RETRANS: usize = 25;
    pub(super) const SEGS_IN: usize = 35;
    pub(super) const DATA_SEGS_IN: usize = 38;
}

/// The connection's clock: `TCP_TIMESTAMP`. Its lowest bit tells the unit in newer kernels.
fn clock(stream: &TcpStream) -> u32 {
    const TCP_TIMESTAMP: i32 = 24;
    get::<u32>(stream, libc::IPPROTO_TCP, TCP_TIMESTAMP) & !1
}

/// Every field that the owner can ask for, of a connection on which nothing happens meanwhile.
fn compare(glances: &mut Glances, stream: &TcpStream) -> Glance {
    let (before, earlier) = (info(stream), clock(stream));
    let glance = looks(glances, &[whom(stream)])[0].glance().unwrap();
    let (after, later) = (info(stream), clock(stream));

    assert_eq!(glance.cookie, cookie(stream));
    let [state, _, retransmits, probes] = after[word::STATES].to_ne_bytes();
    assert_eq!(glance.state as u8, state);
    assert_eq!(
        (glance.retransmits, glance.unanswered),
        (retransmits, probes)
    );
    assert_eq!(glance.segs_in, after[word::SEGS_IN]);
    assert_eq!(glance.data_segs_in, after[word::DATA_SEGS_IN]);
    assert_eq!(glance.retransmitted, after[word::TOTAL_RETRANS]);
    let rtt = glance.srtt.unwrap();
    assert_eq!(rtt.as_micros(), u128::from(after[word::RTT]));
    // The kernel rounds the timeout up to a tick.
    let rto = hz().duration(hz().jiffies(glance.rto));
    assert_eq!(rto.as_micros(), u128::from(after[word::RTO]));
    let queued = |request| {
        let mut bytes = 0;
        ioctl(stream, request, &mut bytes);
        u32::try_from(bytes).unwrap()
    };
    assert_eq!(glance.unread, queued(libc::FIONREAD));
    assert_eq!(glance.unacked, queued(libc::TIOCOUTQ));
    let silence = |info: [u32; 60]| {
        let ms = info[word::LAST_DATA_RECV].min(info[word::LAST_ACK_RECV]);
        Duration::from_millis(ms.into())
    };
    assert!((silence(before)..=silence(after)).contains(&glance.silence));
    let timestamp = glance.timestamps.unwrap().value;
    assert!(timestamp.wrapping_sub(earlier) <= later.wrapping_sub(earlier) + 1);
    let on: i32 = get(stream, libc::SOL_SOCKET, libc::SO_KEEPALIVE);
    assert_eq!(glance.keepalive, on == 1);
    assert!(!glance.orphan && !glance.mptcp && !glance.signed);
    assert_eq!(glance.soft_error, None);
    glance
}

#[test]
fn root_looks_tell_what_the_owner_is_told() {
    in_namespace(|| {
        let mut glances = Glances::load(hz()).unwrap();
        for (listen, connect) in [
            ("127.0.0.1:0", "127.0.0.1"),
            ("[::1]:0", "[::1]"),
            ("[::]:0", "127.0.0.1"),
        ] {
            let mut pair = pair(listen, connect);
            keepalive(&pair.client, 100, 10, 5);
            compare(&mut glances, &pair.client);
            compare(&mut glances, &pair.server);
            pair.client.write_all(b"question").unwrap();
            wait_for("the question", || {
                (compare(&mut glances, &pair.server).unread == 8).then_some(())
            });
            // Its acknowledgement comes a little later.
            wait_for("no byte in flight", || {
                (info(&pair.client)[6] == 0).then_some(())
            });
            let client = compare(&mut glances, &pair.client);
            let server = compare(&mut glances, &pair.server);
            assert_eq!(
                (client.snd_una, client.snd_nxt),
                (server.rcv_nxt, server.rcv_nxt)
            );
            assert_eq!(
                (server.snd_una, server.snd_nxt),
                (client.rcv_nxt, client.rcv_nxt)
            );
            assert_eq!(server.data_segs_in, 1);
            let _ = pair.server.read(&mut [0; 8]).unwrap();
            assert_eq!(compare(&mut glances, &pair.server).unread, 0);
            pair.client.shutdown(std::net::Shutdown::Write).unwrap();
            wait_for("FIN-WAIT-2", || {
                (glance(&pair.client).state == TcpState::FinWait2).then_some(())
            });
            assert_eq!(glance(&pair.server).state, TcpState::CloseWait);
        }
    });
}

#[test]
fn root_what_the_packets_have_of_the_socket_is_told() {
    in_namespace(|| {
        let v4 = pair("127.0.0.1:0", "127.0.0.1");
        let fresh = glance(&v4.client);
        assert_eq!(
            (fresh.hop_limit, fresh.traffic_class, fresh.mark),
            (None, 0, 0)
        );
        set(&v4.client, libc::IPPROTO_IP, libc::IP_TTL, 33);
        set(&v4.client, libc::IPPROTO_IP, libc::IP_TOS, 0x88);
        set(&v4.client, libc::SOL_SOCKET, libc::SO_MARK, 0x1234_5678);
        let seen = glance(&v4.client);
        assert_eq!(seen.hop_limit, Some(33));
        assert_eq!((seen.traffic_class, seen.mark), (0x88, 0x1234_5678));

        let v6 = pair("[::1]:0", "[::1]");
        assert_eq!(glance(&v6.client).hop_limit, None);
        set(&v6.client, libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, 44);
        set(&v6.client, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, 0x48);
        let seen = glance(&v6.client);
        assert_eq!((seen.hop_limit, seen.traffic_class), (Some(44), 0x48));

        // Its packets are of IPv4.
        let mapped = pair("[::]:0", "127.0.0.1");
        set(&mapped.server, libc::IPPROTO_IP, libc::IP_TTL, 55);
        set(
            &mapped.server,
            libc::IPPROTO_IPV6,
            libc::IPV6_UNICAST_HOPS,
            44,
        );
        assert_eq!(glance(&mapped.server).hop_limit, Some(55));
    });
}

#[test]
fn root_a_segment_built_from_a_look_is_the_kernels_own_probe() {
    in_namespace(|| {
        let mut glances = Glances::load(hz()).unwrap();
        for ip in ["127.0.0.1", "[::1]"] {
            let pair = pair(&format!("{ip}:0"), ip);
            let whom = whom(&pair.client);
            let wire = packets();
            keepalive(&pair.client, 1, 1, 9);
            // The last look may have come after the probe and its answer; the one before has not.
            let mut built = [Vec::new(), Vec::new()];
            let probe = wait_for("the kernel's probe", || {
                let probe = receive(&wire).filter(|packet| is_same(packet, &built[1]));
                let glance = looks(&mut glances, &[whom])[0].glance().unwrap();
                let segment = segment(whom.local, whom.remote, &glance).unwrap();
                if probe.is_none() {
                    built = [std::mem::take(&mut built[1]), segment.as_bytes().to_vec()];
                }
                probe
            });
            let value = |packet: &[u8]| {
                let at = ports_at(packet) + 24;
                u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
            };
            let [before, _] = &built;
            assert!(value(&probe).wrapping_sub(value(before)) < 1000);
            let bare = built.map(without_clock);
            assert!(
                bare.contains(&without_clock(probe.clone())),
                "{probe:x?}, {bare:x?}"
            );
        }
    });
}

/// Where the ports are in a packet.
fn ports_at(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

/// Whether ends and sequence number are the same.
fn is_same(packet: &[u8], built: &[u8]) -> bool {
    let Some(first) = built.first() else {
        return false;
    };
    let at = ports_at(&[*first]);
    packet.get(at..at + 8) == built.get(at..at + 8)
}

/// What is the same from one moment to the next, and not left to the kernel or the device.
fn without_clock(mut packet: Vec<u8>) -> Vec<u8> {
    let at = ports_at(&packet);
    packet[at + 24..at + 28].fill(0);
    packet[at + 16..at + 18].fill(0);
    if at == 20 {
        // Identification and checksum.
        packet[4..6].fill(0);
        packet[10..12].fill(0);
    } else {
        // The flow label.
        packet[1] &= 0xf0;
        packet[2..4].fill(0);
    }
    packet
}

#[test]
fn root_a_look_is_at_the_namespace_that_the_thread_is_in() {
    in_namespace(|| {
        let mut glances = Glances::load(hz()).unwrap();
        let here = pair("127.0.0.1:0", "127.0.0.1");
        let mine = whom(&here.client);
        let glances = &mut glances;
        let theirs = on_thread(move || {
            unshare(libc::CLONE_NEWNET);
            loopback(Loopback::Up);
            assert_eq!(looks(glances, &[mine]), [Look::Gone]);
            let there = pair("127.0.0.1:0", "127.0.0.1");
            let theirs = whom(&there.client);
            assert!(looks(glances, &[theirs])[0].glance().is_some());
            theirs
        });
        assert!(look(mine).glance().is_some());
        assert_eq!(look(theirs), Look::Gone);
    });
}

#[test]
fn root_what_is_not_the_connection_any_more_is_gone() {
    in_namespace(|| {
        let first = pair("127.0.0.1:0", "127.0.0.1");
        let (old, server) = (whom(&first.client), whom(&first.server));
        let at = first.client.local_addr().unwrap();
        assert!(look(old).glance().is_some());
        // Neither another socket between the same ends …
        reset_on_close(&first.client);
        drop(first.client);
        let again = connect_from(at, first.listener.local_addr().unwrap());
        let new = whom(&again);
        assert_eq!((new.local, new.remote), (old.local, old.remote));
        assert!(look(new).glance().is_some());
        assert_eq!(look(old), Look::Gone);
        // … nor the listener, which a lookup ends at when there is no connection …
        drop(again);
        assert_eq!(look(server), Look::Gone);
        let nobody = Whom {
            cookie: Cookie(0),
            ..server
        };
        assert_eq!(look(nobody), Look::Gone);
        // … nor a socket that is closed.
        reset_on_close(&first.server);
        assert_eq!(glance_state(&first.server, server), None);
    });
}

/// The state of the connection; its socket is still open.
fn glance_state(_open: &TcpStream, whom: Whom) -> Option<TcpState> {
    look(whom).glance().map(|glance| glance.state)
}

#[test]
fn root_entries_are_gone() {
    in_namespace(|| {
        let Pair { client, server, .. } = pair("127.0.0.1:0", "127.0.0.1");
        let (closed_first, closed_last) = (whom(&client), whom(&server));
        drop(client);
        drop(server);
        wait_for("TIME-WAIT", || {
            let found = by_iter_tcp().iter().any(|record| {
                record.cookie() == closed_first.cookie
                    && connection(record).state == TcpState::TimeWait
            });
            found.then_some(())
        });
        assert_eq!(look(closed_first), Look::Gone);
        assert_eq!(look(closed_last), Look::Gone);
    });
}

#[test]
fn root_orphans_and_listeners_are_seen() {
    in_namespace(|| {
        let Pair {
            listener,
            client,
            server,
        } = pair("127.0.0.1:0", "127.0.0.1");
        let left = whom(&client);
        // What was not read keeps the peer from acknowledging more, and the FIN from leaving.
        client.set_nonblocking(true).unwrap();
        let chunk = vec![0; 1 << 16];
        while (&client).write(&chunk).is_ok() {}
        drop(client);
        let orphan = look(left).glance().unwrap();
        assert_eq!((orphan.state, orphan.orphan), (TcpState::FinWait1, true));
        assert!(orphan.unacked > 0);
        drop(server);

        let at = listener.local_addr().unwrap();
        let listening = Whom {
            cookie: cookie(&listener),
            local: end(at),
            remote: end("127.0.0.9:9".parse().unwrap()),
            ifindex: 0,
        };
        assert_eq!(look(listening).glance().unwrap().state, TcpState::Listen);
    });
}

#[test]
fn root_connections_bound_to_a_device_are_found_while_it_is_there() {
    in_namespace(|| {
        let device = Device::new();
        let listener = TcpListener::from(bound(&device, "192.0.2.1:0".parse().unwrap()));
        listen(&listener);
        let client = bound(&device, "192.0.2.1:0".parse().unwrap());
        connect_to(&client, listener.local_addr().unwrap());
        let client = TcpStream::from(client);
        let (server, _) = listener.accept().unwrap();
        let free = pair("127.0.0.1:0", "127.0.0.1");
        let on = |stream, ifindex| Whom {
            ifindex,
            ..whom(stream)
        };
        let mut glances = Glances::load(hz()).unwrap();
        let asked = [
            on(&client, device.index),
            on(&server, device.index),
            on(&free.client, 0),
            on(&client, 0),
        ];
        let seen = looks(&mut glances, &asked).into_iter();
        let seen: Vec<_> = seen.map(|look| look.glance().map(|g| g.cookie)).collect();
        let cookies = [cookie(&client), cookie(&server), cookie(&free.client)];
        assert_eq!(seen[..3], cookies.map(Some));
        assert_eq!(seen[3], None, "the kernel would not find it either");
        drop(device.tun);
        wait_for("the device's end", || {
            let seen = looks(&mut glances, &asked);
            (seen[..2] == [Look::NoDevice; 2] && seen[2].glance().is_some()).then_some(())
        });
    });
}

#[test]
fn root_signed_connections_are_told() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let client = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        if !sign(&client) {
            eprintln!("SKIPPED: needs a kernel with CONFIG_TCP_MD5SIG");
            return;
        }
        assert!(sign(&listener));
        connect_to(&client, to);
        let client = TcpStream::from(client);
        let (server, _) = listener.accept().unwrap();
        assert!(glance(&client).signed && glance(&server).signed);
    });
}

#[test]
fn root_looks_are_right_while_others_come_and_go() {
    in_namespace(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let stable: Vec<_> = (0..room_for(1500))
            .map(|_| {
                (
                    TcpStream::connect(at).unwrap(),
                    listener.accept().unwrap().0,
                )
            })
            .collect();
        let whom: Vec<_> = stable.iter().map(|(client, _)| whom(client)).collect();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let enough = (0..20_000).find(|_| {
                    let client = TcpStream::connect(at).unwrap();
                    reset_on_close(&client);
                    drop(listener.accept().unwrap());
                    done.load(Ordering::Acquire)
                });
                assert!(enough.is_some(), "the looks took too long");
            });
            let mut glances = Glances::load(hz()).unwrap();
            for _ in 0..20 {
                for (whom, look) in whom.iter().zip(looks(&mut glances, &whom)) {
                    let glance = look.glance().unwrap();
                    assert_eq!((glance.cookie, glance.data_segs_in), (whom.cookie, 0));
                }
            }
            done.store(true, Ordering::Release);
        });
    });
}
