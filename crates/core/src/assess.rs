//! What becomes of a connection whose peer dies: the judgement over one connection.

use core::time::Duration;

use crate::connection::{Connection, Observed, TcpState, TimerKind, Unseen};
use crate::detection::{Backoff, Detection, Noticed, Remembered, probe_period, strikes};
use crate::finding::{Code, CodeSet};
use crate::namespace::Namespace;
use crate::paths;
use crate::settings::{EffectiveTimers, Origin};
use crate::wheel::Hz;

/// What becomes of a connection whose peer dies while it is idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exposure {
    /// Keepalive is off: never noticed.
    Unprotected,
    /// Noticed, later than the target.
    Slow,
    /// One lost probe can kill it.
    Fragile,
    /// Noticed in time.
    Protected,
    /// Probes are unanswered now.
    Probing,
    /// Both ends are in this namespace: the kernel itself reports the end.
    Local,
    /// The settings could not be seen.
    Unknown,
}

impl Exposure {
    /// All exposures, worst first.
    pub const ALL: [Self; 7] = [
        Self::Unprotected,
        Self::Slow,
        Self::Fragile,
        Self::Protected,
        Self::Probing,
        Self::Local,
        Self::Unknown,
    ];

    /// As printed and as written in `--exposure`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unprotected => "unprotected",
            Self::Slow => "slow",
            Self::Fragile => "fragile",
            Self::Protected => "protected",
            Self::Probing => "probing",
            Self::Local => "local",
            Self::Unknown => "unknown",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|exposure| exposure.name() == text)
    }
}

/// What connections are judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// A dead peer should be noticed within this time.
    pub detect_within: Duration,
    /// The kernel's tick rate, if known.
    pub hz: Option<Hz>,
}

/// Silence after which a connection without keepalive is counted as silent: an hour.
pub const LONG_SILENCE: Duration = Duration::from_secs(3600);

/// Probing an idle connection more often than this is chatty: ten seconds.
pub const CHATTY_BELOW: Duration = Duration::from_secs(10);

/// conntrack's timeout for unacknowledged segments, which an idle of the same length can collide
/// with (`nf_conntrack_tcp_timeout_unacknowledged`).
const COLLIDING_IDLE_S: i64 = 300;

/// The judgement over one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// Settings in force, or why they are unknown.
    pub effective: Observed<EffectiveTimers>,
    /// When a dead peer is noticed; `None` where settings are unknown or no peer can be lost.
    pub detection: Option<Detection>,
    /// `None` for listeners and for states that end by themselves.
    pub exposure: Option<Exposure>,
    /// Findings that apply.
    pub codes: CodeSet,
}

/// Judges one connection. `namespace` is `None` when the connection's namespace was not read: then
/// inherited values are unknown and only loopback addresses count as local.
#[must_use]
pub fn assess(
    connection: &Connection,
    namespace: Option<&Namespace>,
    target: &Target,
) -> Assessment {
    assess_many(connection, namespace, target, &mut Remembered::default())
}

/// The same for one of many connections: detections that were reckoned before are remembered.
#[must_use]
pub fn assess_many(
    connection: &Connection,
    namespace: Option<&Namespace>,
    target: &Target,
    remembered: &mut Remembered,
) -> Assessment {
    let defaults = namespace.and_then(|namespace| namespace.defaults.as_ref());
    let effective = match (connection.settings, defaults) {
        (Observed::Unknown(why), _) => Observed::Unknown(why),
        (Observed::Known(timers), Some(defaults)) => Observed::Known(timers.effective(defaults)),
        (Observed::Known(_), None) => Observed::Unknown(Unseen::NoDefaults),
    };
    let mut assessment = Assessment {
        effective,
        detection: None,
        exposure: None,
        codes: CodeSet::default(),
    };
    if !connection.state.has_peer() || connection.orphan == Observed::Known(true) {
        return assessment;
    }
    if let Observed::Known(effective) = &effective {
        let backoff = defaults.and_then(|defaults| {
            Some(Backoff {
                rto: rto_without_backoff(connection, defaults.rto_min)?,
                rto_max: defaults.rto_max,
                retries2: defaults.retries2,
            })
        });
        assessment.detection = Some(remembered.of(effective, backoff.as_ref(), target.hz));
    }
    let keepalive = connection.settings.known().map(|timers| timers.keepalive);
    if keepalive == Some(false) && assessment.detection.is_none() {
        // Never is never, whatever the defaults are.
        assessment.detection = Some(Detection {
            idle: Noticed::Never,
            unacknowledged: None,
            zero_window: None,
        });
    }
    let exposure = exposure(connection, namespace, target, keepalive, &assessment);
    assessment.exposure = Some(exposure);
    if exposure != Exposure::Local {
        assessment.codes = codes(connection, target, keepalive, &assessment);
    }
    assessment
}

