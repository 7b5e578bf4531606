//! TCP sockets through `NETLINK_SOCK_DIAG` (sock_diag(7)).
//!
//! inet_diag shows every socket of **one** network namespace: that in which the netlink socket was
//! opened. It tells identity, state, one pending timer, queues and, on request, `struct tcp_info`;
//! it does not tell the keepalive settings. It needs no privilege; without `CAP_NET_ADMIN` the
//! kernel leaves out some attributes (the upper layer protocol, on older kernels, by which Multipath
//! TCP is recognised).
//!
//! [`Socket::destroy()`] is the only thing here that changes anything.
//!
//! A socket belongs to the namespace in which it was made, which need not be the one that its
//! process is in. Reading every namespace that a process or a mount holds finds those too.

use std::net::IpAddr;
use std::ops::ControlFlow;

use sockpulse_core::{Family, SocketId, TcpState};

pub use crate::netlink::DumpEnd;
pub use memory::Memory;
pub use message::{DiagMessage, Messages, SocketFlags, messages};

use crate::error::Result;
use crate::netlink::Netlink;
use wire::{Be16, Ne32, OldRequest, Request, SockId};

mod connection;
mod destroy;
mod memory;
mod message;
mod wire;

/// Whether `struct tcp_info` is wanted: it doubles the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpInfo {
    /// With silence, probes, retransmissions, and whether it is a subflow of Multipath TCP.
    With,
    /// Identity, state, timer, queues only. Subflows of Multipath TCP look like other sockets: the
    /// kernel tells the upper layer protocol only together with tcp_info.
    Without,
}

/// A set of TCP states, as the kernel's bitmap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct States(u32);

impl States {
    /// Every state, connection requests (`TCP_NEW_SYN_RECV`) included. Sockets that are bound and
    /// not connected are no connections and are left out.
    pub const ALL: Self = Self(0x1ffe);

    /// One state; SYN-RECEIVED stands for requests too.
    #[must_use]
    pub const fn only(state: TcpState) -> Self {
        let bit = 1 << state as u8;
        Self(match state {
            TcpState::SynReceived => bit | 1 << 12,
            _ => bit,
        })
    }

    /// Both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// All states but those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// What to dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// The address family; IPv4-mapped connections are IPv6 sockets.
    pub family: Family,
    /// States of interest; the kernel filters.
    pub states: States,
    /// With or without tcp_info.
    pub info: TcpInfo,
}

/// A `NETLINK_SOCK_DIAG` socket. It reads the namespace in which it was opened, also when another
/// thread uses it.
#[derive(Debug)]
pub struct Socket {
    netlink: Netlink,
}

const DUMP: &str = "dump TCP sockets through inet_diag";
const LOOKUP: &str = "look up a TCP socket through inet_diag";

impl Socket {
    /// Opens a socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System): a sandbox may forbid netlink.
    pub fn open() -> Result<Self> {
        let protocol = Some(rustix::net::netlink::SOCK_DIAG);
        let netlink = Netlink::open(protocol, "a NETLINK_SOCK_DIAG socket")?;
        Ok(Self { netlink })
    }

    /// Hands out the answer datagram by datagram, as received; [`messages()`] reads them. The
    /// receiver may end the dump.
    ///
    /// # Errors
    /// [`Error::Refused`](crate::Error::Refused) when the kernel refuses (no inet_diag: `ENOENT`);
    /// [`Error::System`](crate::Error::System) with `ENOBUFS` when it ran out of memory in the
    /// middle: open a new socket then.
    pub fn dump(
        &mut self,
        query: &Query,
        batch: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<DumpEnd> {
        let request = Request {
            states: query.states.0,
            ..request(
                family_number(query.family),
                extensions(query.info),
                SockId::ANY,
            )
        };
        self.netlink
            .dump(DUMP, wire::SOCK_DIAG_BY_FAMILY, &request, batch)
    }

    /// Both families in one dump. The kernel keeps them in one table and walks all of it for either,
    /// so this takes half the time of two dumps.
    ///
    /// # Errors
    /// As for [`Self::dump()`].
    pub fn dump_both(
        &mut self,
        states: States,
        info: TcpInfo,
        batch: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<DumpEnd> {
        // Only the request that predates SOCK_DIAG_BY_FAMILY leaves the family open
        // (`inet_diag_dump_compat()`); ss(8) uses it too.
        let request = OldRequest {
            family: 0,
            source_length: 0,
            destination_length: 0,
            extensions: extensions(info),
            id: SockId::ANY,
            states: states.0,
            dbs: 0,
        };
        self.netlink
            .dump(DUMP, wire::TCPDIAG_GETSOCK, &request, batch)
    }

    /// Asks for one socket. The kernel compares the cookie, so that a later connection between the
    /// same ends is not taken for it; a cookie of 0 stands for whichever socket it is. The bytes are read by [`messages()`]; `None` when it is gone.
    /// `ifindex` is the device that the socket is bound to, 0 for none.
    ///
    /// # Errors
    /// As for [`Self::dump()`].
    pub fn lookup(
        &mut self,
        id: &SocketId,
        ifindex: u32,
        info: TcpInfo,
    ) -> Result<Option<Vec<u8>>> {
        let request = one(id, ifindex, extensions(info));
        self.netlink
            .ask(LOOKUP, wire::SOCK_DIAG_BY_FAMILY, &request)
    }
}

/// A request about one socket.
fn one(id: &SocketId, ifindex: u32, extensions: u8) -> Request {
    let (family, src) = address(id.local.addr);
    let (_, dst) = address(id.remote.addr);
    // A cookie of all ones is not compared (INET_DIAG_NOCOOKIE).
    let cookie = if id.cookie.0 == 0 {
        u64::MAX
    } else {
        id.cookie.0
    };
    let [a, b, c, d, e, f, g, h] = cookie.to_le_bytes();
    let id = SockId {
        sport: Be16::new(id.local.port),
        dport: Be16::new(id.remote.port),
        src,
        dst,
        ifindex: Ne32::new(ifindex),
        cookie: [
            Ne32::new(u32::from_le_bytes([a, b, c, d])),
            Ne32::new(u32::from_le_bytes([e, f, g, h])),
        ],
    };
    request(family, extensions, id)
}

const fn family_number(family: Family) -> u8 {
    match family {
        Family::Ipv4 => wire::AF_INET,
        Family::Ipv6 => wire::AF_INET6,
    }
}

fn address(addr: IpAddr) -> (u8, [u8; 16]) {
    match addr {
        IpAddr::V4(addr) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&addr.octets());
            (wire::AF_INET, bytes)
        }
        IpAddr::V6(addr) => (wire::AF_INET6, addr.octets()),
    }
}

const fn extensions(info: TcpInfo) -> u8 {
    match info {
        TcpInfo::With => 1 << (wire::INFO - 1),
        TcpInfo::Without => 0,
    }
}

const fn request(family: u8, extensions: u8, id: SockId) -> Request {
    Request {
        family,
        protocol: wire::IPPROTO_TCP,
        extensions,
        pad: 0,
        states: States::ALL.0,
        id,
    }
}
