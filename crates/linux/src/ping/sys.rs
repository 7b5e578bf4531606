//! sendmsg(2) with what rustix cannot say beside a packet: where it comes from, through which device,
//! with which mark.

#![expect(
    unsafe_code,
    reason = "rustix has no control messages of IP_PKTINFO, IPV6_PKTINFO and SO_MARK"
)]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use rustix::io::Errno;

/// What a packet goes by on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// The device; 0 for what the routes say.
    pub(super) ifindex: u32,
    pub(super) mark: u32,
}

/// Sends a packet that has its own IP header.
pub(super) fn send(socket: impl AsFd, packet: &[u8], way: &Way) -> Result<(), Errno> {
    let mut control = Control::new();
    control.way(way);
    let mut piece = libc::iovec {
        iov_base: packet.as_ptr().cast_mut().cast(),
        iov_len: packet.len(),
    };
    // SAFETY: msghdr holds numbers and pointers, for which zeroes are valid.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = &raw mut piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes.as_mut_ptr().cast();
    message.msg_controllen = control.length;
    let (mut four, mut six);
    match way.destination {
        IpAddr::V4(address) => {
            four = ipv4(address);
            message.msg_name = (&raw mut four).cast();
            message.msg_namelen = length_of::<libc::sockaddr_in>();
        }
        IpAddr::V6(address) => {
            six = ipv6(address, way.ifindex);
            message.msg_name = (&raw mut six).cast();
            message.msg_namelen = length_of::<libc::sockaddr_in6>();
        }
    }
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: every pointer of the message is to memory that lives across the call, with its length.
    let sent = unsafe { libc::sendmsg(fd, &raw const message, flags) };
    if sent < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    Ok(())
}

fn ipv4(address: Ipv4Addr) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: family(libc::AF_INET),
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(address.octets()),
        },
        sin_zero: [0; 8],
    }
}

fn ipv6(address: Ipv6Addr, ifindex: u32) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: family(libc::AF_INET6),
        sin6_port: 0,
        sin6_flowinfo: 0,
        sin6_addr: libc::in6_addr {
            s6_addr: address.octets(),
        },
        // Only what is local to a link needs it; for the rest it has to be the device, if anything.
        sin6_scope_id: ifindex,
    }
}

fn family(number: libc::c_int) -> libc::sa_family_t {
    libc::sa_family_t::try_from(number).expect("address families are small numbers")
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).expect("socket structures are small")
}

/// Control messages as the kernel reads them (cmsg(3)): a header of length, level and type, the
/// content, zeros up to a whole word.
#[repr(align(8))]
struct Control {
    bytes: [u8; 64],
    length: usize,
}

const HEADER: usize = size_of::<libc::cmsghdr>();

impl Control {
    const fn new() -> Self {
        Self {
            bytes: [0; 64],
            length: 0,
        }
    }

    fn way(&mut self, way: &Way) {
        let ifindex = way.ifindex.to_ne_bytes();
        match way.source {
            IpAddr::V4(source) => {
                // in_pktinfo: device, the address to send from, one that only receiving fills in.
                let mut info = [0; 12];
                info[..4].copy_from_slice(&ifindex);
                info[4..8].copy_from_slice(&source.octets());
                self.put(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(source) => {
                // in6_pktinfo: the address to send from, device.
                let mut info = [0; 20];
                info[..16].copy_from_slice(&source.octets());
                info[16..].copy_from_slice(&ifindex);
                self.put(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
        if way.mark != 0 {
            self.put(libc::SOL_SOCKET, libc::SO_MARK, &way.mark.to_ne_bytes());
        }
    }

    fn put(&mut self, level: libc::c_int, kind: libc::c_int, content: &[u8]) {
        let length = HEADER + content.len();
        let to = &mut self.bytes[self.length..];
        to[..8].copy_from_slice(&length.to_ne_bytes());
        to[HEADER - 8..HEADER - 4].copy_from_slice(&level.to_ne_bytes());
        to[HEADER - 4..HEADER].copy_from_slice(&kind.to_ne_bytes());
        to[HEADER..length].copy_from_slice(content);
        self.length += length.next_multiple_of(size_of::<usize>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_messages_are_laid_out_as_the_kernel_reads_them() {
        let mut control = Control::new();
        control.way(&Way {
            source: Ipv6Addr::LOCALHOST.into(),
            destination: Ipv6Addr::LOCALHOST.into(),
            ifindex: 7,
            mark: 9,
        });
        let word = |at: usize| i32::from_ne_bytes(*control.bytes[at..].first_chunk().unwrap());
        assert_eq!(control.length, 40 + 24);
        assert_eq!((word(0), word(8), word(12)), (36, 41, 50));
        assert_eq!((control.bytes[31], word(32)), (1, 7));
        assert_eq!((word(40), word(48), word(52), word(56)), (20, 1, 36, 9));
    }
}
