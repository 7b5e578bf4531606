//! How connections end, and what comes before.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use sockpulse_bpf::watch::{Ending, Happening, Kinds, Known, What};
use sockpulse_core::{Comm, TcpState};

use crate::common::{
    Watch, abort, cookie, deafen, hear, in_namespace, is_death, keepalive, now, own_name, pair, set,
};

const ETIMEDOUT: i32 = libc::ETIMEDOUT;

fn ending(told: &Happening) -> Ending {
    match told.what {
        What::Died(ending) => ending,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn root_keepalive_is_told_from_the_first_unanswered_probe_to_the_end() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::PROBING.with(Kinds::DIED));
        let pair = pair();
        keepalive(&pair.client, 1, 1, 2);
        deafen(&pair.server);
        let probing = watch.next_of(&pair.client);
        assert_eq!(probing.what, What::Probing);
        assert_eq!(probing.connection.unanswered_probes, Some(1));
        assert_eq!(probing.effective.idle.value, 1);
        let silence = Duration::from_millis(probing.connection.silence_ms.unwrap());
        assert!(silence >= Duration::from_secs(2), "{silence:?}");

        let died = watch.next_of(&pair.client);
        let late = now() - died.at;
        let end = ending(&died);
        assert_eq!((end.errno, end.soft_error), (ETIMEDOUT, 0));
        assert!(!end.reset && end.by.is_none());
        let connection = &died.connection;
        assert_eq!(connection.state, TcpState::Established);
        assert_eq!(connection.unanswered_probes, Some(2));
        assert_eq!(connection.unacked_bytes, Some(0));
        assert!(connection.silence_ms.unwrap() >= 3_000);
        assert_eq!(connection.id.local.port, port_of(&pair.client));
        assert_eq!(died.effective.probes.value, 2);
        let age = died.at - died.opened.unwrap();
        assert!(age >= Duration::from_secs(3) && age < Duration::from_secs(10));
        let program = died.program.unwrap();
        assert_eq!(program.known, Known::Connected);
        assert_eq!(program.pid, std::process::id());
        assert_eq!(program.comm, Comm::new(&own_name()));
        // The reader was woken. Such a machine may be busy.
        assert!(late < Duration::from_secs(1), "{late:?}");
    });
}

#[test]
fn root_who_is_heard_again_has_recovered() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::PROBING.with(Kinds::RECOVERED).with(Kinds::DIED));
        let pair = pair();
        keepalive(&pair.server, 1, 1, 9);
        deafen(&pair.client);
        let probing = watch.next_of(&pair.server);
        assert_eq!(probing.what, What::Probing);
        assert_eq!(probing.program.unwrap().known, Known::Listened);
        hear(&pair.client);
        let recovered = watch.next_of(&pair.server);
        let What::Recovered {
            silence,
            unanswered,
        } = recovered.what
        else {
            panic!("{recovered:?}");
        };
        assert!(unanswered >= 1);
        let seen = Duration::from_millis(probing.connection.silence_ms.unwrap());
        assert!(silence >= seen, "{silence:?} {seen:?}");
        assert!(silence < Duration::from_secs(9), "{silence:?}");
        assert_eq!(recovered.connection.unanswered_probes, Some(0));
        // A second time is told as well.
        deafen(&pair.client);
        assert_eq!(watch.next_of(&pair.server).what, What::Probing);
    });
}

#[test]
fn root_answered_probes_are_not_told() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::PROBING.with(Kinds::RECOVERED).with(Kinds::DIED));
        let (healthy, deaf) = (pair(), pair());
        keepalive(&healthy.client, 1, 1, 1);
        keepalive(&deaf.client, 1, 1, 4);
        deafen(&deaf.server);
        let told = watch.until(is_death);
        let deaf = cookie(&deaf.client);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|told| told.connection.id.cookie == deaf));
    });
}

#[test]
fn root_data_that_nobody_acknowledges() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED.with(Kinds::PROBING));
        let mut pair = pair();
        set(
            &pair.client,
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            1500,
        );
        keepalive(&pair.client, 1, 1, 1);
        deafen(&pair.server);
        pair.client.write_all(&[7; 100]).unwrap();
        let died = watch.next_of(&pair.client);
        assert_eq!(ending(&died).errno, ETIMEDOUT);
        assert_eq!(died.connection.unacked_bytes, Some(100));
        assert!(died.connection.retransmits.unwrap() >= 1);
        assert_eq!(died.effective.user_timeout.get(), 1500);
    });
}

