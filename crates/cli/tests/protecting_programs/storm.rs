//! Thousands of silent connections: the probes that follow are paced as was predicted, and none is
//! lost.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kit::deadline::wait_for;
use crate::kit::listing::Row;
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, THERE};
use crate::kit::program::{Talking, Twin};
use crate::kit::socket::{connected, listen};
use crate::kit::stage::{Report, Stage};
use crate::kit::truth::Moment;
use crate::software::ready;

/// Counters of a namespace, from /proc/net/netstat and /proc/net/dev.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counters {
    /// Probes that a keepalive timer sent, or tried to.
    probes: u64,
    /// Connections that timers ended.
    given_up: u64,
    /// Packets that the cable did not take.
    dropped: u64,
}

impl Counters {
    fn of(netns: &Netns) -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/{}/net/{name}", netns.pid())).unwrap();
        let netstat = read("netstat");
        let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
        let names = lines.next().unwrap().split(' ');
        let values = lines.next().unwrap().split(' ');
        let all: Vec<(&str, &str)> = names.zip(values).collect();
        let counter = |name: &str| {
            let found = all.iter().find(|(one, _)| *one == name);
            found.unwrap().1.parse::<u64>().unwrap()
        };
        let dev = read("dev");
        let cable = dev.lines().find(|line| line.trim().starts_with("eth0:"));
        // Receive: bytes packets errs drop …, transmit from the ninth on.
        let column = |line: &str, at: usize| {
            let words = line.split_whitespace().nth(at);
            words.unwrap().parse::<u64>().unwrap()
        };
        Self {
            probes: counter("TCPKeepAlive"),
            given_up: counter("TCPAbortOnTimeout"),
            dropped: cable.map_or(0, |line| column(line, 4) + column(line, 12)),
        }
    }
}

/// How often the probes are counted.
const SAMPLE: Duration = Duration::from_millis(10);

/// The probes of a namespace over time: when, and how many had been sent by then.
struct Probes(Vec<(Duration, u64)>);

impl Probes {
    /// Counts while `work` is done, and then until no connection waits for its first probe.
    fn during<T>(netns: &Netns, first: u64, work: impl FnOnce() -> T) -> (Self, T) {
        let done = AtomicBool::new(false);
        let begun = Instant::now();
        let count = || {
            let before = Counters::of(netns).probes;
            let mut seen = vec![(begun.elapsed(), 0)];
            let mut rest = Duration::from_secs(60);
            loop {
                let sent = Counters::of(netns).probes - before;
                seen.push((begun.elapsed(), sent));
                if sent >= first || rest.is_zero() {
                    return Self(seen);
                }
                if done.load(Ordering::Relaxed) {
                    rest = rest.saturating_sub(SAMPLE);
                }
                std::thread::park_timeout(SAMPLE);
            }
        };
        std::thread::scope(|scope| {
            let counting = scope.spawn(count);
            let result = work();
            done.store(true, Ordering::Relaxed);
            (counting.join().unwrap(), result)
        })
    }

    /// The most within any second.
    fn busiest_second(&self) -> u64 {
        let from = |at: usize| {
            let (start, before) = self.0[at];
            let within = self.0[at..].iter();
            let last = within.take_while(|(when, _)| *when <= start + Duration::from_secs(1));
            last.last().unwrap().1 - before
        };
        (0..self.0.len()).map(from).max().unwrap()
    }

    fn all(&self) -> u64 {
        self.0.last().unwrap().1
    }
}

/// What the kernel counted in the busiest second is what was said before: never more, but for what
/// chance puts into one second, and not much less.
fn as_predicted(report: &Report, probes: &Probes, case: &str) {
    let predicted = report.count("/pace/busiest_second");
    let measured = probes.busiest_second();
    println!(
        "{case}: busiest second {measured} probes, predicted {predicted}; {} in all; spread {} ms",
        probes.all(),
        report.count("/pace/spread_ms")
    );
    let chance = 5 * predicted.isqrt() + 5;
    assert!(
        measured <= predicted + chance && predicted <= measured * 2 + 5,
        "{case}: {measured} probes in a second, predicted were {predicted}"
    );
}

const OPEN: [&str; 2] = ["--state", "established"];

/// Every connection is there, was answered since `begun`, and waits for no answer.
fn all_answered(stage: &Stage, words: &[&str], count: usize, begun: Instant) {
    let words = [words, &OPEN[..]].concat();
    wait_for("answers to all probes", || {
        let since = u64::try_from(begun.elapsed().as_millis()).unwrap();
        let rows = stage.rows(&words);
        assert_eq!(rows.len(), count, "none was lost");
        let answered = |row: &Row| {
            row.number("/timer/unanswered_probes").unwrap_or(0) == 0
                && row.number("/silence_ms").unwrap() <= since
        };
        rows.iter().all(answered).then_some(())
    });
}

