//! Settings of other people's sockets, read through a duplicate of the descriptor
//! (pidfd_getfd(2), since 5.6).
//!
//! The duplicate lives only while its options are read, so that a connection that its program closes
//! meanwhile is not kept open longer than some microseconds. About 5 µs a socket.

use std::collections::HashMap;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use sockpulse_core::{Connection, Cookie, Observed, Process, SocketTimers, Unseen};

use crate::error::Result;
use crate::sock_diag::Memory;
use crate::{raw, sockopt};

/// Borrows descriptors of processes. Process descriptors are kept between calls.
///
/// Needs the right to trace the process (`PTRACE_MODE_ATTACH_REALCREDS`): the same user and a
/// dumpable process, or `CAP_SYS_PTRACE`; Yama's `ptrace_scope` may ask for the latter always.
#[derive(Debug, Default)]
pub struct Borrower {
    processes: HashMap<u32, Target>,
}

#[derive(Debug)]
enum Target {
    Open(OwnedFd),
    Closed(Unseen),
}

/// Bytes of `SO_MEMINFO` that are of interest: up to the backlog.
const MEMINFO: usize = size_of::<[u32; 8]>();

/// Process descriptors kept at once: the limit of open files may be as low as 1024.
const KEPT: usize = 256;

impl Borrower {
    /// A borrower that knows no process yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads the keepalive settings of a connection through a process that holds it. Which of them
    /// are inherited cannot be told ([`Setting::Either`](sockpulse_core::Setting::Either)).
    ///
    /// The cookie is compared, because the descriptor's number may stand for another socket by now.
    /// A subflow of Multipath TCP has no descriptor; the options of the socket above it need not be
    /// the subflow's, so that they are [`Unseen::NotReported`].
    pub fn settings(
        &mut self,
        process: Process,
        connection: &Connection,
    ) -> Observed<SocketTimers> {
        match self.borrow_exactly(process, connection.id.cookie) {
            Ok(socket) => sockopt::settings(&socket)
                .map_or(Observed::Unknown(Unseen::NotReported), Observed::Known),
            Err(unseen) => Observed::Unknown(unseen),
        }
    }

    /// What the buffers of the socket of this cookie take, which the process holds: also of one that
    /// was destroyed and that sock_diag shows no more.
    ///
    /// # Errors
    /// [`Unseen::Vanished`] when the process has closed it.
    #[doc(alias = "SO_MEMINFO")]
    pub fn memory(&mut self, process: Process, cookie: Cookie) -> Result<Memory, Unseen> {
        let socket = self.borrow(process)?;
        is_the_one(&socket, cookie).map_err(|_| Unseen::Vanished)?;
        let values = raw::option::<MEMINFO>(&socket, libc::SOL_SOCKET, libc::SO_MEMINFO);
        let values = values.map_err(|_| Unseen::NotReported)?;
        let (values, _) = values.as_chunks();
        let values: Vec<u32> = values.iter().copied().map(u32::from_ne_bytes).collect();
        Ok(Memory::of(&values))
    }

    /// The socket of this cookie, if the descriptor still stands for it.
    pub(crate) fn borrow_exactly(
        &mut self,
        process: Process,
        cookie: Cookie,
    ) -> Result<OwnedFd, Unseen> {
        let socket = self.borrow(process)?;
        is_the_one(&socket, cookie)?;
        Ok(socket)
    }

    fn borrow(&mut self, process: Process) -> Result<OwnedFd, Unseen> {
        let Ok(number) = i32::try_from(process.fd) else {
            return Err(Unseen::Vanished);
        };
        let answer = match self.target(process.pid) {
            Target::Open(pidfd) => pidfd_getfd(pidfd, number, PidfdGetfdFlags::empty()),
            Target::Closed(unseen) => return Err(*unseen),
        };
        answer.map_err(|errno| {
            let unseen = unseen(errno);
            // What is refused once is refused for the process's other descriptors too.
            if unseen == Unseen::NotPermitted || errno == Errno::SRCH {
                self.processes.insert(process.pid, Target::Closed(unseen));
            }
            unseen
        })
    }

    fn target(&mut self, pid: u32) -> &Target {
        if self.processes.len() >= KEPT && !self.processes.contains_key(&pid) {
            self.processes.clear();
        }
        self.processes.entry(pid).or_insert_with(|| {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let pidfd = pid
                .ok_or(Errno::SRCH)
                .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
            pidfd.map_or_else(|errno| Target::Closed(unseen(errno)), Target::Open)
        })
    }
}

/// No two sockets ever have one cookie, and that of a Multipath TCP connection is not that of its
/// subflows.
fn is_the_one(socket: &OwnedFd, cookie: Cookie) -> Result<(), Unseen> {
    if sockopt::cookie(socket).is_ok_and(|found| found == cookie) {
        return Ok(());
    }
    Err(match sockopt::is_mptcp(socket) {
        Ok(true) => Unseen::NotReported,
        // Another socket by now, or no socket at all.
        _ => Unseen::Vanished,
    })
}

fn unseen(errno: Errno) -> Unseen {
    match errno {
        Errno::PERM | Errno::ACCESS => Unseen::NotPermitted,
        Errno::SRCH | Errno::BADF => Unseen::Vanished,
        // No such system call, or no descriptors left.
        _ => Unseen::NotReported,
    }
}
