//! A real Redis and its clients on another host.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source};
use crate::kit::pair::{HERE, Pair};
use crate::kit::socket::connect;

const PORT: u16 = 6379;

/// redis-server with keepalive off, in the namespace that is read.
struct Server(Child);

impl Server {
    fn start(pair: &Pair) -> Self {
        let options = [
            "--bind",
            HERE,
            "--protected-mode",
            "no",
            "--save",
            "",
            "--tcp-keepalive",
            "0",
            "--dir",
            "/",
        ];
        let mut command = Command::new("redis-server");
        command
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let server = pair.here.run(|| command.spawn());
        let server = Self(server.expect("redis-server (Debian: redis-server)"));
        wait_for("redis-server", || {
            let address = SocketAddr::new(HERE.parse().unwrap(), PORT);
            pair.there.run(|| TcpStream::connect(address)).ok()
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client of Redis.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(pair: &Pair) -> Self {
        let mut client = Self(BufReader::new(connect(&pair.there, HERE, PORT)));
        // Redis has accepted it when it answers.
        assert_eq!(client.ask("PING"), "PONG");
        client
    }

    /// Sends an inline command and returns the answer's text (the protocol's `+` and `$`).
    fn ask(&mut self, command: &str) -> String {
        write!(self.0.get_mut(), "{command}\r\n").unwrap();
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        let (kind, rest) = line.trim_end().split_at(1);
        match kind {
            "+" => rest.to_owned(),
            "$" => {
                let mut text = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.0.read_exact(&mut text).unwrap();
                String::from_utf8(text).unwrap().trim_end().to_owned()
            }
            _ => panic!("{command}: {line}"),
        }
    }

    /// What Redis says of its clients: the peer's end, with the descriptor.
    fn clients(&mut self) -> BTreeMap<SocketAddr, u64> {
        let text = self.ask("CLIENT LIST");
        let client = |line: &str| {
            let field = |name: &str| {
                let mut fields = line.split(' ').filter_map(|field| field.split_once('='));
                let found = fields.find(|(key, _)| *key == name);
                found
                    .unwrap_or_else(|| panic!("{name} in {line}"))
                    .1
                    .to_owned()
            };
            (field("addr").parse().unwrap(), field("fd").parse().unwrap())
        };
        text.lines().map(client).collect()
    }
}

/// Clients before and after `CONFIG SET tcp-keepalive 60`: Redis and every source agree on who they
/// are, and the settings are what Redis's source says it sets: 60, 60/3 and 3.
pub(crate) fn root_redis_and_every_source_agree() {
    let pair = Pair::new();
    let server = Server::start(&pair);
    let mut without = [(); 3].map(|()| Client::connect(&pair));
    assert_eq!(without[0].ask("CONFIG SET tcp-keepalive 60"), "OK");
    let with = [(); 4].map(|()| Client::connect(&pair));
    let address = |client: &Client| client.0.get_ref().local_addr().unwrap();
    let protected: Vec<SocketAddr> = with.iter().map(address).collect();

    for source in Source::ALL {
        let words = [
            "--netns",
            "self",
            "--local",
            ":6379",
            "--state",
            "established",
        ];
        // The one that looked whether the server is up may still be in Redis's list.
        let clients = wait_for("Redis to forget who has gone", || {
            let clients = without[0].clients();
            (clients.len() == 7).then_some(clients)
        });
        let listing = Listing::of(&pair.here, source, &words);
        let seen: BTreeMap<SocketAddr, _> = listing
            .rows
            .values()
            .map(|row| (SocketAddr::from(row.end("remote")), row))
            .collect();
        assert_eq!(
            clients.keys().collect::<Vec<_>>(),
            seen.keys().collect::<Vec<_>>(),
            "{source:?}: the same clients"
        );
        for (client, row) in seen {
            let case = format!("{client} by {source:?}: {row:?}");
            if source == Source::SockDiag {
                assert!(row.at("/keepalive/on").is_null(), "{case}");
                assert_eq!(row.text("/exposure"), Some("unknown"), "{case}");
                continue;
            }
            let on = protected.contains(&client);
            assert_eq!(row.at("/keepalive/on"), on, "{case}");
            let exposure = if on { "protected" } else { "unprotected" };
            assert_eq!(row.text("/exposure"), Some(exposure), "{case}");
            if on {
                assert_eq!(row.number("/keepalive/idle/seconds"), Some(60), "{case}");
                assert_eq!(
                    row.number("/keepalive/interval/seconds"),
                    Some(20),
                    "{case}"
                );
                assert_eq!(row.number("/keepalive/probes/count"), Some(3), "{case}");
                assert_eq!(row.number("/detects_idle_s"), Some(120), "{case}");
                assert_eq!(row.text("/timer/kind"), Some("keepalive"), "{case}");
            }
            assert_eq!(
                row.number("/owner/pid"),
                Some(server.0.id().into()),
                "{case}"
            );
            assert_eq!(row.text("/owner/program"), Some("redis-server"), "{case}");
            assert_eq!(
                row.number("/owner/fd"),
                clients.get(&client).copied(),
                "{case}"
            );
        }
    }
    drop(with);
}
