//! What is to be set on one socket: pure, for both methods.

use crate::request::{MOST_MILLISECONDS, Mode, Request, UserTimeout};

/// What a socket holds, as getsockopt(2) tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// `SO_KEEPALIVE`.
    pub keepalive: bool,
    /// The three values in force, its own or inherited from the namespace.
    pub timings: Timings,
    /// `TCP_USER_TIMEOUT` in milliseconds; 0 is none.
    pub user_timeout: u32,
}

/// The three values of keepalive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timings {
    /// `TCP_KEEPIDLE` in seconds.
    pub idle: u32,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval: u32,
    /// `TCP_KEEPCNT`.
    pub probes: u32,
}

/// What is to be set; `None`, and `false`: nothing. Values go first and `SO_KEEPALIVE` last, so that
/// the first probe is a whole `idle` away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Step {
    /// `TCP_KEEPIDLE` in seconds.
    pub idle: Option<u32>,
    /// `TCP_KEEPINTVL` in seconds.
    pub interval: Option<u32>,
    /// `TCP_KEEPCNT`.
    pub probes: Option<u32>,
    /// `TCP_USER_TIMEOUT` in milliseconds.
    pub user_timeout: Option<u32>,
    /// `SO_KEEPALIVE` is to be switched on.
    pub keepalive: bool,
}

/// What `request` asks of a socket that holds `held`.
///
/// `defaults` are those of the socket's network namespace where the caller knows them: a value that
/// differs is the program's own. Without them, [`Mode::Fill`] takes a socket whose keepalive is on for
/// one that its program has seen to, and leaves it alone.
#[must_use]
pub fn decide(request: &Request, held: &Held, defaults: Option<&Timings>) -> Step {
    let wanted = [
        request.idle.map(u32::from),
        request.interval.map(u32::from),
        request.probes.map(u32::from),
    ];
    let now = held.timings.values();
    let default = defaults.map(Timings::values);
    let mut set = [None; 3];
    for (index, slot) in set.iter_mut().enumerate() {
        let untouched = match default {
            Some(default) => default[index] == now[index],
            None => !held.keepalive,
        };
        *slot = wanted[index].filter(|wanted| match request.mode {
            Mode::Fill => untouched && *wanted != now[index],
            Mode::Tighten => *wanted < now[index],
            Mode::Override => *wanted != now[index],
        });
    }
    let after = Timings {
        idle: set[0].unwrap_or(now[0]),
        interval: set[1].unwrap_or(now[1]),
        probes: set[2].unwrap_or(now[2]),
    };
    Step {
        idle: set[0],
        interval: set[1],
        probes: set[2],
        user_timeout: user_timeout(request, held, &after, defaults.is_some()),
        keepalive: !held.keepalive,
    }
}

impl Timings {
    /// Milliseconds of silence after which keepalive gives up by these values.
    pub(crate) fn gives_up_after(&self) -> u64 {
        let probing = u64::from(self.interval).saturating_mul(u64::from(self.probes));
        u64::from(self.idle)
            .saturating_add(probing)
            .saturating_mul(1_000)
    }

    const fn values(&self) -> [u32; 3] {
        [self.idle, self.interval, self.probes]
    }
}

impl Step {
    /// Whether nothing is to be set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl UserTimeout {
    /// In milliseconds beside these timings; 0 is none. An automatic one that is too long for the
    /// option is none: keepalive gives up first.
    pub(crate) fn beside(self, timings: &Timings) -> u32 {
        match self {
            Self::Off => 0,
            Self::Milliseconds(ms) => ms,
            Self::Auto => u32::try_from(timings.gives_up_after())
                .ok()
                .filter(|ms| *ms <= MOST_MILLISECONDS)
                .unwrap_or(0),
        }
    }
}

