//! A client program of the demo: one process with many connections to Redis, as the connection
//! pool of a web application has.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, set_parent_process_death_signal};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// How often a pool says PING on each of its connections.
const PAUSE: Duration = Duration::from_secs(1);

/// `demo-client ADDRESS:PORT COUNT NAME`: opens the connections, each with the name `NAME-i`, and
/// pings on each of them once a second until it is ended.
pub(crate) fn run(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    let &[server, count, name] = words else {
        return Err(Error::UnknownCommand(words.join(" ")));
    };
    let count: u16 = count
        .parse()
        .map_err(|_| Error::UnknownCommand(words.join(" ")))?;
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(Error::system("bind a client to the demo"))?;
    rustix::thread::set_name(c"web-pool").map_err(Error::system("name a process"))?;
    let mut connections = Vec::new();
    for number in 1..=count {
        let mut connection = Connection::open(server)?;
        connection.ask(&format!("CLIENT SETNAME {name}-{number}"), "+OK")?;
        connections.push(connection);
    }
    loop {
        for connection in &mut connections {
            connection.ask("PING", "+PONG")?;
        }
        if interrupt.pause(PAUSE).is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    fn open(server: &str) -> Result<Self> {
        let stream =
            TcpStream::connect(server).map_err(Error::system("connect to redis-server"))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends an inline command of RESP and reads its answer of one line.
    fn ask(&mut self, command: &str, expected: &str) -> Result<()> {
        let action = "talk to redis-server";
        self.stream
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
            .map_err(Error::system(action))?;
        let mut line = String::new();
        self.stream
            .read_line(&mut line)
            .map_err(Error::system(action))?;
        if line.trim_end() == expected {
            return Ok(());
        }
        Err(Error::Answer {
            program: "redis-server".to_owned(),
            line,
        })
    }
}
