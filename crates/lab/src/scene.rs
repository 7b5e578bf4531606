//! How each scenario begins: the connection, what is broken, and from when on is counted.

use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use crate::capture::{Seen, Way};
use crate::connection::{self, PORT, Pair, Reader};
use crate::error::{Error, Result};
use crate::fault::{Fault, Unread, drop_from};
use crate::packet::Packet;
use crate::report::Timed;
use crate::scenario::{Begin, LATE_WRITE};
use crate::topology::{SERVER_PORT, Topology};
use crate::trial::Trial;
use crate::watch;

/// What is watched.
#[derive(Debug)]
pub(crate) enum Watched {
    Socket(TcpStream),
    /// A socket that no program holds, in the kernel's table of the host.
    Table {
        side: Side,
        port: u16,
        state: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

/// From what on is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// A system call of the program, of which the moment is known.
    FromTheCall,
    /// The last segment that was heard before.
    FromTheLastSegment,
}

/// A connection that is about to be watched.
#[derive(Debug)]
pub(crate) struct Scene {
    pub(crate) watched: Watched,
    /// From when on is counted.
    pub(crate) base: Instant,
    pub(crate) counts: Counts,
    pub(crate) rto: Option<Duration>,
    /// Held until the end, that nothing is closed before it.
    far: Option<TcpStream>,
    held: Option<TcpListener>,
    pub(crate) child: Option<Child>,
}

/// Makes the connection and breaks what is to be broken.
pub(crate) fn set(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let begin = trial.scenario.begin;
    match begin {
        Begin::Idle => idle(trial, topology),
        Begin::InFlight | Begin::LateWrite => in_flight(trial, topology),
        Begin::ZeroWindow | Begin::SlowReader | Begin::ZeroWindowThenGone => full(trial, topology),
        Begin::Connecting => connecting(trial, topology),
        Begin::Accepting | Begin::HalfOpenServer => request(trial, topology),
        Begin::HalfOpen => half_open(trial, topology),
        Begin::Closing => closing(trial, topology),
    }
}

fn open(trial: &Trial, topology: &Topology, reader: Reader) -> Result<Pair> {
    Pair::open(topology, trial.scenario.family, reader, trial.settings)
}

fn in_flight(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let pair = open(trial, topology, Reader::Waiting)?;
    trial.fault.strike(topology)?;
    if trial.scenario.begin == Begin::LateWrite {
        std::thread::sleep(LATE_WRITE);
    }
    let rto = connection::info(&pair.near)?.rto;
    let base = Instant::now();
    write(&pair.near, 100)?;
    Ok(Scene::of(pair, base).with(rto))
}

/// A peer whose window is closed.
fn full(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let pair = open(trial, topology, Reader::Deaf)?;
    if trial.scenario.begin == Begin::ZeroWindowThenGone {
        // Window probes carry no data: from the first of them on nothing arrives.
        topology.router.nft(ALL_EMPTY)?;
    }
    let base = pair.fill()?;
    if trial.scenario.begin == Begin::SlowReader {
        read_slowly(&pair)?;
    }
    Ok(Scene::of(pair, base).since_the_last_segment())
}

const ALL_EMPTY: &str = "insert rule inet lab gate iifname c0 ip length < 80 drop";

fn connecting(trial: &Trial, topology: &Topology) -> Result<Scene> {
    trial.fault.strike(topology)?;
    let family = trial.scenario.family;
    let socket = connection::socket(&topology.client, family, trial.settings)?;
    let base = Instant::now();
    connection::begin_to_connect(&socket, Topology::address(family))?;
    Ok(Scene::new(Watched::Socket(TcpStream::from(socket)), base))
}

fn half_open(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let family = trial.scenario.family;
    let listener = connection::listen(&topology.server, family, Reader::Waiting)?;
    topology.router.nft(ALL_BUT_SYN)?;
    let near = connection::connected(&topology.client, family, trial.settings)?;
    let base = connection::last_heard(&near)?;
    let mut scene = Scene::new(Watched::Socket(near), base).since_the_last_segment();
    scene.held = Some(listener);
    Ok(scene)
}

fn closing(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let pair = open(trial, topology, Reader::Waiting)?;
    trial.fault.strike(topology)?;
    let rto = connection::info(&pair.near)?.rto;
    let local = pair
        .near
        .local_addr()
        .map_err(Error::system("read an address"))?;
    let base = Instant::now();
    drop(pair.near);
    let watched = Watched::Table {
        side: Side::Client,
        port: local.port(),
        state: "04",
    };
    Ok(Scene {
        far: pair.far,
        ..Scene::new(watched, base).with(rto)
    })
}

const ALL_BUT_SYN: &str =
    "insert rule inet lab gate iifname c0 tcp flags & (syn | ack) == ack drop";

/// A request on the server that is never completed.
fn request(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let (family, begin) = (trial.scenario.family, trial.scenario.begin);
    let listener = connection::listen(&topology.server, family, Reader::Waiting)?;
    if begin == Begin::Accepting {
        drop_from(&topology.router, SERVER_PORT)?;
    } else {
        topology.router.nft(ALL_BUT_SYN)?;
    }
    let socket = connection::socket(&topology.client, family, trial.settings)?;
    let base = Instant::now();
    connection::begin_to_connect(&socket, Topology::address(family))?;
    connection::until("a request on the server", || {
        Ok(watch::is_there(&topology.server, PORT, "03")?.then_some(()))
    })?;
    let watched = Watched::Table {
        side: Side::Server,
        port: PORT,
        state: "03",
    };
    let mut scene = Scene::new(watched, base);
    scene.held = Some(listener);
    if begin == Begin::HalfOpenServer {
        scene.far = Some(TcpStream::from(socket));
    }
    Ok(scene)
}

fn idle(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let fault = trial.fault;
    let mut pair = open(trial, topology, Reader::Waiting)?;
    let mut child = None;
    if matches!(fault, Fault::Killed(_) | Fault::Stopped) {
        child = Some(pair.hand_over(&topology.server)?);
    }
    if fault == Fault::Killed(Unread::Data) {
        write(&pair.near, 100)?;
        connection::until("acknowledged bytes", || {
            let info = connection::info(&pair.near)?;
            Ok((info.unacked == 0).then_some(()))
        })?;
    }
    fault.strike(topology)?;
    let mut base = connection::last_heard(&pair.near)?;
    if let Some(child) = &mut child {
        if fault == Fault::Stopped {
            stop(child)?;
        } else {
            base = Instant::now();
            child
                .kill()
                .map_err(Error::system("kill the server's process"))?;
        }
    }
    let mut scene = Scene::of(pair, base);
    if !matches!(fault, Fault::Killed(_)) {
        scene = scene.since_the_last_segment();
    }
    scene.child = child;
    Ok(scene)
}

fn stop(child: &Child) -> Result<()> {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::STOP)
        .map_err(Error::system("stop the server's process"))
}