#[test]
fn root_resets_are_told_from_silence() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED);
        let pair = pair();
        abort(pair.server);
        let died = watch.next_of(&pair.client);
        let end = ending(&died);
        assert_eq!((end.errno, end.reset), (libc::ECONNRESET, true));
        assert!(end.by.is_none());

        // Nobody listens there any more.
        let to = pair.listener.local_addr().unwrap();
        drop(pair.listener);
        TcpStream::connect(to).unwrap_err();
        let refused = watch.next(is_death);
        let end = ending(&refused);
        assert_eq!((end.errno, end.reset), (libc::ECONNREFUSED, true));
        assert_eq!(refused.connection.state, TcpState::SynSent);
        assert_eq!(refused.connection.id.remote.port, to.port());
        assert_eq!(refused.program.unwrap().pid, std::process::id());
    });
}

#[test]
fn root_whoever_destroys_a_connection_is_named() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED);
        let pair = pair();
        let port = port_of(&pair.client).to_string();
        let killer = Command::new("ss")
            .args(["--kill", "--tcp", "--no-header", "sport", "=", &port])
            .output();
        let Ok(killer) = killer else {
            eprintln!("SKIPPED: needs ss");
            return;
        };
        assert!(killer.status.success());
        let died = watch.next_of(&pair.client);
        let end = ending(&died);
        assert_eq!((end.errno, end.reset), (libc::ECONNABORTED, false));
        let by = end.by.unwrap();
        assert_eq!((by.comm, by.known), (Comm::new(b"ss"), Known::Called));
        assert_ne!(by.pid, std::process::id());
        // It was opened by us all the same.
        assert_eq!(died.program.unwrap().pid, std::process::id());
    });
}

#[test]
fn root_what_never_was_a_connection_is_not_told() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED);
        // No route, and one that forbids: the kernel says so at once.
        TcpStream::connect((Ipv4Addr::new(192, 0, 2, 1), 9)).unwrap_err();
        let unreachable = Command::new("ip")
            .args(["route", "add", "prohibit", "192.0.2.0/24"])
            .status();
        assert!(unreachable.is_ok_and(|status| status.success()));
        TcpStream::connect((Ipv4Addr::new(192, 0, 2, 1), 9)).unwrap_err();
        let pair = pair();
        abort(pair.server);
        let told = watch.until(is_death);
        assert_eq!(told.len(), 1, "{told:?}");
    });
}

#[test]
fn root_orderly_ends_are_no_deaths() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED.with(Kinds::CLOSED));
        let pair = pair();
        let (client, server) = (cookie(&pair.client), cookie(&pair.server));
        drop(pair.client);
        drop(pair.server);
        let mut told = [watch.next(|_| true), watch.next(|_| true)];
        told.sort_by_key(|told| told.connection.id.cookie != client);
        assert_eq!(told[0].connection.id.cookie, client);
        assert_eq!(told[1].connection.id.cookie, server);
        assert!(told.iter().all(|told| told.what == What::Closed));
        assert_eq!(told[1].connection.state, TcpState::LastAck);
        // Listeners are no connections.
        drop(pair.listener);
        let again = crate::common::pair();
        abort(again.client);
        let told = watch.until(is_death);
        assert!(
            told.iter().all(|told| told.connection.id.remote.port != 0),
            "{told:?}"
        );
    });
}

#[test]
fn root_only_what_is_wanted_is_told() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::DIED);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        for _ in 0..20 {
            let pair = crate::common::pair_on(listener.try_clone().unwrap());
            drop(pair.client);
        }
        let last = crate::common::pair_on(listener);
        abort(last.server);
        assert_eq!(watch.until(is_death).len(), 1);
        assert_eq!(watch.watcher().lost().unwrap(), 0);
    });
}

fn port_of(stream: &TcpStream) -> u16 {
    stream.local_addr().unwrap().port()
}
