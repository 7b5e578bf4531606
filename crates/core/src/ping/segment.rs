//! The bytes of a keepalive probe.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::answer::Why;
use super::glance::{Glance, Timestamps};
use crate::connection::{End, Family, TcpState};

/// The longest: IPv6, TCP, timestamps.
const CAPACITY: usize = 40 + 20 + 12;
const TCP: u8 = 6;
const ACK: u8 = 16;
/// The kernel's own (`IPDEFTTL`, `IPV6_DEFAULT_HOPLIMIT`).
const HOPS: u8 = 64;
const DO_NOT_FRAGMENT: u8 = 0x40;

/// A probe, from its IP header on.
///
/// The kernel completes the header of IPv4: identification, header checksum (raw(7)). All else is here, TCP's
/// checksum too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    bytes: [u8; CAPACITY],
    length: usize,
    source: IpAddr,
    destination: IpAddr,
    mark: u32,
}

/// Why no probe can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Unprobeable {
    /// Segments are signed.
    #[error("sign a probe without the connection's key")]
    Signed,
    /// A subflow of Multipath TCP.
    #[error("probe a subflow of Multipath TCP")]
    Mptcp,
    /// No peer belongs to the state.
    #[error("probe a socket in state {}", .0.name())]
    State(TcpState),
    /// One end is of IPv4 and the other of IPv6.
    #[error("probe between addresses of different families")]
    Ends,
}

impl From<Unprobeable> for Why {
    fn from(unprobeable: Unprobeable) -> Self {
        match unprobeable {
            Unprobeable::Signed => Self::Signed,
            Unprobeable::Mptcp => Self::Mptcp,
            Unprobeable::State(state) => Self::State(state),
            Unprobeable::Ends => Self::Ends,
        }
    }
}

impl Segment {
    /// The packet.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Of which family the packet is: an IPv4-mapped connection's is of IPv4.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self.destination {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }

    /// Our own address; routes may be chosen by it.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        self.source
    }

    /// The peer's address.
    #[must_use]
    pub const fn destination(&self) -> IpAddr {
        self.destination
    }

    /// The mark of the connection's packets; 0 for none. Routes may be chosen by it.
    #[must_use]
    pub const fn mark(&self) -> u32 {
        self.mark
    }
}

/// The keepalive probe of a connection, as `tcp_xmit_probe_skb()` (net/ipv4/tcp_output.c) sends it: no
/// data, one sequence number before what the peer expects, so that it has to answer (RFC 9293 3.8.4).
///
/// Where timestamps are in use it carries one, which RFC 7323 3.2 asks for in every segment.
///
/// # Errors
/// [`Unprobeable`].
pub fn segment(local: End, remote: End, glance: &Glance) -> Result<Segment, Unprobeable> {
    probeable(glance)?;
    let (source, destination) = (local.addr.to_canonical(), remote.addr.to_canonical());
    let mut packet = Packet::default();
    let options = if glance.timestamps.is_some() { 12 } else { 0 };
    let tcp = 20 + options;
    match (source, destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => packet.ipv4(from, to, tcp, glance),
        (IpAddr::V6(from), IpAddr::V6(to)) => packet.ipv6(from, to, tcp, glance),
        _ => return Err(Unprobeable::Ends),
    }
    let start = packet.length;
    packet.put(&local.port.to_be_bytes());
    packet.put(&remote.port.to_be_bytes());
    packet.put(&glance.snd_una.wrapping_sub(1).to_be_bytes());
    packet.put(&glance.rcv_nxt.to_be_bytes());
    packet.put(&[(tcp / 4) << 4, ACK]);
    packet.put(&glance.window.to_be_bytes());
    packet.put(&[0; 4]);
    if let Some(timestamps) = glance.timestamps {
        packet.timestamps(timestamps);
    }
    packet.seal(start, source, destination);
    Ok(Segment {
        bytes: packet.bytes,
        length: packet.length,
        source,
        destination,
        mark: glance.mark,
    })
}

/// Whether a probe of our own may be sent on the connection as it is.
pub(super) fn probeable(glance: &Glance) -> Result<(), Unprobeable> {
    if !has_peer(glance.state) {
        Err(Unprobeable::State(glance.state))
    } else if glance.signed {
        Err(Unprobeable::Signed)
    } else if glance.mptcp {
        Err(Unprobeable::Mptcp)
    } else {
        Ok(())
    }
}

/// Whether a peer can answer in this state. Other than for [`TcpState::has_peer`], closing ones count:
/// their peer is owed an answer too.
pub(super) const fn has_peer(state: TcpState) -> bool {
    state.has_peer() || matches!(state, TcpState::Closing | TcpState::LastAck)
}

