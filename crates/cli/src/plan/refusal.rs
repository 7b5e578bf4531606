//! A wish that cannot be met: what stands in the way, and what comes nearest.

use sockpulse_core::plan::{
    Broken, FEWEST_PROBES, FixedSetting, Impossible, Limit, Settings, Wish,
};
use sockpulse_core::{UserTimeoutChoice, human};

use super::args::PlanArgs;
use super::words;
use crate::error::{CommandError, ErrorKind};

/// The error, with the nearest plan as a command to run.
pub(super) fn of(args: &PlanArgs, wish: &Wish, impossible: &Impossible) -> CommandError {
    let nearest = impossible.nearest.as_deref();
    let text = sentence(wish, impossible.limit, nearest);
    let error = CommandError::new(ErrorKind::Usage, text);
    match nearest {
        Some((nearer, settings)) => {
            let command = words::command(args, nearer);
            error.hint(format!("nearest is {settings}: {command}"))
        }
        None => error.hint("no settings come near it: the program itself must send more often"),
    }
}

fn sentence(wish: &Wish, limit: Limit, nearest: Option<&(Wish, Settings)>) -> String {
    match limit {
        Limit::DetectWithin { asked, shortest } => {
            let asked = human(asked);
            let Some((_, settings)) = nearest else {
                return format!("a dead peer cannot be noticed within {asked}");
            };
            let sum = settings
                .detects_idle(wish.hz)
                .by_settings()
                .unwrap_or_default();
            format!(
                "a dead peer cannot be noticed within {asked}: {}, and the shortest then is \
                 {} + {} x {} = {}, at the latest {} by the timer wheel at HZ {}",
                why_so_many(wish, settings),
                human(settings.idle_duration()),
                settings.probes.get(),
                human(settings.interval_duration()),
                human(sum),
                words::at_the_latest(shortest),
                wish.hz.get()
            )
        }
        Limit::Setting { setting, broken } => {
            let why = broken.map_or("nothing else goes with it".into(), |broken| {
                short_of(wish, broken)
            });
            format!("{} cannot be kept: {why}", given(wish, setting))
        }
        Limit::Path { timeout } => format!(
            "the path forgets after {}: the probes that a loss of {} takes cannot all be sent \
             before nine tenths of that",
            human(timeout),
            words::percent(wish.loss)
        ),
        Limit::Loss { asked } => format!(
            "at a loss of {} living connections are given up: not even 127 probes, the most there \
             are, would do with what else is wanted",
            words::percent(asked)
        ),
        Limit::Outage { asked } => format!(
            "an outage of {} cannot be ridden out with what else is wanted: it has to end before \
             the last probe",
            human(asked)
        ),
        _ => "these wishes contradict each other: to give one of them up is not enough".into(),
    }
}

fn why_so_many(wish: &Wish, settings: &Settings) -> String {
    let probes = settings.probes.get();
    if wish.fixed.probes.is_some() {
        format!("{probes} probes are given")
    } else if u32::from(probes) == FEWEST_PROBES {
        format!("it takes {probes} probes, since one or two unanswered prove nothing")
    } else if wish.outage.is_some() {
        format!(
            "a loss of {} and an outage of {} take {probes} probes",
            words::percent(wish.loss),
            human(wish.outage())
        )
    } else {
        format!(
            "a loss of {} takes {probes} probes",
            words::percent(wish.loss)
        )
    }
}

fn given(wish: &Wish, setting: FixedSetting) -> String {
    let seconds = |s: u16| format!("{s} s");
    let fixed = &wish.fixed;
    let value = match setting {
        FixedSetting::Idle => fixed.idle.map(|idle| seconds(idle.get())),
        FixedSetting::Interval => fixed.interval.map(|interval| seconds(interval.get())),
        FixedSetting::Probes => fixed.probes.map(|probes| probes.get().to_string()),
        FixedSetting::UserTimeout => fixed.user_timeout.map(|choice| match choice {
            UserTimeoutChoice::Auto => "auto".into(),
            UserTimeoutChoice::Off => "off".into(),
            UserTimeoutChoice::Fixed(limit) => {
                human(limit.duration().unwrap_or_default()).to_string()
            }
        }),
    };
    format!("{} {}", setting.name(), value.unwrap_or_default())
}

fn short_of(wish: &Wish, broken: Broken) -> String {
    match broken {
        Broken::IntervalAboveIdle => {
            "the interval would be longer than idle, and would then be the time between probes"
                .into()
        }
        Broken::Late { latest } => format!(
            "a dead peer would be noticed only after {}",
            words::at_the_latest(latest)
        ),
        Broken::FewProbes { strikes } => format!(
            "{strikes} unanswered {} could be the end of a living connection; it takes \
             {FEWEST_PROBES} at least",
            if strikes == 1 { "probe" } else { "probes" }
        ),
        Broken::Forgotten { in_time } => format!(
            "{} would go out in the first {}, nine tenths of what the path remembers",
            match in_time {
                0 => "no probe".into(),
                1 => "a single probe".into(),
                many => format!("only {many} probes"),
            },
            wish.path
                .map_or_else(String::new, |path| human(path.safe()).to_string())
        ),
        Broken::Deadly { chance } => format!(
            "a living connection would be given up with a chance of {} a day",
            words::chance(chance)
        ),
        Broken::ShortOutage { survives } => format!(
            "living connections would survive an outage of {} only, not of {}",
            human(survives),
            human(wish.outage())
        ),
        Broken::NoUserTimeout => "the user timeout that goes with it would be longer than the \
                                  24 days that the kernel takes; --user-timeout off does without"
            .into(),
        Broken::Collides { timeout } => format!(
            "the first probe would go out just when a box with a timeout of {} forgets the \
             connection",
            human(timeout)
        ),
        _ => "nothing else goes with it".into(),
    }
}
