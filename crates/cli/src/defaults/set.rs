//! `sockpulse defaults set`.

use std::io::Write;

use serde_json::{Value as Json, json};
use sockpulse_core::change::{Danger, Observed, Wish, dangers, plan_defaults};
use sockpulse_core::human;

use super::args::SetArgs;
use super::impact::{Impact, Remember};
use super::{DocumentOrText, persist, rearm, survey_options};
use crate::app::Face;
use crate::apply::{self, Applied, Plan};
use crate::coverage::shown;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::Machine;
use crate::options::NetnsChoice;
use crate::screen::noticed_after;
use crate::sink::{ChangeSink, Found};

/// Runs the command.
///
/// # Errors
/// When it is refused, when nothing could be changed, or when the output cannot be written.
pub(super) fn run(
    args: &SetArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let wish = args.wish();
    if wish.is_empty() && !args.rearm {
        let message = "nothing to set: name --idle, --interval or --probes";
        return Err(CommandError::new(ErrorKind::Usage, message)
            .hint("sockpulse defaults set --idle 2m --interval 20s --probes 5"));
    }
    if wish.is_empty() && args.persist {
        let message = "nothing to write: --persist needs --idle, --interval or --probes";
        return Err(CommandError::new(ErrorKind::Usage, message));
    }
    let mut report = DocumentOrText::new(face, "defaults set")?;
    let netns = if args.netns.is_empty() {
        vec![NetnsChoice::Own]
    } else {
        args.netns.clone()
    };
    let mut sink = (machine.changes)();
    let found = sink.namespaces(&netns)?;
    let dangers = judged(&wish, &found, args)?;
    let (plan, obstacles) = planned(&*sink, &wish, &found, args.persist)?;
    let applied = if args.writing.dry_run {
        None
    } else {
        Some(apply::apply(&mut *sink, &args.writing.state_dir, &plan)?)
    };
    report.changes(&plan.changes, applied.as_ref());
    tell_dangers(&mut report, &dangers);
    if applied
        .as_ref()
        .is_none_or(|applied| applied.failure.is_none())
    {
        tell_effect(&mut report, &wish, &found, &plan, args);
    }
    let mut exit = told(&mut report, applied.as_ref(), &plan, &found);
    if !obstacles.is_empty() {
        exit = Exit::Partial;
    }
    for obstacle in &obstacles {
        report.warn(format!("overridden: {obstacle}"));
    }
    report.field("overridden", obstacles.into());
    if args.persist && !found.namespaces.iter().any(|one| one.key.host) {
        report.warn(
            "note: the file is read at boot for the host's network namespace, not for this one"
                .into(),
        );
    }
    if !args.writing.dry_run {
        let remember = if args.rearm {
            Remember::Waiting
        } else {
            Remember::Nothing
        };
        let impact = impact(machine, &netns, remember, &mut report)?;
        if args.rearm {
            let rearmed = rearm::all(&mut *sink, &impact.waiting, args.spread, stderr);
            if rearmed.tell(&mut report) == Exit::Partial {
                exit = Exit::Partial;
            }
        }
    } else if args.rearm {
        report.say("timers that were armed before would be armed anew".into());
    }
    report.finish(out, stderr)?;
    Ok(exit)
}

/// Refuses what harms.
fn judged(wish: &Wish, found: &Found, args: &SetArgs) -> Result<Vec<Danger>, CommandError> {
    let mut all: Vec<Danger> = Vec::new();
    for inhabited in &found.namespaces {
        let Some(defaults) = &inhabited.namespace.defaults else {
            continue;
        };
        for danger in dangers(wish, defaults) {
            if !all.contains(&danger) {
                all.push(danger);
            }
        }
    }
    let refused: Vec<String> = all
        .iter()
        .filter(|danger| danger.is_refused())
        .map(|danger| danger.sentence())
        .collect();
    if refused.is_empty() || args.force {
        return Ok(all);
    }
    let message = format!("refused: {}", refused.join("; "));
    Err(CommandError::new(ErrorKind::Usage, message).hint("--force sets it all the same"))
}