/// Whether keepalive proves nothing there: both ends are in this namespace, or it is a listener that
/// only they can reach. Without the namespace only loopback addresses are known to be local.
#[must_use]
pub fn is_local(connection: &Connection, namespace: Option<&Namespace>) -> bool {
    let local = connection.id.local.addr.to_canonical();
    if connection.state == TcpState::Listen {
        return local.is_loopback();
    }
    let remote = connection.id.remote.addr.to_canonical();
    remote == local
        || remote.is_loopback()
        || namespace.is_some_and(|namespace| namespace.local.contains(remote))
}

/// A connection's retransmission timeout as it was before it was doubled. The kernel doubles the
/// timeout itself with each retransmission (`tcp_retransmit_timer()`); with a
/// zero window, when nothing is in flight, it only counts how often (`tcp_probe0_when()`).
#[must_use]
pub fn rto_without_backoff(connection: &Connection, floor: Duration) -> Option<Duration> {
    let rto = Duration::from_millis(connection.rto_ms?.into());
    match (connection.in_flight, connection.backoff) {
        // At its ceiling it was not doubled each time.
        (Some(true), Some(times @ 1..)) => Some((rto / (1 << times.min(31))).max(floor.min(rto))),
        _ => Some(rto),
    }
}

fn exposure(
    connection: &Connection,
    namespace: Option<&Namespace>,
    target: &Target,
    keepalive: Option<bool>,
    assessment: &Assessment,
) -> Exposure {
    if is_local(connection, namespace) {
        return Exposure::Local;
    }
    match keepalive {
        None => return Exposure::Unknown,
        Some(false) => return Exposure::Unprotected,
        Some(true) => {}
    }
    if is_probing(connection) {
        return Exposure::Probing;
    }
    let (Observed::Known(effective), Some(detection)) =
        (&assessment.effective, &assessment.detection)
    else {
        return Exposure::Unknown;
    };
    if is_fragile(effective, target.hz) {
        return Exposure::Fragile;
    }
    match detection.idle.by_settings() {
        Some(after) if after <= target.detect_within => Exposure::Protected,
        Some(_) => Exposure::Slow,
        None => Exposure::Unprotected,
    }
}

/// The probe count is shared with zero-window probes, which run only while data is waiting.
fn is_probing(connection: &Connection) -> bool {
    connection
        .unanswered_probes
        .is_some_and(|probes| probes > 0)
        && connection.unacked_bytes == Some(0)
}

/// One lost probe can kill: a single probe decides, the user timeout is reached at the tick after
/// the first probe or so close behind it that little is missing, or late timers reach it there.
#[must_use]
pub fn is_fragile(effective: &EffectiveTimers, hz: Option<Hz>) -> bool {
    if strikes(effective, hz) <= 1 {
        return true;
    }
    let Some(user_timeout) = effective.user_timeout.duration() else {
        return false;
    };
    let interval = Duration::from_secs(u64::try_from(effective.interval.value).unwrap_or(0));
    probe_period(effective).is_some_and(|period| user_timeout < period + interval * 2)
}

fn codes(
    connection: &Connection,
    target: &Target,
    keepalive: Option<bool>,
    assessment: &Assessment,
) -> CodeSet {
    let mut codes = CodeSet::default();
    if connection.retransmits.is_some_and(|count| count > 0) && connection.in_flight == Some(true) {
        codes.insert(Code::Retransmitting);
    }
    let Some(keepalive) = keepalive else {
        return codes;
    };
    if !keepalive {
        codes.insert(Code::KeepaliveOff);
        if connection
            .settings
            .known()
            .is_some_and(|t| t.user_timeout.duration().is_some())
        {
            codes.insert(Code::UserTimeoutAlone);
        }
        let long = u64::try_from(LONG_SILENCE.as_millis()).unwrap_or(u64::MAX);
        if connection.silence_ms.is_some_and(|ms| ms >= long) {
            codes.insert(Code::SilentUnprotected);
        }
        return codes;
    }
    let (Observed::Known(effective), Some(detection)) =
        (&assessment.effective, &assessment.detection)
    else {
        return codes;
    };
    match detection.idle {
        Noticed::After { by_settings, .. } if by_settings <= target.detect_within => {}
        _ => codes.insert(Code::Slow),
    }
    codes.insert_all(settings_codes(effective, target.hz));
    if is_stale(connection, effective, target) {
        codes.insert(Code::StaleTimer);
    }
    codes
}

