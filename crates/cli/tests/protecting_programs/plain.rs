//! A static program of C and sockets of the test's own: families, namespaces, sharing, listeners.

use std::path::Path;

use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, HERE6, NOBODY, THERE, THERE6};
use crate::kit::program::Twin;
use crate::kit::socket::{Options, begin_to_connect, connect, connected, listen};
use crate::kit::stage::{ASKED, Has, Report, Stage, expect, rows};
use crate::kit::truth::Moment;
use crate::software::ready;

const ESTABLISHED: [&str; 2] = ["--state", "established"];

/// IPv4, IPv6 and IPv4 in sockets of IPv6; accepted and connected; the program is static.
#[test]
fn root_every_family_is_protected_at_both_ends() {
    if !ready("families", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let _four = twin.start(here, &["listen", "0.0.0.0", "7004"]);
    let _both = twin.start(here, &["listen", "::", "7006"]);
    let _clients = [(HERE, 7004), (HERE6, 7006), (HERE, 7006)]
        .map(|(address, port)| connect(there, address, port));
    let peers = [listen(there, THERE, 9000), listen(there, THERE6, 9000)];
    let mapped = format!("::ffff:{THERE}");
    let _connected = [THERE, THERE6, &mapped]
        .map(|address| twin.start(here, &["connect", address, "9000", "1"]));
    let program = ["--program", twin.name()];
    let open = [program, ESTABLISHED].concat();
    let before = stage.expect(&open, 6, Has::NOTHING);
    let of_six = before
        .iter()
        .filter(|row| row.text("/family") == Some("ipv6"));
    assert_eq!(of_six.count(), 4, "mapped ones too: {before:#?}");

    let words = [&program, &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (6, 2), "{report:#?}");
    stage.expect(&open, 6, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
    // Mapped or not, an address selects it.
    let later = connect(there, HERE, 7006);
    let from = later.local_addr().unwrap().to_string();
    stage.expect(&["--remote", &from], 1, Has::ASKED);
    drop(peers);
}

/// A socket that a process and its two children hold is one socket, also when the process that made
/// it has gone.
#[test]
fn root_a_socket_of_several_processes_is_set_once() {
    if !ready("sharing", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(here, &["listen", HERE, "7000", "2"]);
    let _client = connect(there, HERE, 7000);
    let peer = listen(there, THERE, 9000);
    let _connected = twin.start(here, &["connect", THERE, "9000", "1", "2"]);
    let program = ["--program", twin.name()];
    let open = [program, ESTABLISHED].concat();
    wait_for("the children", || {
        let rows = stage.rows(&open);
        let all = rows.len() == 2 && rows.iter().all(|row| row.processes().len() == 3);
        all.then_some(())
    });
    let words = [&program, &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.count("/connections/matched"), 2, "{report:#?}");
    assert_eq!(report.changed(), (2, 1), "{report:#?}");
    stage.expect(&open, 2, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
    drop(peer);
}

/// What is accepted later inherits from the listener. A connection that waited to be accepted when
/// the listener was set has no process yet: that is said, and the next run sets it.
#[test]
fn root_listeners_hand_on_and_who_waits_to_be_accepted_is_told() {
    if !ready("listeners", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let mut server = twin.start(here, &["backlog", HERE, "7000"]);
    let early = connect(there, HERE, 7000);
    let words = [&["--local", ":7000"], &ASKED[..]].concat();
    let ran = stage.run_protect(&[&["--netns", "self"], &words[..]].concat());
    let report = Report::of(&ran);
    assert_eq!(report.changed(), (0, 1), "{report:#?}");
    assert_eq!(report.count("/left_out/no-process"), 1, "{report:#?}");
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);

    let late = connect(there, HERE, 7000);
    server.tell("accept");
    let of = |client: &std::net::TcpStream| client.local_addr().unwrap().to_string();
    let words_of = |address: &str| ["--remote".to_owned(), address.to_owned()];
    let check = |address: &str, has| {
        let [flag, address] = words_of(address);
        stage.expect(&[&flag, &address, "--program", twin.name()], 1, has);
    };
    check(&of(&late), Has::ASKED);
    check(&of(&early), Has::NOTHING);
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    check(&of(&early), Has::ASKED);
}

/// One command for all namespaces: unnamed ones, and a process that holds a socket of another one.
#[test]
fn root_sockets_of_every_namespace_are_protected() {
    if !ready("namespaces", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let other = Stage::new();
    let twin = Twin::compile(&stage.folder);
    let listeners = [&stage, &other].map(|stage| listen(&stage.pair.there, THERE, 9000));
    let _programs = [&stage, &other]
        .map(|stage| twin.start(&stage.pair.here, &["connect", THERE, "9000", "1"]));
    let program = ["--program", twin.name()];
    let words = [&program, &ASKED[..]].concat();
    let report = stage.protect_everywhere(&words);
    assert_eq!(report.changed(), (2, 0), "{report:#?}");
    for stage in [&stage, &other] {
        stage.expect(&program, 1, Has::ASKED);
    }

    // This process is in neither of them, and holds a socket of one.
    let foreign = connect(&other.pair.here, THERE, 9000);
    let own = foreign.local_addr().unwrap().to_string();
    let pid = std::process::id().to_string();
    let selectors = ["--pid", &pid, "--local", &own];
    let report = stage.protect_everywhere(&[&selectors[..], &ASKED].concat());
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    other.expect(&["--local", &own], 1, Has::ASKED);
    drop(listeners);
}

/// Who wins where the program has set something itself.
#[test]
fn root_each_mode_does_what_it_says() {
    if !ready("modes", &[]) {
        return;
    }
    let slower = Options::own(600, 30, 3);
    let inherits = Options::ON;
    let cases = [
        ("fill", Options::OFF, Has::ASKED),
        ("fill", slower, Has::on(600, 30, 3)),
        ("fill", inherits, Has::on(7200, 75, 9)),
        ("tighten", Options::OFF, Has::ASKED),
        // Fewer probes than asked for are faster.
        ("tighten", slower, Has::on(60, 10, 3)),
        ("tighten", inherits, Has::ASKED),
        ("override", slower, Has::ASKED),
        ("override", Options::own(5, 5, 5), Has::ASKED),
    ];
    let stage = Stage::new();
    let server = listen(&stage.pair.there, THERE, 9000);
    let pid = std::process::id().to_string();
    for (mode, options, has) in cases {
        let (socket, _other_end) = connected(&stage.pair.here, THERE, &server);
        options.apply(&socket);
        let own = socket.local_addr().unwrap().to_string();
        let words = ["--pid", &pid, "--local", &own, "--mode", mode];
        let words = [&words[..], &ASKED].concat();
        stage.protect(&words);
        stage.expect(&["--local", &own], 1, has);
        assert!(stage.protect(&words).is_idle(), "{mode} {options:?}");
    }
    let (socket, _other_end) = connected(&stage.pair.here, THERE, &server);
    slower.apply(&socket);
    let own = socket.local_addr().unwrap().to_string();
    stage.protect(&["--pid", &pid, "--local", &own, "--mode", "off"]);
    let off = Has {
        on: false,
        ..Has::on(600, 30, 3)
    };
    stage.expect(&["--local", &own], 1, off);
}

/// What was set is taken back: keepalive is off again.
#[test]
fn root_what_was_protected_is_undone() {
    if !ready("undo", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(&stage.pair.here, &["listen", HERE, "7000"]);
    let _clients = [(); 3].map(|()| connect(&stage.pair.there, HERE, 7000));
    let program = ["--program", twin.name()];
    let open = [program, ESTABLISHED].concat();
    stage.expect(&open, 3, Has::NOTHING);
    stage.protect(&[&program, &ASKED[..]].concat());
    stage.expect(&open, 3, Has::ASKED);
    let undone = stage.run(&["undo"]);
    // An inherited value cannot be restored: the one then in effect is set, which is said.
    assert_eq!(undone.status, Some(0), "{undone:?}");
    stage.expect(&open, 3, Has::NOTHING);
    let listener = [program, ["--state", "listen"]].concat();
    stage.expect(&listener, 1, Has::NOTHING);
    let _later = connect(&stage.pair.there, HERE, 7000);
    stage.expect(&open, 4, Has::NOTHING);
    // And may be protected anew: that the values are the sockets' own now asks for nothing.
    stage.protect(&[&program, &ASKED[..]].concat());
    stage.expect(&open, 4, Has::ASKED);
}

/// Local connections, orphans and attempts to connect are left alone.
#[test]
fn root_what_must_not_be_touched_is_not() {
    if !ready("left alone", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(here, &["listen", "0.0.0.0", "7000"]);
    let _local = twin.start(here, &["connect", "127.0.0.1", "7000", "2"]);
    let _local_too = twin.start(here, &["connect", HERE, "7000", "2"]);
    let orphan = connect(
        here,
        THERE,
        listen(there, THERE, 9000).local_addr().unwrap().port(),
    );
    drop(orphan);
    let _attempt = begin_to_connect(here, NOBODY, 9000);
    let program = ["--program", twin.name()];
    let open = [program, ESTABLISHED].concat();
    stage.expect(&open, 8, Has::NOTHING);

    let words = [&program, &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (0, 1), "{report:#?}");
    assert_eq!(report.count("/left_out/local"), 8, "{report:#?}");
    stage.expect(&open, 8, Has::NOTHING);
    let words = [&words[..], &["--include-local"]].concat();
    assert_eq!(stage.protect(&words).changed(), (8, 0));
    stage.expect(&open, 8, Has::ASKED);
}

/// A user timeout on a connection that is silent for longer would make one lost probe fatal: it is
/// withheld, said, and set by a later run, after the first answer.
#[test]
fn root_a_user_timeout_waits_for_an_answer() {
    if !ready("user timeout", &[]) {
        return;
    }
    let stage = Stage::new();
    let server = listen(&stage.pair.there, THERE, 9000);
    let (socket, _other_end) = connected(&stage.pair.here, THERE, &server);
    let own = socket.local_addr().unwrap().to_string();
    let pid = std::process::id().to_string();
    let words = [
        "--pid",
        &pid,
        "--local",
        &own,
        "--spread",
        "0s",
        "--no-jitter",
    ];
    let settings = [
        "--idle",
        "2s",
        "--interval",
        "1s",
        "--probes",
        "3",
        "--user-timeout",
        "auto",
    ];
    let words = [&words[..], &settings].concat();
    wait_for("silence beyond the interval", || {
        (Moment::of(&socket).silence_ms > 1_500).then_some(())
    });
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    let withheld = report.0["withheld"].as_object().unwrap();
    assert_eq!(withheld.values().filter_map(|n| n.as_u64()).sum::<u64>(), 1);
    stage.expect(&["--local", &own], 1, Has::on(2, 1, 3));
    wait_for("an answer to the first probe", || {
        let moment = Moment::of(&socket);
        (moment.silence_ms < 1_000 && moment.unanswered_probes == 0).then_some(())
    });
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    let whole = Has {
        user_timeout_ms: 5_000,
        ..Has::on(2, 1, 3)
    };
    stage.expect(&["--local", &own], 1, whole);
    assert!(stage.protect(&words).is_idle());
}

/// Nothing of another namespace was touched by a command for one of them.
#[test]
fn root_a_command_for_one_namespace_leaves_the_others() {
    if !ready("one namespace", &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let bystander = Netns::anonymous();
    let twin = Twin::compile(&stage.folder);
    let _server = twin.start(&bystander, &["listen", "127.0.0.1", "7000"]);
    let words = ["--program", twin.name(), "--include-local"];
    assert!(stage.protect(&[&words[..], &ASKED].concat()).is_idle());
    expect(&bystander, &["--local", ":7000"], 1, Has::NOTHING);
    assert_eq!(rows(&bystander, &[]).len(), 1);
}
