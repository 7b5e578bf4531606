//! What a step changes for a peer that dies: before, and after.

use core::time::Duration;

use super::Step;
use crate::detection::{self, Noticed};
use crate::namespace::NetnsDefaults;
use crate::settings::SocketTimers;
use crate::wheel::Hz;

/// When the death of an idle connection's peer is noticed, before a step and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Effect {
    /// With the settings that it had.
    pub before: Noticed,
    /// With those that it gets.
    pub after: Noticed,
}

impl Effect {
    /// Of one step on one socket.
    #[must_use]
    pub fn of(
        step: &Step,
        timers: &SocketTimers,
        defaults: &NetnsDefaults,
        hz: Option<Hz>,
    ) -> Self {
        let noticed = |timers: SocketTimers| detection::idle(&timers.effective(defaults), hz);
        Self {
            before: noticed(*timers),
            after: noticed(step.applied(timers)),
        }
    }
}

/// The effects of many steps in few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// When a dead peer was noticed.
    pub before: Span,
    /// When one is noticed now.
    pub after: Span,
}

/// When deaths are noticed, by the settings: from the soonest to the latest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// Connections where it never is.
    pub never: u64,
    /// Connections where it is.
    pub noticed: u64,
    /// The soonest of these.
    pub soonest: Option<Duration>,
    /// The latest of these.
    pub latest: Option<Duration>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, effect: &Effect) {
        self.before.add(effect.before);
        self.after.add(effect.after);
    }

    /// Takes in a further step on a connection that was counted: the times afterwards reach to what it
    /// has now.
    pub fn further(&mut self, after: Noticed) {
        self.after.reach(after);
    }
}

impl Span {
    fn add(&mut self, noticed: Noticed) {
        if noticed.by_settings().is_none() {
            self.never += 1;
            return;
        }
        self.noticed += 1;
        self.reach(noticed);
    }

    fn reach(&mut self, noticed: Noticed) {
        let Some(time) = noticed.by_settings() else {
            return;
        };
        self.soonest = Some(self.soonest.map_or(time, |soonest| soonest.min(time)));
        self.latest = self.latest.max(Some(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Observed;
    use crate::sample;
    use crate::settings::{KeepCnt, KeepIdle, KeepIntvl};

    #[test]
    fn never_becomes_two_minutes() {
        let Observed::Known(off) = sample::off(&sample::connection()).settings else {
            panic!("known");
        };
        let step = |idle| Step {
            keepalive: Some(true),
            idle: KeepIdle::new(idle).ok(),
            interval: KeepIntvl::new(10).ok(),
            probes: KeepCnt::new(6).ok(),
            user_timeout: None,
        };
        let mut tally = Tally::default();
        for idle in [60, 53, 57] {
            tally.add(&Effect::of(
                &step(idle),
                &off,
                &NetnsDefaults::KERNEL,
                Hz::new(250),
            ));
        }
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!((tally.before.never, tally.before.noticed), (3, 0));
        assert_eq!((tally.after.never, tally.after.noticed), (0, 3));
        assert_eq!(tally.after.soonest, seconds(113));
        assert_eq!(tally.after.latest, seconds(120));
        let on = step(30).applied(&off).effective(&NetnsDefaults::KERNEL);
        tally.further(detection::idle(&on, Hz::new(250)));
        assert_eq!((tally.after.noticed, tally.after.soonest), (3, seconds(90)));
        assert_eq!((tally.before.never, tally.after.latest), (3, seconds(120)));
    }
}
