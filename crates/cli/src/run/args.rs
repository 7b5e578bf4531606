//! The arguments of `run`.

use std::ffi::OsString;

use clap::Args;
use sockpulse_preload::{Mode, Pattern};

use crate::settings::SettingsArgs;
use crate::values;

/// `run`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// What every socket is to have; what is left out stays as it is.
    #[command(flatten)]
    pub(super) settings: SettingsArgs,

    /// Who wins where the program sets its own: fill (the program), tighten (the faster), override
    /// (these settings).
    #[arg(long, value_name = "MODE", default_value = "fill", value_parser = values::run_mode())]
    pub(super) mode: Mode,

    /// How: seccomp reaches every program, preload only those that load libc; auto takes what works.
    #[arg(
        long, value_name = "METHOD", default_value = "auto", value_parser = values::run_method()
    )]
    pub(super) method: Method,

    /// Only sockets whose own end is one of these, as far as it is known when the program connects or
    /// listens: 10.0.0.1, 10.0.0.0/8, :6379, [2001:db8::/32]:443.
    #[arg(
        long, value_name = "[ADDR|CIDR][:PORT]", value_parser = pattern, help_heading = "Selectors"
    )]
    pub(super) local: Vec<Pattern>,

    /// Only connections to one of these; sockets that listen are left alone then.
    #[arg(
        long, value_name = "[ADDR|CIDR][:PORT]", value_parser = pattern, help_heading = "Selectors"
    )]
    pub(super) remote: Vec<Pattern>,

    /// Only sockets with this port at either end.
    #[arg(
        long, value_name = "N", value_delimiter = ',', value_parser = values::port,
        help_heading = "Selectors"
    )]
    pub(super) port: Vec<u16>,

    /// The program, looked up in PATH, and its arguments.
    #[arg(required = true, trailing_var_arg = true, value_name = "PROGRAM")]
    pub(super) program: Vec<OsString>,
}

/// A value of `--method`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// What works here.
    Auto,
    /// System calls are held and attended.
    Seccomp,
    /// A library stands in front of libc.
    Preload,
}

pub(crate) const ABOUT: &str = "\
Start one program with keepalive on all its TCP sockets, without root.

Every socket with which the program or one of its children connects or listens gets SO_KEEPALIVE and \
the settings; accepted connections inherit them. The program is not changed and does not notice: it \
takes the place of sockpulse, with the same process id, terminal, signals and exit status.

With seccomp the kernel holds connect(2) and listen(2) until a small supervisor has set the options, \
which costs some microseconds a connection and nothing on data. It reaches static programs and Go. \
Without root the program and its children then run with no_new_privs: sudo, su and other programs \
that gain privilege by their file run without it.

With preload a library answers in front of libc: cheaper, but static programs, Go and those that \
gain privilege by their file are not reached.";

const EXAMPLES: &str = "\
Examples:
  sockpulse run --idle 60s --interval 10s --probes 6 -- psql -h db
  sockpulse run --idle 60s --user-timeout auto --mode override -- ./server --port 8080
  sockpulse run --remote :5432 --idle 2m -- java -jar app.jar
  sockpulse -v run -- curl https://example.com     says which method serves, and why

Exit status: the program's. 127 when it was not found, 126 when it cannot be executed, 2 when the \
command line is wrong, 3 or 4 when no method serves.";

fn pattern(text: &str) -> Result<Pattern, String> {
    // The better words for what is wrong are those of the selectors.
    text.parse::<sockpulse_core::selector::EndPattern>()
        .map_err(|error| error.to_string())?;
    Pattern::parse(text).ok_or_else(|| "write [ADDR|CIDR][:PORT], like 10.0.0.0/8:5432".into())
}
