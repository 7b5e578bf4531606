//! Waiting for the end of a connection, and how it is seen.

use std::fmt;
use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};

use sockpulse_core::machine::Errno;

use crate::error::{Error, Result};
use crate::host::Host;

/// What became of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It was still there when the scenario ended.
    Stayed,
    /// read(2) returned an error with this number.
    Error(i32),
    /// read(2) returned 0: the peer closed.
    EndOfStream,
    /// The kernel dropped it, and no program was there to be told.
    Dropped,
}

/// As people and JSON are told: the kernel's name of the error.
impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stayed => f.write_str("stays"),
            Self::EndOfStream => f.write_str("end of stream"),
            Self::Dropped => f.write_str("dropped"),
            Self::Error(number) => match NAMED.iter().find(|errno| errno.number() == *number) {
                Some(errno) => f.write_str(errno.name()),
                None => write!(f, "errno {number}"),
            },
        }
    }
}

const NAMED: [Errno; 7] = [
    Errno::BrokenPipe,
    Errno::Protocol,
    Errno::NetworkUnreachable,
    Errno::ConnectionReset,
    Errno::TimedOut,
    Errno::ConnectionRefused,
    Errno::HostUnreachable,
];

/// Waits until the program's read(2) would return, or the deadline. A pending error is taken once.
pub(crate) fn ending(socket: &TcpStream, deadline: Instant) -> Result<(Instant, Ending)> {
    let mut buffer = [0; 4096];
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput);
        let timeout = timeout.map_err(Error::system("wait for a deadline"))?;
        let mut polled = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
        let woken = match poll(&mut polled, Some(&timeout)) {
            // Somebody stopped this process and let it go on, or looks at it with a debugger.
            Err(rustix::io::Errno::INTR) => continue,
            woken => woken.map_err(Error::system("wait for a socket"))?,
        };
        let at = Instant::now();
        if woken == 0 {
            return Ok((at, Ending::Stayed));
        }
        match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((0, _)) => return Ok((at, Ending::EndOfStream)),
            Ok(_) => {}
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(errno) => return Ok((at, Ending::Error(errno.raw_os_error()))),
        }
    }
}

/// How often the kernel's table is looked at for a socket that no program holds.
const LOOK: Duration = Duration::from_millis(10);

/// Waits until a host has no socket with this local port in this state any more, or the deadline.
pub(crate) fn dropped(
    host: &Host,
    port: u16,
    state: &'static str,
    deadline: Instant,
) -> Result<(Instant, Ending)> {
    loop {
        let there = is_there(host, port, state)?;
        let at = Instant::now();
        if !there {
            return Ok((at, Ending::Dropped));
        }
        if at > deadline {
            return Ok((at, Ending::Stayed));
        }
        std::thread::park_timeout(LOOK);
    }
}

/// Whether the host has such a socket: proc_net_tcp.txt; states as there, `03` for SYN-RECV.
pub(crate) fn is_there(host: &Host, port: u16, state: &'static str) -> Result<bool> {
    // /proc/net is that of the process's first thread.
    let table = host
        .run(|| fs::read_to_string("/proc/thread-self/net/tcp"))
        .map_err(Error::system("read /proc/thread-self/net/tcp"))?;
    Ok(table.lines().skip(1).any(|line| is_line(line, port, state)))
}

fn is_line(line: &str, port: u16, state: &str) -> bool {
    let mut words = line.split_whitespace().skip(1);
    let (Some(local), Some(_), Some(found)) = (words.next(), words.next(), words.next()) else {
        return false;
    };
    let local = local.split_once(':').map(|(_, port)| port);
    local.and_then(|hex| u16::from_str_radix(hex, 16).ok()) == Some(port) && found == state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_have_the_kernels_names() {
        assert_eq!(Ending::Error(110).to_string(), "ETIMEDOUT");
        assert_eq!(Ending::Error(5).to_string(), "errno 5");
    }

    #[test]
    fn a_socket_is_found_by_port_and_state() {
        let line = "   1: 02024D0A:1B58 02014D0A:9C40 03 00000000:00000000 01:00000064 00000000";
        assert!(is_line(line, 7000, "03"));
        assert!(!is_line(line, 7000, "04"));
        assert!(!is_line(line, 40_000, "03"));
        assert!(!is_line("", 7000, "03"));
        assert!(!is_line("  sl  local_address rem_address   st", 7000, "03"));
    }
}
