//! Single cases.

use core::time::Duration;

use super::*;
use crate::connection::{TcpState, Unseen};
use crate::machine::SocketOption;

const AUTO: Option<UserTimeoutChoice> = Some(UserTimeoutChoice::Auto);

fn off() -> Connection {
    sample::off(&sample::connection())
}

fn fill() -> Rule {
    rule(Mode::Fill, asked(60, 10, 6))
}

fn verdict(rule: &Rule, change: impl FnOnce(&mut Connection)) -> Verdict {
    let mut connection = off();
    change(&mut connection);
    decide(rule, &connection, Some(&sample::namespace()), &exactly())
}

#[test]
fn a_silent_program_gets_everything_that_is_asked() {
    let step = Step {
        keepalive: Some(true),
        idle: KeepIdle::new(60).ok(),
        interval: KeepIntvl::new(10).ok(),
        probes: KeepCnt::new(6).ok(),
        user_timeout: None,
    };
    let change = Verdict::Change {
        step,
        withheld: None,
    };
    assert_eq!(verdict(&fill(), |_| ()), change);
    assert_eq!(verdict(&fill(), |c| c.state = TcpState::Listen), change);
    let bare = rule(Mode::Fill, Asked::default());
    assert_eq!(
        verdict(&bare, |_| ()).step(),
        Some(&Step {
            keepalive: Some(true),
            ..Step::default()
        }),
        "what is not asked for stays inherited"
    );
}

#[test]
fn what_must_not_be_touched_is_not() {
    let skip = |change: fn(&mut Connection)| match verdict(&fill(), change) {
        Verdict::Skip(skip) => skip,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        skip(|c| c.id.remote.addr = [10, 0, 0, 1].into()),
        Skip::Local
    );
    assert_eq!(
        skip(|c| {
            c.state = TcpState::Listen;
            c.id.local.addr = "::1".parse().unwrap();
        }),
        Skip::Local
    );
    assert_eq!(skip(|c| c.orphan = Observed::Known(true)), Skip::Orphan);
    for state in [
        TcpState::TimeWait,
        TcpState::Closing,
        TcpState::LastAck,
        TcpState::Close,
        TcpState::SynReceived,
    ] {
        let verdict = verdict(&fill(), |c| c.state = state);
        assert_eq!(verdict, Verdict::Skip(Skip::State(state)));
    }
    assert_eq!(skip(|c| c.mptcp = true), Skip::Mptcp);
    assert_eq!(skip(|c| c.unanswered_probes = Some(1)), Skip::Probing);
    let unseen = Observed::Unknown(Unseen::NotPermitted);
    let skipped = verdict(&fill(), |c| c.settings = unseen);
    assert_eq!(skipped, Verdict::Skip(Skip::Unseen(Unseen::NotPermitted)));
    let mut off = rule(Mode::Off, Asked::default());
    let probing = |c: &mut Connection| {
        *c = sample::connection();
        c.unanswered_probes = Some(1);
    };
    assert!(verdict(&off, probing).step().is_some(), "but switched off");
    off.include_local = true;
    let local = |c: &mut Connection| {
        *c = sample::connection();
        c.id.remote.addr = c.id.local.addr;
    };
    assert!(verdict(&off, local).step().is_some());
}

#[test]
fn an_orphan_that_could_not_be_told_is_not_touched_unless_a_process_has_it_open() {
    let unknown = Observed::Unknown(Unseen::NotReported);
    assert!(verdict(&fill(), |c| c.orphan = unknown).step().is_some());
    let nobodys = verdict(&fill(), |c| {
        c.orphan = unknown;
        c.owner.processes.clear();
    });
    assert_eq!(nobodys, Verdict::Skip(Skip::Unseen(Unseen::NotReported)));
}

#[test]
fn defaults_that_end_healthy_connections_are_not_switched_on() {
    let namespace = |interval_s, probes| Namespace {
        defaults: Some(NetnsDefaults {
            interval_s,
            probes,
            ..NetnsDefaults::KERNEL
        }),
        ..sample::namespace()
    };
    let bare = rule(Mode::Fill, Asked::default());
    for (interval, probes, rule, skipped) in [
        (75, 0, &bare, true),
        (0, 9, &bare, true),
        (75, 9, &bare, false),
        (0, 0, &fill(), false),
    ] {
        let verdict = decide(rule, &off(), Some(&namespace(interval, probes)), &exactly());
        assert_eq!(
            verdict == Verdict::Skip(Skip::Defaults),
            skipped,
            "{interval} {probes}"
        );
    }
    assert_eq!(
        decide(&bare, &off(), None, &exactly()),
        Verdict::Skip(Skip::Unseen(Unseen::NoDefaults))
    );
}