/// Behind a cable: probes that the queue of the other end does not take are dropped.
#[test]
fn root_thousands_of_silent_connections_survive_their_own_storm() {
    if !ready("storm", &[Path::new("cc")]) {
        return;
    }
    const COUNT: u32 = 10_000;
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(here, &["listen", HERE, "7000"]);
    let _clients = twin.start(there, &["connect", HERE, "7000", &COUNT.to_string()]);
    let before = [Counters::of(here), Counters::of(there)];
    assert_eq!(before[0].probes, 0);

    let begun = Instant::now();
    let words = [
        "--program",
        twin.name(),
        "--idle",
        "15s",
        "--interval",
        "5s",
    ];
    let (probes, report) = Probes::during(here, COUNT.into(), || stage.protect(&words));
    assert_eq!(report.changed(), (COUNT.into(), 1), "{report:#?}");
    as_predicted(&report, &probes, "10,000 without keepalive");
    all_answered(&stage, &["--local", ":7000"], 10_000, begun);
    for (netns, before) in [here, there].into_iter().zip(before) {
        let now = Counters::of(netns);
        assert_eq!((now.given_up, now.dropped), (0, before.dropped), "{now:?}");
    }
    assert!(stage.protect(&words).is_idle());
}

/// A lowered idle time is exceeded already: each change is a probe at once.
#[test]
fn root_thousands_that_are_probed_at_once_are_set_slowly() {
    if !ready("at once", &[Path::new("cc")]) {
        return;
    }
    const COUNT: u32 = 4_000;
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(there, &["listen", THERE, "7000"]);
    let _clients = twin.start(here, &["asking", THERE, "7000", &COUNT.to_string()]);
    let server = listen(there, THERE, 0);
    let (youngest, _other_end) = connected(here, THERE, &server);
    wait_for("silence beyond the idle time", || {
        (Moment::of(&youngest).silence_ms > 6_000).then_some(())
    });
    let begun = Instant::now();
    let words = [
        "--program",
        twin.name(),
        "--mode",
        "tighten",
        "--idle",
        "6s",
    ];
    let (probes, report) = Probes::during(here, COUNT.into(), || stage.protect(&words));
    assert_eq!(report.changed(), (COUNT.into(), 0), "{report:#?}");
    as_predicted(&report, &probes, "4,000 probed at once");
    all_answered(&stage, &["--remote", ":7000"], 4_000, begun);
    assert_eq!(Counters::of(here).given_up, 0);
    assert!(stage.protect(&words).is_idle());
}

/// Over loopback a probe beyond `netdev_max_backlog` is lost, and nobody tells TCP: where local
/// connections are asked for, they are set slowly enough.
#[test]
fn root_thousands_of_local_connections_lose_no_probe() {
    if !ready("local", &[Path::new("cc")]) {
        return;
    }
    const COUNT: u32 = 3_000;
    let stage = Stage::new();
    let here = &stage.pair.here;
    let twin = Twin::compile(&stage.folder);
    let _held = local(&stage, &twin, 1, COUNT);
    let words = ["--program", twin.name(), "--idle", "9s", "--include-local"];
    let begun = Instant::now();
    // What one end sends postpones the probe of the other.
    let (probes, report) = Probes::during(here, COUNT.into(), || stage.protect(&words));
    assert_eq!(report.changed(), (u64::from(COUNT) * 2, 1), "{report:#?}");
    let predicted = report.count("/pace/busiest_second");
    assert!(probes.busiest_second() <= predicted + 5 * predicted.isqrt() + 5);
    all_answered(&stage, &["--local", ":7000"], 3_000, begun);
    all_answered(&stage, &["--remote", ":7000"], 3_000, begun);
    assert_eq!(Counters::of(here).given_up, 0);
}

/// Left out are local connections unless they are asked for: not one is probed.
#[test]
fn root_thousands_of_local_connections_are_left_alone() {
    if ready("loopback", &[Path::new("cc")]) {
        left_alone(1, 10_000);
    }
}

/// The same with a million sockets, which takes gigabytes of memory:
/// `cargo nextest run -p sockpulse-cli --run-ignored only -E 'test(million)'`.
#[test]
#[ignore = "takes some gigabytes of memory and some minutes"]
fn root_thousands_up_to_a_million_local_connections_are_left_alone() {
    if ready("a million", &[Path::new("cc")]) {
        left_alone(26, 19_231);
    }
}

fn left_alone(servers: u32, each: u32) {
    let stage = Stage::new();
    let here = &stage.pair.here;
    let twin = Twin::compile(&stage.folder);
    let opened = Instant::now();
    let _held = local(&stage, &twin, servers, each);
    println!("opened in {:.1} s", opened.elapsed().as_secs_f64());
    let begun = Instant::now();
    let report = stage.protect(&["--program", twin.name(), "--idle", "15s"]);
    let took = begun.elapsed();
    let sockets = u64::from(servers) * u64::from(each) * 2;
    println!(
        "{sockets} local sockets left out in {:.1} s",
        took.as_secs_f64()
    );
    assert_eq!(report.count("/connections/matched"), sockets, "{report:#?}");
    assert_eq!(report.changed(), (0, 0), "{report:#?}");
    assert_eq!(Counters::of(here), Counters::default());
}

/// Connections over loopback, each server at an address of its own.
fn local(stage: &Stage, twin: &Twin, servers: u32, each: u32) -> Vec<Talking> {
    let here = &stage.pair.here;
    let mut held = Vec::new();
    for server in 1..=servers {
        let address = format!("127.0.1.{server}");
        held.push(twin.start(here, &["listen", &address, "7000"]));
        held.push(twin.start(here, &["connect", &address, "7000", &each.to_string()]));
    }
    held
}
