//! The course of a soak.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::actor::{Actor, Report};
use super::kind::{Kind, Truth};
use super::network::Network;
use super::round::{Round, Sockpulse};
use super::{OWNER, PEER};
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;

/// What came of it.
pub(super) struct Outcome {
    pub(super) load: String,
    pub(super) connections: usize,
    pub(super) rate: u32,
    pub(super) rounds: Vec<Round>,
    /// Round trips of busy streams: before anybody is asked; while they are; while others are.
    pub(super) quiet: Delays,
    pub(super) asked: Delays,
    pub(super) beside: Delays,
    /// Of how many sockets getsockopt shows what it showed before, after the rounds.
    pub(super) same: BTreeMap<Kind, usize>,
    /// How many show a new value of the sysctls, of how many that have none of their own.
    pub(super) follow: (usize, usize),
    /// How many of those who live have unanswered probes, after the rounds.
    pub(super) unanswered: usize,
    /// How many commands were answered of how many, between the rounds.
    pub(super) answers: (usize, usize),
    /// After the dead were ended.
    pub(super) reap: Option<i32>,
    pub(super) last_answers: BTreeMap<Kind, usize>,
    /// What the owner and the peer say in the end.
    pub(super) ends: BTreeMap<Kind, (Report, Option<Report>)>,
}

/// Times from a block to its answer, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Delays {
    pub(super) count: u64,
    pub(super) median: u64,
    /// 999 of 1,000 take at most that long.
    pub(super) high: u64,
    pub(super) most: u64,
    /// Segments that the server sent more than once, since the connections were made.
    pub(super) retransmitted: u64,
}

/// How long the streams run before anybody is asked: for each round, and at most.
const QUIET: Duration = Duration::from_secs(1);
const LONGEST_QUIET: Duration = Duration::from_secs(15);
/// How long both ends of a stream may take to agree.
const SETTLE: Duration = Duration::from_secs(60);

/// What the sysctls are set to for a moment, and to what else they are not.
const SYSCTLS: [(&str, u64); 3] = [
    ("net.ipv4.tcp_keepalive_time", 7_100),
    ("net.ipv4.tcp_keepalive_intvl", 71),
    ("net.ipv4.tcp_keepalive_probes", 7),
];

/// Runs it. Every process and every namespace of it is gone when this returns.
pub(super) fn run(
    connections: usize,
    rounds: usize,
    sockpulse: &Sockpulse,
    interrupt: &Interrupt,
) -> Result<Outcome> {
    println!("{connections} living connections, {connections} dead ones, {rounds} rounds");
    let mut stage = Stage::build(connections, interrupt)?;
    stage.begin()?;
    let quiet = QUIET * u32::try_from(rounds).unwrap_or(u32::MAX);
    interrupt.pause(quiet.min(LONGEST_QUIET))?;
    let quiet = stage.delays(Kind::Busy)?;
    stage.delays(Kind::Control)?;
    let mut done = Vec::new();
    let mut answers = (0, 0);
    for number in 1..=rounds {
        let round = stage.round(sockpulse)?;
        let (answered, of) = stage.talk_between()?;
        answers = (answers.0 + answered, answers.1 + of);
        println!("round {number} of {rounds}: {}", line(&round));
        done.push(round);
    }
    let (asked, beside) = (stage.delays(Kind::Busy)?, stage.delays(Kind::Control)?);
    let (same, unanswered) = (stage.same()?, stage.unanswered()?);
    let follow = stage.follow()?;
    let reap = stage.reap(sockpulse)?;
    println!("reap has ended with {reap:?}");
    let last_answers = stage.wake()?;
    let ends = stage.ends()?;
    Ok(Outcome {
        load: load(),
        connections,
        rate: sockpulse.rate,
        rounds: done,
        quiet,
        asked,
        beside,
        same,
        follow,
        unanswered,
        answers,
        reap,
        last_answers,
        ends,
    })
}

fn line(round: &Round) -> String {
    let false_dead = round.count(Truth::Alive, "dead");
    format!(
        "living: {} alive, {false_dead} dead; dead: {} dead; {} in all, {} probes, {:.1} s",
        round.count(Truth::Alive, "alive"),
        round.count(Truth::Dead, "dead"),
        round.total(),
        round.probes,
        round.took.as_secs_f64(),
    )
}

