//! Runs a scenario: builds, breaks, predicts, watches, judges.

use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::time::{Duration, Instant};

use sockpulse_core::machine::Setup;
use sockpulse_linux::{Proc, hz, sysctl};

use crate::capture::{self, Capture, Seen, Way};
use crate::connection::{self, PORT, Pair, Reader};
use crate::error::{Error, Result};
use crate::fault::{Fault, Unread, drop_from};
use crate::host::Host;
use crate::packet::{Flags, Packet};
use crate::prediction::{Predicted, Prediction};
use crate::scenario::{Begin, Case, Expected, Scenario};
use crate::settings::Settings;
use crate::topology::{SERVER_PORT, Topology};
use crate::watch::{self, Ending};

/// A scenario with settings, about to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// What is done.
    pub scenario: &'static Scenario,
    /// What breaks: the scenario's fault, or the same with other numbers.
    pub fault: Fault,
    /// What the connection has set.
    pub settings: Settings,
    /// What should become of it, where that is known beside the model.
    pub expected: Option<Expected>,
    /// How long a connection is watched that should stay.
    pub watch: Duration,
}

impl Trial {
    /// A case of the table.
    #[must_use]
    pub const fn of(scenario: &'static Scenario, case: &Case) -> Self {
        Self {
            scenario,
            fault: scenario.fault,
            settings: case.settings,
            expected: Some(case.expected),
            watch: case.watch(),
        }
    }

    /// The scenario with other settings than the table's, of which only the model knows the end.
    #[must_use]
    pub fn with(scenario: &'static Scenario, settings: Settings) -> Self {
        let known = |case: &&Case| case.settings == settings;
        if let Some(case) = scenario.cases.iter().find(known) {
            return Self::of(scenario, case);
        }
        Self {
            scenario,
            fault: scenario.fault,
            settings,
            expected: None,
            watch: scenario.cases[0].watch(),
        }
    }

    /// The same with another fault, of which again only the model knows the end.
    #[must_use]
    pub fn broken_by(self, fault: Fault) -> Self {
        if fault == self.fault {
            return self;
        }
        Self {
            fault,
            expected: None,
            ..self
        }
    }

    /// What it is called in the evidence: `vanish 2/1/3`.
    #[must_use]
    pub fn title(&self) -> String {
        self.scenario.title(&self.settings)
    }
}

/// What happened, beside what was predicted.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub trial: Trial,
    /// The model's word, given before the end.
    pub prediction: Prediction,
    /// How it ended.
    pub ending: Ending,
    /// When, or for how long it was watched, counted from the same moment as the prediction.
    pub after: Duration,
    /// The retransmission timeout when it broke.
    pub rto: Duration,
    /// The packets that the client sent and received, their time counted from the same moment.
    pub packets: Vec<Timed>,
    /// Whether the prediction holds.
    pub verdict: Verdict,
}

/// A packet and its time from the moment that the prediction counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// How long after.
    pub after: Duration,
    /// What was seen.
    pub seen: Seen,
}

/// Whether what happened is what was predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not, and why.
    Differs(String),
}

