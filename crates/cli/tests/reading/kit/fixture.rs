//! What this test binary does when a test starts it as a process of its own.
//!
//! ```text
//! --fixture hold INDEX COUNT      holds COUNT connections over loopback until its stdin ends
//! --fixture churn INDEX           connects and closes until its stdin ends, says how often
//! --fixture connected COMMAND…    runs COMMAND while it holds one connection over loopback
//! --fixture without-bpf COMMAND…  runs COMMAND where bpf(2) does not exist
//! --fixture weighed COMMAND…      runs COMMAND without stdout, says how much memory it took, KiB
//! ```

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::listing::run_to;
use super::netns::Netns;
use super::socket::Options;
use super::sys;

const MARK: &str = "--fixture";

/// Keepalive of the one connection of `connected`.
pub(crate) const CONNECTED: Options = Options::own(61, 11, 5);

/// Runs as fixture if that is what the arguments say.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let (mark, words) = words.split_first()?;
    if mark != MARK {
        return None;
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words {
        ["hold", index, count] => hold(index.parse().unwrap(), count.parse().unwrap()),
        ["churn", index] => churn(index.parse().unwrap()),
        ["connected", program, ref words @ ..] => return Some(connected(program, words)),
        ["without-bpf", program, ref words @ ..] => {
            sys::forbid_bpf();
            panic!("{}", Command::new(program).args(words).exec());
        }
        ["weighed", program, ref words @ ..] => weighed(program, words),
        _ => panic!("no such fixture: {words:?}"),
    }
    Some(ExitCode::SUCCESS)
}

/// The command line of a fixture.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    // Also when a build has replaced this binary meanwhile.
    words_of(&format!("/proc/{}/exe", std::process::id()), words)
}

/// The same with a copy of this binary.
pub(crate) fn words_of(program: &str, words: &[&str]) -> Vec<String> {
    let words = [program, MARK].into_iter().chain(words.iter().copied());
    words.map(str::to_owned).collect()
}

/// A fixture that reports a number and then works until this is dropped.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Running {
    /// Starts it in the namespace.
    pub(crate) fn start(netns: &Netns, fixture: &[&str]) -> Self {
        let words = words(fixture);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = netns.run(|| command.spawn()).expect("a fixture");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        Self { child, stdout }
    }

    /// The next number that it reports.
    pub(crate) fn report(&mut self) -> u64 {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a report");
        line.trim()
            .parse()
            .unwrap_or_else(|_| panic!("a number, not {line:?}"))
    }

    /// Ends it and returns its last report.
    pub(crate) fn finish(mut self) -> u64 {
        drop(self.child.stdin.take());
        self.report()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

fn hold(index: u32, count: u32) {
    let listener = TcpListener::bind(SocketAddrV4::new(address(index), 5000)).unwrap();
    let server = listener.local_addr().unwrap();
    let mut held = Vec::new();
    for _ in 0..count {
        let client = TcpStream::connect(server).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        for end in [&client, &accepted] {
            // Closed by a RST: no TIME-WAIT is left behind.
            set_socket_linger(end, Some(Duration::ZERO)).unwrap();
        }
        held.push((client, accepted));
    }
    report(count.into());
    wait_for_end();
}

fn churn(index: u32) {
    let listener = TcpListener::bind(SocketAddrV4::new(address(index), 5001)).unwrap();
    let server = listener.local_addr().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            wait_for_end();
            done.store(true, Ordering::Relaxed);
        });
        let mut count = 0_u64;
        while !done.load(Ordering::Relaxed) {
            let client = TcpStream::connect(server).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            // Half of them leave a TIME-WAIT behind, until there are too many.
            if count.is_multiple_of(2) || count > 20_000 {
                set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
            }
            drop(client);
            drop(accepted);
            count += 1;
            if count == 1 {
                report(count);
            }
        }
        report(count);
    });
}

/// A process that was forked counts what its parent had in memory: this one has little.
fn weighed(program: &str, words: &[&str]) {
    let ran = run_to(Command::new(program).args(words), Stdio::null());
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    report(ran.peak_kib);
}

fn connected(program: &str, words: &[&str]) -> ExitCode {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    CONNECTED.apply(&client);
    let (_accepted, _) = listener.accept().unwrap();
    let status = Command::new(program).args(words).status().unwrap();
    ExitCode::from(u8::try_from(status.code().unwrap()).unwrap())
}

/// `127.1.0.1` and on: every address has its own ports.
fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + index)
}

fn report(number: u64) {
    println!("{number}");
    std::io::stdout().flush().unwrap();
}

fn wait_for_end() {
    let _ = std::io::stdin().read(&mut [0]);
}
