//! The command with a machine that is made up.

use std::time::Duration;

use clap::Parser;
use serde_json::Value;
use sockpulse_core::{Connection, Hz, NetnsDefaults, Observed, Setting, UserTimeout};

use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::{CommandError, Exit};
use crate::machine::{Machine, Survey, Visitor};
use crate::options::{Here, SurveyOptions, Surveyed};
use crate::sample;
use crate::terminal::Palette;

struct Explained {
    out: String,
    stderr: String,
    exit: Result<Exit, CommandError>,
}

fn run(line: &str, machine: &Machine, palette: Palette) -> Explained {
    let cli = Cli::try_parse_from(line.split(' ')).unwrap();
    let Command::Explain(args) = &cli.command else {
        panic!("no explanation: {line}");
    };
    let face = Face {
        output: cli.global.output,
        width: 80,
        height: None,
        palette,
    };
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let exit = super::run(args, &face, machine, &mut out, &mut stderr);
    let explained = Explained {
        out: String::from_utf8(out).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        exit,
    };
    if cli.global.output == crate::options::OutputFormat::Table && palette == Palette::Plain {
        for line in explained.out.lines() {
            assert!(crate::fit::width(line.as_bytes()) <= 80, "{line}");
            assert!(!line.ends_with(' '), "{line:?}");
        }
    }
    explained
}

fn unsurveyed(_: &SurveyOptions, _: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    panic!("settings are explained without reading a connection");
}

fn settings(options: &str) -> String {
    let line = format!("sockpulse explain {options}");
    let explained = run(&line, &sample::machine(unsurveyed), Palette::Plain);
    assert_eq!(explained.exit.unwrap(), Exit::Done);
    assert_eq!(explained.stderr, "");
    explained.out
}

#[test]
fn typical_settings() {
    insta::assert_snapshot!(settings("--idle 60s --interval 10s --probes 6"));
}

#[test]
fn what_the_kernel_comes_with() {
    insta::assert_snapshot!(settings("--keepalive on"));
}

#[test]
fn keepalive_off_with_a_user_timeout() {
    insta::assert_snapshot!(settings("--keepalive off --user-timeout 30s"));
}

#[test]
fn a_user_timeout_that_makes_it_fragile() {
    insta::assert_snapshot!(settings(
        "--idle 2s --interval 1s --probes 3 --user-timeout 2500ms"
    ));
}

#[test]
fn an_interval_longer_than_idle() {
    insta::assert_snapshot!(settings("--idle 60s --user-timeout auto"));
}

#[test]
fn a_user_timeout_of_weeks() {
    insta::assert_snapshot!(settings("--idle 1s --interval 1s --user-timeout 24d"));
}

fn with(defaults: NetnsDefaults, hz: Option<Hz>, options: &str) -> String {
    // A function takes nothing along: the sysctls travel in a place of their own.
    thread_local! {
        static HERE: std::cell::RefCell<(NetnsDefaults, Option<Hz>)> =
            const { std::cell::RefCell::new((NetnsDefaults::KERNEL, None)) };
    }
    HERE.set((defaults, hz));
    let machine = Machine {
        defaults: || {
            let (defaults, hz) = HERE.with_borrow(Clone::clone);
            Ok(Here { defaults, hz })
        },
        ..sample::machine(unsurveyed)
    };
    let explained = run(
        &format!("sockpulse explain {options}"),
        &machine,
        Palette::Plain,
    );
    match explained.exit {
        Ok(_) => explained.out,
        Err(error) => format!("error: {error}"),
    }
}

#[test]
fn sysctls_that_no_option_takes() {
    let kernel = NetnsDefaults::KERNEL;
    let never = NetnsDefaults {
        idle_s: -1,
        ..kernel.clone()
    };
    let unasked = NetnsDefaults {
        probes: 0,
        ..kernel.clone()
    };
    let large = NetnsDefaults {
        idle_s: 100_000,
        probes: 255,
        interval_s: 0,
        ..kernel
    };
    let told = [
        with(never.clone(), None, "--keepalive on"),
        with(never, None, "--user-timeout auto"),
        with(unasked, None, "--keepalive on"),
        with(large, None, "--keepalive on"),
    ];
    insta::assert_snapshot!(told.join("\n--------\n\n"));
}

#[test]
fn an_unknown_tick_rate_is_said() {
    let text = with(NetnsDefaults::KERNEL, None, "--idle 60s --interval 10s");
    assert!(text.contains("or later: how late timers run"), "{text}");
}

