//! Defaults that the kernel takes and that do harm.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Wish;
use crate::assess::CHATTY_BELOW;
use crate::duration::human;
use crate::namespace::NetnsDefaults;
use crate::persisted::Sysctl;
use core::time::Duration;

/// What is wrong with a wish for defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Danger {
    /// No probes: an idle connection is given up at the idle time, living or not.
    NoProbes,
    /// An idle of zero: a probe at once, and then one every interval.
    IdleZero,
    /// An idle below zero: no probe is ever sent.
    IdleNever {
        /// Seconds.
        idle: i64,
    },
    /// An interval of zero or less: all probes go out before an answer can be back.
    NoInterval,
    /// More than a socket may ask for itself: what one holds cannot be written down and set again.
    BeyondSockets {
        /// Which.
        sysctl: Sysctl,
        /// The value wanted.
        value: i64,
    },
    /// A single probe decides.
    OneProbe,
    /// Probes go out every interval, not every idle.
    IntervalAboveIdle {
        /// Seconds.
        idle: i64,
        /// Seconds.
        interval: i64,
    },
    /// Idle connections are probed more often than serves anyone.
    VeryShort {
        /// Seconds between probes of an idle connection.
        period: i64,
    },
    /// conntrack forgets an unacknowledged connection after the same time.
    IdleCollides,
}

impl Danger {
    /// Whether it is set only by force; else it is only told.
    #[must_use]
    pub const fn is_refused(self) -> bool {
        matches!(
            self,
            Self::NoProbes
                | Self::IdleZero
                | Self::IdleNever { .. }
                | Self::NoInterval
                | Self::BeyondSockets { .. }
        )
    }

    /// The default that is to blame, if it is one alone.
    #[must_use]
    pub const fn sysctl(self) -> Option<Sysctl> {
        match self {
            Self::IdleZero | Self::IdleNever { .. } | Self::IdleCollides => Some(Sysctl::Idle),
            Self::NoInterval => Some(Sysctl::Interval),
            Self::NoProbes | Self::OneProbe => Some(Sysctl::Probes),
            Self::BeyondSockets { sysctl, .. } => Some(sysctl),
            Self::IntervalAboveIdle { .. } | Self::VeryShort { .. } => None,
        }
    }

    /// What happens, in one sentence without its full stop.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::NoProbes => "with 0 probes every idle connection that asked for keepalive is \
                given up at the idle time without being probed, however healthy its peer is"
                .into(),
            Self::IdleZero => "with an idle of 0 a connection is probed at once and then at every \
                interval, data or not"
                .into(),
            Self::IdleNever { idle } => format!(
                "with an idle of {idle} no probe is ever sent: keepalive is off for whoever asked \
                 for it"
            ),
            Self::NoInterval => {
                "with an interval below 1 second all probes go out before an answer \
                can be back: a healthy connection far away is given up"
                    .into()
            }
            Self::BeyondSockets { sysctl, value } => format!(
                "{} {value} is more than the {} that a socket may ask for: no program can set what \
                 it inherits",
                sysctl.setting(),
                sysctl.option_range().1
            ),
            Self::OneProbe => "with 1 probe a single lost packet ends a living connection".into(),
            Self::IntervalAboveIdle { idle, interval } => format!(
                "the interval ({interval} s) is longer than idle ({idle} s): an idle connection is \
                 probed every {interval} s"
            ),
            Self::VeryShort { period } => format!(
                "every idle connection that follows the default is probed every {period} s; less \
                 than {} wakes machines and radios for little",
                human(CHATTY_BELOW)
            ),
            Self::IdleCollides => "an idle of exactly 300 s is conntrack's own limit for \
                connections that wait for an answer: take a little less"
                .into(),
        }
    }
}