/// What else the machine has to do.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().unwrap_or_default().to_owned();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{load} on {processors} processors")
}

/// The hosts and the programs. The programs are dropped, and so ended, before the hosts.
struct Stage<'a> {
    owners: BTreeMap<Kind, Actor>,
    peers: BTreeMap<Kind, Actor>,
    network: Network,
    connections: usize,
    interrupt: &'a Interrupt,
}

/// Those who say something between the rounds; the busy ones do all the time.
const TALKERS: [Kind; 3] = [Kind::Idle, Kind::Lossy, Kind::Nat];

impl<'a> Stage<'a> {
    /// Makes the hosts and connects everybody.
    fn build(connections: usize, interrupt: &'a Interrupt) -> Result<Self> {
        let mut stage = Self {
            owners: BTreeMap::new(),
            peers: BTreeMap::new(),
            network: Network::build()?,
            connections,
            interrupt,
        };
        let mut first = 0;
        for kind in Kind::ASKED.into_iter().chain([Kind::Control]) {
            stage.connect(kind, first)?;
            first += kind.share(connections);
        }
        Ok(stage)
    }

    /// Numbers of connections are told from `first` on.
    fn connect(&mut self, kind: Kind, first: usize) -> Result<()> {
        let host = self.network.owner(kind);
        let address = format!("{}:{}", host.address(), kind.port());
        let manner = kind.manner().name().to_owned();
        let words = [OWNER.to_owned(), address.clone(), manner.clone()];
        let mut owner = Actor::start(host, kind, &words)?;
        owner.hear("listening", self.interrupt)?;
        let count = kind.share(self.connections);
        let host = self.network.peer(kind);
        let (number, first) = (count.to_string(), first.to_string());
        let words = [PEER.to_owned(), address, number, manner, first];
        let peer = Actor::start(host, kind, &words)?;
        let answered = peer.hear("answered", self.interrupt)?;
        if answered != [u64::try_from(count).unwrap_or(0)] {
            let text = format!("{count} connections, {kind:?}; {answered:?} answered");
            return Err(Error::Unexpected(text));
        }
        println!("  {count:6}  {}", kind.text());
        owner.ask("save", "saved", self.interrupt)?;
        self.owners.insert(kind, owner);
        self.peers.insert(kind, peer);
        Ok(())
    }

    /// The dead die, the stopped stop, the busy begin to talk.
    fn begin(&mut self) -> Result<()> {
        self.network.vanish()?;
        self.peers.remove(&Kind::Vanished);
        self.network.unplug()?;
        self.network.forget()?;
        self.peer(Kind::Stopped)?.signal(Signal::STOP)?;
        let interrupt = self.interrupt;
        for kind in [Kind::Busy, Kind::Control] {
            self.peer(kind)?.ask("stream", "streaming", interrupt)?;
            // The times of the first block, which all said at once, are no measure.
            self.delays(kind)?;
        }
        Ok(())
    }

    fn peer(&mut self, kind: Kind) -> Result<&mut Actor> {
        let gone = || Error::Unexpected(format!("a peer, {kind:?}"));
        self.peers.get_mut(&kind).ok_or_else(gone)
    }

    fn delays(&mut self, kind: Kind) -> Result<Delays> {
        let interrupt = self.interrupt;
        let owner = self.owners.get_mut(&kind);
        let kernel = owner.map(|owner| owner.ask("kernel", "kernel", interrupt));
        let kernel = kernel.transpose()?.unwrap_or_default();
        match self.peer(kind)?.ask("phase", "phase", interrupt)?[..] {
            [count, median, high, most] => Ok(Delays {
                count,
                median,
                high,
                most,
                retransmitted: kernel.get(1).copied().unwrap_or(0),
            }),
            _ => Err(Error::Unexpected("the delays of a stream".to_owned())),
        }
    }

    fn round(&self, sockpulse: &Sockpulse) -> Result<Round> {
        self.network.lose()?;
        let round = sockpulse.ping(&self.network, self.interrupt);
        self.network.lose_none()?;
        round
    }

    fn reap(&self, sockpulse: &Sockpulse) -> Result<Option<i32>> {
        self.network.lose()?;
        let reap = sockpulse.reap(&self.network, self.interrupt);
        self.network.lose_none()?;
        reap
    }

