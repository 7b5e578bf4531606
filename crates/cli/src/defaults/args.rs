//! The words of `defaults` and of `undo`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use sockpulse_core::change::Wish;
use sockpulse_core::persisted::Sysctl;

use crate::journal;
use crate::options::{NetnsChoice, OutputFormat};
use crate::values;

/// `defaults`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    subcommand_help_heading = "Commands",
    after_long_help = EXAMPLES
)]
pub(crate) struct DefaultsArgs {
    /// What to do; `get` without.
    #[command(subcommand)]
    pub(crate) action: Option<DefaultsCommand>,
    /// Of `get`, the default.
    #[command(flatten)]
    pub(crate) get: GetArgs,
}

pub(crate) const ABOUT: &str = "\
The kernel's defaults of keepalive: see, set and put back, now and at boot.

Every network namespace has three of its own: how long a connection is silent before it is probed \
(idle), how long after a probe the next one follows (interval), and after how many unanswered ones \
the connection is given up (probes). They reach only connections whose program asked for keepalive \
and set no values of its own. Without a command: get.";

const EXAMPLES: &str = "\
Examples:
  sockpulse defaults                 every namespace, and what is set at boot
  sockpulse defaults get --impact    whom the defaults reach
  sockpulse defaults set --idle 2m --interval 20s --probes 5 --persist
  sockpulse defaults set --idle 2m --netns all --dry-run
  sockpulse defaults set --rearm     timers that were armed before follow now
  sockpulse defaults reset           as it was before our first change";

/// The commands below `defaults`.
#[derive(Debug, Subcommand)]
pub(crate) enum DefaultsCommand {
    /// The values of each namespace, what is set at boot, and where both differ.
    Get(GetArgs),
    /// Set them, now and with --persist also at boot.
    Set(SetArgs),
    /// Put back what was there before our first change.
    Reset(ResetArgs),
}

/// `defaults get`.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Reading")]
pub(crate) struct GetArgs {
    /// Network namespace: all that may be entered (the default), our own, a name as it is shown (of
    /// ip netns, a container, a unit, host), or that of a process.
    #[arg(long, value_name = "all|self|NAME|PID", value_parser = values::netns)]
    pub(crate) netns: Vec<NetnsChoice>,

    /// Count the connections that the defaults reach, and those that they do not.
    #[arg(long)]
    pub(crate) impact: bool,
}

/// `defaults set`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  sockpulse defaults set --idle 60 --interval 60 --probes 20 --persist
  sockpulse defaults set --idle 2m --netns 4711 --rearm --spread 5m

Re-arming switches SO_KEEPALIVE off and on again on each connection that waits for a timer armed before \
the default was lowered; between the two calls lie some microseconds. Left out are local connections, \
those without a process, and those that are being probed.")]
pub(crate) struct SetArgs {
    /// Silence before the first probe (net.ipv4.tcp_keepalive_time).
    #[arg(
        long, value_name = "DURATION", value_parser = idle, allow_negative_numbers = true,
        help_heading = "Settings"
    )]
    pub(crate) idle: Option<i64>,

    /// Time between probes (net.ipv4.tcp_keepalive_intvl).
    #[arg(
        long, value_name = "DURATION", value_parser = interval, allow_negative_numbers = true,
        help_heading = "Settings"
    )]
    pub(crate) interval: Option<i64>,

    /// Unanswered probes before a connection is given up (net.ipv4.tcp_keepalive_probes).
    #[arg(
        long, value_name = "N", value_parser = probes, allow_negative_numbers = true,
        help_heading = "Settings"
    )]
    pub(crate) probes: Option<i64>,

    /// Network namespace: our own (the default), all that may be entered, a name as it is shown (of
    /// ip netns, a container, a unit, host), or that of a process.
    #[arg(
        long, value_name = "all|self|NAME|PID", value_parser = values::netns, help_heading = "Where"
    )]
    pub(crate) netns: Vec<NetnsChoice>,

    /// Also write a file of our own under /etc/sysctl.d, which is read at boot.
    #[arg(long, help_heading = "Where")]
    pub(crate) persist: bool,

    /// Write that file and nothing else: what holds now stays until the next boot.
    #[arg(long, help_heading = "Where", conflicts_with_all = ["netns", "rearm"])]
    pub(crate) persist_only: bool,

    /// Afterwards arm the timers anew that were armed before the default was lowered.
    #[arg(long, help_heading = "Connections that are open")]
    pub(crate) rearm: bool,

    /// Re-arm over this time, so that the probes that follow do not come all at once.
    #[arg(
        long, value_name = "DURATION", value_parser = values::duration, default_value = "30s",
        help_heading = "Connections that are open"
    )]
    pub(crate) spread: Duration,

    /// Set values that harm, too, and write the host's file for another namespace.
    #[arg(long, help_heading = "How")]
    pub(crate) force: bool,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

impl SetArgs {
    /// Whether a file is to be written.
    pub(crate) const fn persists(&self) -> bool {
        self.persist || self.persist_only
    }

    /// What is to be set.
    pub(crate) const fn wish(&self) -> Wish {
        Wish {
            idle: self.idle,
            interval: self.interval,
            probes: self.probes,
        }
    }
}

