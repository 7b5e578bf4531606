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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::machine::Visitor;
    use crate::options::SurveyOptions;
    use crate::sample::{self, everything, nothing};
    use crate::terminal::Palette;
    use clap::Parser;
    use sockpulse_core::Gap;

    use std::io;

    fn partial(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
        let mut surveyed = everything(options, visit)?;
        let gap = |what: &str| Gap {
            what: what.into(),
            why: "CAP_SYS_PTRACE is missing".into(),
            remedy: Some("run as root".into()),
        };
        surveyed.coverage.gaps = vec![gap("owners"), gap("set\u{1b}tings")];
        Ok(surveyed)
    }

    /// Three thousand rows, of which the last is longer than all before.
    fn thousands(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
        let long = sample::Sample::new(sample::time_wait());
        let short = sample::Sample::new(sample::known());
        for _ in 0..2_999 {
            visit(&short.row()).map_err(CommandError::output)?;
        }
        visit(&long.row()).map_err(CommandError::output)?;
        Ok(Surveyed::default())
    }

    struct Listed {
        out: String,
        stderr: String,
        exit: Result<Exit, CommandError>,
    }

    fn listed(line: &str, width: usize, survey: crate::machine::Survey) -> Listed {
        painted(line, width, survey, Palette::Plain)
    }

    fn painted(
        line: &str,
        width: usize,
        survey: crate::machine::Survey,
        palette: Palette,
    ) -> Listed {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::List(args) = &cli.command else {
            panic!("not a listing: {line}");
        };
        let face = Face {
            output: cli.global.output,
            width,
            height: None,
            palette,
        };
        let machine = sample::machine(survey);
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let exit = run(args, &face, &machine, &mut out, &mut stderr);
        Listed {
            out: String::from_utf8(out).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
            exit,
        }
    }

    fn fits(text: &str, width: usize) {
        for line in text.lines() {
            assert!(crate::fit::width(line.as_bytes()) <= width, "{line}");
        }
    }

    #[test]
    fn a_table_fits_80_columns() {
        let listed = listed("sockpulse list", 80, everything);
        fits(&listed.out, 80);
        insta::assert_snapshot!(listed.out);
        assert_eq!(
            listed.stderr,
            "complete: saw 6 sockets in 1 namespace (bpf 4, sock_diag 2) in 3ms\n"
        );
        assert_eq!(listed.exit.unwrap(), Exit::Done);
    }

    /// The longest IPv4 ends, a mapped peer, and owners with long names.
    fn crowd(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
        let mut long = sample::known();
        long.id.local = sample::end("192.168.100.100", 50432);
        long.id.remote = sample::end("192.168.100.200", 51234);
        long.owner.processes = vec![
            sample::process(4_000_001, 3, b"redis-server"),
            sample::process(4_000_002, 3, b"redis-server"),
        ];
        let mut mapped = long.clone();
        mapped.id.remote = sample::end("::ffff:192.168.100.200", 51234);
        mapped.owner.processes = vec![sample::process(32_246, 3, b"redis-server")];
        for connection in [long, mapped] {
            let mut sample = sample::Sample::new(connection);
            sample.assessment.exposure = Some(sockpulse_core::Exposure::Unprotected);
            visit(&sample.row()).map_err(CommandError::output)?;
        }
        Ok(Surveyed::default())
    }

    #[test]
    fn peers_and_process_ids_stay_whole_in_80_columns() {
        let listed = listed("sockpulse list", 80, crowd);
        fits(&listed.out, 80);
        for whole in [" 192.168.100.200:51234 ", "(4000001)+1", "(32246)"] {
            assert!(listed.out.contains(whole), "{whole}: {}", listed.out);
        }
        insta::assert_snapshot!(listed.out);
    }

    #[test]
    fn a_table_shows_more_in_120_columns() {
        let listed = listed("sockpulse list", 120, everything);
        fits(&listed.out, 120);
        insta::assert_snapshot!(listed.out);
    }

    #[test]
    fn a_table_shows_more_still_in_180_columns() {
        let listed = listed("sockpulse list", 180, everything);
        fits(&listed.out, 180);
        insta::assert_snapshot!(listed.out);
    }

    #[test]
    fn a_wide_table_is_never_cut() {
        let listed = listed("sockpulse list --wide", 80, everything);
        assert!(!listed.out.contains('…'));
        insta::assert_snapshot!(listed.out);
    }

    #[test]
    fn colours_change_nothing_else() {
        for line in [
            "sockpulse list",
            "sockpulse list --wide",
            "sockpulse list -o csv",
        ] {
            let plain = listed(line, 80, everything).out;
            let colored = painted(line, 80, everything, Palette::Ansi).out;
            assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
            assert_eq!(colored == plain, line.ends_with("csv"), "{line}");
        }
    }

    #[test]
    fn columns_are_those_asked_for() {
        let listed = listed("sockpulse list --columns pid,silence,place", 80, everything);
        insta::assert_snapshot!(listed.out);
    }

    #[test]
    fn rows_after_the_first_block_keep_the_widths() {
        let listed = listed("sockpulse list", 80, thousands);
        assert_eq!(listed.out.lines().count(), 3_001);
        fits(&listed.out, 80);
    }

    #[test]
    fn csv_has_a_header_and_a_line_each() {
        let listed = listed("sockpulse list -o csv", 80, everything);
        assert_eq!(listed.out.matches("\r\n").count(), 7);
        let fields = listed.out.lines().next().unwrap().split(',').count();
        for line in listed.out.lines() {
            assert!(!line.chars().any(char::is_control), "{line:?}");
            // The only comma in a value stands in quotes.
            let plain = line.replace("\"\\x1b[31mevil,\"\"\\xff\"", "");
            assert_eq!(plain.split(',').count(), fields, "{line}");
        }
        insta::assert_snapshot!(listed.out.replace("\r\n", "\n"));
    }

    #[test]
    fn json_is_one_document_with_the_coverage() {
        for survey in [everything, nothing] {
            let listed = listed("sockpulse list -o json", 80, survey);
            let document: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
            assert_eq!(document["schema_version"], 1);
            let connections = document["connections"].as_array().unwrap().len();
            assert_eq!(document["coverage"]["complete"], true);
            let seen = document["coverage"]["sockets"]["bpf"].as_u64();
            assert_eq!(
                (connections, seen),
                if seen.is_some() {
                    (6, Some(4))
                } else {
                    (0, None)
                }
            );
            assert_eq!(listed.stderr, "", "programs are told only what is amiss");
        }
    }

    #[test]
    fn json_lines_are_documents_each() {
        let listed = listed("sockpulse list -o jsonl", 80, everything);
        assert_eq!(listed.out.lines().count(), 6);
        for line in listed.out.lines() {
            let _: serde_json::Value = serde_json::from_str(line).unwrap();
        }
    }

    #[test]
    fn a_partial_reading_says_so_in_every_format() {
        for format in ["table", "json", "jsonl", "csv"] {
            let listed = listed(&format!("sockpulse list -o {format}"), 80, partial);
            assert_eq!(listed.exit.unwrap(), Exit::Partial, "{format}");
            assert_eq!(
                listed.stderr,
                "partial: saw 6 sockets in 1 namespace (bpf 4, sock_diag 2) in 3ms\n\
                 not seen: owners: CAP_SYS_PTRACE is missing\n\
                 not seen: set\\x1btings: CAP_SYS_PTRACE is missing\n\
                 hint: run as root\n"
            );
        }
        let document = listed("sockpulse list -o json", 80, partial).out;
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["coverage"]["complete"], false);
        assert_eq!(document["coverage"]["gaps"][0]["remedy"], "run as root");
    }

    #[test]
    fn rows_are_sorted_with_the_valueless_last() {
        for (sort, order) in [
            ("silence", ["18.7s", "18.7s", "2h2m", "?", "-", "-"]),
            ("-silence", ["2h2m", "18.7s", "18.7s", "?", "-", "-"]),
        ] {
            let line = format!("sockpulse list --columns silence --sort {sort}");
            let out = listed(&line, 80, everything).out;
            let mut shown: Vec<_> = out.lines().skip(1).map(str::trim).collect();
            // Rows without a value stay in the order in which they were read.
            shown[3..].sort_unstable_by(|a, b| b.cmp(a));
            assert_eq!(
                shown,
                order.map(|text| text.replace("18.7s", "18s")),
                "{sort}"
            );
        }
        for format in ["json", "jsonl", "csv"] {
            let line = format!("sockpulse list -o {format} --sort -silence");
            let listed = listed(&line, 80, everything);
            let first = listed.out.find("7321000").unwrap();
            assert!(first < listed.out.find("18770").unwrap(), "{format}");
            if format == "json" {
                let _: serde_json::Value = serde_json::from_str(&listed.out).unwrap();
            }
        }
    }

    #[test]
    fn nothing_matches() {
        let none = listed("sockpulse list", 80, nothing);
        assert_eq!(none.out.lines().count(), 1, "the heading: {}", none.out);
        assert_eq!(listed("sockpulse list -o jsonl", 80, nothing).out, "");
        assert_eq!(
            listed("sockpulse list -o csv", 80, nothing)
                .out
                .lines()
                .count(),
            1
        );
    }

    /// A pipe whose reader has gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_ends_it_with_success() {
        let machine = sample::machine(thousands);
        for format in ["table", "json", "jsonl", "csv"] {
            let words = ["sockpulse", "list", "-o", format].map(Into::into).to_vec();
            let mut stderr = Vec::new();
            let status = crate::app::run(words, &machine, &mut Gone, &mut stderr);
            assert_eq!((status, &stderr[..]), (0, &b""[..]), "{format}");
        }
    }
}
