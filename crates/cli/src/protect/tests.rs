//! protect and undo with a machine that is made up: what they print, and what they set.

mod walking;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use clap::Parser;
use sockpulse_bpf::Order;
use sockpulse_core::change::{Change, Target, Value};
use sockpulse_core::persisted::Tree;
use sockpulse_core::protect::Step;
use sockpulse_core::{
    Connection, Cookie, Coverage, EffectiveTimers, Gap, Hz, NetnsId, Observed, Process, Setting,
    Source, TcpState, Unseen, assess,
};
use sockpulse_linux::Error;
use sockpulse_linux::rearm::NotRearmed;
use sockpulse_linux::set::{Expected, NotSet};

use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::CommandError;
use crate::machine::{Machine, Visitor};
use crate::options::{NetnsChoice, SurveyOptions, Surveyed};
use crate::sample::{self, Sample};
use crate::sink::{ChangeSink, Found, Hooks, InForce, RuleInForce, Rules};
use crate::terminal::Palette;
use crate::walk::Pacer;

/// The machine of a test: each test has a thread of its own.
#[derive(Debug, Default)]
struct World {
    sockets: Vec<Connection>,
    /// What happens to these sockets when they are to be set.
    refuse: Vec<(u64, NotSet)>,
    gaps: Vec<Gap>,
    boot: &'static str,
    /// Whether sockets can be set by a walk, and how that goes.
    walk: Option<walking::Walk>,
    in_force: InForce,
    no_bpffs: bool,
    /// Whether the peers of sockets that are set send something.
    peers_talk: bool,
}

thread_local! {
    static WORLD: RefCell<World> = RefCell::default();
}

fn world<T>(work: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(work)
}

fn off(cookie: u64) -> Connection {
    let mut connection = sample::off();
    connection.id.cookie = Cookie(cookie);
    connection
}

/// Two hundred clients that never asked, one that did, some that must not be touched, and a listener.
fn fresh() {
    let mut sockets: Vec<_> = (100..300).map(off).collect();
    sockets.push(sample::known());
    let mut local = off(300);
    local.id.remote.addr = local.id.local.addr;
    sockets.push(local);
    let mut mptcp = off(301);
    mptcp.mptcp = true;
    sockets.push(mptcp);
    let mut waiting = off(302);
    waiting.owner.processes.clear();
    waiting.owner.unseen = Some(Unseen::NoProcess);
    sockets.push(waiting);
    let mut listener = sample::listener();
    listener.id.cookie = Cookie(400);
    sockets.push(listener);
    sockets.push(sample::time_wait());
    world(|world| {
        *world = World {
            sockets,
            boot: "5c9f",
            ..World::default()
        };
    });
}

/// Only what can be set.
fn only_clients() {
    fresh();
    world(|world| {
        world
            .sockets
            .retain(|one| (100..300).contains(&one.id.cookie.0) || one.id.cookie.0 == 400);
    });
}

fn survey(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let (sockets, gaps) = world(|world| (world.sockets.clone(), world.gaps.clone()));
    let namespace = sample::namespace();
    for connection in sockets {
        let mut sample = Sample::new(connection);
        sample.assessment = assess(&sample.connection, Some(&namespace), &sample::TARGET);
        let exposure = sample.assessment.exposure;
        let selector = &options.selector;
        if selector.matches(&sample.connection, &sample.place, exposure) {
            visit(&sample.row()).map_err(CommandError::output)?;
        }
    }
    Ok(Surveyed {
        namespaces: vec![namespace],
        coverage: Coverage {
            namespaces: 1,
            sockets: [(Source::TaskFile, 206)].into(),
            gaps,
            ..Coverage::default()
        },
        elapsed: std::time::Duration::from_millis(3),
    })
}

struct Pretended;

impl ChangeSink for Pretended {
    fn clock(&self) -> u64 {
        1_795_259_400
    }

    fn namespaces(&mut self, _: &[NetnsChoice]) -> Result<Found, CommandError> {
        Ok(Found::default())
    }

    fn tree(&self) -> Tree {
        Tree::default()
    }

    fn hz(&self) -> Option<Hz> {
        Hz::new(250)
    }

