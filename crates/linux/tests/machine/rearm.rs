//! Timers of other programs' connections, armed anew.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::net::sockopt as options;
use sockpulse_core::{Comm, Connection, Process, Unseen};
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::rearm::NotRearmed;

use crate::common::{isolated, sh, wait_for};
use crate::pidfd::connection;

/// A connection over loopback that asked for keepalive, in a namespace with this idle.
fn armed(idle: u32) -> (TcpStream, TcpStream) {
    set("time", idle);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    options::set_socket_keepalive(&here, true).unwrap();
    (here, there)
}

fn set(name: &str, value: u32) {
    sh(&format!(
        "echo {value} > /proc/sys/net/ipv4/tcp_keepalive_{name}"
    ));
}

fn process(socket: impl AsFd) -> Process {
    Process {
        pid: std::process::id(),
        fd: u32::try_from(socket.as_fd().as_raw_fd()).unwrap(),
        comm: Comm::new(b"test"),
    }
}

/// Seconds until the keepalive timer fires, by inet_diag.
fn due(stream: &TcpStream) -> u64 {
    let timer = connection(stream).timers.keepalive.known().flatten();
    timer.expect("a timer").expires_ms / 1000
}

fn rearm(stream: &TcpStream, seen: &Connection) -> Result<(), NotRearmed> {
    Borrower::new().rearm(process(stream), seen.id.cookie)
}

#[test]
fn root_a_lowered_default_holds_at_once_and_stays_inherited() {
    let test = "rearm::root_a_lowered_default_holds_at_once_and_stays_inherited";
    isolated(test, || {
        let (here, _there) = armed(7200);
        set("time", 600);
        assert!(due(&here) > 7000, "the kernel does not move an armed timer");
        rearm(&here, &connection(&here)).unwrap();
        // The wheel is up to an eighth late.
        let after = due(&here);
        assert!((598..=675).contains(&after), "{after}");
        assert!(options::socket_keepalive(&here).unwrap());
        // Still inherited: it follows the next change too.
        set("time", 500);
        assert_eq!(
            options::tcp_keepidle(&here).unwrap(),
            Duration::from_secs(500)
        );
    });
}

#[test]
fn root_what_is_not_as_it_was_read_is_left_alone() {
    let test = "rearm::root_what_is_not_as_it_was_read_is_left_alone";
    isolated(test, || {
        let (here, there) = armed(600);
        let seen = connection(&here);
        // The descriptor stands for another socket.
        let other = Borrower::new().rearm(process(&there), seen.id.cookie);
        assert_eq!(other, Err(NotRearmed::Unreached(Unseen::Vanished)));
        assert!(!options::socket_keepalive(&there).unwrap());
        // Its program switched keepalive off meanwhile.
        options::set_socket_keepalive(&here, false).unwrap();
        assert_eq!(rearm(&here, &seen), Err(NotRearmed::Changed));
        assert!(!options::socket_keepalive(&here).unwrap());
    });
}

#[test]
fn root_a_connection_that_is_being_probed_is_left_alone() {
    let test = "rearm::root_a_connection_that_is_being_probed_is_left_alone";
    isolated(test, || {
        set("intvl", 100);
        let (here, _there) = armed(1);
        sh("ip link set lo down");
        let seen = wait_for("an unanswered probe", || {
            let seen = connection(&here);
            (seen.unanswered_probes > Some(0)).then_some(seen)
        });
        assert_eq!(rearm(&here, &seen), Err(NotRearmed::Probing));
    });
}

#[test]
fn root_a_namespace_has_a_number_that_is_never_given_twice() {
    let test = "rearm::root_a_namespace_has_a_number_that_is_never_given_twice";
    isolated(test, || {
        let own = sockpulse_linux::netns::own(&sockpulse_linux::Proc::default()).unwrap();
        let cookie = own.cookie().unwrap();
        assert_eq!(cookie, own.cookie().unwrap());
        sh("ip netns add other");
        let other = sockpulse_linux::netns::resolve(&sockpulse_linux::Proc::default(), "other");
        let other = other.unwrap().cookie().unwrap();
        sh("ip netns del other");
        if cookie.is_some() {
            assert_ne!(cookie, other);
        }
    });
}