/// What is dangerous in `wish`, over the defaults that a namespace has. What is there already and
/// not wished for is not judged, except where the wish makes it matter.
#[must_use]
pub fn dangers(wish: &Wish, defaults: &NetnsDefaults) -> Vec<Danger> {
    let mut dangers = Vec::new();
    match wish.idle {
        Some(0) => dangers.push(Danger::IdleZero),
        Some(idle @ ..0) => dangers.push(Danger::IdleNever { idle }),
        Some(300) => dangers.push(Danger::IdleCollides),
        _ => {}
    }
    if wish.interval.is_some_and(|interval| interval < 1) {
        dangers.push(Danger::NoInterval);
    }
    match wish.probes {
        Some(..=0) => dangers.push(Danger::NoProbes),
        Some(1) => dangers.push(Danger::OneProbe),
        _ => {}
    }
    let beyond = wish
        .values()
        .filter(|(sysctl, value)| *value > sysctl.option_range().1);
    dangers.extend(beyond.map(|(sysctl, value)| Danger::BeyondSockets { sysctl, value }));
    let NetnsDefaults {
        idle_s, interval_s, ..
    } = wish.over(defaults);
    if (wish.idle, wish.interval) == (None, None) || idle_s < 1 || interval_s < 1 {
        return dangers;
    }
    if interval_s > idle_s {
        dangers.push(Danger::IntervalAboveIdle {
            idle: idle_s,
            interval: interval_s,
        });
    }
    let period = idle_s.max(interval_s);
    if u64::try_from(period).is_ok_and(|seconds| Duration::from_secs(seconds) < CHATTY_BELOW) {
        dangers.push(Danger::VeryShort { period });
    }
    dangers
}

/// What is dangerous in defaults that hold, or will.
#[must_use]
pub fn dangers_of(defaults: &NetnsDefaults) -> Vec<Danger> {
    let all = Wish {
        idle: Some(defaults.idle_s),
        interval: Some(defaults.interval_s),
        probes: Some(defaults.probes),
    };
    dangers(&all, defaults)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn of(idle: Option<i64>, interval: Option<i64>, probes: Option<i64>) -> Vec<Danger> {
        let wish = Wish {
            idle,
            interval,
            probes,
        };
        dangers(&wish, &NetnsDefaults::KERNEL)
    }

    #[test]
    fn what_harms_is_refused_and_what_surprises_is_told() {
        let beyond = |sysctl, value| Danger::BeyondSockets { sysctl, value };
        for (wish, found, refused) in [
            ((Some(120), Some(20), Some(5)), vec![], false),
            ((None, None, Some(0)), vec![Danger::NoProbes], true),
            ((None, None, Some(1)), vec![Danger::OneProbe], false),
            ((Some(0), None, None), vec![Danger::IdleZero], true),
            (
                (Some(-5), None, None),
                vec![Danger::IdleNever { idle: -5 }],
                true,
            ),
            ((None, Some(0), None), vec![Danger::NoInterval], true),
            ((Some(300), None, None), vec![Danger::IdleCollides], false),
            (
                (Some(40_000), None, Some(128)),
                vec![beyond(Sysctl::Idle, 40_000), beyond(Sysctl::Probes, 128)],
                true,
            ),
            (
                (Some(60), None, None),
                vec![Danger::IntervalAboveIdle {
                    idle: 60,
                    interval: 75,
                }],
                false,
            ),
            ((Some(60), Some(60), Some(20)), vec![], false),
            (
                (Some(5), Some(1), None),
                vec![Danger::VeryShort { period: 5 }],
                false,
            ),
            ((None, None, Some(6)), vec![], false),
        ] {
            let dangers = of(wish.0, wish.1, wish.2);
            assert_eq!(dangers, found, "{wish:?}");
            let any = dangers.iter().any(|danger| danger.is_refused());
            assert_eq!(any, refused, "{wish:?}");
            for danger in dangers {
                let sentence = danger.sentence();
                assert!(
                    !sentence.ends_with('.') && !sentence.contains("  "),
                    "{sentence}"
                );
            }
        }
    }

    #[test]
    fn what_holds_is_judged_alike() {
        let kernel = NetnsDefaults::KERNEL;
        assert_eq!(dangers_of(&kernel), []);
        let none = NetnsDefaults {
            probes: 0,
            ..kernel
        };
        assert_eq!(dangers_of(&none), [Danger::NoProbes]);
        assert_eq!(Danger::NoProbes.sysctl(), Some(Sysctl::Probes));
    }
}
