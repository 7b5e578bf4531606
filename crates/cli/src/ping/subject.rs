//! A connection that is to be asked, in few bytes: there may be a million.

use std::time::Duration;

use sockpulse_core::{Connection, Cookie, Observed, Process, SocketId, TcpState, Unseen};

use crate::row::Row;

/// What asking needs to know of a connection, and what is shown of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Which.
    pub id: SocketId,
    /// Its state.
    pub state: TcpState,
    /// The device that its socket is bound to; 0 for none.
    pub ifindex: u32,
    /// A process that holds it.
    pub process: Option<Process>,
    /// How many hold it.
    pub holders: u32,
    /// Why none is known.
    pub unowned: Option<Unseen>,
    /// How long the peer was silent when it was read.
    pub silence: Option<Duration>,
}

/// Why there is nobody to ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LeftOut {
    /// The state has no peer, or no socket.
    State(TcpState),
    /// The source of rows tells no cookie, and addresses alone may mean another connection by now.
    NoCookie,
}

impl LeftOut {
    /// A stable word for JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::State(state) => state.name(),
            Self::NoCookie => "no-cookie",
        }
    }
}

impl Subject {
    /// # Errors
    /// When there is nobody to ask.
    pub(crate) fn of(row: &Row<'_>) -> Result<Self, LeftOut> {
        let connection = row.connection;
        if !is_askable(connection) {
            return Err(LeftOut::State(connection.state));
        }
        if connection.id.cookie == Cookie(0) {
            return Err(LeftOut::NoCookie);
        }
        let processes = &connection.owner.processes;
        Ok(Self {
            id: connection.id,
            state: connection.state,
            ifindex: connection.ifindex,
            process: processes.first().copied(),
            holders: processes.len().try_into().unwrap_or(u32::MAX),
            unowned: connection.owner.unseen,
            silence: connection.silence_ms.map(Duration::from_millis),
        })
    }
}

/// Whether there is a peer, and a socket with all that a probe needs. What is closed by both sides is
/// asked too: its peer owes an answer as long as it knows of it. An entry of TIME-WAIT that still says
/// FIN-WAIT-2 has no socket.
fn is_askable(connection: &Connection) -> bool {
    let has_peer = connection.state.has_peer()
        || matches!(connection.state, TcpState::Closing | TcpState::LastAck);
    has_peer && !matches!(connection.settings, Observed::Unknown(Unseen::NoSocket))
}
