//! By probes of our own.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use sockpulse_core::TcpState;
use sockpulse_core::ping::{
    Answer, Glance, Gone, Inquiry, Method, Patience, Seen, Step, Verdict, segment,
};
use sockpulse_linux::ping::{Ear, Sender, Sent};
use sockpulse_linux::sockopt;

use super::every_option::{every_option, probes_and_segments_sent};
use super::wire::{Kind, Pair, Wire};
use crate::common::{as_nobody, isolated, needs_root, sh, wait_for};

const THREE: Patience = Patience {
    probes: NonZeroU16::new(3).unwrap(),
    spacing: Duration::from_millis(600),
};

/// Asks to the end, on the test's own clock.
fn ask(pair: &Pair, sender: &mut Sender, patience: Patience) -> Answer {
    let begin = Instant::now();
    let mut inquiry = Inquiry::new(Method::Raw, patience, &pair.glance());
    for _ in 0..10_000 {
        let glance = pair.glance();
        // Its program holds the descriptor: what ended is seen as a socket without state.
        let seen = match glance.state {
            TcpState::Close => Seen::Gone(Gone::Reset),
            _ => Seen::Glance(glance),
        };
        match inquiry.next(begin.elapsed(), seen) {
            Step::Done(answer) => return answer,
            Step::Look { at } => {
                std::thread::park_timeout(at.saturating_sub(begin.elapsed()));
            }
            Step::Send => {
                let probe = segment(pair.local(), pair.remote(), &glance).unwrap();
                assert_eq!(sender.send(&probe, 0), Ok(Sent::Left));
                inquiry.sent(begin.elapsed());
            }
        }
    }
    panic!("no end of asking");
}

#[test]
fn root_a_live_peer_answers_and_nothing_on_the_socket_changed() {
    let test = "ping::raw::root_a_live_peer_answers_and_nothing_on_the_socket_changed";
    isolated(test, || {
        for kind in Kind::ALL {
            let mut pair = Pair::open(kind);
            let before = (every_option(&pair.near), every_option(&pair.far));
            let (probes, sent) = probes_and_segments_sent(&pair.near);
            assert_eq!(probes, 0);
            let wire = Wire::open(kind);
            let mut sender = Sender::open().unwrap();
            let segs_in = pair.glance().segs_in;
            let answer = ask(&pair, &mut sender, Patience::default());
            assert_eq!(
                (answer.verdict, answer.probes),
                (Verdict::Alive, 1),
                "{kind:?}"
            );
            assert!(answer.rtt.unwrap() < Duration::from_secs(1));
            assert_eq!(pair.glance().segs_in, segs_in + 1);

            assert_eq!(probes_and_segments_sent(&pair.near), (0, sent), "{kind:?}");
            assert_eq!(every_option(&pair.near), before.0, "{kind:?}");
            assert_eq!(every_option(&pair.far), before.1, "{kind:?}");
            sh("echo 500 > /proc/sys/net/ipv4/tcp_keepalive_time");
            assert_eq!(sockopt::keep_idle(&pair.near).unwrap(), 500);
            sh("echo 7200 > /proc/sys/net/ipv4/tcp_keepalive_time");
            goes_on(&mut pair);
            let (ours, theirs) = (pair.local().port, pair.remote().port);
            let of_pair = |segment: &super::wire::Segment| segment.from == ours;
            let seen: Vec<_> = wire.take();
            let probe = seen.iter().find(|segment| of_pair(segment)).unwrap();
            assert_eq!((probe.to, probe.flags, probe.length), (theirs, 16, 0));
            assert!(probe.timestamps.is_some(), "timestamps are in use");
        }
    });
}

/// The stream works both ways, and nothing else came.
fn goes_on(pair: &mut Pair) {
    let mut bytes = [0; 4];
    pair.near.write_all(b"ping").unwrap();
    pair.far.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"ping");
    pair.far.write_all(b"pong").unwrap();
    pair.near.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"pong");
}

