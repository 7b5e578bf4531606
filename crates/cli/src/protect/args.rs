//! The words of `protect`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sockpulse_bpf::protect::{Accepted, PINS};
use sockpulse_core::protect::{Asked, Jitter, Limits, Mode, Rule};

use crate::defaults::args::WritingArgs;
use crate::error::{CommandError, ErrorKind};
use crate::selectors::SurveyArgs;
use crate::settings::SettingsArgs;
use crate::sink::Hooks;
use crate::values;

pub(crate) const ABOUT: &str = "\
Switches keepalive on for connections whose programs did not ask for it, while they run.

No program is restarted, changed or told. Connections that are open get SO_KEEPALIVE and the settings \
that are given; what is not given stays as it is, inherited values too. Listeners are set as well, so \
that what they accept later has it. For connections to come a rule is put into the kernel, which holds \
it until unprotect or the next boot. Connections within one network namespace are left out, since there \
the kernel itself reports the end. Changes are spread, so that the probes that follow are no storm, \
written into a journal, and taken back by undo. Sockets are set by the kernel's own iterator where \
that is sound, else through the processes that hold them; with --source pidfd always through these.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const EXAMPLES: &str = "\
Modes, where program and command want different things:
  fill      only where the program asked for nothing (the default)
  tighten   what is slower than this becomes as fast
  override  exactly this
  off       keepalive is switched off, and nothing else is touched

Examples:
  sockpulse protect --program redis-server --idle 60s --dry-run
  sockpulse protect --program redis-server --idle 60s --interval 10s --probes 6
  sockpulse protect --unit postgresql --idle 2m --mode tighten --spread 1m
  sockpulse protect --existing --exposure slow --idle 5m --mode tighten
  sockpulse protect --list
  sockpulse undo

Exit status: 0 done, or nothing to do; 2 the command line is wrong; 3 some of
what is meant was refused, or could not be seen; 4 not permitted.";

/// `protect`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ProtectArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// What they are to have.
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    /// Who wins where program and command want different things.
    #[arg(
        long, value_name = "MODE", default_value = "fill", value_parser = mode(),
        help_heading = "Settings"
    )]
    pub(crate) mode: Mode,

    /// Connections that are open, and listeners; with --new both, which is the default.
    #[arg(long, help_heading = "Which")]
    pub(crate) existing: bool,

    /// Connections to come: a rule in the kernel that outlives this command.
    #[arg(long, help_heading = "Which")]
    pub(crate) new: bool,

    /// Connections within one network namespace too.
    #[arg(long, help_heading = "Which")]
    pub(crate) include_local: bool,

    /// Make the changes over this time; without, over the least that keeps the probes that follow
    /// within the limit.
    #[arg(
        long, value_name = "DURATION", value_parser = values::duration, help_heading = "Pace"
    )]
    pub(crate) spread: Option<Duration>,

    /// The most probes that the changes may cause in one second.
    #[arg(
        long, value_name = "N", default_value_t = Limits::default().per_second,
        value_parser = clap::value_parser!(u64).range(1..), help_heading = "Pace"
    )]
    pub(crate) max_probes_per_second: u64,

    /// Set the idle time exactly; without, open connections get up to an eighth less, each another, so
    /// that their probes do not come together.
    #[arg(long, help_heading = "Pace")]
    pub(crate) no_jitter: bool,

    /// The rule's name; one of the same name is replaced.
    #[arg(
        long, value_name = "NAME", value_parser = values::nonempty,
        help_heading = "Connections to come"
    )]
    pub(crate) name: Option<String>,

    /// Whether connections that a program accepts inherit from its listener, or are each decided over.
    #[arg(
        long, value_name = "HOW", default_value = "inherit", value_parser = accepted(),
        help_heading = "Connections to come"
    )]
    pub(crate) accepted: Accepted,

    /// Show the rules in force and what they did, and change nothing.
    #[arg(long, help_heading = "Connections to come")]
    pub(crate) list: bool,

    /// Where the kernel's programs are kept and attached.
    #[command(flatten)]
    pub(crate) hooks: HookArgs,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

