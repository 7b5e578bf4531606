//! Connections that are open, gathered by their settings.

use std::collections::BTreeMap;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use sockpulse_core::assess::rto_without_backoff;
use sockpulse_core::{
    Comm, Connection, EffectiveTimers, Entrance, Exposure, Hz, NetnsDefaults, NetnsId, Observed,
    SocketTimers, TcpState, Unseen,
};

use super::subject::{Rto, Subject, Whose};
use crate::row::Row;

/// Connections with equal settings of equal origin.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// How many.
    pub(super) connections: u64,
    /// How many of them have both ends in one namespace.
    pub(super) local: u64,
    /// Whose they are, most connections first; `None` for those that nobody visible has open.
    pub(super) programs: Vec<(Option<Comm>, u64)>,
    /// In how many network namespaces they are.
    pub(super) namespaces: usize,
    /// How one gets into the first of these.
    pub(super) entrance: Entrance,
    /// The only one, if there is no other.
    pub(super) only: Option<Connection>,
}

/// What a survey came to.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    groups: HashMap<Key, Growing>,
    /// Connections whose settings could not be seen, by the reason.
    pub(super) unknown: BTreeMap<Unseen, u64>,
    /// Sockets that have no peer to lose, by their state.
    pub(super) peerless: BTreeMap<TcpState, u64>,
    /// Sockets that no program holds any more: other timers end them.
    pub(super) orphans: u64,
}

/// What makes timelines equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    timers: EffectiveTimers,
    retries2: u32,
    rto_min: Duration,
    rto_max: Duration,
}

#[derive(Debug)]
struct Growing {
    subject: Subject,
    programs: HashMap<Option<Comm>, u64>,
    namespaces: HashSet<NetnsId>,
    group: Group,
}

impl Gathered {
    /// Adds a connection.
    pub(super) fn add(&mut self, row: &Row<'_>) {
        let connection = row.connection;
        if connection.orphan == Observed::Known(true) && connection.state != TcpState::TimeWait {
            self.orphans += 1;
            return;
        }
        if !connection.state.has_peer() {
            *self.peerless.entry(connection.state).or_insert(0) += 1;
            return;
        }
        let defaults = row
            .namespace
            .and_then(|namespace| namespace.defaults.as_ref());
        let (timers, held, defaults) =
            match (row.assessment.effective, connection.settings, defaults) {
                (Observed::Known(timers), Observed::Known(held), Some(defaults)) => {
                    (timers, held, defaults)
                }
                (Observed::Unknown(why), _, _) | (_, Observed::Unknown(why), _) => {
                    *self.unknown.entry(why).or_insert(0) += 1;
                    return;
                }
                (_, _, None) => {
                    *self.unknown.entry(Unseen::NoDefaults).or_insert(0) += 1;
                    return;
                }
            };
        let key = Key {
            timers,
            retries2: defaults.retries2,
            rto_min: defaults.rto_min,
            rto_max: defaults.rto_max,
        };
        self.groups
            .entry(key)
            .or_insert_with(|| Growing::new(row, held, defaults))
            .add(row);
    }

    /// Whether nothing at all was added.
    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.unknown.is_empty()
            && self.peerless.is_empty()
            && self.orphans == 0
    }

    /// The groups, the largest first; of equal ones those with keepalive off.
    pub(super) fn finish(&mut self, hz: Option<Hz>) -> Vec<Subject> {
        let mut groups: Vec<(Key, Growing)> = self.groups.drain().collect();
        groups.sort_by_key(|(key, grown)| {
            let Key { timers, .. } = key;
            (
                std::cmp::Reverse(grown.group.connections),
                timers.keepalive,
                std::cmp::Reverse(timers.idle.value),
                timers.interval.value,
                timers.probes.value,
                timers.user_timeout,
                timers.idle.origin,
            )
        });
        groups
            .into_iter()
            .map(|(_, grown)| grown.finish(hz))
            .collect()
    }
}

impl Growing {
    fn new(row: &Row<'_>, timers: SocketTimers, defaults: &NetnsDefaults) -> Self {
        let entrance = match row.namespace {
            Some(namespace) if namespace.own => Entrance::Here,
            Some(namespace) => namespace.pid.map_or(Entrance::Unknown, Entrance::Process),
            None => Entrance::Unknown,
        };
        let group = Group {
            connections: 0,
            local: 0,
            programs: Vec::new(),
            namespaces: 0,
            entrance,
            only: None,
        };
        Self {
            subject: Subject {
                timers,
                defaults: defaults.clone(),
                hz: None,
                rto: Rto::Unknown,
                whose: Whose::Open(Box::new(group.clone())),
            },
            programs: HashMap::new(),
            namespaces: HashSet::new(),
            group,
        }
    }

    fn add(&mut self, row: &Row<'_>) {
        let connection = row.connection;
        let group = &mut self.group;
        group.connections += 1;
        group.only = (group.connections == 1).then(|| connection.clone());
        group.local += u64::from(row.assessment.exposure == Some(Exposure::Local));
        let program = connection
            .owner
            .processes
            .first()
            .map(|process| process.comm);
        *self.programs.entry(program).or_insert(0) += 1;
        self.namespaces.insert(connection.id.netns);
        if let Some(rto) = rto_without_backoff(connection, self.subject.defaults.rto_min) {
            self.subject.rto = match self.subject.rto {
                Rto::Measured(least, most) => Rto::Measured(least.min(rto), most.max(rto)),
                _ => Rto::Measured(rto, rto),
            };
        }
    }

    fn finish(self, hz: Option<Hz>) -> Subject {
        let mut programs: Vec<(Option<Comm>, u64)> = self.programs.into_iter().collect();
        programs.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
        let group = Group {
            programs,
            namespaces: self.namespaces.len(),
            ..self.group
        };
        Subject {
            hz,
            whose: Whose::Open(Box::new(group)),
            ..self.subject
        }
    }
}
