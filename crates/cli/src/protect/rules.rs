//! The kernel's rules for connections to come: changed, listed, ended, and put back.

use std::io::Write;
use std::path::Path;

use serde_json::{Value as Json, json};
use sockpulse_bpf::protect::Accepted;
use sockpulse_core::change::{Change, Target, Undoes, Value};

use super::rule::KernelRule;
use crate::error::{CommandError, ErrorKind};
use crate::journal::{self, Journal};
use crate::sink::{ChangeSink, Hooks, InForce};

/// What is to be in force.
#[derive(Debug)]
pub struct Rules {
    /// The first that matches decides.
    pub rules: Vec<KernelRule>,
    /// Who decides over accepted connections.
    pub accepted: Accepted,
}

/// What a change of the rules came to.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The transaction's number; `None` when everything was so already.
    pub(crate) id: Option<u64>,
    pub(crate) in_force: InForce,
}

/// How a change stands in the journal.
pub(super) struct Entry<'a> {
    pub(super) command: &'a str,
    pub(super) undoes: Undoes,
    pub(super) reason: String,
}

impl Rules {
    /// Those in force.
    ///
    /// # Errors
    /// When another version has written one.
    pub(crate) fn of(in_force: &InForce) -> Result<Self, CommandError> {
        if let Some(why) = &in_force.unread {
            return Err(CommandError::new(ErrorKind::Incomplete, why.clone())
                .hint("end them: sockpulse unprotect"));
        }
        let rules = in_force.rules.iter().map(|rule| parsed(&rule.text));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            accepted: in_force.accepted,
        })
    }

    /// As it stands in the journal; without rules there is nothing.
    fn value(&self) -> Value {
        if self.rules.is_empty() {
            return Value::Absent;
        }
        let rules = self.rules.iter().map(|one| one.text.as_str());
        let accepted = match self.accepted {
            Accepted::Inherit => "inherit",
            Accepted::Each => "each",
        };
        let text = json!({ "accepted": accepted, "rules": rules.collect::<Vec<_>>() });
        Value::Text(text.to_string())
    }

    /// Reads what stands in the journal.
    ///
    /// # Errors
    /// When another version has written it.
    pub(super) fn from_value(value: &Value) -> Result<Self, CommandError> {
        let none = Self {
            rules: Vec::new(),
            accepted: Accepted::Inherit,
        };
        let Value::Text(text) = value else {
            return Ok(none);
        };
        let json: Json = serde_json::from_str(text).unwrap_or_default();
        let (Some(rules), Some(accepted)) = (json["rules"].as_array(), json["accepted"].as_str())
        else {
            return Err(foreign());
        };
        let rules = rules
            .iter()
            .map(|rule| parsed(rule.as_str().unwrap_or_default()));
        Ok(Self {
            rules: rules.collect::<Result<_, _>>()?,
            accepted: match accepted {
                "each" => Accepted::Each,
                _ => Accepted::Inherit,
            },
        })
    }
}

fn parsed(text: &str) -> Result<KernelRule, CommandError> {
    KernelRule::parse(text).ok_or_else(foreign)
}

fn foreign() -> CommandError {
    let message = "failed to understand a rule: another version of sockpulse has written it";
    CommandError::new(ErrorKind::Incomplete, message).hint("end them all: sockpulse unprotect")
}

/// Changes what is in force: `edit` makes the new rules of the old ones while no other command can.
///
/// # Errors
/// When the journal or the kernel's rules cannot be read or written: then what was in force still is.
pub(super) fn change(
    sink: &mut dyn ChangeSink,
    hooks: &Hooks,
    state_dir: &Path,
    entry: &Entry<'_>,
    stderr: &mut dyn Write,
    edit: impl FnOnce(&InForce) -> Result<Rules, CommandError>,
) -> Result<Changed, CommandError> {
    let mut journal = Journal::open(state_dir, stderr)?;
    let in_force = sink.rules(&hooks.pins)?;
    let wanted = wanted(&in_force, edit)?;
    let (before, after) = (before(&in_force), wanted.value());
    if before == after && in_force.missing.is_empty() {
        return Ok(Changed { id: None, in_force });
    }
    let change = Change {
        target: Target::Rules {
            pins: hooks.pins.display().to_string(),
        },
        before,
        after,
        reason: entry.reason.clone(),
    };
    let begun = journal.intend(sink.clock(), entry.command, &entry.undoes, &[change])?;
    let id = begun.id;
    let set = sink.set_rules(hooks, &wanted);
    let outcome = match &set {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    };
    journal.conclude(begun, sink.clock(), &[outcome])?;
    Ok(Changed {
        id: Some(id),
        in_force: set?,
    })
}

/// What [`change`] would put into force, if nothing stands in its way.
///
/// # Errors
/// What does.
pub(super) fn rehearse(
    sink: &mut dyn ChangeSink,
    hooks: &Hooks,
    state_dir: &Path,
    edit: impl FnOnce(&InForce) -> Result<Rules, CommandError>,
) -> Result<Rules, CommandError> {
    let in_force = sink.rules(&hooks.pins)?;
    let wanted = wanted(&in_force, edit)?;
    if before(&in_force) != wanted.value() || !in_force.missing.is_empty() {
        sink.check_rules(hooks, &wanted)?;
        journal::may_write(state_dir)?;
    }
    Ok(wanted)
}

fn wanted(
    in_force: &InForce,
    edit: impl FnOnce(&InForce) -> Result<Rules, CommandError>,
) -> Result<Rules, CommandError> {
    let mut wanted = edit(in_force)?;
    // As long as rules are in force, connections that are each decided over remain so.
    if in_force.accepted == Accepted::Each && !in_force.rules.is_empty() {
        wanted.accepted = Accepted::Each;
    }
    Ok(wanted)
}

/// As it stands in the journal. What another version wrote can be ended, not put back.
fn before(in_force: &InForce) -> Value {
    match Rules::of(in_force) {
        Ok(rules) => rules.value(),
        Err(_) => Value::Text("{}".into()),
    }
}

/// The rules in force as they are compared.
pub(super) fn standing(in_force: &InForce) -> Vec<String> {
    texts(&before(in_force))
}

/// The rules that a value of the journal tells of. Who decides over accepted connections follows from
/// them and from what was in force before them, so that it makes no difference.
pub(super) fn texts(value: &Value) -> Vec<String> {
    let Value::Text(text) = value else {
        return Vec::new();
    };
    let json: Json = serde_json::from_str(text).unwrap_or_default();
    match json["rules"].as_array() {
        Some(rules) => rules
            .iter()
            .map(|rule| rule.as_str().unwrap_or_default().to_owned())
            .collect(),
        None => vec![text.clone()],
    }
}
