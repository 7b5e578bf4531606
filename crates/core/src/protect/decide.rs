//! A rule against one open socket.

use core::time::Duration;

use super::room::{Pulse, settle};
use super::verdict::{Right, Skip, Verdict, Withheld};
use super::{Asked, Jitter, Mode, Rule, Step, jittered};
use crate::assess::is_local;
use crate::connection::{Connection, Observed, TcpState, Unseen};
use crate::namespace::{Namespace, NetnsDefaults};
use crate::settings::{
    EffectiveTimers, KeepIdle, Setting, SocketTimers, UserTimeout, UserTimeoutChoice,
};
use crate::wheel::Hz;

/// Who switched keepalive on, where it is on. It matters for `fill` alone, which leaves to programs
/// what they asked for, and gives to its own what had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Asker {
    /// Not known: we did, if the socket has each value that the rule asks for as its own, and one at
    /// least.
    #[default]
    Unknown,
    /// We did, as the journal says.
    Us,
}

/// What decisions go by, apart from rule and socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Terms {
    /// The kernel's tick rate, if it is known: late timers use a user timeout up sooner.
    pub hz: Option<Hz>,
    /// Whether idle times differ.
    pub jitter: Jitter,
    /// Who switched this socket's keepalive on.
    pub asker: Asker,
    /// The longest that may pass from the reading of the socket to the step: the silence grows, and
    /// user timeouts are withheld that would have had room at once. Zero where the step is
    /// [settled](super::settle) once more just before it is made.
    pub delay: Duration,
}

/// What is to be done with a socket that the rule's selector matches. `namespace` is `None` when the
/// socket's namespace was not read: then inherited values are unknown.
///
/// Held against the socket as it is once the step is made, it plans nothing.
#[must_use]
pub fn decide(
    rule: &Rule,
    connection: &Connection,
    namespace: Option<&Namespace>,
    terms: &Terms,
) -> Verdict {
    let timers = match visible(rule, connection, namespace) {
        Ok(timers) => timers,
        Err(skip) => return Verdict::Skip(skip),
    };
    if rule.mode == Mode::Off {
        return off(&timers);
    }
    let Some(defaults) = namespace.and_then(|namespace| namespace.defaults.as_ref()) else {
        return Verdict::Skip(Skip::Unseen(Unseen::NoDefaults));
    };
    if Pulse::of(connection).is_probing() {
        return Verdict::Skip(Skip::Probing);
    }
    let socket = Socket {
        connection,
        timers,
        defaults,
        rule,
        terms,
    };
    socket.decide()
}

/// The settings, if the socket may be touched at all.
fn visible(
    rule: &Rule,
    connection: &Connection,
    namespace: Option<&Namespace>,
) -> Result<SocketTimers, Skip> {
    let state = connection.state;
    if !state.has_peer() && !matches!(state, TcpState::Listen | TcpState::SynSent) {
        return Err(Skip::State(state));
    }
    if connection.mptcp {
        return Err(Skip::Mptcp);
    }
    if !rule.include_local && is_local(connection, namespace) {
        return Err(Skip::Local);
    }
    match connection.orphan {
        Observed::Known(true) => return Err(Skip::Orphan),
        // Whoever has it open has not closed it.
        Observed::Unknown(why) if connection.owner.processes.is_empty() => {
            return Err(Skip::Unseen(why));
        }
        _ => {}
    }
    match connection.settings {
        Observed::Known(timers) => Ok(timers),
        Observed::Unknown(why) => Err(Skip::Unseen(why)),
    }
}

fn off(timers: &SocketTimers) -> Verdict {
    if !timers.keepalive {
        return Verdict::Right(Right::Off);
    }
    Verdict::Change {
        step: Step {
            keepalive: Some(false),
            ..Step::default()
        },
        withheld: None,
    }
}

struct Socket<'a> {
    connection: &'a Connection,
    timers: SocketTimers,
    defaults: &'a NetnsDefaults,
    rule: &'a Rule,
    terms: &'a Terms,
}

