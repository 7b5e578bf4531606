//! Borrowed descriptors: the settings of other programs' sockets.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::net::sockopt as options;
use sockpulse_core::{
    Comm, Connection, Observed, Process, Setting, SocketTimers, Unseen, UserTimeout,
};
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::{sock_diag as diag, sockopt};

use crate::common::{as_nobody, isolated, needs_root};
use crate::scene::{Scene, ports};

fn held_by(pid: u32, fd: impl AsFd) -> Process {
    Process {
        pid,
        fd: u32::try_from(fd.as_fd().as_raw_fd()).unwrap(),
        comm: Comm::new(b"test"),
    }
}

pub(crate) fn connection(stream: &TcpStream) -> Connection {
    let mut socket = diag::Socket::open().unwrap();
    let mut found = None;
    for family in [sockpulse_core::Family::Ipv4, sockpulse_core::Family::Ipv6] {
        let query = diag::Query {
            family,
            states: diag::States::ALL,
            info: diag::TcpInfo::With,
        };
        let end = socket.dump(&query, |batch| {
            for message in diag::messages(batch) {
                let seen = message
                    .unwrap()
                    .connection(sockpulse_core::NetnsId(1))
                    .unwrap();
                if (seen.id.local.port, seen.id.remote.port) == ports(stream) {
                    found = Some(seen);
                }
            }
            std::ops::ControlFlow::Continue(())
        });
        assert_eq!(end, Ok(diag::DumpEnd::Complete));
    }
    found.unwrap()
}

#[test]
fn root_settings_are_read_through_a_duplicate() {
    isolated("pidfd::root_settings_are_read_through_a_duplicate", || {
        let scene = Scene::open();
        let mut borrower = Borrower::new();
        let pid = std::process::id();
        let tuned = connection(&scene.tuned);
        let read = borrower.settings(held_by(pid, &scene.tuned), &tuned);
        assert_eq!(
            read,
            Observed::Known(SocketTimers {
                keepalive: true,
                idle: Setting::Either(61),
                interval: Setting::Either(7),
                probes: Setting::Either(5),
                user_timeout: UserTimeout::new(20_000).unwrap(),
            })
        );
        let plain = connection(&scene.plain);
        let read = borrower.settings(held_by(pid, &scene.plain), &plain);
        assert!(read.known().is_some_and(|timers| !timers.keepalive));

        // The descriptor stands for another socket by now.
        let read = borrower.settings(held_by(pid, &scene.plain), &tuned);
        assert_eq!(read, Observed::Unknown(Unseen::Vanished));
        // It is closed.
        let closed = Process {
            fd: 9999,
            ..held_by(pid, &scene.plain)
        };
        assert_eq!(
            borrower.settings(closed, &plain),
            Observed::Unknown(Unseen::Vanished)
        );
        // It is no socket.
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(
            borrower.settings(held_by(pid, &file), &plain),
            Observed::Unknown(Unseen::Vanished)
        );
        // After all that the process is still open to be read.
        let read = borrower.settings(held_by(pid, &scene.tuned), &tuned);
        assert!(read.known().is_some());
    });
}

#[test]
fn root_a_subflow_is_not_told_by_the_socket_above_it() {
    let test = "pidfd::root_a_subflow_is_not_told_by_the_socket_above_it";
    isolated(test, || {
        let scene = Scene::open();
        let Some(parent) = &scene.mptcp else { return };
        let subflow = connection(parent);
        assert!(subflow.mptcp);
        let mut borrower = Borrower::new();
        let process = held_by(std::process::id(), parent);
        let read = borrower.settings(process, &subflow);
        assert_eq!(read, Observed::Unknown(Unseen::NotReported));
    });
}

#[test]
fn root_a_process_that_ended_has_vanished() {
    isolated("pidfd::root_a_process_that_ended_has_vanished", || {
        let scene = Scene::open();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let mut borrower = Borrower::new();
        let read = borrower.settings(held_by(child.id(), &scene.plain), &connection(&scene.plain));
        assert_eq!(read, Observed::Unknown(Unseen::Vanished));
    });
}

/// Another user's process.
#[test]
fn root_a_foreign_process_is_not_permitted() {
    let test = "pidfd::root_a_foreign_process_is_not_permitted";
    if let Ok(pid) = std::env::var("SOCKPULSE_TEST_FOREIGN") {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let foreign = held_by(pid.parse().unwrap(), &stream);
        let mut borrower = Borrower::new();
        for _ in 0..2 {
            let read = borrower.settings(foreign, &connection(&stream));
            assert_eq!(read, Observed::Unknown(Unseen::NotPermitted));
        }
        // One's own is.
        let read = borrower.settings(held_by(std::process::id(), &stream), &connection(&stream));
        assert!(read.known().is_some());
        return;
    }
    if needs_root(test) {
        isolated(test, || {
            as_nobody(
                test,
                "SOCKPULSE_TEST_FOREIGN",
                &std::process::id().to_string(),
            )
        });
    }
}

/// Reading takes nothing from the program: no descriptor stays open, no timer is touched, and an error
/// that waits for the program still does.
#[test]
fn root_reading_leaves_no_trace() {
    isolated("pidfd::root_reading_leaves_no_trace", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let seen = connection(&client);
        let before = sockopt::settings(&client).unwrap();
        let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let mut borrower = Borrower::new();
        let process = held_by(std::process::id(), &client);
        assert_eq!(borrower.settings(process, &seen), Observed::Known(before));
        let open = descriptors();
        for _ in 0..100 {
            assert_eq!(borrower.settings(process, &seen), Observed::Known(before));
        }
        assert_eq!(descriptors(), open, "every duplicate is closed at once");
        assert_eq!(connection(&client).timers, seen.timers);

        options::set_socket_linger(&server, Some(Duration::ZERO)).unwrap();
        drop(server);
        assert_eq!(borrower.settings(process, &seen), Observed::Known(before));
        let error = client.read(&mut [0; 1]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    });
}