#[test]
fn root_a_connection_that_one_end_has_closed_is_asked_too() {
    let test = "ping::raw::root_a_connection_that_one_end_has_closed_is_asked_too";
    isolated(test, || {
        let mut sender = Sender::open().unwrap();
        for (state, ours, theirs) in [(TcpState::FinWait2, 1, 0), (TcpState::CloseWait, 0, 1)] {
            let pair = Pair::open(Kind::V4);
            let closing = if ours > 0 { &pair.near } else { &pair.far };
            closing.shutdown(Shutdown::Write).unwrap();
            wait_for("the state", || (pair.glance().state == state).then_some(()));
            // A FIN takes a sequence number.
            let moved = |pair: &Pair| Glance {
                snd_una: pair.glance().snd_una.wrapping_add(ours),
                rcv_nxt: pair.glance().rcv_nxt.wrapping_add(theirs),
                ..pair.glance()
            };
            let before = moved(&pair);
            let probe = segment(pair.local(), pair.remote(), &before).unwrap();
            assert_eq!(sender.send(&probe, 0), Ok(Sent::Left));
            let after = wait_for("an answer", || {
                Some(moved(&pair)).filter(|after| after.heard_since(&before))
            });
            assert_eq!((after.state, after.segs_in), (state, before.segs_in + 1));
        }
    });
}

#[test]
fn root_data_in_flight_does_not_keep_from_asking() {
    let test = "ping::raw::root_data_in_flight_does_not_keep_from_asking";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V4);
        let port = pair.remote().port;
        sh("nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'");
        sh(&format!(
            "nft add rule inet t in tcp dport {port} ip length \\> 100 drop"
        ));
        pair.near.write_all(&[b'x'; 200]).unwrap();
        let answer = ask(&pair, &mut Sender::open().unwrap(), THREE);
        assert_eq!(answer.verdict, Verdict::Alive);
        assert_eq!(answer.last.unwrap().unacked, 200);
        sh("nft flush ruleset");
        pair.far.read_exact(&mut [0; 200]).unwrap();
        goes_on(&mut pair);
    });
}

/// What we send is what the kernel sends, but for the clocks.
#[test]
fn root_the_probe_is_the_kernels_own() {
    let test = "ping::raw::root_the_probe_is_the_kernels_own";
    isolated(test, || {
        for kind in Kind::ALL {
            let pair = Pair::open(kind);
            let wire = Wire::open(kind);
            let port = pair.local().port;
            if kind == Kind::V4 {
                rustix::net::sockopt::set_ip_ttl(&pair.near, 77).unwrap();
                rustix::net::sockopt::set_ip_tos(&pair.near, 0x20).unwrap();
            }
            let glance = Glance {
                hop_limit: (kind == Kind::V4).then_some(77),
                traffic_class: if kind == Kind::V4 { 0x20 } else { 0 },
                ..pair.glance()
            };
            let probe = segment(pair.local(), pair.remote(), &glance).unwrap();
            Sender::open().unwrap().send(&probe, 0).unwrap();
            let ours = wait_for("our probe", || {
                wire.take().into_iter().find(|segment| segment.from == port)
            });
            rustix::net::sockopt::set_socket_keepalive(&pair.near, true).unwrap();
            rustix::net::sockopt::set_tcp_keepidle(&pair.near, Duration::from_secs(1)).unwrap();
            let kernels = wait_for("the kernel's probe", || {
                wire.take().into_iter().find(|segment| segment.from == port)
            });
            let but_clock = |segment: super::wire::Segment| {
                let numbers = (segment.seq, segment.ack, segment.window, segment.flags);
                let has_timestamps = segment.timestamps.is_some();
                (
                    segment.to,
                    numbers,
                    segment.length,
                    has_timestamps,
                    segment.header,
                )
            };
            assert_eq!(but_clock(ours), but_clock(kernels), "{kind:?}");
        }
    });
}

