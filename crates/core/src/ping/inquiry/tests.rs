use alloc::vec::Vec;
use core::num::NonZeroU16;

use proptest::prelude::*;

use super::*;
use crate::connection::Cookie;
use crate::ping::sample::glance;

const MS: Duration = Duration::from_millis(1);

fn patience(probes: u16, spacing: u32) -> Patience {
    Patience {
        probes: NonZeroU16::new(probes).unwrap(),
        spacing: MS * spacing,
    }
}

/// A connection that was asked once, at 0.
fn asked(method: Method) -> Inquiry {
    let mut inquiry = Inquiry::new(method, patience(3, 600), &glance());
    let first = inquiry.next(Duration::ZERO, Seen::Glance(glance()));
    assert_eq!(first, Step::Send);
    inquiry.sent(Duration::ZERO);
    inquiry
}

fn settled(step: Step) -> Answer {
    match step {
        Step::Done(answer) => answer,
        other => panic!("not settled: {other:?}"),
    }
}

/// The answer to a probe: a bare acknowledgement that is taken in.
fn answered() -> Glance {
    let mut glance = glance();
    glance.segs_in += 1;
    glance.silence = Duration::ZERO;
    glance
}

#[test]
fn an_answer_proves_life_and_its_round_trip_is_known() {
    let answer = settled(asked(Method::Raw).next(3 * MS, Seen::Glance(answered())));
    assert_eq!(answer.verdict, Verdict::Alive);
    assert_eq!((answer.rtt, answer.probes), (Some(3 * MS), 1));
    assert_eq!(answer.silence, Some(Duration::from_hours(1)));
    let by_option = settled(asked(Method::Option).next(3 * MS, Seen::Glance(answered())));
    assert_eq!((by_option.verdict, by_option.rtt), (Verdict::Alive, None));
}

#[test]
fn what_may_be_other_traffic_is_no_round_trip() {
    for change in [
        (|glance| glance.segs_in += 1) as fn(&mut Glance),
        |glance| glance.data_segs_in += 1,
        |glance| glance.snd_una += 1,
    ] {
        let mut glance = answered();
        change(&mut glance);
        let answer = settled(asked(Method::Raw).next(MS, Seen::Glance(glance)));
        assert_eq!((answer.verdict, answer.rtt), (Verdict::Alive, None));
    }
    // An answer to either of two probes.
    let mut inquiry = asked(Method::Raw);
    assert_eq!(inquiry.next(600 * MS, Seen::Glance(glance())), Step::Send);
    inquiry.sent(600 * MS);
    let answer = settled(inquiry.next(601 * MS, Seen::Glance(answered())));
    assert_eq!((answer.rtt, answer.probes), (None, 2));
}

#[test]
fn what_was_only_counted_may_be_a_reset_that_is_yet_to_be_acted_on() {
    let mut counted = glance();
    counted.segs_in += 1;
    let mut inquiry = asked(Method::Raw);
    let look = inquiry.next(MS, Seen::Glance(counted));
    assert_eq!(look, Step::Look { at: MS + SOON });
    let answer = settled(inquiry.clone().next(2 * MS, Seen::Gone(Gone::Reset)));
    assert_eq!(answer.verdict, Verdict::Refused);
    assert_eq!(answer.gone, Some(Gone::Reset));
    // A probe of the peer's own is counted and not taken in.
    let answer = settled(inquiry.next(600 * MS, Seen::Glance(counted)));
    assert_eq!((answer.verdict, answer.rtt), (Verdict::Alive, Some(MS)));
}

#[test]
fn ends_that_are_no_answers_are_told() {
    for gone in [
        Gone::TimedOut,
        Gone::Closed,
        Gone::Unreachable,
        Gone::Destroyed,
        Gone::Errno(71),
        Gone::Unknown,
    ] {
        let answer = settled(asked(Method::Raw).next(MS, Seen::Gone(gone)));
        assert_eq!(answer.verdict, Verdict::Unknown);
        assert_eq!(
            (answer.why, answer.gone),
            (Some(Why::Ended(gone)), Some(gone))
        );
    }
    let mut unasked = Inquiry::new(Method::Raw, Patience::default(), &glance());
    let answer = settled(unasked.next(MS, Seen::Gone(Gone::Reset)));
    assert_eq!(answer.why, Some(Why::Ended(Gone::Reset)));
    let mut other = glance();
    other.cookie = Cookie(8);
    let answer = settled(asked(Method::Raw).next(MS, Seen::Glance(other)));
    assert_eq!(
        answer.gone,
        Some(Gone::Unknown),
        "the ports were given to another"
    );
}

#[test]
fn what_cannot_be_asked_is_not() {
    let why = |method, change: fn(&mut Glance)| {
        let mut glance = glance();
        change(&mut glance);
        match Inquiry::new(method, Patience::default(), &glance).next(MS, Seen::Glance(glance)) {
            Step::Done(answer) => answer.why,
            _ => None,
        }
    };
    assert_eq!(
        why(Method::Raw, |glance| glance.signed = true),
        Some(Why::Signed)
    );
    assert_eq!(
        why(Method::Raw, |glance| glance.mptcp = true),
        Some(Why::Mptcp)
    );
    let listen = TcpState::Listen;
    for method in [Method::Raw, Method::Option] {
        let refused = why(method, |glance| glance.state = TcpState::Listen);
        assert_eq!(refused, Some(Why::State(listen)));
        assert_eq!(
            why(method, |glance| glance.state = TcpState::CloseWait),
            None
        );
    }
    // The kernel signs what it sends itself.
    assert_eq!(why(Method::Option, |glance| glance.signed = true), None);
}

