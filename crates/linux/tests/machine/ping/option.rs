//! By the kernel's own keepalive.

use std::io::{ErrorKind, Read, Write};
use std::num::NonZeroU16;
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use rustix::net::sockopt as options;
use sockpulse_core::ping::{Answer, Inquiry, Method, Patience, Seen, Step, Verdict, Why};
use sockpulse_core::{Comm, Process};
use sockpulse_linux::ping::{Asker, NotAsked, Pinned, Sent};
use sockpulse_linux::{ping, sockopt};

use super::every_option::{every_option, probes_and_segments_sent};
use super::wire::{Kind, Pair};
use crate::common::{isolated, sh, wait_for};

fn held(socket: impl AsFd) -> Process {
    Process {
        pid: std::process::id(),
        fd: u32::try_from(socket.as_fd().as_raw_fd()).unwrap(),
        comm: Comm::new(b"test"),
    }
}

/// Asks to the end; also what was pinned.
fn ask(pair: &Pair, probes: u16) -> (Answer, Option<Pinned>) {
    let patience = Patience {
        probes: NonZeroU16::new(probes).unwrap(),
        spacing: Duration::from_millis(600),
    };
    let (process, cookie) = (held(&pair.near), pair.cookie());
    let mut asker = Asker::start().unwrap();
    let begin = Instant::now();
    let first = asker.look(process, cookie).unwrap();
    let mut inquiry = Inquiry::new(Method::Option, patience, &first);
    let mut pinned = None;
    for _ in 0..10_000 {
        let glance = asker.look(process, cookie).unwrap();
        match inquiry.next(begin.elapsed(), Seen::Glance(glance)) {
            Step::Done(answer) => return (answer, pinned),
            Step::Look { at } => {
                std::thread::park_timeout(at.saturating_sub(begin.elapsed()));
            }
            Step::Send => match asker.probe(process, cookie) {
                Ok(asked) => {
                    pinned = Some(asked.pinned);
                    if asked.sent == Sent::Left {
                        inquiry.sent(begin.elapsed());
                    }
                }
                Err(not_asked) => return (inquiry.because(not_asked.why()), pinned),
            },
        }
    }
    panic!("no end of asking");
}

fn drop_all_to(port: u16) {
    sh("nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'");
    sh(&format!("nft add rule inet t in tcp dport {port} drop"));
}

#[test]
fn root_a_live_peer_answers_and_only_the_idle_time_is_pinned() {
    let test = "ping::option::root_a_live_peer_answers_and_only_the_idle_time_is_pinned";
    isolated(test, || {
        for kind in Kind::ALL {
            let mut pair = Pair::open(kind);
            options::set_tcp_user_timeout(&pair.near, 900).unwrap();
            let before = every_option(&pair.near);
            let (answer, pinned) = ask(&pair, 24);
            assert_eq!(
                (answer.verdict, answer.rtt),
                (Verdict::Alive, None),
                "{kind:?}"
            );
            assert_eq!(every_option(&pair.near), before, "{kind:?}");
            assert_eq!(probes_and_segments_sent(&pair.near).0, 0);
            let pinned = pinned.unwrap();
            assert_eq!((pinned.idle.get(), pinned.probes), (7200, None));
            sh(
                "cd /proc/sys/net/ipv4; echo 500 > tcp_keepalive_time; echo 5 > tcp_keepalive_probes; echo 7 > tcp_keepalive_intvl",
            );
            assert_eq!(sockopt::keep_idle(&pair.near).unwrap(), 7200, "pinned");
            assert_eq!(sockopt::keep_cnt(&pair.near).unwrap(), 5);
            assert_eq!(sockopt::keep_intvl(&pair.near).unwrap(), 7);
            sh(
                "cd /proc/sys/net/ipv4; echo 7200 > tcp_keepalive_time; echo 9 > tcp_keepalive_probes; echo 75 > tcp_keepalive_intvl",
            );
            pair.near.write_all(b"?").unwrap();
            pair.far.read_exact(&mut [0]).unwrap();
        }
    });
}

