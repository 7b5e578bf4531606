//! Sockets in all kinds of states.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use super::deadline::wait_for;
use super::netns::Netns;
use super::truth::Moment;

/// Keepalive options as a program may set them; `None` leaves one to the namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Options {
    pub(crate) keepalive: bool,
    pub(crate) idle_s: Option<u32>,
    pub(crate) interval_s: Option<u32>,
    pub(crate) probes: Option<u32>,
    pub(crate) user_timeout_ms: u32,
}

impl Options {
    /// Keepalive on, all values the namespace's.
    pub(crate) const ON: Self = Self {
        keepalive: true,
        ..Self::OFF
    };

    /// Nothing set.
    pub(crate) const OFF: Self = Self {
        keepalive: false,
        idle_s: None,
        interval_s: None,
        probes: None,
        user_timeout_ms: 0,
    };

    /// Keepalive on with values of its own.
    pub(crate) const fn own(idle_s: u32, interval_s: u32, probes: u32) -> Self {
        Self {
            keepalive: true,
            idle_s: Some(idle_s),
            interval_s: Some(interval_s),
            probes: Some(probes),
            user_timeout_ms: 0,
        }
    }

    /// Sets them.
    pub(crate) fn apply(&self, socket: impl std::os::fd::AsFd) {
        let socket = socket.as_fd();
        if let Some(seconds) = self.idle_s {
            sockopt::set_tcp_keepidle(socket, Duration::from_secs(seconds.into())).unwrap();
        }
        if let Some(seconds) = self.interval_s {
            sockopt::set_tcp_keepintvl(socket, Duration::from_secs(seconds.into())).unwrap();
        }
        if let Some(count) = self.probes {
            sockopt::set_tcp_keepcnt(socket, count).unwrap();
        }
        if self.user_timeout_ms > 0 {
            sockopt::set_tcp_user_timeout(socket, self.user_timeout_ms).unwrap();
        }
        if self.keepalive {
            sockopt::set_socket_keepalive(socket, true).unwrap();
        }
    }
}

/// A listener in the namespace; port 0 chooses one.
pub(crate) fn listen(netns: &Netns, address: &str, port: u16) -> TcpListener {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    netns.run(|| TcpListener::bind(address)).expect("listen")
}

/// A connection from the namespace.
pub(crate) fn connect(netns: &Netns, address: &str, port: u16) -> TcpStream {
    let address = SocketAddr::new(address.parse().unwrap(), port);
    netns
        .run(|| TcpStream::connect_timeout(&address, super::deadline::LIMIT))
        .expect("connect")
}

/// A connection from the namespace to the listener, both ends.
pub(crate) fn connected(
    netns: &Netns,
    address: &str,
    listener: &TcpListener,
) -> (TcpStream, TcpStream) {
    let port = listener.local_addr().unwrap().port();
    let here = connect(netns, address, port);
    let (there, _) = listener.accept().expect("accept");
    // The third segment of the handshake has arrived: both ends are established.
    (here, there)
}

/// Begins to connect and does not wait for an answer.
pub(crate) fn begin_to_connect(netns: &Netns, address: &str, port: u16) -> OwnedFd {
    begin_to_connect_from(netns, "0.0.0.0", address, port)
}

/// The same from an address.
pub(crate) fn begin_to_connect_from(netns: &Netns, from: &str, to: &str, port: u16) -> OwnedFd {
    let from = SocketAddr::new(from.parse().unwrap(), 0);
    let to = SocketAddr::new(to.parse().unwrap(), port);
    netns.run(|| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, None);
        let socket = socket.expect("a socket");
        rustix::net::bind(&socket, &from).expect("bind");
        let begun = rustix::net::connect(&socket, &to);
        assert_eq!(begun, Err(rustix::io::Errno::INPROGRESS));
        socket
    })
}

/// A Multipath TCP socket; `None` where the kernel gives none.
pub(crate) fn mptcp(netns: &Netns) -> Option<OwnedFd> {
    netns.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let protocol = Some(ipproto::MPTCP);
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, flags, protocol).ok()
    })
}

/// Waits until the socket is in the state, by the kernel's number.
pub(crate) fn wait_for_state(socket: impl std::os::fd::AsFd, state: u8) {
    let socket = socket.as_fd();
    wait_for(&format!("TCP state {state}"), || {
        (Moment::of(socket).state == state).then_some(())
    });
}
