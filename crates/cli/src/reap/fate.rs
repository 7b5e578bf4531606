//! What becomes of one that was to be ended.

use sockpulse_core::ping::{Answer, Verdict};
use sockpulse_linux::Error;
use sockpulse_linux::sock_diag::Memory;

use crate::ping::station::Station;
use crate::ping::subject::Subject;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is ended. Its buffers took this much, if that could be read.
    Destroyed(Option<Memory>),
    /// It was heard at the last moment.
    Spared,
    /// It had ended by itself, or its program has closed it.
    Gone,
    /// It could not be asked again, so that it was left.
    Unasked(String),
    /// The kernel refused.
    Failed(Error),
}

impl Fate {
    /// A stable word for JSON and the journal.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Destroyed(_) => "destroyed",
            Self::Spared => "spared",
            Self::Gone => "gone",
            Self::Unasked(_) => "unasked",
            Self::Failed(_) => "failed",
        }
    }

    /// Of one that was asked for the last time: it is looked at once more, then ended.
    pub(super) fn of_asked(
        station: &mut dyn Station,
        subject: &Subject,
        answer: &Answer,
        earlier: &Answer,
    ) -> Self {
        match answer.verdict {
            Verdict::Dead => {}
            Verdict::Alive | Verdict::Busy => return Self::Spared,
            Verdict::Refused => return Self::Gone,
            Verdict::Unknown if answer.gone.is_some() => return Self::Gone,
            Verdict::Unknown => {
                let why = answer.why.map(crate::ping::json::sentence);
                return Self::Unasked(why.unwrap_or_default());
            }
        }
        match still_silent(station, subject, answer, earlier) {
            Ok(true) => Self::destroy(station, subject),
            Ok(false) => Self::Spared,
            Err(fate) => fate,
        }
    }

    /// Of one that nobody asks: it has to be as silent as it was.
    pub(super) fn of_silent(station: &mut dyn Station, subject: &Subject) -> Self {
        match station.silence(subject) {
            Ok(Some(silence)) if Some(silence) >= subject.silence => {
                Self::destroy(station, subject)
            }
            Ok(Some(_)) => Self::Spared,
            Ok(None) => Self::Gone,
            Err(error) => Self::Failed(error),
        }
    }

    fn destroy(station: &mut dyn Station, subject: &Subject) -> Self {
        let memory = station.memory(subject);
        match station.destroy(subject) {
            Ok(true) => Self::Destroyed(memory),
            Ok(false) => Self::Gone,
            Err(error) => Self::Failed(error),
        }
    }
}

/// Whether nothing was heard since the first time that it was asked: some microseconds lie between this
/// look and the end.
fn still_silent(
    station: &mut dyn Station,
    subject: &Subject,
    answer: &Answer,
    earlier: &Answer,
) -> Result<bool, Fate> {
    use sockpulse_core::ping::Seen;
    let mut seen = Vec::new();
    let looked = station.look(&[subject], &mut seen);
    looked.map_err(|error| Fate::Unasked(error.to_string()))?;
    let now = match seen.pop() {
        Some(Ok(Seen::Glance(glance))) => glance,
        Some(Ok(Seen::Gone(_))) => return Err(Fate::Gone),
        Some(Err(why)) => return Err(Fate::Unasked(crate::ping::json::sentence(why))),
        None => return Err(Fate::Unasked("it was not seen".into())),
    };
    Ok([answer, earlier].into_iter().all(|told| {
        told.last.is_some_and(|then| {
            now.cookie == then.cookie && !now.heard_since(&then) && now.silence >= then.silence
        })
    }))
}