/// 26.2 s behind the first retransmission, and one timer comes at 26.1 s if it is not late.
#[test]
fn late_timers_that_save_a_retransmission_are_told() {
    let defaults = NetnsDefaults {
        retries2: 8,
        rto_max: Duration::from_secs(5),
        ..NetnsDefaults::KERNEL
    };
    let early = "as early as 26s where late timers save a wait";
    let at = |hz| with(defaults.clone(), hz, "--idle 60s --interval 10s");
    assert!(at(Hz::new(250)).contains(early));
    assert!(!at(None).contains("as early as"));
}

#[test]
fn settings_as_json() {
    let text = settings("--idle 60s --interval 10s --probes 6 -o json");
    let document: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["schema_version"], 1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

fn explained(options: &str, survey: Survey) -> Explained {
    let line = format!("sockpulse explain {options}");
    run(&line, &sample::machine(survey), Palette::Plain)
}

/// The usual samples, and many more of one kind.
fn crowd(options: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let surveyed = sample::everything(options, visit)?;
    let mut groups: Vec<Connection> = Vec::new();
    for (idle, count) in [(30u32, 7), (40, 3), (50, 2)] {
        let mut connection = sample::known();
        if let Observed::Known(timers) = &mut connection.settings {
            timers.idle = Setting::Socket(idle);
            timers.user_timeout = UserTimeout::new(20_000).unwrap();
        }
        connection.owner.processes = vec![sample::process(9, 3, b"\x1b[31mevil")];
        for n in 0..count {
            connection.rto_ms = Some(204 + n * 100);
            groups.push(connection.clone());
        }
    }
    let mut orphan = sample::known();
    orphan.orphan = Observed::Known(true);
    groups.push(orphan);
    for connection in groups {
        visit(&sample::Sample::new(connection).row()).map_err(CommandError::output)?;
    }
    Ok(surveyed)
}

#[test]
fn connections_are_told_by_their_settings() {
    let told = explained("--netns all", crowd);
    assert_eq!(told.exit.unwrap(), Exit::Done);
    assert!(told.stderr.starts_with("complete: saw"), "{}", told.stderr);
    insta::assert_snapshot!(told.out);
}

#[test]
fn connections_as_json() {
    let told = explained("--netns all -o json", crowd);
    let mut document: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(told.stderr, "", "programs are told only what is amiss");
    assert_eq!(document["coverage"]["complete"], true);
    for explanation in document["explanations"].as_array_mut().unwrap() {
        // Times are those of the document above.
        for case in ["idle", "data_in_flight", "zero_window"] {
            explanation[case]["timeline"] = Value::Null;
        }
    }
    insta::assert_snapshot!(serde_json::to_string_pretty(&document).unwrap());
}

fn one(connection: Connection, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    visit(&sample::Sample::new(connection).row()).map_err(CommandError::output)?;
    Ok(Surveyed::default())
}

fn probing(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let mut connection = sample::known();
    connection.unanswered_probes = Some(3);
    connection.silence_ms = Some(290_000);
    one(connection, visit)
}

fn retransmitting(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let mut connection = sample::known();
    connection.in_flight = Some(true);
    connection.unacked_bytes = Some(700);
    connection.retransmits = Some(2);
    connection.backoff = Some(2);
    connection.rto_ms = Some(1_000);
    one(connection, visit)
}

fn window_closed(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let mut connection = sample::known();
    connection.unacked_bytes = Some(700);
    connection.unanswered_probes = Some(1);
    one(connection, visit)
}

fn silent(_: &SurveyOptions, visit: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    one(sample::off(), visit)
}

#[test]
fn a_single_connection_is_told_where_it_stands() {
    let mut told = String::new();
    for survey in [probing as Survey, retransmitting, window_closed, silent] {
        let text = explained("--port 6379", survey).out;
        let (head, _) = text.split_once("\nIdle:").unwrap();
        told.push_str(head);
        told.push('\n');
    }
    insta::assert_snapshot!(told);
}

#[test]
fn nothing_matches() {
    let told = explained("--port 6379", sample::nothing);
    assert_eq!(told.exit.unwrap(), Exit::Done);
    assert!(
        told.stderr.starts_with("no connection matches\n"),
        "{}",
        told.stderr
    );
    assert_eq!(told.out, "");
    let told = explained("--port 6379 -o json", sample::nothing);
    let document: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!(document["explanations"], Value::Array(Vec::new()));
}

#[test]
fn what_was_read_in_part_is_said() {
    for output in ["table", "json"] {
        let told = explained(&format!("--netns all -o {output}"), sample::in_part);
        assert_eq!(told.exit.unwrap(), Exit::Partial);
        assert!(told.stderr.contains("not seen: owners"), "{}", told.stderr);
    }
}

#[test]
fn a_drawing_is_written_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    settings(&format!(
        "--idle 60s --interval 10s --probes 6 --user-timeout 90s --svg {}",
        path.display()
    ));
    insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap());
    let told = explained(&format!("--netns all --svg {}", path.display()), crowd);
    assert_eq!(told.exit.unwrap(), Exit::Done);
    let drawing = std::fs::read_to_string(&path).unwrap();
    assert_eq!(drawing.matches("Data in flight: sent").count(), 3);
    assert!(!drawing.contains('\u{1b}'));
}

