//! Selectors: which connections a command takes, the same for every command.

use std::time::Duration;

use clap::Args;
use sockpulse_core::glob::Glob;
use sockpulse_core::selector::EndPattern;
use sockpulse_core::{Exposure, Selector, TcpState};

use crate::options::{NetnsChoice, SourceChoice, SurveyOptions};
use crate::values;

/// Longest name of a process that the kernel keeps.
const COMM_LEN: usize = 15;

/// Which connections, how they are judged and how they are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct SurveyArgs {
    /// Which connections.
    #[command(flatten)]
    pub(crate) selectors: SelectorArgs,

    /// How soon a dead peer should be noticed; what takes longer is `slow`.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = values::target)]
    pub(crate) detect_within: Duration,

    /// Which reader serves; `auto` takes the best that this kernel and these privileges allow.
    #[arg(
        long, value_name = "READER", default_value = "auto", value_parser = values::source(),
        help_heading = "Reading"
    )]
    pub(crate) source: SourceChoice,

    /// Use what this kernel's version has a known fault in, as where it was mended by the
    /// distribution.
    #[arg(long, value_name = "CVE", value_parser = values::cve, help_heading = "Reading")]
    pub(crate) accept_kernel_risk: Vec<String>,
}

/// The selectors. Repeating one means "or", different ones mean "and".
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Selectors")]
pub(crate) struct SelectorArgs {
    /// Name of the owning program, `*` and `?` allowed; the kernel keeps 15 bytes of it.
    #[arg(long, value_name = "NAME", value_parser = values::nonempty)]
    pub(crate) program: Vec<String>,

    /// Process that holds the socket.
    #[arg(
        long, value_name = "N", value_delimiter = ',',
        value_parser = values::pid
    )]
    pub(crate) pid: Vec<u32>,

    /// systemd unit; `.service` may be left out, `*` and `?` allowed.
    #[arg(long, value_name = "NAME", value_parser = values::nonempty)]
    pub(crate) unit: Vec<String>,

    /// Container's name or id, of which twelve digits are enough.
    #[arg(long, value_name = "NAME-OR-ID", value_parser = values::nonempty)]
    pub(crate) container: Vec<String>,

    /// cgroup's path, and everything below.
    #[arg(long, value_name = "PATH", value_parser = values::cgroup)]
    pub(crate) cgroup: Vec<String>,

    /// The end here: 10.0.0.1, 10.0.0.0/8, :6379, 10.0.0.1:6379, [2001:db8::/32]:443.
    #[arg(long, value_name = "[ADDR|CIDR][:PORT]")]
    pub(crate) local: Vec<EndPattern>,

    /// The peer's end, written alike.
    #[arg(long, value_name = "[ADDR|CIDR][:PORT]")]
    pub(crate) remote: Vec<EndPattern>,

    /// Port of either end.
    #[arg(
        long, value_name = "N", value_delimiter = ',',
        value_parser = values::port
    )]
    pub(crate) port: Vec<u16>,

    /// State of the connection.
    #[arg(
        long, value_name = "NAME", value_delimiter = ',', value_parser = values::state(),
    )]
    pub(crate) state: Vec<TcpState>,

    /// Nothing was received from the peer for at least this long.
    #[arg(long, value_name = "DURATION", value_parser = values::duration)]
    pub(crate) silent_for: Vec<Duration>,

    /// What becomes of the connection when its peer dies while it is idle.
    #[arg(
        long, value_name = "NAME", value_delimiter = ',', value_parser = values::exposure()
    )]
    pub(crate) exposure: Vec<Exposure>,

    /// Network namespace: all that may be entered (the default), our own, a name as `defaults` shows
    /// it (of ip netns, a container, a unit, host), or that of a process.
    #[arg(long, value_name = "all|self|NAME|PID", value_parser = values::netns)]
    pub(crate) netns: Vec<NetnsChoice>,
}

impl SurveyArgs {
    /// What the survey is asked.
    #[must_use]
    pub(crate) fn options(&self) -> SurveyOptions {
        SurveyOptions {
            selector: self.selectors.selector(),
            netns: self.selectors.netns.clone(),
            source: self.source,
            accepted_risks: self.accept_kernel_risk.clone(),
            detect_within: self.detect_within,
        }
    }
}

impl SelectorArgs {
    /// Core's matcher; namespaces are left to the survey, which resolves their names.
    #[must_use]
    pub(crate) fn selector(&self) -> Selector {
        let globs = |names: &[String]| names.iter().map(|name| Glob::new(name)).collect();
        Selector {
            programs: self.program.iter().map(|name| program(name)).collect(),
            pids: self.pid.clone(),
            units: globs(&self.unit),
            containers: globs(&self.container),
            cgroups: self.cgroup.clone(),
            locals: self.local.clone(),
            remotes: self.remote.clone(),
            ports: self.port.clone(),
            states: self.state.clone(),
            silent_for: self.silent_for.iter().min().copied(),
            exposures: self.exposure.clone(),
            namespaces: Vec::new(),
        }
    }
}

/// A full name that is longer than what the kernel keeps would match nothing.
fn program(name: &str) -> Glob {
    if name.len() <= COMM_LEN || name.contains(['*', '?']) {
        return Glob::new(name);
    }
    let cut = name.floor_char_boundary(COMM_LEN);
    // A character that the kernel cut in two leaves bytes of its beginning.
    let rest = if cut < COMM_LEN { "*" } else { "" };
    Glob::new(&format!("{}{rest}", &name[..cut]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_match_what_the_kernel_keeps() {
        assert!(program("prometheus-node-exporter").matches(b"prometheus-node"));
        assert!(program("redis-server").matches(b"redis-server"));
        assert!(!program("redis-server").matches(b"redis-sentinel"));
        assert!(
            program("aaaaaaaaaaaaaaé").matches("aaaaaaaaaaaaaa\u{e9}".as_bytes().split_at(15).0)
        );
    }
}
