//! The words of `watch`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sockpulse_core::event::Name;

use crate::selectors::SurveyArgs;
use crate::values;

pub(crate) const ABOUT: &str = "\
Says when connections open, fall silent, recover, die and are changed, as it happens.

The kernel itself tells: nothing is asked for again and again, and events of connections that are not \
meant do not leave the kernel where it can tell them. A line says what happened to which connection, \
whose it is, how long the peer was silent and, of a death, its cause: whether keepalive, a user \
timeout or retransmission gave it up, a reset or an ICMP error came, or an administrator destroyed it. \
Who owns a connection is known from a look at all sockets at the beginning and from then on; the \
process that is running when a connection dies is seldom its own.

Where the kernel does not allow this, two looks at all sockets are compared again and again, and each \
line says so: what came and went in between is not seen, and a cause is not known.

Selectors narrow it down: one that is repeated means or, different ones mean and.";

const EXAMPLES: &str = "\
Events:
  opened     a connection was established
  probing    the first keepalive probe was not answered within the interval
  recovered  the peer answered again: a near miss
  died       it ended with an error
  closed     it ended without one (only where asked for)
  gone       between two looks, and it is not known how (only without BPF)
  changed    a program set keepalive options, its own or another's

Causes of death:
  keepalive       as many probes as allowed were not answered
  user-timeout    TCP_USER_TIMEOUT passed
  retransmission  data was not acknowledged (tcp_retries2)
  window-probes   a closed window was probed in vain
  handshake       nobody answered the SYNs
  orphan          closed by its program, and the rest was not acknowledged
  reset           RST was received
  unreachable     ICMP said so
  destroyed       by an administrator's command
  unknown         it cannot be told

Examples:
  sockpulse watch --program redis-server
  sockpulse watch --events died --for 1h
  sockpulse watch --events probing,recovered --port 5432
  sockpulse watch --events died -o jsonl | jq -r .cause

Exit status: 0 done; 2 the command line is wrong; 3 events were lost, or something could not
be seen; 4 not permitted.";

/// `watch`.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct WatchArgs {
    /// Which connections and how to read them.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,

    /// What is to be told.
    #[arg(
        long, value_name = "EVENT", value_delimiter = ',', value_parser = values::event(),
        default_value = "opened,probing,recovered,died,changed", help_heading = "Events"
    )]
    pub(crate) events: Vec<Name>,

    /// End after this time.
    #[arg(
        long = "for", value_name = "DURATION", value_parser = values::target,
        help_heading = "Events"
    )]
    pub(crate) time: Option<Duration>,

    /// End after so many events.
    #[arg(
        long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Events"
    )]
    pub(crate) count: Option<u64>,

    /// Whether the kernel tells of events, or two looks at all sockets are compared; `auto` takes the
    /// kernel where it can.
    #[arg(
        long, value_name = "METHOD", default_value = "auto",
        value_parser = values::watch_method(), help_heading = "Reading"
    )]
    pub(crate) method: Method,

    /// Time between two looks, with --method scan.
    #[arg(
        long, value_name = "DURATION", default_value = "1s", value_parser = values::target,
        help_heading = "Reading"
    )]
    pub(crate) every: Duration,

    /// The cgroup below which changes are seen; without, all.
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) cgroup_root: Option<PathBuf>,
}

/// How events are learned of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// By the kernel where it can.
    Auto,
    /// By the kernel.
    Bpf,
    /// By comparing looks.
    Scan,
}
