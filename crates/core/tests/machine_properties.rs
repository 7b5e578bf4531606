//! The machine held against the closed formulas, and against nonsense.
#![expect(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;

use proptest::prelude::*;
use sockpulse_core::detection::{self, Noticed};
use sockpulse_core::machine::simulation::Vanished;
use sockpulse_core::machine::{
    Action, Answer, Errno, KeepaliveMachine, Lateness, Outcome, Segment, Sent, Setup, Simulation,
    SocketOption, Start, predict, timeline,
};
use sockpulse_core::settings::{KeepCnt, KeepIdle, KeepIntvl, Setting, SocketTimers, UserTimeout};
use sockpulse_core::{Hz, NetnsDefaults};

/// A tick of 300 Hz is no whole number of nanoseconds.
const ROUNDING: Duration = Duration::from_micros(1);
const FOREVER: Duration = Duration::from_secs(100 * 86_400);

prop_compose! {
    fn setups()(
        idle in 1u32..200,
        interval in 1u32..100,
        probes in 1u32..20,
        user_timeout_ms in prop_oneof![Just(0u64), 1u64..400_000],
        rto_ms in 5u64..4_000,
        rto_min_ms in prop_oneof![Just(200u64), 5u64..400],
        rto_max_s in prop_oneof![Just(120u64), 1u64..120],
        retries2 in 0u32..20,
        syn_retries in 1u32..8,
        orphan_retries in 0u32..10,
        hz in prop_oneof![Just(100u32), Just(250), Just(300), Just(1000)],
    ) -> Setup {
        let timers = SocketTimers {
            keepalive: true,
            idle: Setting::Socket(idle),
            interval: Setting::Socket(interval),
            probes: Setting::Socket(probes),
            user_timeout: UserTimeout::new(user_timeout_ms).unwrap(),
        };
        let defaults = NetnsDefaults {
            retries2,
            rto_min: Duration::from_millis(rto_min_ms),
            rto_max: Duration::from_secs(rto_max_s),
            ..NetnsDefaults::KERNEL
        };
        Setup {
            rto: Duration::from_millis(rto_ms.max(rto_min_ms)),
            hz: Hz::new(hz),
            syn_retries,
            orphan_retries,
            ..Setup::new(timers, defaults)
        }
    }
}

/// The end of a connection whose peer vanished at time zero.
fn death(setup: &Setup, start: Start, lateness: Lateness) -> Duration {
    let run = Simulation::run(setup, start, lateness, Vanished, FOREVER);
    run.end.expect("a peer that vanished is noticed").at
}

fn formula(setup: &Setup, start: Start) -> Noticed {
    let (backoff, limit) = (setup.backoff(), setup.timers.user_timeout.duration());
    match start {
        Start::DataInFlight => detection::unacknowledged(&backoff, limit, setup.hz),
        Start::ZeroWindow => detection::zero_window(&backoff, limit, setup.hz),
        _ => detection::idle(&setup.effective(), setup.hz),
    }
}

const STARTS: [Start; 4] = [
    Start::Idle,
    Start::Answered,
    Start::DataInFlight,
    Start::ZeroWindow,
];

fn inside(setup: &Setup, start: Start, lateness: Lateness) -> Result<(), TestCaseError> {
    let Noticed::After {
        earliest, latest, ..
    } = formula(setup, start)
    else {
        panic!("noticed");
    };
    let at = death(setup, start, lateness);
    prop_assert!(
        earliest <= at + ROUNDING && at <= latest + ROUNDING,
        "{start:?}, {lateness:?}: {at:?} is outside of {earliest:?} .. {latest:?}"
    );
    Ok(())
}

fn open(setup: &Setup) -> KeepaliveMachine {
    KeepaliveMachine::established(setup, Lateness::None, Duration::ZERO)
}

#[derive(Debug, Clone)]
enum Input {
    Timer,
    Owned(u64),
    Congested(Sent),
    Segment(Segment),
    Send,
    Set(SocketOption),
    Defaults(i64, i64, i64),
    Close,
    ShutDown,
}

fn segments() -> impl Strategy<Value = Segment> {
    use Segment::{Ack, Data, Fin, Reset, Stale, Unreachable, ZeroWindow};
    prop_oneof![
        4 => prop_oneof![Just(Ack), Just(Stale), Just(ZeroWindow), Just(Data)],
        2 => prop_oneof![
            Just(Fin),
            Just(Unreachable(Errno::HostUnreachable)),
            Just(Unreachable(Errno::ConnectionRefused)),
        ],
        1 => Just(Reset),
    ]
}