/// `defaults reset`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
What someone else set since is left alone. A namespace that is gone took its values with it. A reset \
is itself a change: sockpulse undo takes it back.

Examples:
  sockpulse defaults reset --dry-run
  sockpulse defaults reset --to-kernel --netns all")]
pub(crate) struct ResetArgs {
    /// Set the kernel's own 2h, 75s, 9 instead, whatever was there before.
    #[arg(long)]
    pub(crate) to_kernel: bool,

    /// Only at run time in this network namespace; without, wherever we changed something, and with
    /// --to-kernel our own.
    #[arg(long, value_name = "all|self|NAME|PID", value_parser = values::netns)]
    pub(crate) netns: Vec<NetnsChoice>,

    /// Overwrite what someone else set since.
    #[arg(long)]
    pub(crate) force: bool,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

/// `undo`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Without a number the last change that stands is taken back: one of set or of reset, whichever came \
last, but not an undo. The next undo goes on to the change before it. What someone else set since is \
left alone and told. A change of which nothing is left to be put back, as after a boot, counts as \
undone. What one command changed in two steps, as protect does with a rule and with what is open, is \
taken back together, whichever of its numbers is named.

Examples:
  sockpulse undo --list
  sockpulse undo
  sockpulse undo 7 --dry-run
  sockpulse undo --since 1h")]
pub(crate) struct UndoArgs {
    /// The number of a change in the journal; without, the last one that stands.
    #[arg(value_name = "ID", conflicts_with = "since")]
    pub(crate) id: Option<u64>,

    /// Everything that was changed within this time, last first.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) since: Option<Duration>,

    /// Show what was changed and can be undone, and change nothing.
    #[arg(long, conflicts_with_all = ["id", "since", "dry_run", "force"])]
    pub(crate) list: bool,

    /// Overwrite what someone else set since.
    #[arg(long)]
    pub(crate) force: bool,

    /// The cgroup to which rules for connections to come are attached again; without, the root.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) cgroup_root: Option<PathBuf>,

    /// Use what this kernel's version has a known fault in, as where it was mended by the
    /// distribution.
    #[arg(long, value_name = "CVE", value_parser = values::cve)]
    pub(crate) accept_kernel_risk: Vec<String>,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

/// What every command takes that changes something.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "How")]
pub(crate) struct WritingArgs {
    /// Show what would be changed, and why, and what would stand in the way, and change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Where the journal is kept, by which changes are undone.
    #[arg(long, value_name = "DIR", default_value = journal::FOLDER)]
    pub(crate) state_dir: PathBuf,

    /// How to print: for people, or one JSON document.
    // In place of the root's, whose value it becomes: there are no rows to list here.
    #[arg(
        short, long, value_name = "FORMAT", default_value = "table",
        value_parser = values::document(), help_heading = "Output", display_order = 900
    )]
    pub(crate) output: OutputFormat,
}

fn idle(text: &str) -> Result<i64, String> {
    seconds(text, Sysctl::Idle)
}

fn interval(text: &str) -> Result<i64, String> {
    seconds(text, Sysctl::Interval)
}

fn probes(text: &str) -> Result<i64, String> {
    let number = text
        .parse()
        .map_err(|_| "a number of probes is written like 9".to_owned())?;
    within(number, Sysctl::Probes, "")
}

/// Seconds as the sysctl takes them: more than a socket does, and -1.
fn seconds(text: &str, sysctl: Sysctl) -> Result<i64, String> {
    let number = match text.parse::<i64>() {
        Ok(number) => number,
        Err(_) => {
            let duration = values::duration(text)?;
            if duration.subsec_nanos() > 0 {
                return Err(format!("a sysctl holds whole seconds, not {text}"));
            }
            i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
        }
    };
    within(number, sysctl, " seconds")
}

fn within(number: i64, sysctl: Sysctl, unit: &str) -> Result<i64, String> {
    let (min, max) = sysctl.range(sockpulse_linux::hz());
    if (min..=max).contains(&number) {
        return Ok(number);
    }
    let setting = sysctl.setting();
    Err(format!(
        "the kernel takes {setting} from {min} to {max}{unit}, not {number}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysctl_takes_more_than_a_socket() {
        for (text, seconds) in [
            ("60", 60),
            ("2m", 120),
            ("2000ms", 2),
            ("0", 0),
            ("-1", -1),
            ("40000", 40_000),
            ("12h", 43_200),
        ] {
            assert_eq!(idle(text), Ok(seconds), "{text}");
        }
        assert_eq!(probes("255"), Ok(255));
        for (refused, said) in [
            (idle("99999999"), "seconds, not 99999999"),
            (interval("100d"), "the kernel takes interval"),
            (idle("500ms"), "whole seconds, not 500ms"),
            (idle("soon"), "not a duration"),
            (probes("256"), "takes probes from 0 to 255, not 256"),
            (probes("-1"), "not -1"),
            (probes("9x"), "a number of probes"),
        ] {
            let error = refused.unwrap_err();
            assert!(error.contains(said), "{error}");
        }
    }
}