struct Packet {
    bytes: [u8; CAPACITY],
    length: usize,
}

impl Default for Packet {
    fn default() -> Self {
        Self {
            bytes: [0; CAPACITY],
            length: 0,
        }
    }
}

impl Packet {
    /// RFC 791 3.1.
    fn ipv4(&mut self, from: Ipv4Addr, to: Ipv4Addr, tcp: u8, glance: &Glance) {
        self.put(&[0x45, class(glance)]);
        self.put(&(20 + u16::from(tcp)).to_be_bytes());
        self.put(&[0, 0, DO_NOT_FRAGMENT, 0]);
        self.put(&[glance.hop_limit.unwrap_or(HOPS), TCP, 0, 0]);
        self.put(&from.octets());
        self.put(&to.octets());
    }

    /// RFC 8200 3. Without a flow label.
    fn ipv6(&mut self, from: Ipv6Addr, to: Ipv6Addr, tcp: u8, glance: &Glance) {
        let class = class(glance);
        self.put(&[0x60 | (class >> 4), class << 4, 0, 0]);
        self.put(&u16::from(tcp).to_be_bytes());
        self.put(&[TCP, glance.hop_limit.unwrap_or(HOPS)]);
        self.put(&from.octets());
        self.put(&to.octets());
    }

    /// Two fillers and the option, as Linux lays them out (RFC 7323, appendix A).
    fn timestamps(&mut self, timestamps: Timestamps) {
        self.put(&[1, 1, 8, 10]);
        self.put(&timestamps.value.to_be_bytes());
        self.put(&timestamps.echo.to_be_bytes());
    }

    /// Writes TCP's checksum over the segment and what it borrows from the IP header (RFC 9293 3.1).
    fn seal(&mut self, start: usize, from: IpAddr, to: IpAddr) {
        let segment = &self.bytes[start..self.length];
        let sum = sum_of(segment) + sum_of_address(from) + sum_of_address(to);
        let length = u32::try_from(segment.len()).unwrap_or(u32::MAX);
        let checksum = !folded(sum + length + u32::from(TCP));
        self.bytes[start + 16..start + 18].copy_from_slice(&checksum.to_be_bytes());
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        self.bytes[self.length..end].copy_from_slice(bytes);
        self.length = end;
    }
}

/// Without the two bits of congestion notification: on a connection that uses it they stand on the
/// socket from its last segment with data, and the kernel clears them for one without (RFC 3168 6.1.4).
const fn class(glance: &Glance) -> u8 {
    glance.traffic_class & !3
}

fn sum_of_address(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(address) => sum_of(&address.octets()),
        IpAddr::V6(address) => sum_of(&address.octets()),
    }
}

/// The sum of the 16-bit words; at most 72 bytes, so that nothing overflows.
fn sum_of(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| {
        let low = pair.get(1).copied().unwrap_or(0);
        u32::from(u16::from_be_bytes([pair[0], low]))
    });
    words.sum()
}

