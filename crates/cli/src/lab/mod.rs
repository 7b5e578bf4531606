//! `sockpulse lab`: scenarios that break a connection, run and judged.

mod args;
mod json;
mod progress;
mod table;
#[cfg(test)]
mod tests;
mod timeline;

use std::io::Write;
use std::num::NonZeroUsize;

use serde_json::{Value, json};
use sockpulse_lab::{
    Deaths, Hour, Pace, Report, Rights, Trial, Verdict, lossy_hour, run, run_many,
};

pub(crate) use args::{ABOUT, LabArgs};

use crate::app::Face;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::options::OutputFormat;
use progress::Progress;

/// How many run side by side: each has three namespaces and mostly waits.
const AT_ONCE: NonZeroUsize = NonZeroUsize::new(12).expect("a dozen");

/// Lists the scenarios, runs one, or runs all.
pub(crate) fn run_command(
    args: &LabArgs,
    face: &Face,
    out: &mut dyn Write,
) -> Result<Exit, CommandError> {
    if face.output == OutputFormat::Csv {
        let refusal = "lab prints text and JSON only";
        return Err(CommandError::new(ErrorKind::Usage, refusal).hint("-o json, or -o jsonl"));
    }
    if args.slow && args.scenario.as_deref() != Some(args::ALL) {
        let refusal = "--slow belongs to `lab all`";
        return Err(CommandError::new(ErrorKind::Usage, refusal).hint("sockpulse lab all --slow"));
    }
    match args.scenario.as_deref() {
        None if args.asks_for_settings() || args.loss.is_some() => {
            let refusal = "settings and faults belong to a scenario, and none was named";
            Err(CommandError::new(ErrorKind::Usage, refusal).hint("sockpulse lab vanish --idle 5s"))
        }
        None => list(face, out),
        Some(args::ALL) => all(args, face, out),
        Some(args::HOUR) => hour(args, face, out),
        Some(name) => one(args, name, face, out),
    }
}

fn list(face: &Face, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let text = match face.output {
        OutputFormat::Json => format!("{:#}\n", json::scenarios()),
        OutputFormat::JsonLines => json::scenario_lines(),
        _ => table::list(),
    };
    out.write_all(text.as_bytes())
        .map_err(CommandError::output)?;
    Ok(Exit::Done)
}

fn one(args: &LabArgs, name: &str, face: &Face, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let scenario = sockpulse_lab::table::find(name);
    let scenario = scenario.ok_or_else(|| CommandError::new(ErrorKind::Bug, "a name was lost"))?;
    let trial = args.trial(scenario)?;
    let rights = Rights::acquire().map_err(failed)?;
    let progress = Progress::of(&trial.title());
    let report = run(&trial, |prediction| progress.waits_for(prediction, &trial));
    progress.end();
    let report = report.map_err(failed)?;
    let text = match face.output {
        OutputFormat::Table => timeline::render(&report, face.palette),
        OutputFormat::JsonLines => format!("{}\n", json::run(&report)).into_bytes(),
        _ => format!("{:#}\n", json::evidence(rights, vec![json::run(&report)])).into_bytes(),
    };
    out.write_all(&text).map_err(CommandError::output)?;
    Ok(exit(report.verdict == Verdict::Holds))
}

/// Every case of every scenario, side by side, the longest first; then the hour. What could not be run
/// is told behind what could: a quarter of an hour of measuring is not thrown away.
fn all(args: &LabArgs, face: &Face, out: &mut dyn Write) -> Result<Exit, CommandError> {
    if args.asks_for_settings() || args.loss.is_some() {
        let refusal = "settings belong to one scenario; `lab all` runs each with its own";
        return Err(
            CommandError::new(ErrorKind::Usage, refusal).hint("sockpulse lab vanish --idle 5s")
        );
    }
    let rights = Rights::acquire().map_err(failed)?;
    let trials = trials(args.slow);
    let progress = Progress::of("lab");
    let mut reports = Vec::new();
    let mut failures = Vec::new();
    let mut done = 0;
    run_many(&trials, AT_ONCE, |number, report| {
        done += 1;
        progress.say(&format!("{done} of {} done", trials.len()));
        match report {
            Ok(report) => reports.push(report),
            Err(error) => failures.push((trials[number].title(), error)),
        }
    });
    let mut deaths = None;
    if args.slow && !reports.is_empty() {
        progress.say(&format!("{}: a minute", args::HOUR));
        match lossy_hour(Hour::default()) {
            Ok(counted) => deaths = Some(counted),
            Err(error) => failures.push((args::HOUR.to_owned(), error)),
        }
    }
    progress.end();
    if !reports.is_empty() {
        show_all(rights, &reports, deaths.as_ref(), face, out)?;
    }
    if let Some(error) = not_run(failures) {
        return Err(error);
    }
    let holds = reports
        .iter()
        .all(|report| report.verdict == Verdict::Holds);
    Ok(exit(holds && deaths.is_none_or(|deaths| deaths.holds())))
}

