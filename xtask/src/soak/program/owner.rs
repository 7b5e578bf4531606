//! The program on the server, whose sockets are asked about.

use std::net::TcpListener;
use std::process::ExitCode;
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::net::sockopt;

use super::{LISTENER, Loop, answer, done, non_blocking, number, report};
use crate::error::{Error, Result};
use crate::soak::kind::Manner;
use crate::soak::options::{Inherited, Options, Set};
use crate::soak::stream::{Link, Writer};

/// How long it sleeps when nothing comes.
const NAP: Duration = Duration::from_secs(10);

/// Small, so that thousands of full queues take little memory.
const SEND_BUFFER: usize = 8 << 10;

/// `soak-owner ADDRESS:PORT MANNER`. Commands: `report`, `save`, `compare`, `inherits IDLE INTERVAL PROBES`,
/// `kernel`.
pub(crate) fn run(words: &[&str]) -> Result<ExitCode> {
    let line = words.join(" ");
    let &[address, manner] = words else {
        return Err(Error::UnknownCommand(line));
    };
    let manner = Manner::parse(manner).ok_or(Error::UnknownCommand(line))?;
    let events = Loop::start()?;
    let listener = TcpListener::bind(address).map_err(Error::system("listen"))?;
    listener
        .set_nonblocking(true)
        .map_err(Error::system("listen without blocking"))?;
    if manner == Manner::Flood {
        sockopt::set_socket_send_buffer_size(&listener, SEND_BUFFER)
            .map_err(Error::system("set a small buffer"))?;
    }
    events.add(&listener, LISTENER, EventFlags::IN)?;
    let mut owner = Owner {
        events,
        listener,
        manner,
        links: Vec::new(),
        saved: Vec::new(),
    };
    answer("listening")?;
    while owner.turn()? {}
    Ok(done())
}

struct Owner {
    events: Loop,
    listener: TcpListener,
    manner: Manner,
    links: Vec<Link>,
    saved: Vec<Options>,
}

impl Owner {
    fn turn(&mut self) -> Result<bool> {
        let Some(came) = self.events.wait(NAP)? else {
            return Ok(false);
        };
        for number in came {
            if number == LISTENER {
                self.accept()?;
            } else if let Ok(number) = usize::try_from(number)
                && number < self.links.len()
            {
                self.serve(number)?;
            }
        }
        while let Some(line) = self.events.command() {
            let said = self.obey(&line)?;
            answer(&said)?;
        }
        Ok(true)
    }

    fn accept(&mut self) -> Result<()> {
        while let Ok((stream, _)) = self.listener.accept() {
            non_blocking(&stream)?;
            let number = self.links.len();
            let set = Set::of(number).apply(&stream);
            set.map_err(Error::system("set the options of a socket"))?;
            let name = u64::try_from(number).unwrap_or(u64::MAX);
            self.events.add(&stream, name, EventFlags::IN)?;
            self.links.push(Link::new(stream, Writer::Owner, None));
        }
        Ok(())
    }

    fn serve(&mut self, number: usize) -> Result<()> {
        let link = &mut self.links[number];
        link.flush();
        let blocks = link.receive();
        for _ in 0..blocks {
            link.send();
        }
        let is_first = blocks > 0 && link.received == blocks;
        while is_first && self.manner == Manner::Flood && !link.is_full() && link.is_open() {
            link.send();
        }
        if !link.is_open() {
            self.events.forget(link);
            return Ok(());
        }
        self.events.watch_writing(&self.links[number], number)
    }

    fn obey(&mut self, line: &str) -> Result<String> {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["report"] => Ok(report(&self.links)),
            ["save"] => {
                self.saved = self.shown()?;
                Ok(format!("saved {}", self.saved.len()))
            }
            ["compare"] => {
                let now = self.shown()?;
                let pairs = self.saved.iter().zip(&now);
                let same = pairs.filter(|(before, after)| before == after).count();
                Ok(format!("same {same}"))
            }
            ["inherits", idle, interval, probes] => {
                let expected = Inherited {
                    idle: number(idle, line)?,
                    interval: number(interval, line)?,
                    probes: number(probes, line)?,
                };
                let shown = self.shown()?;
                let heirs = shown.iter().enumerate();
                let heirs = heirs.filter(|(number, _)| Set::of(*number).inherits());
                let (follow, all) = heirs.fold((0, 0), |(follow, all), (_, options)| {
                    let follows = u32::from(options.inherited == expected);
                    (follow + follows, all + 1)
                });
                Ok(format!("inherits {follow} {all}"))
            }
            ["kernel"] => self.kernel(),
            _ => Err(Error::UnknownCommand(line.to_owned())),
        }
    }

    /// `kernel UNANSWERED RETRANSMITTED`: how many connections have unanswered probes, and how many
    /// segments were sent more than once.
    fn kernel(&self) -> Result<String> {
        let (mut unanswered, mut retransmitted) = (0, 0);
        for link in self.links.iter().filter(|link| link.is_open()) {
            let seen = sockpulse_linux::ping::glance(&link.stream)
                .map_err(|error| Error::Unexpected(error.to_string()))?;
            unanswered += u32::from(seen.unanswered > 0);
            retransmitted += u64::from(seen.retransmitted);
        }
        Ok(format!("kernel {unanswered} {retransmitted}"))
    }

    fn shown(&self) -> Result<Vec<Options>> {
        let all = self.links.iter().map(|link| Options::of(&link.stream));
        all.collect::<std::result::Result<_, _>>()
            .map_err(Error::system("read the options of a socket"))
    }
}