impl Socket<'_> {
    fn decide(&self) -> Verdict {
        let mut step = self.values();
        let after = step.applied(&self.timers).effective(self.defaults);
        let mut withheld = None;
        match self.user_timeout(&after) {
            Ok(user_timeout) => step.user_timeout = user_timeout,
            Err(why) => withheld = Some(why),
        }
        let before = self.timers.effective(self.defaults);
        let pulse = Pulse::of(self.connection);
        match settle(step, self.rule, &before, &pulse, self.terms) {
            Ok((settled, why)) => {
                step = settled;
                withheld = withheld.or(why);
            }
            Err(skip) => return Verdict::Skip(skip),
        }
        match (step.is_empty(), withheld) {
            (true, Some(why)) => Verdict::Wait(why),
            (true, None) => Verdict::Right(self.right()),
            (false, _) if self.ends_healthy(&step) => Verdict::Skip(Skip::Defaults),
            (false, withheld) => Verdict::Change { step, withheld },
        }
    }

    /// All but the user timeout.
    fn values(&self) -> Step {
        let Asked {
            idle,
            interval,
            probes,
            ..
        } = self.rule.asked;
        let had = &self.timers;
        if self.rule.mode == Mode::Fill && had.keepalive {
            return Step::default();
        }
        Step {
            keepalive: (!had.keepalive).then_some(true),
            idle: idle
                .filter(|idle| !self.has_idle(*idle))
                .map(|idle| self.wanted_idle(idle)),
            interval: interval.filter(|time| {
                !self.has(had.interval, self.defaults.interval_s, time.get().into())
            }),
            probes: probes
                .filter(|count| !self.has(had.probes, self.defaults.probes, count.get().into())),
            user_timeout: None,
        }
    }

    /// What the connection is to have instead of the idle time that is asked for.
    fn wanted_idle(&self, idle: KeepIdle) -> KeepIdle {
        match self.terms.jitter {
            Jitter::Eighth if self.connection.state != TcpState::Listen => {
                jittered(idle, self.connection.id.cookie)
            }
            _ => idle,
        }
    }

    /// Connections to come, and those that a listener hands on, have it exactly: both are right.
    fn has_idle(&self, idle: KeepIdle) -> bool {
        let (had, default) = (self.timers.idle, self.defaults.idle_s);
        self.has(had, default, idle.get().into())
            || self.has(had, default, self.wanted_idle(idle).get().into())
    }

    /// Whether a value may stay as it is beside what is asked for.
    fn has(&self, had: Setting<u32>, default: i64, asked: u32) -> bool {
        match self.rule.mode {
            // With keepalive off, a value that equals the default asks for nothing, also where it is
            // the socket's own: an undoing leaves it so, since nothing is inherited again.
            Mode::Fill | Mode::Off => match had {
                Setting::Namespace => false,
                Setting::Socket(value) | Setting::Either(value) => i64::from(value) != default,
            },
            Mode::Tighten => {
                let value = in_force(had, default);
                // Below zero a default means never.
                value >= 0 && value <= i64::from(asked)
            }
            Mode::Override => match had {
                Setting::Namespace => false,
                Setting::Socket(value) | Setting::Either(value) => value == asked,
            },
        }
    }

    /// The user timeout to set beside the values that the socket ends up with, before its silence is
    /// looked at.
    fn user_timeout(&self, after: &EffectiveTimers) -> Result<Option<UserTimeout>, Withheld> {
        let had = self.timers.user_timeout;
        let Some(choice) = self.rule.asked.user_timeout else {
            return Ok(None);
        };
        if self.rule.mode == Mode::Fill
            && (had != UserTimeout::OFF || (self.timers.keepalive && !self.is_filled()))
        {
            return Ok(None);
        }
        let wanted = length(choice, after)?;
        let faster = wanted == UserTimeout::OFF || (had != UserTimeout::OFF && had <= wanted);
        let stays = had == wanted || (self.rule.mode == Mode::Tighten && faster);
        Ok((!stays).then_some(wanted))
    }

    /// `fill` on a socket with keepalive: whether it was filled before, so that only its user timeout
    /// had to wait.
    fn is_filled(&self) -> bool {
        if self.terms.asker == Asker::Us {
            return true;
        }
        let Asked {
            idle,
            interval,
            probes,
            ..
        } = self.rule.asked;
        let own = |had: Setting<u32>, asked: u32| match had {
            Setting::Namespace => false,
            Setting::Socket(value) | Setting::Either(value) => value == asked,
        };
        let had = &self.timers;
        let idle = idle.map(|idle| {
            own(had.idle, idle.get().into())
                || own(
                    had.idle,
                    jittered(idle, self.connection.id.cookie).get().into(),
                )
        });
        let interval = interval.map(|time| own(had.interval, time.get().into()));
        let probes = probes.map(|count| own(had.probes, count.get().into()));
        let all = [idle, interval, probes];
        all.contains(&Some(true)) && !all.contains(&Some(false))
    }

    /// Keepalive by these settings ends connections whose peers live: only defaults can be so.
    fn ends_healthy(&self, step: &Step) -> bool {
        let after = step.applied(&self.timers).effective(self.defaults);
        let counted = after.user_timeout == UserTimeout::OFF;
        after.interval.value == 0 || (after.probes.value == 0 && counted)
    }

    const fn right(&self) -> Right {
        match self.rule.mode {
            Mode::Fill => Right::Asked,
            Mode::Tighten => Right::FastEnough,
            Mode::Override => Right::Exact,
            Mode::Off => Right::Off,
        }
    }
}

fn in_force(had: Setting<u32>, default: i64) -> i64 {
    match had {
        Setting::Namespace => default,
        Setting::Socket(value) | Setting::Either(value) => i64::from(value),
    }
}

/// The user timeout in milliseconds. Defaults may be what no option can be.
fn length(choice: UserTimeoutChoice, after: &EffectiveTimers) -> Result<UserTimeout, Withheld> {
    match choice {
        UserTimeoutChoice::Off => Ok(UserTimeout::OFF),
        UserTimeoutChoice::Fixed(timeout) => Ok(timeout),
        UserTimeoutChoice::Auto => {
            let value = |value: i64| u64::try_from(value).map_err(|_| Withheld::NeverProbed);
            let interval = value(after.interval.value)?;
            let probing = interval.saturating_mul(value(after.probes.value)?);
            let seconds = value(after.idle.value)?.saturating_add(probing);
            UserTimeout::new(seconds.saturating_mul(1_000)).map_err(|_| Withheld::TooLong)
        }
    }
}
