//! Hears what routers and hosts say of probes that they could not deliver (RFC 792, RFC 4443).

use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, recvfrom, socket_with,
};
use sockpulse_core::End;
use sockpulse_core::ping::Unreachable;

use crate::error::{Error, Operation, Result};
use crate::raw;

/// Somebody said that a segment went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The end here, as the segment named it; an IPv4-mapped connection's is of IPv4.
    pub local: End,
    /// The end there.
    pub remote: End,
    /// The sequence number of the segment, by which a probe can be told from other traffic.
    pub seq: u32,
    /// Who said so, and what.
    pub unreachable: Unreachable,
}

/// Raw sockets that receive "destination unreachable" of ICMP and ICMPv6 in one network namespace,
/// and nothing else.
#[derive(Debug)]
pub struct Ear {
    ipv4: OwnedFd,
    /// `None` where the kernel has no IPv6.
    ipv6: Option<OwnedFd>,
}

/// The type of "destination unreachable".
const UNREACHABLE: u8 = 3;
const UNREACHABLE6: u8 = 1;
const TCP: u8 = 6;
/// Longer than any header with what is quoted of the packet.
const BUFFER: usize = 2048;

impl Ear {
    /// For the calling thread's network namespace.
    ///
    /// # Errors
    /// [`Error::System`] with `EPERM` without `CAP_NET_RAW` in the user namespace that owns the network
    /// namespace.
    pub fn open() -> Result<Self> {
        let ipv4 = icmp(AddressFamily::INET).map_err(|errno| failed("a socket of ICMP", errno))?;
        // A bit for each type that is *not* let through (raw(7)).
        let filter = !(1_u32 << UNREACHABLE);
        raw::set_bytes(&ipv4, SOL_RAW, ICMP_FILTER, &filter.to_ne_bytes())
            .map_err(|errno| Error::system(Operation::SetOption, "ICMP_FILTER", errno))?;
        let ipv6 = match icmp(AddressFamily::INET6) {
            Ok(socket) => {
                raw::set_bytes(&socket, libc::IPPROTO_ICMPV6, ICMP6_FILTER, &filter6())
                    .map_err(|errno| Error::system(Operation::SetOption, "ICMP6_FILTER", errno))?;
                Some(socket)
            }
            Err(Errno::AFNOSUPPORT) => None,
            Err(errno) => return Err(failed("a socket of ICMPv6", errno)),
        };
        Ok(Self { ipv4, ipv6 })
    }

    /// What was said and not yet heard; `None` when there is nothing more. Never waits.
    pub fn hear(&self) -> Option<Heard> {
        let four = receive(self.ipv4.as_fd(), Heard::parse);
        four.or_else(|| receive(self.ipv6.as_ref()?.as_fd(), Heard::parse6))
    }
}

impl Heard {
    /// A message of ICMP behind its IP header.
    fn parse(bytes: &[u8], from: IpAddr) -> Option<Self> {
        let (_, message) = ipv4(bytes)?;
        let code = said(message, UNREACHABLE)?;
        let quoted = message.get(8..)?;
        let (header, segment) = ipv4(quoted)?;
        // A later fragment has no ports.
        let first = u16::from_be_bytes(*header.get(6..)?.first_chunk()?) & 0x1fff == 0;
        if header.get(9) != Some(&TCP) || !first {
            return None;
        }
        let address = |at: usize| Some(IpAddr::from(*header.get(at..)?.first_chunk::<4>()?));
        Self::about(address(12)?, address(16)?, segment, from, code)
    }

    /// A message of ICMPv6, which comes without its IP header.
    fn parse6(message: &[u8], from: IpAddr) -> Option<Self> {
        let code = said(message, UNREACHABLE6)?;
        let header = message.get(8..)?;
        // Our probes have no extension headers.
        if header.first()? >> 4 != 6 || header.get(6) != Some(&TCP) {
            return None;
        }
        let address = |at: usize| Some(IpAddr::from(*header.get(at..)?.first_chunk::<16>()?));
        Self::about(address(8)?, address(24)?, header.get(40..)?, from, code)
    }

    fn about(local: IpAddr, remote: IpAddr, tcp: &[u8], from: IpAddr, code: u8) -> Option<Self> {
        let port = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
        Some(Self {
            local: End {
                addr: local,
                port: port(0)?,
            },
            remote: End {
                addr: remote,
                port: port(2)?,
            },
            seq: u32::from_be_bytes(*tcp.get(4..)?.first_chunk()?),
            unreachable: Unreachable { from, code },
        })
    }
}

const SOL_RAW: libc::c_int = 255;
const ICMP_FILTER: libc::c_int = 1;
const ICMP6_FILTER: libc::c_int = 1;