fn write(mut stream: &TcpStream, bytes: usize) -> Result<()> {
    use std::io::Write as _;
    let data = vec![0; bytes];
    stream
        .write_all(&data)
        .map_err(Error::system("write to the server"))
}

/// Reads a little ten times a second, until the stream ends.
fn read_slowly(pair: &Pair) -> Result<()> {
    use std::io::Read as _;
    let far = pair.far.as_ref().and_then(|far| far.try_clone().ok());
    let Some(mut far) = far else { return Ok(()) };
    std::thread::Builder::new()
        .name("slow reader".into())
        .spawn(move || {
            let mut buffer = [0; 512];
            while far.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {
                std::thread::sleep(Duration::from_millis(100));
            }
        })
        .map_err(Error::system("start a thread"))?;
    Ok(())
}

impl Scene {
    fn new(watched: Watched, base: Instant) -> Self {
        Self {
            watched,
            base,
            counts: Counts::FromTheCall,
            rto: None,
            far: None,
            held: None,
            child: None,
        }
    }

    fn of(pair: Pair, base: Instant) -> Self {
        let rto = connection::info(&pair.near).ok().map(|info| info.rto);
        Self {
            far: pair.far,
            rto,
            ..Self::new(Watched::Socket(pair.near), base)
        }
    }

    fn since_the_last_segment(self) -> Self {
        Self {
            counts: Counts::FromTheLastSegment,
            ..self
        }
    }

    fn with(self, rto: Duration) -> Self {
        Self {
            rto: Some(rto),
            ..self
        }
    }
}

impl Counts {
    /// The moment by the capture, which is exact, where `TCP_INFO` told it in jiffies.
    pub(crate) fn exactly(self, moment: Duration, packets: &[Seen]) -> Duration {
        if self == Self::FromTheCall {
            return moment;
        }
        let heard = |seen: &&Seen| {
            let segment = matches!(seen.packet, Packet::Tcp(_));
            seen.way == Way::In && segment && seen.at <= moment + JIFFIES
        };
        let last = packets.iter().rev().find(heard);
        // One that is not in the capture came before it began.
        last.map(|seen| seen.at)
            .filter(|at| moment.abs_diff(*at) <= JIFFIES)
            .unwrap_or(moment)
    }

    /// The packets behind the moment.
    pub(crate) fn timed(self, packets: &[Seen], base: Duration) -> Vec<Timed> {
        let behind = |seen: &&Seen| match self {
            // Two clocks were read one after the other.
            Self::FromTheCall => seen.at + SKEW >= base,
            // The own ACK of that segment tells nothing.
            Self::FromTheLastSegment => seen.at >= base + DELAYED_ACK,
        };
        packets
            .iter()
            .filter(behind)
            .map(|seen| Timed {
                after: seen.at.saturating_sub(base),
                seen: *seen,
            })
            .collect()
    }
}

const SKEW: Duration = Duration::from_millis(1);
/// `TCP_DELACK_MIN`, and room for the scheduler; every probe comes later.
const DELAYED_ACK: Duration = Duration::from_millis(100);

/// What `TCP_INFO` may be wrong by: a jiffy at 100 Hz and a rounded millisecond.
const JIFFIES: Duration = Duration::from_millis(12);
