//! Connections to come: a rule in the kernel, and programs that know nothing of it.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::clients::{asking, curl};
use crate::cluster::{Cluster, PROGRAMS};
use crate::container::Container;
use crate::kit::deadline::wait_for;
use crate::kit::hooks::Hooks;
use crate::kit::pair::{HERE, HERE6, THERE, THERE6};
use crate::kit::program::{Talking, Twin};
use crate::kit::socket::{connect, listen};
use crate::kit::stage::{ASKED, Has, Stage, expect, rows};
use crate::postgresql::{session, show, wait_until_it_answers};
use crate::runtimes::{go, go_program, node_script};
use crate::servers::{nginx, ssh, sshd};
use crate::software::{Daemon, command, ready};

const ESTABLISHED: [&str; 2] = ["--state", "established"];

/// `protect WORDS` in the cgroup; it must succeed.
fn protect(stage: &Stage, hooks: &Hooks, words: &[&str]) {
    let ran = stage.run(&[&["protect"], &hooks.words()[..], words].concat());
    assert_eq!(ran.status, Some(0), "{words:?}: {}", ran.stderr);
}

/// For connections to come alone.
fn rule(stage: &Stage, hooks: &Hooks, words: &[&str]) {
    protect(stage, hooks, &[&["--new"], words].concat());
}

fn start(stage: &Stage, hooks: &Hooks, command: &Command) -> Talking {
    Talking::start(&stage.pair.here, &mut hooks.inside(command)).ready()
}

fn start_twin(stage: &Stage, hooks: &Hooks, twin: &Twin, words: &[&str]) -> Talking {
    start(stage, hooks, Command::new(twin.path()).args(words))
}

/// Every family, connected and accepted, by a static program; another namespace as well, until the rule
/// is for one alone.
#[test]
fn root_a_static_program_has_it_from_the_start() {
    let test = "to come: a static program";
    if !ready(test, &[Path::new("cc")]) {
        return;
    }
    let (stage, other) = (Stage::new(), Stage::new());
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let twin = Twin::compile(&stage.folder);
    let program = ["--program", twin.name()];
    rule(&stage, &hooks, &[&program, &ASKED[..]].concat());
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let _peers = [listen(there, THERE, 9000), listen(there, THERE6, 9000)];
    let mapped = format!("::ffff:{THERE}");
    let connect_to =
        |address: &str| start_twin(&stage, &hooks, &twin, &["connect", address, "9000", "1"]);
    let _connected = [THERE, THERE6, &mapped].map(connect_to);
    let _four = start_twin(&stage, &hooks, &twin, &["listen", HERE, "7004"]);
    let _both = start_twin(&stage, &hooks, &twin, &["listen", "::", "7006"]);
    let _clients = [(HERE, 7004), (HERE6, 7006), (HERE, 7006)]
        .map(|(address, port)| connect(there, address, port));
    let open = [program, ESTABLISHED].concat();
    stage.expect(&open, 6, Has::ASKED);

    // Who is not in the cgroup, or has another name, is nobody's business.
    let _outside = twin.start(here, &["connect", THERE, "9000", "1"]);
    let renamed = stage.folder.at("renamed");
    std::fs::copy(twin.path(), &renamed).unwrap();
    let mut renamed = Command::new(renamed);
    let _renamed = start(
        &stage,
        &hooks,
        renamed.args(["connect", THERE, "9000", "1"]),
    );
    stage.expect(&["--program", "renamed"], 1, Has::NOTHING);
    let unset = |netns, words: &[&str]| {
        let rows = rows(netns, words).into_iter();
        rows.filter(|row| Has::of(row) == Has::NOTHING).count()
    };
    assert_eq!(unset(here, &open), 1, "the one outside");

    let elsewhere = listen(&other.pair.there, THERE, 9000);
    let connect_elsewhere = || {
        let mut command = Command::new(twin.path());
        command.args(["connect", THERE, "9000", "1"]);
        Talking::start(&other.pair.here, &mut hooks.inside(&command)).ready()
    };
    let _first = connect_elsewhere();
    other.expect(&open, 1, Has::ASKED);
    // The same rule, for one namespace alone.
    let pid = here.pid().to_string();
    let words = [&program, &["--netns", &pid], &ASKED[..]].concat();
    let ended = stage.run(&[&["unprotect"], &hooks.words()[..]].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);
    rule(&stage, &hooks, &words);
    let _second = connect_elsewhere();
    assert_eq!(unset(&other.pair.here, &open), 1);
    let _again = connect_to(THERE);
    assert_eq!(unset(here, &open), 1, "only the one outside");
    drop(elsewhere);
}

