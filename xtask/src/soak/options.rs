//! What getsockopt shows of a socket.

use std::net::TcpStream;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{self, Timeout};

/// All that a program can read of its socket and that neither traffic nor the kernel's own tuning
/// changes: `TCP_QUICKACK` and the sizes of buffers are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Options {
    keepalive: bool,
    pub(super) inherited: Inherited,
    user_timeout: u32,
    linger: Option<Duration>,
    nodelay: bool,
    cork: bool,
    congestion: String,
    thin_linear_timeouts: bool,
    ttl: u32,
    tos: u8,
    reuseaddr: bool,
    reuseport: bool,
    oobinline: bool,
    timeouts: [Option<Duration>; 2],
}

/// What a socket takes from its namespace as long as it has no value of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inherited {
    pub(super) idle: u64,
    pub(super) interval: u64,
    pub(super) probes: u32,
}

impl Options {
    /// Reads them.
    pub(super) fn of(socket: &TcpStream) -> Result<Self, Errno> {
        Ok(Self {
            keepalive: sockopt::socket_keepalive(socket)?,
            inherited: Inherited {
                idle: sockopt::tcp_keepidle(socket)?.as_secs(),
                interval: sockopt::tcp_keepintvl(socket)?.as_secs(),
                probes: sockopt::tcp_keepcnt(socket)?,
            },
            user_timeout: sockopt::tcp_user_timeout(socket)?,
            linger: sockopt::socket_linger(socket)?,
            nodelay: sockopt::tcp_nodelay(socket)?,
            cork: sockopt::tcp_cork(socket)?,
            congestion: sockopt::tcp_congestion(socket)?,
            thin_linear_timeouts: sockopt::tcp_thin_linear_timeouts(socket)?,
            ttl: sockopt::ip_ttl(socket)?,
            tos: sockopt::ip_tos(socket)?,
            reuseaddr: sockopt::socket_reuseaddr(socket)?,
            reuseport: sockopt::socket_reuseport(socket)?,
            oobinline: sockopt::socket_oobinline(socket)?,
            timeouts: [
                sockopt::socket_timeout(socket, Timeout::Recv)?,
                sockopt::socket_timeout(socket, Timeout::Send)?,
            ],
        })
    }
}

/// What a program has set on its sockets: one in four each. None lets the kernel itself ask or give
/// up within a soak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Set {
    Nothing,
    Keepalive,
    Own,
    UserTimeout,
}

impl Set {
    pub(super) const fn of(number: usize) -> Self {
        match number % 4 {
            0 => Self::Nothing,
            1 => Self::Keepalive,
            2 => Self::Own,
            _ => Self::UserTimeout,
        }
    }

    pub(super) fn apply(self, socket: &TcpStream) -> Result<(), Errno> {
        match self {
            Self::Nothing => Ok(()),
            Self::Keepalive => sockopt::set_socket_keepalive(socket, true),
            Self::Own => {
                sockopt::set_socket_keepalive(socket, true)?;
                sockopt::set_tcp_keepidle(socket, Duration::from_secs(7_000))?;
                sockopt::set_tcp_keepintvl(socket, Duration::from_secs(61))?;
                sockopt::set_tcp_keepcnt(socket, 11)
            }
            // Two hours in milliseconds: it waits for acknowledgements, and a window may be closed.
            Self::UserTimeout => sockopt::set_tcp_user_timeout(socket, 7_200_000),
        }
    }

    pub(super) fn inherits(self) -> bool {
        self != Self::Own
    }
}
