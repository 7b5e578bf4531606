//! The settings of a socket in few bytes, and how they stand in the journal: `on 60 75* 9* 0`.

use std::fmt;

use sockpulse_core::protect::Step;
use sockpulse_core::{
    Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Origin, UserTimeout,
};

/// Settings in force, and which of them were inherited. A plan has one for each of a million sockets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    values: [i32; 3],
    user_timeout: UserTimeout,
    origins: [Whence; 3],
    keepalive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whence {
    Own,
    Inherited,
    Untold,
}

impl Held {
    pub(crate) fn of(timers: &EffectiveTimers) -> Self {
        let all = [timers.idle, timers.interval, timers.probes];
        Self {
            // The kernel keeps them in an int.
            values: all.map(|one| i32::try_from(one.value).unwrap_or(i32::MAX)),
            user_timeout: timers.user_timeout,
            origins: all.map(|one| match one.origin {
                Some(Origin::Socket) => Whence::Own,
                Some(Origin::Namespace) => Whence::Inherited,
                None => Whence::Untold,
            }),
            keepalive: timers.keepalive,
        }
    }

    pub(crate) fn timers(&self) -> EffectiveTimers {
        let one = |at: usize| Effective {
            value: self.values[at].into(),
            origin: match self.origins[at] {
                Whence::Own => Some(Origin::Socket),
                Whence::Inherited => Some(Origin::Namespace),
                Whence::Untold => None,
            },
        };
        EffectiveTimers {
            keepalive: self.keepalive,
            idle: one(0),
            interval: one(1),
            probes: one(2),
            user_timeout: self.user_timeout,
        }
    }

    /// What is in force once a step is made.
    pub(crate) fn after(&self, step: &Step) -> EffectiveTimers {
        let set = |value: Option<i64>, before| {
            value.map_or(before, |value| Effective {
                value,
                origin: Some(Origin::Socket),
            })
        };
        let before = self.timers();
        EffectiveTimers {
            keepalive: step.keepalive.unwrap_or(before.keepalive),
            idle: set(step.idle.map(|idle| idle.get().into()), before.idle),
            interval: set(step.interval.map(|time| time.get().into()), before.interval),
            probes: set(step.probes.map(|count| count.get().into()), before.probes),
            user_timeout: step.user_timeout.unwrap_or(before.user_timeout),
        }
    }

    /// Reads what [`fmt::Display`] writes.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let keepalive = switch(words.next()?)?;
        let mut values = [0; 3];
        let mut origins = [Whence::Own; 3];
        for (value, origin) in values.iter_mut().zip(&mut origins) {
            let word = words.next()?;
            let (number, whence) = match word.char_indices().last()? {
                (at, '*') => (&word[..at], Whence::Inherited),
                (at, '?') => (&word[..at], Whence::Untold),
                _ => (word, Whence::Own),
            };
            *value = number.parse().ok()?;
            *origin = whence;
        }
        let user_timeout = UserTimeout::new(words.next()?.parse().ok()?).ok()?;
        words.next().is_none().then_some(Self {
            values,
            user_timeout,
            origins,
            keepalive,
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.keepalive { "on" } else { "off" })?;
        for (value, origin) in self.values.iter().zip(self.origins) {
            let mark = match origin {
                Whence::Own => "",
                Whence::Inherited => "*",
                Whence::Untold => "?",
            };
            write!(f, " {value}{mark}")?;
        }
        write!(f, " {}", self.user_timeout.get())
    }
}

/// A step as it stands in the journal: `on 60 - - -`, where what stays is a dash.
pub(crate) fn step_text(step: &Step) -> String {
    let number = |value: Option<u32>| value.map_or("-".into(), |value| value.to_string());
    format!(
        "{} {} {} {} {}",
        match step.keepalive {
            Some(true) => "on",
            Some(false) => "off",
            None => "-",
        },
        number(step.idle.map(|idle| idle.get().into())),
        number(step.interval.map(|time| time.get().into())),
        number(step.probes.map(|count| count.get().into())),
        number(step.user_timeout.map(UserTimeout::get)),
    )
}

/// Reads what [`step_text()`] writes.
pub(crate) fn parse_step(text: &str) -> Option<Step> {
    let words: Vec<&str> = text.split(' ').collect();
    let [keepalive, idle, interval, probes, user_timeout] = words[..] else {
        return None;
    };
    let number = |word: &str| match word {
        "-" => Some(None),
        word => word.parse::<u64>().ok().map(Some),
    };
    Some(Step {
        keepalive: match keepalive {
            "-" => None,
            word => Some(switch(word)?),
        },
        idle: number(idle)?.map(KeepIdle::new).transpose().ok()?,
        interval: number(interval)?.map(KeepIntvl::new).transpose().ok()?,
        probes: number(probes)?.map(KeepCnt::new).transpose().ok()?,
        user_timeout: number(user_timeout)?
            .map(UserTimeout::new)
            .transpose()
            .ok()?,
    })
}

fn switch(word: &str) -> Option<bool> {
    match word {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn held() -> impl Strategy<Value = Held> {
        let whence = prop_oneof![
            Just(Whence::Own),
            Just(Whence::Inherited),
            Just(Whence::Untold)
        ];
        (
            any::<[i32; 3]>(),
            0..=2_147_483_647_u64,
            prop::array::uniform3(whence),
            any::<bool>(),
        )
            .prop_map(|(values, user_timeout, origins, keepalive)| Held {
                values,
                user_timeout: UserTimeout::new(user_timeout).unwrap(),
                origins,
                keepalive,
            })
    }

    fn step() -> impl Strategy<Value = Step> {
        (
            any::<Option<bool>>(),
            prop::option::of(1..=32_767_u64),
            prop::option::of(1..=32_767_u64),
            prop::option::of(1..=127_u64),
            prop::option::of(0..=2_147_483_647_u64),
        )
            .prop_map(|(keepalive, idle, interval, probes, timeout)| Step {
                keepalive,
                idle: idle.map(|idle| KeepIdle::new(idle).unwrap()),
                interval: interval.map(|time| KeepIntvl::new(time).unwrap()),
                probes: probes.map(|count| KeepCnt::new(count).unwrap()),
                user_timeout: timeout.map(|timeout| UserTimeout::new(timeout).unwrap()),
            })
    }

    proptest! {
        #[test]
        fn parse_of_print_is_identity(held in held(), step in step()) {
            prop_assert_eq!(Held::parse(&held.to_string()), Some(held));
            prop_assert_eq!(parse_step(&step_text(&step)), Some(step));
            prop_assert_eq!(Held::of(&held.timers()), held);
        }

        #[test]
        fn what_a_step_leaves_stands(held in held(), step in step()) {
            prop_assert!(step.stands(&held.after(&step)));
        }

        #[test]
        fn any_text_is_read_or_refused(text: String) {
            let _ = (Held::parse(&text), parse_step(&text));
        }
    }

    #[test]
    fn settings_are_short() {
        assert!(size_of::<Held>() <= 20);
        let held = Held::parse("off 7200* 75* 9? 0").unwrap();
        assert_eq!(held.timers().idle.origin, Some(Origin::Namespace));
        assert_eq!(
            parse_step("on 53 - - 0").unwrap().idle,
            KeepIdle::new(53).ok()
        );
        assert_eq!(Held::parse("off 7200* 75* 9? 0 1"), None);
        assert_eq!(parse_step("on 0 - - -"), None);
    }
}
