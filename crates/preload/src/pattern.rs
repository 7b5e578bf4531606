//! Which connections: ends as `[ADDR|CIDR][:PORT]`, in lists of a fixed length.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// An end to match, as `--local` and `--remote` take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    net: Option<(IpAddr, u8)>,
    port: Option<u16>,
}

/// How many fit into a [`List`].
pub const CAPACITY: usize = 16;

/// At most [`CAPACITY`] of a kind: there is no allocation where it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct List<T> {
    items: [Option<T>; CAPACITY],
}

/// There was no room left in a [`List`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

impl Pattern {
    /// An address prefix, a port, or both. `None` when the prefix is longer than the address or
    /// has bits beyond its length, when the port is 0, and when nothing is asked for.
    #[must_use]
    pub fn new(net: Option<(IpAddr, u8)>, port: Option<u16>) -> Option<Self> {
        let sound = match net {
            Some((addr, length)) => {
                length <= width(addr) && bits(addr) & !mask(length, width(addr)) == 0
            }
            None => port.is_some(),
        };
        (sound && port != Some(0)).then_some(Self { net, port })
    }

    /// Reads `10.0.0.0/8`, `:6379`, `10.0.0.1:6379`, `2001:db8::/32`, `[2001:db8::1]:443`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (addr, port) = split(text)?;
        let port = match port {
            Some(port) => Some(port.parse().ok()?),
            None => None,
        };
        let net = match addr {
            "" | "*" => None,
            addr => Some(net(addr)?),
        };
        Self::new(net, port)
    }

    /// Whether the end lies in the pattern; IPv4-mapped addresses count as IPv4.
    #[must_use]
    pub fn matches(&self, end: &SocketAddr) -> bool {
        let within = |(net, length): (IpAddr, u8)| {
            let addr = end.ip().to_canonical();
            width(addr) == width(net) && bits(addr) & mask(length, width(net)) == bits(net)
        };
        self.port.is_none_or(|port| port == end.port()) && self.net.is_none_or(within)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.net {
            Some((addr, length)) if addr.is_ipv6() => write!(f, "[{addr}/{length}]")?,
            Some((addr, length)) => write!(f, "{addr}/{length}")?,
            None => {}
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl<T: Copy> List<T> {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            items: [None; CAPACITY],
        }
    }

    /// Adds one.
    ///
    /// # Errors
    /// [`Full`] beyond [`CAPACITY`].
    pub fn push(&mut self, item: T) -> Result<(), Full> {
        let free = self.items.iter_mut().find(|slot| slot.is_none());
        *free.ok_or(Full)? = Some(item);
        Ok(())
    }

    /// Those that were added, in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + '_ {
        self.items.iter().flatten().copied()
    }

    /// Whether none was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// An empty list lets everything pass, another what fits one of its entries.
    pub(crate) fn admits(&self, fits: impl Fn(T) -> bool) -> bool {
        self.is_empty() || self.iter().any(fits)
    }
}

impl<T: Copy> Default for List<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Copy + fmt::Debug> fmt::Debug for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn split(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(inner) = text.strip_prefix('[') {
        let (addr, rest) = inner.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((addr, Some(port))),
            None => rest.is_empty().then_some((addr, None)),
        };
    }
    Some(match text.rsplit_once(':') {
        // More than one colon without brackets is a bare IPv6 address.
        Some((addr, port)) if !addr.contains(':') => (addr, Some(port)),
        _ => (text, None),
    })
}

fn net(text: &str) -> Option<(IpAddr, u8)> {
    match text.split_once('/') {
        Some((addr, length)) => Some((addr.parse().ok()?, length.parse().ok()?)),
        None => {
            let addr = text.parse::<IpAddr>().ok()?.to_canonical();
            Some((addr, width(addr)))
        }
    }
}

const fn width(addr: IpAddr) -> u8 {
    match addr {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn bits(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(addr) => u128::from(addr.to_bits()),
        IpAddr::V6(addr) => addr.to_bits(),
    }
}

/// The first `length` of `width` bits.
fn mask(length: u8, width: u8) -> u128 {
    let all = u128::MAX >> (128 - u32::from(width));
    let host = u32::from(width.saturating_sub(length));
    all & u128::MAX.checked_shl(host).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_matched_as_the_flags_match_them() {
        for (pattern, end, fits) in [
            ("10.0.0.0/8", "10.9.9.9:1", true),
            ("10.0.0.0/8", "11.0.0.1:1", false),
            ("10.0.0.0/8", "[::ffff:10.1.2.3]:1", true),
            ("10.0.0.1", "10.0.0.1:1", true),
            ("10.0.0.1", "10.0.0.2:1", false),
            ("0.0.0.0/0", "1.2.3.4:1", true),
            ("0.0.0.0/0", "[::1]:1", false),
            ("::/0", "[::1]:1", true),
            ("2001:db8::/32", "[2001:db8::5]:1", true),
            ("[2001:db8::/32]:443", "[2001:db8::5]:443", true),
            ("[2001:db8::1]:443", "[2001:db8::1]:444", false),
            (":6379", "1.2.3.4:6379", true),
            ("*:6379", "1.2.3.4:6378", false),
            ("::ffff:10.0.0.1", "10.0.0.1:1", true),
        ] {
            let read = Pattern::parse(pattern).expect(pattern);
            assert_eq!(
                read.matches(&end.parse().expect(end)),
                fits,
                "{pattern} {end}"
            );
            assert_eq!(Pattern::parse(&read.to_string()), Some(read), "{pattern}");
        }
    }

    #[test]
    fn what_is_no_end_is_refused() {
        for text in [
            "",
            "*",
            ":",
            ":0",
            ":70000",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "[::1",
            "[::1]x",
            "10.0.0",
            "host:80",
        ] {
            assert_eq!(Pattern::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_full_list_says_so() {
        let mut list = List::new();
        for port in 0..16_u16 {
            assert_eq!(list.push(port), Ok(()));
        }
        assert_eq!(list.push(16), Err(Full));
        assert!(list.iter().eq(0..16));
    }
}
