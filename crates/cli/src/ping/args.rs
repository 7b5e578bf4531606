//! The words of `ping`, and of asking wherever it is done.

use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use sockpulse_core::ping::{Method, Patience};

use super::station::MethodChoice;
use crate::journal;
use crate::selectors::SurveyArgs;
use crate::values;

pub(crate) const ABOUT: &str = "\
Asks now whether the peers of established connections are alive, without disturbing their streams.

Idle is not dead, and nobody else can tell the difference for a connection that belongs to another \
program. On each connection the segment is sent that the kernel itself would send as a keepalive probe: \
it carries no data, and whoever still knows the connection has to answer it. The program is not told, \
its stream is not touched, no option of its socket is set (method raw), and a dead connection is not \
ended by being asked: reap does that.

alive says that the peer's host answered: the program there may still hang. dead says that it was asked \
24 times, 0.6 s or more apart, and nothing at all came. refused says that it answered with a reset, as \
it knows nothing of the connection: its end here is closed by that, as it would be by the next byte that \
is sent.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const EXAMPLES: &str = "\
Verdicts:
  alive    the peer's host answered; the time is the round trip
  dead     nothing came, however often it was asked
  refused  the peer's host answered with a reset
  busy     data is in flight, and no acknowledgement came meanwhile (method option only)
  unknown  could not be found out; the reason is told

Examples:
  sockpulse ping --port 6379
  sockpulse ping --silent-for 1h --rate 200
  sockpulse ping --program 'postgres*' -o jsonl | jq 'select(.verdict == \"dead\")'

Exit status: 0 nobody is dead; 1 peers are dead or refused; 2 the command line is wrong; 3 some
could not be asked, or not be seen; 4 not permitted.";

/// `ping`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct PingArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// How they are asked.
    #[command(flatten)]
    pub(crate) asking: AskingArgs,

    /// How often one that does not answer is asked before it is called dead. With fewer, loss may
    /// look like death.
    #[arg(
        long, value_name = "N", default_value_t = Patience::default().probes,
        help_heading = "Asking"
    )]
    pub(crate) probes: NonZeroU16,

    /// Where the journal is kept: method option leaves something behind.
    #[arg(long, value_name = "DIR", default_value = journal::FOLDER, help_heading = "Asking")]
    pub(crate) state_dir: PathBuf,

    /// List the living too, however many they are.
    #[arg(long, help_heading = "Output")]
    pub(crate) all: bool,
}

/// How connections are asked.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Asking")]
pub(crate) struct AskingArgs {
    /// By a segment of our own (raw), which leaves no trace on the socket, or by the kernel's
    /// keepalive, switched on for a moment (option); `auto` takes raw where that is permitted.
    #[arg(long, value_name = "METHOD", default_value = "auto", value_parser = method())]
    pub(crate) method: MethodChoice,

    /// The least time between two probes on a connection, from 600ms on: Linux answers one in half a
    /// second.
    #[arg(long, value_name = "DURATION", default_value = "600ms", value_parser = spacing)]
    pub(crate) spacing: Duration,

    /// The most probes in one second, over all connections, so that no middlebox drops any.
    #[arg(
        long, value_name = "N", default_value_t = RATE,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) rate: u32,
}

impl AskingArgs {
    pub(crate) const fn patience(&self, probes: NonZeroU16) -> Patience {
        Patience {
            probes,
            spacing: self.spacing,
        }
    }
}

/// Probes per second where nothing else is asked for.
const RATE: u32 = 1_000;

fn method() -> impl TypedValueParser<Value = MethodChoice> {
    PossibleValuesParser::new(["auto", "raw", "option"]).map(|text| match &*text {
        "raw" => MethodChoice::Only(Method::Raw),
        "option" => MethodChoice::Only(Method::Option),
        _ => MethodChoice::Auto,
    })
}

fn spacing(text: &str) -> Result<Duration, String> {
    let spacing = values::duration(text)?;
    if (Duration::from_millis(600)..=Duration::from_secs(60)).contains(&spacing) {
        Ok(spacing)
    } else {
        Err("probes are from 600ms to 1m apart".into())
    }
}