/// The ones' complement sum of RFC 1071.
fn folded(sum: u32) -> u16 {
    let once = (sum & 0xffff) + (sum >> 16);
    let twice = (once & 0xffff) + (once >> 16);
    u16::try_from(twice).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ping::sample::glance;

    fn end(text: &str) -> End {
        let (addr, port) = text.rsplit_once(':').unwrap();
        End {
            addr: addr.trim_matches(['[', ']']).parse().unwrap(),
            port: port.parse().unwrap(),
        }
    }

    /// The segment of TCP, and the sum over it and what it borrows from the IP header: all ones if the
    /// checksum is right.
    fn tcp(segment: &Segment) -> (&[u8], u16) {
        let bytes = segment.as_bytes();
        let (addresses, tcp) = match segment.family() {
            Family::Ipv4 => (&bytes[12..20], &bytes[20..]),
            Family::Ipv6 => (&bytes[8..40], &bytes[40..]),
        };
        let length = u32::try_from(tcp.len()).unwrap();
        let sum = sum_of(addresses) + sum_of(tcp) + length + u32::from(TCP);
        (tcp, folded(sum))
    }

    #[test]
    fn the_bytes_are_those_of_the_kernels_probe() {
        let ends = (end("10.0.0.2:40000"), end("10.0.0.1:7000"));
        let mut glance = glance();
        glance.timestamps = Some(Timestamps {
            value: 0x1122_3344,
            echo: 0x5566_7788,
        });
        let probe = segment(ends.0, ends.1, &glance).unwrap();
        let bytes = probe.as_bytes();
        let ip = [
            0x45, 0, 0, 52, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 2, 10, 0, 0, 1,
        ];
        assert_eq!(bytes[..20], ip);
        let tcp = [
            0x9c, 0x40, 0x1b, 0x58, 0, 0, 0x03, 0xe7, 0, 0, 0x07, 0xd0, 0x80, 0x10, 0x01, 0xf6,
        ];
        assert_eq!(bytes[20..36], tcp);
        let options = [1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        assert_eq!(bytes[40..], options);
        glance.timestamps = None;
        let bare = segment(ends.0, ends.1, &glance).unwrap();
        assert_eq!(bare.as_bytes().len(), 40);
        assert_eq!((bare.as_bytes()[3], bare.as_bytes()[32]), (40, 0x50));
    }

    #[test]
    fn the_sequence_number_wraps() {
        let mut glance = glance();
        glance.snd_una = 0;
        let probe = segment(end("10.0.0.2:1"), end("10.0.0.1:2"), &glance).unwrap();
        assert_eq!(probe.as_bytes()[24..28], [0xff; 4]);
    }

    #[test]
    fn a_mapped_connections_probe_is_of_ipv4() {
        let local = end("[::ffff:10.0.0.2]:40000");
        let probe = segment(local, end("[::ffff:10.0.0.1]:7000"), &glance()).unwrap();
        assert_eq!(probe.family(), Family::Ipv4);
        assert_eq!(probe.as_bytes()[0], 0x45);
        let both = segment(local, end("[2001:db8::1]:7000"), &glance());
        assert_eq!(both, Err(Unprobeable::Ends));
    }

    #[test]
    fn what_the_socket_asks_of_its_packets_they_have() {
        let mut glance = glance();
        glance.hop_limit = Some(255);
        glance.traffic_class = 0xba;
        let four = segment(end("10.0.0.2:1"), end("10.0.0.1:2"), &glance).unwrap();
        assert_eq!((four.as_bytes()[1], four.as_bytes()[8]), (0xb8, 255));
        let six = segment(end("[::1]:1"), end("[::1]:2"), &glance).unwrap();
        assert_eq!(six.as_bytes()[..2], [0x6b, 0x80]);
        assert_eq!(six.as_bytes()[7], 255);
    }

    #[test]
    fn what_cannot_be_answered_or_signed_is_not_sent() {
        let probe = |change: &dyn Fn(&mut Glance)| {
            let mut glance = glance();
            change(&mut glance);
            segment(end("10.0.0.2:1"), end("10.0.0.1:2"), &glance).err()
        };
        assert_eq!(
            probe(&|glance| glance.signed = true),
            Some(Unprobeable::Signed)
        );
        assert_eq!(
            probe(&|glance| glance.mptcp = true),
            Some(Unprobeable::Mptcp)
        );
        for state in TcpState::ALL {
            let refused = probe(&|glance| glance.state = state);
            let is_probed = matches!(
                state,
                TcpState::Established
                    | TcpState::CloseWait
                    | TcpState::FinWait1
                    | TcpState::FinWait2
                    | TcpState::Closing
                    | TcpState::LastAck
            );
            let expected = (!is_probed).then_some(Unprobeable::State(state));
            assert_eq!(refused, expected, "{}", state.name());
        }
    }

    proptest! {
        #[test]
        fn checksums_are_right(
            addresses in any::<([u8; 4], [u8; 4], [u8; 16], [u8; 16])>(),
            ports in any::<(u16, u16)>(),
            numbers in any::<(u32, u32, u16)>(),
            timestamps in any::<Option<(u32, u32)>>(),
        ) {
            let mut glance = glance();
            (glance.snd_una, glance.rcv_nxt, glance.window) = numbers;
            glance.timestamps = timestamps.map(|(value, echo)| Timestamps { value, echo });
            let (a, b, c, d) = addresses;
            for (from, to) in [(IpAddr::from(a), IpAddr::from(b)), (c.into(), d.into())] {
                let local = End { addr: from, port: ports.0 };
                let remote = End { addr: to, port: ports.1 };
                let Ok(probe) = segment(local, remote, &glance) else {
                    // Two random addresses of IPv6 of which one is mapped.
                    continue;
                };
                let (tcp, sum) = tcp(&probe);
                prop_assert_eq!(sum, 0xffff);
                prop_assert_eq!(tcp.len(), usize::from(tcp[12] >> 4) * 4, "no data");
                prop_assert_eq!(&tcp[4..8], &numbers.0.wrapping_sub(1).to_be_bytes()[..]);
                prop_assert_eq!(&tcp[8..12], &numbers.1.to_be_bytes()[..]);
                prop_assert_eq!(&tcp[14..16], &numbers.2.to_be_bytes()[..]);
            }
        }
    }
}
