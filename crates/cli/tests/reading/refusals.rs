//! Bad input and missing facilities: each a message, a remedy and the right exit status.

use std::process::{Command, Stdio};

use crate::kit::fixture;
use crate::kit::listing::{Listing, Ran, SOCKPULSE, run, run_to};
use crate::kit::netns::Netns;
use crate::kit::openly::Openly;
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::Truth;
use crate::rights::NOBODY;

fn sockpulse(words: &[&str]) -> Ran {
    run(Command::new(SOCKPULSE).args(words))
}

fn shell(script: &str, words: &[&str]) -> Ran {
    run(Command::new("sh").args(["-c", script, "sh"]).args(words))
}

fn refused(ran: &Ran, status: i32, said: &[&str], case: &str) {
    assert_eq!(ran.status, Some(status), "{case}: {}", ran.stderr);
    assert!(ran.stdout.is_empty(), "{case}: nothing is data");
    assert!(ran.stderr.starts_with("error: "), "{case}: {}", ran.stderr);
    for word in said {
        assert!(ran.stderr.contains(word), "{case}: {word}: {}", ran.stderr);
    }
}

/// Values that mean nothing: status 2, and what would mean something.
pub(crate) fn values_that_mean_nothing_are_refused() {
    for (words, said) in [
        (["--state", "bogus"], &["bogus", "established"][..]),
        (["--exposure", "bogus"], &["bogus", "unprotected"]),
        (["--local", "10.0.0.0/33"], &["10.0.0.0/33", "CIDR"]),
        (["--remote", "10.0.0.1/8"], &["did you mean 10.0.0.0/8?"]),
        (["--remote", "host:1"], &["host"]),
        (["--local", ":0"], &["port"]),
        (["--port", "70000"], &["70000", "65535"]),
        (["--silent-for", "5x"], &["90s"]),
        (["--detect-within", "0"], &["10m"]),
        (["--sort", "bogus"], &["bogus", "silence"]),
        (["--columns", "bogus"], &["bogus", "silence"]),
        (["--output", "bogus"], &["jsonl"]),
        (["--source", "bogus"], &["task-file"]),
        (["--accept-kernel-risk", "CVE-1-1"], &["CVE-2026-74714"]),
        (
            ["--netns", "no-such-namespace"],
            &["no-such-namespace", "hint: ", "sockpulse defaults"],
        ),
        (["--netns", "4194304"], &["4194304", "hint: ", "ps"]),
        (["--pid", "4194304"], &["4194304", "hint: ", "ps"]),
        (["--pid", "many"], &["many"]),
    ] {
        for command in ["list", "audit"] {
            // An audit is neither sorted nor cut into columns.
            if command == "audit" && ["--sort", "--columns"].contains(&words[0]) {
                continue;
            }
            let ran = sockpulse(&[&[command], &words[..]].concat());
            refused(&ran, 2, said, &format!("{command} {words:?}"));
        }
    }
}

/// A faulty kernel facility is not used unless its risk is accepted by name.
pub(crate) fn root_the_faulty_iterator_is_refused_by_name() {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let ran = sockpulse(&["list", "--source", "iter-tcp"]);
    if ran.status == Some(0) {
        eprintln!("note: Linux {} has not the fault", release.trim());
        return;
    }
    let hint = "hint: --accept-kernel-risk CVE-2026-74714";
    refused(&ran, 4, &["CVE-2026-74714", hint], "iter-tcp");
}

/// A pipe whose reader has gone is success, before and in the middle of the output.
pub(crate) fn a_broken_pipe_is_success() {
    for words in [
        "list",
        "list -o json",
        "list -o jsonl",
        "list -o csv",
        "audit",
        "doctor",
        "explain SP001",
    ] {
        let script = format!("{{ \"$0\" {words}; echo status $? >&2; }} | true");
        let ran = run(Command::new("sh").args(["-c", &script, SOCKPULSE]));
        let ok = ["status 0", "status 3"]
            .iter()
            .any(|ok| ran.stderr.contains(ok));
        assert!(ok, "{words}: {}", ran.stderr);
        assert!(!ran.stderr.contains("error"), "{words}: {}", ran.stderr);
    }
}