/// What clocks and rounding may differ by.
pub const EARLY: Duration = Duration::from_millis(5);
/// What scheduling may take until a waiting program runs.
pub const LATE: Duration = Duration::from_millis(60);
/// How much longer than predicted is waited for an end.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is watched.
#[derive(Debug)]
enum Watched {
    Socket(TcpStream),
    /// A socket that no program holds, in the kernel's table of the host.
    Table {
        side: Side,
        port: u16,
        state: &'static str,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// From what on is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counts {
    /// A system call of the program, of which the moment is known.
    FromTheCall,
    /// The last segment that was heard before.
    FromTheLastSegment,
}

/// A connection that is about to be watched.
#[derive(Debug)]
struct Scene {
    watched: Watched,
    /// From when on is counted.
    base: Instant,
    counts: Counts,
    rto: Option<Duration>,
    /// Held until the end, that nothing is closed before it.
    _far: Option<TcpStream>,
    held: Option<TcpListener>,
    child: Option<Child>,
}

/// Runs a trial to its end. `begun` is told the prediction when the waiting begins.
/// Needs [`crate::Rights`].
///
/// # Errors
/// What could not be built or broken. A prediction that fails is a [`Verdict`].
pub fn run(trial: &Trial, begun: impl FnOnce(&Prediction)) -> Result<Report> {
    let scenario = trial.scenario;
    let mut topology = Topology::build()?;
    for (name, value) in scenario.sysctls {
        topology.client.sysctl(name, *value)?;
        topology.server.sysctl(name, *value)?;
    }
    trial.fault.prepare(&topology)?;
    let capture = Capture::start(&topology.client, "eth0")?;
    let clocks = (Instant::now(), capture::now());
    let mut scene = set(trial, &topology)?;
    let setup = setup(&topology, trial.settings, scene.rto)?;
    let mut prediction = Prediction::of(&setup, scenario.begin, trial.fault);
    begun(&prediction);
    let deadline = scene.base
        + match prediction.outcome {
            Predicted::Ends { at, .. } => at.latest + PATIENCE,
            _ => trial.watch,
        };
    let (at, ending) = wait(trial.fault, &mut topology, &scene, deadline)?;
    if let Some(child) = &mut scene.child {
        // It may be stopped, or dead already; either way it is to go.
        let _ = child.kill();
        let _ = child.wait();
    }
    let (packets, _) = capture.finish();
    let wall = clocks.1 + scene.base.saturating_duration_since(clocks.0);
    let wall = scene.counts.exactly(wall, &packets);
    let after = (clocks.1 + at.saturating_duration_since(clocks.0)).saturating_sub(wall);
    let packets = scene.counts.timed(&packets, wall);
    let sent = |timed: &&Timed| timed.seen.way == Way::Out && !timed.is_reset();
    prediction.fit(packets.iter().filter(sent).count());
    let verdict = judge(&prediction.outcome, trial.expected, ending, after);
    Ok(Report {
        trial: *trial,
        prediction,
        ending,
        after,
        rto: setup.rto,
        packets,
        verdict,
    })
}

/// Makes the connection and breaks what is to be broken.
fn set(trial: &Trial, topology: &Topology) -> Result<Scene> {
    let (scenario, settings, fault) = (trial.scenario, trial.settings, trial.fault);
    let family = scenario.family;
    let open = |reader| Pair::open(topology, family, reader, settings);
    match scenario.begin {
        Begin::Idle => idle(fault, topology, open(Reader::Waiting)?),
        Begin::InFlight => {
            let pair = open(Reader::Waiting)?;
            fault.strike(topology)?;
            let rto = connection::info(&pair.near)?.rto;
            let base = Instant::now();
            write(&pair.near, 100)?;
            Ok(Scene::of(pair, base).with(rto))
        }
        Begin::ZeroWindow | Begin::SlowReader => {
            let pair = open(Reader::Deaf)?;
            let base = pair.fill()?;
            fault.strike(topology)?;
            if scenario.begin == Begin::SlowReader {
                read_slowly(&pair)?;
            }
            Ok(Scene::of(pair, base).since_the_last_segment())
        }
        Begin::ZeroWindowThenGone => {
            let pair = open(Reader::Deaf)?;
            // Window probes carry no data: from the first of them on nothing arrives.
            topology
                .router
                .nft("insert rule inet lab gate iifname c0 ip length < 80 drop")?;
            let base = pair.fill()?;
            Ok(Scene::of(pair, base).since_the_last_segment())
        }
        Begin::Connecting => {
            fault.strike(topology)?;
            let socket = connection::socket(&topology.client, family, settings)?;
            let base = Instant::now();
            connection::begin_to_connect(&socket, Topology::address(family))?;
            Ok(Scene::new(Watched::Socket(TcpStream::from(socket)), base))
        }
        Begin::Accepting | Begin::HalfOpenServer => request(scenario, settings, topology),
        Begin::HalfOpen => {
            let _listener = connection::listen(&topology.server, family, Reader::Waiting)?;
            topology.router.nft(ALL_BUT_SYN)?;
            let near = connection::connected(&topology.client, family, settings)?;
            let base = connection::last_heard(&near)?;
            Ok(Scene::new(Watched::Socket(near), base).since_the_last_segment())
        }
        Begin::Closing => {
            let pair = open(Reader::Waiting)?;
            fault.strike(topology)?;
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
                _far: pair.far,
                ..Scene::new(watched, base).with(rto)
            })
        }
    }
}

const ALL_BUT_SYN: &str =
    "insert rule inet lab gate iifname c0 tcp flags & (syn | ack) == ack drop";

/// A request on the server that is never completed.
fn request(scenario: &Scenario, settings: Settings, topology: &Topology) -> Result<Scene> {
    let family = scenario.family;
    let listener = connection::listen(&topology.server, family, Reader::Waiting)?;
    let base = Instant::now();
    if scenario.begin == Begin::Accepting {
        drop_from(&topology.router, SERVER_PORT)?;
    } else {
        topology.router.nft(ALL_BUT_SYN)?;
    }
    let socket = connection::socket(&topology.client, family, settings)?;
    let base = base.max(Instant::now());
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
    if scenario.begin == Begin::HalfOpenServer {
        scene._far = Some(TcpStream::from(socket));
    }
    Ok(scene)
}

