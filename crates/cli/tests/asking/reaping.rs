//! Ending the dead, and nobody else.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Row, SOCKPULSE, run};
use crate::kit::pair::{THERE, VANISHING};
use crate::kit::socket::{connected, listen};
use crate::kit::truth::{Moment, Truth};
use crate::{Stage, deafen, doomed, heal};

const ESTABLISHED: u8 = 1;

fn is_there(socket: &TcpStream) -> bool {
    Moment::of(socket).state == ESTABLISHED
}

/// What its program reads once it has read what had come.
fn error_of(mut socket: &TcpStream) -> Option<ErrorKind> {
    socket.set_nonblocking(true).unwrap();
    let error = std::io::copy(&mut socket, &mut std::io::sink()).err();
    socket.set_nonblocking(false).unwrap();
    error.map(|error| error.kind())
}

/// The records of a run, by cookie.
fn outcome(records: &str, cookie: u64) -> Option<&str> {
    let line = format!("{{\"cookie\":\"{cookie:#x}\",\"outcome\":\"");
    let mut lines = records.lines();
    lines.find_map(|one| one.strip_prefix(&line)?.strip_suffix("\"}"))
}

#[test]
fn root_only_the_dead_are_ended() {
    let Some(stage) = Stage::new("root_only_the_dead_are_ended") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let vanishing = listen(&stage.pair.there, VANISHING, 0);
    let alive: Vec<_> = (0..20)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    let dead: Vec<_> = (0..20).map(|_| doomed(&stage, &vanishing)).collect();
    // Some of it was never read.
    for (_, far) in &dead {
        let mut far = far;
        far.write_all(&[7; 5_000]).unwrap();
    }
    wait_for("data", || {
        (crate::kit::ss::ss(&stage.pair.here).len() >= 40).then_some(())
    });
    stage.pair.vanish();

    // Without a terminal and without --yes it is not even asked.
    let refused = stage.reap(&[]);
    assert_eq!(refused.status, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("--yes"), "{}", refused.stderr);

    let rehearsed = stage.reap(&["--dry-run"]);
    assert_eq!(rehearsed.status, Some(0), "{}", rehearsed.stderr);
    let document = rehearsed.json();
    assert_eq!(
        (&document["dead"], &document["destroyed"]),
        (&20.into(), &0.into())
    );
    assert!(dead.iter().chain(&alive).all(|ends| is_there(&ends.0)));
    assert!(!stage.state.path().join("journal.jsonl").exists());

    let ran = stage.reap(&["--yes", "--max-per-second", "20"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let document = ran.json();
    for (key, count) in [
        ("alive", 20),
        ("dead", 20),
        ("destroyed", 20),
        ("spared", 0),
    ] {
        assert_eq!(document[key], count, "{key}: {document}");
    }
    assert_eq!(document["descriptors"]["before"], 20);
    // We hold them, and have not read the error yet.
    assert_eq!(document["descriptors"]["after"], 20);
    let memory = &document["memory_bytes"];
    assert!(memory["before"].as_u64() >= Some(100_000), "{memory}");
    assert!(alive.iter().all(|ends| is_there(&ends.0)));
    let records = std::fs::read_to_string(document["file"].as_str().unwrap()).unwrap();
    for (here, _) in &dead {
        assert_eq!(error_of(here), Some(ErrorKind::ConnectionAborted));
        let cookie = Truth::of(here).cookie;
        assert_eq!(outcome(&records, cookie), Some("destroyed"));
        let mut all = records.lines().skip(1);
        let record = all.find_map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let connection = Row(record["connection"].clone());
            (connection.text("/cookie").is_some() && connection.cookie() == cookie)
                .then_some(record)
        });
        let record = record.unwrap();
        assert_eq!(record["connection"]["unread_bytes"], 5_000);
        assert_eq!(record["asked"]["probes_sent"], 24);
        assert_eq!(record["connection"]["owner"]["pid"], std::process::id());
    }
}

/// The path comes back after the verdict, before the end.
#[test]
fn root_who_answers_at_the_last_moment_is_spared() {
    let Some(stage) = Stage::new("root_who_answers_at_the_last_moment_is_spared") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let ends: Vec<_> = (0..3)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    deafen(&stage.pair.there);
    let records = stage.state.path().join("connections-1.jsonl");
    let ran = std::thread::scope(|scope| {
        let reaping = scope.spawn(|| stage.reap(&["--yes"]));
        // It is written when all are dead and consented to.
        wait_for("the verdicts", || records.exists().then_some(()));
        heal(&stage.pair.there);
        reaping.join().unwrap()
    });
    let document = ran.json();
    assert_eq!(
        (&document["dead"], &document["spared"]),
        (&3.into(), &3.into()),
        "{document}"
    );
    assert_eq!(document["destroyed"], 0);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert!(ends.iter().all(|ends| is_there(&ends.0)));
    let records = std::fs::read_to_string(records).unwrap();
    for (here, _) in &ends {
        assert_eq!(outcome(&records, Truth::of(here).cookie), Some("spared"));
    }
}

/// Nobody is asked, but who is heard meanwhile is spared, and who has no right is told.
#[test]
fn root_without_asking_silence_decides() {
    let Some(stage) = Stage::new("root_without_asking_silence_decides") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let (silent, _silent) = connected(&stage.pair.here, THERE, &listener);
    wait_for("silence", || {
        (Moment::of(&silent).silence_ms > 1_100).then_some(())
    });
    let (fresh, _fresh) = connected(&stage.pair.here, THERE, &listener);

    let copy = stage.state.path().join("sockpulse");
    std::fs::copy(SOCKPULSE, &copy).unwrap();
    let open = PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(stage.state.path(), open).unwrap();
    let nobody = stage.pair.here.run(|| {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&copy);
        command.args([
            "reap",
            "--unverified",
            "--silent-for",
            "1s",
            "--yes",
            "--netns",
            "self",
        ]);
        command.arg("--state-dir").arg(stage.state.path());
        run(&mut command)
    });
    assert_eq!(nobody.status, Some(4), "{}", nobody.stderr);
    assert!(nobody.stderr.contains("CAP_NET_ADMIN"), "{}", nobody.stderr);
    assert!(is_there(&silent));

    let ran = stage.reap(&["--unverified", "--silent-for", "1s", "--yes"]);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    assert_eq!(ran.json()["destroyed"], 1, "{}", ran.json());
    assert_eq!(error_of(&silent), Some(ErrorKind::ConnectionAborted));
    assert!(is_there(&fresh));
}