fn planned(
    sink: &dyn ChangeSink,
    wish: &Wish,
    found: &Found,
    persist: bool,
) -> Result<(Plan, Vec<String>), CommandError> {
    const REASON: &str = "asked for";
    let observed: Vec<Observed> = found
        .namespaces
        .iter()
        .filter_map(|inhabited| {
            Some(Observed {
                netns: inhabited.key.clone(),
                defaults: inhabited.namespace.defaults.clone()?,
            })
        })
        .collect();
    let mut file = persist::FilePlan::default();
    if persist {
        file = persist::plan(sink, wish, REASON)?;
    }
    let mut changes = file.changes;
    changes.extend(plan_defaults(&observed, wish, REASON));
    let plan = Plan {
        command: "defaults set",
        undoes: Vec::new(),
        changes,
    };
    Ok((plan, file.obstacles))
}

fn tell_dangers(report: &mut DocumentOrText<'_>, dangers: &[Danger]) {
    let sentences: Vec<String> = dangers.iter().map(|danger| danger.sentence()).collect();
    for sentence in &sentences {
        report.warn(format!("warning: {sentence}"));
    }
    report.field("warnings", sentences.into());
}

/// What the values amount to, where all namespaces end with the same.
fn tell_effect(
    report: &mut DocumentOrText<'_>,
    wish: &Wish,
    found: &Found,
    plan: &Plan,
    args: &SetArgs,
) {
    if wish.is_empty() {
        return;
    }
    let defaults = || {
        found
            .namespaces
            .iter()
            .filter_map(|one| one.namespace.defaults.as_ref())
    };
    if plan.changes.is_empty() {
        let names: Vec<_> = found
            .namespaces
            .iter()
            .map(|one| shown(&one.namespace.name))
            .collect();
        report.say(format!(
            "nothing to change: {} has these values",
            names.join(", ")
        ));
        return;
    }
    let noticed = |after: Option<std::time::Duration>| match after {
        Some(after) => format!("after {}", human(after)),
        None => "never".into(),
    };
    let mut before: Vec<_> = defaults().map(noticed_after).collect();
    let mut after: Vec<_> = defaults()
        .map(|had| noticed_after(&wish.over(had)))
        .collect();
    before.dedup();
    after.dedup();
    if let ([before], [after]) = (&before[..], &after[..])
        && before != after
    {
        let would = if args.writing.dry_run {
            "would be"
        } else {
            "is"
        };
        report.say(format!(
            "a dead peer {would} noticed {}, not {}, by connections that follow",
            noticed(*after),
            noticed(*before)
        ));
    }
}

/// What became of it, and how to come back.
fn told(
    report: &mut DocumentOrText<'_>,
    applied: Option<&Applied>,
    plan: &Plan,
    found: &Found,
) -> Exit {
    let mut exit = Exit::Done;
    for gap in &found.gaps {
        report.warn(format!(
            "not seen: {}: {}",
            shown(&gap.what),
            shown(&gap.why)
        ));
        exit = Exit::Partial;
    }
    let Some(applied) = applied else {
        return exit;
    };
    if report.outcome(applied, &plan.changes) == Exit::Partial {
        exit = Exit::Partial;
    }
    exit
}

fn impact(
    machine: &Machine,
    netns: &[NetnsChoice],
    remember: Remember,
    report: &mut DocumentOrText<'_>,
) -> Result<Impact, CommandError> {
    let mut impact = Impact::default();
    let surveyed = (machine.survey)(&survey_options(netns), &mut |row| {
        impact.add(row, remember);
        Ok(())
    });
    match surveyed {
        Ok(_) => {}
        // The values are set: that connections could not be read does not take it back.
        Err(error) if remember == Remember::Nothing => {
            report.warn(format!("note: connections could not be counted: {error}"));
            report.field("impact", Json::Null);
            return Ok(impact);
        }
        Err(error) => return Err(error),
    }
    for line in impact.lines() {
        report.say(line);
    }
    let rearming = remember == Remember::Waiting;
    let hints = impact.hints(&way_in(netns)).into_iter();
    for hint in hints.filter(|hint| !(rearming && hint.contains("--rearm"))) {
        report.warn(format!("hint: {hint}"));
    }
    report.field("impact", impact.json());
    report.field("rearm", json!(null));
    Ok(impact)
}

/// The namespaces as they were named, to be pasted; what is not plain is not.
fn way_in(netns: &[NetnsChoice]) -> String {
    let words = netns.iter().map(|choice| match choice {
        NetnsChoice::All => " --netns all".to_owned(),
        NetnsChoice::Own => String::new(),
        NetnsChoice::Named(name) => {
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-+@".contains(c);
            let name = if name.chars().all(plain) {
                name
            } else {
                "NAME"
            };
            format!(" --netns {name}")
        }
    });
    words.collect()
}
