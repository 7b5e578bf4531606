//! Ending connections, and what their buffers take.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use sockpulse_core::{Comm, Cookie, Process, Unseen};
use sockpulse_linux::Error;
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::sock_diag::{Memory, Socket};

use crate::common::{as_nobody, isolated, wait_for};
use crate::pidfd::connection;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

fn ended_with(mut stream: &TcpStream) -> Option<ErrorKind> {
    stream.read(&mut [0]).err().map(|error| error.kind())
}

#[test]
fn root_a_destroyed_connection_ends_with_an_ordinary_error() {
    let name = "destroy::root_a_destroyed_connection_ends_with_an_ordinary_error";
    isolated(name, || {
        let mut socket = Socket::open().unwrap();
        let (here, there) = pair();
        let (spared, _) = pair();
        let id = connection(&here).id;
        let other = Cookie(id.cookie.0 ^ (1 << 40));
        for (cookie, expected) in [(other, Ok(false)), (id.cookie, Ok(true))] {
            let mut asked = id;
            asked.cookie = cookie;
            assert_eq!(socket.destroy(&asked, 0), expected);
        }
        assert_eq!(ended_with(&here), Some(ErrorKind::ConnectionAborted));
        assert_eq!(ended_with(&there), Some(ErrorKind::ConnectionReset));
        assert_eq!(socket.destroy(&id, 0), Ok(false), "it is gone");
        let mut nameless = id;
        nameless.cookie = Cookie(0);
        let refused = socket.destroy(&nameless, 0).unwrap_err();
        assert_eq!(refused.errno(), Some(Errno::INVAL));
        assert!(socket.memory(&connection(&spared).id, 0).unwrap().is_some());
    });
}

/// What was received and not read stays until the descriptor is closed.
#[test]
fn root_memory_is_told_before_and_after() {
    isolated("destroy::root_memory_is_told_before_and_after", || {
        let mut socket = Socket::open().unwrap();
        let (here, mut there) = pair();
        there.write_all(&[7; 10_000]).unwrap();
        let id = connection(&here).id;
        let before = wait_for("data", || {
            let memory = socket.memory(&id, 0).unwrap().unwrap();
            (memory >= Memory(10_000)).then_some(memory)
        });
        assert!(before < Memory(1_000_000), "{before:?}");
        let holder = Process {
            pid: std::process::id(),
            fd: u32::try_from(here.as_raw_fd()).unwrap(),
            comm: Comm::new(b"test"),
        };
        let mut borrower = Borrower::new();
        assert_eq!(borrower.memory(holder, id.cookie), Ok(before));
        assert_eq!(socket.destroy(&id, 0), Ok(true));
        assert_eq!(socket.memory(&id, 0), Ok(None));
        let after = borrower.memory(holder, id.cookie).unwrap();
        assert!((Memory(10_000)..=before).contains(&after), "{after:?}");
        drop(here);
        let closed = borrower.memory(holder, id.cookie);
        assert_eq!(closed, Err(Unseen::Vanished));
    });
}

const ASKED: &str = "SOCKPULSE_TEST_DESTROY";

#[test]
fn root_destroying_needs_a_right() {
    let name = "destroy::root_destroying_needs_a_right";
    if std::env::var_os(ASKED).is_some() {
        let (here, _there) = pair();
        let refused = Socket::open().unwrap().destroy(&connection(&here).id, 0);
        assert!(matches!(
            refused,
            Err(Error::Refused {
                errno: Errno::PERM,
                ..
            })
        ));
        return;
    }
    isolated(name, || as_nobody(name, ASKED, "yes"));
}
