//! The command line of `explain`: a code, or settings, or connections.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::error::{CommandError, ErrorKind};
use crate::options::SourceChoice;
use crate::selectors::{SelectorArgs, SurveyArgs};
use crate::settings::SettingsArgs;
use crate::values;

/// `explain`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ExplainArgs {
    /// A finding's code, like SP001: what it means and how to mend it.
    #[arg(value_name = "CODE", value_parser = values::code(), hide_possible_values = true)]
    pub(crate) code: Option<String>,

    /// Draw the timelines too, as SVG into this file.
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) svg: Option<PathBuf>,

    /// Settings that are given.
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,

    /// Whether the program asks for keepalive (SO_KEEPALIVE); `on` with other settings.
    #[arg(
        long, value_name = "on|off", value_parser = values::switch(), hide_possible_values = true,
        help_heading = "Settings"
    )]
    pub(crate) keepalive: Option<bool>,

    /// Connections that are open.
    #[command(flatten)]
    pub(crate) survey: SurveyArgs,
}

/// `explain`, in full.
pub(crate) const ABOUT: &str = "\
When exactly a dead peer is noticed, or what a finding means.

With settings: the timeline of a connection that had them, step by step, from the peer's last segment \
to the error that the program gets: while the connection is idle, and while data is in flight. What is \
not given comes from the sysctls of this network namespace. This needs no privilege and reads no \
connection.

With selectors: the same of connections that are open. Those with equal settings are told together, \
the most frequent settings first.

With a code: the page of a finding. Without anything: the list of codes.";

const EXAMPLES: &str = "\
Examples:
  sockpulse explain --idle 60s --interval 10s --probes 6
  sockpulse explain --keepalive on      what the sysctls alone amount to
  sockpulse explain --idle 2m --user-timeout 30s --svg timeline.svg
  sockpulse explain --program redis-server
  sockpulse explain --remote 10.0.0.9:51234 -o json
  sockpulse explain SP001";

/// What is to be explained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked<'a> {
    /// Which codes there are.
    Codes,
    /// A finding.
    Page(&'a str),
    /// Settings that were given.
    Settings,
    /// Connections that are open.
    Connections,
}

impl ExplainArgs {
    /// What is asked; one thing at a time.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub(super) fn asked(&self) -> Result<Asked<'_>, CommandError> {
        let settings = self.settings != SettingsArgs::default() || self.keepalive.is_some();
        let connections = asks(&self.survey);
        let refuse = |text: &str, hint: &str| {
            Err(CommandError::new(ErrorKind::Usage, text).hint(hint.to_owned()))
        };
        match (&self.code, settings, connections) {
            (Some(_), true, _) => refuse(
                "a code is explained by its page, whatever the settings are",
                "leave the code out, or the settings",
            ),
            (Some(_), _, true) => refuse(
                "a code is explained by its page, whichever connections there are",
                "leave the code out to explain the settings of these connections",
            ),
            (None, true, true) => refuse(
                "open connections have settings of their own: give selectors, or settings",
                "leave the selectors out to explain the settings of a connection to come",
            ),
            (code, false, false) if self.svg.is_some() => {
                let what = if code.is_some() { "a page" } else { "a list" };
                refuse(
                    &format!("--svg draws timelines, and this is {what}"),
                    "sockpulse explain --idle 60s --svg timeline.svg",
                )
            }
            (Some(code), false, false) => Ok(Asked::Page(code)),
            (None, true, false) => Ok(Asked::Settings),
            (None, false, true) => Ok(Asked::Connections),
            (None, false, false) => Ok(Asked::Codes),
        }
    }
}

/// Whether an option was given that only makes sense for open connections.
fn asks(survey: &SurveyArgs) -> bool {
    let SurveyArgs {
        selectors,
        detect_within,
        source,
        accept_kernel_risk,
    } = survey;
    *selectors != SelectorArgs::default()
        || *detect_within != DETECT_WITHIN
        || *source != SourceChoice::default()
        || !accept_kernel_risk.is_empty()
}

/// What `--detect-within` is where it is not given.
const DETECT_WITHIN: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        explain: ExplainArgs,
    }

    #[test]
    fn one_thing_is_asked_at_a_time() {
        for (line, asked) in [
            ("explain", Ok(Asked::Codes)),
            ("explain SP001", Ok(Asked::Page("SP001"))),
            ("explain --idle 60s", Ok(Asked::Settings)),
            ("explain --user-timeout off", Ok(Asked::Settings)),
            ("explain --keepalive off", Ok(Asked::Settings)),
            ("explain --pid 7", Ok(Asked::Connections)),
            ("explain --netns all --svg x", Ok(Asked::Connections)),
            ("explain --source pidfd", Ok(Asked::Connections)),
            ("explain --detect-within 1m", Ok(Asked::Connections)),
            ("explain SP001 --idle 60s", Err("a code is explained")),
            ("explain SP001 --pid 7", Err("a code is explained")),
            ("explain --idle 60s --pid 7", Err("settings of their own")),
            ("explain --svg x", Err("this is a list")),
            ("explain SP001 --svg x", Err("this is a page")),
        ] {
            let parsed = Line::try_parse_from(line.split(' ')).unwrap();
            match (parsed.explain.asked(), asked) {
                (Ok(found), Ok(asked)) => assert_eq!(found, asked, "{line}"),
                (Err(error), Err(said)) => {
                    assert!(error.to_string().contains(said), "{line}: {error}");
                    assert_eq!((error.status(), error.hints().len()), (2, 1), "{line}");
                }
                (found, _) => panic!("{line}: {found:?}"),
            }
        }
    }
}
