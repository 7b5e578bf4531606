//! What Redis says of its clients.

use std::net::Ipv4Addr;
use std::process::Command;

use crate::error::Result;
use crate::process;
use crate::topology::Topology;

/// `redis-cli client list`, on the server.
pub(super) fn client_list(network: &Topology) -> Command {
    let mut command = network.server().command("redis-cli");
    command.args(["client", "list"]);
    command
}

/// A line of `CLIENT LIST`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct RedisClient {
    /// The other end.
    pub(super) address: Ipv4Addr,
    /// Seconds since its last command.
    pub(super) idle: u64,
    /// What is shown of it.
    pub(super) line: String,
}

/// The clients that Redis counts, without the one that asks.
pub(super) fn clients(network: &Topology) -> Result<Vec<RedisClient>> {
    let list = process::output(&mut client_list(network))?;
    let clients = list.lines().filter_map(RedisClient::parse);
    Ok(clients
        .filter(|client| !client.address.is_loopback())
        .collect())
}

impl RedisClient {
    fn parse(line: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut words = line.split(' ');
            words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
        };
        let shown = ["id", "addr", "name", "age", "idle", "cmd"];
        let shown = shown.map(|name| format!("{name}={}", field(name).unwrap_or_default()));
        Some(Self {
            address: field("addr")?.rsplit_once(':')?.0.parse().ok()?,
            idle: field("idle")?.parse().ok()?,
            line: shown.join(" "),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_client_list_is_read() {
        let line = "id=7 addr=10.77.3.2:51234 laddr=10.77.0.2:6379 fd=12 name=client3-4 age=61 \
                    idle=5 flags=N db=0 cmd=ping user=default";
        let client = RedisClient::parse(line).expect("a client");
        assert_eq!(client.address, Ipv4Addr::new(10, 77, 3, 2));
        assert_eq!(client.idle, 5);
        assert_eq!(
            client.line,
            "id=7 addr=10.77.3.2:51234 name=client3-4 age=61 idle=5 cmd=ping"
        );
    }

    #[test]
    fn what_is_no_client_is_not_read() {
        assert_eq!(RedisClient::parse(""), None);
        assert_eq!(RedisClient::parse("id=7 addr=?:0 idle=1"), None);
    }
}
