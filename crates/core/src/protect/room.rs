//! Whether a silent connection has room for a user timeout.
//!
//! The kernel looks at the silence when the keepalive timer ticks, and the silence counts from the
//! last segment received (`tcp_keepalive_timer()`, `keepalive_time_elapsed()`). A connection that is
//! silent already comes to its first unanswered probe with more silence than a new one would, so
//! that fewer lost probes take it beyond the user timeout.

use core::time::Duration;

use super::{Terms, Withheld};
use crate::connection::{Connection, Observed, TcpState, Timer, TimerKind};
use crate::detection::{probe_period, strikes};
use crate::settings::EffectiveTimers;
use crate::wheel::Hz;

/// What the keepalive timer does after a step, apart from going by the new settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Armed {
    /// Keepalive comes on: armed for the whole idle time, however long the silence is.
    Anew,
    /// A new idle time: armed for what misses of it, or at once.
    ForMissing,
    /// Left as it was.
    Before,
}

/// Whether the user timeout is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    /// It is to be set: what waits for the peer begins to be counted.
    New,
    /// It is there, and only keepalive changes.
    Old,
}

/// Why the connection has no room for the user timeout in `timers`, the settings that it is to have.
/// `None`: it lives through as many lost probes as a new connection with these settings.
pub(super) fn lacking(
    connection: &Connection,
    timers: &EffectiveTimers,
    armed: Armed,
    limit: Limit,
    terms: &Terms,
) -> Option<Withheld> {
    timers.user_timeout.duration()?;
    match (connection.state, limit) {
        (TcpState::Listen, _) | (TcpState::SynSent, Limit::Old) => return None,
        (TcpState::SynSent, Limit::New) => return Some(Withheld::Connecting),
        _ => {}
    }
    if limit == Limit::New
        && let Some(why) = waits(connection)
    {
        return Some(why);
    }
    let Some(silence) = connection.silence_ms.map(Duration::from_millis) else {
        return Some(Withheld::Unseen);
    };
    let silence = silence.saturating_add(terms.delay);
    // Once exactly, once with every timer as late as it may be.
    let room = [None, terms.hz].into_iter().all(|hz| {
        let first = first_probe(connection, timers, armed, silence, hz);
        first.is_some_and(|first| survives(timers, first, hz))
    });
    (!room).then_some(Withheld::Silence)
}

/// Data that waits counts towards the user timeout from its first retransmission, or from the first
/// probe of the peer's window: both may be long past.
fn waits(connection: &Connection) -> Option<Withheld> {
    if connection.unanswered_probes.is_none() || connection.retransmits.is_none() {
        return Some(Withheld::Unseen);
    }
    if connection.unanswered_probes > Some(0) || connection.retransmits > Some(0) {
        return Some(Withheld::Waiting);
    }
    match (connection.unacked_bytes, connection.in_flight) {
        (Some(0), _) | (_, Some(true)) => None,
        (Some(_), Some(false)) => Some(Withheld::Waiting),
        _ => Some(Withheld::Unseen),
    }
}

/// How long the silence may be when the first probe is sent; `None` where that cannot be told.
fn first_probe(
    connection: &Connection,
    timers: &EffectiveTimers,
    armed: Armed,
    silence: Duration,
    hz: Option<Hz>,
) -> Option<Duration> {
    let late = |timer: Duration| hz.map_or(timer, |hz| hz.latest(timer));
    let idle = Duration::from_secs(u64::try_from(timers.idle.value).ok()?);
    let missing = idle.saturating_sub(silence);
    let tick = match (armed, connection.timers.keepalive) {
        (Armed::Anew, _) => silence.saturating_add(late(idle)),
        (Armed::ForMissing, _) => silence.saturating_add(late(missing)),
        (
            Armed::Before,
            Observed::Known(Some(Timer {
                kind: TimerKind::Keepalive,
                expires_ms,
            })),
        ) => {
            // Read at one moment, so that what passes until the step does not count.
            let due = Duration::from_millis(connection.silence_ms?.saturating_add(expires_ms));
            let longest = probe_period(timers)?;
            due.saturating_add(late(longest).saturating_sub(longest))
                .max(silence)
        }
        (Armed::Before, _) => silence.saturating_add(late(probe_period(timers)?)),
    };
    if tick < idle {
        // It is armed once more, for what misses.
        return Some(tick.saturating_add(late(idle.saturating_sub(tick))));
    }
    Some(tick)
}

/// Whether it takes as many lost probes to reach the user timeout from this silence at the first one
/// as it takes a new connection.
fn survives(timers: &EffectiveTimers, first: Duration, hz: Option<Hz>) -> bool {
    let (Some(limit), Ok(interval)) = (
        timers.user_timeout.duration(),
        u64::try_from(timers.interval.value),
    ) else {
        return true;
    };
    let interval = Duration::from_secs(interval);
    let interval = hz.map_or(interval, |hz| hz.latest(interval));
    let one_fewer = strikes(timers, hz).saturating_sub(1);
    one_fewer == 0 || first.saturating_add(interval.saturating_mul(one_fewer)) < limit
}
