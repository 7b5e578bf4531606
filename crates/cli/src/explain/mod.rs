//! `sockpulse explain`: when exactly a dead peer is noticed, step by step; or a finding's page.

mod account;
mod args;
mod changes;
mod drawing;
mod groups;
mod json;
mod notes;
mod now;
mod page;
mod subject;
mod text;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

pub(crate) use args::{ABOUT, ExplainArgs};
pub use page::page;

use sockpulse_core::Coverage;

use account::Account;
use args::Asked;
use groups::Gathered;
use subject::Subject;

use crate::app::Face;
use crate::coverage;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::file;
use crate::machine::Machine;
use crate::options::OutputFormat;

/// Settings that are told in full, most connections first; of the others only the number.
const SHOWN: usize = 3;
/// The same in JSON, which nobody reads line by line.
const SHOWN_AS_DATA: usize = 100;

/// Runs the command.
///
/// # Errors
/// When the command line contradicts itself, nothing could be read, or the output or the drawing
/// cannot be written.
pub(crate) fn run(
    args: &ExplainArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let asked = args.asked()?;
    refuse_format(asked, face.output)?;
    let mut text = Vec::new();
    let exit = match asked {
        Asked::Codes => {
            page::list(&mut text, face.palette);
            Exit::Done
        }
        Asked::Page(name) => {
            page::show(&mut text, name, face.palette)?;
            Exit::Done
        }
        Asked::Settings => {
            let here = (machine.defaults)()?;
            let subject = Subject::asked(args, &here)?;
            let found = Found {
                subjects: vec![subject],
                gathered: Gathered::default(),
                coverage: None,
            };
            tell(args, &mut text, &found, face)?;
            Exit::Done
        }
        Asked::Connections => connections(args, face, machine, &mut text, stderr)?,
    };
    out.write_all(&text).map_err(CommandError::output)?;
    Ok(exit)
}

/// Pages are text; timelines are text or one document.
fn refuse_format(asked: Asked<'_>, output: OutputFormat) -> Result<(), CommandError> {
    let refuse = |text: &str, hint: &str| {
        Err(CommandError::new(ErrorKind::Usage, text).hint(hint.to_owned()))
    };
    match (asked, output) {
        (_, OutputFormat::Table) => Ok(()),
        (Asked::Codes | Asked::Page(_), _) => {
            refuse("codes and their pages are text only", "leave --output out")
        }
        (_, OutputFormat::Json) => Ok(()),
        (_, OutputFormat::JsonLines | OutputFormat::Csv) => refuse(
            "a timeline is no record of one line: explain prints text or one JSON document",
            "use -o json",
        ),
    }
}

fn connections(
    args: &ExplainArgs,
    face: &Face,
    machine: &Machine,
    text: &mut Vec<u8>,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut gathered = Gathered::default();
    let surveyed = (machine.survey)(&args.survey.options(), &mut |row| {
        gathered.add(row);
        Ok(())
    })?;
    // The tick rate is the machine's, whichever namespace a connection is in.
    let hz = (machine.defaults)().ok().and_then(|here| here.hz);
    let subjects = gathered.finish(hz);
    let found = Found {
        subjects,
        gathered,
        coverage: Some(surveyed.coverage),
    };
    tell(args, text, &found, face)?;
    Ok(close(&found, surveyed.elapsed, face.output, stderr))
}

/// What there is to tell.
struct Found {
    subjects: Vec<Subject>,
    gathered: Gathered,
    /// `None` for settings that were given: nothing was surveyed.
    coverage: Option<Coverage>,
}

fn tell(
    args: &ExplainArgs,
    text: &mut Vec<u8>,
    found: &Found,
    face: &Face,
) -> Result<(), CommandError> {
    let Found {
        subjects, gathered, ..
    } = found;
    let bound = match face.output {
        OutputFormat::Table => SHOWN,
        _ => SHOWN_AS_DATA,
    };
    let (shown, rest) = subjects.split_at(subjects.len().min(bound));
    let accounts: Vec<Account<'_>> = shown.iter().map(Account::of).collect();
    if let Some(path) = &args.svg {
        draw(path, &accounts)?;
    }
    match face.output {
        OutputFormat::Table => text::accounts(text, &accounts, rest, gathered, face),
        _ => json::document(text, &accounts, rest, gathered, found.coverage.as_ref())
            .map_err(CommandError::output)?,
    }
    Ok(())
}

fn draw(path: &Path, accounts: &[Account<'_>]) -> Result<(), CommandError> {
    let drawn = &accounts[..accounts.len().min(SHOWN)];
    if drawn.is_empty() {
        let text = "no connection with known settings matches: there is nothing to draw";
        return Err(CommandError::new(ErrorKind::Incomplete, text)
            .hint("sockpulse list with the same selectors shows what there is"));
    }
    file::replace(path, drawing::draw(drawn).as_bytes())
}

/// What follows on stderr. A program that reads our data is told only what is amiss.
fn close(found: &Found, elapsed: Duration, output: OutputFormat, stderr: &mut dyn Write) -> Exit {
    let Some(coverage) = &found.coverage else {
        return Exit::Done;
    };
    let nothing = found.subjects.is_empty() && found.gathered.is_empty();
    // There is nowhere to say that stderr is closed.
    if output == OutputFormat::Table && nothing {
        let _ = writeln!(stderr, "no connection matches");
    }
    if output == OutputFormat::Table || coverage.is_partial() {
        let _ = coverage::report(coverage, elapsed, stderr);
    }
    if coverage.is_partial() {
        Exit::Partial
    } else {
        Exit::Done
    }
}
