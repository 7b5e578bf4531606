//! Events told from two looks at the machine: what differs has happened in between.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::{Changed, Event, Item, Kind, Side, Source};
use crate::connection::{Connection, Cookie, TcpState};
use crate::settings::{Setting, SocketTimers};

/// Whether a look showed everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// What was not seen is not there.
    Complete,
    /// Something could not be read.
    Partial,
}

/// The connections that were there at the last look.
///
/// A look is [`see`](Looks::see) for every socket, then [`end`](Looks::end). The first one tells
/// nothing.
#[derive(Debug, Default)]
pub struct Looks {
    known: BTreeMap<Cookie, Known>,
    /// Looks that have ended.
    ended: u64,
}

#[derive(Debug)]
struct Known {
    connection: Connection,
    /// The look at which it was seen last.
    look: u64,
    /// When it was seen first, if it was not there at the first look.
    opened: Option<Duration>,
}

impl Looks {
    /// How many connections there were at the last look.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there were none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes a socket that is there, and tells what happened to it.
    pub fn see(&mut self, at: Duration, connection: &Connection, tell: &mut dyn FnMut(Event)) {
        let cookie = connection.id.cookie;
        // Some kernels' requests and TIME-WAIT entries have none.
        if cookie == Cookie(0) {
            return;
        }
        if !is_open(connection.state) {
            // Behind the last FIN it goes by the same cookie.
            if connection.state == TcpState::TimeWait
                && let Some(known) = self.known.remove(&cookie)
            {
                tell(event(at, Kind::Closed, &known.connection, known.opened));
            }
            return;
        }
        let look = self.ended;
        match self.known.get_mut(&cookie) {
            Some(known) => {
                known.look = look;
                differences(&known.connection, connection, |kind| {
                    tell(event(at, kind, connection, known.opened));
                });
                known.connection.clone_from(connection);
            }
            None => {
                let opened = (look > 0).then_some(at);
                if opened.is_some() {
                    let kind = Kind::Opened(Side::Unknown);
                    tell(event(at, kind, connection, opened));
                }
                let connection = connection.clone();
                let known = Known {
                    connection,
                    look,
                    opened,
                };
                self.known.insert(cookie, known);
            }
        }
    }

    /// Ends a look, and tells what is gone. What a partial look did not show may still be there: it is
    /// gone when the next one does not show it either.
    pub fn end(&mut self, at: Duration, look: Look, tell: &mut dyn FnMut(Event)) {
        let expected = match look {
            Look::Complete => self.ended,
            Look::Partial => self.ended.saturating_sub(1),
        };
        self.ended += 1;
        let gone = self.known.extract_if(.., |_, known| known.look < expected);
        for (_, known) in gone {
            tell(event(at, Kind::Gone, &known.connection, known.opened));
        }
    }
}

/// Whether there is a connection that can end.
const fn is_open(state: TcpState) -> bool {
    !matches!(
        state,
        TcpState::Listen
            | TcpState::Close
            | TcpState::TimeWait
            | TcpState::SynSent
            | TcpState::SynReceived
    )
}

fn event(at: Duration, kind: Kind, connection: &Connection, opened: Option<Duration>) -> Event {
    Event {
        at,
        kind,
        connection: connection.clone(),
        age: opened.map(|opened| at.saturating_sub(opened)),
        opener: None,
        source: Source::Scan,
    }
}

fn differences(before: &Connection, now: &Connection, mut tell: impl FnMut(Kind)) {
    if let (Some(before), Some(now)) = (before.settings.known(), now.settings.known()) {
        changes(&before, &now, |changed| tell(Kind::Changed(changed)));
    }
    match (probes(before), probes(now)) {
        (Some(0), Some(1..)) => tell(Kind::Probing),
        (Some(unanswered @ 1..), Some(0)) => tell(Kind::Recovered { unanswered }),
        _ => {}
    }
}

/// Unanswered keepalive probes: with something to send, the same counter is the window probes'.
fn probes(connection: &Connection) -> Option<u8> {
    connection
        .unanswered_probes
        .filter(|_| connection.unacked_bytes == Some(0))
}

fn changes(before: &SocketTimers, now: &SocketTimers, mut tell: impl FnMut(Changed)) {
    let on = |timers: &SocketTimers| Some(u32::from(timers.keepalive));
    let timeout = |timers: &SocketTimers| Some(timers.user_timeout.get());
    for (item, before, now) in [
        (Item::Keepalive, on(before), on(now)),
        (Item::Idle, own(before.idle), own(now.idle)),
        (Item::Interval, own(before.interval), own(now.interval)),
        (Item::Probes, own(before.probes), own(now.probes)),
        (Item::UserTimeout, timeout(before), timeout(now)),
    ] {
        if let Some(value) = now.filter(|_| before != now) {
            let by = None;
            tell(Changed { item, value, by });
        }
    }
}

/// What the socket has of its own.
const fn own(setting: Setting<u32>) -> Option<u32> {
    match setting {
        Setting::Socket(value) => Some(value),
        _ => None,
    }
}