#[test]
fn root_a_peer_that_is_not_heard_is_dead_and_the_connection_lives() {
    let test = "ping::raw::root_a_peer_that_is_not_heard_is_dead_and_the_connection_lives";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V4);
        let port = pair.remote().port;
        let mut sender = Sender::open().unwrap();
        sh("nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'");
        sh(&format!("nft add rule inet t in tcp dport {port} drop"));
        let begin = Instant::now();
        let answer = ask(&pair, &mut sender, THREE);
        assert_eq!((answer.verdict, answer.probes), (Verdict::Dead, 3));
        assert!(begin.elapsed() >= Duration::from_millis(1_800));
        assert!(begin.elapsed() < Duration::from_secs(4));
        assert_eq!(probes_and_segments_sent(&pair.near).0, 0);
        sh("nft flush ruleset");
        goes_on(&mut pair);
    });
}

#[test]
fn root_one_lost_answer_is_not_a_death() {
    let test = "ping::raw::root_one_lost_answer_is_not_a_death";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V6);
        let port = pair.remote().port;
        sh("nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'");
        sh(&format!(
            "nft add rule inet t in tcp sport {port} quota until 90 bytes drop"
        ));
        let answer = ask(&pair, &mut Sender::open().unwrap(), THREE);
        assert_eq!((answer.verdict, answer.probes), (Verdict::Alive, 2));
        assert_eq!(answer.rtt, None, "which of the two was answered?");
        sh("nft flush ruleset");
        goes_on(&mut pair);
    });
}

