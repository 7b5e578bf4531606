//! A program of the soak, seen from outside.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::kind::Kind;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;
use crate::topology::Host;

/// How long an answer may take on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);

/// A running program. Dropping it kills it.
pub(super) struct Actor {
    name: String,
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

/// What a program says of its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Report {
    /// Blocks.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Connections with a byte that was not the next one.
    pub(super) broken: usize,
    pub(super) open: usize,
    /// Ended with ECONNABORTED.
    pub(super) aborted: usize,
}

impl Actor {
    /// Starts this program with other words on a host.
    pub(super) fn start(host: &Host, kind: Kind, words: &[String]) -> Result<Self> {
        // By the process, not by a path: cargo may replace the file while this runs.
        let own = format!("/proc/{}/exe", std::process::id());
        let mut command = host.command(&own);
        command.args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        // A Ctrl-C at the terminal is for us.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = process::spawn(&mut command)?;
        let name = format!("{} ({kind:?})", words.first().map_or("", String::as_str));
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Unexpected("pipes to a program".to_owned()));
        };
        let (tell, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(|line| line.ok()) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self {
            name,
            child,
            stdin,
            answers,
        })
    }

    pub(super) fn say(&mut self, command: &str) -> Result<()> {
        writeln!(self.stdin, "{command}").map_err(Error::system("command a program of the soak"))
    }

    /// Its next answer: the numbers behind the word.
    pub(super) fn hear(&self, word: &str, interrupt: &Interrupt) -> Result<Vec<u64>> {
        let deadline = Instant::now() + LIMIT;
        let line = loop {
            interrupt.check()?;
            match self.answers.recv_timeout(LOOK) {
                Ok(line) => break line,
                Err(RecvTimeoutError::Timeout) if Instant::now() < deadline => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Err(Error::Late {
                        event: format!("{word} from {}", self.name),
                        seconds: LIMIT.as_secs(),
                    });
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Error::Unexpected(format!("{} has ended", self.name)));
                }
            }
        };
        let mut words = line.split(' ');
        if words.next() == Some(word) {
            let numbers: Option<Vec<u64>> = words.map(|word| word.parse().ok()).collect();
            if let Some(numbers) = numbers {
                return Ok(numbers);
            }
        }
        Err(Error::Answer {
            program: self.name.clone(),
            line,
        })
    }

    pub(super) fn ask(
        &mut self,
        command: &str,
        word: &str,
        interrupt: &Interrupt,
    ) -> Result<Vec<u64>> {
        self.say(command)?;
        self.hear(word, interrupt)
    }

    pub(super) fn count(
        &mut self,
        command: &str,
        word: &str,
        interrupt: &Interrupt,
    ) -> Result<usize> {
        let numbers = self.ask(command, word, interrupt)?;
        Ok(numbers.first().map_or(0, |count| whole(*count)))
    }

    pub(super) fn report(&mut self, interrupt: &Interrupt) -> Result<Report> {
        match self.ask("report", "report", interrupt)?[..] {
            [sent, received, broken, open, aborted] => Ok(Report {
                sent,
                received,
                broken: whole(broken),
                open: whole(open),
                aborted: whole(aborted),
            }),
            _ => Err(Error::Answer {
                program: self.name.clone(),
                line: "report".to_owned(),
            }),
        }
    }

    /// Stops it, or lets it go on.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(Error::system("stop a program of the soak"))
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn whole(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
