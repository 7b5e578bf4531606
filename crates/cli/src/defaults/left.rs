//! What `undo` and `reset` leave as it is, and why.

use serde_json::{Value as Json, json};
use sockpulse_core::Gap;
use sockpulse_core::change::{Change, Target, Value};
use sockpulse_linux::Error;

use super::DocumentOrText;
use crate::apply;
use crate::coverage::shown;
use crate::error::Exit;
use crate::journal;

/// A change that is not turned round.
#[derive(Debug)]
pub(super) enum Left {
    /// Its namespace is gone, and the value with it.
    Gone(Target),
    /// It could not be looked at.
    Unreached {
        /// What.
        target: Target,
        /// Why not.
        why: String,
        /// What would help.
        hint: Option<String>,
    },
    /// A later change of ours set another value.
    Later {
        /// What would have been done.
        change: Change,
        /// That later one.
        id: u64,
    },
    /// Someone else set another value.
    Manual {
        /// What would have been done.
        change: Change,
        /// What we had left there.
        ours: Value,
    },
}

impl Left {
    pub(super) fn unreached(target: Target, error: &Error) -> Self {
        let hint = match (&target, error) {
            (Target::PersistedFile { path }, Error::NotAFile { .. }) => {
                let path = shown(path);
                Some(format!("look at it, and remove it: rm {path}"))
            }
            (Target::PersistedFile { .. }, _) if error.is_permission() => {
                Some("run as root".into())
            }
            (Target::Sysctl { .. }, _) if error.is_permission() => {
                Some("run as root, or grant CAP_SYS_ADMIN".into())
            }
            _ => None,
        };
        let why = error.reason();
        Self::Unreached { target, why, hint }
    }

    pub(super) const fn target(&self) -> &Target {
        match self {
            Self::Gone(target) | Self::Unreached { target, .. } => target,
            Self::Later { change, .. } | Self::Manual { change, .. } => &change.target,
        }
    }

    /// Whether a value still stands, or may stand, at this target.
    pub(super) fn stands_at(&self, target: &Target) -> bool {
        !matches!(self, Self::Gone(_)) && self.target().is(target)
    }

    fn lines(&self) -> Vec<String> {
        let name = apply::name(self.target());
        match self {
            Self::Gone(_) => vec![format!(
                "left: {name}: the namespace is gone, and its values with it"
            )],
            Self::Unreached { why, .. } => vec![format!("left: {name}: {}", shown(why))],
            Self::Later { change, id } => vec![match &change.target {
                Target::Sysctl { .. } => format!(
                    "left: {name}: change {id} set it to {} since",
                    apply::of_value(&change.before)
                ),
                _ => format!("left: {name}: change {id} wrote it since"),
            }],
            Self::Manual { change, ours } => changed_since(&name, change, ours),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Gone(_) => None,
            Self::Unreached { hint, .. } => hint.clone(),
            Self::Later { id, .. } => Some(format!(
                "undo what came later first: sockpulse undo {id} (or all since then: sockpulse undo \
                 --since DURATION)"
            )),
            Self::Manual { .. } => Some("--force overwrites it".into()),
        }
    }

    fn json(&self) -> Json {
        let what = apply::name(self.target());
        match self {
            Self::Gone(_) => json!({ "what": what, "why": "gone" }),
            Self::Unreached { why, .. } => {
                json!({ "what": what, "why": "out of reach", "error": why })
            }
            Self::Later { change, id } => {
                json!({ "what": what, "why": "changed later", "by": id,
                        "change": journal::of_change(change) })
            }
            Self::Manual { change, .. } => {
                json!({ "what": what, "why": "changed since",
                        "change": journal::of_change(change) })
            }
        }
    }
}

/// Of a file the lines that someone else changed.
fn changed_since(name: &str, change: &Change, ours: &Value) -> Vec<String> {
    if let Target::Sysctl { .. } = change.target {
        return vec![format!(
            "left: {name} was changed since: it is {} now, not {}, and was {} before",
            apply::of_value(&change.before),
            apply::of_value(ours),
            apply::of_value(&change.after)
        )];
    }
    let mut lines = vec![match change.before {
        Value::Absent => format!("left: {name} was removed since"),
        _ => format!("left: {name} was changed since:"),
    }];
    if change.before != Value::Absent {
        lines.extend(apply::file_difference(ours, &change.before));
    }
    lines
}

/// Says what is left, why, and what would help.
pub(super) fn tell(all: &[Left], gaps: &[Gap], report: &mut DocumentOrText<'_>) -> Exit {
    let mut exit = Exit::Done;
    let mut hints: Vec<String> = Vec::new();
    for left in all {
        left.lines().into_iter().for_each(|line| report.warn(line));
        hints.extend(left.hint());
        if !matches!(left, Left::Gone(_)) {
            exit = Exit::Partial;
        }
    }
    if all
        .iter()
        .any(|left| matches!(left, Left::Unreached { .. }))
    {
        for gap in gaps {
            let (what, why) = (shown(&gap.what), shown(&gap.why));
            report.warn(format!("not seen: {what}: {why}"));
            hints.extend(gap.remedy.as_deref().map(shown));
        }
    }
    let mut told: Vec<&String> = Vec::new();
    for hint in &hints {
        if !told.contains(&hint) {
            report.warn(format!("hint: {hint}"));
            told.push(hint);
        }
    }
    report.field("left", all.iter().map(Left::json).collect());
    exit
}
