//! Programs of Node and of Go.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::pair::{HERE, THERE};
use crate::kit::program::Talking;
use crate::kit::socket::{connect, listen};
use crate::kit::stage::{ASKED, Has, Stage};
use crate::software::{command, ready, said, tools};

const SERVED: [&str; 4] = ["--local", ":7000", "--state", "established"];

/// A server and a client in one process; its streams go on.
#[test]
fn root_node_gains_keepalive() {
    if !ready("node", &[Path::new("node")]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let peer = listen(there, THERE, 9000);
    let file = node_script(&stage);
    let node = Talking::start(here, command("node").arg(file)).ready();
    let (_accepted, _) = peer.accept().unwrap();
    let mut client = connect(there, HERE, 7000);
    let pid = node.pid().to_string();
    let open = ["--pid", &pid, "--state", "established"];
    stage.expect(&open, 2, Has::NOTHING);

    let words = [&["--pid", &pid], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (2, 1), "{report:#?}");
    stage.expect(&open, 2, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
    client.write_all(b"echo").unwrap();
    let mut echo = [0; 4];
    client.read_exact(&mut echo).unwrap();
    assert_eq!(&echo, b"echo");
    let _later = connect(there, HERE, 7000);
    stage.expect(&SERVED, 2, Has::ASKED);
}

/// A server that echoes at port 7000, and a client of port 9000 of the other host.
pub(crate) fn node_script(stage: &Stage) -> PathBuf {
    let script = format!(
        "const net = require('net');
net.createServer(socket => socket.pipe(socket)).listen(7000, '{HERE}', () =>
    net.connect(9000, '{THERE}', () => console.log('ready')));
process.stdin.on('end', () => process.exit()).resume();
"
    );
    stage.folder.write("server.js", script)
}

const GO: &str = r#"package main

import (
	"io"
	"net"
	"os"
	"time"
)

func dial(keepalive time.Duration) net.Conn {
	dialer := net.Dialer{KeepAlive: keepalive}
	connection, err := dialer.Dial("tcp", os.Args[2])
	if err != nil {
		panic(err)
	}
	return connection
}

func main() {
	server, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			accepted, err := server.Accept()
			if err != nil {
				panic(err)
			}
			go io.Copy(accepted, accepted)
		}
	}()
	asks, silent := dial(0), dial(-1)
	os.Stdout.WriteString("ready\n")
	io.Copy(io.Discard, os.Stdin)
	asks.Close()
	silent.Close()
}
"#;

/// The compiler of Python's registry.
pub(crate) fn go() -> PathBuf {
    tools().join("go/bin/go")
}

/// A server that echoes at port 7000, and a client with two connections to port 9000 of the other
/// host: the first asks for keepalive, as Go does, the second has been told not to.
pub(crate) fn go_program(stage: &Stage) -> Command {
    let file = stage.folder.write("main.go", GO);
    let program = stage.folder.at("keeps");
    let mut build = command(go());
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(file)
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOPATH", stage.folder.at("path"))
        .env("GOCACHE", tools().join("go-cache"));
    said(&stage.pair.here, &mut build);
    let mut program = Command::new(program);
    program.args([format!("{HERE}:7000"), format!("{THERE}:9000")]);
    program
}

/// Go's own 15 s, on whatever it accepts or connects, stay under `fill`; what was told to have none
/// gains ours; `override` wins. The program is static: nothing can be preloaded into it.
#[test]
fn root_go_keeps_its_own_until_it_is_overridden() {
    if !ready("go", &[&go()]) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let peer = listen(there, THERE, 9000);
    let server = Talking::start(here, &mut go_program(&stage)).ready();
    let [(asks, _), (silent, _)] = [(); 2].map(|()| peer.accept().unwrap());
    let [asks, silent] = [asks, silent].map(|accepted| accepted.peer_addr().unwrap().to_string());
    let _client = connect(there, HERE, 7000);
    let own = Has::on(15, 15, 9);
    let expect = |local: &str, has| stage.expect(&["--local", local], 1, has);
    stage.expect(&SERVED, 1, own);
    expect(&asks, own);
    expect(&silent, Has::NOTHING);

    let pid = server.pid().to_string();
    let words = [&["--pid", &pid], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 1), "{report:#?}");
    stage.expect(&SERVED, 1, own);
    expect(&asks, own);
    expect(&silent, Has::ASKED);
    assert!(stage.protect(&words).is_idle());

    let words = [&words[..], &["--mode", "override"]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (2, 0), "{report:#?}");
    stage.expect(&SERVED, 1, Has::ASKED);
    expect(&asks, Has::ASKED);
    expect(&silent, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
}
