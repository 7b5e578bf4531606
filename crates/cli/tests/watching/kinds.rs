//! Each kind of event, with real sockets.

use std::process::Command;

use rustix::net::sockopt::set_socket_linger;
use std::time::Duration;

use crate::is_root;
use crate::kit::pair::{HERE, Pair, THERE, VANISHING};
use crate::kit::socket::{Options, begin_to_connect, connected, listen};
use crate::kit::truth::Truth;
use crate::watcher::Watcher;

const ALL: &str = "opened,probing,recovered,died,closed,changed";

fn own_name() -> String {
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    comm.trim_end().to_owned()
}

/// A connection's life: opened, changed, silent, recovered, silent, dead; and one that closes.
#[test]
fn root_a_connections_life_is_told() {
    if !is_root("root_a_connections_life_is_told") {
        return;
    }
    let pair = Pair::new();
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self", "--events", ALL]);
    let pid = std::process::id();
    let listener = listen(&pair.there, VANISHING, 0);
    let (near, _far) = connected(&pair.here, VANISHING, &listener);
    let truth = Truth::of(&near);
    let opened = watcher.event("opened", truth.cookie);
    assert_eq!(opened.line["side"], "connected", "{:#}", opened.line);
    assert_eq!(opened.line["owner"]["pid"], pid);
    assert_eq!(opened.line["owner"]["program"], own_name());
    assert_eq!(opened.line["connection"]["netns"], pair.here.id());
    assert_eq!(opened.line["source"], "bpf");

    Options::own(1, 1, 3).apply(&near);
    let changed = watcher.wait_for("idle", |line| line["setting"] == "idle");
    assert_eq!(changed.line["seconds"], 1, "{:#}", changed.line);
    assert_eq!(changed.line["by"]["pid"], pid);
    assert_eq!(changed.line["by_owner"], true);
    let on = watcher.wait_for("keepalive", |line| line["setting"] == "keepalive");
    assert_eq!(on.line["on"], true);

    pair.vanish();
    let probing = watcher.event("probing", truth.cookie);
    assert!(
        probing.at("/connection/silence_ms").as_u64().unwrap() >= 1_990,
        "{:#}",
        probing.line
    );
    assert_eq!(probing.at("/connection/timer/unanswered_probes"), 1);
    pair.here.ip(&format!("neighbour del {VANISHING} dev eth0"));
    let recovered = watcher.event("recovered", truth.cookie);
    assert_eq!(recovered.line["owner"]["pid"], pid, "{:#}", recovered.line);

    pair.vanish();
    let died = watcher.event("died", truth.cookie);
    let line = &died.line;
    assert_eq!(line["cause"], "keepalive", "{line:#}");
    assert_eq!(line["error"], "ETIMEDOUT");
    assert_eq!(line["owner"]["pid"], pid);
    assert_eq!(line["connection"]["state"], "established");
    assert_eq!(died.at("/connection/timer/unanswered_probes"), 3);
    assert_eq!(died.at("/connection/keepalive/idle/seconds"), 1);
    assert!(died.at("/connection/silence_ms").as_u64().unwrap() >= 3_990);
    let age = line["age_ms"].as_u64().unwrap();
    assert!(age >= 5_000, "{age}");

    let ended = watcher.end();
    assert_eq!(ended.status, Some(0), "{:#}", ended.summary);
    assert_eq!(ended.summary["lost"], 0);
    assert_eq!(ended.summary["causes"]["keepalive"], 1);
    assert_eq!(ended.summary["events"]["died"], 1);
}

/// What is accepted is its listener's, and an orderly end is no death.
#[test]
fn root_what_was_accepted_and_closed_is_told() {
    if !is_root("root_what_was_accepted_and_closed_is_told") {
        return;
    }
    let pair = Pair::new();
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self", "--events", ALL]);
    let listener = listen(&pair.here, HERE, 0);
    let (far, near) = connected(&pair.there, HERE, &listener);
    let cookie = Truth::of(&near).cookie;
    let opened = watcher.event("opened", cookie);
    assert_eq!(opened.line["side"], "accepted", "{:#}", opened.line);
    assert_eq!(opened.line["owner"]["pid"], std::process::id());
    drop(near);
    drop(far);
    let closed = watcher.event("closed", cookie);
    assert!(closed.line["age_ms"].is_u64(), "{:#}", closed.line);
    assert!(
        watcher
            .end()
            .told
            .iter()
            .all(|told| told.line["event"] != "died")
    );
}

/// Nothing is told that was not asked for.
#[test]
fn root_selectors_and_kinds_narrow_it_down() {
    if !is_root("root_selectors_and_kinds_narrow_it_down") {
        return;
    }
    let pair = Pair::new();
    let listeners = [(); 2].map(|()| listen(&pair.there, THERE, 0));
    let ports = listeners
        .each_ref()
        .map(|listener| listener.local_addr().unwrap().port());
    let port = ports[0].to_string();
    let words = ["--netns", "self", "--port", &port, "--events", "died"];
    let mut watcher = Watcher::start(&pair.here, &words);
    let ends = listeners
        .each_ref()
        .map(|listener| connected(&pair.here, THERE, listener));
    for (near, far) in &ends {
        assert!(Truth::of(near).cookie > 0);
        reset(far);
    }
    let [(_, far0), (_, far1)] = ends;
    drop(far1);
    drop(far0);
    let died = watcher.wait_for("a death", |line| line["event"] == "died");
    assert_eq!(
        died.at("/connection/remote/port"),
        ports[0],
        "{:#}",
        died.line
    );
    assert_eq!(died.line["cause"], "reset");
    let ended = watcher.end();
    assert_eq!(ended.summary["events"], serde_json::json!({ "died": 1 }));
}

/// Deaths that the lab does not bring about.
#[test]
fn root_an_administrators_command_is_told_apart() {
    if !is_root("root_an_administrators_command_is_told_apart") {
        return;
    }
    let pair = Pair::new();
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self"]);
    let listener = listen(&pair.there, THERE, 0);
    let (near, _far) = connected(&pair.here, THERE, &listener);
    let local = near.local_addr().unwrap().port();
    let kill = format!("sport = :{local}");
    let killed = pair
        .here
        .run(|| Command::new("ss").args(["-K", &kill]).output());
    assert!(killed.unwrap().status.success());
    let died = watcher.event("died", Truth::of(&near).cookie);
    assert_eq!(died.line["cause"], "destroyed", "{:#}", died.line);
    assert_eq!(died.line["error"], "ECONNABORTED");
    assert_eq!(died.line["by"]["program"], "ss");
    assert_eq!(died.line["owner"]["pid"], std::process::id());

    // Nobody listens there: RST answers the SYN.
    let port = {
        let gone = listen(&pair.there, THERE, 0);
        gone.local_addr().unwrap().port()
    };
    let refused = begin_to_connect(&pair.here, THERE, port);
    let died = watcher.event("died", Truth::of(&refused).cookie);
    assert_eq!(died.line["cause"], "reset", "{:#}", died.line);
    assert_eq!(died.line["error"], "ECONNREFUSED");
    assert_eq!(died.at("/connection/state"), "syn-sent");
}

/// What the far end drops ends with RST.
pub(crate) fn reset(far: &std::net::TcpStream) {
    set_socket_linger(far, Some(Duration::ZERO)).unwrap();
}
