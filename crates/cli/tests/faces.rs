//! The command line as a user meets it: standard output, standard error and exit status, in a
//! cleared environment and on 80 columns. Nothing here reads the machine's sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use assert_cmd::cargo::cargo_bin;
use sockpulse_cli::error::BUG_STATUS;
use sockpulse_cli::machine::{Machine, Visitor};
use sockpulse_cli::options::{SurveyOptions, Surveyed};

fn sockpulse(line: &str) -> Command {
    let mut command = Command::new(cargo_bin!("sockpulse"));
    command.args(line.split_whitespace());
    command
        .env_clear()
        .env("COLUMNS", "80")
        .stdin(Stdio::null());
    command
}

/// What a command line answers, in one text.
fn answer(line: &str) -> String {
    let output = sockpulse(line).output().unwrap();
    let mut text = format!("$ sockpulse {line}\n");
    text.push_str(&String::from_utf8(output.stdout).unwrap());
    let stderr = String::from_utf8(output.stderr).unwrap();
    for line in stderr.lines() {
        let _ = writeln!(text, "2> {line}");
    }
    let _ = writeln!(text, "exit status {}", output.status.code().unwrap());
    // A snapshot must not change with the version.
    text.replace(env!("CARGO_PKG_VERSION"), "VERSION")
}

fn answers(lines: &[&str]) -> String {
    lines
        .iter()
        .map(|line| answer(line))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn help() {
    for (name, line) in [
        ("help", "--help"),
        ("help_short", "-h"),
        ("help_audit", "audit --help"),
        ("help_list", "list --help"),
        ("help_list_short", "list -h"),
        ("help_lab", "lab --help"),
        ("help_doctor", "doctor --help"),
        ("help_ping", "ping --help"),
        ("help_reap", "reap --help"),
        ("help_defaults", "defaults --help"),
        ("help_defaults_get", "defaults get --help"),
        ("help_defaults_set", "defaults set --help"),
        ("help_defaults_reset", "defaults reset --help"),
        ("help_undo", "undo --help"),
        ("help_run", "run --help"),
        ("help_watch", "watch --help"),
        ("help_explain", "explain --help"),
        ("help_plan", "plan --help"),
        ("help_completions", "completions --help"),
        ("help_man", "man --help"),
    ] {
        insta::assert_snapshot!(name, answer(line));
    }
}

#[test]
fn version() {
    insta::assert_snapshot!(answer("--version"));
}

#[test]
fn values_that_are_not_known_are_refused_with_the_known_ones() {
    insta::assert_snapshot!(answers(&[
        "list --state estabished",
        "list --exposure slo",
        "list -o yaml",
        "list --source bpf",
        "list --color sometimes",
        "list --columns silense",
        "list --sort -nothing",
        "audit --fail-on unprotekted",
        "completions tcsh",
        "man lst",
        "lsit",
        "--netns self list",
        "--unit",
    ]));
}

#[test]
fn values_that_are_impossible_are_refused_with_the_reason() {
    insta::assert_snapshot!(answers(&[
        "list --local 10.0.0.0/33",
        "list --local 10.0.0.1/8",
        "list --remote example.org:80",
        "list --remote :70000",
        "list --port 0",
        "list --port ssh",
        "list --pid 0",
        "list --silent-for 5x",
        "audit --detect-within 0",
        "list --cgroup system.slice",
        "list --netns /run/netns/x",
        "list --accept-kernel-risk yes",
        "list --wide --columns pid",
        "list -o json --columns pid",
        "audit list",
        "explain SP001 -o json",
        "-o csv man",
    ]));
}

/// None of these starts anything: a program that was started would take this test's place.
#[test]
fn run_refuses_before_it_starts_anything() {
    insta::assert_snapshot!(answers(&[
        "run",
        "run --idle 60s --",
        "run --mode off -- true",
        "run --method ptrace -- true",
        "run --remote 10.0.0.1/8 -- true",
        "run --port 0 true",
        "run -o json -- true",
        "run -- /nonexistent/program",
        "run /etc",
    ]));
}

#[test]
fn the_lab_lists_its_scenarios_and_refuses_what_means_nothing() {
    insta::assert_snapshot!(answers(&[
        "lab",
        "lab --idle 5s",
        "lab vanihs",
        "lab vanish --slow",
        "lab vanish --loss 3%",
        "lab vanish --idle 10h",
        "lab all --idle 5s",
        "lab lossy-hour --idle 5s",
        "lab -o csv",
    ]));
}

#[test]
fn asking_refuses_what_proves_too_little() {
    insta::assert_snapshot!(answers(&[
        "ping --spacing 100ms",
        "ping --probes 0",
        "ping --rate 0",
        "ping --method icmp",
        "reap",
        "reap --probes 3 --yes",
        "reap --unverified --yes",
        "reap --unverified --silent-for 1h --probes 24 --yes",
        "reap --yes -o csv",
    ]));
}

#[test]
fn explain_lists_the_codes() {
    insta::assert_snapshot!(answers(&["explain", "explain SP099", "explain nonsense"]));
}

#[test]
fn explain_shows_every_page() {
    for code in sockpulse_core::Code::ALL {
        for name in [code.name().to_string(), code.name().to_lowercase()] {
            let output = sockpulse(&format!("explain {name}")).output().unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let title = format!("{}: {}\n", code.name(), code.title());
            assert!(text.starts_with(&title), "{text}");
            assert!(output.stderr.is_empty() && output.status.success());
            for line in text.lines() {
                assert!(line.chars().count() <= 80, "{line}");
            }
        }
    }
}

#[test]
fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "elvish"] {
        let output = sockpulse(&format!("completions {shell}")).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty());
        for word in ["audit", "detect-within"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        // The generator for elvish knows no values.
        for word in ["unprotected", "jsonl"] {
            assert!(text.contains(word) || shell == "elvish", "{shell}: {word}");
        }
    }
}

