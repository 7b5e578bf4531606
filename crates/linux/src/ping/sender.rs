//! Sends keepalive probes through raw sockets.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with, sockopt};
use sockpulse_core::Family;
use sockpulse_core::ping::Segment;

use super::sys::{self, Way};
use crate::error::{Error, Operation, Result};

/// Whether a probe left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// It is on its way.
    Left,
    /// The device's queue is full: try again in a moment. Nothing was sent.
    NotNow,
}

/// Raw sockets in one network namespace (raw(7)), through which whole packets leave. They receive
/// nothing, and no connection is touched.
///
/// A packet takes the way that the connection's own would take as far as that is known: by the source
/// address, the device that the socket is bound to and its mark. Rules that go by the
/// user (`ip rule … uidrange`), by the cgroup or by ports may send it elsewhere.
#[derive(Debug)]
pub struct Sender {
    ipv4: OwnedFd,
    /// `None` where the kernel has no IPv6.
    ipv6: Option<OwnedFd>,
    /// The device to which the socket of IPv6 is bound, whose routes are followed strictly only then
    /// (`ip6_route_output_flags()`); 0 for none.
    bound: u32,
}

impl Sender {
    /// For the calling thread's network namespace. Sockets stay in it, so that the sender may be used
    /// on any thread.
    ///
    /// # Errors
    /// [`Error::System`] with `EPERM` without `CAP_NET_RAW` in the user namespace that owns the network
    /// namespace.
    pub fn open() -> Result<Self> {
        let ipv4 = raw(AddressFamily::INET).map_err(|errno| failed("a raw socket", errno))?;
        let ipv6 = match raw(AddressFamily::INET6) {
            Ok(socket) => {
                // What a transparent proxy holds does not have an address of this host.
                sockopt::set_ipv6_freebind(&socket, true)
                    .map_err(|errno| Error::system(Operation::SetOption, "IPV6_FREEBIND", errno))?;
                Some(socket)
            }
            Err(Errno::AFNOSUPPORT) => None,
            Err(errno) => return Err(failed("a raw socket of IPv6", errno)),
        };
        Ok(Self {
            ipv4,
            ipv6,
            bound: 0,
        })
    }

    /// Sends the probe through the device with this number, or by the routes if that is 0.
    ///
    /// The kernel fills in the identification and the checksum of an IPv4 header; in IPv6 nothing
    /// (raw(7)). A mark needs `CAP_NET_RAW` since 5.17 and `CAP_NET_ADMIN` before.
    ///
    /// # Errors
    /// [`Error::System`]: `EPERM` when a rule of the packet filter drops it, `ENETUNREACH` and its like
    /// when no route is there, `ENODEV` or `ENXIO` when the device is gone.
    pub fn send(&mut self, segment: &Segment, ifindex: u32) -> Result<Sent> {
        let way = Way {
            source: segment.source(),
            destination: segment.destination(),
            ifindex,
            mark: segment.mark(),
        };
        let sent = match segment.family() {
            Family::Ipv4 => sys::send(&self.ipv4, segment.as_bytes(), &way),
            Family::Ipv6 => self
                .bound_to(ifindex)
                .and_then(|socket| sys::send(socket, segment.as_bytes(), &way)),
        };
        match sent {
            Ok(()) => Ok(Sent::Left),
            Err(Errno::AGAIN | Errno::NOBUFS | Errno::INTR) => Ok(Sent::NotNow),
            Err(errno) => {
                let object = format!("a probe to {}", segment.destination());
                Err(Error::system(Operation::Send, object, errno))
            }
        }
    }
}

impl Sender {
    /// The socket of IPv6, bound to the device.
    fn bound_to(&mut self, ifindex: u32) -> Result<BorrowedFd<'_>, Errno> {
        let socket = self.ipv6.as_ref().ok_or(Errno::AFNOSUPPORT)?;
        if self.bound != ifindex {
            let index = i32::try_from(ifindex).map_err(|_| Errno::NODEV)?;
            let (level, option) = (libc::SOL_SOCKET, libc::SO_BINDTOIFINDEX);
            crate::raw::set_option(socket, level, option, index)?;
            self.bound = ifindex;
        }
        Ok(socket.as_fd())
    }
}

/// `IPPROTO_RAW` implies that packets bring their header, and that nothing is received.
fn raw(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::RAW, flags, Some(ipproto::RAW))
}

fn failed(object: &str, errno: Errno) -> Error {
    Error::system(Operation::OpenSocket, object, errno)
}
