//! No step makes a living connection die at fewer lost probes than a new one with the same settings
//! would: held against the machine.

use core::time::Duration;

use super::*;
use crate::Hz;
use crate::detection::strikes;
use crate::machine::{Action, KeepaliveMachine, Lateness, Segment, Sent, Setup};

/// A connection of which the machine's timers run.
struct Run {
    machine: KeepaliveMachine,
    heard: Duration,
    now: Duration,
}

/// What becomes of probes.
#[derive(Clone, Copy, PartialEq)]
enum Peer {
    Answers,
    Gone,
}

impl Run {
    fn new(timers: SocketTimers, defaults: &NetnsDefaults, hz: Hz, lateness: Lateness) -> Self {
        let setup = Setup {
            hz: Some(hz),
            ..Setup::new(timers, defaults.clone())
        };
        Self {
            machine: KeepaliveMachine::established(&setup, lateness, Duration::ZERO),
            heard: Duration::ZERO,
            now: Duration::ZERO,
        }
    }

    /// Until that time, or until the connection is given up. How many probes were sent, and whether
    /// it lives.
    fn until(&mut self, until: Duration, peer: Peer) -> (u32, bool) {
        let mut probes = 0;
        while let Some(at) = self.machine.next_timeout().filter(|at| *at <= until) {
            self.now = at;
            match self.machine.on_timer(at) {
                Action::Send(Sent::Probe { .. }) => {
                    probes += 1;
                    if peer == Peer::Answers {
                        self.machine.on_segment(at, Segment::Ack);
                        self.heard = at;
                    }
                }
                Action::GiveUp { .. } => return (probes, false),
                _ => {}
            }
        }
        self.now = until;
        (probes, true)
    }

    /// As it is read: in whole milliseconds, and the timer by when it is due, not by when it fires.
    fn read(
        &self,
        timers: SocketTimers,
        defaults: &NetnsDefaults,
        hz: Hz,
        lateness: Lateness,
    ) -> Connection {
        let mut connection = with(&sample::connection(), timers);
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap();
        connection.silence_ms = Some(ms(self.now - self.heard));
        let late = match (
            lateness,
            crate::detection::probe_period(&timers.effective(defaults)),
        ) {
            (Lateness::None, _) | (_, None) => Duration::ZERO,
            (_, Some(period)) => hz.lateness(period),
        };
        connection.timers.keepalive =
            Observed::Known(self.machine.next_timeout().map(|fires| Timer {
                kind: TimerKind::Keepalive,
                expires_ms: ms(fires.saturating_sub(late).saturating_sub(self.now)),
            }));
        connection
    }
}

fn lateness() -> impl Strategy<Value = Lateness> {
    prop_oneof![
        Just(Lateness::None),
        Just(Lateness::Most),
        (0_u64..1_000_000).prop_map(Lateness::Phase),
    ]
}

const FOREVER: Duration = Duration::from_secs(100_000_000);

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_096, ..ProptestConfig::default() })]

    #[test]
    fn as_many_as_a_new_connection_survives(
        timers in sockets(), mode in modes(), asked in askings(), lateness in lateness(),
        jitter in jitters(),
        // Often about as long as what is asked for.
        read_ms in prop_oneof![0_u64..20_000, 0_u64..200_000, 0_u64..2_000_000],
        delay_ms in prop_oneof![Just(0_u64), 0_u64..60_000],
        waited in 0_u64..=100,
        gone_meanwhile: bool, looks_again: bool,
        hz in prop::sample::select(alloc::vec![100, 250, 300, 1000]),
    ) {
        let hz = Hz::new(hz).unwrap();
        let namespace = sample::namespace();
        let defaults = namespace.defaults.as_ref().unwrap();
        let mut run = Run::new(timers, defaults, hz, lateness);
        let (_, lives) = run.until(Duration::from_millis(read_ms), Peer::Answers);
        prop_assert!(lives);
        let delay = Duration::from_millis(delay_ms);
        let reckoned = if looks_again { Duration::ZERO } else { delay };
        let terms = Terms { hz: Some(hz), jitter, delay: reckoned, asker: Asker::Unknown };
        let connection = run.read(timers, defaults, hz, lateness);
        let rule = rule(mode, asked);
        let verdict = decide(&rule, &connection, Some(&namespace), &terms);
        let Some(mut step) = verdict.step().copied() else {
            return Ok(());
        };
        let peer = if gone_meanwhile { Peer::Gone } else { Peer::Answers };
        let (meanwhile, lives) = run.until(run.now + delay * u32::try_from(waited).unwrap() / 100, peer);
        if !lives {
            return Ok(());
        }
        if looks_again {
            let mut pulse = Pulse::of(&run.read(timers, defaults, hz, lateness));
            pulse.unanswered_probes = u8::try_from(run.machine.unanswered()).ok();
            match settle(step, &rule, &timers.effective(defaults), &pulse, &terms) {
                Ok((settled, _)) => step = settled,
                Err(_) => return Ok(()),
            }
        }
        let after = step.applied(&timers).effective(defaults);
        prop_assert_eq!(after, step.in_force(&timers.effective(defaults)));
        if !after.keepalive || step.is_empty() {
            return Ok(());
        }
        for option in step.order() {
            run.machine.set(run.now, option);
        }
        let (lost, lives) = run.until(FOREVER, Peer::Gone);
        prop_assert!(!lives, "never given up");
        let lost = if gone_meanwhile { meanwhile + lost } else { lost };
        let new = strikes(&after, match lateness {
            Lateness::None => None,
            _ => Some(hz),
        });
        // Without a user timeout probes are counted, those before the step too.
        prop_assert!(lost >= new, "{} of {} lost probes, {:?}, {:?}", lost, new, step, connection);
        if asked.user_timeout == Some(UserTimeoutChoice::Auto)
            && step.user_timeout.is_some_and(|timeout| timeout != UserTimeout::OFF)
            && lateness == Lateness::None
            && after.idle.value >= after.interval.value
        {
            prop_assert!(i64::from(lost) >= after.probes.value, "automatic: all probes");
        }
    }
}

/// A timer that runs for the interval of before is as late as that one may be.
#[test]
fn a_timer_of_the_longer_interval_of_before_is_later() {
    let timers = SocketTimers {
        keepalive: true,
        idle: Setting::Socket(24),
        interval: Setting::Socket(42),
        probes: Setting::Socket(9),
        user_timeout: UserTimeout::OFF,
    };
    let asked = Asked {
        interval: KeepIntvl::new(24).ok(),
        user_timeout: Some(UserTimeoutChoice::Auto),
        ..Asked::default()
    };
    let namespace = sample::namespace();
    let defaults = namespace.defaults.as_ref().unwrap();
    let hz = Hz::new(100).unwrap();
    let mut run = Run::new(timers, defaults, hz, Lateness::Most);
    // The first probe was answered in this moment.
    run.until(Duration::from_millis(24_640), Peer::Answers);
    let connection = run.read(timers, defaults, hz, Lateness::Most);
    let terms = Terms {
        hz: Some(hz),
        ..exactly()
    };
    let rule = rule(Mode::Tighten, asked);
    let verdict = decide(&rule, &connection, Some(&namespace), &terms);
    assert_eq!(verdict.withheld(), Some(Withheld::Silence), "{verdict:?}");
}
