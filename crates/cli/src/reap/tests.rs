//! reap on a machine that is made up: whom it ends, whom it spares, and what it records.

use std::path::Path;
use std::time::Duration;

use clap::Parser;
use sockpulse_core::{Connection, NetnsId};

use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::ping::pretend::{Peer, begin, client, everyone, machine, world};
use crate::sample;
use crate::terminal::Palette;

struct Ran {
    out: String,
    stderr: String,
    exit: Result<Exit, CommandError>,
}

impl Ran {
    /// All that is to be seen, without what is another's on each run.
    fn screen(&self, state: &Path) -> String {
        let mut screen = self.out.clone();
        for line in self.stderr.lines() {
            screen += &format!("2> {line}\n");
        }
        match &self.exit {
            Ok(exit) => screen += &format!("exit status {}\n", exit.status()),
            Err(error) => screen += &format!("error: {error}, {:?}\n", error.hints()),
        }
        let host = crate::terminal::host();
        screen
            .replace(&state.display().to_string(), "STATE")
            .replace(&format!("on {host}\n"), "on HOST\n")
    }
}

fn reap(state: &Path, words: &str) -> Ran {
    let state = state.display();
    let line = format!("sockpulse reap --state-dir {state} {words}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Reap(args) = &cli.command else {
        panic!("no reaping: {line}");
    };
    let face = Face {
        output: cli.global.output,
        // The journal's folder is another on each run.
        width: 160,
        height: None,
        palette: Palette::Plain,
    };
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let exit = super::run(args, &face, &machine(), &mut out, &mut stderr);
    Ran {
        out: String::from_utf8(out).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        exit,
    }
}

const SOON: Peer = Peer::Answers(Duration::from_micros(140));

fn destroyed() -> Vec<u64> {
    let mut destroyed: Vec<u64> =
        world(|world| world.destroyed.iter().map(|(_, cookie)| *cookie).collect());
    destroyed.sort_unstable();
    destroyed
}

fn of(cookie: u64, program: &[u8], pid: u32) -> Connection {
    let mut connection = client(cookie);
    connection.owner.processes = vec![sample::process(pid, 9, program)];
    connection
}

#[test]
fn only_the_dead_are_ended() {
    let state = tempfile::tempdir().unwrap();
    begin(everyone());
    let ran = reap(state.path(), "--yes");
    assert_eq!(destroyed(), [3, 4, 21]);
    assert!(world(|world| world.questions.is_empty()));
    insta::assert_snapshot!(ran.screen(state.path()));
    // Once more: nobody is dead any more.
    let ran = reap(state.path(), "--yes");
    assert_eq!(destroyed(), [3, 4, 21]);
    insta::assert_snapshot!("nobody_is_dead", ran.screen(state.path()));
}

#[test]
fn everything_is_recorded_before_and_after() {
    let state = tempfile::tempdir().unwrap();
    begin(vec![
        (client(1), SOON),
        (client(2), Peer::Silent),
        (client(3), Peer::Late(25)),
    ]);
    let ran = reap(state.path(), "--yes -o json");
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for (key, count) in [("alive", 1), ("dead", 2), ("destroyed", 1), ("spared", 1)] {
        assert_eq!(document[key], count, "{key}: {}", ran.out);
    }
    insta::assert_snapshot!("document", ran.screen(state.path()));
    let read = |name: &str| std::fs::read_to_string(state.path().join(name)).unwrap();
    insta::assert_snapshot!("records", read("connections-1.jsonl"));
    let journal = read("journal.jsonl");
    assert!(journal.contains("\"target\":\"destroyed\""), "{journal}");
    assert!(journal.contains("\"outcomes\":[\"done\"]"), "{journal}");
}

/// Whoever is heard while the others are ended is left alone: the path has come back.
#[test]
fn one_that_answers_at_the_last_moment_is_spared() {
    let state = tempfile::tempdir().unwrap();
    for probe in 25..=27 {
        begin(vec![
            (client(2), Peer::Late(probe)),
            (client(3), Peer::Late(28)),
        ]);
        let ran = reap(state.path(), "--yes -o json");
        assert_eq!(destroyed(), [3], "{probe}: {}", ran.out);
    }
}

#[test]
fn a_rehearsal_ends_nobody() {
    let state = tempfile::tempdir().unwrap();
    begin(everyone());
    let ran = reap(state.path(), "--dry-run");
    assert!(destroyed().is_empty());
    assert!(!state.path().join("journal.jsonl").exists());
    insta::assert_snapshot!(ran.screen(state.path()));
}

/// Then it is not known that nobody is dead.
#[test]
fn who_interrupts_it_is_told_so() {
    let state = tempfile::tempdir().unwrap();
    begin(vec![(client(1), Peer::Silent)]);
    world(|world| world.interrupt = Some(Duration::from_secs(2)));
    let ran = reap(state.path(), "--yes");
    assert!(destroyed().is_empty());
    assert!(ran.out.contains("it was interrupted"), "{}", ran.out);
    assert_eq!(ran.exit.unwrap(), Exit::Partial);
}

