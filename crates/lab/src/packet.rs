//! What a packet says, as far as the lab tells it: IPv4 or IPv6 with TCP or ICMP.
//!
//! Every length is checked: a packet may end anywhere.

use std::fmt;

/// A packet that the lab understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// A TCP segment.
    Tcp(Segment),
    /// An error by ICMP or ICMPv6.
    Icmp(Icmp),
}

/// The header of a TCP segment (RFC 9293 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// The sender's port.
    pub from: u16,
    /// The receiver's port.
    pub to: u16,
    /// Its sequence number.
    pub seq: u32,
    /// Its acknowledgement number.
    pub ack: u32,
    /// The control bits.
    pub flags: Flags,
    /// The window as it stands there, not scaled.
    pub window: u16,
    /// Bytes of data behind the header.
    pub length: u16,
}

/// The control bits of a segment: FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flags(pub u8);

/// The type and code of an ICMP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp {
    /// Whether it is ICMPv6, which numbers differently.
    pub version: IcmpVersion,
    /// What it is about: 3 (or 1 in ICMPv6) for "unreachable".
    pub kind: u8,
    /// What exactly.
    pub code: u8,
}

/// Which ICMP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcmpVersion {
    /// ICMP of IPv4.
    V4,
    /// ICMPv6.
    V6,
}

const TCP: u8 = 6;
const ICMP: u8 = 1;
const ICMP6: u8 = 58;

impl Packet {
    /// Understands the bytes of a packet from its IP header on; `None` for anything else, fragments
    /// and packets that end too soon.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => None,
        }
    }

    fn parse_v4(bytes: &[u8]) -> Option<Self> {
        let header = usize::from(bytes.first()? & 0x0f) * 4;
        let total = usize::from(word(bytes, 2)?);
        let fragment = word(bytes, 6)? & 0x3fff;
        if header < 20 || fragment != 0 {
            return None;
        }
        // The wire pads short packets; a capture may cut long ones.
        Self::parse_payload(
            *bytes.get(9)?,
            bytes.get(header..)?,
            total.checked_sub(header)?,
        )
    }

    fn parse_v6(bytes: &[u8]) -> Option<Self> {
        let length = usize::from(word(bytes, 4)?);
        Self::parse_payload(*bytes.get(6)?, bytes.get(40..)?, length)
    }

    /// `length` is what the IP header says of the payload.
    fn parse_payload(protocol: u8, payload: &[u8], length: usize) -> Option<Self> {
        let icmp = |version| {
            let message = Icmp {
                version,
                kind: *payload.first()?,
                code: *payload.get(1)?,
            };
            message.is_error().then_some(Self::Icmp(message))
        };
        match protocol {
            TCP => Segment::parse(payload, length).map(Self::Tcp),
            ICMP => icmp(IcmpVersion::V4),
            ICMP6 => icmp(IcmpVersion::V6),
            _ => None,
        }
    }
}

impl Segment {
    fn parse(bytes: &[u8], length: usize) -> Option<Self> {
        let header = usize::from(bytes.get(12)? >> 4) * 4;
        if header < 20 {
            return None;
        }
        Some(Self {
            from: word(bytes, 0)?,
            to: word(bytes, 2)?,
            seq: double_word(bytes, 4)?,
            ack: double_word(bytes, 8)?,
            flags: Flags(*bytes.get(13)? & 0x1f),
            window: word(bytes, 14)?,
            length: u16::try_from(length.checked_sub(header)?).ok()?,
        })
    }
}

impl Icmp {
    /// Whether it is about another packet: all else is the neighbours' own talk (RFC 792, RFC 4443).
    const fn is_error(self) -> bool {
        match self.version {
            IcmpVersion::V4 => matches!(self.kind, 3 | 4 | 5 | 11 | 12),
            IcmpVersion::V6 => self.kind < 128,
        }
    }
}

impl Flags {
    /// End of the stream.
    pub const FIN: u8 = 1;
    /// Begin of a connection.
    pub const SYN: u8 = 2;
    /// There is no such connection.
    pub const RST: u8 = 4;

    /// Whether the bit is set.
    #[must_use]
    pub const fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [(2, "SYN"), (1, "FIN"), (4, "RST"), (8, "PSH"), (16, "ACK")];
        let mut first = true;
        for (_, name) in names.into_iter().filter(|(bit, _)| self.has(*bit)) {
            if !first {
                f.write_str("+")?;
            }
            f.write_str(name)?;
            first = false;
        }
        Ok(())
    }
}