fn inputs() -> impl Strategy<Value = Input> {
    let option = prop_oneof![
        Just(SocketOption::KeepaliveOn),
        Just(SocketOption::KeepaliveOff),
        (1u64..=32767).prop_map(|n| SocketOption::Idle(KeepIdle::new(n).unwrap())),
        (1u64..=32767).prop_map(|n| SocketOption::Interval(KeepIntvl::new(n).unwrap())),
        (1u64..=127).prop_map(|n| SocketOption::Probes(KeepCnt::new(n).unwrap())),
        (0u64..1 << 31).prop_map(|n| SocketOption::UserTimeout(UserTimeout::new(n).unwrap())),
    ];
    prop_oneof![
        6 => Just(Input::Timer),
        1 => (0u64..10_000).prop_map(Input::Owned),
        1 => prop_oneof![
            Just(Sent::Probe { unanswered: 1 }),
            Just(Sent::WindowProbe { unanswered: 1 }),
            Just(Sent::Retransmission { count: 1 }),
            Just(Sent::Data),
        ].prop_map(Input::Congested),
        3 => segments().prop_map(Input::Segment),
        2 => Just(Input::Send),
        2 => option.prop_map(Input::Set),
        1 => (-1i64..100, -1i64..100, 0i64..256).prop_map(|(a, b, c)| Input::Defaults(a, b, c)),
        1 => prop_oneof![Just(Input::Close), Just(Input::ShutDown)],
    ]
}

