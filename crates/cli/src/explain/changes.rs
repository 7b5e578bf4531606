//! What would change it, and what it would come to.

use sockpulse_core::assess::settings_codes;
use sockpulse_core::{
    Code, Detection, EffectiveTimers, Entrance, NetnsDefaults, Noticed, Origin, Setting,
    SocketTimers, UserTimeout,
};

use super::subject::{Rto, Subject, Whose};
use super::words::moment;

/// A change that somebody could make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    /// A command to paste, or an option that the program would set.
    pub(super) how: String,
    /// When a dead peer would be noticed then.
    pub(super) outcome: String,
}

/// Idle and `tcp_retries2` as they are proposed: what the findings' pages use in their examples, and
/// the least that RFC 1122 4.2.3.5 asks for.
const IDLE_S: u32 = 60;
const RETRIES2: u32 = 8;
/// What is proposed where there are no probes.
const PROBES: u32 = 5;

/// The changes that make it sooner, or safer.
pub(super) fn of(subject: &Subject, timers: &EffectiveTimers, now: &Detection) -> Vec<Change> {
    let proposed = [
        keepalive(subject, timers),
        some_probes(subject, timers),
        shorter_idle(subject, timers, now),
        automatic_user_timeout(subject, timers),
        fewer_retransmissions(subject, timers, now),
    ];
    proposed.into_iter().flatten().collect()
}

fn keepalive(subject: &Subject, timers: &EffectiveTimers) -> Option<Change> {
    if timers.keepalive {
        return None;
    }
    let on = SocketTimers {
        keepalive: true,
        ..subject.timers
    };
    Some(Change {
        how: "SO_KEEPALIVE = 1".into(),
        outcome: idle_outcome(reckoned(subject, on, &subject.defaults).idle)?,
    })
}

fn unasked(timers: &EffectiveTimers) -> bool {
    timers.probes.value == 0 && timers.user_timeout == UserTimeout::OFF
}

fn some_probes(subject: &Subject, timers: &EffectiveTimers) -> Option<Change> {
    if !timers.keepalive || !unasked(timers) {
        return None;
    }
    let defaults = NetnsDefaults {
        probes: PROBES.into(),
        ..subject.defaults.clone()
    };
    Some(Change {
        how: default(subject, &format!("--probes {PROBES}"))?,
        outcome: idle_outcome(reckoned(subject, subject.timers, &defaults).idle)?,
    })
}

fn shorter_idle(subject: &Subject, timers: &EffectiveTimers, now: &Detection) -> Option<Change> {
    let longer = timers.idle.value > i64::from(IDLE_S) || timers.idle.value < 0;
    // Without probes an idle connection would only be ended sooner.
    if !timers.keepalive || !longer || unasked(timers) {
        return None;
    }
    let (how, then) = match (
        timers.idle.origin,
        default(subject, &format!("--idle {IDLE_S}s")),
    ) {
        (Some(Origin::Namespace), Some(command)) => {
            let defaults = NetnsDefaults {
                idle_s: IDLE_S.into(),
                ..subject.defaults.clone()
            };
            (command, reckoned(subject, subject.timers, &defaults))
        }
        _ => {
            let socket = SocketTimers {
                idle: Setting::Socket(IDLE_S),
                ..subject.timers
            };
            let then = reckoned(subject, socket, &subject.defaults);
            (format!("TCP_KEEPIDLE = {IDLE_S}"), then)
        }
    };
    let sooner = match (now.idle.by_settings(), then.idle.by_settings()) {
        (Some(now), Some(then)) => then < now,
        (now, _) => now.is_none(),
    };
    let outcome = idle_outcome(then.idle).filter(|_| sooner)?;
    Some(Change { how, outcome })
}

/// As long as keepalive takes: sooner for data in flight, and no danger for a living peer. One that
/// is too short is replaced by it.
fn automatic_user_timeout(subject: &Subject, timers: &EffectiveTimers) -> Option<Change> {
    let fragile =
        |timers: &EffectiveTimers| settings_codes(timers, subject.hz).contains(Code::Fragile);
    if !timers.keepalive || subject.rto == Rto::Unknown {
        return None;
    }
    let without = EffectiveTimers {
        user_timeout: UserTimeout::OFF,
        ..*timers
    };
    let limit = sockpulse_core::detection::idle(&without, None).by_settings()?;
    let user_timeout = UserTimeout::from_duration(limit).ok()?;
    let socket = SocketTimers {
        user_timeout,
        ..subject.timers
    };
    if fragile(&socket.effective(&subject.defaults)) {
        return None;
    }
    let [now, then] =
        [subject.timers, socket].map(|timers| reckoned(subject, timers, &subject.defaults));
    let outcome = if timers.user_timeout == UserTimeout::OFF {
        let sooner = then.unacknowledged?.by_settings() < now.unacknowledged?.by_settings();
        sooner.then(|| data_outcome(then.unacknowledged))?
    } else if fragile(timers) {
        let outcome = idle_outcome(then.idle)?;
        format!("{outcome}, by {} probes", timers.probes.value)
    } else {
        return None;
    };
    Some(Change {
        how: format!("TCP_USER_TIMEOUT = {}", user_timeout.get()),
        outcome,
    })
}

fn fewer_retransmissions(
    subject: &Subject,
    timers: &EffectiveTimers,
    now: &Detection,
) -> Option<Change> {
    let decides = timers.user_timeout == UserTimeout::OFF
        && subject.defaults.retries2 > RETRIES2
        && subject.rto != Rto::Unknown;
    if !decides || now.unacknowledged.is_none() {
        return None;
    }
    let defaults = NetnsDefaults {
        retries2: RETRIES2,
        ..subject.defaults.clone()
    };
    let then = reckoned(subject, subject.timers, &defaults);
    Some(Change {
        how: retries2(subject)?,
        outcome: data_outcome(then.unacknowledged),
    })
}

fn reckoned(subject: &Subject, timers: SocketTimers, defaults: &NetnsDefaults) -> Detection {
    let mut backoff = subject.setup().backoff();
    backoff.retries2 = defaults.retries2;
    Detection::of(&timers.effective(defaults), Some(&backoff), subject.hz)
}

/// `defaults set` for the namespace concerned; there is none where several are or no way in is known.
fn default(subject: &Subject, setting: &str) -> Option<String> {
    let here = format!("sockpulse defaults set {setting}");
    inside(subject, here.clone(), |pid| format!("{here} --netns {pid}"))
}

/// The same for `tcp_retries2`, which is no default of keepalive.
fn retries2(subject: &Subject) -> Option<String> {
    let here = format!("sysctl -w net.ipv4.tcp_retries2={RETRIES2}");
    inside(subject, here.clone(), |pid| {
        format!("nsenter -t {pid} -n {here}")
    })
}

fn inside(subject: &Subject, here: String, there: impl Fn(u32) -> String) -> Option<String> {
    match &subject.whose {
        Whose::Asked { .. } => Some(here),
        Whose::Open(group) if group.namespaces > 1 => None,
        Whose::Open(group) => match group.entrance {
            Entrance::Here => Some(here),
            Entrance::Process(pid) => Some(there(pid)),
            Entrance::Unknown => None,
        },
    }
}

fn idle_outcome(noticed: Noticed) -> Option<String> {
    let after = noticed.by_settings()?;
    Some(format!("idle: noticed after {}", moment(after)))
}

fn data_outcome(noticed: Option<Noticed>) -> String {
    match noticed.and_then(Noticed::by_settings) {
        Some(after) => format!("data in flight: noticed after {}", moment(after)),
        None => "data in flight: never noticed".into(),
    }
}
