//! `doctor`: what this kernel and these privileges allow, what is lost without each facility, and
//! what to grant; and the namespaces whose defaults of keepalive are others than ours.

use std::io::{self, Write};

use serde_json::json;
use sockpulse_bpf::risk::RiskAccepted;
use sockpulse_core::Hz;
use sockpulse_linux::Proc;
use sockpulse_linux::support::{Facility, Support};

use crate::elsewhere::Elsewhere;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::fit;
use crate::options::{DoctorOptions, OutputFormat};
use crate::sink;
use crate::survey::risks_accepted;

/// Examines the kernel by trying each facility, and prints the result.
///
/// # Errors
/// When the output cannot be written, or does not exist in the format asked for.
pub(crate) fn run(options: &DoctorOptions, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let examined = Examined::now(risks_accepted(&options.accepted_risks)?);
    match options.output {
        OutputFormat::Table => examined.table(options.width, out),
        OutputFormat::Json => examined.json(out),
        OutputFormat::JsonLines => examined.json_lines(out),
        OutputFormat::Csv => {
            let message = "doctor has no CSV output";
            return Err(
                CommandError::new(ErrorKind::Usage, message).hint("use -o table, json or jsonl")
            );
        }
    }
    .map_err(CommandError::output)?;
    Ok(Exit::Done)
}

struct Examined {
    release: String,
    hz: Option<Hz>,
    facilities: Vec<Facility>,
    /// `None` where no namespace could be read.
    elsewhere: Option<Elsewhere>,
}

impl Examined {
    fn now(accepted: RiskAccepted) -> Self {
        let mut facilities = sockpulse_linux::support::facilities(&Proc::default());
        facilities.extend(sockpulse_bpf::support::facilities(accepted));
        Self {
            release: sockpulse_linux::kernel_release(),
            hz: sockpulse_linux::hz(),
            facilities,
            elsewhere: Elsewhere::look(&mut *sink::this_machine(), &Proc::default()),
        }
    }

    fn table(&self, width: usize, out: &mut dyn Write) -> io::Result<()> {
        let hz = self.hz.map_or("unknown".into(), |hz| hz.get().to_string());
        writeln!(out, "Linux {}, {hz} ticks a second", self.release)?;
        writeln!(out)?;
        for facility in &self.facilities {
            let mark = if facility.support.is_yes() {
                "yes"
            } else {
                "NO "
            };
            writeln!(out, "  {mark}  {}", facility.name)?;
            detail(out, width, "for", facility.serves)?;
            if let Support::No { why } = &facility.support {
                detail(out, width, "why", why)?;
                detail(out, width, "lost", facility.without)?;
                if let Some(grant) = &facility.grant {
                    detail(out, width, "grant", grant)?;
                }
            }
        }
        if let Some(elsewhere) = &self.elsewhere {
            writeln!(out)?;
            for line in elsewhere.lines() {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }

    fn json(&self, out: &mut dyn Write) -> io::Result<()> {
        let facilities: Vec<_> = self.facilities.iter().map(facility_json).collect();
        let document = json!({
            "schema_version": 1,
            "kernel": self.release,
            "hz": self.hz.map(Hz::get),
            "facilities": facilities,
            "defaults": self.elsewhere.as_ref().map(Elsewhere::json),
        });
        writeln!(out, "{document:#}")
    }

    fn json_lines(&self, out: &mut dyn Write) -> io::Result<()> {
        self.facilities
            .iter()
            .try_for_each(|facility| writeln!(out, "{}", facility_json(facility)))
    }
}

fn facility_json(facility: &Facility) -> serde_json::Value {
    let why = match &facility.support {
        Support::Yes => None,
        Support::No { why } => Some(why),
    };
    json!({
        "name": facility.name,
        "supported": facility.support.is_yes(),
        "why": why,
        "serves": facility.serves,
        "without": facility.without,
        "grant": facility.grant,
    })
}

/// An indented line with a label, wrapped at the terminal's width.
fn detail(out: &mut dyn Write, width: usize, label: &str, text: &str) -> io::Result<()> {
    const INDENT: usize = 15;
    let lines = fit::wrap(text, width.saturating_sub(INDENT).max(20), 0);
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    labels
        .zip(lines)
        .try_for_each(|(label, line)| writeln!(out, "       {label:>6}  {line}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Examined {
        Examined {
            release: "6.18.44".into(),
            hz: Hz::new(250),
            facilities: vec![
                Facility {
                    name: "sock_diag",
                    support: Support::Yes,
                    serves: "lists sockets",
                    without: "nothing can be listed",
                    grant: None,
                },
                Facility {
                    name: "BPF task_file iterator",
                    support: Support::No {
                        why: "bpf(2): operation not permitted".into(),
                    },
                    serves: "settings, timers and owners of all sockets in one pass",
                    without: "settings are read through duplicated descriptors, which is slower \
                              and needs ptrace rights",
                    grant: Some("CAP_BPF and CAP_PERFMON".into()),
                },
            ],
            elsewhere: None,
        }
    }

    #[test]
    fn the_table_says_why_what_is_lost_and_what_to_grant() {
        let mut out = Vec::new();
        sample().table(60, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.lines().all(|line| line.chars().count() <= 90),
            "{text}"
        );
        for part in [
            "yes  sock_diag",
            "NO   BPF",
            "for  settings, timers",
            "why  bpf(2)",
            "lost  settings",
            "grant  CAP_BPF",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }

    #[test]
    fn the_json_is_one_document() {
        let mut out = Vec::new();
        sample().json(&mut out).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["facilities"][1]["supported"], false);
        assert_eq!(value["hz"], 250);
    }
}