/// 256 bits, a set one for each type that is *not* let through (`ICMP6_FILTER`, RFC 3542 3.2).
fn filter6() -> [u8; 32] {
    let mut words = [u32::MAX; 8];
    words[0] = !(1 << UNREACHABLE6);
    let mut bytes = [0; 32];
    for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn icmp(family: AddressFamily) -> Result<OwnedFd, Errno> {
    let protocol = if family == AddressFamily::INET {
        ipproto::ICMP
    } else {
        ipproto::ICMPV6
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(family, SocketType::RAW, flags, Some(protocol))
}

fn failed(object: &str, errno: Errno) -> Error {
    Error::system(Operation::OpenSocket, object, errno)
}

/// The next message that is understood.
fn receive(
    socket: BorrowedFd<'_>,
    parse: impl Fn(&[u8], IpAddr) -> Option<Heard>,
) -> Option<Heard> {
    let mut buffer = [MaybeUninit::uninit(); BUFFER];
    loop {
        let (message, from) = match recvfrom(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok(((message, _), _, from)) => (message, from),
            Err(Errno::INTR) => continue,
            Err(_) => return None,
        };
        let from = from.and_then(|from| SocketAddr::try_from(from).ok());
        let heard = from.and_then(|from| parse(message, from.ip()));
        if heard.is_some() {
            return heard;
        }
    }
}

/// Splits a packet of IPv4 behind its header.
fn ipv4(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let first = *bytes.first()?;
    let length = usize::from(first & 0x0f) * 4;
    if first >> 4 != 4 || length < 20 {
        return None;
    }
    bytes.split_at_checked(length)
}

/// The code, if the message is of this type.
fn said(message: &[u8], kind: u8) -> Option<u8> {
    match message {
        [found, code, ..] if *found == kind => Some(*code),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    /// 10.0.0.1 says to 10.0.0.2 that its segment to 10.9.9.9:7000 went no further.
    fn unreachable() -> Vec<u8> {
        let mut bytes = header([10, 0, 0, 1], [10, 0, 0, 2], 1);
        bytes.extend([UNREACHABLE, 13, 0, 0, 0, 0, 0, 0]);
        bytes.extend(header([10, 0, 0, 2], [10, 9, 9, 9], TCP));
        bytes.extend(segment());
        bytes
    }

    fn header(from: [u8; 4], to: [u8; 4], protocol: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        bytes.extend(from);
        bytes.extend(to);
        bytes
    }

    fn segment() -> Vec<u8> {
        let mut bytes = 40_000u16.to_be_bytes().to_vec();
        bytes.extend(7_000u16.to_be_bytes());
        bytes.extend(0x0102_0304u32.to_be_bytes());
        bytes
    }

    #[test]
    fn what_a_router_says_is_understood() {
        let heard = Heard::parse(&unreachable(), ROUTER).unwrap();
        assert_eq!(heard.local.to_string(), "10.0.0.2:40000");
        assert_eq!(heard.remote.to_string(), "10.9.9.9:7000");
        assert_eq!(heard.seq, 0x0102_0304);
        let (from, code) = (ROUTER, 13);
        assert_eq!(heard.unreachable, Unreachable { from, code });
    }

    #[test]
    fn icmpv6_comes_without_its_header() {
        let mut bytes = vec![UNREACHABLE6, 3, 0, 0, 0, 0, 0, 0];
        bytes.extend([0x60, 0, 0, 0, 0, 20, TCP, 64]);
        bytes.extend([0xfd; 32]);
        bytes.extend(segment());
        let heard = Heard::parse6(&bytes, ROUTER).unwrap();
        assert_eq!(heard.remote.port, 7_000);
        assert_eq!(heard.unreachable.code, 3);
        for length in 0..bytes.len() {
            assert_eq!(Heard::parse6(&bytes[..length], ROUTER), None, "{length}");
        }
    }

    #[test]
    fn what_is_cut_off_or_about_something_else_is_not_heard() {
        let bytes = unreachable();
        for length in 0..bytes.len() {
            assert_eq!(Heard::parse(&bytes[..length], ROUTER), None, "{length}");
        }
        // Another type; a datagram of UDP; a later fragment; a header of two words.
        for (at, byte) in [(20, 11), (28 + 9, 17), (28 + 7, 1), (0, 0x42), (28, 0x42)] {
            let mut other = bytes.clone();
            other[at] = byte;
            assert_eq!(Heard::parse(&other, ROUTER), None, "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_may_come(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..128)) {
            let _ = Heard::parse(&bytes, ROUTER);
            let _ = Heard::parse6(&bytes, ROUTER);
        }
    }
}
