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
    /// Left as it was, for the interval that it had before, which is changed.
    BeforeNewInterval,
}

/// Silences and timers are read in whole ticks, of 10 ms at the most.
const READ_TO: Duration = Duration::from_millis(10);

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
    let mut silence = silence.saturating_add(terms.delay);
    if !silence.is_zero() {
        silence += READ_TO;
    }
    // Once exactly, once with every timer as late as it may be.
    let room = [None, terms.hz].into_iter().all(|hz| {
        let first = match armed {
            Armed::Anew | Armed::ForMissing => probed_first(timers, armed, silence, hz),
            Armed::Before | Armed::BeforeNewInterval => {
                probed_next(connection, timers, armed, terms.delay, hz)
            }
        };
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

/// How long the silence may be at the first probe behind a step that arms the timer; `None` where it
/// never comes.
fn probed_first(
    timers: &EffectiveTimers,
    armed: Armed,
    silence: Duration,
    hz: Option<Hz>,
) -> Option<Duration> {
    let idle = Duration::from_secs(u64::try_from(timers.idle.value).ok()?);
    let wait = match armed {
        Armed::ForMissing => idle.saturating_sub(silence),
        _ => idle,
    };
    Some(silence + wait + lateness(wait, hz))
}

/// How long the silence may be at the next probe of a timer that is armed already; `None` where that
/// cannot be told.
fn probed_next(
    connection: &Connection,
    timers: &EffectiveTimers,
    armed: Armed,
    delay: Duration,
    hz: Option<Hz>,
) -> Option<Duration> {
    let idle = Duration::from_secs(u64::try_from(timers.idle.value).ok()?);
    let period = probe_period(timers)?;
    let silence = Duration::from_millis(connection.silence_ms?);
    let mut due = match connection.timers.keepalive {
        Observed::Known(Some(Timer {
            kind: TimerKind::Keepalive,
            expires_ms,
        })) => {
            let expires = Duration::from_millis(expires_ms);
            if armed == Armed::BeforeNewInterval && expires < delay {
                // A probe may go out before the step, and the next one be as late as it was.
                return None;
            }
            silence + expires
        }
        _ => silence + delay + period,
    };
    if due > period {
        // Else it is as that of any connection that is probed and answers.
        due += READ_TO;
    }
    let tick = due + lateness(period, hz);
    if due < idle {
        // It may be armed once more, for what misses.
        return Some(tick.max(idle + lateness(idle - due, hz)));
    }
    Some(tick)
}

fn lateness(timer: Duration, hz: Option<Hz>) -> Duration {
    hz.map_or(Duration::ZERO, |hz| hz.latest(timer).saturating_sub(timer))
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
