//! The hosts of the soak, and what is done to their paths.
//!
//! ```text
//! server ── router ── client1  idle, busy, zero window, stopped
//!                  ── client2  30 % loss each way
//!                  ── client3  behind the router's NAT
//!                  ── client4  behind the same NAT, which forgets it
//!                  ── client5  the other end of what is not asked
//!                  ── client6  its cable is taken out
//!                  ── client7  vanishes
//! ```

use std::net::Ipv4Addr;

use super::kind::Kind;
use crate::error::Result;
use crate::process;
use crate::topology::{Host, Topology};

/// What the names of its namespaces begin with.
pub(super) const KIND: &str = "sockpulse-soak";

const CLIENTS: u8 = 7;

/// What is not translated is not tracked; what the NAT does not know it drops, and says nothing.
const RULES: &str = "\
add table inet soak; \
add chain inet soak loss { type filter hook forward priority 10; policy accept; }; \
add chain inet soak raw { type filter hook prerouting priority raw; policy accept; }; \
add rule inet soak raw iifname { client1, client2, client5, client6, client7 } notrack; \
add rule inet soak raw iifname server ip daddr != 10.77.0.1 notrack; \
add chain inet soak input { type filter hook input priority filter; policy accept; }; \
add rule inet soak input iifname server ip protocol tcp drop; \
add chain inet soak nat { type nat hook postrouting priority srcnat; policy accept; }; \
add rule inet soak nat iifname { client3, client4 } oifname server masquerade";

/// Of a thousand packets, each way.
pub(super) const LOST_PERMILLE: u16 = 300;

/// The hosts.
pub(super) struct Network {
    topology: Topology,
}

impl Network {
    pub(super) fn build() -> Result<Self> {
        let topology = Topology::build(KIND, CLIENTS)?;
        process::output(topology.router().command("nft").arg(RULES))?;
        Ok(Self { topology })
    }

    /// Where the program is whose sockets are asked.
    pub(super) fn server(&self) -> &Host {
        self.topology.server()
    }

    pub(super) fn directory(&self) -> &std::path::Path {
        self.topology.directory()
    }

    /// Where a kind's program listens.
    pub(super) fn owner(&self, kind: Kind) -> &Host {
        match kind {
            Kind::Control => self.client(5),
            _ => self.topology.server(),
        }
    }

    /// Where a kind's peers are.
    pub(super) fn peer(&self, kind: Kind) -> &Host {
        self.client(match kind {
            Kind::Idle | Kind::Busy | Kind::Closed | Kind::Stopped | Kind::Control => 1,
            Kind::Lossy => 2,
            Kind::Nat => 3,
            Kind::Forgotten => 4,
            Kind::Unplugged => 6,
            Kind::Vanished => 7,
        })
    }

    fn client(&self, number: usize) -> &Host {
        &self.topology.clients()[number - 1]
    }

    /// Begins to lose packets of those who are to lose some.
    pub(super) fn lose(&self) -> Result<()> {
        let lost = format!("numgen random mod 1000 < {LOST_PERMILLE} drop");
        self.nft(&format!(
            "add rule inet soak loss iifname client2 {lost}; \
             add rule inet soak loss oifname client2 {lost}"
        ))
    }

    /// Ends it.
    pub(super) fn lose_none(&self) -> Result<()> {
        self.nft("flush chain inet soak loss")
    }

    fn nft(&self, rules: &str) -> Result<()> {
        process::output(self.topology.router().command("nft").arg(rules)).map(drop)
    }

    /// Takes the cable out.
    pub(super) fn unplug(&self) -> Result<()> {
        let mut ip = self.client(6).command("ip");
        process::output(ip.args(["link", "set", "eth0", "down"])).map(drop)
    }

    /// The NAT forgets one host's connections.
    pub(super) fn forget(&self) -> Result<()> {
        let mut conntrack = self.topology.router().command("conntrack");
        let address = self.client(4).address().to_string();
        // What it deleted it tells on stdout, that it did so on stderr.
        conntrack.args(["-D", "-s", &address]);
        process::output(&mut conntrack).map(drop)
    }

    /// The last host is gone without a word. Its programs are to be ended after that.
    pub(super) fn vanish(&mut self) -> Result<Option<Ipv4Addr>> {
        self.topology.vanish()
    }

    /// Sets a sysctl on the server.
    pub(super) fn set(&self, name: &str, value: u64) -> Result<()> {
        let mut sysctl = self.server().command("sysctl");
        process::output(sysctl.args(["-qw", &format!("{name}={value}")])).map(drop)
    }

    /// Its value on the server, as it is written.
    pub(super) fn value(&self, name: &str) -> Result<String> {
        let mut sysctl = self.server().command("sysctl");
        Ok(process::output(sysctl.args(["-n", name]))?
            .trim()
            .to_owned())
    }
}
