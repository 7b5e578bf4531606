//! What holds for any socket, rule and namespace.

use super::*;
use crate::connection::{Cookie, TcpState};
use crate::settings::{EffectiveTimers, Origin};

prop_compose! {
    fn connections()(
        timers in sockets(),
        cookie in 1_u64..1_000_000,
        silence_ms in prop_oneof![
            Just(None), Just(Some(0)), (0..60_000_u64).prop_map(Some), (0..900_000_u64).prop_map(Some)
        ],
        expires_ms in prop::option::of(0..200_000_u64),
        state in prop_oneof![
            Just(TcpState::Established), Just(TcpState::Established), Just(TcpState::Established),
            Just(TcpState::Listen), prop::sample::select(TcpState::ALL.to_vec()),
        ],
        unanswered in prop_oneof![Just(Some(0)), Just(Some(0)), Just(Some(0)), Just(Some(1)), Just(None)],
        unacked in prop_oneof![Just(Some(0)), Just(Some(0)), Just(Some(9)), Just(None)],
        retransmits in prop_oneof![Just(Some(0)), Just(Some(0)), Just(Some(2)), Just(None)],
        in_flight in prop::option::of(any::<bool>()),
    ) -> Connection {
        let mut connection = with(&sample::connection(), timers);
        connection.id.cookie = Cookie(cookie);
        connection.state = state;
        connection.silence_ms = silence_ms;
        connection.timers.keepalive = Observed::Known(expires_ms.filter(|_| timers.keepalive).map(
            |expires_ms| Timer { kind: TimerKind::Keepalive, expires_ms }
        ));
        connection.unanswered_probes = unanswered;
        connection.unacked_bytes = unacked;
        connection.retransmits = retransmits;
        connection.in_flight = in_flight;
        connection
    }
}

prop_compose! {
    fn terms()(
        jitter in jitters(),
        hz in prop_oneof![Just(None), Just(crate::Hz::new(250))],
        delay_ms in prop_oneof![Just(0), 0..30_000_u64],
    ) -> Terms {
        let delay = core::time::Duration::from_millis(delay_ms);
        Terms { hz, jitter, delay, asker: Asker::Unknown }
    }
}