fn feed(machine: &mut KeepaliveMachine, now: Duration, input: &Input) {
    match input {
        Input::Timer => {
            machine.on_timer(now);
        }
        Input::Owned(ms) => {
            machine.on_timer_while_owned(now, now + Duration::from_millis(*ms));
        }
        Input::Congested(sent) => machine.on_congestion(now, *sent),
        Input::Segment(segment) => {
            machine.on_segment(now, *segment);
        }
        Input::Send => {
            machine.send(now);
        }
        Input::Set(option) => machine.set(now, *option),
        Input::Defaults(idle_s, interval_s, probes) => machine.set_defaults(NetnsDefaults {
            idle_s: *idle_s,
            interval_s: *interval_s,
            probes: *probes,
            ..NetnsDefaults::KERNEL
        }),
        Input::Close => {
            machine.close(now);
        }
        Input::ShutDown => {
            machine.shut_down(now);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_phase_of_the_wheel_lies_inside_the_windows(setup in setups(), phase in any::<u32>()) {
        for start in STARTS {
            for lateness in [Lateness::None, Lateness::Most, Lateness::Phase(phase.into())] {
                inside(&setup, start, lateness)?;
            }
        }
    }

    #[test]
    fn a_tail_loss_probe_stays_inside_the_window(
        setup in setups(),
        probe_ms in 1u64..5_000,
        phase in any::<u32>(),
    ) {
        let setup = Setup { tail_loss_probe: Some(Duration::from_millis(probe_ms)), ..setup };
        for lateness in [Lateness::None, Lateness::Most, Lateness::Phase(phase.into())] {
            inside(&setup, Start::DataInFlight, lateness)?;
        }
    }

    #[test]
    fn exact_timers_are_the_settings_own_time(setup in setups()) {
        for start in [Start::Answered, Start::DataInFlight, Start::ZeroWindow] {
            prop_assert_eq!(
                Some(death(&setup, start, Lateness::None)),
                formula(&setup, start).by_settings(),
                "{:?}", start
            );
        }
    }

    #[test]
    fn a_prediction_is_the_closed_formulas(setup in setups()) {
        let outcome = predict(&setup, Start::Answered, || Vanished, FOREVER);
        let Outcome::Ends { at, errno, .. } = outcome else {
            panic!("{outcome:?}");
        };
        let Noticed::After { earliest, by_settings, latest } = formula(&setup, Start::Answered)
        else {
            panic!("noticed");
        };
        prop_assert_eq!((at.earliest, at.by_settings), (earliest, by_settings));
        prop_assert!(latest <= at.latest && at.latest <= latest + ROUNDING);
        prop_assert_eq!(errno, Some(Errno::TimedOut));
    }

    #[test]
    fn a_peer_that_answers_is_never_given_up(
        setup in setups(),
        after_ms in 0u64..900,
        phase in any::<u32>(),
    ) {
        let after = Duration::from_millis(after_ms);
        let until = Duration::from_secs(5_000);
        for lateness in [Lateness::None, Lateness::Most, Lateness::Phase(phase.into())] {
            let world = |_, _| Answer::Acked { after };
            let run = Simulation::run(&setup, Start::Idle, lateness, world, until);
            prop_assert_eq!(run.end, None);
        }
    }

    #[test]
    fn an_answered_window_probe_keeps_alive_unless_there_is_a_user_timeout(
        setup in setups(),
        after_ms in 0u64..150,
    ) {
        let after = Duration::from_millis(after_ms);
        let mut setup = setup;
        setup.defaults.retries2 = setup.defaults.retries2.max(2);
        let world = |_, _| Answer::ZeroWindow { after };
        let run = Simulation::run(
            &setup, Start::ZeroWindow, Lateness::None, world, Duration::from_secs(5_000),
        );
        let limit = setup.timers.user_timeout.duration();
        prop_assert_eq!(run.end.is_some(), limit.is_some());
        if let Some(end) = run.end {
            // The timer that is armed anew by each answer counts the limit all the same.
            let first = detection::persist_base(&setup.backoff());
            prop_assert!(end.at >= first + limit.unwrap());
        }
    }

    #[test]
    fn patience_never_makes_a_death_sooner(setup in setups(), more in 1u32..50) {
        let setup = {
            let mut setup = setup;
            setup.timers.user_timeout = UserTimeout::OFF;
            setup
        };
        let longer = |change: fn(&mut Setup, u32)| {
            let mut setup = setup.clone();
            change(&mut setup, more);
            setup
        };
        let add = |setting: &mut Setting<u32>, more| {
            if let Setting::Socket(value) = setting {
                *value += more;
            }
        };
        for (start, patient) in [
            (Start::Answered, { let mut s = setup.clone(); add(&mut s.timers.idle, more); s }),
            (Start::Answered, { let mut s = setup.clone(); add(&mut s.timers.interval, more); s }),
            (Start::Answered, { let mut s = setup.clone(); add(&mut s.timers.probes, more); s }),
            (Start::DataInFlight, longer(|s, more| s.defaults.retries2 += more)),
            (Start::ZeroWindow, longer(|s, more| s.defaults.retries2 += more)),
            (Start::Connecting, longer(|s, more| s.syn_retries += more)),
            (Start::Accepting, longer(|s, more| s.synack_retries += more)),
        ] {
            let (sooner, later) = (
                death(&setup, start, Lateness::None),
                death(&patient, start, Lateness::None),
            );
            prop_assert!(sooner <= later, "{start:?}: {sooner:?} > {later:?}");
        }
    }

    #[test]
    fn handshakes_and_orphans_end_inside_their_windows(setup in setups(), phase in any::<u32>()) {
        for start in [Start::Connecting, Start::Accepting, Start::Closing, Start::FinWait2] {
            let window = timeline(&setup, start).last().expect("it ends").at;
            for lateness in [Lateness::None, Lateness::Most, Lateness::Phase(phase.into())] {
                let at = death(&setup, start, lateness);
                let (earliest, latest) = (window.earliest, window.latest + ROUNDING);
                prop_assert!(
                    earliest <= at + ROUNDING && at <= latest,
                    "{start:?}, {lateness:?}: {at:?}, {window:?}"
                );
            }
        }
    }

    #[test]
    fn no_input_is_too_much(
        setup in setups(),
        phase in any::<u32>(),
        inputs in prop::collection::vec((inputs(), 0u64..50_000), 1..120),
    ) {
        for lateness in [Lateness::None, Lateness::Most, Lateness::Phase(phase.into())] {
            for start in [Start::Idle, Start::Connecting, Start::Accepting, Start::ZeroWindow] {
                let (mut machine, _) = start.machine(&setup, lateness);
                let mut now = Duration::ZERO;
                for (input, wait) in &inputs {
                    // To the next timer, where one is due before.
                    let later = now + Duration::from_millis(*wait);
                    now = machine.next_timeout().map_or(later, |at| at.min(later));
                    feed(&mut machine, now, input);
                    for _ in 0..4 {
                        if machine.next_timeout().is_some_and(|at| at <= now) {
                            machine.on_timer(now);
                        }
                    }
                    prop_assert!(machine.next_timeout().is_none_or(|at| at > now), "{input:?}");
                }
            }
        }
    }
}

#[test]
fn a_machine_that_is_over_stays_over() {
    let setup = Setup::new(
        SocketTimers {
            keepalive: true,
            idle: Setting::Namespace,
            interval: Setting::Namespace,
            probes: Setting::Namespace,
            user_timeout: UserTimeout::OFF,
        },
        NetnsDefaults::KERNEL,
    );
    let mut machine = open(&setup);
    let now = Duration::from_secs(1);
    assert!(matches!(
        machine.on_segment(now, Segment::Reset),
        Action::End { .. }
    ));
    for segment in [Segment::Ack, Segment::Data, Segment::Fin, Segment::Reset] {
        assert_eq!(machine.on_segment(now, segment), Action::None);
    }
    machine.set(now, SocketOption::KeepaliveOn);
    machine.send(now);
    machine.close(now);
    assert_eq!(machine.next_timeout(), None);
}
