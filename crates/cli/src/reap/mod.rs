//! `sockpulse reap`: ends connections whose peers are dead.

pub(crate) mod args;
mod end;
mod fate;
mod left;
mod record;
mod report;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::AtomicBool;

use sockpulse_core::Cookie;
use sockpulse_core::ping::{Answer, Verdict, Why};

use crate::app::Face;
use crate::coverage::counted;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::Machine;
use crate::ping::asking::{self, Told};
use crate::ping::course::Course;
use crate::ping::pacer::Pacer;
use crate::ping::pins::Pins;
use crate::ping::progress::Progress;
use crate::ping::station::{MethodChoice, Stations};
use crate::ping::subject::Subject;
use crate::ping::{Asked, Found};
use crate::terminal::Palette;
use args::ReapArgs;
use end::Ending;
use report::Report;

/// As it stands in the journal.
const COMMAND: &str = "reap";

/// Runs the command.
///
/// # Errors
/// When nothing could be read, nobody consents, nothing may be ended, or the output cannot be written.
pub(crate) fn run(
    args: &ReapArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    may_run(args, machine)?;
    let found = Found::gather(machine, &args.survey.options())?;
    let mut report = Report::new(args, found);
    if report.found.subjects.is_empty() {
        return report.print(face, out, stderr);
    }
    let cookies: Vec<Cookie> = report
        .found
        .subjects
        .iter()
        .map(|one| one.id.cookie)
        .collect();
    let method = if args.unverified {
        MethodChoice::Nobody
    } else {
        args.asking.method
    };
    let stations = (machine.stations)(method, &cookies)?;
    for note in stations.notes() {
        // There is nowhere to say that stderr is closed.
        let _ = writeln!(stderr, "{note}");
    }
    let pins = Pins::begin(
        machine,
        &args.writing.state_dir,
        COMMAND,
        &*stations,
        &report.found.subjects,
        stderr,
    );
    let result = carry_out(args, face, machine, &*stations, &mut report, stderr);
    pins.finish(&*stations, &report.found.subjects, stderr);
    result?;
    report.print(face, out, stderr)
}

/// Asks, and ends those who are dead.
fn carry_out(
    args: &ReapArgs,
    face: &Face,
    machine: &Machine,
    stations: &dyn Stations,
    report: &mut Report<'_>,
    stderr: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut dead = if args.unverified {
        silent(&report.found.subjects)
    } else {
        verified(args, face, stations, &mut report.found)?
    };
    report.dead = dead.len();
    report.interrupted = stations.is_interrupted();
    if args.writing.dry_run || dead.is_empty() || report.interrupted {
        report.listed = dead;
        return Ok(());
    }
    if !args.yes {
        report.listed = dead;
        // Whoever consents has seen to what. There is nowhere to say that stderr is closed.
        let _ = stderr.write_all(&report.list(face.width, Palette::Plain));
        report.declined = !consents(machine, &report.listed);
        dead = std::mem::take(&mut report.listed);
    }
    if report.declined {
        report.listed = dead;
        return Ok(());
    }
    let ending = Ending {
        args,
        machine,
        stations,
    };
    report.ended = Some(ending.end(dead, stderr)?);
    Ok(())
}

/// Refuses what could not be carried out before anybody is asked.
fn may_run(args: &ReapArgs, machine: &Machine) -> Result<(), CommandError> {
    if args.unverified && args.survey.selectors.silent_for.is_empty() {
        let message =
            "--unverified ends connections that may be alive: say how long they are silent";
        return Err(CommandError::new(ErrorKind::Usage, message)
            .hint("--silent-for 1d, or leave --unverified out: then they are asked"));
    }
    if !args.yes && !args.writing.dry_run && (machine.consent)(None).is_none() {
        let message = "there is no terminal on which somebody could consent";
        return Err(CommandError::new(ErrorKind::Usage, message)
            .hint("--yes ends them all the same; --dry-run shows which they would be"));
    }
    Ok(())
}

fn consents(machine: &Machine, dead: &[Asked]) -> bool {
    let programs: BTreeSet<_> = dead
        .iter()
        .filter_map(|(subject, _)| Some(subject.process.as_ref()?.pid))
        .collect();
    let connections = counted(dead.len().try_into().unwrap_or(u64::MAX), "connection");
    let whose = match programs.len() {
        0 => String::new(),
        count => format!(
            " of {}",
            counted(count.try_into().unwrap_or(u64::MAX), "program")
        ),
    };
    let question = format!("destroy {connections}{whose}?");
    (machine.consent)(Some(&question)).unwrap_or(false)
}

/// Asks everybody, and returns those who are dead.
fn verified(
    args: &ReapArgs,
    face: &Face,
    stations: &dyn Stations,
    found: &mut Found,
) -> Result<Vec<Asked>, CommandError> {
    let course = Course {
        method: stations.method(),
        patience: Some(args.asking.patience(args.probes)),
        pacer: &Pacer::new(args.asking.rate),
        starts: None,
        stations,
        stop: &AtomicBool::new(false),
        conclude: &|_, _, answer| answer,
    };
    let mut progress = Progress::new(face.output, found.subjects.len());
    let mut dead = Vec::new();
    let (subjects, count) = (&found.subjects, &mut found.count);
    let asked = asking::all(&course, &asking::unasked, subjects, &mut |told| {
        match told {
            Told::Settled(at, answer) => {
                count.add(&answer);
                if answer.verdict == Verdict::Dead {
                    dead.push((subjects[at].clone(), answer));
                }
            }
            Told::Gap(gap) => count.gaps.push(gap),
            Told::Tick => {}
        }
        progress.show(count);
        Ok(())
    });
    progress.end();
    asked?;
    Ok(dead)
}

/// Everybody who was selected, since nobody is asked.
fn silent(subjects: &[Subject]) -> Vec<Asked> {
    subjects
        .iter()
        .map(|subject| {
            let answer = Answer {
                silence: subject.silence,
                // It is not that it could not be found out.
                why: None,
                ..Answer::unknown(Why::Interrupted)
            };
            (subject.clone(), answer)
        })
        .collect()
}
