//! A `sockpulse watch` that runs beside a test.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::kit::deadline::LIMIT;
use crate::kit::listing::SOCKPULSE;
use crate::kit::netns::Netns;

/// A line, and when it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) line: Value,
    pub(crate) came: SystemTime,
}

/// The running command. It is killed in the end, if it has not ended.
#[derive(Debug)]
pub(crate) struct Watcher {
    child: Child,
    lines: Receiver<Told>,
    /// All that was taken.
    pub(crate) told: Vec<Told>,
}

/// What was said last, and how it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: Option<i32>,
    pub(crate) summary: Value,
    /// All events.
    pub(crate) told: Vec<Told>,
}

impl Watcher {
    /// Starts `sockpulse watch -o jsonl WORDS` in the namespace; when this returns, nothing is missed.
    pub(crate) fn start(netns: &Netns, words: &[&str]) -> Self {
        let mut command = Command::new(SOCKPULSE);
        command.args(["watch", "-o", "jsonl"]).args(words);
        Self::spawn(netns, &mut command)
    }

    /// The same of another command line.
    pub(crate) fn spawn(netns: &Netns, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = netns.run(|| command.spawn()).expect("sockpulse starts");
        let stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let line = line.expect("lines of text");
                let line =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                let came = SystemTime::now();
                if to.send(Told { line, came }).is_err() {
                    return;
                }
            }
        });
        let mut watcher = Self {
            child,
            lines,
            told: Vec::new(),
        };
        // There may be many sockets on the machine.
        watcher.wait_for("a first look", |line| line["event"] == "looked");
        watcher.told.clear();
        watcher
    }

    /// The first line from the beginning that is so, now or within [`LIMIT`].
    pub(crate) fn wait_for(&mut self, what: &str, is: impl Fn(&Value) -> bool) -> Told {
        if let Some(told) = self.told.iter().find(|told| is(&told.line)) {
            return told.clone();
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(told) => {
                    self.told.push(told.clone());
                    if is(&told.line) {
                        return told;
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{what}: not told within {LIMIT:?}, but {:#?}", self.told)
                }
            }
        }
    }

    /// The event of this name of the connection with this cookie.
    pub(crate) fn event(&mut self, name: &str, cookie: u64) -> Told {
        let cookie = format!("{cookie:#x}");
        self.wait_for(&format!("{name} {cookie}"), |line| {
            line["event"] == name && line["connection"]["cookie"] == *cookie
        })
    }

    /// Interrupts it as Ctrl-C does, and hears it out.
    pub(crate) fn end(mut self) -> Ended {
        self.signal(Signal::INT);
        let summary = self.wait_for("the summary", |line| line["event"] == "summary");
        self.told.extend(self.lines.iter());
        let status = self.child.wait().expect("it ends").code();
        let told = std::mem::take(&mut self.told);
        Ended {
            status,
            summary: summary.line,
            told,
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it runs");
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Told {
    /// How long after the event the line came.
    pub(crate) fn delay(&self) -> Duration {
        let at = self.line["at"].as_str().expect("a moment");
        let since_1970 = self.came.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        since_1970.saturating_sub(moment(at))
    }

    /// The value at a JSON pointer.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.line.pointer(pointer).unwrap_or(&Value::Null)
    }
}

/// `2026-11-21T11:10:00.042Z`, since 1970, by date(1).
pub(crate) fn moment(text: &str) -> Duration {
    let (seconds, millis) = text
        .trim_end_matches('Z')
        .split_once('.')
        .expect("milliseconds");
    let date = Command::new("date")
        .args(["-u", "+%s", "-d", &format!("{seconds}Z")])
        .output()
        .expect("date");
    let seconds: u64 = String::from_utf8_lossy(&date.stdout)
        .trim()
        .parse()
        .expect("seconds");
    Duration::from_millis(seconds * 1_000 + millis.parse::<u64>().expect("milliseconds"))
}
