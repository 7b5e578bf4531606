//! What is to be done with one socket, and what came of it: the twin of src/bpf/order.h.

use std::time::Duration;

use sockpulse_core::protect::Step;
use sockpulse_core::{Cookie, Effective, EffectiveTimers, UserTimeout};
use zerocopy::native_endian::{I32, U16, U32, U64};
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
    cookie: U64,
    on: U32,
    idle: I32,
    interval: I32,
    probes: I32,
    user_timeout: U32,
    silence: U32,
    number: U32,
    step: EncodedStep,
    unused: U64,
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
    assert!(offset_of!(Encoded, user_timeout) == 24);
    assert!(offset_of!(Encoded, number) == 32);
    assert!(offset_of!(Encoded, step) == 36);
    assert!(offset_of!(EncodedStep, user_timeout) == 16);
    assert!(offset_of!(Answer, errno) == 6);
    assert!(size_of::<Encoded>() == 64);
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
            cookie: self.cookie.0.into(),
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
            unused: 0.into(),
        }
    }
}

/// `ORDER_TRIES` and `ORDER_GROUP`.
const TRIES: usize = 512;
const GROUP: u64 = 8;

/// Orders where the kernel's program looks for them: in the place of the cookie, or in the first free
/// one behind.
pub(crate) struct Places<'a>(pub(crate) &'a mut [Encoded]);

impl Places<'_> {
    /// How many places so many orders need. Every other one is free, so that few are looked at for one
    /// order.
    pub(crate) fn needed(orders: usize) -> usize {
        orders.saturating_mul(2).max(1).next_multiple_of(8)
    }

    /// Puts one in; whether there was room, which there is unless hundreds of cookies happen to have
    /// one place.
    pub(crate) fn put(&mut self, order: Encoded) -> bool {
        let count = self.0.len();
        let Some(first) = place(order.cookie.get(), count) else {
            return false;
        };
        for place in (first..count).chain(0..first).take(TRIES) {
            let there = &mut self.0[place];
            if there.cookie.get() == 0 {
                *there = order;
                return true;
            }
        }
        false
    }
}

/// `order_place()`; none for what is no cookie.
fn place(cookie: u64, places: usize) -> Option<usize> {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
    let mixed = (cookie / GROUP).wrapping_mul(MIX) >> 32;
    let group = (mixed * (u64::try_from(places).ok()? / GROUP)) >> 32;
    let place = usize::try_from(group * GROUP + cookie % GROUP).ok()?;
    (cookie != 0 && place < places).then_some(place)
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
        let middle = &words[2..14];
        assert_eq!(
            middle,
            [1, -1, i32::MAX, 9, 5_000, -1, 3, 0, 60, -1, 127, 0]
        );
        assert_eq!(&words[14..], [0, 0]);
    }

    fn of(cookie: u64) -> Encoded {
        let inherited = Effective {
            value: 1,
            origin: None,
        };
        let order = Order {
            cookie: Cookie(cookie),
            before: EffectiveTimers {
                keepalive: false,
                idle: inherited,
                interval: inherited,
                probes: inherited,
                user_timeout: UserTimeout::OFF,
            },
            silence: Duration::MAX,
            step: Step::default(),
        };
        order.encode(0)
    }

    fn put(cookies: impl ExactSizeIterator<Item = u64>) -> (Vec<Encoded>, usize) {
        let mut table = vec![of(0); Places::needed(cookies.len())];
        let mut places = Places(&mut table);
        let put = cookies.filter(|cookie| places.put(of(*cookie))).count();
        (table, put)
    }

    #[test]
    fn orders_find_a_place_whatever_their_cookies_are() {
        let scattered = |n: u64| n.wrapping_mul(0xd134_2543_de82_ef95).rotate_left(31) | 1;
        // As two processors give them out: each has 4096 of its own at a time.
        let two = |n: u64| 70_000 + n / 2 + n % 2 * 4_096 + n / 8_192 * 4_096;
        for count in [1, 2, 1_000, 200_000_u32] {
            let all = usize::try_from(count).unwrap();
            assert_eq!(put((0..count).map(|n| scattered(n.into()))).1, all);
            assert_eq!(put((0..count).map(|n| two(n.into()))).1, all);
            assert_eq!(put((0..count).map(|n| u64::from(n + 1) * 4_096)).1, all);
            assert_eq!(put((0..count).map(|n| u64::from(n + 1) * 9)).1, all);
        }
    }

    #[test]
    fn places_go_on_at_the_start_and_end_after_some() {
        // With one group, the place is what eight leaves.
        let (table, _) = put([7, 15, 1].into_iter());
        let cookies: Vec<u64> = table.iter().map(|order| order.cookie.get()).collect();
        assert_eq!(cookies, [15, 1, 0, 0, 0, 0, 0, 7]);
        let mut table = vec![of(0); 2_000];
        let mut places = Places(&mut table);
        let same = (0..TRIES + 1).filter(|_| places.put(of(3))).count();
        assert_eq!(same, TRIES);
        assert!(
            !Places(&mut [of(0)]).put(of(0)),
            "no socket has this cookie"
        );
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
