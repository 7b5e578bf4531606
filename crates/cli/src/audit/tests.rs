//! The command with a machine that is made up.

use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use sockpulse_core::{Gap, Place};

use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::{CommandError, ErrorKind};
use crate::machine::{Survey, Visitor};
use crate::options::{NetnsChoice, SurveyOptions, Surveyed};
use crate::sample;
use crate::terminal::Palette;

fn refused(_: &SurveyOptions, _: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let error = "failed to enter the namespace \u{1b}[2J\u{202e}";
    Err(CommandError::new(ErrorKind::NotPermitted, error).hint("grant CAP_SYS_ADMIN"))
}

/// Two programs whose sockets were made in one cgroup, as all are where cgroup v2 is mounted beside
/// the older hierarchies: where each runs is told by its process.
fn neighbours(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    for (name, unit) in [
        (&b"one"[..], "a.service"),
        (b"\xc2\x9b31m\x7f", "b.service"),
    ] {
        let mut sample = sample::Sample::new(sample::off());
        sample.connection.owner.processes = vec![sample::process(7, 3, name)];
        sample.place = Place::from_cgroup(&format!("/system.slice/{unit}"));
        visit(&sample.row()).map_err(CommandError::output)?;
    }
    Ok(Surveyed::default())
}

/// Answers only when the options are those of the test below.
fn checks_options(
    options: &SurveyOptions,
    visit: &mut Visitor<'_>,
) -> Result<Surveyed, CommandError> {
    let selector = &options.selector;
    assert_eq!(options.detect_within, Duration::from_secs(300));
    assert_eq!(
        selector.silent_for,
        Some(Duration::from_secs(60)),
        "the shortest of several"
    );
    assert_eq!(selector.ports, [80, 443, 8080]);
    assert!(selector.programs[0].matches(b"redis-server"));
    assert_eq!(
        options.netns,
        [
            NetnsChoice::Own,
            NetnsChoice::All,
            NetnsChoice::Named("web1".into())
        ]
    );
    assert_eq!(options.accepted_risks, ["CVE-2026-74714"]);
    assert!(
        selector.namespaces.is_empty(),
        "names are resolved by the survey"
    );
    sample::everything(options, visit)
}

fn audited(line: &str, survey: Survey) -> (String, String, u8) {
    let machine = sample::machine(survey);
    let words = line.split(' ').map(Into::into).collect();
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let status = crate::app::run(words, &machine, &mut out, &mut stderr);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(stderr), status)
}

#[test]
fn a_finding_weighs_more_than_a_gap() {
    for (line, survey, status, told) in [
        ("sockpulse -o json", sample::everything as Survey, 0, ""),
        (
            "sockpulse -o json --fail-on unprotected",
            sample::everything,
            1,
            "failed: 1 unprotected\n",
        ),
        (
            "sockpulse audit -o csv --fail-on slow,unprotected --fail-on unknown",
            sample::everything,
            1,
            "failed: 1 unprotected, 1 slow, 2 unknown\n",
        ),
        (
            "sockpulse --fail-on fragile -o jsonl",
            sample::everything,
            0,
            "",
        ),
        (
            "sockpulse --fail-on fragile -o jsonl",
            sample::in_part,
            3,
            "not seen: owners: CAP_SYS",
        ),
        (
            "sockpulse --fail-on slow -o jsonl",
            sample::in_part,
            1,
            "failed: 1 slow\n",
        ),
        ("sockpulse", sample::in_part, 3, "not seen: owners: CAP_SYS"),
    ] {
        let (_, stderr, found) = audited(line, survey);
        assert_eq!(found, status, "{line}: {stderr}");
        assert!(
            stderr.contains(told) && stderr.is_empty() == told.is_empty(),
            "{stderr}"
        );
    }
}

/// Gaps of which one takes two lines of 80 columns.
fn gaps(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let mut surveyed = sample::in_part(options, visit)?;
    surveyed.coverage.gaps.push(Gap {
        what: "the settings of 3 connections of other users".into(),
        why: "CAP_SYS_PTRACE is missing".into(),
        remedy: Some("run as root".into()),
    });
    Ok(surveyed)
}