#[test]
fn the_manual_has_a_page_for_all_and_for_each() {
    let page = |line: &str| {
        let output = sockpulse(line).output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{line}"
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let whole = page("man");
    assert!(whole.contains(".TH SOCKPULSE 1"), "{whole}");
    for command in [
        "audit",
        "list",
        "defaults",
        "undo",
        "doctor",
        "explain",
        "ping",
        "reap",
        "completions",
        "man",
    ] {
        let title = format!(".SH \"SOCKPULSE {}\"", command.to_uppercase());
        assert!(whole.contains(&title), "{title}");
        let own = page(&format!("man {command}"));
        let title = format!(".TH SOCKPULSE-{} 1", command.to_uppercase());
        assert!(own.contains(&title), "{own}");
    }
}

#[test]
fn generated_files_are_each_there_once() {
    let files = sockpulse_cli::generate::files().unwrap();
    let mut paths: Vec<_> = files.iter().map(|file| &file.path).collect();
    paths.sort();
    paths.dedup();
    assert_eq!(paths.len(), files.len());
    assert!(files.iter().all(|file| file.contents.len() > 100));
    assert!(
        paths.iter().any(|path| *path == "man/sockpulse-list.1"),
        "{paths:?}"
    );
}

#[test]
fn no_command_of_later_work_is_named() {
    let existing = sockpulse_cli::command();
    let later: Vec<&str> = [
        "protect",
        "unprotect",
        "plan",
        "lab",
        "defaults",
        "run",
        "top",
        "check",
        "agent",
        "path",
        "policy",
        "undo",
    ]
    .into_iter()
    .filter(|name| existing.find_subcommand(name).is_none())
    .collect();
    let files = sockpulse_cli::generate::files().unwrap();
    for file in files {
        let text = String::from_utf8_lossy(&file.contents).into_owned();
        for later in &later {
            let named = format!("sockpulse {later}");
            let found = text.match_indices(&named).any(|(at, _)| {
                !text[at + named.len()..].starts_with(|c: char| c.is_ascii_alphanumeric())
            });
            assert!(!found, "{} names `{named}`", file.path);
        }
    }
}

#[test]
fn a_reader_that_has_gone_is_success() {
    for line in ["explain SP001", "man", "completions bash", "--help"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = sockpulse(line)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{line}");
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{line}");
    }
}

#[test]
fn a_full_disk_is_told() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = sockpulse("explain SP001")
        .stdout(full)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: failed to write the output: No space left on device (os error 28)\n"
    );
}

#[test]
fn colours_are_for_those_who_want_them() {
    let colored = |line: &str, name: &str, value: &str| {
        let output = sockpulse(line).env(name, value).output().unwrap();
        output.stdout.contains(&0x1b)
    };
    assert!(
        !colored("explain SP001", "TERM", "xterm"),
        "a pipe takes no colours"
    );
    assert!(colored("explain SP001 --color always", "TERM", "xterm"));
    assert!(!colored(
        "explain SP001 --color never",
        "CLICOLOR_FORCE",
        "1"
    ));
    assert!(colored("explain SP001", "CLICOLOR_FORCE", "1"));
    assert!(!colored("explain SP001", "NO_COLOR", "1"));
}

fn panicking(
    _: &SurveyOptions,
    _: &mut Visitor<'_>,
) -> Result<Surveyed, sockpulse_cli::error::CommandError> {
    std::thread::spawn(|| panic!("a test of the bug report"))
        .join()
        .unwrap();
    Ok(Surveyed::default())
}

/// Runs in a process of its own, started by the test below.
#[test]
#[ignore = "ends its process"]
fn panicking_child() {
    sockpulse_cli::tell_panics();
    let machine = Machine {
        survey: panicking,
        ..Machine::THIS
    };
    let words = vec!["sockpulse".into(), "list".into()];
    let _ = sockpulse_cli::run(words, &machine, &mut std::io::sink(), &mut std::io::sink());
}

#[test]
fn a_panic_in_any_thread_is_told_as_a_bug() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "panicking_child", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.code(),
        Some(i32::from(BUG_STATUS)),
        "{stderr}"
    );
    assert!(stderr.contains("error: sockpulse has a bug: "), "{stderr}");
    assert!(stderr.contains("a test of the bug report"), "{stderr}");
    assert!(stderr.contains("hint: please report it"), "{stderr}");
}
