//! Which readers serve: the best that the kernel and the caller's rights allow, or the one asked for.

use sockpulse_bpf::risk::RiskAccepted;
use sockpulse_bpf::{IterTcp, TaskFile};
use sockpulse_core::Hz;

use super::Start;
use crate::error::{CommandError, ErrorKind};
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

impl Sources {
    /// For the log.
    pub(super) const fn describe(&self) -> &'static str {
        match self {
            Self::Bpf {
                rest: Rest::SockDiag,
                ..
            } => "BPF's task_file iterator and sock_diag",
            Self::Bpf {
                rest: Rest::IterTcp(_),
                ..
            } => "BPF's task_file and tcp iterators",
            Self::Borrow => "sock_diag and duplicated descriptors",
            Self::SockDiag => "sock_diag alone",
        }
    }
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

/// Chooses, and notes what the choice loses. The iterators' records count in ticks, so they are of no
/// use where the tick rate is unknown.
pub(super) fn choose(
    options: &SurveyOptions,
    hz: Option<Hz>,
    start: &mut Start,
) -> Result<Sources, CommandError> {
    let risk = risks_accepted(&options.accepted_risks)?;
    let task_file = || match hz {
        Some(_) => Ok::<_, CommandError>(TaskFile::load()?),
        None => Err(CommandError::new(
            ErrorKind::Incomplete,
            "failed to measure the kernel's tick rate, by which its iterators count",
        )
        .hint("use --source pidfd, which does without")),
    };
    match options.source {
        SourceChoice::SockDiag => Ok(Sources::SockDiag),
        SourceChoice::Pidfd => Ok(Sources::Borrow),
        SourceChoice::TaskFile => {
            let task_file = task_file()?;
            let rest = Rest::SockDiag;
            Ok(Sources::Bpf { task_file, rest })
        }
        SourceChoice::IterTcp => {
            let task_file = task_file()?;
            let rest = Rest::IterTcp(IterTcp::load(risk)?);
            Ok(Sources::Bpf { task_file, rest })
        }
        SourceChoice::Auto => Ok(match task_file() {
            Ok(task_file) => {
                let rest = IterTcp::load(risk).map_or(Rest::SockDiag, Rest::IterTcp);
                Sources::Bpf { task_file, rest }
            }
            Err(error) => {
                start.notes.push(format!(
                    "settings are read through duplicated descriptors: {error}"
                ));
                Sources::Borrow
            }
        }),
    }
}
