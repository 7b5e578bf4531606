//! What the programs tell.

use std::time::Duration;

use sockpulse_core::event::Side;
use sockpulse_core::machine::SocketOption;
use sockpulse_core::{Comm, Connection, EffectiveTimers};

/// Something that happened to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happening {
    /// When, on the clock that runs since the machine started (`CLOCK_BOOTTIME`).
    pub at: Duration,
    /// What.
    pub what: What,
    /// The connection as it was right then; one that ends, with the state that it had before. Its cookie
    /// is 0 where the kernel has given none, and its owner has no processes: see
    /// [`program`](Self::program). Times are as exact as the kernel's tick.
    pub connection: Connection,
    /// The settings in force, inherited ones filled in.
    pub effective: EffectiveTimers,
    /// When it was opened, on the same clock: the call of connect(2), or the end of the handshake for
    /// those accepted. `None`: before the programs were attached, or too many were opened since.
    pub opened: Option<Duration>,
    /// The program that is known to have opened it.
    pub program: Option<Program>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It was established.
    Opened(Side),
    /// The first keepalive probe was not answered in time. Told when the next one is due.
    Probing,
    /// The peer was heard again after [`Probing`](Self::Probing). Told when the next probe would have been
    /// due; with data in flight, up to the idle time later.
    Recovered {
        /// How long it was silent, at most.
        silence: Duration,
        /// How many probes were found unanswered. One more may have been sent, which was answered then.
        unanswered: u8,
    },
    /// The kernel ended it, and its program reads an error.
    Died(Ending),
    /// It was closed in order, by whichever side; or its program dropped it.
    Closed,
    /// A program set an option. Calls that change nothing are not told.
    Changed(Change),
}

/// How the kernel ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// What the program reads (`sk_err`), never 0.
    pub errno: i32,
    /// What was heard of the way meanwhile, such as by ICMP (`sk_err_soft`), else 0.
    pub soft_error: i32,
    /// Whether a RST from the peer, or from someone on the way, ended it.
    pub reset: bool,
    /// Bytes that waited to be sent. Of [`Connection::unacked_bytes`] the others were in flight.
    pub unsent: u32,
    /// For how long a closed window had been probed; `None` before 5.11, and where none was.
    pub window_probed: Option<Duration>,
    /// Who did it, where a process did (`SOCK_DESTROY`); at any other death `current` is whoever was
    /// interrupted.
    pub by: Option<Program>,
}

/// A call of setsockopt(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What was asked for. Another program on the cgroup may have made something else of it.
    pub option: SocketOption,
    /// Who called: the connection's own program or another one that borrowed its descriptor.
    pub by: Program,
}

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Program {
    /// Its process, in the reader's pid namespace; 0 if it has no number there.
    pub pid: u32,
    /// Its name.
    pub comm: Comm,
    /// How it is known.
    pub known: Known,
}

/// How a program is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Known {
    /// It made the call.
    Called,
    /// It called connect(2) when the connection began.
    Connected,
    /// It called listen(2) on the socket that the connection was accepted from: another process may have
    /// accepted it.
    Listened,
}