impl fmt::Display for Icmp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match (self.version, self.kind, self.code) {
            (IcmpVersion::V4, 3, 0) | (IcmpVersion::V6, 1, 0) => "network unreachable",
            (IcmpVersion::V4, 3, 1) | (IcmpVersion::V6, 1, 3) => "host unreachable",
            (IcmpVersion::V4, 3, 3) | (IcmpVersion::V6, 1, 4) => "port unreachable",
            (IcmpVersion::V4, 3, 13) | (IcmpVersion::V6, 1, 1) => "administratively prohibited",
            _ => return write!(f, "ICMP type {} code {}", self.kind, self.code),
        };
        write!(f, "ICMP {name}")
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Icmp(message) => message.fmt(f),
            Self::Tcp(segment) => {
                write!(f, "{}", segment.flags)?;
                match segment.length {
                    0 => {}
                    bytes => write!(f, ", {bytes} bytes")?,
                }
                if segment.window == 0 && !segment.flags.has(Flags::RST) {
                    f.write_str(", window 0")?;
                }
                Ok(())
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn double_word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A probe of 10.77.1.2:40000 to 10.77.2.2:7000, with timestamps: 32 bytes of TCP header.
    fn probe() -> Vec<u8> {
        let mut bytes = vec![
            0x45, 0, 0, 52, 0x12, 0x34, 0x40, 0, 64, TCP, 0, 0, 10, 77, 1, 2, 10, 77, 2, 2,
        ];
        bytes.extend(40_000u16.to_be_bytes());
        bytes.extend(7_000u16.to_be_bytes());
        bytes.extend(0x0102_0304u32.to_be_bytes());
        bytes.extend(0x0506_0708u32.to_be_bytes());
        bytes.extend([0x80, 0x10, 0x01, 0xf6, 0, 0, 0, 0]);
        bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        bytes
    }

    #[test]
    fn a_probe_is_understood() {
        let Some(Packet::Tcp(segment)) = Packet::parse(&probe()) else {
            panic!("no segment");
        };
        assert_eq!((segment.from, segment.to), (40_000, 7_000));
        assert_eq!((segment.seq, segment.ack), (0x0102_0304, 0x0506_0708));
        assert_eq!((segment.window, segment.length), (502, 0));
        assert_eq!(Packet::Tcp(segment).to_string(), "ACK");
    }

    #[test]
    fn data_is_what_the_ip_header_says_and_padding_is_none() {
        let mut bytes = probe();
        bytes.extend([0; 6]);
        let length = |bytes: &[u8]| match Packet::parse(bytes) {
            Some(Packet::Tcp(segment)) => Some(segment.length),
            _ => None,
        };
        assert_eq!(length(&bytes), Some(0));
        bytes[3] = 52 + 100;
        assert_eq!(length(&bytes), Some(100), "a capture may be cut");
        bytes[3] = 40;
        assert_eq!(length(&bytes), None, "shorter than its own header");
    }

    #[test]
    fn what_ends_too_soon_is_refused_at_every_length() {
        let bytes = probe();
        for length in 0..36 {
            assert_eq!(Packet::parse(&bytes[..length]), None, "{length} bytes");
        }
        for at in [0, 32] {
            let mut bad = probe();
            // A header of two words.
            bad[at] = if at == 0 { 0x42 } else { 0x20 };
            assert_eq!(Packet::parse(&bad), None);
        }
    }

    #[test]
    fn fragments_and_other_protocols_are_refused() {
        let mut fragment = probe();
        fragment[7] = 1;
        assert_eq!(Packet::parse(&fragment), None);
        let mut udp = probe();
        udp[9] = 17;
        assert_eq!(Packet::parse(&udp), None);
        assert_eq!(Packet::parse(&[0x75; 60]), None);
    }

    #[test]
    fn ipv6_and_icmp_are_understood() {
        let mut v6 = vec![0x60, 0, 0, 0, 0, 32, TCP, 64];
        v6.extend([0; 32]);
        v6.extend(&probe()[20..]);
        v6[40 + 13] = Flags::RST | 0x10;
        v6[40 + 15] = 0;
        v6[40 + 14] = 0;
        let reset = Packet::parse(&v6).unwrap();
        assert_eq!(reset.to_string(), "RST+ACK");
        let mut icmp = probe();
        icmp[9] = ICMP;
        icmp[20] = 3;
        icmp[21] = 13;
        let prohibited = Packet::parse(&icmp).unwrap();
        assert_eq!(prohibited.to_string(), "ICMP administratively prohibited");
        v6[6] = ICMP6;
        v6[40] = 135;
        v6[41] = 0;
        assert_eq!(Packet::parse(&v6), None, "a neighbour's question");
        v6[40] = 3;
        let exceeded = Packet::parse(&v6).unwrap();
        assert_eq!(exceeded.to_string(), "ICMP type 3 code 0");
    }
}
