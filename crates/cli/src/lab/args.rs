//! The arguments of `lab`.

use std::time::Duration;

use clap::Args;
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl, UserTimeoutChoice};
use sockpulse_lab::{Fault, Scenario, Settings, Timeout, Trial, table};

use crate::error::{CommandError, ErrorKind};
use crate::settings::SettingsArgs;
use crate::values;

/// The name of what is no row of the table.
pub(super) const HOUR: &str = "lossy-hour";
/// All of them.
pub(super) const ALL: &str = "all";

/// `lab`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct LabArgs {
    /// Which scenario; `all` for every quick case of every one; without it they are listed.
    #[arg(value_name = "SCENARIO", value_parser = scenario)]
    pub(super) scenario: Option<String>,

    /// With `all`: the slow cases too, which take about 20 minutes.
    #[arg(long)]
    pub(super) slow: bool,

    /// What the connection sets on its socket instead of the scenario's first case.
    #[command(flatten)]
    pub(super) settings: SettingsArgs,

    /// How much the router loses, each way (random-loss, lossy-hour), like 30%.
    #[arg(long, value_name = "PERCENT", value_parser = permille, help_heading = "Fault")]
    pub(super) loss: Option<u16>,

    /// After how long a silence the middlebox forgets (nat-… and firewall-…), whole seconds.
    #[arg(long, value_name = "DURATION", value_parser = timeout, help_heading = "Fault")]
    pub(super) nat_timeout: Option<u16>,
}

pub(crate) const ABOUT: &str = "\
Break a connection in a network of its own, and hold what the kernel does against what was predicted.

A client, a router and a server are made as network namespaces, with real sockets between them. \
Something breaks, and the moment at which read() returns is measured and held against the window \
that the model of sockpulse gave before. Nothing of this machine's network is touched, and nothing is \
left behind. Needs root, or a kernel that lets users make user namespaces, and the Debian packages \
iproute2, nftables and conntrack.";

const EXAMPLES: &str = "\
Examples:
  sockpulse lab                                  the scenarios
  sockpulse lab vanish --idle 5s --interval 2s   a peer that vanishes
  sockpulse lab nat-silent --idle 6s --nat-timeout 4s
  sockpulse lab all                              every quick case, in two minutes
  sockpulse lab all --slow -o json               the evidence

Exit status: 0 when all was as predicted, 1 when something was not.";

/// Names are checked here, so that a slip is answered with the nearest.
fn scenario(text: &str) -> Result<String, String> {
    if text == ALL || text == HOUR || table::find(text).is_some() {
        return Ok(text.to_owned());
    }
    let names = table::all().map(|scenario| scenario.name);
    Err(match values::nearest(text, names.chain([ALL, HOUR])) {
        Some(near) => format!("there is no such scenario; there is {near}"),
        None => "there is no such scenario; `sockpulse lab` lists them".into(),
    })
}

fn permille(text: &str) -> Result<u16, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let parsed = match (whole.parse::<u16>(), tenth.len(), tenth.parse::<u16>()) {
        (Ok(whole), 1, Ok(tenth)) => whole
            .checked_mul(10)
            .and_then(|tenths| tenths.checked_add(tenth)),
        _ => None,
    };
    parsed
        .filter(|permille| *permille < 1_000)
        .ok_or_else(|| "a loss is 0% to 99.9%, with at most one digit behind the point".into())
}

fn timeout(text: &str) -> Result<u16, String> {
    let time = values::duration(text)?;
    let seconds = u16::try_from(time.as_secs())
        .ok()
        .filter(|seconds| *seconds > 0);
    seconds
        .filter(|seconds| Duration::from_secs((*seconds).into()) == time)
        .ok_or_else(|| "a middlebox's timeout is whole seconds, from 1s to 18h12m15s".into())
}

impl LabArgs {
    /// The scenario's first case, as far as nothing else was asked for.
    pub(super) fn trial(&self, scenario: &'static Scenario) -> Result<Trial, CommandError> {
        let settings = self.settings_on(scenario.cases[0].settings)?;
        let fault = self.fault_like(scenario.fault)?;
        Ok(Trial::with(scenario, settings).broken_by(fault))
    }

    /// Whether anything was asked for that one scenario alone can take.
    pub(super) fn asks_for_settings(&self) -> bool {
        self.settings != SettingsArgs::default() || self.nat_timeout.is_some()
    }

