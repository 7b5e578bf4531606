//! The programs at both ends: `soak-owner` listens on the server, `soak-peer` connects from a host.
//!
//! Each takes commands from its stdin, one a line, and answers each with one line. It ends with its
//! stdin.

mod owner;
mod peer;

use std::collections::VecDeque;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};

use super::stream::{Ended, Link};
use crate::error::{Error, Result};

pub(crate) use owner::run as owner;
pub(crate) use peer::run as peer;

/// What belongs to the program itself, and not to a connection.
const STDIN: u64 = u64::MAX;
const LISTENER: u64 = u64::MAX - 1;

/// Waits for whatever comes first.
struct Loop {
    epoll: rustix::fd::OwnedFd,
    events: Vec<Event>,
    line: Vec<u8>,
    commands: VecDeque<String>,
}

impl Loop {
    /// Makes ready for many connections, and dies with whoever started it.
    fn start() -> Result<Self> {
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(Error::system("bind a program to the soak"))?;
        let maximum = getrlimit(Resource::Nofile).maximum;
        let limit = Rlimit {
            current: maximum,
            maximum,
        };
        setrlimit(Resource::Nofile, limit)
            .map_err(Error::system("raise the limit of descriptors"))?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Error::system("make an epoll"))?;
        let this = Self {
            epoll,
            events: Vec::with_capacity(1_024),
            line: Vec::new(),
            commands: VecDeque::new(),
        };
        this.add(rustix::stdio::stdin(), STDIN, EventFlags::IN)?;
        Ok(this)
    }

    fn add(&self, what: impl AsFd, number: u64, flags: EventFlags) -> Result<()> {
        epoll::add(&self.epoll, what, EventData::new_u64(number), flags)
            .map_err(Error::system("watch a descriptor"))
    }

    /// Watches a connection for what is written only while something waits to be.
    fn watch_writing(&self, link: &Link, number: usize) -> Result<()> {
        let mut flags = EventFlags::IN;
        if link.is_full() {
            flags |= EventFlags::OUT;
        }
        let number = u64::try_from(number).unwrap_or(STDIN);
        let data = EventData::new_u64(number);
        epoll::modify(&self.epoll, &link.stream, data, flags)
            .map_err(Error::system("watch a connection"))
    }

    fn forget(&self, link: &Link) {
        // It may have been forgotten already.
        let _ = epoll::delete(&self.epoll, &link.stream);
    }

    /// What happened within that time, by number; commands are kept for [`Self::command`].
    /// `None` once stdin has ended.
    fn wait(&mut self, longest: Duration) -> Result<Option<Vec<u64>>> {
        let timeout = Timespec::try_from(longest).map_err(|_| late())?;
        let buffer = rustix::buffer::spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, buffer, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::system("wait for connections")(errno)),
        }
        let came: Vec<u64> = self.events.drain(..).map(|one| one.data.u64()).collect();
        if came.contains(&STDIN) && !self.read_commands()? {
            return Ok(None);
        }
        Ok(Some(came))
    }

    fn read_commands(&mut self) -> Result<bool> {
        let mut buffer = [0; 1_024];
        let count = rustix::io::read(rustix::stdio::stdin(), &mut buffer[..])
            .map_err(Error::system("read a command"))?;
        for byte in &buffer[..count] {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.line).into_owned();
                self.commands.push_back(line);
                self.line.clear();
            } else {
                self.line.push(*byte);
            }
        }
        Ok(count > 0)
    }

    fn command(&mut self) -> Option<String> {
        self.commands.pop_front()
    }
}

fn late() -> Error {
    Error::system("wait")(std::io::ErrorKind::InvalidInput)
}

fn answer(text: &str) -> Result<()> {
    println!("{text}");
    std::io::stdout()
        .flush()
        .map_err(Error::system("answer the soak"))
}

/// What became of the connections: `report SENT RECEIVED BROKEN OPEN ABORTED`.
fn report(links: &[Link]) -> String {
    let sent: u64 = links.iter().map(|link| link.sent).sum();
    let received: u64 = links.iter().map(|link| link.received).sum();
    let count = |holds: fn(&Link) -> bool| links.iter().filter(|link| holds(link)).count();
    let aborted = Errno::CONNABORTED.raw_os_error();
    let are_aborted = links
        .iter()
        .filter(|link| link.ended == Some(Ended::Failed(aborted)))
        .count();
    format!(
        "report {sent} {received} {} {} {are_aborted}",
        count(|link| link.is_broken),
        count(Link::is_open)
    )
}

/// Reads a word of a command as a number.
fn number<T: std::str::FromStr>(word: &str, line: &str) -> Result<T> {
    word.parse()
        .map_err(|_| Error::UnknownCommand(line.to_owned()))
}

/// Takes blocking off.
fn non_blocking(stream: &TcpStream) -> Result<()> {
    stream
        .set_nonblocking(true)
        .and_then(|()| stream.set_nodelay(true))
        .map_err(Error::system("make a connection non-blocking"))
}

/// Ends a program in the way its caller expects.
const fn done() -> ExitCode {
    ExitCode::SUCCESS
}
