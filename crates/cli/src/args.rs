//! The command line.

use clap::{ArgAction, Args, Parser, Subcommand};
use sockpulse_core::Exposure;

use crate::defaults::args::{self, DefaultsArgs, UndoArgs};
use crate::explain::{self, ExplainArgs};
use crate::fields::{FIELDS, Field};
use crate::fit;
use crate::listing::Sort;
use crate::options::OutputFormat;
use crate::selectors::SurveyArgs;
use crate::values;

/// See TCP keepalive on every connection of this machine, switch it on, and set its defaults.
///
/// sockpulse shows, for every TCP connection in every network namespace, whether anyone would ever
/// notice that its peer is gone: whether keepalive is on, with which settings and where they come
/// from, when the next probe is due, how long the peer has been silent, and whose socket it is.
///
/// Without a command it runs `audit`. Only `protect`, `unprotect`, `defaults set`, `defaults reset`,
/// `reap` and `undo` change anything on the machine, each with `--dry-run` and a journal, and all but `reap`
/// with a way back.
#[derive(Debug, Parser)]
#[command(
    name = "sockpulse",
    version,
    max_term_width = 100,
    override_usage = "sockpulse [COMMAND] [OPTIONS]",
    subcommand_help_heading = "Commands",
    after_help = "Without a command: audit. `sockpulse COMMAND --help` says more of each.",
    after_long_help = ROOT_EXAMPLES
)]
pub(crate) struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const ROOT_EXAMPLES: &str = "\
Examples:
  sockpulse                              what is wrong here, and what mends it
  sockpulse --program redis-server       the same for one program
  sockpulse list --exposure unprotected  connections that nobody would see die
  sockpulse list --silent-for 1h --sort -silence
  sockpulse explain SP001                what a finding means
  sockpulse explain --idle 60s           when these settings notice a dead peer

Exit status:
  0  done
  1  audit --fail-on found such connections, or ping dead peers
  2  the command line is wrong
  3  something could not be seen; stderr says what, why and what would help
  4  not permitted
  70 a bug in sockpulse";

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// How to print: for people, one JSON document, JSON lines, or CSV.
    #[arg(
        short, long, global = true, value_name = "FORMAT", default_value = "table",
        value_parser = values::output(), help_heading = "Output", display_order = 900
    )]
    pub(crate) output: OutputFormat,

    /// When to colour: NO_COLOR is respected where this is `auto`.
    #[arg(
        long, global = true, value_name = "WHEN", default_value = "auto",
        value_parser = values::color(), help_heading = "Output", display_order = 901
    )]
    pub(crate) color: anstream::ColorChoice,

    /// Say on stderr what is being done; twice for every step.
    #[arg(
        short, long, global = true, action = ArgAction::Count, help_heading = "Output",
        display_order = 902
    )]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// One screen: what is wrong, where, how much, and the command that mends it.
    #[command(long_about = AUDIT_ABOUT)]
    Audit(AuditArgs),
    /// Every connection with its settings, timers, silence, exposure and owner.
    #[command(long_about = LIST_ABOUT)]
    List(ListArgs),
    /// Ask now whether the peers of established connections are alive.
    #[command(long_about = crate::ping::args::ABOUT)]
    Ping(crate::ping::args::PingArgs),
    /// End connections whose peers are dead, after asking each of them.
    #[command(long_about = crate::reap::args::ABOUT)]
    Reap(crate::reap::args::ReapArgs),
    /// The kernel's defaults: see, set and put back, now and at boot, in every namespace.
    #[command(long_about = args::ABOUT)]
    Defaults(DefaultsArgs),
    /// Keepalive for programs that did not ask for it, while they run.
    #[command(long_about = crate::protect::args::ABOUT)]
    Protect(crate::protect::args::ProtectArgs),
    /// End the kernel's rules for connections to come.
    Unprotect(crate::protect::args::UnprotectArgs),
    /// Put back what sockpulse changed, by its journal.
    Undo(UndoArgs),
    /// Start one program with keepalive on all its TCP sockets, without root.
    #[command(long_about = crate::run::args::ABOUT)]
    Run(crate::run::args::RunArgs),
    /// What happens to connections, as it happens: opened, silent, recovered, dead and why.
    #[command(long_about = crate::watch::args::ABOUT)]
    Watch(crate::watch::args::WatchArgs),
    /// Break a connection in a network of its own, and hold the kernel against the prediction.
    #[command(long_about = crate::lab::ABOUT)]
    Lab(crate::lab::LabArgs),
    /// What this kernel and these privileges allow, what is lost without, what to grant.
    Doctor(DoctorArgs),
    /// When exactly a dead peer is noticed, and what a finding means.
    #[command(long_about = explain::ABOUT)]
    Explain(ExplainArgs),
    /// Chooses settings, and shows what they give, cost and risk.
    #[command(long_about = crate::plan::args::ABOUT)]
    Plan(crate::plan::args::PlanArgs),
    /// Completions for a shell, on stdout.
    Completions(CompletionsArgs),
    /// The manual page, on stdout.
    Man(ManArgs),
}

/// `audit`.
#[derive(Debug, Args)]
#[command(after_long_help = AUDIT_EXAMPLES)]
pub(crate) struct AuditArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// Exit with status 1 when any connection has one of these exposures.
    #[arg(
        long, value_name = "EXPOSURE", value_delimiter = ',', value_parser = values::exposure(),
        help_heading = "Output"
    )]
    pub(crate) fail_on: Vec<Exposure>,
}

const AUDIT_ABOUT: &str = "\
One screen: what is wrong, where, how much, and the command that mends it.

