//! A network namespace: its defaults and which addresses are its own.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use ipnet::IpNet;

use crate::connection::NetnsId;

/// The sysctls of a network namespace that decide when a dead peer is noticed.
///
/// The kernel accepts more here than socket options do: times below zero and up to what fits into 31 bits
/// of jiffies, and `0..=255` probes ([`Sysctl::range()`](crate::persisted::Sysctl::range)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetnsDefaults {
    /// `net.ipv4.tcp_keepalive_time`, seconds.
    pub idle_s: i64,
    /// `net.ipv4.tcp_keepalive_intvl`, seconds.
    pub interval_s: i64,
    /// `net.ipv4.tcp_keepalive_probes`.
    pub probes: i64,
    /// `net.ipv4.tcp_retries2`: retransmissions of unacknowledged data before giving up.
    pub retries2: u32,
    /// `net.ipv4.tcp_rto_min_us` (since 6.11), else the kernel's 200 ms.
    pub rto_min: Duration,
    /// `net.ipv4.tcp_rto_max_ms` (since 6.15), else the kernel's 120 s.
    pub rto_max: Duration,
}

impl NetnsDefaults {
    /// What every new network namespace starts with, whatever the host has.
    pub const KERNEL: Self = Self {
        idle_s: 7200,
        interval_s: 75,
        probes: 9,
        retries2: 15,
        rto_min: Duration::from_millis(200),
        rto_max: Duration::from_secs(120),
    };

    /// Whether the three keepalive defaults are the same.
    #[must_use]
    pub fn same_keepalive(&self, other: &Self) -> bool {
        (self.idle_s, self.interval_s, self.probes)
            == (other.idle_s, other.interval_s, other.probes)
    }
}

/// The destinations that the kernel delivers to this namespace itself: its local routing table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LocalRoutes {
    hosts: BTreeSet<IpAddr>,
    nets: Vec<IpNet>,
}

impl LocalRoutes {
    /// Adds a destination of the local table.
    pub fn insert(&mut self, net: IpNet) {
        if net.prefix_len() == net.max_prefix_len() {
            self.hosts.insert(net.addr());
        } else {
            self.nets.push(net);
        }
    }

    /// Whether packets to `addr` stay in this namespace. IPv4-mapped addresses count as IPv4;
    /// loopback addresses are always local.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_loopback()
            || self.hosts.contains(&addr)
            || self.nets.iter().any(|net| net.contains(&addr))
    }
}

/// What is known of a network namespace.
#[derive(Debug, Clone)]
pub struct Namespace {
    /// Its inode number in nsfs, as in `/proc/PID/ns/net`.
    pub id: NetnsId,
    /// What people call it: a name under `/run/netns`, a container, a unit, or processes in it.
    pub name: String,
    /// Whether it is the namespace that sockpulse was started in.
    pub own: bool,
    /// A process in it, if there is one: the way in when it has no name.
    pub pid: Option<u32>,
    /// Its sysctls, if they could be read.
    pub defaults: Option<NetnsDefaults>,
    /// Its own addresses.
    pub local: LocalRoutes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_routes_cover_mapped_and_loopback() {
        let mut routes = LocalRoutes::default();
        routes.insert("10.0.0.1/32".parse().unwrap());
        routes.insert("192.0.2.0/24".parse().unwrap());
        for (addr, local) in [
            ("127.9.9.9", true),
            ("::1", true),
            ("10.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:127.0.0.1", true),
            ("192.0.2.77", true),
            ("10.0.0.2", false),
            ("2001:db8::1", false),
        ] {
            assert_eq!(routes.contains(addr.parse().unwrap()), local, "{addr}");
        }
    }
}