/// The first failure, which stands for all.
fn not_run(failures: Vec<(String, sockpulse_lab::Error)>) -> Option<CommandError> {
    let others = failures.len().saturating_sub(1);
    let (title, error) = failures.into_iter().next()?;
    let told = match others {
        0 => format!("it was {title}; all else was run"),
        1 => format!("it was {title}; one other could not be run either"),
        n => format!("it was {title}; {n} others could not be run either"),
    };
    Some(failed(error).hint(told))
}

/// What takes long is begun first.
fn trials(slow: bool) -> Vec<Trial> {
    let of = |pace| {
        let cases = sockpulse_lab::table::all()
            .flat_map(|scenario| scenario.cases.iter().map(move |case| (scenario, case)));
        cases
            .filter(move |(_, case)| case.pace == pace)
            .map(|(scenario, case)| Trial::of(scenario, case))
    };
    let slow = slow.then(|| of(Pace::Slow)).into_iter().flatten();
    slow.chain(of(Pace::Quick)).collect()
}

fn show_all(
    rights: Rights,
    reports: &[Report],
    deaths: Option<&Deaths>,
    face: &Face,
    out: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut sorted: Vec<&Report> = reports.iter().collect();
    sorted.sort_by_key(|report| table::place(&report.trial));
    let runs = || -> Vec<Value> {
        let runs = sorted.iter().map(|report| json::run(report));
        runs.chain(deaths.map(json::hour)).collect()
    };
    let text = match face.output {
        OutputFormat::Table => table::results(&sorted, deaths, face.palette),
        OutputFormat::JsonLines => {
            let lines = runs().into_iter().map(|run| format!("{run}\n"));
            lines.collect::<String>().into_bytes()
        }
        _ => format!("{:#}\n", json::evidence(rights, runs())).into_bytes(),
    };
    out.write_all(&text).map_err(CommandError::output)
}

fn hour(args: &LabArgs, face: &Face, out: &mut dyn Write) -> Result<Exit, CommandError> {
    let asked = &args.settings;
    if asked.idle.is_some()
        || asked.interval.is_some()
        || asked.user_timeout.is_some()
        || args.nat_timeout.is_some()
    {
        let refusal = "the hour is 60/60 in minutes, run with seconds: only --probes and --loss can be \
                       chosen";
        return Err(CommandError::new(ErrorKind::Usage, refusal));
    }
    let mut hour = Hour::default();
    hour.probes = asked.probes.map_or(hour.probes, |probes| probes.get());
    hour.permille = args.loss.unwrap_or(hour.permille);
    let rights = Rights::acquire().map_err(failed)?;
    let progress = Progress::of(args::HOUR);
    progress.say("a minute, and the time to make the connections");
    let deaths = lossy_hour(hour);
    progress.end();
    let deaths = deaths.map_err(failed)?;
    let text = match face.output {
        OutputFormat::Table => table::hour(&deaths, face.palette),
        OutputFormat::JsonLines => format!("{}\n", json::hour(&deaths)).into_bytes(),
        _ => {
            let runs: Vec<Value> = vec![json::hour(&deaths)];
            format!("{:#}\n", json::evidence(rights, runs)).into_bytes()
        }
    };
    out.write_all(&text).map_err(CommandError::output)?;
    Ok(exit(deaths.holds()))
}

const fn exit(holds: bool) -> Exit {
    if holds { Exit::Done } else { Exit::Findings }
}

fn failed(error: sockpulse_lab::Error) -> CommandError {
    let kind = if error.is_permission() {
        ErrorKind::NotPermitted
    } else {
        ErrorKind::Incomplete
    };
    let remedies = error.remedies();
    let error = CommandError::new(kind, Failed(error));
    remedies.into_iter().fold(error, CommandError::hint)
}

/// The error as a sentence.
#[derive(Debug)]
struct Failed(sockpulse_lab::Error);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to {}", self.0)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// What the evidence says of where it was measured.
fn machine(rights: Rights) -> Value {
    json!({
        "kernel": sockpulse_linux::kernel_release(),
        "hz": sockpulse_linux::hz().map(sockpulse_core::Hz::get),
        "rights": match rights {
            Rights::Own => "own",
            Rights::UserNamespace => "user namespace",
        },
    })
}
