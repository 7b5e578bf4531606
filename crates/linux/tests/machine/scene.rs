//! Sockets of every kind that a namespace can hold, kept as long as the scene lives.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};

use crate::common::{sh, wait_for};

/// The ports by which a socket of the scene is recognised: its own and its peer's.
pub(crate) type Ports = (u16, u16);

pub(crate) struct Scene {
    pub(crate) listener: TcpListener,
    pub(crate) plain: TcpStream,
    pub(crate) tuned: TcpStream,
    pub(crate) ipv6: TcpStream,
    pub(crate) mapped: TcpStream,
    /// Sent a FIN; its program still holds it.
    pub(crate) half_closed: TcpStream,
    pub(crate) close_wait: TcpStream,
    /// Its peer does not read.
    pub(crate) blocked: TcpStream,
    pub(crate) not_accepted: TcpStream,
    pub(crate) mptcp: Option<TcpStream>,
    /// Closed by their programs.
    pub(crate) lingering: Ports,
    pub(crate) fin_wait_1: Ports,
    pub(crate) fin_wait_2_entry: Ports,
    pub(crate) time_wait: Ports,
    /// The server's end of a connection whose handshake waits for data.
    pub(crate) request: Ports,
    pub(crate) syn_sent: OwnedFd,
    _kept: Vec<OwnedFd>,
}

impl Scene {
    /// Opens everything; to be called in a namespace of its own, whose sysctls it changes.
    pub(crate) fn open() -> Self {
        let mut kept: Vec<OwnedFd> = Vec::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let pair = || {
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        };
        let (plain, server) = pair();
        kept.push(server.into());

        let (tuned, server) = pair();
        kept.push(server.into());
        sockopt::set_tcp_keepidle(&tuned, Duration::from_secs(61)).unwrap();
        sockopt::set_tcp_keepintvl(&tuned, Duration::from_secs(7)).unwrap();
        sockopt::set_tcp_keepcnt(&tuned, 5).unwrap();
        sockopt::set_tcp_user_timeout(&tuned, 20_000).unwrap();
        sockopt::set_socket_keepalive(&tuned, true).unwrap();

        let dual = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).unwrap();
        let port = dual.local_addr().unwrap().port();
        let ipv6 = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).unwrap();
        kept.push(dual.accept().unwrap().0.into());
        let mapped = mapped(port);
        kept.push(dual.accept().unwrap().0.into());
        kept.push(dual.into());

        let (half_closed, close_wait) = pair();
        half_closed.shutdown(std::net::Shutdown::Write).unwrap();

        let (blocked, server) = pair();
        fill(&blocked);
        kept.push(server.into());

        let (closing, server) = pair();
        fill(&closing);
        let fin_wait_1 = ports(&closing);
        drop(closing);
        kept.push(server.into());

        // An orphan lingers in FIN-WAIT-2 as a socket for what exceeds TIME-WAIT's minute.
        sh("sysctl -qw net.ipv4.tcp_fin_timeout=120");
        let (client, server) = pair();
        let lingering = ports(&client);
        client.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for("FIN-WAIT-2", || {
            let filter = format!("sport = :{}", lingering.0);
            let seen = sh(&format!("ss -Htn state fin-wait-2 '{filter}'"));
            (!seen.is_empty()).then_some(())
        });
        drop(client);
        kept.push(server.into());
        sh("sysctl -qw net.ipv4.tcp_fin_timeout=60");
        let (client, server) = pair();
        let fin_wait_2_entry = ports(&client);
        drop(client);
        kept.push(server.into());

        let (client, server) = pair();
        let time_wait = ports(&client);
        drop(client);
        drop(server);

        let waiting = TcpListener::bind("127.0.0.1:0").unwrap();
        let not_accepted = TcpStream::connect(waiting.local_addr().unwrap()).unwrap();
        kept.push(waiting.into());

        let deferred = TcpListener::bind("127.0.0.1:0").unwrap();
        defer_accept(&deferred);
        let client = TcpStream::connect(deferred.local_addr().unwrap()).unwrap();
        let (local, remote) = ports(&client);
        let request = (remote, local);
        kept.push(client.into());
        kept.push(deferred.into());

        let syn_sent = syn_sent(&mut kept);
        let mptcp = mptcp(&mut kept);
        Self {
            listener,
            plain,
            tuned,
            ipv6,
            mapped,
            half_closed,
            close_wait,
            blocked,
            not_accepted,
            mptcp,
            lingering,
            fin_wait_1,
            fin_wait_2_entry,
            time_wait,
            request,
            syn_sent,
            _kept: kept,
        }
    }
}

