//! What is to be done with one socket, and what came of it: the twin of src/bpf/order.h.

use std::time::Duration;

use sockpulse_core::protect::Step;
use sockpulse_core::{Cookie, Effective, EffectiveTimers, UserTimeout};
use zerocopy::native_endian::{I32, U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// A step that was planned for a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Which socket.
    pub cookie: Cookie,
    /// The settings in force when the step was planned. When others are, its program has set them
    /// since, and knows better.
    pub before: EffectiveTimers,
    /// The longest silence of the peer with which a user timeout may be set.
    pub silence: Duration,
    /// What is to be set.
    pub step: Step,
}

/// What became of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was carried out, and read back.
    Set,
    /// The socket is not as it was when the step was planned: its program set options, or it is being
    /// closed.
    Changed,
    /// A probe is unanswered, or data is being retransmitted.
    Probing,
    /// The peer has been silent for too long for the user timeout.
    Silent,
    /// The socket is a subflow of Multipath TCP, which is not set by itself.
    Subflow,
    /// The kernel refused an option, with this error number, and nothing is set.
    Failed(i32),
    /// The kernel refused an option, and others are set.
    HalfMade(i32),
}

/// `struct order`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Encoded {
    on: U32,
    idle: I32,
    interval: I32,
    probes: I32,
    user_timeout: U32,
    silence: U32,
    number: U32,
    step: EncodedStep,
}

/// `struct step`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct EncodedStep {
    keepalive: I32,
    idle: I32,
    interval: I32,
    probes: I32,
    user_timeout: I32,
}

/// `struct answer`.
#[derive(Debug, Clone, Copy, FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Answer {
    number: U32,
    verdict: U16,
    errno: U16,
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Encoded, user_timeout) == 16);
    assert!(offset_of!(Encoded, number) == 24);
    assert!(offset_of!(Encoded, step) == 28);
    assert!(offset_of!(EncodedStep, user_timeout) == 16);
    assert!(offset_of!(Answer, errno) == 6);
    assert!(size_of::<Encoded>() == 48);
    assert!(size_of::<Answer>() == 8);
};

impl Order {
    /// As the kernel's program reads it.
    pub(crate) fn encode(&self, number: u32) -> Encoded {
        let EffectiveTimers {
            keepalive,
            idle,
            interval,
            probes,
            user_timeout,
        } = self.before;
        Encoded {
            on: u32::from(keepalive).into(),
            idle: in_force(idle),
            interval: in_force(interval),
            probes: in_force(probes),
            user_timeout: user_timeout.get().into(),
            silence: u32::try_from(self.silence.as_millis())
                .unwrap_or(u32::MAX)
                .into(),
            number: number.into(),
            step: EncodedStep {
                keepalive: wanted(self.step.keepalive.map(u32::from)),
                idle: wanted(self.step.idle.map(|idle| idle.get().into())),
                interval: wanted(self.step.interval.map(|time| time.get().into())),
                probes: wanted(self.step.probes.map(|count| count.get().into())),
                user_timeout: wanted(self.step.user_timeout.map(UserTimeout::get)),
            },
        }
    }
}

impl Answer {
    /// Which order it is about, and what became of that; `None` for a verdict that this crate does
    /// not know.
    pub(crate) fn told(&self) -> Option<(usize, Verdict)> {
        let verdict = match self.verdict.get() {
            0 => Verdict::Set,
            1 => Verdict::Changed,
            2 => Verdict::Probing,
            3 => Verdict::Silent,
            4 => Verdict::Subflow,
            5 => Verdict::Failed(self.errno.get().into()),
            6 => Verdict::HalfMade(self.errno.get().into()),
            _ => return None,
        };
        Some((usize::try_from(self.number.get()).ok()?, verdict))
    }
}

/// The kernel's program knows one value below zero.
fn in_force(effective: Effective) -> I32 {
    i32::try_from(effective.value.max(-1))
        .unwrap_or(i32::MAX)
        .into()
}

fn wanted(value: Option<u32>) -> I32 {
    value
        .map_or(-1, |value| i32::try_from(value).unwrap_or(i32::MAX))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockpulse_core::{KeepCnt, KeepIdle, Origin};

    #[test]
    fn what_stays_and_what_never_comes_is_below_zero() {
        let inherited = |value| Effective {
            value,
            origin: Some(Origin::Namespace),
        };
        let order = Order {
            cookie: Cookie(7),
            before: EffectiveTimers {
                keepalive: true,
                idle: inherited(-90),
                interval: inherited(i64::MAX),
                probes: inherited(9),
                user_timeout: UserTimeout::new(5_000).unwrap(),
            },
            silence: Duration::MAX,
            step: Step {
                keepalive: Some(false),
                idle: KeepIdle::new(60).ok(),
                probes: KeepCnt::new(127).ok(),
                user_timeout: Some(UserTimeout::OFF),
                interval: None,
            },
        };
        let words: Vec<_> = order
            .encode(3)
            .as_bytes()
            .chunks(4)
            .map(|word| i32::from_ne_bytes(word.try_into().unwrap()))
            .collect();
        assert_eq!(words, [1, -1, i32::MAX, 9, 5_000, -1, 3, 0, 60, -1, 127, 0]);
    }

    #[test]
    fn an_answer_of_another_version_is_none() {
        let answer = |verdict: u16| Answer {
            number: 5.into(),
            verdict: verdict.into(),
            errno: 22.into(),
        };
        assert_eq!(answer(6).told(), Some((5, Verdict::HalfMade(22))));
        assert_eq!(answer(7).told(), None);
    }
}
