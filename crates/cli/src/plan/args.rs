//! The command line of `plan`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use sockpulse_core::paths::{self, PATHS, PathTimeout};
use sockpulse_core::plan::{Fixed, Loss, Path};
use sockpulse_core::{Hz, human};

use crate::settings::SettingsArgs;
use crate::software::Software;
use crate::values;

/// `plan`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PlanArgs {
    /// Notice a peer that dies while the connection is idle within this time, however late the
    /// kernel's timers are; 10m where nothing else decides
    #[arg(long, value_name = "DURATION", value_parser = values::target, help_heading = "Wishes")]
    pub(crate) detect_within: Option<Duration>,

    /// Keep idle connections open through a box that forgets them after this time
    #[arg(
        long, value_name = "DURATION", value_parser = values::target, conflicts_with = "path",
        help_heading = "Wishes"
    )]
    pub(crate) path_timeout: Option<Duration>,

    /// The same by the name of the box, like aws-nlb; `list` prints those known
    #[arg(
        long, value_name = "NAME", value_parser = path(), hide_possible_values = true,
        help_heading = "Wishes"
    )]
    pub(crate) path: Option<PathChoice>,

    /// Print the idle timeouts that are known, with their sources
    #[arg(long, help_heading = "Wishes")]
    pub(crate) paths: bool,

    /// How many packets are lost in each direction, like 1% or 0.01
    #[arg(
        long, value_name = "CHANCE", value_parser = loss, default_value = "1%",
        allow_hyphen_values = true, help_heading = "Wishes"
    )]
    pub(crate) loss: Loss,

    /// An outage that living connections are to survive; without, 60s, but no more than a third of
    /// the time that the rest leaves
    #[arg(long, value_name = "DURATION", value_parser = values::duration, help_heading = "Wishes")]
    pub(crate) outage: Option<Duration>,

    /// Show the cost of so many connections too
    #[arg(long, value_name = "N", value_parser = connections, help_heading = "Wishes")]
    pub(crate) connections: Option<u64>,

    /// The tick rate of the kernel that will run it (CONFIG_HZ); without, this machine's
    #[arg(long, value_name = "N", value_parser = hz, help_heading = "Wishes")]
    pub(crate) hz: Option<Hz>,

    /// Settings that are not to be chosen.
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    /// Print the settings as configuration of this software
    #[arg(
        long = "for",
        value_name = "SOFTWARE,…",
        value_delimiter = ',',
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) software: Vec<Software>,

    /// Draw cost against detection time, as SVG into this file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) curve: Option<PathBuf>,
}

/// `plan`, in full.
pub(crate) const ABOUT: &str = "\
Chooses settings that notice a dead peer in time and keep the path open, at the least cost.

Of all settings that notice a dead peer within --detect-within, send their probes before the path \
forgets the connection, ride out an outage, and give up a living connection less than once in a \
million days at this loss, those with the longest time between probes are taken, in round numbers. \
Where there are none, it says what stands in the way and what comes nearest.

It needs no privilege and reads no connection.";

/// Examples, and the software that `--for` knows.
const EXAMPLES: &str = "\
Examples:
  sockpulse plan --detect-within 5m
  sockpulse plan --path aws-nlb --connections 70000
  sockpulse plan --path list
  sockpulse plan --detect-within 2m --loss 5% --outage 90s
  sockpulse plan --detect-within 5m --for redis,sysctl
  sockpulse plan --idle 60s --detect-within 3m --curve cost.svg

Software of --for:
  sysctl systemd redis postgresql libpq mariadb mysql nginx haproxy envoy
  kubernetes docker openssh c rust go python java node";

/// A value of `--path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PathChoice {
    /// Print those known.
    List,
    /// One of them.
    Known(PathTimeout),
}

impl PlanArgs {
    /// What lies between the ends.
    pub(super) fn between(&self) -> Option<Path> {
        match (self.path, self.path_timeout) {
            (Some(PathChoice::Known(known)), _) => Some(Path::from(&known)),
            (_, Some(timeout)) => Some(Path::of(timeout)),
            _ => None,
        }
    }

    /// Whether only the known paths are wanted.
    pub(super) fn lists_paths(&self) -> bool {
        self.paths || self.path == Some(PathChoice::List)
    }

    /// The settings that are given.
    pub(super) fn fixed(&self) -> Fixed {
        Fixed {
            idle: self.settings.idle,
            interval: self.settings.interval,
            probes: self.settings.probes,
            user_timeout: self.settings.user_timeout,
        }
    }
}

fn path() -> impl TypedValueParser<Value = PathChoice> {
    let known = PATHS.iter().map(|path| {
        let timeout = human(path.timeout);
        PossibleValue::new(path.name)
            .aliases(path.aliases)
            .help(format!("{}: {timeout}", path.title))
    });
    let list = PossibleValue::new("list").help("print those known");
    PossibleValuesParser::new(known.chain([list])).try_map(|name| match paths::find(&name) {
        Some(known) => Ok(PathChoice::Known(known)),
        None if name == "list" => Ok(PathChoice::List),
        None => Err("not known"),
    })
}

fn loss(text: &str) -> Result<Loss, String> {
    let (number, scale) = match text.strip_suffix('%') {
        Some(number) => (number.trim_end(), 100.0),
        None => (text, 1.0),
    };
    let chance: f64 = number
        .parse()
        .map_err(|_| "a loss is written 1% or 0.01".to_owned())?;
    Loss::new(chance / scale)
        .ok_or_else(|| "a loss is at least 0% and below 100%: write 1% or 0.01".into())
}

fn connections(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) => Err("no connection costs nothing: name at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("a number of connections is written 70000".into()),
    }
}

fn hz(text: &str) -> Result<Hz, String> {
    let hz = text.parse().ok().and_then(Hz::new);
    hz.ok_or_else(|| "a tick rate is between 1 and 10000, mostly 100, 250, 300 or 1000".into())
}