#[test]
fn root_a_peer_that_lost_the_connection_refuses_and_the_program_is_told() {
    let test = "ping::raw::root_a_peer_that_lost_the_connection_refuses_and_the_program_is_told";
    isolated(test, || {
        for kind in [Kind::V4, Kind::Mapped] {
            let mut pair = Pair::open(kind);
            let port = pair.remote().port;
            sh(
                "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'",
            );
            sh("nft add rule inet t in tcp flags rst drop");
            sh(&format!("ss -K sport = :{port}"));
            wait_for("the end of the peer", || {
                sh(&format!("ss -Htn state established sport = :{port}"))
                    .is_empty()
                    .then_some(())
            });
            sh("nft flush ruleset");
            let answer = ask(&pair, &mut Sender::open().unwrap(), THREE);
            assert_eq!(answer.verdict, Verdict::Refused, "{kind:?}");
            let error = pair.near.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    });
}

#[test]
fn root_what_a_router_says_is_heard() {
    let test = "ping::raw::root_what_a_router_says_is_heard";
    isolated(test, || {
        for (kind, reject, code) in [
            (Kind::V4, "icmp type host-unreachable", 1),
            (Kind::V6, "icmpv6 type admin-prohibited", 1),
            (Kind::Mapped, "icmp type admin-prohibited", 13),
        ] {
            let pair = Pair::open(kind);
            let ear = Ear::open().unwrap();
            let port = pair.remote().port;
            sh(
                "nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'",
            );
            sh(&format!(
                "nft add rule inet t in tcp dport {port} reject with {reject}"
            ));
            let glance = pair.glance();
            let probe = segment(pair.local(), pair.remote(), &glance).unwrap();
            Sender::open().unwrap().send(&probe, 0).unwrap();
            let heard = wait_for("a word of ICMP", || ear.hear());
            assert_eq!(heard.local.port, pair.local().port, "{kind:?}");
            assert_eq!(heard.remote.addr, pair.remote().addr.to_canonical());
            assert_eq!(heard.seq, glance.snd_una.wrapping_sub(1));
            assert_eq!(heard.unreachable.code, code);
            assert_eq!(ear.hear(), None);
            sh("nft flush ruleset");
        }
    });
}

#[test]
fn root_a_probe_goes_the_way_of_the_connections_packets() {
    let test = "ping::raw::root_a_probe_goes_the_way_of_the_connections_packets";
    isolated(test, || {
        // Two ways to one network; rules choose by source address and by mark.
        for way in ["1", "2"] {
            sh(&format!(
                "ip link add way{way} type veth peer name far{way}; ip link set way{way} up; \
                 ip link set far{way} up; ip address add 10.{way}.0.1/32 dev way{way}; \
                 ip address add fd0{way}::1/128 dev way{way} nodad"
            ));
        }
        for (ip, network, source) in [
            ("ip", "10.9.0.0/16", "10.2.0.1"),
            ("ip -6", "fd09::/16", "fd02::1"),
        ] {
            sh(&format!(
                "{ip} route add {network} dev way1; {ip} route add {network} dev way2 table 7; \
                 {ip} rule add from {source} table 7; {ip} rule add fwmark 5 table 7"
            ));
        }
        // A socket that is bound to a device follows the device's routes only, in IPv6.
        sh("ip -6 route add fd09::/16 dev way2 metric 2000");
        sh(
            "nft 'add table inet t; add counter inet t way1; add counter inet t way2; \
            add chain inet t out { type filter hook postrouting priority 0; }; \
            add rule inet t out tcp dport 7 counter name meta oifname map \
            { \"way1\" : \"way1\", \"way2\" : \"way2\" }'",
        );
        let mut sender = Sender::open().unwrap();
        let base = Pair::open(Kind::V4).glance();
        let sent = |way: &str| sh(&format!("nft list counter inet t {way}"));
        let index = |device: &str| -> u32 {
            let line = sh(&format!("ip -o link show {device}"));
            line.split(':').next().unwrap().parse().unwrap()
        };
        for (local, remote, mark, ifindex, way) in [
            ("10.1.0.1", "10.9.0.9", 0, 0, "way1"),
            ("10.2.0.1", "10.9.0.9", 0, 0, "way2"),
            ("10.1.0.1", "10.9.0.9", 5, 0, "way2"),
            ("10.1.0.1", "10.9.0.9", 0, index("way2"), "way2"),
            // No address of this host, as a transparent proxy has it.
            ("10.5.0.1", "10.9.0.9", 0, 0, "way1"),
            ("fd01::1", "fd09::9", 0, 0, "way1"),
            ("fd02::1", "fd09::9", 0, 0, "way2"),
            ("fd01::1", "fd09::9", 5, 0, "way2"),
            ("fd01::1", "fd09::9", 0, index("way2"), "way2"),
            ("fd05::1", "fd09::9", 0, 0, "way1"),
        ] {
            let glance = Glance { mark, ..base };
            let end = |addr: &str| sockpulse_core::End {
                addr: addr.parse().unwrap(),
                port: 7,
            };
            let probe = segment(end(local), end(remote), &glance).unwrap();
            let before = sent(way);
            assert_eq!(sender.send(&probe, ifindex), Ok(Sent::Left));
            assert_ne!(sent(way), before, "{local} {mark} {ifindex} through {way}");
        }
    });
}

#[test]
fn root_what_cannot_be_sent_is_an_error() {
    let test = "ping::raw::root_what_cannot_be_sent_is_an_error";
    isolated(test, || {
        let pair = Pair::open(Kind::V4);
        let probe = segment(pair.local(), pair.remote(), &pair.glance()).unwrap();
        let mut sender = Sender::open().unwrap();
        let no_device = sender.send(&probe, 4_000).unwrap_err();
        assert!(
            matches!(
                no_device.errno(),
                Some(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO)
            ),
            "{no_device:?}"
        );
        sh("nft 'add table inet t; add chain inet t out { type filter hook output priority 0; }'");
        sh("nft add rule inet t out tcp flags ack drop");
        let dropped = sender.send(&probe, 0).unwrap_err();
        assert_eq!(dropped.to_string(), "send a probe to 127.0.0.1");
        assert!(dropped.is_permission());
    });
}

#[test]
fn root_without_the_right_to_send_packets_nothing_is_opened() {
    let test = "ping::raw::root_without_the_right_to_send_packets_nothing_is_opened";
    const ASKING: &str = "SOCKPULSE_TEST_ASKING";
    if std::env::var_os(ASKING).is_some() {
        let error = Sender::open().unwrap_err();
        assert_eq!(error.to_string(), "open a raw socket");
        assert!(error.is_permission());
        assert!(Ear::open().unwrap_err().is_permission());
        return;
    }
    if needs_root(test) {
        isolated(test, || as_nobody(test, ASKING, "1"));
    }
}
