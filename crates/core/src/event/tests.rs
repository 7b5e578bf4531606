use alloc::vec::Vec;
use core::time::Duration;

use super::*;
use crate::connection::{Observed, TcpState};
use crate::sample::connection;
use crate::settings::{Setting, UserTimeout};

/// An idle connection that is given up, with nothing set but keepalive.
const IDLE: Ending = Ending {
    errno: 110,
    state: TcpState::Established,
    orphan: false,
    user_timeout: UserTimeout::OFF,
    unacked: 0,
    unsent: 0,
    reset: Some(false),
    window_probed: None,
    connecting: None,
};

fn user_timeout(ms: u64) -> UserTimeout {
    UserTimeout::new(ms).unwrap()
}

fn in_flight() -> Ending {
    Ending {
        unacked: 100,
        ..IDLE
    }
}

fn full(probed: Option<u64>) -> Ending {
    Ending {
        unsent: 5_000,
        window_probed: probed.map(Duration::from_millis),
        ..IDLE
    }
}

fn connecting(after: Option<u64>) -> Ending {
    Ending {
        state: TcpState::SynSent,
        unacked: 1,
        connecting: after.map(Duration::from_millis),
        ..IDLE
    }
}

#[test]
fn causes_are_told_from_what_the_socket_holds() {
    use Limit::*;
    let given_up = Cause::GivenUp;
    let by = |ending: Ending, ms| Ending {
        user_timeout: user_timeout(ms),
        ..ending
    };
    let with = |ending: Ending, errno| Ending { errno, ..ending };
    let in_state = |ending: Ending, state| Ending { state, ..ending };
    let orphan = |ending: Ending| Ending {
        orphan: true,
        ..ending
    };
    let refused = |reset| Ending {
        errno: 111,
        reset,
        ..connecting(Some(1))
    };
    for (what, ending, cause) in [
        ("idle", IDLE, given_up(Keepalive)),
        ("idle, user timeout", by(IDLE, 3_000), given_up(UserTimeout)),
        (
            "idle, the peer has closed",
            in_state(IDLE, TcpState::CloseWait),
            given_up(Keepalive),
        ),
        ("in flight", in_flight(), given_up(Retransmission)),
        (
            "in flight, user timeout",
            by(in_flight(), 2_500),
            given_up(UserTimeout),
        ),
        (
            "a FIN in flight, the program still there",
            in_state(in_flight(), TcpState::FinWait1),
            given_up(Retransmission),
        ),
        (
            "a FIN of an orphan in flight",
            orphan(in_state(in_flight(), TcpState::FinWait1)),
            given_up(Orphan),
        ),
        (
            "an orphan's user timeout",
            by(orphan(in_state(in_flight(), TcpState::FinWait1)), 1_000),
            given_up(UserTimeout),
        ),
        ("zero window", full(Some(20_600)), given_up(WindowProbes)),
        (
            "zero window, user timeout",
            by(full(Some(4_000)), 4_000),
            given_up(UserTimeout),
        ),
        (
            "zero window, a tick short of the user timeout",
            by(full(Some(3_996)), 4_000),
            given_up(UserTimeout),
        ),
        (
            "zero window, a user timeout that has not passed",
            by(full(Some(20_600)), 60_000),
            given_up(WindowProbes),
        ),
        (
            "zero window, user timeout, before 5.11",
            by(full(None), 4_000),
            Cause::Unknown,
        ),
        (
            "an orphan's window",
            orphan(full(Some(1))),
            given_up(Orphan),
        ),
        (
            "nobody answers the SYN",
            connecting(Some(131_000)),
            given_up(Handshake),
        ),
        (
            "nobody answers the SYN within the user timeout",
            by(connecting(Some(5_000)), 5_000),
            given_up(UserTimeout),
        ),
        (
            "nobody answers the SYN, a longer user timeout",
            by(connecting(Some(131_000)), 300_000),
            given_up(Handshake),
        ),
        (
            "nobody answers the SYN, for an unknown time",
            by(connecting(None), 5_000),
            Cause::Unknown,
        ),
        (
            "fast open, nobody answers the SYN-ACK",
            in_state(in_flight(), TcpState::SynReceived),
            given_up(Handshake),
        ),
        ("the SYN is refused", refused(Some(true)), Cause::Reset),
        (
            "port unreachable",
            refused(Some(false)),
            Cause::Unreachable(None),
        ),
        (
            "refused, by whom is not told",
            refused(None),
            Cause::Unknown,
        ),
        (
            "host unreachable in SYN-SENT",
            with(connecting(Some(1)), 113),
            Cause::Unreachable(None),
        ),
        (
            "in flight, the death has ICMP's name",
            by(with(in_flight(), 113), 3_000),
            Cause::Unreachable(Some(UserTimeout)),
        ),
        (
            "in flight, port unreachable names the death",
            with(in_flight(), 111),
            Cause::Unreachable(Some(Retransmission)),
        ),
        ("RST", with(IDLE, 104), Cause::Reset),
        (
            "RST when the peer had closed",
            with(in_state(IDLE, TcpState::CloseWait), 32),
            Cause::Reset,
        ),
        ("ss -K", with(in_flight(), 103), Cause::Destroyed),
        ("an errno that is not known", with(IDLE, 5), Cause::Unknown),
    ] {
        assert_eq!(Cause::of(&ending), cause, "{what}");
    }
}

