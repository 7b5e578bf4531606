//! Open sockets of every kind.

use std::net::TcpStream;

use crate::Stage;
use crate::kit::pair::{HERE, THERE};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::Truth;

/// Two ends, `here` first.
type Ends = (TcpStream, TcpStream);

fn open(stage: &Stage, options: Options) -> Ends {
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends = connected(&stage.pair.here, THERE, &listener);
    options.apply(&ends.0);
    ends
}

fn idle(ends: &Ends) -> Option<u64> {
    let truth = Truth::of(&ends.0);
    truth.keepalive.then_some(truth.idle_s)
}

/// fill leaves alone who asked; tighten and override do not; off switches off.
#[test]
fn root_modes_are_kept() {
    let Some(stage) = Stage::new("root_modes_are_kept") else {
        return;
    };
    let silent = open(&stage, Options::OFF);
    let slow = open(&stage, Options::own(900, 75, 9));
    let fast = open(&stage, Options::own(30, 5, 3));
    let all = || [&silent, &slow, &fast].map(idle);
    let words = |mode| ["--no-jitter", "--idle", "300", "--mode", mode];

    stage.protect(&words("fill"));
    assert_eq!(all(), [Some(300), Some(900), Some(30)]);
    stage.protect(&words("tighten"));
    assert_eq!(all(), [Some(300), Some(300), Some(30)]);
    stage.protect(&words("override"));
    assert_eq!(all(), [Some(300); 3]);
    // What was not asked for is theirs still.
    assert_eq!(Truth::of(&slow.0).interval_s, 75);
    assert_eq!(Truth::of(&fast.0).probes, 3);
    stage.protect(&["--mode", "off"]);
    assert_eq!(all(), [None; 3]);
    // The last first, each as it was before.
    for expected in [
        [Some(300); 3],
        [Some(300), Some(300), Some(30)],
        [Some(300), Some(900), Some(30)],
        [None, Some(900), Some(30)],
    ] {
        stage.undo(&[]);
        assert_eq!(all(), expected);
    }
}

/// Connections within the namespace are left out, unless they are asked for.
#[test]
fn root_local_connections_are_left_out() {
    let Some(stage) = Stage::new("root_local_connections_are_left_out") else {
        return;
    };
    let listener = listen(&stage.pair.here, HERE, 0);
    let local = connected(&stage.pair.here, HERE, &listener);
    let distant = open(&stage, Options::OFF);
    let report = stage.protect(&["--idle", "60"]);
    assert_eq!(report["left_out"]["local"], 2, "{report}");
    assert!(idle(&distant).is_some() && idle(&local).is_none());
    let report = stage.protect(&["--idle", "60", "--include-local"]);
    assert_eq!(report["connections"]["changed"], 2, "{report}");
    assert!(idle(&local).is_some());
}

/// A user timeout waits where the silence leaves no room, and the rest is set.
#[test]
fn root_a_user_timeout_is_withheld_from_the_silent() {
    let Some(stage) = Stage::new("root_a_user_timeout_is_withheld_from_the_silent") else {
        return;
    };
    let ends = open(&stage, Options::OFF);
    crate::kit::deadline::wait_for("two seconds of silence", || {
        let moment = crate::kit::truth::Moment::of(&ends.0);
        (moment.silence_ms > 2_000).then_some(())
    });
    let words = [
        "--idle",
        "2",
        "--interval",
        "1",
        "--probes",
        "3",
        "--user-timeout",
        "auto",
        "--spread",
        "0",
    ];
    let report = stage.protect(&words);
    assert_eq!(report["withheld"]["silence"], 1, "{report}");
    let truth = Truth::of(&ends.0);
    assert_eq!((truth.keepalive, truth.user_timeout_ms), (true, 0));
    // Once a probe was answered there is room.
    crate::kit::deadline::wait_for("an answered probe", || {
        let moment = crate::kit::truth::Moment::of(&ends.0);
        (moment.silence_ms < 500 && moment.unanswered_probes == 0).then_some(())
    });
    let report = stage.protect(&words);
    assert_eq!(report["connections"]["changed"], 1, "{report}");
    assert_eq!(Truth::of(&ends.0).user_timeout_ms, 5_000);
}

/// Changes are spread, and the second look finds what came meanwhile.
#[test]
fn root_a_paced_run_takes_its_time_and_misses_none() {
    let Some(stage) = Stage::new("root_a_paced_run_takes_its_time_and_misses_none") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends: Vec<Ends> = (0..200)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    let started = std::time::Instant::now();
    let (report, late) = std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.protect(&["--idle", "60", "--spread", "2s"]));
        crate::kit::deadline::wait_for("the first to be set", || {
            ends.iter().any(|ends| idle(ends).is_some()).then_some(())
        });
        let late = open(&stage, Options::OFF);
        (run.join().unwrap(), late)
    });
    assert!(started.elapsed().as_secs_f64() >= 2.0);
    assert!(ends.iter().all(|ends| idle(ends).is_some()), "{report}");
    assert!(idle(&late).is_some(), "{report}");
    assert_eq!(report["meanwhile"], 1, "{report}");
    assert_eq!(report["connections"]["changed"], 201, "{report}");
    assert_eq!(report["pace"]["spread_ms"], 2_000, "{report}");
}

/// Sockets that close, and programs that set something themselves, between plan and turn.
#[test]
fn root_what_vanishes_or_changes_meanwhile_is_left() {
    let Some(stage) = Stage::new("root_what_vanishes_or_changes_meanwhile_is_left") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let mut ends: Vec<Ends> = (0..60)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    let report = std::thread::scope(|scope| {
        let run = scope.spawn(|| stage.protect(&["--idle", "60", "--spread", "3s"]));
        crate::kit::deadline::wait_for("the first to be set", || {
            ends.iter().any(|ends| idle(ends).is_some()).then_some(())
        });
        let (waiting, set): (Vec<_>, Vec<_>) =
            ends.drain(..).partition(|ends| idle(ends).is_none());
        let half = waiting.len() / 2;
        let mut kept = set;
        for (at, ends) in waiting.into_iter().enumerate() {
            if at < half {
                drop(ends);
            } else {
                Options::own(77, 7, 7).apply(&ends.0);
                kept.push(ends);
            }
        }
        ends = kept;
        run.join().unwrap()
    });
    let own = ends.iter().filter(|ends| idle(ends) == Some(77)).count();
    assert!(own > 5, "{report}");
    let refused = &report["refused"];
    assert!(refused["vanished"].as_u64() > Some(5), "{report}");
    assert!(refused["changed"].as_u64() > Some(5), "{report}");
    assert!(ends.iter().all(|ends| idle(ends).is_some()));
}