/// Servers and clients of all kinds, started after the rule.
#[test]
fn root_programs_have_it_unless_they_ask_themselves() {
    let test = "to come: programs";
    let programs = ["redis-server", "node", "curl"].map(Path::new);
    if !ready(
        test,
        &[&programs[..], &PROGRAMS.map(Path::new), &[&go()]].concat(),
    ) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    rule(&stage, &hooks, &ASKED);
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let peer = listen(there, THERE, 9000);

    let mut redis = command("redis-server");
    redis.args(["--bind", HERE, "--save", "", "--tcp-keepalive", "0"]);
    redis.args(["--protected-mode", "no", "--dir", "/"]);
    let _redis = Daemon::start(here, &mut hooks.inside(&redis), Signal::TERM);
    stage.expect(&["--local", ":6379", "--state", "listen"], 1, Has::ASKED);
    let _client = connect(there, HERE, 6379);
    stage.expect(
        &["--local", ":6379", "--state", "established"],
        1,
        Has::ASKED,
    );

    let cluster = Cluster::create(here, &stage.folder);
    let postgres = cluster.server(&format!("listen_addresses = '{HERE}'\n"));
    let _postgres = Daemon::start(here, &mut hooks.inside(&postgres), Signal::INT);
    wait_until_it_answers(there);
    assert_eq!(show(&mut session(there), "tcp_keepalives_idle"), "60");

    let node = start(&stage, &hooks, command("node").arg(node_script(&stage)));
    let (_accepted, _) = peer.accept().unwrap();
    let _client = connect(there, HERE, 7000);
    let pid = node.pid().to_string();
    stage.expect(&["--pid", &pid, "--state", "established"], 2, Has::ASKED);
    drop(node);

    let start_curl = |words: &[&str]| asking(&stage, &peer, &mut hooks.inside(&curl(words)));
    let expect = |pid: u32, has| stage.expect(&["--pid", &pid.to_string()], 1, has);
    let without = start_curl(&["--no-keepalive"]);
    expect(without.0.pid(), Has::ASKED);
    // It asks before it connects: then nothing is added.
    let with = start_curl(&["--keepalive-time", "77"]);
    expect(with.0.pid(), Has::on(77, 77, 9));

    let program = start(&stage, &hooks, &go_program(&stage));
    let [asks, silent] = [(); 2].map(|()| peer.accept().unwrap().0);
    let _client = connect(there, HERE, 7000);
    let pid = program.pid().to_string();
    let own = Has::on(15, 15, 9);
    stage.expect(
        &["--pid", &pid, "--local", ":7000", "--state", "established"],
        1,
        own,
    );
    for (accepted, has) in [(asks, own), (silent, Has::ASKED)] {
        let local = accepted.peer_addr().unwrap().to_string();
        stage.expect(&["--pid", &pid, "--local", &local], 1, has);
    }
}

/// Servers that others log into or go through, and whose workers share a listener.
#[test]
fn root_nginx_and_sshd_have_it_from_the_start() {
    let test = "to come: nginx and sshd";
    let programs = ["nginx", "sshd", "ssh", "ssh-keygen", "unshare"];
    if !ready(test, &programs.map(Path::new)) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    rule(&stage, &hooks, &ASKED);
    let there = &stage.pair.there;
    let upstream = listen(there, THERE, 9000);
    let _nginx = nginx(&stage, |command| hooks.inside(&command));
    stage.expect(&["--local", ":80", "--state", "listen"], 1, Has::ASKED);
    let mut client = connect(there, HERE, 80);
    client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let _behind = upstream.accept().unwrap();
    // Its client, and the server behind it.
    let open = ["--program", "nginx", "--state", "established"];
    stage.expect(&open, 2, Has::ASKED);

    let _sshd = sshd(&stage, |command| hooks.inside(&command));
    stage.expect(&["--local", ":22", "--state", "listen"], 1, Has::ASKED);
    let mut session = ssh(&stage);
    stage.expect(&["--local", ":22", "--state", "established"], 1, Has::ASKED);
    session.tell("still there");
    assert_eq!(session.hear(), "still there");
}

