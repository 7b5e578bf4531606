use super::*;
use crate::paths;
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeout, UserTimeoutChoice};
use crate::wheel::Hz;
use alloc::string::ToString;
use core::time::Duration;
use proptest::prelude::*;

fn wish() -> Wish {
    Wish {
        detect_within: None,
        path: None,
        loss: Loss::USUAL,
        outage: None,
        fixed: Fixed::default(),
        hz: Hz::new(250).unwrap(),
    }
}

fn within(seconds: u64) -> Wish {
    Wish {
        detect_within: Some(Duration::from_secs(seconds)),
        ..wish()
    }
}

fn through(seconds: u64) -> Wish {
    Wish {
        path: Some(Path::of(Duration::from_secs(seconds))),
        ..wish()
    }
}

fn fixed(idle: Option<u64>, interval: Option<u64>, probes: Option<u64>) -> Fixed {
    Fixed {
        idle: idle.map(|s| KeepIdle::new(s).unwrap()),
        interval: interval.map(|s| KeepIntvl::new(s).unwrap()),
        probes: probes.map(|n| KeepCnt::new(n).unwrap()),
        user_timeout: None,
    }
}

fn settings(idle: u16, interval: u16, probes: u32, choice: UserTimeoutChoice) -> Settings {
    Settings::new(
        KeepIdle::new(u64::from(idle)).unwrap(),
        KeepIntvl::new(u64::from(interval)).unwrap(),
        KeepCnt::new(u64::from(probes)).unwrap(),
        choice,
    )
    .unwrap()
}

#[test]
fn plans_as_people_would_make_them() {
    for (what, wish, chosen) in [
        ("10 s", within(10), "2/1/7"),
        ("30 s", within(30), "15/2/6"),
        ("1 min", within(60), "30/4/6"),
        ("2 min", within(120), "60/8/6"),
        ("3 min", within(180), "90/12/6"),
        ("5 min", within(300), "180/12/7"),
        ("10 min", within(600), "480/15/6"),
        ("1 h", within(3600), "3000/75/6"),
        ("2 h", within(7200), "5400/240/5"),
        ("path 10", through(10), "2/1/7"),
        ("path 60", through(60), "30/4/6"),
        ("path 240", through(240), "120/12/6"),
        ("path 350", through(350), "180/12/7"),
        ("path 900", through(900), "720/15/6"),
        ("path 3600", through(3600), "2700/75/6"),
    ] {
        assert_eq!(plan(&wish).unwrap().settings.to_string(), chosen, "{what}");
    }
}

#[test]
fn more_time_is_no_limit_where_less_would_do() {
    // In less time a shorter outage is usual; within 9 s there is a plan.
    let limit = UserTimeout::new(5_000).unwrap();
    let wish = Wish {
        detect_within: Some(Duration::from_millis(9_422)),
        loss: Loss::new(1e-9).unwrap(),
        fixed: Fixed {
            user_timeout: Some(UserTimeoutChoice::Fixed(limit)),
            ..Fixed::default()
        },
        ..wish()
    };
    let impossible = plan(&wish).unwrap_err();
    assert!(
        matches!(
            impossible.limit,
            Limit::Setting {
                setting: FixedSetting::UserTimeout,
                ..
            }
        ),
        "{impossible:?}"
    );
}

#[test]
fn what_comes_near_keeps_the_time() {
    let wish = Wish {
        loss: Loss::new(0.999).unwrap(),
        outage: Some(Duration::from_secs(86_400)),
        ..within(600)
    };
    let impossible = plan(&wish).unwrap_err();
    assert_eq!(impossible.limit, Limit::Several);
    let (near, found) = *impossible.nearest.unwrap();
    assert_eq!(near.detect_within, wish.detect_within);
    assert_eq!(plan(&near).unwrap().settings, found);
}

#[test]
fn a_user_timeout_that_cannot_be_is_said() {
    let far = Duration::from_secs(100 * 86_400);
    let wish = Wish {
        detect_within: Some(far),
        outage: Some(Duration::ZERO),
        fixed: fixed(Some(32_767), Some(32_767), Some(127)),
        ..wish()
    };
    let limit = Limit::Setting {
        setting: FixedSetting::Probes,
        broken: Some(Broken::NoUserTimeout),
    };
    assert_eq!(plan(&wish).unwrap_err().limit, limit);
}

