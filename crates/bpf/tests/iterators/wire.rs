//! Devices, packets and socket options that only looks are tested with.

#![expect(unsafe_code, reason = "system calls that std does not offer")]

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use crate::common::*;

/// A TUN device with an address of its own; it ends with its file.
pub(crate) struct Device {
    pub(crate) tun: File,
    name: [libc::c_char; libc::IFNAMSIZ],
    pub(crate) index: u32,
}

impl Device {
    pub(crate) fn new() -> Self {
        const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
        let tun = File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .unwrap();
        // SAFETY: all zeros are a valid ifreq.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).unwrap();
        // SAFETY: the request is of the type that this ioctl reads and writes.
        check(unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETIFF, &raw mut request) });
        let name = request.ifr_name;
        let control = socket(libc::AF_INET, libc::SOCK_DGRAM, 0);
        let ask = |number, request: &mut libc::ifreq| {
            // SAFETY: the request is of the type that these ioctls read and write.
            check(unsafe { libc::ioctl(control.as_raw_fd(), number, &raw mut *request) });
        };
        request.ifr_ifru.ifru_addr = plain(&ipv4("192.0.2.1:0".parse().unwrap()));
        ask(libc::SIOCSIFADDR, &mut request);
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP).unwrap();
        ask(libc::SIOCSIFFLAGS, &mut request);
        ask(libc::SIOCGIFINDEX, &mut request);
        // SAFETY: the kernel has filled in this member.
        let index = unsafe { request.ifr_ifru.ifru_ifindex };
        Self {
            tun,
            name,
            index: u32::try_from(index).unwrap(),
        }
    }
}

const ADDRESS_LEN: libc::socklen_t = 16;

fn ipv4(at: SocketAddr) -> libc::sockaddr_in {
    let SocketAddr::V4(at) = at else {
        panic!("IPv4 only");
    };
    libc::sockaddr_in {
        sin_family: 2,
        sin_port: at.port().to_be(),
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(at.ip().octets()),
        },
        sin_zero: [0; 8],
    }
}

fn plain(address: &libc::sockaddr_in) -> libc::sockaddr {
    // SAFETY: both are of the same size, and of integers.
    unsafe { std::ptr::from_ref(address).cast::<libc::sockaddr>().read() }
}

/// A socket that is bound to the device and to an address.
pub(crate) fn bound(device: &Device, at: SocketAddr) -> OwnedFd {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    // SAFETY: the length is that of the name.
    check(unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            device.name.as_ptr().cast(),
            libc::socklen_t::try_from(device.name.len()).unwrap(),
        )
    });
    bind_to(&socket, at);
    socket
}

fn bind_to(socket: &OwnedFd, at: SocketAddr) {
    let address = ipv4(at);
    // SAFETY: the length is that of the address.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) });
}

pub(crate) fn connect_to(socket: &OwnedFd, to: SocketAddr) {
    let address = ipv4(to);
    // SAFETY: the length is that of the address.
    check(unsafe { libc::connect(socket.as_raw_fd(), (&raw const address).cast(), ADDRESS_LEN) });
}

/// A connection from an address and port that were in use before.
pub(crate) fn connect_from(from: SocketAddr, to: SocketAddr) -> TcpStream {
    let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
    set(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1);
    bind_to(&socket, from);
    connect_to(&socket, to);
    TcpStream::from(socket)
}

pub(crate) fn listen(socket: &impl AsRawFd) {
    // SAFETY: plain numbers.
    check(unsafe { libc::listen(socket.as_raw_fd(), 8) });
}

/// Gives segments to and from 127.0.0.1 a key (`TCP_MD5SIG`); whether the kernel can.
pub(crate) fn sign(socket: &impl AsRawFd) -> bool {
    const TCP_MD5SIG: i32 = 14;
    const KEY: &[u8] = b"secret";
    // struct tcp_md5sig: an address of 128 bytes, flags, prefix, length, interface, key.
    let mut option = [0u8; 128 + 8 + 80];
    option[..2].copy_from_slice(&2u16.to_ne_bytes());
    option[4..8].copy_from_slice(&[127, 0, 0, 1]);
    option[130..132].copy_from_slice(&u16::try_from(KEY.len()).unwrap().to_ne_bytes());
    option[136..136 + KEY.len()].copy_from_slice(KEY);
    // SAFETY: the length is that of the option.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_MD5SIG,
            option.as_ptr().cast(),
            libc::socklen_t::try_from(option.len()).unwrap(),
        )
    };
    answer == 0
}

/// Its close sends a reset, and leaves nothing.
pub(crate) fn reset_on_close(stream: &TcpStream) {
    let linger = libc::linger {
        l_onoff: 1,
        l_linger: 0,
    };
    // SAFETY: the length is that of the structure.
    check(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            8,
        )
    });
}

/// All packets of the namespace from now on, from their IP headers on.
pub(crate) fn packets() -> OwnedFd {
    const ETH_P_ALL: u16 = 3;
    socket(
        libc::AF_PACKET,
        libc::SOCK_DGRAM | libc::SOCK_NONBLOCK,
        i32::from(ETH_P_ALL.to_be()),
    )
}

pub(crate) fn receive(wire: &OwnedFd) -> Option<Vec<u8>> {
    let mut packet = vec![0; 256];
    // SAFETY: the length is that of the buffer.
    let len = unsafe {
        libc::recv(
            wire.as_raw_fd(),
            packet.as_mut_ptr().cast(),
            packet.len(),
            0,
        )
    };
    packet.truncate(usize::try_from(len).ok()?);
    Some(packet)
}
