//! A namespace, a server that holds its answers back, and programs of an ordinary user.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sockpulse_cli::software::Gives;
use sockpulse_core::{Setting, SocketTimers, UserTimeout};

use crate::expected::expect;
use crate::kit::deadline::wait_for;
use crate::kit::listing::{SOCKPULSE, memory_file, run};
use crate::kit::netns::Netns;
use crate::software::{Folder, command};

/// What `run` is asked for: no default and nobody's own values.
pub(crate) const ASKED: [&str; 6] = ["--idle", "61s", "--interval", "7s", "--probes", "5"];

/// What connections then have.
pub(crate) fn ours() -> Gives {
    having(61, 7, 5)
}

/// Connections with keepalive on and these values of their own.
pub(crate) fn having(idle: u32, interval: u32, probes: u32) -> Gives {
    Gives::Connections(SocketTimers {
        keepalive: true,
        idle: Setting::Socket(idle),
        interval: Setting::Socket(interval),
        probes: Setting::Socket(probes),
        user_timeout: UserTimeout::OFF,
    })
}

/// The port of the server.
pub(crate) const PORT: u16 = 7000;

/// Where everything happens.
pub(crate) struct Scene {
    pub(crate) netns: Netns,
    pub(crate) folder: Folder,
    server: TcpListener,
    sockpulse: PathBuf,
}

/// How a program ended, and what it said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A program that runs.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: std::fs::File,
    stderr: std::fs::File,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let server = netns.run(|| TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).unwrap());
        server.set_nonblocking(true).unwrap();
        // The build's folder may be closed to others.
        let sockpulse = folder.at("sockpulse");
        if std::fs::hard_link(SOCKPULSE, &sockpulse).is_err() {
            std::fs::copy(SOCKPULSE, &sockpulse).unwrap();
        }
        std::fs::set_permissions(folder.at("."), PermissionsExt::from_mode(0o777)).unwrap();
        Self {
            netns,
            folder,
            server,
            sockpulse,
        }
    }

    /// The program as an ordinary user starts it.
    pub(crate) fn alone(&self, words: &[&str]) -> Command {
        let mut setpriv = command("setpriv");
        setpriv
            .args([
                "--reuid",
                "65534",
                "--regid",
                "65534",
                "--clear-groups",
                "--",
            ])
            .args(words)
            .current_dir(self.folder.at("."))
            .env("HOME", self.folder.at("."))
            .stdin(Stdio::null());
        setpriv
    }

    /// The same under `run`, with more options of it.
    pub(crate) fn under(&self, options: &[&str], words: &[&str]) -> Command {
        let sockpulse = self.sockpulse.to_str().unwrap();
        let mut all = vec![sockpulse, "run", "--method", "seccomp"];
        all.extend(ASKED);
        all.extend(options);
        all.push("--");
        all.extend(words);
        self.alone(&all)
    }

    /// Starts a command in the namespace.
    pub(crate) fn start(&self, command: &mut Command) -> Running {
        let (stdout, stderr) = (memory_file(), memory_file());
        command
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        let child = self.netns.run(|| command.spawn()).unwrap();
        Running {
            child,
            stdout,
            stderr,
        }
    }

    /// Runs a command of the ordinary user to its end.
    pub(crate) fn ended(&self, command: &mut Command) -> Ended {
        self.start(command).end()
    }

    /// Connections that the server has not answered yet.
    pub(crate) fn callers(&self, count: usize) -> Vec<TcpStream> {
        let accept = |_| wait_for("a connection", || Some(self.server.accept().ok()?.0));
        (0..count).map(accept).collect()
    }

    /// A client says and does under `run` what it does alone, and each of its connections has what is
    /// given, while the server keeps it waiting.
    pub(crate) fn client(&self, case: &Case<'_>) {
        let alone = self.start(&mut self.alone(case.words));
        answer(self.callers(case.connections), case.reply);
        let alone = alone.end();
        assert_eq!(
            alone.status,
            Some(case.status),
            "{}: {alone:?}",
            case.words[0]
        );

        let under = self.start(&mut self.under(case.options, case.words));
        let callers = self.callers(case.connections);
        let remote = format!(":{PORT}");
        expect(
            &self.netns,
            &["--remote", &remote],
            &case.gives,
            case.words[0],
        );
        answer(callers, case.reply);
        assert_eq!(under.end(), alone, "{}", case.words[0]);
        self.nobody_stays();
    }

    /// The supervisor ends with the last process that it serves.
    pub(crate) fn nobody_stays(&self) {
        let own = self.sockpulse.to_str().unwrap().to_owned();
        wait_for("the end of the supervisor", || {
            supervisors(&own).is_empty().then_some(())
        });
    }

    /// The supervisor's processes, guards first.
    pub(crate) fn supervisors(&self) -> Vec<i32> {
        supervisors(self.sockpulse.to_str().unwrap())
    }

    /// Compiles a C program.
    pub(crate) fn compiled(
        &self,
        compiler: &str,
        name: &str,
        text: &str,
        flags: &[&str],
    ) -> PathBuf {
        let source = self.folder.write(&format!("{name}.c"), text);
        let program = self.folder.at(name);
        let mut compile = command(compiler);
        compile
            .args(["-O1", "-pthread", "-o"])
            .arg(&program)
            .arg(source)
            .args(flags);
        let ran = run(&mut compile);
        assert_eq!(ran.status, Some(0), "{}", ran.stderr);
        program
    }
}

/// Processes of this binary whose command line is the supervisor's, parents before children.
fn supervisors(binary: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let is_ours =
            std::fs::read_link(path.join("exe")).is_ok_and(|exe| exe == Path::new(binary));
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        if is_ours
            && line.starts_with(b"sockpulse: supervisor")
            && let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
        {
            found.push((parent(pid), pid));
        }
    }
    let all: Vec<i32> = found.iter().map(|(_, pid)| *pid).collect();
    found.sort_by_key(|(parent, _)| all.contains(parent));
    found.into_iter().map(|(_, pid)| pid).collect()
}

fn parent(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"));
    line.and_then(|line| line.trim().parse().ok()).unwrap_or(0)
}

/// A client, and what is expected of it.
pub(crate) struct Case<'a> {
    pub(crate) words: &'a [&'a str],
    /// Options of `run`.
    pub(crate) options: &'a [&'a str],
    pub(crate) connections: usize,
    pub(crate) reply: &'a str,
    pub(crate) status: i32,
    pub(crate) gives: Gives,
}

/// What the server says to programs that speak HTTP, and to those that take anything.
pub(crate) const HTTP: &str = "HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";

impl<'a> Case<'a> {
    /// One connection, HTTP, success, everything set.
    pub(crate) fn of(words: &'a [&'a str]) -> Self {
        Self {
            words,
            options: &[],
            connections: 1,
            reply: HTTP,
            status: 0,
            gives: ours(),
        }
    }
}

fn answer(callers: Vec<TcpStream>, reply: &str) {
    for mut caller in callers {
        caller.set_nonblocking(false).unwrap();
        caller.write_all(reply.as_bytes()).unwrap();
    }
}

impl Running {
    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let child = &mut self.child;
        let status = wait_for("the end of the program", || child.try_wait().unwrap());
        Ended {
            status: status.code(),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn text(mut file: &std::fs::File) -> String {
    use std::io::{Read, Seek};
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}
