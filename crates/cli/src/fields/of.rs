//! Where each field's value is found in a row.

use sockpulse_core::{Noticed, Observed, Origin, TcpState, Timer, TimerKind, Unseen};

use super::Value;
use super::shown::{Part, Shown};
use crate::row::Row;

/// Why settings are unknown, if they are.
pub(crate) fn unknown_settings(row: &Row<'_>) -> Option<Unseen> {
    match row.assessment.effective {
        Observed::Known(_) => None,
        Observed::Unknown(why) => Some(why),
    }
}

/// The timer that is due first. `Known(None)` only when both timers were seen not to run.
pub(crate) fn next_timer(row: &Row<'_>) -> Observed<Option<Timer>> {
    let timers = &row.connection.timers;
    match (timers.next(), timers.keepalive, timers.retransmission) {
        (Some(timer), _, _) => Observed::Known(Some(timer)),
        (None, Observed::Unknown(why), _) | (None, _, Observed::Unknown(why)) => {
            Observed::Unknown(why)
        }
        (None, _, _) => Observed::Known(None),
    }
}

/// When the next probe is due. A timer says nothing of the switch, so it counts only where the
/// switch was seen.
pub(crate) fn next_probe<'a>(row: &Row<'a>) -> Value<'a> {
    match (row.connection.settings, row.connection.timers.keepalive) {
        (Observed::Unknown(Unseen::NoSocket), _) => Value::Absent,
        (Observed::Known(timers), _) if !timers.keepalive => Value::Absent,
        (Observed::Unknown(_), _) | (_, Observed::Unknown(_)) => Value::Unknown,
        (_, Observed::Known(Some(timer))) if timer.kind == TimerKind::Keepalive => {
            Value::Millis(timer.expires_ms)
        }
        (_, Observed::Known(_)) => Value::Absent,
    }
}

fn seen<'a, T>(value: Option<T>, make: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    value.map_or(Value::Unknown, make)
}

fn absent_or<'a, T>(value: Option<T>, make: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    value.map_or(Value::Absent, make)
}

/// Unknown for a connection, absent for what is no connection with a peer.
fn of_peer<'a, T>(row: &Row<'_>, value: Option<T>, make: impl FnOnce(T) -> Value<'a>) -> Value<'a> {
    match value {
        Some(value) => make(value),
        None if row.connection.state.has_peer() => Value::Unknown,
        None => Value::Absent,
    }
}

pub(crate) const fn short_state(state: TcpState) -> &'static str {
    match state {
        TcpState::Established => "estab",
        TcpState::SynReceived => "syn-recv",
        other => other.name(),
    }
}

pub(super) fn state<'a>(row: &Row<'a>) -> Value<'a> {
    let state = row.connection.state;
    Value::State(state.name(), short_state(state))
}

pub(super) fn local<'a>(row: &Row<'a>) -> Value<'a> {
    Value::End(row.connection.id.local)
}

pub(super) fn remote<'a>(row: &Row<'a>) -> Value<'a> {
    Value::End(row.connection.id.remote)
}

pub(super) fn exposure<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.assessment.exposure, Value::Exposed)
}

/// What a request or a TIME-WAIT entry does not have, and what was not seen.
fn of_settings<'a, T>(
    row: &Row<'_>,
    value: Option<T>,
    make: impl FnOnce(T) -> Value<'a>,
) -> Value<'a> {
    match (value, row.connection.settings) {
        (Some(value), _) => make(value),
        (None, Observed::Unknown(Unseen::NoSocket)) => Value::Absent,
        (None, _) => Value::Unknown,
    }
}

pub(super) fn keepalive<'a>(row: &Row<'a>) -> Value<'a> {
    of_settings(row, Shown::of(row).keepalive, Value::Switch)
}

fn part<'a>(row: &Row<'_>, part: Part, make: fn(i64, Option<Origin>) -> Value<'a>) -> Value<'a> {
    of_settings(row, part.value, |value| make(value, part.origin))
}