    /// Each of those who are silent in a round gives one command, and is to be answered.
    fn talk_between(&mut self) -> Result<(usize, usize)> {
        let mut sum = (0, 0);
        for kind in TALKERS {
            let of = kind.share(self.connections);
            let interrupt = self.interrupt;
            let answered = self.peer(kind)?.count("talk", "answered", interrupt)?;
            sum = (sum.0 + answered, sum.1 + of);
        }
        Ok(sum)
    }

    fn same(&mut self) -> Result<BTreeMap<Kind, usize>> {
        let mut same = BTreeMap::new();
        for kind in Kind::ASKED {
            if let Some(owner) = self.owners.get_mut(&kind) {
                same.insert(kind, owner.count("compare", "same", self.interrupt)?);
            }
        }
        Ok(same)
    }

    /// A probe of the kernel's own, which asks a closed window, may be under way: it is looked again.
    fn unanswered(&mut self) -> Result<usize> {
        let mut most = 0;
        for kind in Kind::ASKED {
            let is_alive = kind.truth() == Truth::Alive;
            let Some(owner) = self.owners.get_mut(&kind).filter(|_| is_alive) else {
                continue;
            };
            let mut least = usize::MAX;
            for _ in 0..3 {
                least = least.min(owner.count("kernel", "kernel", self.interrupt)?);
            }
            most += least;
        }
        Ok(most)
    }

    /// Sets the sysctls to something else, and back.
    fn follow(&mut self) -> Result<(usize, usize)> {
        let mut before = Vec::new();
        let mut words = vec!["inherits".to_owned()];
        for (name, value) in SYSCTLS {
            before.push(self.network.value(name)?);
            self.network.set(name, value)?;
            words.push(value.to_string());
        }
        let mut sum = (0, 0);
        for kind in Kind::ASKED {
            if let Some(owner) = self.owners.get_mut(&kind) {
                let numbers = owner.ask(&words.join(" "), "inherits", self.interrupt)?;
                let at = |place| numbers.get(place).map_or(0, |number: &u64| *number);
                sum = (sum.0 + at(0), sum.1 + at(1));
            }
        }
        for ((name, _), value) in SYSCTLS.into_iter().zip(before) {
            self.network.set(name, value.parse().unwrap_or(0))?;
        }
        let whole = |number| usize::try_from(number).unwrap_or(usize::MAX);
        Ok((whole(sum.0), whole(sum.1)))
    }

    /// Whoever was stopped goes on, whoever did not read does so; then everybody who lives gives a
    /// command.
    fn wake(&mut self) -> Result<BTreeMap<Kind, usize>> {
        let interrupt = self.interrupt;
        for kind in [Kind::Busy, Kind::Control] {
            self.peer(kind)?.ask("rest", "answered", interrupt)?;
        }
        self.peer(Kind::Stopped)?.signal(Signal::CONT)?;
        self.peer(Kind::Closed)?
            .ask("drain", "draining", interrupt)?;
        self.settle(Kind::Closed)?;
        let mut answers = BTreeMap::new();
        for kind in Kind::ASKED {
            if kind.truth() == Truth::Alive {
                let answered = self.peer(kind)?.count("talk", "answered", interrupt)?;
                answers.insert(kind, answered);
            }
        }
        Ok(answers)
    }

    /// Waits until what was queued has come; what does not come is seen in the end.
    fn settle(&mut self, kind: Kind) -> Result<()> {
        let deadline = Instant::now() + SETTLE;
        loop {
            let (owner, peer) = self.reports(kind)?;
            let has_come = peer.is_some_and(|peer| peer.received == owner.sent);
            if has_come || Instant::now() > deadline {
                return Ok(());
            }
            self.interrupt.pause(Duration::from_millis(100))?;
        }
    }

    fn reports(&mut self, kind: Kind) -> Result<(Report, Option<Report>)> {
        let interrupt = self.interrupt;
        let owner = self.owners.get_mut(&kind);
        let owner = owner.map(|owner| owner.report(interrupt)).transpose()?;
        let peer = self.peers.get_mut(&kind);
        let peer = peer.map(|peer| peer.report(interrupt)).transpose()?;
        Ok((owner.unwrap_or_default(), peer))
    }

    fn ends(&mut self) -> Result<BTreeMap<Kind, (Report, Option<Report>)>> {
        let kinds = Kind::ASKED.into_iter().chain([Kind::Control]);
        kinds.map(|kind| Ok((kind, self.reports(kind)?))).collect()
    }
}