#[test]
fn every_known_path_has_a_plan() {
    for known in paths::PATHS {
        for detect_within in [None, Some(Duration::from_secs(600))] {
            let wish = Wish {
                detect_within,
                path: Some(Path::from(known)),
                ..wish()
            };
            let plan = plan(&wish).unwrap();
            let ignored = plan
                .warnings
                .iter()
                .any(|warning| matches!(warning, Warning::ProbesIgnored(_)));
            assert_eq!(ignored, known.probe_counts == Some(false), "{}", known.name);
            if known.probe_counts != Some(false) {
                let latest = wish.hz.latest(plan.settings.period());
                assert!(latest < known.timeout, "{}: {}", known.name, plan.settings);
            }
        }
    }
}

#[test]
fn heavy_loss_takes_more_probes_than_the_kernel_has() {
    let loss = Loss::new(0.3).unwrap();
    let plan = plan(&Wish {
        loss,
        ..within(600)
    })
    .unwrap();
    assert!(plan.settings.probes.get() > 9, "{}", plan.settings);
    assert!(plan.false_death_per_day() < GOAL);
    let heavy = |warning: &Warning| warning.code() == "heavy-loss";
    assert!(plan.warnings.iter().any(heavy));
}

/// What was asked, what stands in the way, and what is offered.
#[test]
fn what_cannot_be_is_told_with_the_limit() {
    let minute = Duration::from_secs(60);
    let second = Wish {
        path: Some(Path::of(Duration::from_secs(350))),
        fixed: fixed(None, None, Some(9)),
        ..within(1)
    };
    let impossible = plan(&second).unwrap_err();
    let Limit::DetectWithin { asked, shortest } = impossible.limit else {
        panic!("{impossible:?}");
    };
    assert_eq!(asked, Duration::from_secs(1));
    assert_eq!(shortest, Duration::from_millis(10_320));
    let (nearest, settings) = *impossible.nearest.unwrap();
    assert_eq!(settings.to_string(), "1/1/9");
    assert_eq!(nearest.detect_within, Some(Duration::from_secs(11)));

    let limit = |wish: &Wish| plan(wish).unwrap_err().limit;
    let longer_interval = Wish {
        fixed: fixed(Some(10), Some(75), None),
        ..within(600)
    };
    assert_eq!(
        limit(&longer_interval),
        Limit::Setting {
            setting: FixedSetting::Interval,
            broken: Some(Broken::IntervalAboveIdle)
        }
    );
    let idle_beyond_the_path = Wish {
        fixed: fixed(Some(1_000), None, None),
        ..through(350)
    };
    assert_eq!(
        limit(&idle_beyond_the_path),
        Limit::Setting {
            setting: FixedSetting::Idle,
            broken: Some(Broken::Forgotten { in_time: 0 })
        }
    );
    let two_probes = Wish {
        fixed: fixed(None, None, Some(2)),
        ..within(600)
    };
    assert!(matches!(
        limit(&two_probes),
        Limit::Setting {
            setting: FixedSetting::Probes,
            broken: Some(Broken::FewProbes { .. })
        }
    ));
    let hopeless = Wish {
        loss: Loss::new(0.9).unwrap(),
        ..within(600)
    };
    assert!(matches!(limit(&hopeless), Limit::Loss { .. }));
    let short_path = through(3);
    assert!(matches!(limit(&short_path), Limit::Path { .. }));
    let no_path_at_all = through(1);
    assert_eq!(plan(&no_path_at_all).unwrap_err().nearest, None);
    let patient = Wish {
        outage: Some(minute * 60 * 24 * 365),
        ..wish()
    };
    let impossible = plan(&patient).unwrap_err();
    assert!(matches!(impossible.limit, Limit::Outage { .. }));
    assert!(impossible.nearest.is_some());
    let short_user_timeout = Wish {
        fixed: Fixed {
            user_timeout: Some(UserTimeoutChoice::Fixed(UserTimeout::new(2_000).unwrap())),
            ..Fixed::default()
        },
        ..within(600)
    };
    assert!(matches!(
        limit(&short_user_timeout),
        Limit::Setting {
            setting: FixedSetting::UserTimeout,
            ..
        }
    ));
}

