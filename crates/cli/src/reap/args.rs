//! The words of `reap`.

use std::num::NonZeroU16;

use clap::Args;
use sockpulse_core::ping::Patience;

use crate::defaults::args::WritingArgs;
use crate::ping::args::AskingArgs;
use crate::selectors::SurveyArgs;

pub(crate) const ABOUT: &str = "\
Ends connections whose peers are dead, after asking each of them.

Every selected connection is asked as ping does. Those that did not answer once are asked again right \
before they are ended; whoever answers then, or was heard meanwhile, is spared. What is ended is ended \
as by an administrator (ss -K): its program reads the ordinary error ECONNABORTED from its socket, \
closes it and goes on. Everything that was known of each goes into a file beside the journal first. \
Nothing brings a connection back: undo cannot.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const EXAMPLES: &str = "\
Examples:
  sockpulse reap --port 6379 --dry-run
  sockpulse reap --port 6379
  sockpulse reap --program redis-server --silent-for 1h --yes --max-per-second 50
  sockpulse reap --silent-for 1d --unverified --yes

Exit status: 0 all dead ones are ended, or there were none, or you did not consent; 2 the command
line is wrong, or nobody could be asked for consent; 3 some could not be asked, seen or ended; 4 not
permitted.";

/// `reap`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ReapArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// How they are asked.
    #[command(flatten)]
    pub(crate) asking: AskingArgs,

    /// How often one is asked before it is called dead; not less than a verdict needs that ends
    /// connections.
    #[arg(
        long, value_name = "N", default_value_t = Patience::default().probes,
        value_parser = probes, help_heading = "Asking"
    )]
    pub(crate) probes: NonZeroU16,

    /// End the selected connections without asking; only together with --silent-for.
    #[arg(long, conflicts_with_all = ["probes", "method"], help_heading = "Asking")]
    pub(crate) unverified: bool,

    /// End them without asking for consent.
    #[arg(long, help_heading = "How")]
    pub(crate) yes: bool,

    /// The most connections that are ended in one second.
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "How"
    )]
    pub(crate) max_per_second: Option<u32>,

    /// How changes are made and remembered.
    #[command(flatten)]
    pub(crate) writing: WritingArgs,
}

/// With fewer, loss may look like death.
fn probes(text: &str) -> Result<NonZeroU16, String> {
    let least = Patience::default().probes;
    match text.parse() {
        Ok(probes) if probes >= least => Ok(probes),
        _ => Err(format!(
            "a verdict that ends connections needs {least} probes or more; ping takes fewer"
        )),
    }
}