pub(crate) fn ports(stream: &TcpStream) -> Ports {
    let port = |addr: std::io::Result<SocketAddr>| addr.unwrap().port();
    (port(stream.local_addr()), port(stream.peer_addr()))
}

/// Writes until nothing more is taken.
fn fill(stream: &TcpStream) {
    stream.set_nonblocking(true).unwrap();
    let mut writer = stream;
    let error = loop {
        if let Err(error) = writer.write(&[b'x'; 65536]) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

fn socket(family: AddressFamily, protocol: rustix::net::Protocol) -> rustix::io::Result<OwnedFd> {
    rustix::net::socket_with(
        family,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(protocol),
    )
}

/// An IPv6 socket that is connected by IPv4; the standard library would make an IPv4 socket.
pub(crate) fn mapped(port: u16) -> TcpStream {
    let socket = socket(AddressFamily::INET6, ipproto::TCP).unwrap();
    let addr = std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let connected = rustix::net::connect(&socket, &SocketAddr::from((addr, port)));
    assert!(matches!(connected, Ok(()) | Err(Errno::INPROGRESS)));
    let stream = TcpStream::from(socket);
    stream.set_nonblocking(false).unwrap();
    stream
}

/// A connection to a listener whose queue is full: its SYN is dropped.
fn syn_sent(kept: &mut Vec<OwnedFd>) -> OwnedFd {
    let listener = socket(AddressFamily::INET, ipproto::TCP).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&listener, &any).unwrap();
    rustix::net::listen(&listener, 0).unwrap();
    let addr = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    kept.push(listener);
    loop {
        let client = socket(AddressFamily::INET, ipproto::TCP).unwrap();
        match rustix::net::connect(&client, &addr) {
            Ok(()) => kept.push(client),
            Err(Errno::INPROGRESS) => {
                if rustix::net::getpeername(&client).is_err() {
                    return client;
                }
                kept.push(client);
            }
            Err(errno) => panic!("connect: {errno}"),
        }
    }
}

fn mptcp(kept: &mut Vec<OwnedFd>) -> Option<TcpStream> {
    let listener = socket(AddressFamily::INET, ipproto::MPTCP)
        .inspect_err(|errno| eprintln!("SKIPPED: Multipath TCP is not available: {errno}"))
        .ok()?;
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    rustix::net::bind(&listener, &any).unwrap();
    rustix::net::listen(&listener, 1).unwrap();
    let addr = SocketAddr::try_from(rustix::net::getsockname(&listener).unwrap()).unwrap();
    let client = socket(AddressFamily::INET, ipproto::MPTCP).unwrap();
    let connected = rustix::net::connect(&client, &addr);
    assert!(matches!(connected, Ok(()) | Err(Errno::INPROGRESS)));
    sockopt::set_socket_keepalive(&client, true).unwrap();
    kept.push(rustix::net::accept(&listener).unwrap());
    kept.push(listener);
    Some(TcpStream::from(client))
}

/// Lets connections be complete only when data arrives, so that requests stay requests.
#[expect(unsafe_code, reason = "rustix lacks TCP_DEFER_ACCEPT")]
fn defer_accept(listener: impl AsFd) {
    use std::os::fd::AsRawFd;
    let seconds: libc::c_int = 30;
    // SAFETY: the descriptor is open, and the option's value is an int that outlives the call.
    let result = unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_DEFER_ACCEPT,
            (&raw const seconds).cast(),
            u32::try_from(size_of_val(&seconds)).unwrap(),
        )
    };
    assert_eq!(result, 0);
}
