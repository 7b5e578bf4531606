//! Which readers serve: the best that the kernel and the caller's rights allow, or the one asked for.

use sockpulse_bpf::risk::RiskAccepted;
use sockpulse_bpf::{IterTcp, TaskFile};
use sockpulse_core::Hz;

use super::Start;
use crate::error::CommandError;
use crate::options::{SourceChoice, SurveyOptions};

/// The readers of one survey.
pub(super) enum Sources {
    /// `task_file` for what processes hold, another for the rest.
    Bpf { task_file: TaskFile, rest: Rest },
    /// sock_diag, with settings through duplicated descriptors.
    Borrow,
    /// sock_diag alone.
    SockDiag,
}

/// Who shows the sockets that no process holds.
pub(super) enum Rest {
    SockDiag,
    IterTcp(IterTcp),
}

/// The risks that the caller takes, by name.
///
/// # Errors
/// When a name is unknown.
pub(crate) fn risks_accepted(ids: &[String]) -> Result<RiskAccepted, CommandError> {
    let mut accepted = RiskAccepted::NONE;
    for id in ids {
        accepted = RiskAccepted::named(id)?;
    }
    Ok(accepted)
}

/// Chooses, and notes what the choice loses.
pub(super) fn choose(options: &SurveyOptions, start: &mut Start) -> Result<Sources, CommandError> {
    let risk = risks_accepted(&options.accepted_risks)?;
    match options.source {
        SourceChoice::SockDiag => Ok(Sources::SockDiag),
        SourceChoice::Pidfd => Ok(Sources::Borrow),
        SourceChoice::TaskFile => Ok(Sources::Bpf {
            task_file: TaskFile::load()?,
            rest: Rest::SockDiag,
        }),
        SourceChoice::IterTcp => Ok(Sources::Bpf {
            task_file: TaskFile::load()?,
            rest: Rest::IterTcp(IterTcp::load(risk)?),
        }),
        SourceChoice::Auto => Ok(match TaskFile::load() {
            Ok(task_file) => {
                let rest = match IterTcp::load(risk) {
                    Ok(iterator) => Rest::IterTcp(iterator),
                    Err(_) => Rest::SockDiag,
                };
                Sources::Bpf { task_file, rest }
            }
            Err(error) => {
                start.notes.push(format!(
                    "settings are read through duplicated descriptors: failed to {error}"
                ));
                Sources::Borrow
            }
        }),
    }
}

/// Without a tick rate jiffies cannot be told in seconds; every Linux since 2.6.13 offers 250 as the
/// default.
pub(super) fn hz_or_default(hz: Option<Hz>) -> Hz {
    hz.or(Hz::new(250))
        .unwrap_or_else(|| unreachable!("250 is a tick rate"))
}