fn idle(fault: Fault, topology: &Topology, mut pair: Pair) -> Result<Scene> {
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

/// What the model goes by: the settings, the sysctls as they are, the timeout as it was measured.
fn setup(topology: &Topology, settings: Settings, rto: Option<Duration>) -> Result<Setup> {
    let defaults = topology.client.run(|| sysctl::defaults(&Proc::default()))?;
    let mut setup = Setup::new(settings.timers(), defaults);
    setup.hz = hz();
    setup.rto = rto.unwrap_or(setup.rto);
    let number = |host: &Host, name| sysctl_of(host, name);
    setup.syn_retries = number(&topology.client, "tcp_syn_retries").unwrap_or(6);
    setup.syn_linear_timeouts = number(&topology.client, "tcp_syn_linear_timeouts").unwrap_or(0);
    setup.synack_retries = number(&topology.server, "tcp_synack_retries").unwrap_or(5);
    setup.orphan_retries = number(&topology.client, "tcp_orphan_retries").unwrap_or(0);
    Ok(setup)
}

fn sysctl_of(host: &Host, name: &'static str) -> Option<u32> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let text = host.run(move || std::fs::read_to_string(path)).ok()?;
    text.trim().parse().ok()
}

/// Watches, and makes what changes later.
fn wait(
    fault: Fault,
    topology: &mut Topology,
    scene: &Scene,
    deadline: Instant,
) -> Result<(Instant, Ending)> {
    let socket = match &scene.watched {
        Watched::Socket(socket) => socket,
        Watched::Table { side, port, state } => {
            let host = match side {
                Side::Client => &topology.client,
                Side::Server => &topology.server,
            };
            return watch::dropped(host, *port, state, deadline);
        }
    };
    std::thread::scope(|scope| {
        let director = fault.later().map(|(after, change)| {
            let at = scene.base + after;
            scope.spawn(move || {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                change.make(topology)
            })
        });
        let ended = watch::ending(socket, deadline);
        if let Some(director) = director {
            director
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        ended
    })
}

impl Scene {
    fn new(watched: Watched, base: Instant) -> Self {
        Self {
            watched,
            base,
            counts: Counts::FromTheCall,
            rto: None,
            _far: None,
            held: None,
            child: None,
        }
    }

    fn of(pair: Pair, base: Instant) -> Self {
        let rto = connection::info(&pair.near).ok().map(|info| info.rto);
        Self {
            _far: pair.far,
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
    fn exactly(self, moment: Duration, packets: &[Seen]) -> Duration {
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
    fn timed(self, packets: &[Seen], base: Duration) -> Vec<Timed> {
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

impl Timed {
    /// Whether it is a RST, or an ICMP error.
    #[must_use]
    pub const fn is_reset(&self) -> bool {
        match self.seen.packet {
            Packet::Tcp(segment) => segment.flags.has(Flags::RST),
            Packet::Icmp(_) => true,
        }
    }
}

fn judge(
    predicted: &Predicted,
    expected: Option<Expected>,
    ending: Ending,
    after: Duration,
) -> Verdict {
    let otherwise = expected.is_some_and(|expected| expected.ending() != ending);
    match predicted {
        Predicted::Depends => Verdict::Differs("the model cannot tell".into()),
        _ if otherwise => Verdict::Differs("the table of scenarios expects something else".into()),
        Predicted::Stays if ending == Ending::Stayed => Verdict::Holds,
        Predicted::Stays => Verdict::Differs("it was to stay".into()),
        Predicted::Ends { ending: said, .. } if *said != ending => {
            Verdict::Differs("it was to end otherwise".into())
        }
        Predicted::Ends { at, .. } if after + EARLY < at.earliest => {
            Verdict::Differs(format!("{:?} too early", at.earliest - after))
        }
        Predicted::Ends { at, .. } if after > at.latest + LATE => {
            Verdict::Differs(format!("{:?} too late", after - at.latest))
        }
        Predicted::Ends { .. } => Verdict::Holds,
    }
}

impl Expected {
    /// The same as it is measured.
    #[must_use]
    pub const fn ending(self) -> Ending {
        match self {
            Self::Stays => Ending::Stayed,
            Self::Error(errno) => Ending::Error(errno.number()),
            Self::EndOfStream => Ending::EndOfStream,
            Self::Dropped => Ending::Dropped,
        }
    }
}
