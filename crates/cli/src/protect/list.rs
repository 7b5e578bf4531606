//! `protect --list`: the rules in force for connections to come.

use std::io::Write;

use serde_json::{Value as Json, json};
use sockpulse_bpf::protect::Accepted;
use sockpulse_core::protect::{Jitter, Mode};

use super::report::asked;
use super::rule::KernelRule;
use crate::app::Face;
use crate::append;
use crate::coverage::{counted, grouped, shown};
use crate::error::{CommandError, Exit};
use crate::options::OutputFormat;
use crate::sink::{InForce, RuleInForce};

/// Prints them.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn print(
    in_force: &InForce,
    face: &Face,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    if face.output == OutputFormat::Json {
        append::json_document(&mut text, &document(in_force).to_string());
        text.push(b'\n');
    } else {
        for line in lines(in_force) {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
    }
    out.write_all(&text)
        .and_then(|()| out.flush())
        .map_err(CommandError::output)?;
    if let Some(why) = &in_force.unread {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(
            stderr,
            "{}\nhint: end them: sockpulse unprotect",
            shown(why)
        );
        return Ok(Exit::Partial);
    }
    if in_force.missing.is_empty() {
        return Ok(Exit::Done);
    }
    // There is nowhere to say that stderr is closed.
    let _ = writeln!(
        stderr,
        "not attached: {}: somebody took it away\nhint: give a rule once more, or end them: \
         sockpulse unprotect",
        in_force.missing.join(", ")
    );
    Ok(Exit::Partial)
}

/// Prints what `unprotect` ended.
///
/// # Errors
/// When the output cannot be written.
pub(super) fn print_ended(
    ended: &[String],
    id: Option<u64>,
    dry_run: bool,
    face: &Face,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut text = Vec::new();
    if face.output == OutputFormat::Json {
        let document = json!({
            "schema_version": 1, "dry_run": dry_run, "id": id, "ended": ended,
        });
        append::json_document(&mut text, &document.to_string());
        text.push(b'\n');
    } else {
        let verb = if dry_run { "would be ended" } else { "ended" };
        for name in ended {
            text.extend_from_slice(format!("{verb}: {}\n", shown(name)).as_bytes());
        }
        let last = match id {
            _ if ended.is_empty() => "no rule is in force for connections to come".into(),
            Some(id) => format!("change {id}; taken back by: sockpulse undo {id}"),
            None => "nothing was changed: --dry-run".into(),
        };
        text.extend_from_slice(format!("{last}\n").as_bytes());
    }
    out.write_all(&text)
        .and_then(|()| out.flush())
        .map_err(CommandError::output)?;
    Ok(Exit::Done)
}

fn lines(in_force: &InForce) -> Vec<String> {
    if in_force.unread.is_some() {
        return vec!["rules are in force, and which cannot be told".into()];
    }
    if in_force.rules.is_empty() {
        return vec!["no rule is in force for connections to come".into()];
    }
    let mut lines = Vec::new();
    for (number, rule) in in_force.rules.iter().enumerate() {
        lines.extend(rule_lines(number + 1, rule));
    }
    let accepted = match in_force.accepted {
        Accepted::Inherit => "inherit from their listener",
        Accepted::Each => "are each decided over",
    };
    lines.push(format!("accepted connections {accepted}"));
    lines.push(format!("attached: {}", in_force.hooks.join(", ")));
    lines
}

fn rule_lines(number: usize, in_force: &RuleInForce) -> Vec<String> {
    let Some(rule) = KernelRule::parse(&in_force.text) else {
        return vec![format!("{number}  of another version")];
    };
    let mode = rule.rule.mode.name();
    let what = match rule.rule.mode {
        Mode::Off => format!("{mode}: keepalive off"),
        _ => format!(
            "{mode}: keepalive on{}",
            asked(&rule.rule.asked, Jitter::None)
        ),
    };
    let mut lines = vec![format!("{number}  {}", shown(&rule.rule.name))];
    let words = rule.selector_words().join(" ");
    if words != rule.rule.name && !words.is_empty() {
        lines.push(format!("   {}", shown(&words)));
    }
    lines.push(format!("   {what}"));
    lines.push(format!(
        "   {} set, {} right already, {} refused, {} local left out, {}",
        grouped(in_force.set),
        grouped(in_force.right),
        grouped(in_force.refused),
        grouped(in_force.local),
        format_args!("{} held", counted(in_force.held, "call"))
    ));
    lines
}

fn document(in_force: &InForce) -> Json {
    json!({
        "schema_version": 1,
        "rules": in_force.rules.iter().map(|rule| json!({
            "rule": serde_json::from_str::<Json>(&rule.text).unwrap_or_default(),
            "set": rule.set,
            "right": rule.right,
            "refused": rule.refused,
            "local": rule.local,
            "held": rule.held,
        })).collect::<Vec<_>>(),
        "accepted": accepted_name(in_force.accepted),
        "attached": in_force.hooks,
        "missing": in_force.missing,
        "unread": in_force.unread,
    })
}

pub(super) const fn accepted_name(accepted: Accepted) -> &'static str {
    match accepted {
        Accepted::Inherit => "inherit",
        Accepted::Each => "each",
    }
}
