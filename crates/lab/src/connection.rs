//! The connection under test: how it comes about, and the other end.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use sockpulse_core::Family;

use crate::error::{Error, Result};
use crate::host::Host;
use crate::settings::Settings;
use crate::sys::{TcpInfo, tcp_info};
use crate::topology::Topology;

/// The server's port.
pub(crate) const PORT: u16 = 7000;
/// How long anything that should happen at once is waited for.
const LIMIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(1);
/// Small, so that it is full soon.
const SMALL_BUFFER: usize = 4096;

/// What the server's program does with what it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// It read what there was, and waits.
    Waiting,
    /// It reads nothing, with a small buffer.
    Deaf,
}

/// Both ends of an established connection.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The end that is watched.
    pub(crate) near: TcpStream,
    /// The other end, as long as this process holds it.
    pub(crate) far: Option<TcpStream>,
}

/// A listener on the server.
pub(crate) fn listen(server: &Host, family: Family, reader: Reader) -> Result<TcpListener> {
    let address = SocketAddr::new(Topology::address(family), PORT);
    let bound = server.run(move || -> std::io::Result<TcpListener> {
        let listener = TcpListener::bind(address)?;
        if reader == Reader::Deaf {
            sockopt::set_socket_recv_buffer_size(&listener, SMALL_BUFFER)?;
        }
        Ok(listener)
    });
    bound.map_err(Error::system("listen on the server"))
}

/// A socket of the client with the settings, not yet connected.
pub(crate) fn socket(client: &Host, family: Family, settings: Settings) -> Result<OwnedFd> {
    let domain = match family {
        Family::Ipv4 => AddressFamily::INET,
        Family::Ipv6 => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = client
        .run(move || socket_with(domain, SocketType::STREAM, flags, None))
        .map_err(Error::system("open a socket on the client"))?;
    settings.apply(&socket)?;
    Ok(socket)
}

/// Sends the SYN and does not wait.
pub(crate) fn begin_to_connect(socket: &OwnedFd, to: IpAddr) -> Result<()> {
    match connect(socket, &SocketAddr::new(to, PORT)) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(()),
        Err(errno) => Err(Error::system("connect to the server")(errno)),
    }
}

/// Connects, and does no more.
pub(crate) fn connected(client: &Host, family: Family, settings: Settings) -> Result<TcpStream> {
    let socket = socket(client, family, settings)?;
    begin_to_connect(&socket, Topology::address(family))?;
    let mut polled = [PollFd::new(&socket, PollFlags::OUT)];
    let limit = Timespec::try_from(LIMIT).expect("some seconds");
    poll(&mut polled, Some(&limit)).map_err(Error::system("wait for a connection"))?;
    let stream = TcpStream::from(socket);
    let ended = stream
        .take_error()
        .map_err(Error::system("connect to the server"))?;
    if let Some(error) = ended {
        return Err(Error::system("connect to the server")(error));
    }
    if stream.peer_addr().is_err() {
        return Err(late("a connection"));
    }
    stream
        .set_nonblocking(false)
        .map_err(Error::system("set a socket to blocking"))?;
    Ok(stream)
}

impl Pair {
    /// Connects, and waits until a byte each way is acknowledged: middleboxes take such a
    /// connection for a proper one, and nothing is left to be sent.
    pub(crate) fn open(
        topology: &Topology,
        family: Family,
        reader: Reader,
        settings: Settings,
    ) -> Result<Self> {
        let listener = listen(&topology.server, family, reader)?;
        let near = connected(&topology.client, family, settings)?;
        let (far, _) = listener
            .accept()
            .map_err(Error::system("accept a connection"))?;
        let pair = Self {
            near,
            far: Some(far),
        };
        pair.exchange().map_err(Error::system("exchange a byte"))?;
        pair.wait_until("acknowledged bytes", |near, far| {
            near.unacked == 0 && far.unacked == 0
        })?;
        Ok(pair)
    }

    fn exchange(&self) -> std::io::Result<()> {
        let mut far = self.far.as_ref().ok_or(Errno::BADF)?;
        let mut near = &self.near;
        for end in [near, far] {
            end.set_read_timeout(Some(LIMIT))?;
            end.set_nodelay(true)?;
        }
        let mut byte = [0];
        near.write_all(b"?")?;
        far.read_exact(&mut byte)?;
        far.write_all(b"!")?;
        near.read_exact(&mut byte)
    }

    fn wait_until(
        &self,
        event: &'static str,
        holds: impl Fn(&TcpInfo, &TcpInfo) -> bool,
    ) -> Result<()> {
        let far = self.far.as_ref().ok_or(Errno::BADF);
        let far = far.map_err(Error::system("hold the server's end"))?;
        until(event, || {
            Ok(holds(&info(&self.near)?, &info(far)?).then_some(()))
        })
    }

    /// Hands the server's end to a process of its own, which reads nothing.
    pub(crate) fn hand_over(&mut self, server: &Host) -> Result<Child> {
        let far = self.far.take().ok_or(Errno::BADF);
        let far = OwnedFd::from(far.map_err(Error::system("hold the server's end"))?);
        server.start("sleep", &["86400"], far)
    }

    /// Writes until the peer's window is closed, and tells since when it is.
    pub(crate) fn fill(&self) -> Result<Instant> {
        self.stuff()?;
        until("a closed window", || {
            let now = Instant::now();
            let info = info(&self.near)?;
            let closed = info.unacked == 0 && info.not_sent > 0 && info.probes == 0;
            Ok(closed.then(|| now - info.silence))
        })
    }

    /// Writes as much as the kernel takes.
    pub(crate) fn stuff(&self) -> Result<()> {
        let chunk = [0; 16 * 1024];
        self.near
            .set_nonblocking(true)
            .map_err(Error::system("set a socket to nonblocking"))?;
        loop {
            match (&self.near).write(&chunk) {
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(Error::system("write to the server")(error)),
            }
        }
        self.near
            .set_nonblocking(false)
            .map_err(Error::system("set a socket to blocking"))
    }
}

/// What the kernel says of a socket.
pub(crate) fn info(socket: impl AsFd) -> Result<TcpInfo> {
    tcp_info(socket).map_err(Error::system("read TCP_INFO"))
}

/// When the peer was heard last.
pub(crate) fn last_heard(socket: impl AsFd) -> Result<Instant> {
    let now = Instant::now();
    Ok(now - info(socket)?.silence)
}

/// Looks again and again until there is something.
pub(crate) fn until<T>(
    event: &'static str,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(late(event));
        }
        std::thread::park_timeout(STEP);
    }
}

const fn late(event: &'static str) -> Error {
    Error::Late {
        event,
        seconds: LIMIT.as_secs(),
    }
}