/// Output that cannot be written is an error, not silence.
pub(crate) fn output_that_cannot_be_written_is_an_error() {
    for words in [
        &["list", "-o", "json"][..],
        &["audit"],
        &["doctor"],
        &["explain", "SP001"],
    ] {
        let full = std::fs::File::options()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let ran = run_to(Command::new(SOCKPULSE).args(words), Stdio::from(full));
        assert_eq!(ran.status, Some(3), "{words:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("No space left"),
            "{words:?}: {}",
            ran.stderr
        );
        let ran = shell("exec \"$@\" >&-", &[&[SOCKPULSE], words].concat()[..]);
        assert_eq!(ran.status, Some(3), "{words:?}, closed: {}", ran.stderr);
        assert!(
            ran.stderr.contains("error: "),
            "{words:?}, closed: {}",
            ran.stderr
        );
    }
}

/// /proc that hides other users' processes.
pub(crate) fn root_hidepid_is_said() {
    let open = Openly::new();
    let script = "mount -t proc -o hidepid=2 proc /proc && exec \"$@\"";
    let unshare = ["unshare", "-m", "sh", "-c", script, "sh"];
    let program = open.sockpulse();
    let list = [&*program, "list", "-o", "json", "--netns", "self"];
    let words = [&unshare[..], &NOBODY, &list].concat();
    let ran = run(Command::new(words[0]).args(&words[1..]));
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    for word in ["hidepid", "hint:", "CAP_SYS_PTRACE"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    ran.json();
}

/// Where /proc is not mounted nothing is guessed.
pub(crate) fn root_without_proc_nothing_is_read() {
    let script = "umount -l /proc && exec \"$0\" list";
    let words = ["-m", "sh", "-c", script, SOCKPULSE];
    let ran = run(Command::new("unshare").args(words));
    refused(&ran, 3, &["/proc", "hint: "], "no /proc");
}

/// Ways to be without BPF, each as words before the command.
fn without_bpf() -> Vec<(&'static str, Vec<String>)> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let no_btf = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    vec![
        (
            "no BTF",
            words(&["unshare", "-m", "sh", "-c", no_btf, "sh"]),
        ),
        (
            "no CAP_BPF",
            words(&["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin"]),
        ),
        ("no bpf(2)", fixture::words(&["without-bpf"])),
    ]
}

/// Without BPF the next best source serves, and the settings are the same.
pub(crate) fn root_without_bpf_the_next_source_serves() {
    let netns = Netns::anonymous();
    let listener = listen(&netns, "127.0.0.1", 0);
    let (here, _there) = connected(&netns, "127.0.0.1", &listener);
    let options = Options::own(64, 13, 5);
    options.apply(&here);
    let cookie = Truth::of(&here).cookie;
    for (case, before) in without_bpf() {
        let list = [SOCKPULSE, "list", "-o", "json", "--netns", "self"];
        let words = before.iter().map(String::as_str).chain(list);
        let words: Vec<&str> = words.collect();
        let ran = netns.run(|| run(Command::new(words[0]).args(&words[1..])));
        let listing = Listing::from(ran);
        let notes = listing.coverage["notes"].to_string();
        assert!(notes.contains("duplicated descriptors"), "{case}: {notes}");
        let row = listing.row(cookie);
        assert_eq!(row.text("/source"), Some("pidfd"), "{case}: {row:?}");
        assert_eq!(
            row.number("/keepalive/idle/seconds"),
            Some(64),
            "{case}: {row:?}"
        );
        assert_eq!(row.at("/keepalive/on"), true, "{case}: {row:?}");
    }
}

/// Asked for by name, BPF that is not there is an error that says what to do.
pub(crate) fn root_bpf_that_is_not_there_is_said() {
    for ((case, before), (status, said)) in
        without_bpf()
            .into_iter()
            .zip([(3, "BTF"), (4, "CAP_BPF"), (3, "bpf")])
    {
        let list = [SOCKPULSE, "list", "--source", "task-file"];
        let words = before.iter().map(String::as_str).chain(list);
        let words: Vec<&str> = words.collect();
        let ran = run(Command::new(words[0]).args(&words[1..]));
        refused(&ran, status, &[said, "hint: ", "--source pidfd"], case);
    }
}
