//! A small network on this machine: a server and client hosts on both sides of a router.
//!
//! Each host is a network namespace (`ip netns`), each link a veth pair, and the router forwards
//! IPv4 between them. Nothing of the machine's own network is touched: every interface is made
//! inside a namespace of the topology.
//!
//! ```text
//! server 10.77.0.2 ── 10.77.0.1 router 10.77.N.1 ── 10.77.N.2 client N
//! ```
//!
//! Needs CAP_SYS_ADMIN and CAP_NET_ADMIN. Dropping a [`Topology`] ends its processes and removes
//! its namespaces and its folder; [`remove_leftovers`] does so for one whose owner was killed.

mod host;
mod leftovers;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use host::Host;
pub(crate) use leftovers::remove_leftovers;

use crate::error::{Error, Result};
use crate::process;

/// A server, a router and some client hosts. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Topology {
    prefix: String,
    directory: PathBuf,
    server: Host,
    router: Host,
    clients: Vec<Host>,
}

/// The set of the router's ports that drop everything, and the chain that asks it. (The name of
/// a chain must not be a keyword of nft, which `fwd` is.)
const GATE: &str = "add table inet sockpulse; \
    add set inet sockpulse cut { type ifname; }; \
    add chain inet sockpulse gate { type filter hook forward priority filter; policy accept; }; \
    add rule inet sockpulse gate iifname @cut drop; \
    add rule inet sockpulse gate oifname @cut drop";

impl Topology {
    /// Builds a network with that many client hosts. `kind` begins the names of its namespaces:
    /// `KIND-PID-server`, `KIND-PID-router`, `KIND-PID-client1` and so on.
    ///
    /// # Errors
    /// A command of iproute2 or nftables that failed; what was built until then is removed.
    pub(crate) fn build(kind: &str, clients: u8) -> Result<Self> {
        let prefix = format!("{kind}-{}", std::process::id());
        let directory = std::env::temp_dir().join(&prefix);
        let mut topology = Self {
            server: Host::new(&prefix, "server", address_of(0)),
            router: Host::new(&prefix, "router", gateway_of(0)),
            clients: Vec::new(),
            prefix,
            directory,
        };
        std::fs::create_dir(&topology.directory)
            .map_err(Error::file("make", &topology.directory))?;
        topology.router.create()?;
        let router = &topology.router;
        process::output(
            router
                .command("sysctl")
                .args(["-qw", "net.ipv4.ip_forward=1"]),
        )?;
        process::output(router.command("nft").arg(GATE))?;
        topology.server.create()?;
        connect(&topology.router, &topology.server, 0)?;
        for number in 1..=clients {
            let client = Host::new(
                &topology.prefix,
                &format!("client{number}"),
                address_of(number),
            );
            topology.clients.push(client);
            let client = &mut topology.clients[usize::from(number) - 1];
            client.create()?;
            connect(&topology.router, client, number)?;
        }
        Ok(topology)
    }

    /// What the names of all its namespaces begin with.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A folder of its own for files, removed with it.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The server.
    pub(crate) fn server(&self) -> &Host {
        &self.server
    }

    /// The server, to start programs on it.
    pub(crate) fn server_mut(&mut self) -> &mut Host {
        &mut self.server
    }

    /// The router, whose ports have the names of the hosts behind them.
    #[cfg(feature = "product")]
    pub(crate) const fn router(&self) -> &Host {
        &self.router
    }

    /// The client hosts that are still there.
    pub(crate) fn clients(&self) -> &[Host] {
        &self.clients
    }

    /// The client hosts, to start programs on them.
    pub(crate) fn clients_mut(&mut self) -> &mut [Host] {
        &mut self.clients
    }

    /// Makes the last client host vanish without a word, as a host does that loses its power:
    /// neither a FIN nor a RST gets out, and nobody answers for it. Returns its address, or
    /// `None` when no client is left.
    ///
    /// # Errors
    /// A command of iproute2 or nftables that failed.
    pub(crate) fn vanish(&mut self) -> Result<Option<Ipv4Addr>> {
        let Some(mut client) = self.clients.pop() else {
            return Ok(None);
        };
        let address = client.address();
        let cut = self.cut_off(&client);
        // Gone in any case: it is no longer ours to remove later.
        let mut errors = client.close();
        cut?;
        errors.pop().map_or(Ok(Some(address)), Err)
    }

    /// The router drops what comes from and goes to the host, and sends no "unreachable" for it,
    /// before its port goes down: in this order not one segment slips through.
    fn cut_off(&self, client: &Host) -> Result<()> {
        let port = client.name();
        let element = format!("add element inet sockpulse cut {{ {port} }}");
        process::output(self.router.command("nft").arg(element))?;
        let network = format!("{}/24", network_of(client.address()));
        let mut silent = self.router.ip("route add blackhole");
        process::output(silent.args([&network, "metric", "4096"]))?;
        process::output(&mut self.router.ip(&format!("link set {port} down")))?;
        Ok(())
    }

