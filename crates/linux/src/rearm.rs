//! Arms the keepalive timer of someone else's connection anew, so that a lowered default holds now.
//!
//! The kernel reads the default when the timer fires and does not move one that runs
//! (`tcp_keepalive_timer()`). Switching `SO_KEEPALIVE` off and on again arms it with the default as it
//! is now, for its full length (`tcp_set_keepalive()`, net/ipv4/tcp_timer.c), and leaves inherited
//! values inherited, which setting `TCP_KEEPIDLE` would not.
//!
//! Between the two calls keepalive is off. No signal that can be held back comes in between; a
//! process that is killed there (`SIGKILL`, the machine's memory running out) leaves it off on that one
//! connection.

use std::os::fd::OwnedFd;

use rustix::net::sockopt as options;
use sockpulse_core::{Cookie, Process, TcpState, Unseen};

use crate::error::{Error, Operation};
use crate::pidfd::Borrower;
use crate::raw;
use crate::sockopt;

/// Why a timer was left as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRearmed {
    /// The connection could not be reached.
    Unreached(Unseen),
    /// It is no longer as it was read: keepalive is off, or it is being closed.
    Changed,
    /// A probe is unanswered: a new timer would let it live longer.
    Probing,
    /// The kernel refused.
    Failed(Error),
}

impl Borrower {
    /// Arms the connection's keepalive timer with the idle that is in force now, from now on.
    ///
    /// The cookie is compared; a connection whose probes are unanswered is left alone. The duplicate
    /// of the descriptor lives for a few system calls.
    ///
    /// # Errors
    /// [`NotRearmed`]; needs the same rights as [`Borrower::settings()`].
    pub fn rearm(&mut self, process: Process, cookie: Cookie) -> Result<(), NotRearmed> {
        let socket = self
            .borrow_exactly(process, cookie)
            .map_err(NotRearmed::Unreached)?;
        may_be_rearmed(&socket)?;
        raw::without_signals(|| toggle(&socket))
    }
}

fn may_be_rearmed(socket: &OwnedFd) -> Result<(), NotRearmed> {
    let failed = NotRearmed::Failed;
    if !sockopt::keepalive(socket).map_err(failed)? {
        return Err(NotRearmed::Changed);
    }
    // struct tcp_info begins with state, ca_state, retransmits and probes, a byte each.
    let info = raw::option::<4>(socket, libc::IPPROTO_TCP, libc::TCP_INFO)
        .map_err(|errno| failed(Error::system(Operation::ReadOption, "TCP_INFO", errno)))?;
    let [state, _, _, probes] = info;
    if !TcpState::from_kernel(state).is_some_and(TcpState::has_peer) {
        return Err(NotRearmed::Changed);
    }
    if probes > 0 {
        return Err(NotRearmed::Probing);
    }
    Ok(())
}

fn toggle(socket: &OwnedFd) -> Result<(), NotRearmed> {
    let set = |on| {
        options::set_socket_keepalive(socket, on)
            .map_err(|errno| Error::system(Operation::SetOption, "SO_KEEPALIVE", errno))
    };
    set(false).map_err(NotRearmed::Failed)?;
    // A second try costs nothing; that the first fails has no cause known.
    set(true)
        .or_else(|_| set(true))
        .map_err(NotRearmed::Failed)?;
    match sockopt::keepalive(socket) {
        Ok(true) => Ok(()),
        // Its own program switched it off in the same moment.
        Ok(false) => Err(NotRearmed::Changed),
        Err(error) => Err(NotRearmed::Failed(error)),
    }
}
