//! What is set on one socket, in which order, and how it is taken back.

use crate::machine::SocketOption;
use crate::settings::{
    Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Origin, OutOfRange, Setting,
    SocketTimers, UserTimeout,
};

/// What is to be set on one socket; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Step {
    /// `SO_KEEPALIVE`.
    pub keepalive: Option<bool>,
    /// `TCP_KEEPIDLE`.
    pub idle: Option<KeepIdle>,
    /// `TCP_KEEPINTVL`.
    pub interval: Option<KeepIntvl>,
    /// `TCP_KEEPCNT`.
    pub probes: Option<KeepCnt>,
    /// `TCP_USER_TIMEOUT`.
    pub user_timeout: Option<UserTimeout>,
}

impl Step {
    /// Whether nothing is to be set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The options in the order in which they are to be set.
    ///
    /// `SO_KEEPALIVE` goes off before anything else, and comes on behind everything else: it arms the
    /// timer with the idle time that is there. A new idle time on a socket with keepalive may probe
    /// at once, so what that probe goes by stands before it. A user timeout goes before the probes
    /// that it could make fatal.
    pub fn order(&self) -> impl Iterator<Item = SocketOption> + use<> {
        let off = self
            .user_timeout
            .filter(|timeout| *timeout == UserTimeout::OFF);
        let set = self
            .user_timeout
            .filter(|timeout| *timeout != UserTimeout::OFF);
        [
            (self.keepalive == Some(false)).then_some(SocketOption::KeepaliveOff),
            off.map(SocketOption::UserTimeout),
            self.interval.map(SocketOption::Interval),
            self.probes.map(SocketOption::Probes),
            self.idle.map(SocketOption::Idle),
            set.map(SocketOption::UserTimeout),
            (self.keepalive == Some(true)).then_some(SocketOption::KeepaliveOn),
        ]
        .into_iter()
        .flatten()
    }

    /// What the socket holds once the step is made.
    #[must_use]
    pub fn applied(&self, timers: &SocketTimers) -> SocketTimers {
        let own = |asked: Option<u32>, had| asked.map_or(had, Setting::Socket);
        SocketTimers {
            keepalive: self.keepalive.unwrap_or(timers.keepalive),
            idle: own(self.idle.map(|idle| idle.get().into()), timers.idle),
            interval: own(self.interval.map(|time| time.get().into()), timers.interval),
            probes: own(self.probes.map(|count| count.get().into()), timers.probes),
            user_timeout: self.user_timeout.unwrap_or(timers.user_timeout),
        }
    }

    /// The settings in force once the step is made.
    #[must_use]
    pub fn in_force(&self, before: &EffectiveTimers) -> EffectiveTimers {
        let own = |set: Option<i64>, before| {
            set.map_or(before, |value| Effective {
                value,
                origin: Some(Origin::Socket),
            })
        };
        EffectiveTimers {
            keepalive: self.keepalive.unwrap_or(before.keepalive),
            idle: own(self.idle.map(|idle| idle.get().into()), before.idle),
            interval: own(self.interval.map(|time| time.get().into()), before.interval),
            probes: own(self.probes.map(|count| count.get().into()), before.probes),
            user_timeout: self.user_timeout.unwrap_or(before.user_timeout),
        }
    }

    /// Whether a socket has what the step set: nobody changed it since.
    #[must_use]
    pub fn stands(&self, now: &EffectiveTimers) -> bool {
        let is = |set: Option<i64>, now: i64| set.is_none_or(|set| set == now);
        self.keepalive.is_none_or(|on| on == now.keepalive)
            && is(self.idle.map(|idle| idle.get().into()), now.idle.value)
            && is(
                self.interval.map(|time| time.get().into()),
                now.interval.value,
            )
            && is(
                self.probes.map(|count| count.get().into()),
                now.probes.value,
            )
            && self
                .user_timeout
                .is_none_or(|timeout| timeout == now.user_timeout)
    }
}

/// How a step is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TakeBack {
    /// The socket is as it was before.
    Nothing,
    /// Someone changed what we set: it is theirs now.
    Manual,
    /// By this.
    Step {
        /// What to set.
        step: Step,
        /// What cannot be as it was.
        frozen: Frozen,
    },
}

/// What cannot be put back as it was. A value that followed the namespace's default is set to what
/// was in force before, and left where the option does not take that: a socket never follows again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Frozen {
    /// `TCP_KEEPIDLE`.
    pub idle: bool,
    /// `TCP_KEEPINTVL`.
    pub interval: bool,
    /// `TCP_KEEPCNT`.
    pub probes: bool,
    /// `TCP_USER_TIMEOUT`: one that was lifted stays lifted while keepalive stays on, since on a
    /// silent connection it could make the next lost probe fatal.
    pub user_timeout: bool,
}

impl Frozen {
    /// Whether anything is.
    #[must_use]
    pub fn any(self) -> bool {
        self != Self::default()
    }
}

/// Turns a step round that was `done` on a socket whose settings in force were `before` and are `now`.
#[must_use]
pub fn take_back(done: &Step, before: &EffectiveTimers, now: &EffectiveTimers) -> TakeBack {
    let (step, frozen) = back(done, before);
    if step.stands(now) {
        return TakeBack::Nothing;
    }
    if !done.stands(now) {
        return TakeBack::Manual;
    }
    TakeBack::Step { step, frozen }
}

fn back(done: &Step, before: &EffectiveTimers) -> (Step, Frozen) {
    let inherited = |effective: Effective| effective.origin != Some(Origin::Socket);
    let lifted = done.user_timeout == Some(UserTimeout::OFF)
        && before.user_timeout != UserTimeout::OFF
        && before.keepalive;
    let step = Step {
        keepalive: done.keepalive.map(|_| before.keepalive),
        idle: done.idle.and_then(|_| option(before.idle, KeepIdle::new)),
        interval: done
            .interval
            .and_then(|_| option(before.interval, KeepIntvl::new)),
        probes: done
            .probes
            .and_then(|_| option(before.probes, KeepCnt::new)),
        user_timeout: done
            .user_timeout
            .filter(|_| !lifted)
            .map(|_| before.user_timeout),
    };
    let frozen = Frozen {
        idle: done.idle.is_some() && inherited(before.idle),
        interval: done.interval.is_some() && inherited(before.interval),
        probes: done.probes.is_some() && inherited(before.probes),
        user_timeout: lifted,
    };
    (step, frozen)
}

/// A value that was in force, if the option takes it: defaults may be what no option can be.
fn option<T>(before: Effective, new: impl Fn(u64) -> Result<T, OutOfRange>) -> Option<T> {
    new(u64::try_from(before.value).ok()?).ok()
}