#[test]
fn what_follows_on_stderr_leaves_the_headline_on_the_screen() {
    for (line, survey, below) in [
        ("sockpulse audit", sample::everything as Survey, 0),
        (
            "sockpulse audit --fail-on slow,unknown",
            sample::everything,
            1,
        ),
        ("sockpulse audit --fail-on slow,unknown", gaps, 5),
    ] {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Audit(args) = &cli.command else {
            panic!("not an audit: {line}");
        };
        let machine = sample::machine(survey);
        let face = Face {
            output: cli.global.output,
            width: 80,
            height: Some(24),
            palette: Palette::Plain,
        };
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let _ = super::run(args, &face, &machine, &mut out, &mut stderr).unwrap();
        let [above, told] = [&out, &stderr].map(|text| super::lines(text, 80));
        assert_eq!(told, below, "{}", String::from_utf8_lossy(&stderr));
        assert!(above + below < 24, "{}", String::from_utf8_lossy(&out));
    }
}

#[test]
fn what_the_options_say_reaches_the_survey() {
    let (_, stderr, status) = audited(
        "sockpulse -o json --detect-within 5m --silent-for 1h --silent-for 60 --port 80,443 \
         --port 8080 --program redis* --netns self --netns all --netns web1 \
         --accept-kernel-risk cve-2026-74714",
        checks_options,
    );
    assert_eq!((status, &*stderr), (0, ""));
}

#[test]
fn a_failure_is_told_with_its_hint() {
    let (out, stderr, status) = audited("sockpulse --color never", refused);
    assert_eq!((&*out, status), ("", 4));
    assert_eq!(
        stderr,
        "error: failed to enter the namespace \\u{1b}[2J\\u{202e}\nhint: grant CAP_SYS_ADMIN\n"
    );
}

#[test]
fn json_is_one_document() {
    let (out, _, _) = audited("sockpulse -o json", sample::everything);
    let mut document: Value = serde_json::from_str(&out).unwrap();
    document["host"] = "db7".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

#[test]
fn programs_of_one_cgroup_keep_their_own_places() {
    let (csv, _, _) = audited("sockpulse -o csv", neighbours);
    for (program, unit) in [("one,", ",a.service,"), ("\\u{9b}31m", ",b.service,")] {
        let record = csv.lines().find(|line| line.starts_with(program));
        assert!(record.is_some_and(|line| line.contains(unit)), "{csv}");
    }
}

#[test]
fn what_a_terminal_would_obey_is_escaped_in_json() {
    for line in ["sockpulse -o json", "sockpulse -o jsonl"] {
        let (out, _, _) = audited(line, neighbours);
        assert!(out.contains(r"\u009b31m\u007f"), "{out}");
        assert!(
            !out.replace('\n', "").chars().any(char::is_control),
            "{out}"
        );
        for document in out.lines() {
            let _: Value = serde_json::from_str(document).unwrap();
        }
    }
}

#[test]
fn lines_and_records_have_a_program_each() {
    let (lines, _, _) = audited("sockpulse -o jsonl", sample::everything);
    let programs: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (csv, _, _) = audited("sockpulse -o csv", sample::everything);
    let mut records = csv.lines();
    let heading: Vec<&str> = records.next().unwrap().split(',').collect();
    assert_eq!(records.clone().count(), programs.len());
    for (record, program) in records.zip(&programs) {
        let fields: Vec<&str> = record.split(',').collect();
        assert_eq!(fields.len(), heading.len());
        for (name, field) in heading.iter().zip(fields) {
            match &program[*name] {
                Value::Null => assert_eq!(field, "", "{name}"),
                Value::Number(number) => assert_eq!(field, number.to_string(), "{name}"),
                Value::String(text) => assert_eq!(field, text, "{name}"),
                Value::Object(codes) => {
                    let codes: Vec<_> = codes.keys().map(String::as_str).collect();
                    assert_eq!(field, codes.join(" "), "{name}");
                }
                other => panic!("{name}: {other}"),
            }
        }
    }
}
