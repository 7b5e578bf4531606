//! Three hosts: a client and a server on both sides of a router.
//!
//! ```text
//! client eth0 10.77.1.2 ── 10.77.1.1 c0 router s0 10.77.2.1 ── 10.77.2.2 eth0 server
//! ```

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use sockpulse_core::Family;

use crate::connection;
use crate::error::Result;
use crate::host::Host;

/// The client's address.
pub const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 1, 2));
/// The server's address.
pub const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 2, 2));
/// The server's address of IPv6.
pub const SERVER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd77, 2, 0, 0, 0, 0, 0, 2));
/// The router's port to the client.
pub const CLIENT_PORT: &str = "c0";
/// The router's port to the server.
pub const SERVER_PORT: &str = "s0";

/// Nobody listens there.
const CLOSED_PORT: u16 = 9;
/// Long for a path within one machine.
const ATTEMPT: Duration = Duration::from_millis(50);

/// A client, a router and a server, joined by cables; the router forwards IPv4 and IPv6.
#[derive(Debug)]
pub struct Topology {
    /// The client.
    pub client: Host,
    /// The router, with a table `inet lab` whose chain `gate` sees what is forwarded.
    pub router: Host,
    /// The server.
    pub server: Host,
}

/// (The name of a chain must not be a keyword of nft, which `fwd` is.)
const GATE: &str = "\
add table inet lab
add chain inet lab gate { type filter hook forward priority filter; policy accept; }
";

impl Topology {
    /// Builds it. Needs [`crate::Rights`].
    ///
    /// # Errors
    /// What a command of iproute2 or nftables had to say; nothing is left of what was built.
    pub fn build() -> Result<Self> {
        let topology = Self {
            client: Host::new("client")?,
            router: Host::new("router")?,
            server: Host::new("server")?,
        };
        let router = &topology.router;
        router.sysctl("net.ipv4.ip_forward", 1)?;
        router.sysctl("net.ipv6.conf.all.forwarding", 1)?;
        router.nft(GATE)?;
        topology.lay(&topology.client, CLIENT_PORT, 1)?;
        topology.lay(&topology.server, SERVER_PORT, 2)?;
        for family in [Family::Ipv4, Family::Ipv6] {
            topology.reach(Self::address(family))?;
        }
        Ok(topology)
    }

    /// The server's address.
    #[must_use]
    pub const fn address(family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => SERVER,
            Family::Ipv6 => SERVER6,
        }
    }

    /// A server that has lost its power and comes back: the same addresses, and not one connection.
    /// The old one stays where it is and is heard no more.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn replace_server(&mut self) -> Result<()> {
        self.unplug_server()?;
        self.server = Host::new("server")?;
        self.lay(&self.server, SERVER_PORT, 2)
    }

    /// Takes the server's cable out for good.
    ///
    /// # Errors
    /// As [`Self::build`].
    pub fn unplug_server(&self) -> Result<()> {
        self.router.ip(&[format!("link del {SERVER_PORT}")])
    }

    /// Waits until the client reaches the server: a cable that was just plugged in takes up to a second
    /// (`linkwatch`), and neighbours are to be found. A connection that began before would have
    /// measured that as its round trip.
    fn reach(&self, address: IpAddr) -> Result<()> {
        let closed = SocketAddr::new(address, CLOSED_PORT);
        connection::until("a way to the server", || {
            let answer = self
                .client
                .run(move || TcpStream::connect_timeout(&closed, ATTEMPT));
            let refused = |error: std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
            Ok(answer.err().is_some_and(refused).then_some(()))
        })
    }

    /// Lays a cable between a port of the router and `eth0` of a host.
    fn lay(&self, host: &Host, port: &str, network: u8) -> Result<()> {
        let namespace = host.namespace();
        self.router.ip(&[
            format!("link add {port} type veth peer name eth0 netns {namespace}"),
            format!("address add 10.77.{network}.1/24 dev {port}"),
            format!("address add fd77:{network}::1/64 dev {port} nodad"),
            format!("link set {port} up"),
        ])?;
        host.ip(&[
            format!("address add 10.77.{network}.2/24 dev eth0"),
            format!("address add fd77:{network}::2/64 dev eth0 nodad"),
            "link set eth0 up".into(),
            format!("route add default via 10.77.{network}.1"),
            format!("route add ::/0 via fd77:{network}::1"),
        ])
    }
}
