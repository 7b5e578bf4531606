//! `sockpulse defaults set`.

use std::io::Write;
use std::time::Duration;

use serde_json::Value as Json;
use sockpulse_core::change::{Danger, Observed, Undoes, Wish, dangers, plan_defaults};
use sockpulse_core::human;

use super::args::SetArgs;
use super::impact::{Impact, Remember};
use super::preview::Preview;
use super::rearm::{self, Unseen};
use super::{DocumentOrText, persist, survey_options};
use crate::app::Face;
use crate::apply::{self, Applied, Plan};
use crate::coverage::{self, shown};
use crate::error::{CommandError, ErrorKind, Exit};
use crate::journal::Past;
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
    refuse_nothing(args)?;
    let mut report = DocumentOrText::new(face, "defaults set")?;
    let netns = if args.netns.is_empty() {
        vec![NetnsChoice::Own]
    } else {
        args.netns.clone()
    };
    let mut sink = (machine.changes)();
    let state_dir = &args.writing.state_dir;
    let plan = |sink: &mut dyn ChangeSink, _: &Past| planned(sink, args, &netns);
    let (planned, applied) = if args.writing.dry_run {
        (plan(&mut *sink, &Past::default())?, None)
    } else {
        let (planned, applied) = apply::carry_out(&mut *sink, state_dir, stderr, plan)?;
        (planned, Some(applied))
    };
    let in_vain = applied.as_ref().is_some_and(Applied::is_in_vain);
    let setting = Setting {
        args,
        planned,
        applied,
    };
    if args.writing.dry_run {
        report.rehearse(&mut *sink, &setting.planned.plan, state_dir);
    }
    let mut exit = setting.tell(&mut report);
    if in_vain || args.persist_only {
        // No connection is reached by what was not set.
        report.field("impact", Json::Null);
        report.field("rearm", Json::Null);
    } else if !args.writing.dry_run {
        report.print_so_far(out)?;
        let after = afterwards(args, &netns, machine, &mut *sink, &mut report, stderr);
        exit = exit.and(after);
    } else if report.is_possible() {
        let preview = Preview::new(&setting.planned.found, &args.wish(), sink.hz());
        exit = exit.and(preview.tell(args, &netns, machine, &mut report));
    }
    report.finish(out, stderr)?;
    Ok(exit)
}

fn refuse_nothing(args: &SetArgs) -> Result<(), CommandError> {
    let message = match (args.wish().is_empty(), args.persists(), args.rearm) {
        (true, true, _) => "nothing to write: --persist needs --idle, --interval or --probes",
        (true, false, false) => "nothing to set: name --idle, --interval or --probes",
        _ => return Ok(()),
    };
    let persist = if args.persists() { " --persist" } else { "" };
    let hint = format!("sockpulse defaults set --idle 2m --interval 20s --probes 5{persist}");
    Err(CommandError::new(ErrorKind::Usage, message).hint(hint))
}

/// Whoever names a namespace and asks for a file means a file of that namespace, and there is none.
fn refuse_file_of_another(args: &SetArgs, found: &Found) -> Result<(), CommandError> {
    let mut namespaces = found.namespaces.iter();
    let of_another = !args.netns.is_empty()
        && !namespaces.any(|one| one.key.host || one.namespace.own)
        && !found.namespaces.is_empty();
    if !args.persists() || args.force || !of_another {
        return Ok(());
    }
    let names: Vec<String> = found
        .namespaces
        .iter()
        .map(|one| shown(&one.namespace.name))
        .collect();
    let message = format!(
        "refused: --persist writes the host's file, which is not read for {}",
        names.join(", ")
    );
    let mut error = CommandError::new(ErrorKind::Usage, message)
        .hint("leave --persist out: the values hold as long as the namespace lives");
    if let Some((sysctl, value)) = args.wish().values().next() {
        error = error.hint(format!(
            "for those to come, start the container with it: --sysctl {}={value}; `sockpulse doctor` \
             shows more ways",
            sysctl.key()
        ));
    }
    Err(error.hint("--force writes the host's file all the same"))
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

/// What was found, and what is to be made of it.
struct Planned {
    found: Found,
    dangers: Vec<Danger>,
    plan: Plan,
    /// Lines of files that decide all the same.
    obstacles: Vec<persist::Overridden>,
}

impl AsRef<Plan> for Planned {
    fn as_ref(&self) -> &Plan {
        &self.plan
    }
}

fn planned(
    sink: &mut dyn ChangeSink,
    args: &SetArgs,
    netns: &[NetnsChoice],
) -> Result<Planned, CommandError> {
    const REASON: &str = "asked for";
    let wish = args.wish();
    let found = sink.namespaces(netns)?;
    let dangers = judged(&wish, &found, args)?;
    refuse_file_of_another(args, &found)?;
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
    if args.persists() {
        file = persist::plan(sink, &wish, REASON)?;
    }
    let mut changes = file.changes;
    if !args.persist_only {
        changes.extend(plan_defaults(&observed, &wish, REASON));
    }
    let plan = Plan {
        command: apply::SET,
        undoes: Undoes::default(),
        changes,
    };
    Ok(Planned {
        found,
        dangers,
        plan,
        obstacles: file.obstacles,
    })
}

/// What was set, as it is told.
struct Setting<'a> {
    args: &'a SetArgs,
    planned: Planned,
    /// `None`: it is only to be seen what would be done.
    applied: Option<Applied>,
}

