//! What keepalive costs on the wire.

use core::time::Duration;

/// Bytes of a probe, and of its answer, on Ethernet with IPv4: header 14 + IP 20 + TCP 20 +
/// timestamps with their padding 12. A probe carries no data. Preamble, checksum and gap of the
/// Ethernet frame (24 bytes more) and padding to its least size are not counted.
pub const FRAME_IPV4: u32 = 14 + 20 + 20 + 12;

/// The same with IPv6, whose header has 40 bytes.
pub const FRAME_IPV6: u32 = 14 + 40 + 20 + 12;

/// What healthy idle connections cost: each sends one probe a period and gets one ACK.
///
/// When both ends probe it costs no more: the probe of one is what the other waits for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Probes a second.
    pub probes_per_second: f64,
    /// Probes and answers a second.
    pub packets_per_second: f64,
    /// Bytes a second with IPv4, both directions together.
    pub bytes_per_second: f64,
    /// Bytes a second with IPv6, both directions together.
    pub bytes_per_second_ipv6: f64,
}

impl Cost {
    /// The cost of so many connections that are probed once a period.
    #[must_use]
    pub fn of(connections: u64, period: Duration) -> Self {
        let probes = float(connections) / period.as_secs_f64();
        let packets = 2.0 * probes;
        Self {
            probes_per_second: probes,
            packets_per_second: packets,
            bytes_per_second: packets * f64::from(FRAME_IPV4),
            bytes_per_second_ipv6: packets * f64::from(FRAME_IPV6),
        }
    }
}

/// Exact below 2^53, and good to 16 digits above.
fn float(number: u64) -> f64 {
    let half = |bits: u64| f64::from(u32::try_from(bits).unwrap_or(u32::MAX));
    half(number >> 32) * 4_294_967_296.0 + half(number & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arithmetic_of_the_docs() {
        for (connections, period, probes, ipv4, ipv6) in [
            (70_000, 120, 583.333, 77_000.0, 100_333.333),
            (1_000_000, 120, 8_333.333, 1_100_000.0, 1_433_333.333),
            (1_000_000_000, 120, 8_333_333.333, 1.1e9, 1.433_333e9),
            (1, 60, 0.016_667, 2.2, 2.867),
            (0, 60, 0.0, 0.0, 0.0),
        ] {
            let cost = Cost::of(connections, Duration::from_secs(period));
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * b;
            assert!(near(cost.probes_per_second, probes), "{cost:?}");
            assert!(near(cost.packets_per_second, 2.0 * probes), "{cost:?}");
            assert!(near(cost.bytes_per_second, ipv4), "{cost:?}");
            assert!(near(cost.bytes_per_second_ipv6, ipv6), "{cost:?}");
        }
    }

    #[test]
    fn large_numbers_stay_right() {
        for (number, expected) in [
            (u64::from(u32::MAX), 4_294_967_295.0),
            (1 << 40, 1_099_511_627_776.0),
        ] {
            assert_eq!(float(number), expected);
        }
    }
}
