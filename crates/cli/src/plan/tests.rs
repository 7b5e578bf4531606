//! What `plan` prints, by snapshots. The tick rate is given, so that no machine's own decides.

use std::time::Instant;

use serde_json::Value;

use crate::machine::Machine;
use crate::sample;

/// What a command line answers: stdout, stderr and the exit status.
fn answer(line: &str) -> (String, String, u8) {
    let words = std::iter::once("sockpulse").chain(line.split_whitespace());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let machine = Machine {
        ..sample::machine(sample::nothing)
    };
    let words = words.map(Into::into).collect();
    let status = crate::run(words, &machine, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out), text(err), status)
}

/// All of it in one text.
fn answers(lines: &[&str]) -> String {
    let all = lines.iter().map(|line| {
        let (out, err, status) = answer(line);
        let err: String = err.lines().map(|line| format!("2> {line}\n")).collect();
        format!("$ sockpulse {line}\n{out}{err}exit status {status}\n")
    });
    all.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_plan_fits_one_screen() {
    let lines = [
        "plan --hz 250 --detect-within 10m",
        "plan --hz 250 --path aws-nlb --connections 5000",
        "plan --hz 250 --detect-within 2m --path azure-lb --user-timeout off",
        "plan --hz 250 --detect-within 8s",
    ];
    for line in lines {
        let (out, _, _) = answer(line);
        assert!(out.lines().count() < 24, "{line}: {}", out.lines().count());
        for text in out.lines() {
            // A command for pasting is not broken.
            let fits = text.chars().count() <= 80 || text.starts_with("  sockpulse ");
            assert!(fits, "{line}: {text}");
        }
    }
    insta::assert_snapshot!(answers(&lines));
}

#[test]
fn where_keepalive_cannot_help_that_is_said() {
    insta::assert_snapshot!(answers(&[
        "plan --hz 250 --path aws-classic-lb",
        "plan --hz 250 --path docker-desktop-mac --detect-within 1m",
        "plan --hz 250 --path-timeout 10m --loss 30%",
    ]));
}

#[test]
fn impossible_wishes_are_told_with_the_limit_and_the_nearest_plan() {
    insta::assert_snapshot!(answers(&[
        "plan --hz 250 --detect-within 1s --path-timeout 350s --probes 9",
        "plan --hz 250 --detect-within 5s",
        "plan --hz 250 --detect-within 3s --loss 0",
        "plan --hz 250 --detect-within 1m --outage 1m",
        "plan --hz 250 --detect-within 30s --loss 30%",
        "plan --hz 250 --idle 10 --interval 75",
        "plan --hz 250 --path azure-lb --idle 10m",
        "plan --hz 250 --probes 2",
        "plan --hz 250 --user-timeout 2s",
        "plan --hz 250 --loss 90%",
        "plan --hz 250 --path-timeout 3s",
        "plan --hz 250 --path-timeout 1s",
        "plan --hz 250 --path aws-nlb --outage 30d",
    ]));
}

/// The nearest plan that is offered is one.
#[test]
fn what_is_offered_can_be_had() {
    for line in [
        "plan --hz 250 --detect-within 1s --path-timeout 350s --probes 9",
        "plan --hz 1000 --detect-within 1m --outage 1m",
        "plan --hz 250 --path azure-lb --idle 10m",
        "plan --hz 250 --loss 90%",
        "plan --hz 250 --path-timeout 3s",
        "plan --hz 100 --user-timeout 2s",
        "plan --hz 250 --path aws-nlb --outage 30d",
    ] {
        let (out, err, status) = answer(line);
        assert_eq!((&*out, status), ("", 2), "{line}");
        let (_, command) = err.split_once(": sockpulse ").unwrap();
        let (out, err, status) = answer(command.trim());
        assert_eq!(status, 0, "{command}: {err}");
        assert!(out.starts_with("idle "), "{out}");
    }
}

#[test]
fn values_that_make_no_sense_are_refused() {
    insta::assert_snapshot!(answers(&[
        "plan --path aws-nlb --path-timeout 5m",
        "plan --path aws-nbl",
        "plan --loss 100%",
        "plan --loss 1",
        "plan --loss nan",
        "plan --loss -1%",
        "plan --loss much",
        "plan --connections 0",
        "plan --connections many",
        "plan --connections 99999999999999999999",
        "plan --detect-within 0",
        "plan --detect-within soon",
        "plan --path-timeout 0",
        "plan --idle 0",
        "plan --probes 128",
        "plan --hz 0",
        "plan --for rediss",
        "plan -o csv",
        "plan --curve /nonexistent/cost.svg",
    ]));
}

#[test]
fn shares_and_percents_are_the_same() {
    let plan = |loss| answer(&format!("plan --hz 250 --loss {loss}")).0;
    assert_eq!(plan("5%"), plan("0.05"));
    assert_eq!(plan("50%"), plan("0.5"));
    assert_eq!(plan("0"), plan("0%"));
}

#[test]
fn huge_numbers_are_borne() {
    for line in [
        "plan --connections 18446744073709551615",
        "plan --detect-within 9999999999999",
        "plan --path-timeout 9999999999999",
        "plan --path-timeout 9999999999999 --detect-within 9999999999999 --curve /dev/null",
        "plan --loss 0.99999999999 --path-timeout 1s",
        "plan --user-timeout 24d --detect-within 1d",
    ] {
        let (_, err, status) = answer(line);
        assert!(status == 0 || status == 2, "{line}: {err}");
    }
}

#[test]
fn configuration_follows_the_plan() {
    insta::assert_snapshot!(answers(&[
        "plan --hz 250 --detect-within 3m --for redis,sysctl",
    ]));
}

#[test]
fn the_known_paths_are_listed() {
    let (list, _, status) = answer("plan --path list");
    assert_eq!(status, 0);
    let quoted = sockpulse_core::paths::PATHS
        .iter()
        .filter(|path| !path.verified)
        .count();
    assert!(quoted > 0);
    assert_eq!(list.matches("  second-hand: ").count(), quoted);
    assert_eq!(answer("plan --paths").0, list);
    for path in sockpulse_core::paths::PATHS {
        assert!(list.contains(path.name) && list.contains(path.source));
    }
    let (json, _, _) = answer("plan --paths -o json");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["schema_version"], 1);
    let count = sockpulse_core::paths::PATHS.len();
    assert_eq!(json["paths"].as_array().unwrap().len(), count);
    let (lines, _, _) = answer("plan --paths -o jsonl");
    assert_eq!(lines.lines().count(), count);
}