#[test]
fn root_a_dead_peers_connection_outlives_more_probes_than_its_count() {
    let test = "ping::option::root_a_dead_peers_connection_outlives_more_probes_than_its_count";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V4);
        options::set_tcp_keepcnt(&pair.near, 2).unwrap();
        options::set_tcp_user_timeout(&pair.near, 500).unwrap();
        let before = every_option(&pair.near);
        drop_all_to(pair.remote().port);
        let (answer, pinned) = ask(&pair, 4);
        assert_eq!((answer.verdict, answer.probes), (Verdict::Dead, 4));
        assert_eq!(
            pinned.unwrap().probes.map(sockpulse_core::KeepCnt::get),
            Some(2)
        );
        assert_eq!(every_option(&pair.near), before);
        assert_eq!(probes_and_segments_sent(&pair.near).0, 4);
        sh("nft flush ruleset");
        pair.near.write_all(b"?").unwrap();
        pair.far.read_exact(&mut [0]).unwrap();
        wait_for("a count that is forgotten", || {
            (probes_and_segments_sent(&pair.near).0 == 0).then_some(())
        });
    });
}

#[test]
fn root_probes_stay_below_the_programs_own_count() {
    let test = "ping::option::root_probes_stay_below_the_programs_own_count";
    isolated(test, || {
        let pair = Pair::open(Kind::V4);
        options::set_tcp_keepcnt(&pair.near, 3).unwrap();
        options::set_socket_keepalive(&pair.near, true).unwrap();
        drop_all_to(pair.remote().port);
        let (answer, _) = ask(&pair, 24);
        assert_eq!(
            (answer.verdict, answer.why),
            (Verdict::Unknown, Some(Why::Room))
        );
        assert_eq!(answer.probes, 2);
        assert_eq!(probes_and_segments_sent(&pair.near).0, 2);
        assert!(sockopt::keepalive(&pair.near).unwrap());
        // The timer is armed for the rest of the two hours.
        let timer = crate::pidfd::connection(&pair.near).timers.keepalive;
        assert!(timer.known().flatten().unwrap().expires_ms > 7_000_000);
        sh("nft flush ruleset");
        let timeout = Pair::open(Kind::V4);
        options::set_socket_keepalive(&timeout.near, true).unwrap();
        options::set_tcp_user_timeout(&timeout.near, 30_000).unwrap();
        let before = probes_and_segments_sent(&timeout.near);
        assert_eq!(ask(&timeout, 24).0.why, Some(Why::Room));
        assert_eq!(probes_and_segments_sent(&timeout.near), before);
    });
}

#[test]
fn root_a_peer_that_lost_the_connection_refuses_and_the_error_is_left_to_the_program() {
    let test = "ping::option::root_a_peer_that_lost_the_connection_refuses_and_the_error_is_left_to_the_program";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V4);
        let port = pair.remote().port;
        sh("nft 'add table inet t; add chain inet t in { type filter hook input priority 0; }'");
        sh("nft add rule inet t in tcp flags rst drop");
        sh(&format!("ss -K sport = :{port}"));
        wait_for("the end of the peer", || {
            sh(&format!("ss -Htn state established sport = :{port}"))
                .is_empty()
                .then_some(())
        });
        sh("nft flush ruleset");
        let (answer, _) = ask(&pair, 24);
        assert_eq!(answer.verdict, Verdict::Refused);
        let error = pair.near.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn root_data_in_flight_is_not_probed_and_its_acknowledgements_tell() {
    let test = "ping::option::root_data_in_flight_is_not_probed_and_its_acknowledgements_tell";
    isolated(test, || {
        let mut pair = Pair::open(Kind::V4);
        drop_all_to(pair.remote().port);
        pair.near.write_all(b"lost").unwrap();
        let (answer, pinned) = ask(&pair, 24);
        assert_eq!((answer.verdict, answer.probes), (Verdict::Busy, 0));
        assert_eq!(pinned, None);
        assert!(!sockopt::keepalive(&pair.near).unwrap());
        sh("nft flush ruleset");
        assert_eq!(ping::glance(&pair.near).unwrap().unacked, 4);
    });
}

#[test]
fn root_what_could_not_be_put_back_is_not_set() {
    let test = "ping::option::root_what_could_not_be_put_back_is_not_set";
    isolated(test, || {
        sh("echo 99999 > /proc/sys/net/ipv4/tcp_keepalive_time");
        let pair = Pair::open(Kind::V4);
        let mut asker = Asker::start().unwrap();
        let refused = asker.probe(held(&pair.near), pair.cookie());
        assert_eq!(refused, Err(NotAsked::NotRestorable));
        assert_eq!(sockopt::keep_idle(&pair.near).unwrap(), 99_999);
        // Another socket has the number, or none.
        let gone = asker.look(held(&pair.far), pair.cookie());
        assert_eq!(
            gone,
            Err(NotAsked::Unreached(sockpulse_core::Unseen::Vanished))
        );
    });
}