#[test]
fn a_drawing_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.svg");
    let told = explained(
        &format!("--port 1 --svg {}", path.display()),
        sample::nothing,
    );
    let error = told.exit.unwrap_err();
    assert_eq!(error.status(), 3);
    assert!(error.to_string().contains("nothing to draw"), "{error}");
    assert!(!path.exists());
}

#[test]
fn any_settings_can_be_drawn() {
    for options in [
        "--keepalive off",
        "--idle 1s --interval 1s --user-timeout 24d",
        "--idle 32767 --interval 32767 --probes 127",
        "--idle 1 --interval 1 --probes 1 --user-timeout 1ms",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        settings(&format!("{options} --svg {}", path.display()));
        let drawing = std::fs::read_to_string(&path).unwrap();
        assert!(drawing.len() < 20_000, "{options}: {}", drawing.len());
        for number in drawing
            .split('"')
            .filter_map(|text| text.parse::<f64>().ok())
        {
            assert!((-1.0..=2_000.0).contains(&number), "{options}: {number}");
        }
    }
}

#[test]
fn any_width_is_survived() {
    let cli = Cli::parse_from(["sockpulse", "explain", "--netns", "all"]);
    let Command::Explain(args) = &cli.command else {
        panic!("no explanation");
    };
    for width in [1, 12, 13, 40, 300] {
        let face = Face {
            output: cli.global.output,
            width,
            height: None,
            palette: Palette::Ansi,
        };
        let machine = sample::machine(crowd);
        let (mut out, mut stderr) = (Vec::new(), Vec::new());
        let exit = super::run(args, &face, &machine, &mut out, &mut stderr);
        assert_eq!(exit.unwrap(), Exit::Done);
        assert!(!out.is_empty());
    }
}

#[test]
fn colours_change_nothing_else() {
    let line = "sockpulse explain --idle 2s --user-timeout 3s";
    let machine = sample::machine(unsurveyed);
    let [plain, colored] =
        [Palette::Plain, Palette::Ansi].map(|palette| run(line, &machine, palette).out);
    assert_eq!(anstream::adapter::strip_str(&colored).to_string(), plain);
    assert_ne!(colored, plain);
}

#[test]
fn only_commands_that_exist_are_offered() {
    let command = crate::app::command();
    let texts = [
        settings("--keepalive on"),
        settings("--keepalive off"),
        settings("--idle 2s --user-timeout 3s"),
        explained("--netns all", crowd).out,
        explained("", sample::nothing).out,
    ];
    for text in texts {
        for (_, after) in text
            .match_indices("sockpulse ")
            .map(|(at, word)| text.split_at(at + word.len()))
        {
            let name: String = after
                .chars()
                .take_while(char::is_ascii_alphabetic)
                .collect();
            assert!(command.find_subcommand(&name).is_some(), "{name}: {text}");
        }
    }
}

#[test]
fn formats_that_make_no_sense_are_refused() {
    for (line, said) in [
        ("--idle 60s -o csv", "no record of one line"),
        ("--pid 7 -o jsonl", "no record of one line"),
        ("SP001 -o json", "text only"),
        ("-o json", "text only"),
    ] {
        let told = explained(line, sample::nothing);
        let error = told.exit.unwrap_err();
        assert_eq!((error.status(), error.hints().len()), (2, 1), "{line}");
        assert!(error.to_string().contains(said), "{line}: {error}");
    }
}
