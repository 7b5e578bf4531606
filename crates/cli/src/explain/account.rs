//! What settings amount to: the timelines, and what is to be said of them.

use std::time::Duration;

use sockpulse_core::machine::{Cause, Errno, Event, Start, Step, Window, timeline};
use sockpulse_core::{Detection, EffectiveTimers, Noticed};

use super::changes::{self, Change};
use super::notes::{self, Note};
use super::subject::{Rto, Subject};

/// All that is told of one subject.
#[derive(Debug)]
pub(super) struct Account<'a> {
    /// Whose it is.
    pub(super) subject: &'a Subject,
    /// Its settings, with what is inherited filled in.
    pub(super) timers: EffectiveTimers,
    /// Nothing is in flight.
    pub(super) idle: Case,
    /// Data is in flight; `None` where the retransmission timeout is unknown.
    pub(super) data: Option<Case>,
    /// The same by the longest retransmission timeout, where connections differ.
    pub(super) slowest_data: Option<(Duration, Noticed)>,
    /// The peer's window is closed and data waits; `None` as above.
    pub(super) window: Option<Case>,
    /// What is special about these settings.
    pub(super) notes: Vec<Note>,
    /// What would change it.
    pub(super) changes: Vec<Change>,
}

/// What happens in one case when the peer vanishes.
#[derive(Debug)]
pub(super) struct Case {
    /// What the connection is doing.
    pub(super) start: Start,
    /// When it is given up.
    pub(super) noticed: Noticed,
    /// What happens until then.
    pub(super) steps: Vec<Step>,
}

impl<'a> Account<'a> {
    /// Reckons everything.
    pub(super) fn of(subject: &'a Subject) -> Self {
        let setup = subject.setup();
        let timers = subject.effective();
        let detection = Detection::of(&timers, Some(&setup.backoff()), subject.hz);
        let case = |start, noticed| Case {
            start,
            noticed,
            steps: told(timeline(&setup, start), noticed),
        };
        let idle = case(Start::Idle, detection.idle);
        let known = subject.rto != Rto::Unknown;
        let of_data = |start, noticed: Option<Noticed>| {
            noticed
                .filter(|_| known)
                .map(|noticed| case(start, noticed))
        };
        let slowest_data = match subject.rto {
            Rto::Measured(least, most) if least < most => {
                let mut backoff = setup.backoff();
                backoff.rto = most;
                let slowest = Detection::of(&timers, Some(&backoff), subject.hz);
                slowest.unacknowledged.map(|noticed| (most, noticed))
            }
            _ => None,
        };
        Self {
            subject,
            data: of_data(Start::DataInFlight, detection.unacknowledged),
            window: of_data(Start::ZeroWindow, detection.zero_window),
            slowest_data,
            notes: notes::of(subject, &timers, detection.idle),
            changes: changes::of(subject, &timers, &detection),
            timers,
            idle,
        }
    }
}

impl Case {
    /// The window of the end, if there is one.
    pub(super) fn end(&self) -> Option<Window> {
        window(self.noticed)
    }

    /// What the program reads at the end.
    pub(super) fn errno(&self) -> Option<Errno> {
        self.steps.iter().rev().find_map(|step| match step.event {
            Event::GivenUp { errno, .. } => errno,
            _ => None,
        })
    }
}

fn window(noticed: Noticed) -> Option<Window> {
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

/// The steps with the end that the closed formula gives: a simulation stops behind a hundred
/// thousand probes, and settings can ask for more.
fn told(mut steps: Vec<Step>, noticed: Noticed) -> Vec<Step> {
    let ends = |step: &Step| matches!(step.event, Event::GivenUp { .. });
    let Some(end) = window(noticed) else {
        return steps;
    };
    if !steps.last().is_some_and(ends) {
        steps.push(Step {
            at: end,
            event: Event::GivenUp {
                errno: Some(Errno::TimedOut),
                cause: Cause::UserTimeout,
            },
            times: 1,
            until: end,
        });
    }
    steps
}
