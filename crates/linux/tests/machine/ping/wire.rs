//! What goes over the wire of a test's namespace: raw sockets receive a copy of every segment of TCP.

use std::io::{Read, Write};
use std::mem::MaybeUninit;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, ipproto, recv, socket_with};
use sockpulse_core::ping::{Glance, Timestamps};
use sockpulse_core::{Cookie, End, Family};
use sockpulse_linux::{ping, sockopt};

use crate::common::wait_for;
use crate::scene::mapped;

/// Both ends of a connection over loopback, with what a probe of the near one needs.
pub(super) struct Pair {
    pub(super) near: TcpStream,
    pub(super) far: TcpStream,
    numbers: Numbers,
}

/// Sequence numbers, window and timestamps, which the kernel tells nobody without BPF.
#[derive(Debug, Clone, Copy, Default)]
struct Numbers {
    snd_una: u32,
    rcv_nxt: u32,
    window: u16,
    timestamps: Option<Timestamps>,
}

/// One end's last segment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    pub(super) length: u32,
    pub(super) timestamps: Option<Timestamps>,
    /// Type of service, flags and time to live; raw sockets of IPv6 do not tell.
    pub(super) header: Option<(u8, u8, u8)>,
}

/// Which socket is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    V4,
    V6,
    Mapped,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];
}

impl Pair {
    /// Connects, exchanges a byte each way, and reads along.
    pub(super) fn open(kind: Kind) -> Self {
        let wire = Wire::open(kind);
        let any: SocketAddr = match kind {
            Kind::V4 => "127.0.0.1:0".parse().unwrap(),
            Kind::V6 => (Ipv6Addr::LOCALHOST, 0).into(),
            Kind::Mapped => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let listener = TcpListener::bind(any).unwrap();
        let address = listener.local_addr().unwrap();
        let mut near = match kind {
            Kind::Mapped => mapped(address.port()),
            _ => TcpStream::connect(address).unwrap(),
        };
        let (mut far, _) = listener.accept().unwrap();
        let mut byte = [0];
        near.write_all(b"?").unwrap();
        far.read_exact(&mut byte).unwrap();
        far.write_all(b"!").unwrap();
        near.read_exact(&mut byte).unwrap();
        wait_for("acknowledged bytes", || {
            let idle = |end: &TcpStream| ping::glance(end).unwrap().unacked == 0;
            (idle(&near) && idle(&far)).then_some(())
        });
        let (port, other) = (end(&near, Side::Local).port, address.port());
        let mut numbers = Numbers::default();
        for segment in wire.take() {
            if (segment.from, segment.to) == (port, other) {
                numbers.snd_una = segment.seq.wrapping_add(segment.length);
                numbers.window = segment.window;
            } else if (segment.from, segment.to) == (other, port) {
                numbers.rcv_nxt = segment.seq.wrapping_add(segment.length);
                // Two clocks of one connection: ours was echoed last by the peer.
                numbers.timestamps = segment.timestamps.map(|theirs| Timestamps {
                    value: theirs.echo,
                    echo: theirs.value,
                });
            }
        }
        Self { near, far, numbers }
    }

    /// The near end at this moment.
    pub(super) fn glance(&self) -> Glance {
        Glance {
            snd_una: self.numbers.snd_una,
            rcv_nxt: self.numbers.rcv_nxt,
            window: self.numbers.window,
            timestamps: self.numbers.timestamps,
            ..ping::glance(&self.near).unwrap()
        }
    }

    pub(super) fn local(&self) -> End {
        end(&self.near, Side::Local)
    }

    pub(super) fn remote(&self) -> End {
        end(&self.near, Side::Remote)
    }

    pub(super) fn cookie(&self) -> Cookie {
        sockopt::cookie(&self.near).unwrap()
    }
}

enum Side {
    Local,
    Remote,
}

fn end(stream: &TcpStream, side: Side) -> End {
    let address = match side {
        Side::Local => stream.local_addr(),
        Side::Remote => stream.peer_addr(),
    };
    let address = address.unwrap();
    End {
        addr: address.ip(),
        port: address.port(),
    }
}

/// Every segment that this namespace receives; over loopback that is all.
pub(super) struct Wire {
    socket: OwnedFd,
    family: Family,
}

impl Wire {
    pub(super) fn open(kind: Kind) -> Self {
        let (domain, family) = match kind {
            Kind::V6 => (AddressFamily::INET6, Family::Ipv6),
            Kind::V4 | Kind::Mapped => (AddressFamily::INET, Family::Ipv4),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(domain, SocketType::RAW, flags, Some(ipproto::TCP)).unwrap();
        Self { socket, family }
    }

    /// What came since.
    pub(super) fn take(&self) -> Vec<Segment> {
        let mut segments = Vec::new();
        let mut buffer = [MaybeUninit::uninit(); 4096];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok(((packet, _), _)) => segments.push(self.parse(packet)),
                Err(Errno::AGAIN) => return segments,
                Err(errno) => panic!("raw socket: {errno}"),
            }
        }
    }

    /// IPv4 comes with its header, IPv6 without.
    fn parse(&self, packet: &[u8]) -> Segment {
        let (header, tcp) = match self.family {
            Family::Ipv4 => {
                let (header, tcp) = packet.split_at(usize::from(packet[0] & 0x0f) * 4);
                (Some((header[1], header[6], header[8])), tcp)
            }
            Family::Ipv6 => (None, packet),
        };
        let word = |at: usize| u16::from_be_bytes(*tcp[at..].first_chunk().unwrap());
        let double = |at: usize| u32::from_be_bytes(*tcp[at..].first_chunk().unwrap());
        let length = usize::from(tcp[12] >> 4) * 4;
        // After the handshake Linux puts them there and nothing else in front.
        let has_timestamps = length >= 32 && tcp[20..24] == [1, 1, 8, 10];
        Segment {
            from: word(0),
            to: word(2),
            seq: double(4),
            ack: double(8),
            flags: tcp[13],
            window: word(14),
            length: u32::try_from(tcp.len() - length).unwrap(),
            header,
            timestamps: has_timestamps.then(|| Timestamps {
                value: double(24),
                echo: double(28),
            }),
        }
    }
}
