//! Whether a silent connection has room for a user timeout.
//!
//! The kernel looks at the silence when the keepalive timer ticks, and the silence counts from the
//! last segment received (`tcp_keepalive_timer()`, `keepalive_time_elapsed()`). A connection that is
//! silent already comes to its first unanswered probe with more silence than a new one would, so
//! that fewer lost probes take it beyond the user timeout.

use core::time::Duration;

use super::{Mode, Rule, Skip, Step, Terms, Withheld};
use crate::connection::{Connection, TcpState, TimerKind};
use crate::detection::{probe_period, strikes};
use crate::settings::{EffectiveTimers, UserTimeout};
use crate::wheel::Hz;

/// What tells of a connection whether it has room for a user timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Its state.
    pub state: TcpState,
    /// Since the last segment from the peer.
    pub silence: Option<Duration>,
    /// Probes sent since then, those of a closed window too (`tcpi_probes`).
    pub unanswered_probes: Option<u8>,
    /// Retransmissions of the oldest segment (`tcpi_retransmits`).
    pub retransmits: Option<u8>,
    /// Bytes that the peer has not acknowledged, or that wait to be sent.
    pub unacked_bytes: Option<u64>,
    /// Whether segments are in flight.
    pub in_flight: Option<bool>,
    /// Until the keepalive timer is due.
    pub expires: Option<Duration>,
}

impl Pulse {
    /// As it was read.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let timer = connection.timers.keepalive.known().flatten();
        let timer = timer.filter(|timer| timer.kind == TimerKind::Keepalive);
        Self {
            state: connection.state,
            silence: connection.silence_ms.map(Duration::from_millis),
            unanswered_probes: connection.unanswered_probes,
            retransmits: connection.retransmits,
            unacked_bytes: connection.unacked_bytes,
            in_flight: connection.in_flight,
            expires: timer.map(|timer| Duration::from_millis(timer.expires_ms)),
        }
    }

    /// Whether keepalive probes are unanswered. The count is shared with those of a closed window,
    /// which are sent only while data waits.
    pub(super) fn is_probing(&self) -> bool {
        self.state != TcpState::Listen
            && self.unanswered_probes > Some(0)
            && self.unacked_bytes == Some(0)
    }
}

/// The step as it may be made on a connection with these settings in force: without the user
/// timeout where there is no room for it, and with why. Where the one that the socket has already
/// leaves no room for the rest of the step, it is lifted if the rule decides over it.
///
/// [`decide`](super::decide) does so with what was read. Where a step is made much later, do it once
/// more with what is read just before it.
///
/// # Errors
/// [`Skip::Probing`] where probes are unanswered by now, and [`Skip::UserTimeout`] where a user
/// timeout leaves no room and is not ours to lift.
pub fn settle(
    mut step: Step,
    rule: &Rule,
    before: &EffectiveTimers,
    pulse: &Pulse,
    terms: &Terms,
) -> Result<(Step, Option<Withheld>), Skip> {
    if rule.mode == Mode::Off {
        return Ok((step, None));
    }
    if pulse.is_probing() {
        return Err(Skip::Probing);
    }
    let Some(why) = lacks(&step, before, pulse, terms) else {
        return Ok((step, None));
    };
    let withheld = step.user_timeout.map(|_| why);
    step.user_timeout = None;
    if lacks(&step, before, pulse, terms).is_none() {
        return Ok((step, withheld));
    }
    if rule.mode == Mode::Override && rule.asked.user_timeout.is_some() {
        step.user_timeout = Some(UserTimeout::OFF);
        return Ok((step, Some(why)));
    }
    Err(Skip::UserTimeout)
}

/// Why there is no room; a socket that is left as it is needs none.
fn lacks(step: &Step, before: &EffectiveTimers, pulse: &Pulse, terms: &Terms) -> Option<Withheld> {
    if step.is_empty() {
        return None;
    }
    let armed = match step {
        _ if !before.keepalive => Armed::Anew,
        Step { idle: Some(_), .. } => Armed::ForMissing,
        Step {
            interval: Some(_), ..
        } => Armed::BeforeNewInterval,
        _ => Armed::Before,
    };
    let limit = match step.user_timeout {
        Some(_) => Limit::New,
        None => Limit::Old,
    };
    lacking(pulse, &step.in_force(before), armed, limit, terms)
}

/// What the keepalive timer does after a step, apart from going by the new settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
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
enum Limit {
    /// It is to be set: what waits for the peer begins to be counted.
    New,
    /// It is there, and only keepalive changes.
    Old,
}

/// Why the connection has no room for the user timeout in `timers`, the settings that it is to have.
/// `None`: it lives through as many lost probes as a new connection with these settings.
fn lacking(
    pulse: &Pulse,
    timers: &EffectiveTimers,
    armed: Armed,
    limit: Limit,
    terms: &Terms,
) -> Option<Withheld> {
    timers.user_timeout.duration()?;
    match (pulse.state, limit) {
        (TcpState::Listen, _) | (TcpState::SynSent, Limit::Old) => return None,
        (TcpState::SynSent, Limit::New) => return Some(Withheld::Connecting),
        _ => {}
    }
    if limit == Limit::New
        && let Some(why) = waits(pulse)
    {
        return Some(why);
    }
    let Some(silence) = pulse.silence else {
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
                probed_next(pulse, timers, armed, terms.delay, hz)
            }
        };
        first.is_some_and(|first| survives(timers, first, hz))
    });
    (!room).then_some(Withheld::Silence)
}

/// Data that waits counts towards the user timeout from its first retransmission, or from the first
/// probe of the peer's window: both may be long past.
fn waits(pulse: &Pulse) -> Option<Withheld> {
    if pulse.unanswered_probes.is_none() || pulse.retransmits.is_none() {
        return Some(Withheld::Unseen);
    }
    if pulse.unanswered_probes > Some(0) || pulse.retransmits > Some(0) {
        return Some(Withheld::Waiting);
    }
    match (pulse.unacked_bytes, pulse.in_flight) {
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
    pulse: &Pulse,
    timers: &EffectiveTimers,
    armed: Armed,
    delay: Duration,
    hz: Option<Hz>,
) -> Option<Duration> {
    let idle = Duration::from_secs(u64::try_from(timers.idle.value).ok()?);
    let period = probe_period(timers)?;
    let silence = pulse.silence?;
    let mut due = match pulse.expires {
        // A probe may go out before the step, and the next one be as late as it was.
        Some(expires) if armed == Armed::BeforeNewInterval && expires < delay => return None,
        Some(expires) => silence + expires,
        None => silence + delay + period,
    };
    if due > period {
        // Else it is as that of any connection that is probed and answers.
        due += READ_TO;
    }
    let armed_for = match armed {
        // It was armed for the interval of before, which may be longer, and late in coarser steps.
        Armed::BeforeNewInterval => due.max(period),
        _ => period,
    };
    let tick = due + lateness(armed_for, hz);
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