/// Where the kernel's programs are.
#[derive(Debug, Clone, Args)]
pub(crate) struct HookArgs {
    /// The folder of a bpffs in which they are kept.
    #[arg(long, value_name = "DIR", default_value = PINS, hide = true)]
    pub(crate) pins: PathBuf,

    /// The cgroup whose processes are meant; without, all.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) cgroup_root: Option<PathBuf>,
}

impl HookArgs {
    pub(super) fn hooks(&self) -> Hooks {
        Hooks {
            pins: self.pins.clone(),
            cgroup: self.cgroup_root.clone(),
        }
    }
}

/// `unprotect`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Connections that are open keep what they have: that is taken back by undo. \
Listeners that were made or set while a rule was in force go on handing it to \
what they accept.

Examples:
  sockpulse protect --list
  sockpulse unprotect program=redis-server
  sockpulse unprotect")]
pub(crate) struct UnprotectArgs {
    /// Names of rules, as `protect --list` shows them; all without.
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,

    /// Where the kernel's programs are kept.
    #[command(flatten)]
    pub(crate) hooks: HookArgs,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

impl ProtectArgs {
    /// Core's rule. Which namespaces are meant is the survey's to know.
    pub(super) fn rule(&self) -> Rule {
        Rule {
            name: String::new(),
            selector: self.survey.selectors.selector(),
            asked: Asked {
                idle: self.settings.idle,
                interval: self.settings.interval,
                probes: self.settings.probes,
                user_timeout: self.settings.user_timeout,
            },
            mode: self.mode,
            include_local: self.include_local,
        }
    }

    /// Whether open connections are meant.
    pub(super) const fn sets_existing(&self) -> bool {
        self.existing || !self.new
    }

    /// Whether connections to come are meant.
    pub(super) const fn sets_new(&self) -> bool {
        self.new || !self.existing
    }

    /// What was asked for and could mean nothing.
    pub(super) fn contradiction(&self) -> Option<CommandError> {
        let usage = |message: &str, hint: &str| {
            Some(CommandError::new(ErrorKind::Usage, message).hint(hint))
        };
        if self.list {
            return None;
        }
        if self.mode == Mode::Off && self.rule().asked != Asked::default() {
            let message =
                "--mode off takes no settings: it switches keepalive off, and nothing else";
            return usage(
                message,
                "leave out --idle, --interval, --probes and --user-timeout",
            );
        }
        if !self.sets_new() && (self.name.is_some() || self.accepted == Accepted::Each) {
            let message = "--name and --accepted say nothing about connections that are open";
            return usage(message, "put a rule into the kernel as well: --new");
        }
        if !self.sets_existing() && self.spread.is_some() {
            let message = "--spread says nothing about connections to come";
            return usage(message, "set what is open as well: --existing");
        }
        None
    }

    pub(super) const fn jitter(&self) -> Jitter {
        if self.no_jitter {
            Jitter::None
        } else {
            Jitter::Eighth
        }
    }

    pub(super) fn limits(&self) -> Limits {
        let usual = Limits::default();
        Limits {
            per_second: self.max_probes_per_second,
            per_bucket: usual.per_bucket.min(self.max_probes_per_second),
            ..usual
        }
    }
}

fn mode() -> impl TypedValueParser<Value = Mode> {
    let known = PossibleValuesParser::new(Mode::ALL.map(Mode::name));
    known.try_map(|text| Mode::parse(&text).ok_or("not a mode"))
}

fn accepted() -> impl TypedValueParser<Value = Accepted> {
    PossibleValuesParser::new(["inherit", "each"]).map(|text| match &*text {
        "each" => Accepted::Each,
        _ => Accepted::Inherit,
    })
}