/// As a number that grows with the time that it stands for: below zero a default means never.
fn slowness(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn user_timeout(timers: &EffectiveTimers) -> u64 {
    match timers.user_timeout {
        UserTimeout::OFF => u64::MAX,
        timeout => timeout.get().into(),
    }
}

fn each(timers: &EffectiveTimers) -> [u64; 4] {
    [
        slowness(timers.idle.value),
        slowness(timers.interval.value),
        slowness(timers.probes.value),
        user_timeout(timers),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn a_second_run_plans_nothing(
        connection in connections(), namespace in namespaces(), mode in modes(), asked in askings(),
        terms in terms(), later in terms(),
    ) {
        let rule = rule(mode, asked);
        let verdict = decide(&rule, &connection, Some(&namespace), &terms);
        let Some(step) = verdict.step() else {
            return Ok(());
        };
        prop_assert!(!step.is_empty());
        let defaults = namespace.defaults.as_ref().unwrap();
        let after = after(&connection, step, defaults);
        let again = decide(&rule, &after, Some(&namespace), &terms);
        if !terms.delay.is_zero() && verdict.withheld().is_some() {
            // It did not take as long as feared, so that what was withheld may have its room.
            let late = again.step().copied().unwrap_or_default();
            prop_assert_eq!(Step { user_timeout: None, ..late }, Step::default());
            return Ok(());
        }
        prop_assert_eq!(again.step(), None, "{:?}", again);
        prop_assert!(!matches!(again, Verdict::Skip(_)), "{:?}", again);
        // What was withheld is still said, and nothing else is.
        let ours = Terms { asker: Asker::Us, ..terms };
        let again = decide(&rule, &after, Some(&namespace), &ours);
        prop_assert_eq!(again.step(), None, "{:?}", again);
        prop_assert_eq!(again.withheld().is_some(), verdict.withheld().is_some());
        // Whoever asks for no jitter later is given it; the other way round nothing changes.
        let later = Terms { jitter: Jitter::Eighth, ..later };
        let again = decide(&rule, &after, Some(&namespace), &later);
        if verdict.withheld().is_none() {
            prop_assert_eq!(again.step(), None, "{:?}", again);
        }
    }

    #[test]
    fn what_is_read_by_getsockopt_plans_nothing_either(
        timers in sockets(), namespace in namespaces(), mode in modes(), asked in askings(),
        jitter in jitters(),
    ) {
        let rule = rule(mode, asked);
        let terms = Terms { jitter, ..Terms::default() };
        let connection = with(&sample::connection(), timers);
        let verdict = decide(&rule, &connection, Some(&namespace), &terms);
        let Some(step) = verdict.step() else {
            return Ok(());
        };
        let defaults = namespace.defaults.as_ref().unwrap();
        let mut after = after(&connection, step, defaults);
        let mut timers = timers_of(&after);
        let in_force = timers.effective(defaults);
        let either = |value: i64| u32::try_from(value).map(Setting::Either);
        // Defaults below zero are told as they are, and no socket holds such a value.
        timers.idle = either(in_force.idle.value).unwrap_or(timers.idle);
        timers.interval = either(in_force.interval.value).unwrap_or(timers.interval);
        timers.probes = either(in_force.probes.value).unwrap_or(timers.probes);
        after.settings = Observed::Known(timers);
        let again = decide(&rule, &after, Some(&namespace), &terms);
        // A value that nothing was asked of may equal the default, and so be taken for inherited:
        // it is not asked for then either.
        prop_assert_eq!(again.step(), None, "{:?} then {:?}", verdict, again);
    }

    #[test]
    fn fill_changes_nothing_that_the_program_asked_for(
        connection in connections(), namespace in namespaces(), asked in askings(), terms in terms(),
    ) {
        let verdict = decide(&rule(Mode::Fill, asked), &connection, Some(&namespace), &terms);
        let Some(step) = verdict.step() else {
            return Ok(());
        };
        let timers = timers_of(&connection);
        let defaults = namespace.defaults.as_ref().unwrap();
        let own = |setting, default| {
            matches!(setting, Setting::Socket(value) if i64::from(value) != default)
        };
        prop_assert!(step.keepalive != Some(false));
        prop_assert!(step.idle.is_none() || !own(timers.idle, defaults.idle_s));
        prop_assert!(step.interval.is_none() || !own(timers.interval, defaults.interval_s));
        prop_assert!(step.probes.is_none() || !own(timers.probes, defaults.probes));
        prop_assert!(step.user_timeout.is_none() || timers.user_timeout == UserTimeout::OFF);
        if timers.keepalive {
            // Only what had to wait when we switched it on.
            prop_assert_eq!(step, &Step { user_timeout: step.user_timeout, ..Step::default() });
        }
    }

    #[test]
    fn fill_after_an_undoing_is_as_before(
        connection in connections(), namespace in namespaces(), asked in askings(), terms in terms(),
    ) {
        let rule = rule(Mode::Fill, asked);
        let verdict = decide(&rule, &connection, Some(&namespace), &terms);
        let Some(step) = verdict.step() else {
            return Ok(());
        };
        let defaults = namespace.defaults.as_ref().unwrap();
        let timers = timers_of(&connection);
        let before = timers.effective(defaults);
        let done = step.applied(&timers);
        let TakeBack::Step { step: back, .. } =
            take_back(step, &before, &done.effective(defaults)) else
        {
            return Ok(());
        };
        let undone = back.applied(&done);
        if each(&undone.effective(defaults)) != each(&before) {
            // No option takes such a default.
            return Ok(());
        }
        let again = decide(&rule, &with(&connection, undone), Some(&namespace), &terms);
        let again = again.step().map(|step| step.applied(&undone).effective(defaults));
        prop_assert_eq!(again.map(|timers| each(&timers)), Some(each(&done.effective(defaults))));
    }

    #[test]
    fn tighten_makes_nothing_slower_and_nothing_stays_slower_than_asked(
        connection in connections(), namespace in namespaces(), asked in askings(), terms in terms(),
    ) {
        let verdict = decide(&rule(Mode::Tighten, asked), &connection, Some(&namespace), &terms);
        let defaults = namespace.defaults.as_ref().unwrap();
        let timers = timers_of(&connection);
        let before = timers.effective(defaults);
        let step = match &verdict {
            Verdict::Skip(_) => return Ok(()),
            verdict => verdict.step().copied().unwrap_or_default(),
        };
        let after = step.applied(&timers).effective(defaults);
        prop_assert!(after.keepalive);
        for (after, before) in each(&after).into_iter().zip(each(&before)) {
            prop_assert!(after <= before, "{:?}", step);
        }
        let most = |asked: Option<u64>| asked.unwrap_or(u64::MAX);
        prop_assert!(slowness(after.idle.value) <= most(asked.idle.map(|v| v.get().into())));
        prop_assert!(slowness(after.interval.value) <= most(asked.interval.map(|v| v.get().into())));
        prop_assert!(slowness(after.probes.value) <= most(asked.probes.map(|v| v.get().into())));
        if let Some(UserTimeoutChoice::Fixed(limit)) = asked.user_timeout
            && limit != UserTimeout::OFF && verdict.withheld().is_none()
        {
            prop_assert!(user_timeout(&after) <= u64::from(limit.get()));
        }
    }

    #[test]
    fn override_is_exact_and_the_sockets_own(
        connection in connections(), namespace in namespaces(), asked in askings(), terms in terms(),
    ) {
        let verdict = decide(&rule(Mode::Override, asked), &connection, Some(&namespace), &terms);
        let step = match &verdict {
            Verdict::Skip(_) => return Ok(()),
            verdict => verdict.step().copied().unwrap_or_default(),
        };
        let defaults = namespace.defaults.as_ref().unwrap();
        let after = step.applied(&timers_of(&connection)).effective(defaults);
        let holds = |now: crate::Effective, asked: i64| {
            now.value == asked && now.origin != Some(Origin::Namespace)
        };
        prop_assert!(after.keepalive);
        if let Some(idle) = asked.idle {
            let jittered = jittered(idle, connection.id.cookie);
            let jitters = terms.jitter == Jitter::Eighth && connection.state != TcpState::Listen;
            prop_assert!(
                holds(after.idle, idle.get().into())
                    || (jitters && holds(after.idle, jittered.get().into()))
            );
        }
        prop_assert!(asked.interval.is_none_or(|time| holds(after.interval, time.get().into())));
        prop_assert!(asked.probes.is_none_or(|count| holds(after.probes, count.get().into())));
        if let Some(choice) = asked.user_timeout && verdict.withheld().is_none() {
            let wanted = match choice {
                UserTimeoutChoice::Off => 0,
                UserTimeoutChoice::Fixed(limit) => limit.get().into(),
                UserTimeoutChoice::Auto => {
                    (after.idle.value + after.interval.value * after.probes.value) * 1_000
                }
            };
            prop_assert_eq!(i64::from(after.user_timeout.get()), wanted);
        }
    }

    #[test]
    fn off_switches_off_and_touches_nothing_else(
        connection in connections(), namespace in namespaces(), asked in askings(), terms in terms(),
    ) {
        let verdict = decide(&rule(Mode::Off, asked), &connection, Some(&namespace), &terms);
        let on = timers_of(&connection).keepalive;
        match verdict {
            Verdict::Change { step, withheld: None } => {
                prop_assert!(on);
                prop_assert_eq!(step, Step { keepalive: Some(false), ..Step::default() });
            }
            Verdict::Right(Right::Off) => prop_assert!(!on),
            Verdict::Skip(Skip::State(_)) => {}
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn what_is_taken_back_is_as_it_was(
        connection in connections(), namespace in namespaces(), mode in modes(), asked in askings(),
        terms in terms(),
    ) {
        let verdict = decide(&rule(mode, asked), &connection, Some(&namespace), &terms);
        let Some(step) = verdict.step() else {
            return Ok(());
        };
        let defaults = namespace.defaults.as_ref().unwrap();
        let timers = timers_of(&connection);
        let before = timers.effective(defaults);
        let done = step.applied(&timers);
        let TakeBack::Step { step: back, frozen } = take_back(step, &before, &done.effective(defaults)) else {
            // Only what was explicit already: override makes the same value the socket's own.
            prop_assert!(step.keepalive.is_none());
            return Ok(());
        };
        let now = back.applied(&done).effective(defaults);
        prop_assert_eq!(now.keepalive, before.keepalive);
        if !frozen.user_timeout {
            prop_assert_eq!(now.user_timeout, before.user_timeout);
        }
        if KeepIdle::new(slowness(before.idle.value)).is_ok() {
            prop_assert_eq!(now.idle.value, before.idle.value);
        }
        prop_assert_eq!(take_back(step, &before, &now), TakeBack::Nothing);
        let other = Step { keepalive: Some(!done.keepalive), ..Step::default() }.applied(&done);
        if step.keepalive.is_some() {
            let other = take_back(step, &before, &other.effective(defaults));
            prop_assert!(!matches!(other, TakeBack::Step { .. }), "someone else switched it");
        }
    }
}
