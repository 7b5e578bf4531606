//! Connections that change while they are asked.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde_json::Value;

use crate::kit::listing::{Row, SOCKPULSE};
use crate::kit::pair::{HERE, THERE};
use crate::kit::socket::{connected, listen};
use crate::kit::truth::Truth;
use crate::{Stage, doomed};

/// `ping -o jsonl` that is listened to.
fn ping(stage: &Stage, words: &[&str]) -> (Child, impl Iterator<Item = Value> + use<>) {
    let mut child = stage.pair.here.run(|| {
        let mut command = Command::new(SOCKPULSE);
        command.args(["ping", "-o", "jsonl", "--netns", "self"]);
        command
            .args(words)
            .stdout(Stdio::piped())
            .stdin(Stdio::null());
        command.spawn().unwrap()
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (
        child,
        lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()),
    )
}

/// A connection from this port, which may have been used a moment ago.
fn connect_from(stage: &Stage, from: u16, to: u16) -> OwnedFd {
    let address = |host: &str, port| SocketAddr::new(host.parse().unwrap(), port);
    stage.pair.here.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let kind = SocketType::STREAM;
        let socket = rustix::net::socket_with(AddressFamily::INET, kind, flags, None).unwrap();
        sockopt::set_socket_reuseaddr(&socket, true).unwrap();
        rustix::net::bind(&socket, &address(HERE, from)).unwrap();
        rustix::net::connect(&socket, &address(THERE, to)).unwrap();
        socket
    })
}

/// The next connection between the same ends is another one: nothing is said of it.
#[test]
fn root_a_port_that_is_used_again_is_not_taken_for_the_same() {
    let Some(stage) = Stage::new("root_a_port_that_is_used_again_is_not_taken_for_the_same") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let to = listener.local_addr().unwrap().port();
    let mut ends: Vec<_> = (0..4)
        .map(|_| connected(&stage.pair.here, THERE, &listener))
        .collect();
    // Three more seconds pass before the last one is asked.
    let (mut child, mut answers) = ping(&stage, &["--rate", "1"]);
    let first = Row(answers.next().unwrap()).cookie();
    let mut replaced = Vec::new();
    let mut again = Vec::new();
    for at in (0..ends.len()).rev() {
        let cookie = Truth::of(&ends[at].0).cookie;
        if cookie == first {
            continue;
        }
        let (here, there) = ends.swap_remove(at);
        let from = here.local_addr().unwrap().port();
        // A reset leaves no TIME-WAIT behind.
        sockopt::set_socket_linger(&here, Some(Duration::ZERO)).unwrap();
        drop((here, there));
        again.push(connect_from(&stage, from, to));
        replaced.push(cookie);
    }
    let rest: Vec<Value> = answers.collect();
    assert!(child.wait().unwrap().code().is_some());
    assert_eq!(rest.len(), 3);
    let mut ended = 0;
    for answer in rest {
        assert!(replaced.contains(&Row(answer.clone()).cookie()), "{answer}");
        // One may have been asked before it was replaced.
        ended += u32::from(answer["why"] == "ended" && answer["verdict"] == "unknown");
        assert_ne!(answer["verdict"], "dead", "{answer}");
    }
    assert!(ended >= 2);
}

/// What is left of the connection is asked on, or said to have ended.
#[test]
fn root_a_program_that_ends_meanwhile_is_no_trouble() {
    let Some(stage) = Stage::new("root_a_program_that_ends_meanwhile_is_no_trouble") else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let hold = |ends: &TcpStream| {
        let held: OwnedFd = ends.try_clone().unwrap().into();
        Command::new("cat")
            .stdin(held)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let (dead, far) = doomed_pair(&stage);
    let (alive, peer) = connected(&stage.pair.here, THERE, &listener);
    let cookies = [Truth::of(&dead).cookie, Truth::of(&alive).cookie];
    let mut programs = [hold(&dead), hold(&alive)];
    stage.pair.vanish();
    let pids = programs.each_ref().map(|program| program.id().to_string());
    drop((dead, alive));
    let (mut child, answers) = ping(&stage, &["--probes", "4", "--pid", &pids.join(",")]);
    // The living one has answered, or will soon; then both programs are gone.
    let answers: Vec<Value> = answers
        .inspect(|_| {
            for program in &mut programs {
                let _ = program.kill();
                let _ = program.wait();
            }
        })
        .collect();
    assert!(matches!(child.wait().unwrap().code(), Some(0 | 1 | 3)));
    assert_eq!(answers.len(), 2, "{answers:?}");
    for (cookie, verdicts) in cookies
        .into_iter()
        .zip([["dead", "unknown"], ["alive", "unknown"]])
    {
        let mut all = answers.iter();
        let answer = all
            .find(|one| Row((*one).clone()).cookie() == cookie)
            .unwrap();
        let verdict = answer["verdict"].as_str().unwrap();
        assert!(verdicts.contains(&verdict), "{answer}");
    }
    drop((far, peer));
}

fn doomed_pair(stage: &Stage) -> (TcpStream, TcpStream) {
    let listener = listen(&stage.pair.there, crate::VANISHING, 0);
    doomed(stage, &listener)
}