#[test]
fn json_has_what_programs_rely_on() {
    let line = "plan --hz 250 --path aws-nlb --connections 70000 --for redis -o json";
    let (out, _, _) = answer(line);
    assert_eq!(out.lines().count(), 1);
    let json: Value = serde_json::from_str(&out).unwrap();
    for key in [
        "settings",
        "detects_idle_s",
        "probes_per_second",
        "bytes_per_second",
        "false_death_probability",
        "warnings",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    assert_eq!(json["schema_version"], 1);
    insta::assert_snapshot!(serde_json::to_string_pretty(&json).unwrap());
    assert_eq!(answer(&line.replace("json", "jsonl")).0, out);
}

#[test]
fn curves_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cost.svg");
    let (_, err, status) = answer(&format!(
        "plan --hz 250 --path aws-nlb --curve {}",
        file.display()
    ));
    assert_eq!((status, err), (0, format!("drawn: {}\n", file.display())));
    insta::assert_snapshot!(std::fs::read_to_string(&file).unwrap());
}

/// Also where nothing is possible and the nearest is looked for.
#[test]
fn no_wish_takes_long() {
    for line in [
        "plan --detect-within 1h",
        "plan --loss 90%",
        "plan --detect-within 1s --outage 1h",
        "plan --path-timeout 5h --outage 30d",
        "plan --user-timeout 1h --detect-within 1h --probes 5",
        "plan --interval 1h --loss 50% --path-timeout 2h",
    ] {
        let start = Instant::now();
        let _ = answer(line);
        // A debug build on a busy machine: a hundredth of that is usual in a release.
        assert!(
            start.elapsed().as_secs() < 5,
            "{line}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn the_help_names_every_software_and_nothing_else() {
    let (help, _, _) = answer("plan --help");
    let (_, list) = help.split_once("Software of --for:").unwrap();
    let named: Vec<&str> = list.split_whitespace().collect();
    let known: Vec<&str> = crate::software::Software::ALL
        .iter()
        .map(|software| software.name())
        .collect();
    assert_eq!(named, known);
}
