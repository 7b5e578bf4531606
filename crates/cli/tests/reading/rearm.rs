//! Timers that were armed before the default was lowered, and armed anew.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use serde_json::Value;

use crate::kit::listing::{Listing, SOCKPULSE, Source, run, sockpulse};
use crate::kit::openly::Openly;
use crate::kit::pair::{HERE, Pair, THERE};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::Truth;
use crate::rights::NOBODY;

/// A folder for the journal that goes with the test.
struct State(PathBuf);

impl State {
    fn new() -> Self {
        let name = format!("sockpulse-rearm-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A lowered default reaches those that follow at once; what is their own, off, or local stays.
pub(crate) fn root_a_lowered_default_reaches_armed_timers() {
    let pair = Pair::new();
    let listener = listen(&pair.there, THERE, 0);
    let open = |options: Options| {
        let (here, there) = connected(&pair.here, THERE, &listener);
        options.apply(&here);
        (here, there)
    };
    let follows: Vec<_> = (0..20).map(|_| open(Options::ON)).collect();
    let own = open(Options::own(7000, 75, 9));
    let off = open(Options::OFF);
    let local = {
        let listener = listen(&pair.here, HERE, 0);
        let ends = connected(&pair.here, HERE, &listener);
        Options::ON.apply(&ends.0);
        (listener, ends)
    };
    let untouched = [&own.0, &off.0, &local.1.0].map(|socket| due(&pair, socket));

    let state = State::new();
    let folder = state.0.display().to_string();
    let set = |words: &[&str]| -> Value {
        let mut all = vec!["defaults", "set", "-o", "json", "--state-dir", &*folder];
        all.extend(words);
        let ran = sockpulse(&pair.here, &all);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        ran.json()
    };
    // Nothing happened: the kernel does not move an armed timer.
    let report = set(&["--idle", "600"]);
    for (kind, count) in [
        ("follow", 20),
        ("own_values", 1),
        ("never_asked", 1),
        ("local", 2),
        ("armed_before", 20),
    ] {
        assert_eq!(report["impact"][kind], count, "{kind}: {report}");
    }
    assert!(due(&pair, &follows[0].0) > Some(7_000_000));

    let report = set(&["--rearm", "--spread", "200ms"]);
    assert_eq!(report["rearm"]["asked"], 20, "{report}");
    assert_eq!(report["rearm"]["done"], 20, "{report}");
    assert_eq!(report["changes"].as_array().map(Vec::len), Some(0));
    for (socket, _) in &follows {
        let due = due(&pair, socket).expect("a timer");
        // The wheel is an eighth late at most.
        assert!((590_000..=675_000).contains(&due), "{due}");
        assert!(Truth::of(socket).keepalive);
    }
    for (socket, before) in [&own.0, &off.0, &local.1.0].into_iter().zip(untouched) {
        let (before, now) = (before.unwrap_or(0), due(&pair, socket).unwrap_or(0));
        assert!(now <= before && before - now < 60_000, "{before} {now}");
    }
    // They follow the next change too: nothing became their own.
    pair.here.set("tcp_keepalive_time", 500);
    assert!(
        follows
            .iter()
            .all(|(socket, _)| Truth::of(socket).idle_s == 500)
    );
    let again = set(&["--rearm", "--spread", "0"]);
    let stale = again["impact"]["armed_before"].as_u64().unwrap();
    assert_eq!(again["rearm"]["done"], stale, "{again}");
}

/// Whoever may not look into processes is not told that there is nothing to do.
pub(crate) fn root_timers_that_may_not_be_seen_are_not_called_none() {
    let pair = Pair::new();
    let listener = listen(&pair.there, THERE, 0);
    let (here, _there) = connected(&pair.here, THERE, &listener);
    Options::ON.apply(&here);
    pair.here.set("tcp_keepalive_time", 600);
    let open = Openly::new();
    for (dry, line) in [
        (None, "no timer was seen that had to be armed anew"),
        (
            Some("--dry-run"),
            "no timer was seen that would be armed anew",
        ),
    ] {
        let mut command = Command::new(NOBODY[0]);
        command.args(&NOBODY[1..]).arg(open.sockpulse());
        command.args(["defaults", "set", "--rearm"]).args(dry);
        let ran = pair.here.run(|| run(&mut command));
        let said = String::from_utf8_lossy(&ran.stdout);
        assert_eq!(ran.status, Some(3), "{said}{}", ran.stderr);
        assert!(said.contains(line), "{said}");
        for text in [
            "it is not known whether a timer was armed",
            "CAP_SYS_PTRACE",
        ] {
            assert!(ran.stderr.contains(text), "{}", ran.stderr);
        }
    }
}

/// Ctrl-C ends the arming, not the account of it.
pub(crate) fn root_an_interrupted_rearm_says_what_was_done() {
    let pair = Pair::new();
    let listener = listen(&pair.there, THERE, 0);
    let open = || {
        let ends = connected(&pair.here, THERE, &listener);
        Options::ON.apply(&ends.0);
        ends
    };
    let _connections = [open(), open(), open()];
    pair.here.set("tcp_keepalive_time", 600);
    let mut child = pair.here.run(|| {
        let mut command = Command::new(SOCKPULSE);
        command.args(["defaults", "set", "--rearm", "--spread", "1h"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    });
    let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = stderr.next().unwrap().unwrap();
    assert_eq!(first, "arming 3 timers anew over 1h");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    let rest: Vec<_> = stderr.map(Result::unwrap).collect();
    assert_eq!(ended.status.code(), Some(3), "{said}{rest:?}");
    let stopped = rest.iter().find(|line| line.starts_with("stopped: "));
    let left = stopped.expect("what was left");
    // The first one is armed at once, unless the signal was faster.
    assert!(left.ends_with("timers left as they were"), "{left}");
}

/// Milliseconds until the keepalive timer of a socket of `here` fires.
fn due(pair: &Pair, socket: &TcpStream) -> Option<u64> {
    let listing = Listing::of(&pair.here, Source::SockDiag, &["--netns", "self"]);
    let row = listing.row(Truth::of(socket).cookie);
    row.number("/timer/expires_ms")
}