    fn now(&mut self, _: &Target) -> Result<Option<Value>, Error> {
        Ok(None)
    }

    fn check(&mut self, _: &Change) -> Result<(), Error> {
        panic!("not under test")
    }

    fn make(&mut self, _: &Change) -> Result<(), Error> {
        panic!("not under test")
    }

    fn boot(&self) -> String {
        world(|world| world.boot.into())
    }

    fn set_socket(
        &mut self,
        _: Process,
        cookie: Cookie,
        expected: &Expected,
        step: &Step,
    ) -> Result<EffectiveTimers, NotSet> {
        world(|world| {
            if let Some((_, why)) = world.refuse.iter().find(|(one, _)| *one == cookie.0) {
                return Err(why.clone());
            }
            let peers_talk = world.peers_talk;
            let mut sockets = world.sockets.iter_mut();
            let socket = sockets.find(|one| one.id.cookie == cookie).unwrap();
            let Observed::Known(timers) = socket.settings else {
                panic!("unknown settings are not set");
            };
            let defaults = sample::namespace().defaults.unwrap();
            assert_eq!(
                timers.effective(&defaults).idle.value,
                expected.timers.idle.value
            );
            let applied = step.applied(&timers);
            socket.settings = Observed::Known(applied);
            if peers_talk {
                socket.silence_ms = Some(0);
            }
            Ok(applied.effective(&defaults))
        })
    }

    fn rules(&mut self, _: &Path) -> Result<InForce, CommandError> {
        Ok(world(|world| world.in_force.clone()))
    }

    fn check_rules(&mut self, hooks: &Hooks, _: &Rules) -> Result<(), CommandError> {
        if world(|world| world.no_bpffs) {
            let path = hooks.pins.clone();
            let error = sockpulse_bpf::Error::NoBpffs { path };
            return Err(crate::survey::of_rules(error));
        }
        Ok(())
    }

    fn set_rules(&mut self, hooks: &Hooks, rules: &Rules) -> Result<InForce, CommandError> {
        self.check_rules(hooks, rules)?;
        let rules_in_force = rules.rules.iter().map(|rule| RuleInForce {
            text: rule.text.clone(),
            set: 12,
            ..RuleInForce::default()
        });
        let in_force = InForce {
            rules: rules_in_force.collect(),
            accepted: rules.accepted,
            hooks: vec!["cgroup/connect4", "cgroup/bind4"],
            ..InForce::default()
        };
        world(|world| world.in_force = in_force.clone());
        Ok(in_force)
    }

    fn may_walk(&mut self, _: &SurveyOptions) -> Result<bool, CommandError> {
        Ok(world(|world| world.walk.is_some()))
    }

    fn walk(
        &mut self,
        orders: &mut dyn ExactSizeIterator<Item = Order>,
        namespaces: &BTreeMap<NetnsId, usize>,
        pacer: &mut dyn Pacer,
    ) -> Result<(), CommandError> {
        walking::walk(orders, namespaces, pacer)
    }

    fn rearm(&mut self, _: Process, _: Cookie) -> Result<(), NotRearmed> {
        panic!("not under test")
    }
}

/// A folder for the journal, which goes with the test.
struct State(tempfile::TempDir);

impl State {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What a command answers, in one text.
    fn run(&self, line: &str) -> String {
        let words = format!("sockpulse {line} --state-dir STATE");
        let state = self.0.path().display().to_string();
        let words = words
            .split(' ')
            .map(|word| if word == "STATE" { &*state } else { word });
        let cli = Cli::try_parse_from(words).unwrap();
        let face = Face {
            output: cli.global.output,
            width: 80,
            height: None,
            palette: Palette::Plain,
        };
        let machine = Machine {
            changes: || Box::new(Pretended),
            ..sample::machine(survey)
        };
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let result = match &cli.command {
            Command::Protect(args) => super::run(args, &face, &machine, &mut out, &mut stderr),
            Command::Unprotect(args) => super::end(args, &face, &machine, &mut out, &mut stderr),
            Command::Undo(args) => {
                crate::defaults::undo(args, &face, &machine, &mut out, &mut stderr)
            }
            other => panic!("{other:?}"),
        };
        let mut text = format!("$ sockpulse {line}\n{}", String::from_utf8(out).unwrap());
        for line in String::from_utf8(stderr).unwrap().lines() {
            let _ = writeln!(text, "2> {line}");
        }
        let status = match result {
            Ok(exit) => exit.status(),
            Err(error) => {
                let _ = writeln!(text, "2> error: {error}");
                for hint in error.hints() {
                    let _ = writeln!(text, "2> hint: {hint}");
                }
                error.status()
            }
        };
        let _ = writeln!(text, "exit status {status}");
        text.replace(&state, "STATE")
            .replace(&format!("{}   ", crate::terminal::host()), "db7   ")
    }