Counts the connections of this machine by what becomes of them when their peer dies while they are \
idle, names the programs that are worst off, shows the kernel's defaults and the network namespaces \
that differ, and lists findings with a code each. Connections within one network namespace are \
counted apart: there the kernel itself reports the end.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const AUDIT_EXAMPLES: &str = "\
Exposures, worst first:
  unprotected  keepalive is off: a dead peer is never noticed
  slow         noticed later than --detect-within
  fragile      one lost probe can kill a living connection
  protected    noticed in time
  probing      probes are unanswered right now
  local        both ends in one network namespace
  unknown      the settings could not be seen

Examples:
  sockpulse audit --detect-within 5m
  sockpulse audit --unit redis --fail-on unprotected,slow
  sockpulse audit -o jsonl | jq 'select(.unprotected > 0)'";

/// `list`.
#[derive(Debug, Args)]
#[command(after_long_help = list_help())]
pub(crate) struct ListArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// Sort by a field, `-FIELD` for the largest first; the first row waits for the last.
    #[arg(
        long, value_name = "[-]FIELD", allow_hyphen_values = true, value_parser = values::sort,
        help_heading = "Output"
    )]
    pub(crate) sort: Option<Sort>,

    /// Show these fields, in this order (table and CSV).
    #[arg(
        long, value_name = "FIELD,…", value_delimiter = ',', value_parser = values::field,
        help_heading = "Output"
    )]
    pub(crate) columns: Vec<&'static Field>,

    /// Show every field, as wide as the table gets.
    #[arg(long, conflicts_with = "columns", help_heading = "Output")]
    pub(crate) wide: bool,
}

const LIST_ABOUT: &str = "\
Every connection with its settings, timers, silence, exposure and owner.

A table fits the terminal and shows more columns where there is more room. JSON and CSV always carry \
every field; what cannot be known is null there, never a guess. In a table a setting of the socket's \
own stands bare (60s), one inherited from the network namespace in parentheses (2h), and ? is what \
could not be seen.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const LIST_EXAMPLES: &str = "\
Examples:
  sockpulse list --program 'postgres*' --state established
  sockpulse list --remote 10.0.0.0/8 --port 6379 --exposure unprotected
  sockpulse list --silent-for 1h --sort -silence --columns remote,silence,owner
  sockpulse list --silent-for 1h -o jsonl | jq -a .owner.program | sort | uniq -c";

/// Examples, and the fields that `--columns` and `--sort` know.
fn list_help() -> String {
    let names: Vec<_> = FIELDS.iter().map(|field| field.name).collect();
    let lines = fit::wrap(&names.join(" "), 76, 0);
    format!(
        "{LIST_EXAMPLES}\n\nFields of --columns and --sort:\n  {}",
        lines.join("\n  ")
    )
}

/// `doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Take a kernel's known fault in a reader as mended, as some distributions do.
    #[arg(long, value_name = "CVE", value_parser = values::cve)]
    pub(crate) accept_kernel_risk: Vec<String>,
}

/// `completions`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  sockpulse completions bash > /etc/bash_completion.d/sockpulse
  sockpulse completions zsh > /usr/local/share/zsh/site-functions/_sockpulse
  sockpulse completions fish > ~/.config/fish/completions/sockpulse.fish")]
pub(crate) struct CompletionsArgs {
    /// For which shell.
    #[arg(value_name = "SHELL", value_parser = values::shell())]
    pub(crate) shell: clap_complete::Shell,
}

/// `man`.
#[derive(Debug, Args)]
#[command(after_long_help = "Example:\n  sockpulse man list | man -l -")]
pub(crate) struct ManArgs {
    /// Of one command; of all without.
    #[arg(
        value_name = "COMMAND",
        value_parser = [
            "audit", "list", "ping", "reap", "defaults", "protect", "unprotect", "undo", "run", "watch", "lab", "doctor", "explain", "plan",
            "completions",
            "man"
        ]
    )]
    pub(crate) command: Option<String>,
}

/// Words of the command line with `audit` put in where no command is named.
///
/// clap can have options of a default command beside subcommands, or global options before a
/// subcommand, but not both.
#[must_use]
pub(crate) fn with_default_command(mut words: Vec<std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.to_str() {
            // Options of the root that take their value from the next word.
            Some("-o" | "--output" | "--color") => at += 2,
            Some("-h" | "--help" | "-V" | "--version") => return words,
            Some(word) if is_global(word) => at += 1,
            // A command, or something that clap will refuse with a proposal.
            Some(word) if !word.starts_with('-') => return words,
            _ => break,
        }
    }
    words.insert(1.min(words.len()), "audit".into());
    words
}

fn is_global(word: &str) -> bool {
    word == "--verbose"
        || word.starts_with("--output=")
        || word.starts_with("--color=")
        || (word.starts_with("-o") && word.len() > 2)
        || (word.len() > 1 && word.starts_with('-') && word[1..].bytes().all(|b| b == b'v'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn audit_is_the_default() {
        for (line, expected) in [
            ("sockpulse", "sockpulse audit"),
            ("sockpulse --unit redis", "sockpulse audit --unit redis"),
            ("sockpulse -o json", "sockpulse audit -o json"),
            ("sockpulse -o json list", "sockpulse -o json list"),
            ("sockpulse -ojson -vv list", "sockpulse -ojson -vv list"),
            (
                "sockpulse --color=never list",
                "sockpulse --color=never list",
            ),
            ("sockpulse --help", "sockpulse --help"),
            ("sockpulse -o json --help", "sockpulse -o json --help"),
            ("sockpulse lsit", "sockpulse lsit"),
            ("sockpulse --program list", "sockpulse audit --program list"),
        ] {
            let words = line.split(' ').map(Into::into).collect();
            let expected: Vec<std::ffi::OsString> = expected.split(' ').map(Into::into).collect();
            assert_eq!(with_default_command(words), expected, "{line}");
        }
    }
}