fn origin<'a>(row: &Row<'_>, part: Part) -> Value<'a> {
    of_settings(row, part.origin, |origin| Value::Word(origin.name()))
}

pub(super) fn idle<'a>(row: &Row<'a>) -> Value<'a> {
    part(row, Shown::of(row).idle, Value::SettingSeconds)
}

pub(super) fn idle_origin<'a>(row: &Row<'a>) -> Value<'a> {
    origin(row, Shown::of(row).idle)
}

pub(super) fn interval<'a>(row: &Row<'a>) -> Value<'a> {
    part(row, Shown::of(row).interval, Value::SettingSeconds)
}

pub(super) fn interval_origin<'a>(row: &Row<'a>) -> Value<'a> {
    origin(row, Shown::of(row).interval)
}

pub(super) fn probes<'a>(row: &Row<'a>) -> Value<'a> {
    part(row, Shown::of(row).probes, Value::SettingCount)
}

pub(super) fn probes_origin<'a>(row: &Row<'a>) -> Value<'a> {
    origin(row, Shown::of(row).probes)
}

pub(super) fn user_timeout<'a>(row: &Row<'a>) -> Value<'a> {
    of_settings(row, Shown::of(row).user_timeout_ms, Value::UserTimeout)
}

pub(super) fn settings_unknown<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(unknown_settings(row), |why| Value::Word(why.name()))
}

fn noticed<'a>(
    row: &Row<'_>,
    noticed: Option<Noticed>,
    which: fn(Noticed) -> Option<std::time::Duration>,
) -> Value<'a> {
    match noticed {
        Some(Noticed::Never) => Value::Never,
        Some(noticed) => seen(which(noticed), Value::Seconds),
        // Nothing is lost with the peer of a listener or of an orphan.
        None if row.assessment.exposure.is_none() => Value::Absent,
        None => Value::Unknown,
    }
}

pub(super) fn detects_idle<'a>(row: &Row<'a>) -> Value<'a> {
    let detection = row.assessment.detection;
    noticed(row, detection.map(|d| d.idle), |n| n.by_settings())
}

pub(super) fn detects_idle_latest<'a>(row: &Row<'a>) -> Value<'a> {
    let detection = row.assessment.detection;
    noticed(row, detection.map(|d| d.idle), |n| n.latest())
}

pub(super) fn detects_busy<'a>(row: &Row<'a>) -> Value<'a> {
    let detection = row.assessment.detection;
    noticed(row, detection.and_then(|d| d.unacknowledged), |n| {
        n.by_settings()
    })
}

pub(super) fn detects_zero_window<'a>(row: &Row<'a>) -> Value<'a> {
    let detection = row.assessment.detection;
    noticed(row, detection.and_then(|d| d.zero_window), |n| {
        n.by_settings()
    })
}

pub(super) fn silence<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.silence_ms, Value::Millis)
}

pub(super) fn sent<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.sent_ms, Value::Millis)
}

pub(super) fn unanswered<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.unanswered_probes, |n| {
        Value::Number(n.into())
    })
}

pub(super) fn timer_kind<'a>(row: &Row<'a>) -> Value<'a> {
    match next_timer(row) {
        Observed::Known(timer) => Value::Word(timer.map_or("none", |timer| timer.kind.name())),
        Observed::Unknown(_) => Value::Unknown,
    }
}

pub(super) fn timer_expires<'a>(row: &Row<'a>) -> Value<'a> {
    match next_timer(row) {
        Observed::Known(timer) => absent_or(timer, |timer| Value::Millis(timer.expires_ms)),
        Observed::Unknown(_) => Value::Unknown,
    }
}

pub(super) fn unread<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.unread_bytes, Value::Volume)
}

pub(super) fn unacked<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.unacked_bytes, Value::Volume)
}

pub(super) fn in_flight<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.in_flight, Value::Flag)
}

pub(super) fn retransmits<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.retransmits, |n| Value::Number(n.into()))
}

pub(super) fn rto<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.rto_ms, |ms| Value::Millis(ms.into()))
}

pub(super) fn backoff<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.backoff, |n| Value::Number(n.into()))
}