#[test]
fn warnings_are_those_that_are_true() {
    let codes = |wish: &Wish| -> alloc::vec::Vec<&'static str> {
        let plan = plan(wish).unwrap();
        plan.warnings.iter().map(Warning::code).collect()
    };
    let of_path = |name: &str| Wish {
        path: Some(Path::from(&paths::find(name).unwrap())),
        ..within(600)
    };
    let timeout = ["zero-window", "open-connections"];
    let with = |first: &[&'static str]| [first, &timeout].concat();
    assert_eq!(codes(&within(120)), with(&[]));
    assert_eq!(codes(&within(600)), with(&["path-unknown"]));
    assert_eq!(codes(&within(10)), with(&["chatty"]));
    assert_eq!(
        codes(&of_path("aws-classic-lb")),
        with(&["probes-ignored", "ends-tcp"])
    );
    assert_eq!(codes(&of_path("aws-nlb")), with(&["resets-forgotten"]));
    assert_eq!(codes(&of_path("azure-lb")), with(&["silent-forgotten"]));
    assert_eq!(codes(&through(350)), with(&["probes-unproven"]));
    let off = Fixed {
        user_timeout: Some(UserTimeoutChoice::Off),
        ..fixed(Some(300), None, None)
    };
    let off = Wish {
        fixed: off,
        ..within(600)
    };
    assert_eq!(codes(&off), ["path-unknown", "collides", "data-in-flight"]);
}

/// Wishes of all kinds, given settings and odd tick rates among them.
fn wishes(longest: u64) -> impl Strategy<Value = Wish> {
    let seconds = move || (1..=longest).prop_map(Duration::from_secs);
    let setting = move || prop::option::weighted(0.2, 1..=longest.min(32_767));
    let choice = prop::option::weighted(
        0.3,
        prop_oneof![Just(UserTimeoutChoice::Auto), Just(UserTimeoutChoice::Off)],
    );
    (
        prop::option::weighted(0.8, seconds()),
        prop::option::weighted(0.5, seconds()),
        prop_oneof![Just(0.0), Just(0.001), Just(0.01), Just(0.3), 0.0..0.6],
        prop::option::weighted(0.3, seconds()),
        (setting(), setting(), prop::option::weighted(0.2, 3..=20u64)),
        choice,
        prop::sample::select(alloc::vec![100, 250, 300, 1000]),
    )
        .prop_map(
            |(target, path, loss, outage, (idle, interval, probes), choice, hz)| Wish {
                detect_within: target,
                path: path.map(Path::of),
                loss: Loss::new(loss).unwrap(),
                outage,
                fixed: Fixed {
                    user_timeout: choice,
                    ..fixed(idle, interval, probes)
                },
                hz: Hz::new(hz).unwrap(),
            },
        )
}

/// The promises, put down once more from their definitions.
fn keeps_its_promises(wish: &Wish, plan: &Plan) -> Result<(), TestCaseError> {
    let (chosen, hz) = (plan.settings, wish.hz);
    let (idle, interval) = (chosen.idle_duration(), chosen.interval_duration());
    let probes = u32::from(chosen.probes.get());
    prop_assert!(interval <= idle);
    let noticed = crate::detection::idle(&chosen.timers(), Some(hz));
    if let Some(target) = wish.detect_within {
        prop_assert!(noticed.latest().unwrap() <= target);
    }
    let strikes = chosen.strikes(hz);
    prop_assert!((3..=probes).contains(&strikes));
    let q = 1.0 - (1.0 - wish.loss.get()).powi(2);
    let death = q.powi(i32::try_from(strikes).unwrap());
    let mean: f64 = (1..=strikes)
        .map(|k| q.powi(i32::try_from(k).unwrap()))
        .sum();
    let cycle = idle.as_secs_f64() + interval.as_secs_f64() * mean;
    prop_assert!(86_400.0 / cycle * death < 1.001e-6);
    prop_assert!(interval * (strikes - 1) >= wish.outage());
    if let Some(path) = wish.path {
        let last = hz.latest(idle) + hz.latest(interval);
        prop_assert!(last.as_secs_f64() <= 0.9 * path.timeout.as_secs_f64() + 1e-9);
    }
    if wish.fixed.idle.is_none() {
        prop_assert_ne!(chosen.idle.get(), 300);
    }
    for (given, value) in [
        (
            wish.fixed.idle.map(|i| u64::from(i.get())),
            u64::from(chosen.idle.get()),
        ),
        (
            wish.fixed.interval.map(|i| u64::from(i.get())),
            u64::from(chosen.interval.get()),
        ),
        (
            wish.fixed.probes.map(|n| u64::from(n.get())),
            u64::from(chosen.probes.get()),
        ),
    ] {
        prop_assert!(given.is_none_or(|given| given == value));
    }
    Ok(())
}

