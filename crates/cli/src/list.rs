//! `sockpulse list`: every connection.

use std::io::Write;

use crate::app::Face;
use crate::args::ListArgs;
use crate::coverage;
use crate::csv::CsvEncoder;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::json::JsonEncoder;
use crate::listing::{Encoder, Listing};
use crate::machine::Machine;
use crate::options::{OutputFormat, Surveyed};
use crate::table::{Shape, Table};

/// Runs the command.
///
/// # Errors
/// When nothing could be read or the output cannot be written.
pub(crate) fn run(
    args: &ListArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let encoder = encoder(args, face)?;
    let mut listing = Listing::new(out, encoder, args.sort);
    let surveyed = (machine.survey)(&args.survey.options(), &mut |row| listing.row(row))?;
    let coverage = &surveyed.coverage;
    let rows = listing.finish(coverage).map_err(CommandError::output)?;
    close(&surveyed, face.output, rows, stderr);
    Ok(if coverage.is_partial() {
        Exit::Partial
    } else {
        Exit::Done
    })
}

fn encoder(args: &ListArgs, face: &Face) -> Result<Encoder, CommandError> {
    let json = || Box::new(JsonEncoder::default());
    let named = !args.columns.is_empty();
    match face.output {
        OutputFormat::Json | OutputFormat::JsonLines if named => Err(CommandError::new(
            ErrorKind::Usage,
            "--columns is for tables and CSV: JSON always carries every field",
        )
        .hint("choose fields with jq, or use -o csv")),
        OutputFormat::Json => Ok(Encoder::Json(json())),
        OutputFormat::JsonLines => Ok(Encoder::JsonLines(json())),
        OutputFormat::Csv => Ok(Encoder::Csv(CsvEncoder::new(&args.columns))),
        OutputFormat::Table => {
            let shape = if named {
                Shape::Columns(args.columns.clone(), face.width)
            } else if args.wide {
                Shape::Wide
            } else {
                Shape::Usual(face.width)
            };
            Ok(Encoder::Table(Table::new(shape, face.palette)))
        }
    }
}

/// The closing line. A program that reads our data is told only what is amiss.
fn close(surveyed: &Surveyed, output: OutputFormat, rows: u64, stderr: &mut dyn Write) {
    let coverage = &surveyed.coverage;
    let report = if output == OutputFormat::Table {
        if rows == 0 && coverage.total() > 0 {
            let _ = writeln!(stderr, "no connection matches");
        }
        coverage::report(coverage, surveyed.elapsed, stderr)
    } else if coverage.is_partial() {
        coverage::report(coverage, surveyed.elapsed, stderr)
    } else {
        Ok(())
    };
    // There is nowhere to say that stderr is closed.
    let _ = report;
}