pub(super) fn snd_una<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.snd_una, |n| Value::Number(n.into()))
}

pub(super) fn rcv_nxt<'a>(row: &Row<'a>) -> Value<'a> {
    of_peer(row, row.connection.rcv_nxt, |n| Value::Number(n.into()))
}

pub(super) fn findings<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Codes(row.assessment.codes)
}

pub(super) fn owner<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Owned(&row.connection.owner)
}

/// What a process would tell: unknown where one may hold the socket, absent where none does.
fn of_process<'a, T>(
    row: &Row<'_>,
    value: Option<T>,
    make: impl FnOnce(T) -> Value<'a>,
) -> Value<'a> {
    match (value, row.connection.owner.unseen) {
        (Some(value), _) => make(value),
        (None, Some(Unseen::NoProcess | Unseen::NoSocket)) => Value::Absent,
        (None, _) => Value::Unknown,
    }
}

pub(super) fn program<'a>(row: &Row<'a>) -> Value<'a> {
    let process = row.connection.owner.processes.first();
    of_process(row, process, |process| Value::Bytes(process.comm.bytes()))
}

pub(super) fn pid<'a>(row: &Row<'a>) -> Value<'a> {
    let process = row.connection.owner.processes.first();
    of_process(row, process, |process| Value::Number(process.pid.into()))
}

pub(super) fn fd<'a>(row: &Row<'a>) -> Value<'a> {
    let process = row.connection.owner.processes.first();
    of_process(row, process, |process| Value::Number(process.fd.into()))
}

pub(super) fn uid<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.connection.owner.uid, |uid| Value::Number(uid.into()))
}

pub(super) fn owner_unknown<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.connection.owner.unseen, |why| Value::Word(why.name()))
}

pub(super) fn place<'a>(row: &Row<'a>) -> Value<'a> {
    let place = row.place;
    match (&place.container, &place.unit) {
        // Twelve digits of an id are what container tools show.
        (Some(id), _) if id.len() == 64 => Value::Text(id.get(..12).unwrap_or(id)),
        (Some(name), _) | (None, Some(name)) => Value::Text(name),
        (None, None) => cgroup(row),
    }
}

fn text<'a>(text: &'a str) -> Value<'a> {
    if text.is_empty() {
        Value::Unknown
    } else {
        Value::Text(text)
    }
}

pub(super) fn cgroup<'a>(row: &Row<'a>) -> Value<'a> {
    text(&row.place.cgroup)
}

pub(super) fn unit<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.place.unit.as_deref(), Value::Text)
}

pub(super) fn container<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.place.container.as_deref(), Value::Text)
}

pub(super) fn pod<'a>(row: &Row<'a>) -> Value<'a> {
    absent_or(row.place.pod.as_deref(), Value::Text)
}

pub(super) fn netns<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Number(row.connection.id.netns.0.into())
}

pub(super) fn netns_name<'a>(row: &Row<'a>) -> Value<'a> {
    seen(row.namespace, |namespace| Value::Text(&namespace.name))
}

pub(super) fn cookie<'a>(row: &Row<'a>) -> Value<'a> {
    match row.connection.id.cookie.0 {
        0 => Value::Unknown,
        cookie => Value::Hex(cookie),
    }
}

pub(super) fn inode<'a>(row: &Row<'a>) -> Value<'a> {
    match row.connection.inode {
        0 => Value::Absent,
        inode => Value::Number(inode),
    }
}

pub(super) fn family<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Word(row.connection.family.name())
}

pub(super) fn ifindex<'a>(row: &Row<'a>) -> Value<'a> {
    match row.connection.ifindex {
        0 => Value::Absent,
        index => Value::Number(index.into()),
    }
}

pub(super) fn orphan<'a>(row: &Row<'a>) -> Value<'a> {
    seen(row.connection.orphan.known(), Value::Flag)
}

pub(super) fn mptcp<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Flag(row.connection.mptcp)
}

pub(super) fn source<'a>(row: &Row<'a>) -> Value<'a> {
    Value::Word(row.connection.source.name())
}