#[test]
fn somebody_has_to_consent() {
    let state = tempfile::tempdir().unwrap();
    let sockets = || {
        begin(vec![
            (of(1, b"redis-server", 812), Peer::Silent),
            (of(2, b"nginx", 7), Peer::Silent),
            (of(3, b"nginx", 7), Peer::Silent),
        ]);
    };
    sockets();
    let ran = reap(state.path(), "");
    let error = ran.exit.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(
        error.to_string(),
        "there is no terminal on which somebody could consent"
    );
    assert!(world(|world| world.sent.is_empty()), "nobody was asked");
    for (says, ended) in [(false, 0), (true, 3)] {
        sockets();
        world(|world| world.says = Some(says));
        let ran = reap(state.path(), "");
        assert_eq!(
            world(|world| world.questions.clone()),
            ["destroy 3 connections of 2 programs?"]
        );
        assert_eq!(destroyed().len(), ended);
        insta::assert_snapshot!(format!("consent_{says}"), ran.screen(state.path()));
    }
}

#[test]
fn they_are_ended_no_faster_than_asked_for() {
    let state = tempfile::tempdir().unwrap();
    begin(
        (1..=60)
            .map(|cookie| (client(cookie), Peer::Silent))
            .collect(),
    );
    let _ = reap(state.path(), "--yes --max-per-second 10");
    let ended = world(|world| world.destroyed.clone());
    assert_eq!(ended.len(), 60);
    for second in ended.windows(12) {
        assert!(
            second[11].0 - second[0].0 >= Duration::from_secs(1),
            "{second:?}"
        );
    }
    // Each was asked shortly before.
    let sent = world(|world| world.sent.clone());
    for (at, cookie) in ended {
        let last = sent.iter().rfind(|(_, one)| *one == cookie).unwrap();
        assert!(at - last.0 < Duration::from_secs(2), "{cookie}");
    }
}

#[test]
fn without_asking_only_as_silent_as_they_were() {
    let state = tempfile::tempdir().unwrap();
    let refused = reap(state.path(), "--unverified --yes").exit.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);
    begin(vec![
        (client(1), SOON),
        (client(2), Peer::Silent),
        (client(3), Peer::Closed),
    ]);
    world(|world| world.speaks = Some(1));
    let ran = reap(state.path(), "--unverified --silent-for 1h --yes");
    assert_eq!(destroyed(), [2]);
    assert!(world(|world| world.sent.is_empty()));
    insta::assert_snapshot!(ran.screen(state.path()));
}

#[test]
fn what_the_kernel_refuses_is_told() {
    let state = tempfile::tempdir().unwrap();
    begin(vec![(client(1), Peer::Silent)]);
    world(|world| world.may_destroy = false);
    let ran = reap(state.path(), "--yes");
    assert_eq!(
        ran.exit.as_ref().unwrap_err().kind(),
        ErrorKind::NotPermitted
    );
    insta::assert_snapshot!(ran.screen(state.path()));
}

#[test]
fn programs_that_do_not_close_are_told() {
    let state = tempfile::tempdir().unwrap();
    let mut elsewhere = client(3);
    elsewhere.id.netns = NetnsId(7);
    begin(vec![
        (of(1, b"slow", 12), Peer::Silent),
        (of(2, b"nginx", 7), Peer::Silent),
        (elsewhere, Peer::Silent),
    ]);
    world(|world| world.closed.push(NetnsId(7)));
    let ran = reap(state.path(), "--yes");
    assert_eq!(ran.exit.as_ref().unwrap(), &Exit::Partial);
    insta::assert_snapshot!(ran.screen(state.path()));
}

#[test]
fn a_journal_that_cannot_be_written_ends_nobody() {
    let state = tempfile::tempdir().unwrap();
    std::fs::create_dir(state.path().join("journal.jsonl")).unwrap();
    begin(vec![(client(1), Peer::Silent)]);
    let ran = reap(state.path(), "--yes");
    assert!(ran.exit.is_err() && destroyed().is_empty());
}

#[test]
fn undo_passes_it_over() {
    let state = tempfile::tempdir().unwrap();
    begin(vec![(client(1), Peer::Silent)]);
    let _ = reap(state.path(), "--yes");
    let undo = |words: &str| {
        let line = format!(
            "sockpulse undo --state-dir {} {words}",
            state.path().display()
        );
        let words = line.split_whitespace().map(Into::into).collect();
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let status = crate::app::run(words, &machine(), &mut out, &mut stderr);
        let text = String::from_utf8([out, stderr].concat()).unwrap();
        format!(
            "$ undo {words}\n{text}exit status {status}\n",
            words = line.rsplit(' ').next().unwrap()
        )
    };
    let all: Vec<String> = ["1", "--list"].into_iter().map(undo).collect();
    insta::assert_snapshot!(all.concat());
}