#[test]
fn a_user_timeout_is_withheld_from_the_silent_and_set_after_the_first_answer() {
    for mode in [Mode::Fill, Mode::Tighten, Mode::Override] {
        let rule = rule(
            mode,
            Asked {
                user_timeout: AUTO,
                ..asked(60, 10, 6)
            },
        );
        let timeout = UserTimeout::new(120_000).ok();
        let fresh = verdict(&rule, |c| c.silence_ms = Some(3_000));
        assert_eq!(fresh.step().unwrap().user_timeout, timeout, "{mode:?}");
        let mut silent = off();
        silent.silence_ms = Some(3_600_000);
        let namespace = sample::namespace();
        let first = decide(&rule, &silent, Some(&namespace), &exactly());
        assert_eq!(first.withheld(), Some(Withheld::Silence));
        let step = first.step().unwrap();
        assert_eq!((step.keepalive, step.user_timeout), (Some(true), None));
        let mut now = after(&silent, step, &NetnsDefaults::KERNEL);
        let waits = Verdict::Wait(Withheld::Silence);
        assert_eq!(decide(&rule, &now, Some(&namespace), &exactly()), waits);
        // The first probe was answered five seconds ago.
        now.silence_ms = Some(5_000);
        now.timers.keepalive = Observed::Known(Some(Timer {
            kind: TimerKind::Keepalive,
            expires_ms: 5_000,
        }));
        let second = decide(&rule, &now, Some(&namespace), &exactly());
        assert_eq!(
            second,
            Verdict::Change {
                step: Step {
                    user_timeout: timeout,
                    ..Step::default()
                },
                withheld: None
            },
            "{mode:?}"
        );
    }
}

/// Steps are spread over time: what had room may have none any more.
#[test]
fn a_step_is_settled_once_more_just_before_it_is_made() {
    let rule = rule(
        Mode::Fill,
        Asked {
            user_timeout: AUTO,
            ..asked(60, 10, 6)
        },
    );
    let mut connection = off();
    connection.silence_ms = Some(3_000);
    let planned = decide(&rule, &connection, Some(&sample::namespace()), &exactly());
    let step = *planned.step().unwrap();
    assert!(step.user_timeout.is_some());
    let before = timers_of(&connection).effective(&NetnsDefaults::KERNEL);
    let settled = |change: fn(&mut Pulse)| {
        let mut pulse = Pulse::of(&connection);
        change(&mut pulse);
        settle(step, &rule, &before, &pulse, &exactly())
    };
    let without = Step {
        user_timeout: None,
        ..step
    };
    assert_eq!(settled(|_| ()), Ok((step, None)));
    assert_eq!(
        settled(|pulse| pulse.silence = Some(Duration::from_secs(40))),
        Ok((without, Some(Withheld::Silence)))
    );
    assert_eq!(
        settled(|pulse| pulse.unanswered_probes = Some(1)),
        Err(Skip::Probing)
    );
}

#[test]
fn data_that_waits_for_the_peer_withholds_it_too() {
    let rule = rule(
        Mode::Fill,
        Asked {
            user_timeout: AUTO,
            ..asked(60, 10, 6)
        },
    );
    let fresh = |c: &mut Connection| c.silence_ms = Some(0);
    for (change, withheld) in [
        ((|_| ()) as fn(&mut Connection), None),
        (
            |c| {
                c.retransmits = Some(3);
                c.unacked_bytes = Some(10);
                c.in_flight = Some(true);
            },
            Some(Withheld::Waiting),
        ),
        (
            |c| {
                c.unacked_bytes = Some(10);
                c.in_flight = Some(false);
            },
            Some(Withheld::Waiting),
        ),
        (
            |c| {
                c.unacked_bytes = Some(10);
                c.in_flight = Some(true);
            },
            None,
        ),
        (|c| c.silence_ms = None, Some(Withheld::Unseen)),
        (|c| c.unanswered_probes = None, Some(Withheld::Unseen)),
        (|c| c.state = TcpState::SynSent, Some(Withheld::Connecting)),
    ] {
        let verdict = verdict(&rule, |c| {
            fresh(c);
            change(c);
        });
        assert_eq!(verdict.withheld(), withheld);
        assert_eq!(verdict.step().unwrap().keepalive, Some(true));
    }
}

