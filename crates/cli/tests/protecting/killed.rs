//! kill -9 at any moment: the journal tells the truth, a new run goes on, and undo takes all back.

use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::Stage;
use crate::kit::listing::SOCKPULSE;
use crate::kit::pair::THERE;
use crate::kit::socket::{connected, listen};
use crate::kit::truth::Truth;
use crate::walking;

const COUNT: usize = 400;

#[test]
fn root_a_killed_run_is_continued_and_undone() {
    if let Some(stage) = Stage::new("root_a_killed_run_is_continued_and_undone") {
        continued_and_undone(&stage, &[]);
    }
}

/// The same where all is written into the journal before the first one is set.
#[test]
fn root_a_killed_walk_is_continued_and_undone() {
    if let Some(stage) = walking::stage("root_a_killed_walk_is_continued_and_undone") {
        continued_and_undone(&stage, &walking::BY_WALK);
    }
}

fn continued_and_undone(stage: &Stage, more: &[&str]) {
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends: Vec<(TcpStream, TcpStream)> = (0..COUNT)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    let on = || {
        ends.iter()
            .filter(|ends| Truth::of(&ends.0).keepalive)
            .count()
    };
    // At very different moments: while it reads, while it sets, when it is done.
    for (round, wanted) in [0, 1, 7, 100, 250, 399].into_iter().enumerate() {
        kill_when(stage, more, || on() >= wanted && (wanted > 0 || round == 0));
        let set = on();
        check_truth(stage, set);
        let again = stage.protect(&[&["--idle", "60", "--spread", "0"], more].concat());
        let repaired = again["connections"]["changed"].as_u64().unwrap_or(0);
        assert_eq!(usize::try_from(repaired).unwrap(), COUNT - set, "{again}");
        assert_eq!(on(), COUNT);
        // Everything, whoever set it.
        stage.undo(&[&["--since", "1h"], more].concat());
        assert_eq!(on(), 0, "killed when {set} were set");
    }
}

/// Starts a paced run and kills it as soon as the condition holds.
fn kill_when(stage: &Stage, more: &[&str], condition: impl Fn() -> bool) {
    let mut command = Command::new(SOCKPULSE);
    command
        .args([
            "protect",
            "--existing",
            "--netns",
            "self",
            "--idle",
            "60",
            "--spread",
            "1500ms",
        ])
        .args(["--state-dir", stage.state()])
        .args(more)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = stage.pair.here.run(|| command.spawn()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() && child.try_wait().unwrap().is_none() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Nothing is claimed that is not so: every socket with keepalive stands in the file, and what is
/// concluded is on.
fn check_truth(stage: &Stage, set: usize) {
    let mut files: Vec<_> = std::fs::read_dir(stage.state.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_string_lossy()
                .starts_with("connections-")
        })
        .collect();
    files.sort_by_key(|path| path.metadata().unwrap().modified().unwrap());
    let Some(last) = files.last() else {
        assert_eq!(set, 0, "set without a journal");
        return;
    };
    let text = std::fs::read_to_string(last).unwrap();
    let intended = text.lines().filter(|line| line.contains("\"set\"")).count();
    let concluded = text
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|line| line["concluded"].as_u64())
        .max()
        .unwrap_or(0);
    assert!(intended >= set, "{intended} intended, {set} set");
    assert!(
        usize::try_from(concluded).unwrap() <= set,
        "{concluded} concluded, {set} set"
    );
}
