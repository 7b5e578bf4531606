//! Whose a connection is that dies in interrupt context, where any process may be running.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::is_root;
use crate::kinds::reset;
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, Pair, THERE, VANISHING};
use crate::kit::socket::listen;
use crate::watcher::{Told, Watcher};

/// A program that does what a script says; it says a line when it is ready, and ends with its stdin.
#[derive(Debug)]
struct Program {
    child: Child,
    _stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(netns: &Netns, command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = netns
            .run(|| command.spawn())
            .expect("a program that starts");
        Self {
            _stdin: child.stdin.take().expect("a pipe"),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// bash that connects and then waits.
    fn connecting(netns: &Netns, port: u16) -> Self {
        let script = format!("exec 3<>/dev/tcp/{THERE}/{port}; echo ready; read");
        let mut program = Self::start(netns, Command::new("bash").args(["-c", &script]));
        assert_eq!(program.hear(), "ready");
        program
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn death_from(watcher: &mut Watcher, port: u16) -> Told {
    watcher.wait_for(&format!("a death of port {port}"), |line| {
        line["event"] == "died" && line["connection"]["local"]["port"] == port
    })
}

fn accept(listener: &TcpListener) -> (std::net::TcpStream, u16) {
    let (far, from) = listener.accept().unwrap();
    (far, from.port())
}

/// One that was there before the watch began, and one that came later: a RST ends both.
#[test]
fn root_the_owner_is_right_whoever_is_running() {
    if !is_root("root_the_owner_is_right_whoever_is_running") {
        return;
    }
    let pair = Pair::new();
    let listener = listen(&pair.there, THERE, 0);
    let to = listener.local_addr().unwrap().port();
    let before = Program::connecting(&pair.here, to);
    let (far_before, port_before) = accept(&listener);
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self", "--events", "died"]);
    let after = Program::connecting(&pair.here, to);
    let (far_after, port_after) = accept(&listener);
    for far in [far_before, far_after] {
        reset(&far);
    }
    for (port, program, age) in [(port_before, &before, false), (port_after, &after, true)] {
        let died = death_from(&mut watcher, port);
        let line = &died.line;
        assert_eq!(line["cause"], "reset", "{line:#}");
        assert_eq!(line["owner"]["pid"], program.pid(), "{line:#}");
        assert_eq!(line["owner"]["program"], "bash");
        // Nobody knows when one began that was there before.
        assert_eq!(line["age_ms"].is_u64(), age, "{line:#}");
    }
}

/// The master listens, a worker accepts: its death is the worker's.
const PRE_FORK: &str = "
import os, socket, sys
listener = socket.create_server((sys.argv[1], 0))
worker = os.fork()
if worker == 0:
    accepted, _ = listener.accept()
    print('accepted', flush=True)
    try:
        accepted.recv(1)
    except OSError:
        pass
    sys.stdin.read()
    os._exit(0)
print(listener.getsockname()[1], os.getpid(), worker, flush=True)
sys.stdin.read()
os.kill(worker, 9)
";

#[test]
fn root_a_workers_connection_is_not_its_masters() {
    if !is_root("root_a_workers_connection_is_not_its_masters") {
        return;
    }
    let pair = Pair::new();
    let mut master = Program::start(
        &pair.here,
        Command::new("python3").args(["-c", PRE_FORK, HERE]),
    );
    let told = master.hear();
    let told: Vec<u32> = told.split(' ').map(|word| word.parse().unwrap()).collect();
    let [port, listens, worker] = told[..] else {
        panic!("a port and two processes, not {told:?}");
    };
    let port = u16::try_from(port).unwrap();
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self"]);
    let client = pair.there.run(|| {
        let from = std::net::SocketAddr::new(VANISHING.parse().unwrap(), 0);
        let to = std::net::SocketAddr::new(HERE.parse().unwrap(), port);
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&from.into()).unwrap();
        socket.connect(&to.into()).unwrap();
        socket
    });
    assert_eq!(master.hear(), "accepted");
    let opened = watcher.wait_for("opened", |line| line["event"] == "opened");
    // Who has accepted it was not known yet.
    assert_eq!(
        opened.line["owner"]["known_by"], "listen",
        "{:#}",
        opened.line
    );
    let listener = opened.line["owner"]["pid"].as_u64().unwrap();
    assert!(
        [listens, worker].map(u64::from).contains(&listener),
        "both do"
    );
    let words = [
        "--existing",
        "--netns",
        "self",
        "--idle",
        "1",
        "--interval",
        "1",
        "--probes",
        "8",
    ];
    protect(&pair.here, &words);
    pair.vanish();
    let died = death_from(&mut watcher, port);
    assert_eq!(died.line["owner"]["pid"], worker, "{:#}", died.line);
    assert_eq!(died.line["owner"]["known_by"], "descriptor");
    drop(client);
}

fn protect(netns: &Netns, words: &[&str]) {
    let state = tempfile::tempdir().unwrap();
    let mut all = vec![
        "protect",
        "--no-jitter",
        "--state-dir",
        state.path().to_str().unwrap(),
    ];
    all.extend(words);
    let ran = crate::kit::listing::sockpulse(netns, &all);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
}

/// A process that sets another's connection is told by name.
#[test]
fn root_who_changes_anothers_connection_is_named() {
    if !is_root("root_who_changes_anothers_connection_is_named") {
        return;
    }
    let pair = Pair::new();
    let listener = listen(&pair.there, THERE, 0);
    let bash = Program::connecting(&pair.here, listener.local_addr().unwrap().port());
    let mut watcher = Watcher::start(&pair.here, &["--netns", "self", "--events", "changed"]);
    protect(
        &pair.here,
        &[
            "--existing",
            "--netns",
            "self",
            "--source",
            "pidfd",
            "--idle",
            "77",
        ],
    );
    let changed = watcher.wait_for("a change", |line| line["setting"] == "idle");
    let line = &changed.line;
    assert_eq!(line["seconds"], 77, "{line:#}");
    assert_eq!(line["owner"]["pid"], bash.pid());
    assert_eq!(line["by"]["program"], "sockpulse");
    assert_eq!(line["by_owner"], false);
}