    fn settings_on(&self, first: Settings) -> Result<Settings, CommandError> {
        let asked = &self.settings;
        let mut settings = first;
        settings.keepalive |=
            asked.idle.is_some() || asked.interval.is_some() || asked.probes.is_some();
        settings.idle = asked.idle.map(KeepIdle::get).or(first.idle);
        settings.interval = asked.interval.map(KeepIntvl::get).or(first.interval);
        settings.probes = asked.probes.map(KeepCnt::get).or(first.probes);
        match asked.user_timeout {
            None => {}
            Some(UserTimeoutChoice::Off) => settings.user_timeout = Timeout(0),
            Some(UserTimeoutChoice::Fixed(timeout)) => {
                settings.user_timeout = Timeout(timeout.get())
            }
            Some(UserTimeoutChoice::Auto) => settings.user_timeout = auto(&settings)?,
        }
        Ok(settings)
    }

    fn fault_like(&self, fault: Fault) -> Result<Fault, CommandError> {
        let refuse = |option: &str| {
            let what = format!("{option} means nothing in this scenario");
            Err(CommandError::new(ErrorKind::Usage, what).hint("sockpulse lab"))
        };
        match (fault, self.loss, self.nat_timeout) {
            (_, None, None) => Ok(fault),
            (Fault::Loss { .. }, Some(permille), None) => Ok(Fault::Loss { permille }),
            (Fault::Forgetful { middlebox, .. }, None, Some(timeout_s)) => Ok(Fault::Forgetful {
                middlebox,
                timeout_s,
            }),
            (Fault::Loss { .. }, _, _) | (_, None, _) => refuse("--nat-timeout"),
            _ => refuse("--loss"),
        }
    }
}

/// `auto` needs all three; what is inherited in the lab are the kernel's own values.
fn auto(settings: &Settings) -> Result<Timeout, CommandError> {
    let usage = |error: sockpulse_core::settings::OutOfRange| {
        CommandError::new(ErrorKind::Usage, error.to_string())
    };
    let idle = KeepIdle::new(settings.idle.unwrap_or(7200).into()).map_err(usage)?;
    let interval = KeepIntvl::new(settings.interval.unwrap_or(75).into()).map_err(usage)?;
    let probes = KeepCnt::new(settings.probes.unwrap_or(9).into()).map_err(usage)?;
    let timeout = UserTimeoutChoice::Auto
        .beside(idle, interval, probes)
        .map_err(usage)?;
    Ok(Timeout(timeout.get()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        lab: LabArgs,
    }

    fn parsed(line: &str) -> Result<LabArgs, String> {
        Line::try_parse_from(format!("lab {line}").split(' '))
            .map(|line| line.lab)
            .map_err(|error| error.to_string())
    }

    fn trial(line: &str) -> Result<String, String> {
        let args = parsed(line)?;
        let scenario = table::find(args.scenario.as_deref().unwrap()).unwrap();
        let trial = args.trial(scenario).map_err(|error| error.to_string())?;
        Ok(format!("{}: {}", trial.title(), trial.fault))
    }

    #[test]
    fn what_is_not_said_is_the_first_cases() {
        let drops = "the router drops everything, both ways, without a word";
        for (line, expected) in [
            ("vanish", format!("vanish 2/1/3: {drops}")),
            ("vanish --idle 5s", format!("vanish 5/1/3: {drops}")),
            (
                "vanish --user-timeout auto",
                format!("vanish 2/1/3 user timeout 5s: {drops}"),
            ),
            (
                "nat-silent --nat-timeout 9s",
                "nat-silent 6/1/3: a NAT forgets it after 9s of silence and drops what it does not \
                 know"
                    .into(),
            ),
            (
                "random-loss --loss 12.5%",
                "random-loss 1/1/8: the router drops 12.5 % of the packets at random, each way".into(),
            ),
        ] {
            assert_eq!(trial(line).as_deref(), Ok(&*expected), "{line}");
        }
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (line, said) in [
            ("vanihs", "there is vanish"),
            ("nothing-like-it", "lists them"),
            ("random-loss --loss 100%", "0% to 99.9%"),
            ("random-loss --loss 1.25%", "one digit"),
            ("nat-silent --nat-timeout 1500ms", "whole seconds"),
            ("nat-silent --nat-timeout 0", "whole seconds"),
            ("vanish --loss 3%", "--loss means nothing"),
            ("random-loss --nat-timeout 3", "--nat-timeout means nothing"),
        ] {
            let error = trial(line).unwrap_err();
            assert!(error.contains(said), "{line}: {error}");
        }
    }
}
