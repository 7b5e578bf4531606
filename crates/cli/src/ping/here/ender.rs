//! What sock_diag says of a connection, and its end.

use std::time::Duration;

use rustix::io::Errno;
use sockpulse_linux::sock_diag::{Memory, Socket, TcpInfo, messages};
use sockpulse_linux::{Error, Operation};

use crate::ping::subject::Subject;

/// Asks sock_diag, which knows one namespace.
#[derive(Debug)]
pub(super) enum Ender {
    /// That of the thread on which it is used.
    Here(Option<Socket>),
    /// It is another one's thread.
    Elsewhere,
}

impl Ender {
    pub(super) fn silence(&mut self, subject: &Subject) -> Result<Option<Duration>, Error> {
        let info = TcpInfo::With;
        let answer = self.diag()?.lookup(&subject.id, subject.ifindex, info)?;
        let Some(answer) = answer else {
            return Ok(None);
        };
        let Some(message) = messages(&answer).next() else {
            return Ok(None);
        };
        let connection = message?.connection(subject.id.netns);
        let silence = connection.and_then(|connection| connection.silence_ms);
        Ok(silence.map(Duration::from_millis))
    }

    pub(super) fn memory(&mut self, subject: &Subject) -> Option<Memory> {
        let diag = self.diag().ok()?;
        diag.memory(&subject.id, subject.ifindex).ok().flatten()
    }

    pub(super) fn destroy(&mut self, subject: &Subject) -> Result<bool, Error> {
        self.diag()?.destroy(&subject.id, subject.ifindex)
    }

    fn diag(&mut self) -> Result<&mut Socket, Error> {
        match self {
            Self::Here(Some(diag)) => Ok(diag),
            Self::Here(none) => Ok(none.insert(Socket::open()?)),
            Self::Elsewhere => Err(Error::System {
                operation: Operation::EnterNamespace,
                object: "the network namespace of the connection".into(),
                errno: Errno::PERM,
            }),
        }
    }
}