fn user_timeout(request: &Request, held: &Held, after: &Timings, sure: bool) -> Option<u32> {
    let wanted = request.user_timeout?.beside(after);
    let set = match request.mode {
        // Beside timings of the program's own it must not cut the probing short: a single lost
        // probe would kill the connection.
        Mode::Fill => {
            let own_timings = held.keepalive && u64::from(wanted) < after.gives_up_after();
            held.user_timeout == 0 && (sure || !held.keepalive) && !own_timings
        }
        Mode::Tighten => wanted != 0 && (held.user_timeout == 0 || wanted < held.user_timeout),
        Mode::Override => true,
    };
    (set && wanted != held.user_timeout).then_some(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DEFAULTS: Timings = Timings {
        idle: 7200,
        interval: 75,
        probes: 9,
    };

    const fn held(keepalive: bool, idle: u32, user_timeout: u32) -> Held {
        Held {
            keepalive,
            timings: Timings { idle, ..DEFAULTS },
            user_timeout,
        }
    }

    fn request(mode: Mode, user_timeout: Option<UserTimeout>) -> Request {
        Request {
            idle: Some(60),
            user_timeout,
            mode,
            ..Request::default()
        }
    }

    #[test]
    fn who_wins() {
        for (mode, before, idle, keepalive) in [
            (Mode::Fill, held(false, 7200, 0), Some(60), true),
            // It asked for keepalive but not when: known only with the defaults.
            (Mode::Fill, held(true, 7200, 0), Some(60), false),
            (Mode::Fill, held(true, 300, 0), None, false),
            (Mode::Fill, held(false, 300, 0), None, true),
            (Mode::Tighten, held(true, 300, 0), Some(60), false),
            (Mode::Tighten, held(true, 30, 0), None, false),
            (Mode::Tighten, held(false, 30, 0), None, true),
            (Mode::Override, held(true, 30, 0), Some(60), false),
            (Mode::Override, held(true, 60, 0), None, false),
        ] {
            let step = decide(&request(mode, None), &before, Some(&DEFAULTS));
            assert_eq!(
                (step.idle, step.keepalive),
                (idle, keepalive),
                "{mode:?} {before:?}"
            );
            assert_eq!((step.interval, step.probes), (None, None), "not asked for");
        }
    }

    #[test]
    fn without_the_defaults_fill_leaves_alone_what_is_on() {
        let fill = request(Mode::Fill, Some(UserTimeout::Auto));
        assert!(decide(&fill, &held(true, 7200, 0), None).is_empty());
        let step = decide(&fill, &held(false, 7200, 0), None);
        assert_eq!((step.idle, step.user_timeout), (Some(60), Some(735_000)));
    }

    #[test]
    fn a_user_timeout_never_cuts_the_programs_own_probing_short() {
        let two_minutes = UserTimeout::Milliseconds(120_000);
        let before = held(true, 300, 0);
        let fill = request(Mode::Fill, Some(two_minutes));
        assert_eq!(decide(&fill, &before, Some(&DEFAULTS)).user_timeout, None);
        let auto = request(Mode::Fill, Some(UserTimeout::Auto));
        let step = decide(&auto, &before, Some(&DEFAULTS));
        assert_eq!(step.user_timeout, Some(975_000));
        let step = decide(&request(Mode::Override, Some(two_minutes)), &before, None);
        assert_eq!(step.user_timeout, Some(120_000));
    }

    #[test]
    fn user_timeouts_are_compared_with_none_as_the_longest() {
        for (mode, before, wanted, set) in [
            (
                Mode::Fill,
                0,
                UserTimeout::Milliseconds(800_000),
                Some(800_000),
            ),
            (Mode::Fill, 5_000, UserTimeout::Milliseconds(800_000), None),
            (
                Mode::Tighten,
                0,
                UserTimeout::Milliseconds(7_000),
                Some(7_000),
            ),
            (Mode::Tighten, 5_000, UserTimeout::Milliseconds(7_000), None),
            (Mode::Tighten, 5_000, UserTimeout::Off, None),
            (Mode::Override, 5_000, UserTimeout::Off, Some(0)),
            (
                Mode::Override,
                7_000,
                UserTimeout::Milliseconds(7_000),
                None,
            ),
        ] {
            let step = decide(
                &request(mode, Some(wanted)),
                &held(false, 7200, before),
                None,
            );
            assert_eq!(step.user_timeout, set, "{mode:?} {before} {wanted:?}");
        }
    }

    #[test]
    fn the_longest_keepalive_has_no_automatic_user_timeout() {
        let longest = Timings {
            idle: 32_767,
            interval: 32_767,
            probes: 127,
        };
        assert_eq!(UserTimeout::Auto.beside(&longest), 0);
    }

    fn applied(step: &Step, held: &Held) -> Held {
        Held {
            keepalive: held.keepalive || step.keepalive,
            timings: Timings {
                idle: step.idle.unwrap_or(held.timings.idle),
                interval: step.interval.unwrap_or(held.timings.interval),
                probes: step.probes.unwrap_or(held.timings.probes),
            },
            user_timeout: step.user_timeout.unwrap_or(held.user_timeout),
        }
    }

    proptest! {
        #[test]
        fn a_second_decision_asks_nothing_and_tighten_never_loosens(
            wanted in (proptest::option::of(1..=400_u16), proptest::option::of(1..=90_u16), proptest::option::of(1..=12_u8)),
            user_timeout in proptest::option::of(prop_oneof![
                Just(UserTimeout::Auto), Just(UserTimeout::Off), (1..900_000_u32).prop_map(UserTimeout::Milliseconds),
            ]),
            mode in prop_oneof![Just(Mode::Fill), Just(Mode::Tighten), Just(Mode::Override)],
            keepalive in any::<bool>(),
            now in (1..=400_u32, 1..=90_u32, 1..=12_u32, 0..900_000_u32),
            defaults in proptest::option::of((1..=400_u32, 1..=90_u32, 1..=12_u32)),
        ) {
            let request = Request {
                idle: wanted.0, interval: wanted.1, probes: wanted.2, user_timeout, mode, ..Request::default()
            };
            let timings = |(idle, interval, probes)| Timings { idle, interval, probes };
            let defaults = defaults.map(timings);
            let before = Held { keepalive, timings: timings((now.0, now.1, now.2)), user_timeout: now.3 };
            let after = applied(&decide(&request, &before, defaults.as_ref()), &before);
            prop_assert!(after.keepalive);
            prop_assert!(decide(&request, &after, defaults.as_ref()).is_empty());
            if mode == Mode::Tighten {
                prop_assert!(after.timings.idle <= before.timings.idle);
                prop_assert!(after.timings.interval <= before.timings.interval);
                prop_assert!(after.timings.probes <= before.timings.probes);
                prop_assert!(before.user_timeout == 0 || (1..=before.user_timeout).contains(&after.user_timeout));
            }
        }
    }
}
