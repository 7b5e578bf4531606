//! The window in which a connection ends whose peer vanished, for *every* phase of the timer wheel.

use core::time::Duration;

use super::simulation::{Event, Run, Simulation, Start, Vanished};
use super::timeline::Window;
use super::{Lateness, Setup};
use crate::detection::{self, Noticed, RETRIES_BASE, model_timeout};

/// By the closed formulas where there are some, else by the waits of a run with exact timers. `None`
/// if it never ends.
pub(super) fn vanished(setup: &Setup, start: Start) -> Option<Window> {
    let backoff = setup.backoff();
    let user_timeout = setup.user_timeout();
    let noticed = match start {
        Start::Idle | Start::Answered => detection::idle(&setup.effective(), setup.hz),
        Start::ZeroWindow => detection::zero_window(&backoff, user_timeout, setup.hz),
        Start::DataInFlight => detection::unacknowledged(&backoff, user_timeout, setup.hz),
        // A FIN is data like other data where the user timeout decides.
        Start::Closing if user_timeout.is_some() => {
            detection::unacknowledged(&backoff, user_timeout, setup.hz)
        }
        Start::Connecting | Start::Accepting | Start::Closing | Start::FinWait2 => {
            return by_waits(setup, start);
        }
    };
    match noticed {
        Noticed::Never => None,
        Noticed::After {
            earliest,
            by_settings,
            latest,
        } => Some(Window {
            earliest,
            by_settings,
            latest,
        }),
    }
}

/// A late timer can only make a limit be reached sooner in the count of timers: the end is not later
/// than all waits of the exact run if each were as late as it may be, and not before the limit.
fn by_waits(setup: &Setup, start: Start) -> Option<Window> {
    let setup = &Setup {
        tail_loss_probe: None,
        ..without_keepalive(setup)
    };
    let exact = Simulation::run(setup, start, Lateness::None, Vanished, Duration::MAX);
    let end = exact.end?.at;
    let late = |wait| setup.hz.map_or(wait, |hz| hz.latest(wait));
    let timers = || fired(&exact);
    let before = core::iter::once(Duration::ZERO).chain(timers());
    let latest = timers()
        .zip(before)
        .map(|(at, before)| late(at.saturating_sub(before)))
        .fold(Duration::ZERO, Duration::saturating_add);
    let soonest = match start {
        Start::Connecting => connecting_limit(setup).max(timers().nth(1)?),
        Start::Closing => timers().next()?.saturating_add(orphan_limit(setup)),
        _ => end,
    };
    let put_off = match start {
        Start::Closing => late(setup.rto.min(setup.defaults.rto_max)),
        _ => Duration::ZERO,
    };
    Some(Window {
        earliest: end.min(soonest),
        by_settings: end,
        latest: latest.saturating_add(put_off),
    })
}

/// Its ticks say nothing in these states and would stand between the waits that count.
fn without_keepalive(setup: &Setup) -> Setup {
    let mut setup = setup.clone();
    setup.timers.keepalive = false;
    setup
}

/// When timers fired: nothing arrives here, and what leaves at time zero is no timer's.
fn fired(run: &Run) -> impl Iterator<Item = Duration> {
    let first = usize::from(matches!(
        run.events.first(),
        Some((Duration::ZERO, Event::Sent(_)))
    ));
    run.events.iter().skip(first).map(|(at, _)| *at)
}

fn connecting_limit(setup: &Setup) -> Duration {
    let first = super::connect::FIRST_TIMEOUT;
    setup
        .user_timeout()
        .unwrap_or_else(|| model_timeout(first, setup.defaults.rto_max, setup.syn_retries))
}

fn orphan_limit(setup: &Setup) -> Duration {
    let retries = match setup.orphan_retries {
        0 => 8,
        retries => retries,
    };
    model_timeout(RETRIES_BASE, setup.defaults.rto_max, retries)
}