    fn all(&self, lines: &[&str]) -> String {
        let answers: Vec<_> = lines.iter().map(|line| self.run(line)).collect();
        answers.join("\n")
    }
}

fn timers(cookie: u64) -> sockpulse_core::SocketTimers {
    world(|world| {
        let mut sockets = world.sockets.iter();
        let socket = sockets.find(|one| one.id.cookie.0 == cookie).unwrap();
        socket.settings.known().unwrap()
    })
}

#[test]
fn a_screen_tells_what_is_planned_done_and_left() {
    fresh();
    let state = State::new();
    let words = "protect --existing --idle 60s --interval 10s --probes 6 --spread 0";
    let text = state.all(&[&format!("{words} --dry-run"), words, words]);
    for screen in text.split("\n\n$") {
        assert!(screen.lines().count() <= 26, "{screen}");
    }
    for line in text.lines() {
        assert!(line.len() <= 80 || line.starts_with(['2', '$']), "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_document_tells_the_same() {
    fresh();
    let state = State::new();
    let words = "protect --existing -o json --idle 60s --user-timeout auto --spread 0";
    let text = state.all(&[&format!("{words} --dry-run"), words, "undo -o json"]);
    insta::assert_snapshot!(text);
}

#[test]
fn what_was_set_is_put_back() {
    only_clients();
    let state = State::new();
    let before = timers(150);
    let text = state.all(&[
        "protect --existing --idle 60s --spread 0",
        "undo --list",
        "undo --dry-run",
        "undo",
        "undo --list",
        "undo",
    ]);
    insta::assert_snapshot!(text);
    let after = timers(150);
    assert!(!after.keepalive);
    // Only what was set is put back, and is the socket's own from now on.
    assert_eq!(after.idle, Setting::Socket(7200));
    assert_eq!(after.interval, before.interval);
    // An undoing is undone by its number.
    state.run("undo 2");
    assert!(timers(150).keepalive);
}

#[test]
fn what_someone_else_set_since_is_left() {
    only_clients();
    let state = State::new();
    state.run("protect --existing --idle 60s --spread 0");
    world(|world| {
        for socket in &mut world.sockets[..3] {
            if let Observed::Known(timers) = &mut socket.settings {
                timers.idle = Setting::Socket(7);
            }
        }
        world.sockets.truncate(50);
    });
    insta::assert_snapshot!(state.all(&["undo", "undo", "undo --force"]));
    assert!(!timers(100).keepalive);
}

#[test]
fn a_boot_ends_what_was_set() {
    only_clients();
    let state = State::new();
    state.run("protect --existing --idle 60s --spread 0");
    world(|world| world.boot = "another");
    insta::assert_snapshot!(state.run("undo"));
    assert!(timers(100).keepalive, "another socket with this cookie");
}

#[test]
fn what_is_refused_is_told_with_its_reason() {
    only_clients();
    let state = State::new();
    let vanished = NotSet::Unreached(Unseen::Vanished);
    let denied = NotSet::Unreached(Unseen::NotPermitted);
    let failed = NotSet::Failed(Error::NoSuchProcess { pid: 7 });
    world(|world| {
        world.refuse = vec![
            (100, vanished),
            (101, denied),
            (102, NotSet::Changed),
            (103, NotSet::Probing),
            (104, failed),
        ];
        world.gaps = vec![Gap {
            what: "owners".into(),
            why: "CAP_SYS_PTRACE is missing".into(),
            remedy: Some("run as root".into()),
        }];
    });
    insta::assert_snapshot!(state.run("protect --existing --idle 60s --spread 0"));
}

#[test]
fn nothing_at_all_for_lack_of_a_right_is_an_error() {
    only_clients();
    let state = State::new();
    let denied = || NotSet::Unreached(Unseen::NotPermitted);
    world(|world| {
        let all = world.sockets.iter();
        world.refuse = all.map(|one| (one.id.cookie.0, denied())).collect();
    });
    insta::assert_snapshot!(state.all(&[
        "protect --existing --idle 60s --spread 0",
        "undo --list",
        "undo"
    ]));
}

#[test]
fn modes_and_selectors_reach_the_plan() {
    fresh();
    let state = State::new();
    insta::assert_snapshot!(state.all(&[
        "protect --existing --mode off --dry-run",
        "protect --existing --mode tighten --idle 30s --remote 10.0.0.9 --dry-run --state listen,established",
        "protect --existing --program nothing --dry-run",
    ]));
    assert!(state.0.path().read_dir().unwrap().next().is_none());
}

#[test]
fn a_journal_that_cannot_be_written_keeps_all_from_being_set() {
    only_clients();
    let state = State::new();
    std::fs::create_dir(state.0.path().join("connections-1.jsonl")).unwrap();
    let text = state.run("protect --existing --idle 60s --spread 0");
    assert!(
        text.contains("error: failed to write the journal"),
        "{text}"
    );
    assert!(!timers(100).keepalive);
    let listener = world(|world| world.sockets.last().unwrap().state);
    assert_eq!(listener, TcpState::Listen);
}

#[test]
fn rules_for_connections_to_come_are_put_listed_ended_and_put_back() {
    only_clients();
    let state = State::new();
    let text = state.all(&[
        "protect --new --idle 2m --dry-run",
        "protect --new --idle 2m",
        "protect --new --idle 2m",
        "protect --program redis-server --idle 60s --mode tighten --user-timeout auto --spread 0",
        "protect --list",
        "protect --list -o json",
        "undo --list",
        "unprotect nobody",
        "unprotect all --dry-run",
        "unprotect all -o json",
        "protect --new --list",
        "undo",
        "unprotect",
        "unprotect",
        "protect --list",
        "undo",
        "protect --list",
    ]);
    insta::assert_snapshot!(text);
}

/// There is no room for the user timeout at first, and a moment later there is.
#[test]
fn what_is_set_in_two_steps_is_counted_once() {
    only_clients();
    world(|world| world.peers_talk = true);
    let state = State::new();
    let words =
        "protect --existing --idle 60s --interval 10s --probes 6 --user-timeout 90s --spread 0";
    insta::assert_snapshot!(state.run(words));
    assert_eq!(timers(100).user_timeout.get(), 90_000);
}

#[test]
fn what_could_mean_nothing_is_refused() {
    only_clients();
    let state = State::new();
    insta::assert_snapshot!(state.all(&[
        "protect --mode off --idle 60s",
        "protect --existing --name web",
        "protect --existing --accepted each",
        "protect --new --spread 1m",
    ]));
}

#[test]
fn one_undo_takes_back_one_command() {
    only_clients();
    let state = State::new();
    state.run("protect --program redis-server --idle 60s --spread 0");
    assert!(timers(100).keepalive);
    insta::assert_snapshot!(state.all(&["undo --dry-run", "undo -o json", "undo"]));
    assert!(!timers(100).keepalive);
    assert!(world(|world| world.in_force.rules.is_empty()));
    // An undoing is one command too.
    state.run("undo 4");
    assert!(timers(100).keepalive);
    assert_eq!(world(|world| world.in_force.rules.len()), 1);
    // Whichever number is named.
    state.run("undo 1");
    assert!(!timers(100).keepalive);
}

#[test]
fn without_the_kernels_help_what_is_open_is_set_all_the_same() {
    only_clients();
    world(|world| world.no_bpffs = true);
    let state = State::new();
    insta::assert_snapshot!(state.all(&[
        "protect --idle 60s --dry-run",
        "protect --new --idle 60s --dry-run",
        "protect --idle 60s --spread 0",
        "protect --new --idle 60s",
        "protect --idle 60s --exposure unprotected",
        "undo --list",
    ]));
}