/// What is wrong with settings, whatever the connection does and whichever target it is judged by.
#[must_use]
pub fn settings_codes(timers: &EffectiveTimers, hz: Option<Hz>) -> CodeSet {
    let mut codes = CodeSet::default();
    if !timers.keepalive {
        codes.insert(Code::KeepaliveOff);
        if timers.user_timeout.duration().is_some() {
            codes.insert(Code::UserTimeoutAlone);
        }
        return codes;
    }
    if is_fragile(timers, hz) {
        codes.insert(Code::Fragile);
    }
    if timers.idle.value == COLLIDING_IDLE_S {
        codes.insert(Code::IdleCollides);
    }
    let period = probe_period(timers);
    if period.is_some_and(|period| period < CHATTY_BELOW) {
        codes.insert(Code::Chatty);
    }
    if period.is_some_and(|period| period >= paths::smallest().timeout) {
        codes.insert(Code::LongerThanPath);
    }
    codes
}

/// A timer that is further away than the idle now in force was armed before the default was lowered:
/// the kernel never arms it for longer than idle or interval.
fn is_stale(connection: &Connection, effective: &EffectiveTimers, target: &Target) -> bool {
    let Observed::Known(Some(timer)) = connection.timers.keepalive else {
        return false;
    };
    if timer.kind != TimerKind::Keepalive || effective.idle.origin == Some(Origin::Socket) {
        return false;
    }
    let longest = effective.idle.value.max(effective.interval.value);
    let Ok(longest) = u64::try_from(longest) else {
        return false;
    };
    let expires = Duration::from_millis(timer.expires_ms);
    let late = target.hz.map_or(expires / 8, |hz| hz.lateness(expires));
    expires > Duration::from_secs(longest).saturating_add(late)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::{TcpState, Timer};
    use crate::namespace::NetnsDefaults;
    use crate::sample;
    use crate::settings::{Setting, UserTimeout};

    fn target() -> Target {
        Target {
            detect_within: Duration::from_secs(600),
            hz: Hz::new(250),
        }
    }

    fn judged(change: impl FnOnce(&mut Connection)) -> Assessment {
        let mut connection = sample::connection();
        change(&mut connection);
        assess(&connection, Some(&sample::namespace()), &target())
    }

    fn with_timers(change: impl FnOnce(&mut crate::settings::SocketTimers)) -> Assessment {
        judged(|connection| {
            if let Observed::Known(timers) = &mut connection.settings {
                change(timers);
            }
        })
    }

    #[test]
    fn exposures() {
        use Exposure::*;
        let user_timeout = |ms| UserTimeout::new(ms).unwrap();
        for (name, assessment, exposure) in [
            ("in time", judged(|_| ()), Some(Protected)),
            (
                "off",
                with_timers(|t| t.keepalive = false),
                Some(Unprotected),
            ),
            (
                "late",
                with_timers(|t| t.idle = Setting::Namespace),
                Some(Slow),
            ),
            (
                "one probe",
                with_timers(|t| t.probes = Setting::Socket(1)),
                Some(Fragile),
            ),
            (
                "short",
                with_timers(|t| t.user_timeout = user_timeout(79_999)),
                Some(Fragile),
            ),
            (
                "enough",
                with_timers(|t| t.user_timeout = user_timeout(80_000)),
                Some(Protected),
            ),
            (
                // 595 s may become 611.4 s, and the tick behind it is beyond the user timeout.
                "late timers use it up",
                with_timers(|t| {
                    t.idle = Setting::Socket(595);
                    t.interval = Setting::Socket(1);
                    t.user_timeout = user_timeout(600_000);
                }),
                Some(Fragile),
            ),
            (
                "probing",
                judged(|c| c.unanswered_probes = Some(1)),
                Some(Probing),
            ),
            (
                "zero-window probes are not keepalive's",
                judged(|c| {
                    c.unanswered_probes = Some(1);
                    c.unacked_bytes = Some(10);
                }),
                Some(Protected),
            ),
            (
                "local",
                judged(|c| c.id.remote.addr = [10, 0, 0, 1].into()),
                Some(Local),
            ),
            (
                "loopback",
                judged(|c| c.id.remote.addr = [127, 0, 0, 1].into()),
                Some(Local),
            ),
            (
                "unseen",
                judged(|c| c.settings = Observed::Unknown(Unseen::NotReported)),
                Some(Unknown),
            ),
            ("listener", judged(|c| c.state = TcpState::Listen), None),
            ("time-wait", judged(|c| c.state = TcpState::TimeWait), None),
            ("orphan", judged(|c| c.orphan = Observed::Known(true)), None),
        ] {
            assert_eq!(assessment.exposure, exposure, "{name}");
        }
    }

    #[test]
    fn a_timer_alone_never_means_on() {
        // inet_diag shows a pending keepalive timer also for sockets that never asked.
        let assessment = judged(|c| c.settings = Observed::Unknown(Unseen::NotReported));
        assert_eq!(assessment.exposure, Some(Exposure::Unknown));
        assert!(assessment.detection.is_none() && assessment.codes.is_empty());
    }

    #[test]
    fn without_the_namespace_inherited_values_are_unknown() {
        let on = sample::connection();
        let assessment = assess(&on, None, &target());
        assert_eq!(assessment.effective, Observed::Unknown(Unseen::NoDefaults));
        assert_eq!(assessment.exposure, Some(Exposure::Unknown));
        let off = assess(&sample::off(&on), None, &target());
        assert_eq!(off.exposure, Some(Exposure::Unprotected));
        assert_eq!(
            off.detection.map(|detection| detection.idle),
            Some(Noticed::Never)
        );
    }

    #[test]
    fn codes() {
        let codes =
            |assessment: Assessment| -> alloc::vec::Vec<Code> { assessment.codes.iter().collect() };
        assert_eq!(codes(judged(|_| ())), []);
        assert_eq!(
            codes(with_timers(|t| {
                t.keepalive = false;
                t.user_timeout = UserTimeout::new(1000).unwrap();
            })),
            [Code::KeepaliveOff, Code::UserTimeoutAlone]
        );
        assert_eq!(
            codes(with_timers(|t| t.idle = Setting::Socket(300))),
            [Code::IdleCollides, Code::LongerThanPath]
        );
        assert_eq!(
            codes(with_timers(|t| t.idle = Setting::Socket(9))),
            [],
            "probed every interval, which is longer"
        );
        assert_eq!(
            codes(with_timers(|t| {
                t.idle = Setting::Socket(9);
                t.interval = Setting::Socket(9);
            })),
            [Code::Chatty]
        );
        assert_eq!(
            codes(judged(|c| {
                c.retransmits = Some(3);
                c.in_flight = Some(true);
            })),
            [Code::Retransmitting]
        );
        assert_eq!(
            codes(judged(|c| c.id.remote.addr = [127, 0, 0, 1].into())),
            []
        );
    }

    #[test]
    fn what_was_doubled_already_is_not_doubled_again() {
        let busy = |rto_ms, backoff, in_flight| {
            let assessment = judged(|c| {
                c.rto_ms = Some(rto_ms);
                c.backoff = Some(backoff);
                c.in_flight = Some(in_flight);
            });
            assessment.detection.unwrap().unacknowledged
        };
        assert_eq!(busy(204 << 5, 5, true), busy(204, 0, true));
        assert_eq!(busy(204, 5, false), busy(204, 0, false), "a zero window");
        // At the ceiling the doubling is no longer seen in it.
        assert_eq!(busy(120_000, 255, true), busy(200, 0, true));
        // A route may have a lower floor than the namespace.
        assert_ne!(busy(50, 0, true), busy(200, 0, true));
    }

    #[test]
    fn a_timer_from_before_the_default_was_lowered_is_told() {
        let stale = |expires_ms, idle_s| {
            let mut connection = sample::connection();
            if let Observed::Known(timers) = &mut connection.settings {
                timers.idle = Setting::Namespace;
            }
            connection.timers.keepalive = Observed::Known(Some(Timer {
                kind: TimerKind::Keepalive,
                expires_ms,
            }));
            let mut namespace = sample::namespace();
            namespace.defaults = Some(NetnsDefaults {
                idle_s,
                ..NetnsDefaults::KERNEL
            });
            assess(&connection, Some(&namespace), &target())
                .codes
                .contains(Code::StaleTimer)
        };
        assert!(stale(7_000_000, 60));
        assert!(!stale(7_300_000, 7200), "the wheel may be late by 131 s");
        assert!(!stale(59_000, 60));
    }
}
