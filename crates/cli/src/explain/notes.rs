//! What is special about settings: dangers, surprises, and what is often meant otherwise.

use sockpulse_core::assess::settings_codes;
use sockpulse_core::detection::{idle, probe_period, strikes};
use sockpulse_core::finding::Severity;
use sockpulse_core::{
    Code, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Noticed, UserTimeout, paths,
};

use super::subject::{Subject, Whose};
use super::words::{moment, setting};
use crate::coverage::grouped;

/// A sentence, and the finding that says more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// The finding, if there is one.
    pub(super) code: Option<Code>,
    /// The sentence, without a full stop.
    pub(super) text: String,
}

impl Note {
    fn new(code: impl Into<Option<Code>>, text: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            text: text.into(),
        }
    }
}

/// All that applies, what is worst first.
pub(super) fn of(subject: &Subject, timers: &EffectiveTimers, noticed: Noticed) -> Vec<Note> {
    let mut notes = Vec::new();
    let codes = settings_codes(timers, subject.hz);
    notes.extend(codes.iter().filter_map(|code| judged(code, timers)));
    if timers.keepalive {
        notes.extend(degenerate(timers));
        notes.extend(pace(timers));
        notes.extend(deciding_user_timeout(subject, timers, noticed));
    }
    if let Some(limit) = timers.user_timeout.duration() {
        let text = format!(
            "a peer that lives but keeps its window closed for {} is given up too",
            moment(limit)
        );
        notes.push(Note::new(None, text));
    }
    notes.extend(beyond_options(timers));
    notes.extend(local(subject));
    notes.sort_by_key(|note| match note.code.map(Code::severity) {
        Some(Severity::Bad) => 0,
        Some(Severity::Warn) => 1,
        Some(Severity::Note) => 2,
        None => 3,
    });
    notes
}

/// The sentence of a finding, with these settings' numbers.
fn judged(code: Code, timers: &EffectiveTimers) -> Option<Note> {
    let period = probe_period(timers).map(moment).unwrap_or_default();
    let text = match code {
        Code::KeepaliveOff => {
            "keepalive is off: an idle connection to a dead peer stays for ever".into()
        }
        Code::UserTimeoutAlone => {
            "a user timeout without keepalive ends data in flight, never an idle connection".into()
        }
        Code::Fragile => fragile(timers, &period)?,
        Code::IdleCollides => {
            "300s is also how long netfilter remembers a connection with unanswered segments: the \
             probe may come just too late"
                .into()
        }
        Code::Chatty => format!("a living peer is asked every {period}"),
        Code::LongerThanPath => {
            let path = paths::smallest();
            format!(
                "{} forgets a connection that was silent for {}, and probes come every {period}",
                path.title,
                moment(path.timeout)
            )
        }
        _ => return None,
    };
    Some(Note::new(code, text))
}

fn fragile(timers: &EffectiveTimers, period: &str) -> Option<String> {
    match timers.user_timeout.duration() {
        // By the settings it leaves room; late timers use it up.
        Some(limit) if strikes(timers, None) > 2 => Some(format!(
            "one lost probe can end a living connection: a first probe after {period} may be late, \
             and the user timeout of {} is then reached at the next tick",
            moment(limit)
        )),
        Some(limit) => Some(format!(
            "one lost probe can end a living connection: the user timeout of {} is shorter than \
             {period} and two intervals",
            moment(limit)
        )),
        // Told below.
        None if timers.probes.value == 0 => None,
        None => Some("one lost probe, or its answer, ends a living connection".into()),
    }
}

/// Values that only the sysctls take.
fn degenerate(timers: &EffectiveTimers) -> Vec<Note> {
    let mut notes = Vec::new();
    if timers.idle.value < 0 {
        let text = "the default for idle is below zero: keepalive is on, and no probe is ever sent";
        notes.push(Note::new(None, text));
        return notes;
    }
    if timers.probes.value == 0 && timers.user_timeout == UserTimeout::OFF {
        let idle = setting(timers.idle.value);
        let text = format!(
            "with 0 probes nobody is asked: every connection that was idle for {idle} is given up, \
             though its peer lives"
        );
        notes.push(Note::new(Code::ZeroProbes, text));
    }
    if timers.interval.value <= 0 {
        let text = "with an interval of 0 all probes leave before an answer can be back";
        notes.push(Note::new(None, text));
    }
    notes
}

/// The kernel arms the timer with the interval after each probe, answered or not.
fn pace(timers: &EffectiveTimers) -> Option<Note> {
    let longer = timers.idle.value >= 0 && timers.interval.value > timers.idle.value;
    longer.then(|| {
        let interval = setting(timers.interval.value);
        let text = format!(
            "the interval is longer than idle: after an answered probe the kernel waits for it, so \
             an idle peer is asked every {interval}, and only after traffic sooner"
        );
        Note::new(None, text)
    })
}

/// With a user timeout the number of probes does not count.
fn deciding_user_timeout(
    subject: &Subject,
    timers: &EffectiveTimers,
    noticed: Noticed,
) -> Option<Note> {
    let limit = timers.user_timeout.duration()?;
    let without = EffectiveTimers {
        user_timeout: UserTimeout::OFF,
        ..*timers
    };
    let (with, without) = (
        noticed.by_settings()?,
        idle(&without, subject.hz).by_settings()?,
    );
    let (limit, count) = (moment(limit), timers.probes.value);
    let text = if with > without {
        format!(
            "the user timeout of {limit} makes it later: without it {count} probes decide, after {}",
            moment(without)
        )
    } else if with < without {
        format!(
            "the user timeout of {limit} decides: without it {count} probes do, after {}",
            moment(without)
        )
    } else if i64::from(strikes(timers, subject.hz)) < count {
        format!(
            "the user timeout of {limit} replaces the count of probes: where timers run late, {} \
             unanswered instead of {count} may end a living connection",
            strikes(timers, subject.hz)
        )
    } else {
        format!("the user timeout of {limit} replaces the count of probes, with the same result")
    };
    Some(Note::new(None, text))
}

fn beyond_options(timers: &EffectiveTimers) -> Vec<Note> {
    let limits = [
        (
            "idle",
            timers.idle.value,
            i64::from(KeepIdle::MAX.get()),
            "TCP_KEEPIDLE",
            "s",
        ),
        (
            "interval",
            timers.interval.value,
            i64::from(KeepIntvl::MAX.get()),
            "TCP_KEEPINTVL",
            "s",
        ),
        (
            "probes",
            timers.probes.value,
            i64::from(KeepCnt::MAX.get()),
            "TCP_KEEPCNT",
            "",
        ),
    ];
    let beyond = limits
        .into_iter()
        .filter(|(_, value, most, _, _)| value > most);
    beyond
        .map(|(name, value, most, option, unit)| {
            let text = format!(
                "{name} of {value}{unit} can come from the sysctl only: {option} takes at most \
                 {most}{unit}"
            );
            Note::new(None, text)
        })
        .collect()
}

fn local(subject: &Subject) -> Option<Note> {
    let Whose::Open(group) = &subject.whose else {
        return None;
    };
    if group.local == 0 {
        return None;
    }
    let who = match (group.local, group.connections) {
        (1, 1) => "both ends are".into(),
        (n, all) if n == all => "all of them have both ends".into(),
        (n, _) => format!("{} of them have both ends", grouped(n)),
    };
    let text = format!("{who} in one network namespace: there the kernel itself reports the end");
    Some(Note::new(None, text))
}
