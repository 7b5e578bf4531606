//! One run of a program: how long, how much memory.

#![expect(
    unsafe_code,
    reason = "the peak memory of one child is told by wait4(2) alone, which no safe wrapper has"
)]

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::error::{Error, Result};

/// A program with its arguments, and what it is called in the report.
#[derive(Debug, Clone)]
pub(super) struct Subject {
    pub(super) name: &'static str,
    pub(super) words: Vec<OsString>,
}

/// One run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    /// From before the start of the process to its end.
    pub(super) wall: Duration,
    /// Time on processors, in user space and in the kernel.
    pub(super) busy: Duration,
    /// The largest resident set, KiB.
    pub(super) peak_kib: u64,
}

impl Subject {
    /// Runs it with its output to /dev/null.
    ///
    /// # Errors
    /// [`Error::Late`] when it does not end within `limit`; [`Error::Exit`] with what it wrote to
    /// stderr shown.
    pub(super) fn run(&self, limit: Duration) -> Result<Sample> {
        let mut stderr = memory_file()?;
        let start = Instant::now();
        let child = self.start(Stdio::null(), &stderr)?;
        self.wait_for(&child, limit)?;
        self.end(&child, start, &mut stderr)
    }

    /// Runs it and hands its output to `read`.
    pub(super) fn read<T>(&self, read: impl FnOnce(&mut dyn Read) -> T) -> Result<(T, Sample)> {
        let mut stderr = memory_file()?;
        let start = Instant::now();
        let mut child = self.start(Stdio::piped(), &stderr)?;
        let mut stdout = child
            .stdout
            .take()
            .ok_or(Error::Unexpected(String::new()))?;
        let answer = read(&mut stdout);
        Ok((answer, self.end(&child, start, &mut stderr)?))
    }

    fn end(&self, child: &Child, start: Instant, stderr: &mut File) -> Result<Sample> {
        let (status, usage) = reap(child)?;
        let wall = start.elapsed();
        self.check(status, stderr)?;
        Ok(Sample {
            wall,
            busy: duration(usage.ru_utime) + duration(usage.ru_stime),
            // Linux counts in KiB, getrusage(2).
            peak_kib: u64::try_from(usage.ru_maxrss).unwrap_or(0),
        })
    }

    fn start(&self, stdout: Stdio, stderr: &File) -> Result<Child> {
        let stderr = stderr
            .try_clone()
            .map_err(Error::system("duplicate a descriptor"))?;
        Command::new(&self.words[0])
            .args(&self.words[1..])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|source| Error::Start {
                program: self.name.to_owned(),
                source,
            })
    }

    fn wait_for(&self, child: &Child, limit: Duration) -> Result<()> {
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
            .map_err(Error::system("open a pidfd"))?;
        let late = Error::Late {
            event: format!("the end of {}", self.name),
            seconds: limit.as_secs(),
        };
        let mut ended = [PollFd::new(&pidfd, PollFlags::IN)];
        let timeout = Timespec {
            tv_sec: i64::try_from(limit.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        match poll(&mut ended, Some(&timeout)) {
            Ok(0) => {
                // It may have ended just now, which is what we want.
                let _ = pidfd_send_signal(&pidfd, Signal::KILL);
                let _ = reap(child);
                Err(late)
            }
            Ok(_) => Ok(()),
            Err(error) => Err(Error::system("poll")(error)),
        }
    }

    fn check(&self, status: ExitStatus, stderr: &mut File) -> Result<()> {
        if status.success() {
            return Ok(());
        }
        let mut said = String::new();
        // What it said helps, but is not needed.
        let _ = stderr.rewind();
        let _ = stderr.read_to_string(&mut said);
        eprint!("{said}");
        Err(Error::Exit {
            command: self.name.to_owned(),
            status,
        })
    }
}

/// The middle one of the values; the lower of two.
pub(super) fn median<T: Ord + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values.get(values.len().checked_sub(1)? / 2).copied()
}

fn memory_file() -> Result<File> {
    let file: OwnedFd = memfd_create("stderr", MemfdFlags::CLOEXEC)
        .map_err(Error::system("make a file in memory"))?;
    Ok(file.into())
}

fn reap(child: &Child) -> Result<(ExitStatus, libc::rusage)> {
    let pid = Pid::from_child(child).as_raw_nonzero().get();
    let mut status = 0;
    // SAFETY: rusage holds plain numbers, for which zeroes are valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to locals that live across the call.
        let reaped = unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) };
        if reaped == pid {
            return Ok((ExitStatus::from_raw(status), usage));
        }
        let error = std::io::Error::last_os_error();
        if error.kind() != std::io::ErrorKind::Interrupted {
            return Err(Error::system("wait for a child process")(error));
        }
    }
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Subject {
        Subject {
            name: "sh",
            words: ["sh", "-c", script].map(OsString::from).into(),
        }
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median([3, 1, 2]), Some(2));
        assert_eq!(median([4, 1, 2, 3]), Some(2));
        assert_eq!(median::<u8>([]), None);
    }

    #[test]
    fn a_run_is_timed_and_weighed() {
        let sample = shell("exit 0").run(Duration::from_secs(20)).unwrap();
        assert!(sample.wall > Duration::ZERO && sample.peak_kib > 0);
    }

    #[test]
    fn a_failing_or_endless_program_is_an_error() {
        let limit = Duration::from_secs(20);
        assert!(matches!(
            shell("exit 3").run(limit),
            Err(Error::Exit { .. })
        ));
        let endless = shell("while :; do read x; done < /dev/zero");
        assert!(matches!(
            endless.run(Duration::from_millis(100)),
            Err(Error::Late { .. })
        ));
    }

    #[test]
    fn output_can_be_read() {
        let mut text = String::new();
        shell("echo one; echo two")
            .read(|out| out.read_to_string(&mut text))
            .unwrap()
            .0
            .unwrap();
        assert_eq!(text, "one\ntwo\n");
    }
}