#[test]
fn with_options_data_in_flight_is_watched_and_the_kernels_second_waited_for() {
    let mut sending = glance();
    sending.unacked = 5;
    let mut inquiry = Inquiry::new(Method::Option, patience(3, 600), &sending);
    let look = inquiry.next(Duration::ZERO, Seen::Glance(sending));
    assert_eq!(look, Step::Look { at: LATER });
    let busy = settled(inquiry.clone().next(600 * MS, Seen::Glance(sending)));
    assert_eq!((busy.verdict, busy.probes), (Verdict::Busy, 0));
    let answer = settled(inquiry.next(300 * MS, Seen::Glance(answered())));
    assert_eq!(answer.verdict, Verdict::Alive);
    let mut fresh = glance();
    fresh.silence = 300 * MS;
    let mut inquiry = Inquiry::new(Method::Option, patience(3, 600), &fresh);
    let look = inquiry.next(Duration::ZERO, Seen::Glance(fresh));
    assert_eq!(look, Step::Look { at: 700 * MS });
    fresh.silence = 1_000 * MS;
    assert_eq!(inquiry.next(700 * MS, Seen::Glance(fresh)), Step::Send);
}

#[test]
fn by_the_programs_own_descriptor_a_reset_is_seen_as_a_closed_socket() {
    let mut closed = answered();
    closed.state = TcpState::Close;
    let answer = settled(asked(Method::Option).next(MS, Seen::Glance(closed)));
    assert_eq!(answer.verdict, Verdict::Refused);
    closed.segs_in = glance().segs_in;
    let answer = settled(asked(Method::Option).next(MS, Seen::Glance(closed)));
    assert_eq!(answer.why, Some(Why::Ended(Gone::Unknown)));
}

#[test]
fn what_icmp_says_is_told_beside_the_verdict() {
    let unreachable = Unreachable {
        from: core::net::Ipv4Addr::LOCALHOST.into(),
        code: 1,
    };
    let mut inquiry = asked(Method::Raw);
    inquiry.hear(unreachable);
    let answer = settled(inquiry.next(MS, Seen::Glance(answered())));
    assert_eq!(answer.verdict, Verdict::Alive);
    assert_eq!(answer.unreachable, Some(unreachable));
}

/// What comes, and when; whether it is taken in or only counted.
type Arrival = (Duration, bool);

/// What a look at `now` sees, by a kernel with 250 ticks a second.
fn look(now: Duration, arrivals: &[Arrival], rto: Duration) -> Seen {
    let came = arrivals.iter().filter(|(at, _)| *at <= now);
    let tick = |time: Duration| time.as_millis() / 4;
    let heard = came
        .clone()
        .filter(|(_, taken_in)| *taken_in)
        .map(|(at, _)| *at)
        .max();
    let ticks = heard.map(|heard| u32::try_from(tick(now) - tick(heard)).unwrap());
    let mut glance = glance();
    glance.rto = rto;
    glance.segs_in += u32::try_from(came.count()).unwrap();
    glance.silence = ticks.map_or(glance.silence + now, |ticks| 4 * MS * ticks);
    Seen::Glance(glance)
}

/// Asks to the end, with a caller that is late by these times in turn.
fn course(
    inquiry: &mut Inquiry,
    arrivals: &[Arrival],
    rto: Duration,
    late: &[Duration],
) -> (Answer, Vec<Duration>, Duration) {
    let mut late = late.iter().copied().cycle();
    let mut now = Duration::ZERO;
    let mut sent = Vec::new();
    for _ in 0..10_000 {
        match inquiry.next(now, look(now, arrivals, rto)) {
            Step::Done(answer) => return (answer, sent, now),
            Step::Look { at } => {
                assert!(at > now, "time stands still");
                now = at + late.next().unwrap();
            }
            // One that cannot send at once looks again.
            Step::Send => match late.next().unwrap() {
                wait if wait > 150 * MS => now += wait,
                _ => {
                    inquiry.sent(now);
                    sent.push(now);
                }
            },
        }
    }
    panic!("no end of looking");
}

proptest! {
    #[test]
    fn the_dead_are_those_from_whom_nothing_came(
        probes in 1u16..30,
        spacing in 0u32..1_000,
        rto in 1u32..2_000,
        arrivals in proptest::collection::vec((0u32..40_000, any::<bool>()), 0..3),
        late in proptest::collection::vec(0u32..300, 1..20),
    ) {
        let arrivals: Vec<Arrival> =
            arrivals.into_iter().map(|(at, taken_in)| (MS * at, taken_in)).collect();
        let late: Vec<_> = late.into_iter().chain([0]).map(|ms| MS * ms).collect();
        let (patience, rto) = (patience(probes, spacing), MS * rto);
        let mut inquiry = Inquiry::new(Method::Raw, patience, &glance());
        let (answer, sent, end) = course(&mut inquiry, &arrivals, rto, &late);
        let wait = patience.wait(rto);
        prop_assert!(sent.len() <= usize::from(probes));
        prop_assert_eq!(usize::from(answer.probes), sent.len());
        prop_assert!(sent.windows(2).all(|pair| pair[1] - pair[0] >= wait));
        let came = arrivals.iter().any(|(at, _)| *at > sent[0] && *at <= end);
        match answer.verdict {
            Verdict::Dead => {
                prop_assert!(!came);
                prop_assert_eq!(sent.len(), usize::from(probes));
                prop_assert!(end >= sent[sent.len() - 1] + wait);
            }
            Verdict::Alive => prop_assert!(came),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