#[test]
fn a_user_timeout_of_its_own_on_a_silent_connection() {
    let own = |c: &mut Connection| {
        let mut timers = timers_of(c);
        timers.user_timeout = UserTimeout::new(120_000).unwrap();
        c.settings = Observed::Known(timers);
        c.silence_ms = Some(3_600_000);
    };
    assert_eq!(verdict(&fill(), own), Verdict::Skip(Skip::UserTimeout));
    let lift = rule(
        Mode::Override,
        Asked {
            user_timeout: AUTO,
            ..asked(60, 10, 6)
        },
    );
    let lifted = verdict(&lift, own);
    assert_eq!(lifted.step().unwrap().user_timeout, Some(UserTimeout::OFF));
    assert_eq!(lifted.withheld(), Some(Withheld::Silence));
    // With 20 s one lost probe ends any connection of these settings: nothing is made worse.
    let short = |c: &mut Connection| {
        own(c);
        let mut timers = timers_of(c);
        timers.user_timeout = UserTimeout::new(20_000).unwrap();
        c.settings = Observed::Known(timers);
    };
    assert!(verdict(&fill(), short).step().is_some());
}

#[test]
fn a_right_connection_in_trouble_is_left_alone() {
    let rule = rule(
        Mode::Override,
        Asked {
            user_timeout: AUTO,
            ..asked(60, 10, 6)
        },
    );
    let troubled = verdict(&rule, |c| {
        *c = sample::connection();
        let mut timers = timers_of(c);
        timers.user_timeout = UserTimeout::new(120_000).unwrap();
        c.settings = Observed::Known(timers);
        c.silence_ms = Some(90_000);
        c.retransmits = Some(4);
        c.unacked_bytes = Some(10);
        c.in_flight = Some(true);
    });
    assert_eq!(troubled, Verdict::Right(Right::Exact));
}

#[test]
fn without_jitter_a_jittered_idle_is_made_exact() {
    let rule = rule(Mode::Override, asked(60, 10, 6));
    let jittered = jittered(KeepIdle::new(60).unwrap(), sample::connection().id.cookie);
    assert_ne!(jittered.get(), 60, "a cookie that tells");
    let has = |c: &mut Connection| {
        *c = sample::connection();
        let mut timers = timers_of(c);
        timers.idle = Setting::Socket(jittered.get().into());
        c.settings = Observed::Known(timers);
    };
    let step = verdict(&rule, has);
    assert_eq!(step.step().unwrap().idle, KeepIdle::new(60).ok());
}

#[test]
fn options_go_in_an_order_that_arms_nothing_half_set() {
    let step = Step {
        keepalive: Some(true),
        idle: KeepIdle::new(60).ok(),
        interval: KeepIntvl::new(10).ok(),
        probes: KeepCnt::new(6).ok(),
        user_timeout: UserTimeout::new(120_000).ok(),
    };
    let last = step.order().last();
    assert_eq!(last, Some(SocketOption::KeepaliveOn));
    assert_eq!(step.order().count(), 5);
    let lifts = Step {
        keepalive: Some(false),
        user_timeout: Some(UserTimeout::OFF),
        ..step
    };
    let first: alloc::vec::Vec<SocketOption> = lifts.order().take(2).collect();
    assert_eq!(
        first,
        [
            SocketOption::KeepaliveOff,
            SocketOption::UserTimeout(UserTimeout::OFF)
        ]
    );
}

#[test]
fn words_are_told_apart() {
    let skips = [
        Skip::Local,
        Skip::Orphan,
        Skip::State(TcpState::TimeWait),
        Skip::Mptcp,
        Skip::Probing,
        Skip::UserTimeout,
        Skip::Defaults,
        Skip::Unseen(Unseen::Vanished),
        Skip::NoProcess,
    ];
    for (n, skip) in skips.iter().enumerate() {
        assert!(
            skips[..n]
                .iter()
                .all(|other| other.name() != skip.name() && other.why() != skip.why())
        );
    }
}