#[test]
fn names_are_unique_and_errors_of_causes_are_named() {
    let mut names: Vec<_> = Limit::ALL.into_iter().map(Limit::name).collect();
    names.extend([
        Cause::Unreachable(None).name(),
        Cause::Reset.name(),
        Cause::Destroyed.name(),
        Cause::Unknown.name(),
    ]);
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for errno in 1..=133 {
        let ending = Ending { errno, ..IDLE };
        let known = Cause::of(&ending) != Cause::Unknown;
        assert_eq!(errno_name(errno).is_some(), known, "{errno}");
    }
    assert_eq!(errno_name(110), Some("ETIMEDOUT"));
}

/// What is told of connections, look by look, a second apart.
fn told(looks: &[(&[Connection], Look)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut between = Looks::default();
    for (number, (seen, look)) in (0..).zip(looks) {
        let at = Duration::from_secs(100 + number);
        for connection in *seen {
            between.see(at, connection, &mut |event| events.push(event));
        }
        between.end(at, *look, &mut |event| events.push(event));
    }
    events
}

fn kinds(looks: &[(&[Connection], Look)]) -> Vec<Kind> {
    told(looks).iter().map(|event| event.kind).collect()
}

#[test]
fn the_first_look_tells_nothing() {
    let one = [connection()];
    assert_eq!(kinds(&[(&one, Look::Complete)]), []);
    assert_eq!(kinds(&[(&one, Look::Complete), (&one, Look::Complete)]), []);
}

#[test]
fn what_came_and_went_is_told_with_its_age() {
    let one = [connection()];
    let events = told(&[
        (&[], Look::Complete),
        (&one, Look::Complete),
        (&one, Look::Complete),
        (&[], Look::Complete),
    ]);
    let seen: Vec<_> = events.iter().map(|event| (event.kind, event.age)).collect();
    assert_eq!(
        seen,
        [
            (Kind::Opened(Side::Unknown), Some(Duration::ZERO)),
            (Kind::Gone, Some(Duration::from_secs(2))),
        ]
    );
    assert!(events.iter().all(|event| event.source == Source::Scan));
    // One that was there before has an age that nobody knows.
    let events = told(&[(&one, Look::Complete), (&[], Look::Complete)]);
    assert_eq!((events[0].kind, events[0].age), (Kind::Gone, None));
}

#[test]
fn what_a_partial_look_does_not_show_is_gone_when_the_next_does_not_either() {
    let one = [connection()];
    let looks = [
        (&one[..], Look::Complete),
        (&[], Look::Partial),
        (&one, Look::Complete),
    ];
    assert_eq!(kinds(&looks), []);
    for second in [Look::Complete, Look::Partial] {
        let looks = [
            (&one[..], Look::Complete),
            (&[], Look::Partial),
            (&[], second),
        ];
        assert_eq!(kinds(&looks), [Kind::Gone]);
    }
}

#[test]
fn time_wait_is_an_orderly_end() {
    let mut after = connection();
    after.state = TcpState::TimeWait;
    let looks = [
        (&[connection()][..], Look::Complete),
        (&[after.clone()], Look::Complete),
        (&[after.clone()], Look::Complete),
        (&[], Look::Complete),
    ];
    assert_eq!(kinds(&looks), [Kind::Closed]);
    assert_eq!(
        kinds(&[(&[], Look::Complete), (&[after], Look::Complete)]),
        []
    );
}

#[test]
fn probing_and_recovery_are_those_of_keepalive() {
    let with = |unanswered, unacked| {
        let mut connection = connection();
        connection.unanswered_probes = Some(unanswered);
        connection.unacked_bytes = Some(unacked);
        [connection]
    };
    let (quiet, one, three) = (with(0, 0), with(1, 0), with(3, 0));
    let looks = [&quiet, &one, &three, &quiet].map(|seen| (&seen[..], Look::Complete));
    let recovered = Kind::Recovered { unanswered: 3 };
    assert_eq!(kinds(&looks), [Kind::Probing, recovered]);
    // Probes of a closed window.
    let window = with(2, 500);
    let looks = [&quiet, &window, &quiet].map(|seen| (&seen[..], Look::Complete));
    assert_eq!(kinds(&looks), []);
}

#[test]
fn settings_that_differ_were_changed() {
    let before = [connection()];
    let mut after = before.clone();
    if let Observed::Known(timers) = &mut after[0].settings {
        timers.keepalive = false;
        timers.idle = Setting::Socket(7);
        timers.interval = Setting::Namespace;
        timers.user_timeout = user_timeout(1_500);
    }
    let looks = [&before, &after].map(|seen| (&seen[..], Look::Complete));
    let changed = |item, value| {
        Kind::Changed(Changed {
            item,
            value,
            by: None,
        })
    };
    assert_eq!(
        kinds(&looks),
        [
            changed(Item::Keepalive, 0),
            changed(Item::Idle, 7),
            changed(Item::UserTimeout, 1_500),
        ]
    );
}

#[test]
fn sockets_that_are_no_connections_are_left_out() {
    for state in [TcpState::Listen, TcpState::SynSent, TcpState::Close] {
        let mut other = connection();
        other.state = state;
        let looks = [
            (&[][..], Look::Complete),
            (&[other], Look::Complete),
            (&[], Look::Complete),
        ];
        assert_eq!(kinds(&looks), []);
    }
    let mut nameless = connection();
    nameless.id.cookie.0 = 0;
    let looks = [(&[][..], Look::Complete), (&[nameless], Look::Complete)];
    assert_eq!(kinds(&looks), []);
}

#[test]
fn who_asks_for_deaths_or_closes_is_told_of_what_is_gone() {
    for name in Name::ASKED {
        assert!(name.is_in(&[name]));
        let wanted = matches!(name, Name::Died | Name::Closed);
        assert_eq!(Name::Gone.is_in(&[name]), wanted);
    }
}
