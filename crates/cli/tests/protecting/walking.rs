//! Sockets set by a walk through the kernel's own table. Nothing connects in the tests' namespaces
//! while they are walked: arriving SYNs are what the kernel's fault needs.

use std::net::TcpStream;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use sockpulse_bpf::risk::KernelVersion;

use crate::Stage;
use crate::kit::deadline::wait_for;
use crate::kit::listing::{SOCKPULSE, run};
use crate::kit::pair::{HERE, THERE};
use crate::kit::socket::{Options, connect, connected, listen};
use crate::kit::truth::Truth;

/// What lets a walk be made whatever the kernel's version is.
pub(crate) const BY_WALK: [&str; 2] = ["--accept-kernel-risk", "CVE-2026-74714"];

/// `None` where the kernel's iterator cannot set, or without root; both are told.
pub(crate) fn stage(test: &str) -> Option<Stage> {
    if KernelVersion::running().is_some_and(|kernel| kernel < KernelVersion::new(5, 15, 0)) {
        eprintln!("SKIPPED: {test} needs Linux 5.15");
        return None;
    }
    Stage::new(test)
}

fn protect(stage: &Stage, words: &[&str]) -> Value {
    stage.protect(&[words, &BY_WALK].concat())
}

fn set(ends: &TcpStream) -> Option<u64> {
    let truth = Truth::of(ends);
    truth.keepalive.then_some(truth.idle_s)
}

/// A listener, what waits to be accepted, and connections to the outside; undo takes all of it back.
#[test]
fn root_what_waits_to_be_accepted_is_set_and_put_back() {
    let Some(stage) = stage("root_what_waits_to_be_accepted_is_set_and_put_back") else {
        return;
    };
    let listener = listen(&stage.pair.here, HERE, 0);
    let port = listener.local_addr().unwrap().port();
    let clients: Vec<_> = (0..5)
        .map(|_| connect(&stage.pair.there, HERE, port))
        .collect();
    let distant = listen(&stage.pair.there, THERE, 0);
    let ends = connected(&stage.pair.here, THERE, &distant);
    let asked = connected(&stage.pair.here, THERE, &distant);
    Options::own(900, 75, 9).apply(&asked.0);

    let words = ["--idle", "300", "--probes", "4", "--no-jitter"];
    let report = protect(&stage, &words);
    assert_eq!(report["connections"]["changed"], 6, "{report}");
    assert_eq!(report["listeners"]["changed"], 1, "{report}");
    assert_eq!(report["left_out"].as_object().unwrap().len(), 0, "{report}");
    let accepted: Vec<_> = clients
        .iter()
        .map(|_| listener.accept().unwrap().0)
        .collect();
    for socket in accepted.iter().chain([&ends.0]) {
        let truth = Truth::of(socket);
        assert_eq!((truth.idle_s, truth.probes), (300, 4));
        assert!(truth.keepalive && truth.interval_s == 75);
    }
    assert!(Truth::of(&listener).keepalive);
    assert_eq!(set(&asked.0), Some(900));
    let again = protect(&stage, &words);
    assert_eq!(again["connections"]["to_change"], 0, "{again}");

    stage.undo(&BY_WALK);
    assert!(accepted.iter().all(|socket| set(socket).is_none()));
    assert!(!Truth::of(&listener).keepalive);
    assert_eq!(set(&asked.0), Some(900));
}

/// No process is reached into.
#[test]
fn root_no_right_to_trace_is_needed() {
    let Some(stage) = stage("root_no_right_to_trace_is_needed") else {
        return;
    };
    let distant = listen(&stage.pair.there, THERE, 0);
    let ends = connected(&stage.pair.here, THERE, &distant);
    let protect = |words: &[&str]| {
        stage.pair.here.run(|| {
            let mut command = Command::new("setpriv");
            command
                .args(["--bounding-set", "-sys_ptrace", SOCKPULSE, "protect"])
                .args(["--existing", "--netns", "self", "--idle", "60"])
                .args(["-o", "json", "--state-dir", stage.state()])
                .args(words);
            run(&mut command)
        })
    };
    let ran = protect(&["--source", "pidfd"]);
    assert_ne!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(set(&ends.0), None);
    let ran = protect(&BY_WALK);
    assert_eq!(ran.json()["connections"]["changed"], 1, "{}", ran.stderr);
    assert!(set(&ends.0).is_some());
}

/// One walk at the pace that is asked for; what its program changes or closes meanwhile is left.
#[test]
fn root_a_paced_walk_takes_its_time() {
    let Some(stage) = stage("root_a_paced_walk_takes_its_time") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let mut ends: Vec<_> = (0..200)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    let started = Instant::now();
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| protect(&stage, &["--idle", "60", "--spread", "3s"]));
        wait_for("the first to be set", || {
            ends.iter().any(|ends| set(&ends.0).is_some()).then_some(())
        });
        // Some of the rest, before the walk comes by.
        let mut waiting: Vec<_> = (0..ends.len())
            .filter(|at| set(&ends[*at].0).is_none())
            .collect();
        assert!(waiting.len() > 50, "set all at once");
        for at in waiting.drain(..10) {
            Options::own(77, 7, 7).apply(&ends[at].0);
        }
        for at in waiting.drain(..10).rev() {
            drop(ends.swap_remove(at));
        }
        run.join().unwrap()
    });
    assert!(started.elapsed().as_secs_f64() >= 2.9);
    assert!(ends.iter().all(|ends| set(&ends.0).is_some()), "{report}");
    let own = ends.iter().filter(|ends| set(&ends.0) == Some(77)).count();
    // Some may have been set just before they were changed or closed.
    assert!((5..=10).contains(&own), "{own}: {report}");
    assert!(report["refused"]["changed"].as_u64() >= Some(5), "{report}");
    assert!(
        report["refused"]["vanished"].as_u64() >= Some(5),
        "{report}"
    );
}

/// Each in its namespace, from one that has none of them.
#[test]
fn root_every_namespace_is_walked() {
    let Some(stage) = stage("root_every_namespace_is_walked") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends = connected(&stage.pair.here, THERE, &listener);
    let port = listener.local_addr().unwrap().port().to_string();
    let empty = crate::kit::netns::Netns::anonymous();
    // No other program's sockets are touched.
    let pid = std::process::id().to_string();
    let mut words = vec!["protect", "--existing", "-o", "json", "--idle", "60"];
    words.extend(["--port", &port, "--pid", &pid]);
    words.extend(["--state-dir", stage.state()]);
    words.extend(BY_WALK);
    let ran = stage.in_namespace(&empty, &words);
    let report = ran.json();
    assert_eq!(report["connections"]["changed"], 2, "{report}");
    assert_eq!(report["listeners"]["changed"], 1, "{report}");
    assert!(set(&ends.0).is_some() && set(&ends.1).is_some());
}
