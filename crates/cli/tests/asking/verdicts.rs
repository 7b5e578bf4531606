//! Each verdict, on IPv4, IPv6 and IPv4-mapped connections.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::kit::pair::{THERE, THERE6, VANISHING};
use crate::kit::socket::{connected, listen};
use crate::kit::truth::Truth;
use crate::{Stage, nft};

/// Both ends of connections of each family to listeners on every address.
fn each_family(stage: &Stage) -> Vec<(TcpListener, TcpStream, TcpStream)> {
    [THERE, THERE6, "::ffff:192.0.2.2"]
        .into_iter()
        .map(|address| {
            let own = if address == THERE6 { THERE6 } else { THERE };
            let listener = listen(&stage.pair.there, own, 0);
            let (here, there) = connected(&stage.pair.here, address, &listener);
            (listener, here, there)
        })
        .collect()
}

#[test]
fn root_who_lives_answers() {
    let Some(stage) = Stage::new("root_who_lives_answers") else {
        return;
    };
    let all = each_family(&stage);
    let answers = stage.ping(&[]);
    assert_eq!(answers.ran.status, Some(0), "{}", answers.ran.stderr);
    assert_eq!(answers.document["alive"], 3);
    assert_eq!(answers.document["method"], "raw");
    for (_, here, _) in &all {
        let answer = answers.about(here);
        assert_eq!(answer["verdict"], "alive", "{answer}");
        let rtt = answer["rtt_ms"].as_f64().unwrap();
        assert!(rtt > 0.0 && rtt < 500.0, "{answer}");
        assert_eq!(answer["probes_sent"], 1);
        assert_eq!(answer["owner"]["pid"], std::process::id());
    }
    // From elsewhere too, by the port.
    let elsewhere = Netns::anonymous();
    let port = all[0].1.peer_addr().unwrap().port().to_string();
    let words = ["ping", "-o", "json", "--port", &port];
    let answers = crate::Answers::of(crate::kit::listing::sockpulse(&elsewhere, &words));
    assert_eq!(answers.verdict(&all[0].1), "alive");
    assert_eq!(
        answers.verdict(&all[0].2),
        "alive",
        "its other end is asked as well"
    );
    assert_eq!(answers.document["left_out"]["listen"], 1);
}

/// Nobody is there, nobody says so, and nothing is ended by asking.
#[test]
fn root_who_is_gone_is_dead() {
    let Some(stage) = Stage::new("root_who_is_gone_is_dead") else {
        return;
    };
    let mut all = each_family(&stage);
    let listener = listen(&stage.pair.there, VANISHING, 0);
    let doomed = connected(&stage.pair.here, VANISHING, &listener);
    stage.pair.vanish();
    // One is gone, the others live.
    let answers = stage.ping(&["--probes", "3"]);
    assert_eq!(answers.ran.status, Some(1), "{}", answers.ran.stderr);
    let answer = answers.about(&doomed.0);
    assert_eq!(
        (&answer["verdict"], &answer["probes_sent"]),
        (&"dead".into(), &3.into())
    );
    assert!(answer["rtt_ms"].is_null());
    assert!(answer["silence_ms"].as_u64() >= Some(1_800), "{answer}");
    assert_eq!(answers.document["alive"], 3);
    // Then the cable is out.
    stage.pair.there.ip("link set eth0 down");
    let answers = stage.ping(&["--probes", "2"]);
    for (_, here, _) in &all {
        assert_eq!(answers.verdict(here), "dead", "{}", answers.document);
    }
    // All of them are there still.
    stage.pair.there.ip("link set eth0 up");
    stage
        .pair
        .there
        .ip("address replace 2001:db8::2/64 dev eth0 nodad");
    for (_, here, there) in &mut all {
        use std::io::Write;
        here.write_all(b"still here").unwrap();
        let mut read = [0; 10];
        there.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"still here");
    }
}

/// The peer's host is back after a power cut, and knows nothing of the connection.
#[test]
fn root_who_forgot_refuses() {
    let Some(stage) = Stage::new("root_who_forgot_refuses") else {
        return;
    };
    let all = each_family(&stage);
    let there = &stage.pair.there;
    nft(
        there,
        "add table inet mute; add chain inet mute out { type filter hook output priority 0; }; \
         add rule inet mute out tcp flags rst drop",
    );
    for (_, _, far) in &all {
        let port = far.local_addr().unwrap().port();
        there.run(|| {
            let filter = format!("sport = :{port}");
            let killed = std::process::Command::new("ss")
                .args(["-K", "-t", "state", "established", &filter])
                .output()
                .unwrap();
            assert!(killed.status.success());
        });
    }
    nft(there, "delete table inet mute");
    let answers = stage.ping(&[]);
    assert_eq!(answers.ran.status, Some(1), "{}", answers.ran.stderr);
    assert_eq!(answers.document["refused"], 3, "{}", answers.document);
    for (_, here, _) in &all {
        let cookie = Truth::of(here).cookie;
        assert_eq!(answers.of_cookie(cookie).unwrap()["verdict"], "refused");
        // Its program is told what any program is told.
        let mut here = here;
        let error = here.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// Where the kernel does not let a probe out nothing is claimed; what a router says is told and changes
/// nothing.
#[test]
fn root_what_is_not_known_is_said_with_its_reason() {
    let Some(stage) = Stage::new("root_what_is_not_known_is_said_with_its_reason") else {
        return;
    };
    let all = each_family(&stage);
    let port = all[0].1.peer_addr().unwrap().port();
    let table =
        "add table inet wall; add chain inet wall out { type filter hook output priority 0; }";
    nft(
        &stage.pair.here,
        &format!("{table}; add rule inet wall out tcp dport {port} drop"),
    );
    let answers = stage.ping(&[]);
    assert_eq!(answers.ran.status, Some(3), "{}", answers.ran.stderr);
    let answer = answers.about(&all[0].1);
    assert_eq!(
        (&answer["verdict"], &answer["why"]),
        (&"unknown".into(), &"not-sent".into())
    );
    assert!(
        answers.ran.stderr.contains("operation not permitted"),
        "{}",
        answers.ran.stderr
    );
    assert_eq!(answers.document["alive"], 2);
    nft(&stage.pair.here, "delete table inet wall");

    // The peer's host says that it cannot be reached.
    let reject = "add table inet wall; add chain inet wall in { type filter hook input priority 0; }; \
                  add rule inet wall in meta l4proto tcp reject with icmpx type host-unreachable";
    nft(&stage.pair.there, reject);
    let answers = wait_for("ICMP", || {
        let answers = stage.ping(&["--probes", "2"]);
        let told = |one: &(_, TcpStream, _)| !answers.about(&one.1)["unreachable"].is_null();
        all.iter().all(told).then_some(answers)
    });
    for (_, here, _) in &all {
        let answer = answers.about(here);
        assert_eq!(answer["verdict"], "dead", "{answer}");
        assert!(answer["unreachable"]["from"].as_str().is_some(), "{answer}");
    }
}