/// Each accepted connection by itself: also those of a listener that was there before the rule, and
/// by their far ends.
#[test]
fn root_each_accepted_connection_is_decided_over() {
    let test = "to come: each";
    if !ready(test, &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let twin = Twin::compile(&stage.folder);
    let _server = start_twin(&stage, &hooks, &twin, &["listen", "::", "7000"]);
    let connect_from_there = |address| connect(&stage.pair.there, address, 7000);
    let _before = connect_from_there(HERE);
    let listener = ["--local", ":7000", "--state", "listen"];
    let each = ["--accepted", "each", "--program", twin.name()];
    rule(&stage, &hooks, &[&each, &ASKED[..]].concat());
    let _four = connect_from_there(HERE);
    stage.expect(&listener, 1, Has::NOTHING);
    let set = |remote: &str| {
        let rows = stage.rows(&["--local", ":7000", "--remote", remote]);
        let set = rows.iter().filter(|row| Has::of(row) == Has::ASKED).count();
        (rows.len(), set)
    };
    assert_eq!(set(THERE), (2, 1), "not the one from before");
    let ended = stage.run(&[&["unprotect"], &hooks.words()[..]].concat());
    assert_eq!(ended.status, Some(0), "{}", ended.stderr);

    // Who names a far end means each, too.
    rule(
        &stage,
        &hooks,
        &[&["--remote", THERE6], &ASKED[..]].concat(),
    );
    let _six = connect_from_there(HERE6);
    let _four = connect_from_there(HERE);
    assert_eq!((set(THERE6), set(THERE)), ((1, 1), (3, 1)));
    let list = stage.run(&[&["protect", "--list", "-o", "json"], &hooks.words()[..]].concat());
    let list = list.json();
    assert_eq!(list["accepted"], "each", "{list}");
    assert_eq!(list["rules"][0]["set"], 1, "{list}");
}

/// Who asks for something else afterwards is told that it was done.
#[test]
fn root_tighten_and_override_hold_against_later_calls() {
    let test = "to come: later calls";
    if !ready(test, &[Path::new("curl"), &go()]) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let peer = listen(&stage.pair.there, THERE, 9000);
    let start_curl = |words: &[&str]| asking(&stage, &peer, &mut hooks.inside(&curl(words)));
    let expect = |pid: u32, has| stage.expect(&["--pid", &pid.to_string()], 1, has);
    let named = ["--name", "one"];
    rule(
        &stage,
        &hooks,
        &[&named, &["--mode", "tighten"], &ASKED[..]].concat(),
    );
    let slower = start_curl(&["--keepalive-time", "77"]);
    expect(slower.0.pid(), Has::ASKED);
    let faster = start_curl(&["--keepalive-time", "7"]);
    expect(faster.0.pid(), Has::on(7, 7, 6));

    rule(
        &stage,
        &hooks,
        &[&named, &["--mode", "override"], &ASKED[..]].concat(),
    );
    let faster = start_curl(&["--keepalive-time", "7"]);
    expect(faster.0.pid(), Has::ASKED);
    let program = start(&stage, &hooks, &go_program(&stage));
    let _accepted = [(); 2].map(|()| peer.accept().unwrap());
    let _client = connect(&stage.pair.there, HERE, 7000);
    let pid = program.pid().to_string();
    stage.expect(&["--pid", &pid, "--state", "established"], 3, Has::ASKED);

    rule(&stage, &hooks, &[&named[..], &["--mode", "off"]].concat());
    let off = start_curl(&["--keepalive-time", "77"]);
    let has = Has {
        on: false,
        ..Has::on(77, 77, 9)
    };
    expect(off.0.pid(), has);
}

/// A rule that names a container, whose cgroup is not there yet.
#[test]
fn root_a_container_to_come_has_it_from_the_start() {
    let test = "to come: a container";
    if !ready(test, &["cc", "crun", "unshare"].map(Path::new)) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let _peer = listen(&stage.pair.there, THERE, 9000);
    let twin = Twin::compile(&stage.folder);
    let run = |words: &[&str]| Container::run(&stage, &twin, hooks.cgroup(), words);
    let server = run(&["listen", HERE, "7000"]);
    // Its id is that of the next one but for the last digit.
    let next = format!("{}2", &server.id[..server.id.len() - 1]);
    rule(
        &stage,
        &hooks,
        &[&["--container", &next], &ASKED[..]].concat(),
    );
    let client = run(&["connect", THERE, "9000", "1"]);
    assert_eq!(client.id, next);
    stage.expect(&["--remote", ":9000"], 1, Has::ASKED);
    let _other = run(&["connect", THERE, "9000", "1"]);
    let rows = rows(&stage.pair.here, &["--remote", ":9000"]);
    let set = rows.iter().filter(|row| Has::of(row) == Has::ASKED).count();
    assert_eq!((rows.len(), set), (2, 1), "{rows:#?}");
}

/// Between the rule and the look at what is open nothing falls through: connections open and close as
/// fast as they can while rules change, and after each command every one has what it says.
#[test]
fn root_nothing_is_missed_amid_churn() {
    let test = "to come: churn";
    if !ready(test, &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let twin = Twin::compile(&stage.folder);
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let _server = twin.start(there, &["listen", THERE, "7000"]);
    let _churn = start_twin(&stage, &hooks, &twin, &["churn", THERE, "7000"]);
    let open = ["--program", twin.name(), "--state", "established"];
    let made = || {
        let path = format!("/proc/{}/net/snmp", here.pid());
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().rfind(|line| line.starts_with("Tcp:")).unwrap();
        line.split(' ').nth(5).unwrap().parse::<u64>().unwrap()
    };
    for idle in [60, 50, 40, 30, 20] {
        let before = made();
        let text = format!("{idle}s");
        let words = [
            "--netns",
            "self",
            "--program",
            twin.name(),
            "--mode",
            "override",
        ];
        let settings = [
            "--name",
            "one",
            "--idle",
            &text,
            "--interval",
            "10s",
            "--probes",
            "6",
        ];
        let pace = ["--no-jitter", "--max-probes-per-second", "1000000"];
        protect(&stage, &hooks, &[&words[..], &settings, &pace].concat());
        let during = made() - before;
        let rows = rows(here, &open);
        let wrong: Vec<_> = rows
            .iter()
            .filter(|row| Has::of(row) != Has::on(idle, 10, 6))
            .collect();
        assert!(
            wrong.is_empty(),
            "{} of {}: {wrong:#?}",
            wrong.len(),
            rows.len()
        );
        println!(
            "idle {idle}: {} open, {during} made meanwhile, all set",
            rows.len()
        );
        assert!(rows.len() > 90 && during > 100, "too little to miss any");
    }
    wait_for("enough to have closed some", || {
        (made() > 10_000).then_some(())
    });
}

/// The same for what is accepted: the listener hands it on.
#[test]
fn root_nothing_that_is_accepted_is_missed_amid_churn() {
    let test = "to come: accepted amid churn";
    if !ready(test, &[Path::new("cc")]) {
        return;
    }
    let stage = Stage::new();
    let Some(hooks) = Hooks::new(test, &stage) else {
        return;
    };
    let twin = Twin::compile(&stage.folder);
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let _server = start_twin(&stage, &hooks, &twin, &["listen", HERE, "7000"]);
    let _churn = twin.start(there, &["churn", HERE, "7000"]);
    let words = ["--netns", "self", "--program", twin.name()];
    let pace = ["--max-probes-per-second", "1000000"];
    protect(&stage, &hooks, &[&words[..], &pace, &ASKED].concat());
    let open = ["--program", twin.name(), "--state", "established"];
    let rows = rows(here, &open);
    let wrong: Vec<_> = rows
        .iter()
        .filter(|row| Has::of(row) != Has::ASKED)
        .collect();
    assert!(
        wrong.is_empty(),
        "{} of {}: {wrong:#?}",
        wrong.len(),
        rows.len()
    );
    assert!(rows.len() > 90, "too little to miss any");
    expect(
        here,
        &["--local", ":7000", "--state", "listen"],
        1,
        Has::ASKED,
    );
}
