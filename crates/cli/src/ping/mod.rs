//! `sockpulse ping`: are the peers alive?

pub(crate) mod args;
pub(crate) mod asking;
pub(crate) mod count;
pub(crate) mod course;
mod here;
pub(crate) mod json;
pub(crate) mod pacer;
pub(crate) mod pins;
#[cfg(test)]
pub(crate) mod pretend;
pub(crate) mod progress;
mod report;
pub mod station;
pub mod subject;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use here::{consent, this_machine};
pub(crate) use report::tell_left_out;

use std::io::Write;
use std::sync::atomic::AtomicBool;

use sockpulse_core::Cookie;
use sockpulse_core::ping::Answer;

use crate::app::Face;
use crate::error::{CommandError, Exit};
use crate::machine::Machine;
use crate::options::{SurveyOptions, Surveyed};
use args::PingArgs;
use asking::Told;
use count::Count;
use course::Course;
use pacer::Pacer;
use pins::Pins;
use progress::Progress;
use report::Report;
use subject::Subject;

/// Runs the command.
///
/// # Errors
/// When nothing could be read, nobody may be asked, or the output cannot be written.
pub(crate) fn run(
    args: &PingArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let found = Found::gather(machine, &args.survey.options())?;
    let mut report = Report::new(face, args.all, &found.surveyed, out);
    let mut count = found.count;
    if !found.subjects.is_empty() {
        let cookies: Vec<Cookie> = found.subjects.iter().map(|one| one.id.cookie).collect();
        let stations = (machine.stations)(args.asking.method, &cookies)?;
        for note in stations.notes() {
            // There is nowhere to say that stderr is closed.
            let _ = writeln!(stderr, "{note}");
        }
        let course = Course {
            method: stations.method(),
            patience: Some(args.asking.patience(args.probes)),
            pacer: &Pacer::new(args.asking.rate),
            starts: None,
            stations: &*stations,
            stop: &AtomicBool::new(false),
            conclude: &|_, _, answer| answer,
        };
        report.method = Some(course.method);
        let pins = Pins::begin(
            machine,
            &args.state_dir,
            "ping",
            &*stations,
            &found.subjects,
            stderr,
        );
        let mut progress = Progress::new(face.output, found.subjects.len());
        let asked = asking::all(&course, &asking::unasked, &found.subjects, &mut |told| {
            match told {
                Told::Settled(at, answer) => {
                    count.add(&answer);
                    report.answer(&found.subjects[at], &answer)?;
                }
                Told::Gap(gap) => count.gaps.push(gap),
                Told::Tick => report.flush()?,
            }
            progress.show(&count);
            Ok(())
        });
        progress.end();
        report.pinned = pins.finish(&*stations, &found.subjects, stderr);
        asked?;
    }
    report.finish(&count, stderr)
}

/// The connections that are to be asked.
pub(crate) struct Found {
    /// Sorted by namespace.
    pub(crate) subjects: Vec<Subject>,
    /// With those of whom nobody can be asked.
    pub(crate) count: Count,
    pub(crate) surveyed: Surveyed,
}

impl Found {
    /// # Errors
    /// When nothing can be read.
    pub(crate) fn gather(machine: &Machine, options: &SurveyOptions) -> Result<Self, CommandError> {
        let mut subjects = Vec::new();
        let mut count = Count::default();
        let surveyed = (machine.survey)(options, &mut |row| {
            match Subject::of(row) {
                Ok(subject) => subjects.push(subject),
                Err(why) => count.leave_out(why),
            }
            Ok(())
        })?;
        asking::sort(&mut subjects);
        Ok(Self {
            subjects,
            count,
            surveyed,
        })
    }
}

/// A connection and what asking it came to.
pub(crate) type Asked = (Subject, Answer);
