//! A real Redis and its clients on another host.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::deadline::wait_for;
use super::pair::{HERE, Pair};
use super::socket::connect;

/// Where Redis listens.
pub(crate) const PORT: u16 = 6379;

/// redis-server with keepalive off, in the namespace that is read.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) Child);

impl Server {
    /// Starts it, and waits until it answers.
    pub(crate) fn start(pair: &Pair) -> Self {
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
#[derive(Debug)]
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

impl Client {
    /// Connects and is accepted.
    pub(crate) fn connect(pair: &Pair) -> Self {
        let mut client = Self(BufReader::new(connect(&pair.there, HERE, PORT)));
        // Redis has accepted it when it answers.
        assert_eq!(client.ask("PING"), "PONG");
        client
    }

    /// Sends an inline command and returns the answer's text (the protocol's `+` and `$`).
    pub(crate) fn ask(&mut self, command: &str) -> String {
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
    pub(crate) fn clients(&mut self) -> BTreeMap<SocketAddr, u64> {
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
