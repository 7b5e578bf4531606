//! The program on a peer's host.

use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};

use super::{Loop, answer, done, non_blocking, number, report};
use crate::error::{Error, Result};
use crate::soak::kind::Manner;
use crate::soak::stream::{Link, Writer};

/// How often a connection says something while it is busy.
const EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whose turn it is.
const TICK: Duration = Duration::from_millis(10);
/// How long it sleeps when nothing comes.
const NAP: Duration = Duration::from_secs(10);
/// Within that time all have answered, or some never will.
const LIMIT: Duration = Duration::from_secs(20);
/// Small, so that the window is closed soon.
const RECEIVE_BUFFER: usize = 4 << 10;

/// `soak-peer ADDRESS:PORT COUNT MANNER FIRST`: connects, says one block on each connection and, but for
/// `flood`, waits for the answers. Connections are numbered from FIRST on. Commands: `talk`, `stream`,
/// `rest`, `phase`, `drain`, `report`.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let line = words.join(" ");
    let &[address, count, manner, first] = words else {
        return Err(Error::UnknownCommand(line));
    };
    let unknown = || Error::UnknownCommand(line.clone());
    let address: SocketAddr = address.parse().map_err(|_| unknown())?;
    let manner = Manner::parse(manner).ok_or_else(unknown)?;
    let (count, first): (usize, u64) = (number(count, &line)?, number(first, &line)?);
    let mut peer = Peer {
        events: Loop::start()?,
        links: Vec::new(),
        asked: Vec::new(),
        reads: manner != Manner::Flood,
        streaming: None,
        talking: None,
        delays: Vec::new(),
    };
    for number in (first..).take(count) {
        peer.connect(address, number)?;
    }
    peer.say_all();
    if peer.reads {
        peer.talking = Some(Instant::now() + LIMIT);
    } else {
        answer(&format!("answered {count}"))?;
    }
    while peer.turn()? {}
    Ok(done())
}

struct Peer {
    events: Loop,
    links: Vec<Link>,
    /// When each said what is not answered.
    asked: Vec<Option<Instant>>,
    reads: bool,
    /// Since when, and how many turns there were.
    streaming: Option<(Instant, usize)>,
    /// Until when answers are waited for, before anything else is done.
    talking: Option<Instant>,
    delays: Vec<Duration>,
}

impl Peer {
    fn connect(&mut self, address: SocketAddr, name: u64) -> Result<()> {
        let failed = || Error::system::<rustix::io::Errno>("connect to the server");
        let socket = socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .map_err(failed())?;
        if !self.reads {
            sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER).map_err(failed())?;
        }
        connect(&socket, &address).map_err(failed())?;
        let stream = TcpStream::from(socket);
        non_blocking(&stream)?;
        let number = u64::try_from(self.links.len()).unwrap_or(u64::MAX);
        let flags = if self.reads {
            EventFlags::IN
        } else {
            EventFlags::empty()
        };
        self.events.add(&stream, number, flags)?;
        self.links.push(Link::new(stream, Writer::Peer, Some(name)));
        self.asked.push(None);
        Ok(())
    }

    fn turn(&mut self) -> Result<bool> {
        let nap = if self.streaming.is_some() || self.talking.is_some() {
            TICK
        } else {
            NAP
        };
        let Some(came) = self.events.wait(nap)? else {
            return Ok(false);
        };
        for number in came {
            if let Ok(number) = usize::try_from(number)
                && number < self.links.len()
            {
                self.hear(number)?;
            }
        }
        self.stream()?;
        if let Some(until) = self.talking {
            let waits = |(link, asked): (&Link, &Option<_>)| link.is_open() && asked.is_some();
            let waiting = self.links.iter().zip(&self.asked);
            let waiting = waiting.filter(|one| waits(*one)).count();
            if waiting > 0 && Instant::now() < until {
                return Ok(true);
            }
            self.talking = None;
            let open = self.links.iter().filter(|link| link.is_open()).count();
            answer(&format!("answered {}", open - waiting))?;
        }
        while self.talking.is_none()
            && let Some(line) = self.events.command()
        {
            self.obey(&line)?;
        }
        Ok(true)
    }

    fn hear(&mut self, number: usize) -> Result<()> {
        let link = &mut self.links[number];
        link.flush();
        if self.reads
            && link.receive() > 0
            && let Some(asked) = self.asked[number].take()
        {
            self.delays.push(asked.elapsed());
        }
        if !link.is_open() {
            self.events.forget(link);
            return Ok(());
        }
        if self.reads {
            self.events.watch_writing(&self.links[number], number)?;
        }
        Ok(())
    }

    /// Whoever's turn it is says something, unless it waits for an answer.
    fn stream(&mut self) -> Result<()> {
        let Some((since, turns)) = self.streaming else {
            return Ok(());
        };
        let nanos = |time: Duration| time.as_nanos();
        let count = u128::try_from(self.links.len()).unwrap_or(0);
        let due = nanos(since.elapsed()) * count / nanos(EVERY);
        let due = usize::try_from(due).unwrap_or(usize::MAX);
        for turn in turns..due {
            let number = turn % self.links.len();
            if self.asked[number].is_none() && self.links[number].is_open() {
                self.say(number);
                self.events.watch_writing(&self.links[number], number)?;
            }
        }
        self.streaming = Some((since, due));
        Ok(())
    }

    fn say(&mut self, number: usize) {
        if self.links[number].is_open() {
            self.asked[number] = Some(Instant::now());
            self.links[number].send();
        }
    }

    fn say_all(&mut self) {
        for number in 0..self.links.len() {
            self.say(number);
        }
    }

    fn obey(&mut self, line: &str) -> Result<()> {
        match line {
            "report" => answer(&report(&self.links)),
            "talk" => {
                self.say_all();
                self.talking = Some(Instant::now() + LIMIT);
                Ok(())
            }
            "stream" => {
                self.streaming = Some((Instant::now(), 0));
                answer("streaming")
            }
            "rest" => {
                self.streaming = None;
                self.talking = Some(Instant::now() + LIMIT);
                Ok(())
            }
            "phase" => {
                let text = self.phase();
                answer(&text)
            }
            "drain" => {
                self.reads = true;
                self.asked.fill(None);
                for number in 0..self.links.len() {
                    self.hear(number)?;
                }
                answer("draining")
            }
            _ => Err(Error::UnknownCommand(line.to_owned())),
        }
    }

    /// `phase COUNT MEDIAN MOST`: of the times from a block to its answer since it was asked last,
    /// microseconds.
    fn phase(&mut self) -> String {
        self.delays.sort_unstable();
        let at = |place: usize| self.delays.get(place).map_or(0, Duration::as_micros);
        let count = self.delays.len();
        let text = format!(
            "phase {count} {} {} {}",
            at(count / 2),
            at(count * 999 / 1_000),
            at(count.saturating_sub(1))
        );
        self.delays.clear();
        text
    }
}
