//! `watch` on a machine whose events are written here.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use sockpulse_core::event::{
    Cause, Changed, Death, Event, Item, Kind, Limit, Opener, Program, Side, Source,
};
use sockpulse_core::{Comm, Connection, Cookie, Gap, Observed, Place, TcpState, UserTimeout};

use super::source::{EventOptions, EventSource, More, Occurrence};
use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::{Machine, Survey, Visitor};
use crate::options::{SurveyOptions, Surveyed};
use crate::sample::{self, Sample};
use crate::terminal::Palette;

/// Tells what is written, and that more was lost.
struct Script {
    told: Vec<Occurrence>,
    lost: u64,
    gaps: Vec<Gap>,
}

thread_local! {
    static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

impl EventSource for Script {
    fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    fn next(&mut self, _: Duration, told: &mut Vec<Occurrence>) -> Result<More, CommandError> {
        told.append(&mut self.told);
        Ok(More::Ended)
    }

    fn lost(&mut self) -> Result<u64, CommandError> {
        Ok(self.lost)
    }

    fn skipped(&mut self) -> Result<u64, CommandError> {
        Ok(self.lost / 100)
    }
}

struct Watched {
    out: String,
    stderr: String,
    exit: Result<Exit, CommandError>,
}

fn watched(line: &str, told: Vec<Event>) -> Watched {
    on(line, sample::nothing, told, 0)
}

fn on(line: &str, survey: Survey, told: Vec<Event>, lost: u64) -> Watched {
    let place = Place::from_cgroup("/system.slice/redis.service");
    let told = told.into_iter().map(|event| Occurrence {
        event,
        place: place.clone(),
    });
    let told = told.collect();
    let gaps = Vec::new();
    SCRIPT.set(Some(Script { told, lost, gaps }));
    with(line, survey, |_| {
        let script = SCRIPT.take().expect("asked for once");
        Ok(Box::new(script))
    })
}

fn with(line: &str, survey: Survey, events: crate::machine::Events) -> Watched {
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    let Command::Watch(args) = &cli.command else {
        panic!("not a watch: {line}");
    };
    let face = Face {
        output: cli.global.output,
        width: 80,
        height: None,
        palette: Palette::Plain,
    };
    let machine = Machine {
        events,
        ..sample::machine(survey)
    };
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let exit = super::run(args, &face, &machine, &mut out, &mut stderr);
    Watched {
        out: String::from_utf8(out).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        exit,
    }
}

fn not_allowed(_: &EventOptions) -> Result<Box<dyn EventSource>, CommandError> {
    let message = "failed to load watch: it needs CAP_BPF";
    Err(CommandError::new(ErrorKind::NotPermitted, message).hint("run as root"))
}

/// 2026-11-21, 11:10:00.042.
const AT: Duration = Duration::from_millis(1_795_259_400_042);

fn event(kind: Kind, connection: Connection) -> Event {
    Event {
        at: AT,
        kind,
        connection,
        age: Some(Duration::from_secs(7_321)),
        opener: None,
        source: Source::Bpf,
    }
}

fn program(pid: u32, comm: &[u8]) -> Program {
    Program {
        pid,
        comm: Comm::new(comm),
    }
}

fn died(cause: Cause, errno: i32) -> Kind {
    let by = (cause == Cause::Destroyed).then(|| program(4_242, b"ss"));
    Kind::Died(Death { cause, errno, by })
}

fn silent(unanswered: u8) -> Connection {
    let mut connection = sample::known();
    connection.silence_ms = Some(70_000);
    connection.unanswered_probes = Some(unanswered);
    connection
}

fn in_flight() -> Connection {
    let mut connection = sample::known();
    connection.unacked_bytes = Some(100);
    connection.retransmits = Some(4);
    connection.silence_ms = Some(3_420);
    if let Observed::Known(timers) = &mut connection.settings {
        timers.user_timeout = UserTimeout::new(3_000).unwrap();
    }
    connection
}

fn connecting() -> Connection {
    let mut connection = in_flight();
    connection.state = TcpState::SynSent;
    connection.silence_ms = None;
    connection.unacked_bytes = Some(1);
    connection
}

/// One of which no process is known to hold it.
fn unheld(opener: Option<Opener>) -> Event {
    let mut connection = sample::known();
    connection.id.cookie = Cookie(43);
    connection.owner.processes.clear();
    Event {
        opener,
        ..event(Kind::Opened(Side::Unknown), connection)
    }
}

fn changed(item: Item, value: u32, by: Option<Program>) -> Event {
    event(Kind::Changed(Changed { item, value, by }), sample::known())
}

/// One of each kind, and deaths of every cause.
fn everything() -> Vec<Event> {
    let unreachable = Cause::Unreachable(Some(Limit::UserTimeout));
    let mut closing = sample::known();
    closing.state = TcpState::CloseWait;
    let mut old = event(Kind::Gone, sample::known());
    old.age = None;
    vec![
        event(Kind::Opened(Side::Connected), sample::known()),
        event(Kind::Opened(Side::Accepted), sample::accepted()),
        unheld(Some(Opener::Connected(program(99, b"curl")))),
        unheld(Some(Opener::Listened(program(9, b"nginx")))),
        unheld(None),
        event(Kind::Probing, silent(1)),
        event(Kind::Recovered { unanswered: 3 }, silent(0)),
        event(Kind::Recovered { unanswered: 0 }, silent(0)),
        event(died(Cause::GivenUp(Limit::Keepalive), 110), silent(9)),
        event(died(Cause::GivenUp(Limit::UserTimeout), 110), in_flight()),
        event(
            died(Cause::GivenUp(Limit::Retransmission), 110),
            in_flight(),
        ),
        event(died(Cause::GivenUp(Limit::Handshake), 110), connecting()),
        event(died(unreachable, 113), in_flight()),
        event(died(Cause::Unreachable(None), 101), connecting()),
        event(died(Cause::Reset, 104), sample::known()),
        event(died(Cause::Reset, 111), connecting()),
        event(died(Cause::Destroyed, 103), sample::known()),
        event(died(Cause::Unknown, 5), sample::known()),
        event(Kind::Closed, closing),
        old,
        changed(Item::Idle, 60, Some(program(812, b"redis-server"))),
        changed(Item::Keepalive, 0, Some(program(77, b"\x1b[2Jdebugger"))),
        changed(Item::UserTimeout, 1_500, None),
    ]
}

/// Lines that are told by the clock have none of their own.
fn without_clock(text: &str) -> String {
    let lines = text.lines().map(|line| {
        if !["watching", "looked", "summary", "lost"]
            .iter()
            .any(|name| line.contains(&format!("\"event\":\"{name}\"")))
        {
            return line.to_owned();
        }
        let line = cut(line, "\"at\":\"", '"');
        cut(&line, "\"watched_ms\":", ',')
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn cut(line: &str, before: &str, until: char) -> String {
    let Some((head, rest)) = line.split_once(before) else {
        return line.to_owned();
    };
    let tail = rest.find(until).map_or("", |at| &rest[at..]);
    format!("{head}{before}…{tail}")
}

const ALL: &str = "opened,probing,recovered,died,closed,changed";

#[test]
fn lines_for_people() {
    let watched = watched(&format!("sockpulse watch --events {ALL}"), everything());
    insta::assert_snapshot!(watched.out);
    assert_eq!(watched.exit.unwrap(), Exit::Done);
    let (first, last) = watched.stderr.split_once('\n').unwrap();
    assert_eq!(
        first,
        "watching 0 connections in 0 namespaces, told by the kernel"
    );
    assert!(last.starts_with("23 events in "), "{last}");
    let counts = ": opened 5, probing 1, recovered 2, died 10 (destroyed 1, handshake 1, keepalive 1, \
                  reset 2, retransmission 1, unknown 1, unreachable 2, user-timeout 1), closed 1, \
                  gone 1, changed 3; none lost\n";
    assert!(last.ends_with(counts), "{last}");
}

#[test]
fn lines_for_programs() {
    let line = format!("sockpulse watch -o jsonl --events {ALL}");
    let watched = watched(&line, everything());
    assert_eq!(watched.stderr, "", "programs are told only what is amiss");
    let mut heads = Vec::new();
    for line in watched.out.lines() {
        let mut event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["schema_version"], 1);
        if let Some(connection) = event.get_mut("connection") {
            assert_eq!(connection["netns"], 4_026_531_840_u64);
            *connection = "as list has it".into();
        }
        let at = line.find(",\"connection\"").unwrap_or(line.len());
        heads.push(line[..at].to_owned());
    }
    insta::assert_snapshot!(without_clock(&heads.join("\n")));
}

#[test]
fn a_connection_is_as_list_has_it() {
    let one = vec![event(Kind::Probing, sample::known())];
    let watched = on("sockpulse watch -o jsonl", sample::everything, one, 0);
    let line = watched.out.lines().nth(2).unwrap();
    let event: serde_json::Value = serde_json::from_str(line).unwrap();
    let mut listed = Vec::new();
    crate::json::JsonEncoder::default()
        .connection(&mut listed, &Sample::new(sample::known()).row());
    let listed: serde_json::Value = serde_json::from_slice(&listed).unwrap();
    assert_eq!(event["connection"], listed);
}

#[test]
fn only_what_was_asked_for_is_told() {
    let mut other = sample::known();
    other.id.cookie = Cookie(45);
    other.id.local.port = 5432;
    other.owner.processes = vec![sample::process(7, 3, b"postgres")];
    let events = || {
        vec![
            event(Kind::Probing, sample::known()),
            event(Kind::Probing, other.clone()),
            unheld(Some(Opener::Listened(program(9, b"nginx")))),
        ]
    };
    for (selectors, owners) in [
        ("", &["redis-server", "postgres", "nginx"][..]),
        (" --program redis*", &["redis-server"]),
        (" --program nginx", &["nginx"]),
        (" --pid 7", &["postgres"]),
        (" --port 5432", &["postgres"]),
        (" --unit redis", &["redis-server", "postgres", "nginx"]),
        (" --state close-wait", &[]),
        (" --silent-for 1h", &[]),
        (" --exposure slow", &["redis-server", "postgres", "nginx"]),
        (" --exposure unprotected", &[]),
    ] {
        let line = format!("sockpulse watch -o jsonl{selectors}");
        let watched = on(&line, sample::everything, events(), 0);
        let told = watched.out.lines().filter_map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            Some(event.get("owner")?["program"].as_str()?.to_owned())
        });
        assert_eq!(told.collect::<Vec<_>>(), owners, "{selectors}");
    }
}

#[test]
fn a_look_at_all_sockets_knows_who_holds_a_connection() {
    let mut unheld = unheld(Some(Opener::Listened(program(9, b"nginx"))));
    unheld.connection.id.cookie = sample::known().id.cookie;
    let watched = on("sockpulse watch", sample::everything, vec![unheld], 0);
    assert!(
        watched.out.contains(" redis-server(812)"),
        "{}",
        watched.out
    );
    assert!(
        watched
            .stderr
            .starts_with("watching 5 connections in 1 namespace,"),
        "{}",
        watched.stderr
    );
}

#[test]
fn it_ends_after_as_many_as_were_asked_for() {
    let line = "sockpulse watch --count 2 --events probing,died";
    let watched = watched(line, everything());
    assert_eq!(watched.out.lines().count(), 2);
    assert!(watched.stderr.contains("\n2 events in "));
}

static IS_OVER: AtomicBool = AtomicBool::new(false);

fn endless(_: &SurveyOptions, _: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !IS_OVER.load(Ordering::Relaxed) && Instant::now() < deadline {
        std::thread::yield_now();
    }
    Err(CommandError::new(ErrorKind::Incomplete, "it took too long"))
}

/// Events wait for the first look, and not for ever.
#[test]
fn what_waits_for_the_first_look_is_told_at_the_end() {
    let told = vec![event(Kind::Opened(Side::Accepted), sample::known()); 3];
    let ran = on("sockpulse watch --for 1ms", endless, told, 0);
    IS_OVER.store(true, Ordering::Relaxed);
    assert_eq!(ran.out.lines().count(), 3, "{}{}", ran.out, ran.stderr);
    assert!(ran.stderr.contains("3 events"), "{}", ran.stderr);
}

#[test]
fn what_was_lost_is_told_and_is_partial() {
    let one = || vec![event(Kind::Probing, silent(1))];
    let people = on("sockpulse watch", sample::nothing, one(), 1_200);
    assert_eq!(people.exit.unwrap(), Exit::Partial);
    let last = people.out.lines().last().unwrap();
    let lost = " lost      1,200 events: they came faster than they could be told";
    assert!(last.ends_with(lost), "{last}");
    assert!(
        people
            .stderr
            .ends_with("; 1,200 lost, at most 12 not seen\n"),
        "{}",
        people.stderr
    );
    let programs = on("sockpulse watch -o jsonl", sample::nothing, one(), 1_200);
    assert_eq!(programs.out.matches("\"lost\":1200").count(), 2);
}

#[test]
fn what_the_kernel_cannot_tell_is_said() {
    let watched = with("sockpulse watch", sample::nothing, |_| {
        Ok(Box::new(Script {
            told: Vec::new(),
            lost: 0,
            gaps: vec![Gap {
                what: "changes of settings".into(),
                why: "no cgroup v2".into(),
                remedy: Some("mount one".into()),
            }],
        }))
    });
    assert_eq!(watched.exit.unwrap(), Exit::Partial);
    let gap = "not seen: changes of settings: no cgroup v2\nhint: mount one\n";
    assert!(watched.stderr.starts_with(gap), "{}", watched.stderr);
}

#[test]
fn a_partial_look_is_told() {
    let watched = on("sockpulse watch", sample::in_part, Vec::new(), 0);
    assert_eq!(watched.exit.unwrap(), Exit::Partial);
    let gap = "not seen: owners: CAP_SYS_PTRACE is missing\n";
    assert!(watched.stderr.contains(gap), "{}", watched.stderr);
}

/// Each look shows one connection with another count of unanswered probes, and then none.
fn dying(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    thread_local! {
        static LOOKS: Cell<u8> = const { Cell::new(0) };
    }
    let look = LOOKS.replace(LOOKS.get() + 1);
    if look < 3 {
        let unanswered = look;
        visit(&Sample::new(silent(unanswered)).row()).map_err(CommandError::output)?;
    }
    Ok(Surveyed {
        namespaces: vec![sample::namespace()],
        ..Surveyed::default()
    })
}

#[test]
fn without_the_kernel_two_looks_are_compared_and_it_says_so() {
    let line = "sockpulse watch --count 2 --every 1ms";
    let people = with(line, dying, not_allowed);
    insta::assert_snapshot!(without_times(&people.out));
    assert!(
        people.stderr.starts_with(
            "note: two looks are compared, since the kernel does not tell: failed to load watch: it \
             needs CAP_BPF\nwatching 1 connection in 1 namespace, by looking every 1ms\n"
        ),
        "{}",
        people.stderr
    );
    assert_eq!(people.exit.unwrap(), Exit::Done);
}

#[test]
fn every_line_of_a_scan_says_so() {
    let line = "sockpulse watch --method scan -o jsonl --count 2 --every 1ms";
    let programs = with(line, dying, |_| panic!("not asked for"));
    let lines = programs.out.lines().count();
    assert_eq!(
        (lines, programs.out.matches("\"source\":\"scan\"}").count()),
        (5, 4)
    );
}

fn without_times(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.split_once(' ').map_or(line, |(_, rest)| rest));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn what_the_kernel_refuses_is_an_error_where_it_alone_is_asked_for() {
    let watched = with("sockpulse watch --method bpf", sample::nothing, not_allowed);
    let error = watched.exit.unwrap_err();
    assert_eq!(error.status(), 4);
    assert_eq!(
        error.hints(),
        [
            "run as root",
            "--method scan compares two looks at all sockets instead"
        ]
    );
}

#[test]
fn what_has_no_end_has_no_document() {
    for format in ["json", "csv"] {
        let watched = watched(&format!("sockpulse watch -o {format}"), Vec::new());
        assert_eq!(watched.exit.unwrap_err().status(), 2, "{format}");
    }
}