/// Whether any settings at all meet the wish, by trying every one.
fn any_serves(wish: &Wish, longest: u16) -> bool {
    (1..=longest).any(|idle| {
        (1..=idle).any(|interval| (1..=127).any(|probes| serves(wish, idle, interval, probes)))
    })
}

fn serves(wish: &Wish, idle: u16, interval: u16, probes: u32) -> bool {
    let is = |given: Option<u16>, value: u16| given.is_none_or(|given| given == value);
    is(wish.fixed.idle.map(KeepIdle::get), idle)
        && is(wish.fixed.interval.map(KeepIntvl::get), interval)
        && wish
            .fixed
            .probes
            .is_none_or(|given| u32::from(given.get()) == probes)
        && wish
            .broken(&settings(idle, interval, probes, wish.user_timeout()))
            .is_none()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn plans_keep_their_promises(wish in wishes(20_000)) {
        if let Ok(plan) = plan(&wish) {
            keeps_its_promises(&wish, &plan)?;
        }
    }

    #[test]
    fn no_round_numbers_cost_less(wish in wishes(4_000)) {
        let Ok(plan) = plan(&wish) else { return Ok(()) };
        let chosen = plan.settings;
        let probes = u32::from(chosen.probes.get());
        for idle in ROUND.iter().copied().filter(|idle| *idle >= chosen.idle.get()) {
            // For a longer period up to nine probes would do, for the same one only fewer.
            let most = if idle > chosen.idle.get() { probes.max(9) } else { probes };
            for interval in ROUND.iter().copied().filter(|interval| *interval <= idle) {
                for fewer in 1..=most {
                    let better = idle > chosen.idle.get()
                        || fewer < probes
                        || interval < chosen.interval.get();
                    if better && wish.fixed.probes.is_none() && probes <= 9 {
                        prop_assert!(
                            !serves(&wish, idle, interval, fewer),
                            "{idle}/{interval}/{fewer} costs less than {chosen}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_called_impossible_is(wish in wishes(14)) {
        let longest = wish.detect_within.map_or(14, |target| target.as_secs());
        let longest = u16::try_from(longest).unwrap();
        match plan(&wish) {
            Ok(plan) => keeps_its_promises(&wish, &plan)?,
            Err(_) => prop_assert!(!any_serves(&wish, longest.max(14))),
        }
    }

    #[test]
    fn what_is_nearest_is_possible_and_no_farther_than_it_must(wish in wishes(2_000)) {
        let Err(impossible) = plan(&wish) else { return Ok(()) };
        let Some((nearer, settings)) = impossible.nearest.map(|nearest| *nearest) else {
            return Ok(());
        };
        let found = plan(&nearer);
        prop_assert_eq!(found.as_ref().map(|plan| plan.settings), Ok(settings));
        keeps_its_promises(&nearer, &found.unwrap())?;
        if let Limit::DetectWithin { shortest, .. } = impossible.limit {
            let target = nearer.detect_within.unwrap();
            prop_assert!(shortest <= target);
            let shorter = Wish {
                detect_within: Some(target - Duration::from_secs(1)),
                ..nearer
            };
            prop_assert!(plan(&shorter).is_err());
        }
    }

    #[test]
    fn any_wish_is_answered(
        wish in wishes(100_000),
        user_timeout in prop::option::of(1u64..=2_147_483_647),
    ) {
        let user_timeout = user_timeout.map(|ms| UserTimeoutChoice::Fixed(UserTimeout::new(ms).unwrap()));
        let fixed = Fixed {
            user_timeout: user_timeout.or(wish.fixed.user_timeout),
            idle: wish.fixed.idle,
            interval: wish.fixed.interval,
            probes: wish.fixed.probes,
        };
        let wish = Wish { fixed, ..wish };
        if let Ok(plan) = plan(&wish) {
            prop_assert_eq!(wish.broken(&plan.settings), None);
        }
    }
}