    /// Ends every process, removes every namespace and the folder. Goes on after an error and
    /// returns all of them. A second call finds nothing left to do.
    fn close(&mut self) -> Vec<Error> {
        let hosts = self.clients.iter_mut().rev();
        let hosts = hosts.chain([&mut self.server, &mut self.router]);
        let mut errors: Vec<Error> = hosts.flat_map(Host::close).collect();
        if self.directory.exists() {
            let removed = std::fs::remove_dir_all(&self.directory);
            errors.extend(
                removed
                    .map_err(Error::file("remove", &self.directory))
                    .err(),
            );
        }
        errors
    }
}

impl Drop for Topology {
    fn drop(&mut self) {
        for error in self.close() {
            eprintln!("warning: failed to {error}");
        }
    }
}

/// Lays a cable from port `HOST` of the router to `eth0` of the host, and gives both ends their
/// addresses.
fn connect(router: &Host, host: &Host, network: u8) -> Result<()> {
    let port = host.name();
    let namespace = host.namespace();
    let (gateway, address) = (gateway_of(network), host.address());
    let steps: [Command; 6] = [
        router.ip(&format!(
            "link add {port} type veth peer name eth0 netns {namespace}"
        )),
        router.ip(&format!("address add {gateway}/24 dev {port}")),
        router.ip(&format!("link set {port} up")),
        host.ip(&format!("address add {address}/24 dev eth0")),
        host.ip("link set eth0 up"),
        host.ip(&format!("route add default via {gateway}")),
    ];
    for mut step in steps {
        process::output(&mut step)?;
    }
    Ok(())
}

const fn address_of(network: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, network, 2)
}

const fn gateway_of(network: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, network, 1)
}

fn network_of(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::interrupt::Interrupt;

    fn namespaces_beginning_with(prefix: &str) -> Vec<String> {
        leftovers::namespaces()
            .expect("ip netns list")
            .into_iter()
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    #[test]
    fn root_a_topology_leaves_nothing_behind() {
        if !process::is_root() {
            eprintln!("SKIPPED: needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces");
            return;
        }
        let mut topology = Topology::build("sockpulse-test-drop", 1).expect("a topology");
        let prefix = topology.prefix().to_owned();
        let directory = topology.directory().to_owned();
        assert_eq!(namespaces_beginning_with(&prefix).len(), 3);
        let mut sleep = topology.server().command("sleep");
        let pid = topology
            .server_mut()
            .start(sleep.arg("600"))
            .expect("a process");
        drop(topology);
        assert!(namespaces_beginning_with(&prefix).is_empty());
        assert!(!directory.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn root_a_client_reaches_the_server_until_it_vanishes() {
        if !process::is_root() {
            eprintln!("SKIPPED: needs CAP_SYS_ADMIN and CAP_NET_ADMIN for namespaces");
            return;
        }
        let interrupt = Interrupt::install().expect("signal handlers");
        let mut topology = Topology::build("sockpulse-test-vanish", 1).expect("a topology");
        let server = topology.server().address();
        let mut redis = topology.server().command("redis-server");
        redis.args(["--save", "", "--protected-mode", "no"]);
        redis.current_dir(topology.directory());
        topology.server_mut().start(&mut redis).expect("a server");

        let client = &mut topology.clients_mut()[0];
        let mut ping = client.command("redis-cli");
        ping.args(["-h", &server.to_string(), "ping"]);
        interrupt
            .wait_until("an answer of redis-server", Duration::from_secs(10), || {
                Ok(ping.output().is_ok_and(|answer| answer.stdout == b"PONG\n"))
            })
            .expect("the router forwards");
        let mut subscribe = client.command("redis-cli");
        subscribe.args(["-h", &server.to_string(), "subscribe", "news"]);
        client.start(&mut subscribe).expect("a subscriber");
        let established = |topology: &Topology| {
            let mut ss = topology.server().command("ss");
            let lines = process::output(ss.args(["-Htn", "state", "established"]));
            lines.map(|text| {
                text.lines()
                    .filter(|line| line.contains("10.77.1.2"))
                    .count()
            })
        };
        interrupt
            .wait_until("a connection", Duration::from_secs(10), || {
                Ok(established(&topology)? == 1)
            })
            .expect("the subscriber connects");

        let gone = topology.vanish().expect("the host vanishes");
        assert_eq!(gone, Some(address_of(1)));
        assert!(topology.clients().is_empty());
        assert_eq!(
            established(&topology).expect("ss"),
            1,
            "the server was told that its client died"
        );
    }
}