impl Setting<'_> {
    fn tell(&self, report: &mut DocumentOrText<'_>) -> Exit {
        let applied = self.applied.as_ref();
        report.changes(&self.planned.plan.changes, applied);
        let fails = applied.is_some_and(|applied| applied.failure.is_some());
        if !fails && report.is_possible() {
            report.lines(self.effect());
        }
        let mut exit = applied.map_or(Exit::Done, |applied| {
            report.outcome(applied, &self.planned.plan.changes)
        });
        let sentences: Vec<String> = self
            .planned
            .dangers
            .iter()
            .map(|danger| danger.sentence())
            .collect();
        for sentence in &sentences {
            report.warn(format!("warning: {sentence}"));
        }
        report.field("warnings", sentences.into());
        let gaps = coverage::gap_lines(&self.planned.found.gaps);
        gaps.into_iter().for_each(|line| report.warn(line));
        for obstacle in &self.planned.obstacles {
            report.warn(format!("overridden: {}", obstacle.sentence()));
        }
        if !self.planned.found.gaps.is_empty() || !self.planned.obstacles.is_empty() {
            exit = exit.and(Exit::Partial);
        }
        let overridden = self.planned.obstacles.iter();
        report.field(
            "overridden",
            overridden.map(persist::Overridden::json).collect(),
        );
        if self.args.persists() && !self.planned.found.namespaces.iter().any(|one| one.key.host) {
            let note = "note: the file is read at boot for the host's network namespace, not for \
                        this one";
            report.warn(note.into());
        }
        exit
    }

    /// What the values amount to, where all namespaces end with the same.
    fn effect(&self) -> Option<String> {
        let wish = self.args.wish();
        if wish.is_empty() {
            return None;
        }
        if self.args.persist_only {
            let nothing = self.planned.plan.changes.is_empty();
            let what = if nothing {
                "nothing to change: the file has these values"
            } else {
                "what holds now stays until the next boot"
            };
            return Some(what.into());
        }
        let namespaces = &self.planned.found.namespaces;
        if self.planned.plan.changes.is_empty() {
            let who = match &namespaces[..] {
                [one] => format!("{} has", shown(&one.namespace.name)),
                all => format!("all {} namespaces have", all.len()),
            };
            return Some(format!("nothing to change: {who} these values"));
        }
        let defaults = || {
            namespaces
                .iter()
                .filter_map(|one| one.namespace.defaults.as_ref())
        };
        let before = defaults().map(noticed_after);
        let after = defaults().map(|had| noticed_after(&wish.over(had)));
        let (before, after) = (the_one(before)?, the_one(after)?);
        let noticed = |after: Option<Duration>| match after {
            Some(after) => format!("after {}", human(after)),
            None => "never".into(),
        };
        let is = if self.args.writing.dry_run {
            "would be"
        } else {
            "is"
        };
        let unprobed = defaults().map(|had| wish.over(had).probes < 1);
        if unprobed.into_iter().any(|unprobed| unprobed) {
            // Only a warning says what that is.
            return None;
        }
        (before != after).then(|| {
            format!(
                "a dead peer {is} noticed {}, not {}, by connections that follow",
                noticed(after),
                noticed(before)
            )
        })
    }
}

/// What all of them are, if they are alike.
fn the_one<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// Counts whom the defaults reach, and arms old timers anew.
fn afterwards(
    args: &SetArgs,
    netns: &[NetnsChoice],
    machine: &Machine,
    sink: &mut dyn ChangeSink,
    report: &mut DocumentOrText<'_>,
    stderr: &mut dyn Write,
) -> Exit {
    let remember = if args.rearm {
        Remember::Waiting
    } else {
        Remember::Nothing
    };
    report.field("impact", Json::Null);
    report.field("rearm", Json::Null);
    let mut impact = Impact::default();
    let surveyed = (machine.survey)(&survey_options(netns), &mut |row| {
        impact.add(row, remember);
        Ok(())
    });
    let coverage = match surveyed {
        Ok(surveyed) => surveyed.coverage,
        Err(error) => {
            // The values are set all the same.
            report.warn(format!("note: connections could not be read: {error}"));
            return if args.rearm {
                Exit::Partial
            } else {
                Exit::Done
            };
        }
    };
    report.lines(if args.rearm {
        impact.kinds()
    } else {
        impact.lines()
    });
    report.field("impact", impact.json());
    let hints = impact.hints(&way_in(netns)).into_iter();
    for hint in hints.filter(|hint| !(args.rearm && hint.contains("--rearm"))) {
        report.warn(format!("hint: {hint}"));
    }
    if !args.rearm {
        return Exit::Done;
    }
    let unseen = Unseen::of(&impact, &coverage);
    rearm::all(sink, &impact.waiting, args.spread, stderr).tell(&unseen, report)
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
