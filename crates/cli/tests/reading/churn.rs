//! Many sockets that stay beside many that come and go, and the memory that many take.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::kit::fixture::Running;
use crate::kit::listing::{Listing, SOCKPULSE, Source};
use crate::kit::netns::Netns;

/// Connections of one holding process: a process may hold 20,000 descriptors on small machines.
const PER_PROCESS: u32 = 8_000;

/// Stable connections: 100,000 sockets and more.
const HOLDERS: u32 = 7;

fn hold(netns: &Netns, holders: u32, connections: u32) -> Vec<Running> {
    let mut running: Vec<_> = (0..holders)
        .map(|index| {
            let count = connections.to_string();
            Running::start(netns, &["hold", &index.to_string(), &count])
        })
        .collect();
    for holder in &mut running {
        assert_eq!(holder.report(), u64::from(connections));
    }
    running
}

/// Every line of `list -o jsonl`, streamed: there are many.
fn read_lines(netns: &Netns, words: &[&str], mut each: impl FnMut(&str)) -> Option<i32> {
    let mut command = Command::new(SOCKPULSE);
    command
        .args(["list", "-o", "jsonl"])
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = netns.run(|| command.spawn()).unwrap();
    let stdout = child.stdout.take().unwrap();
    let lines = BufReader::with_capacity(1 << 20, stdout).lines();
    lines.for_each(|line| each(&line.unwrap()));
    child.wait().unwrap().code()
}

fn cookie(line: &str) -> u64 {
    let rest = line.strip_prefix("{\"cookie\":\"0x");
    leading_number(rest.unwrap_or_else(|| panic!("no cookie: {line}")), 16)
}

/// The number that a text begins with; 0 for none. Parsing all of the line takes too long.
fn leading_number(text: &str, radix: u32) -> u64 {
    let end = text
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(text.len());
    u64::from_str_radix(&text[..end], radix).unwrap_or(0)
}

/// 10,000 connects and closes a second beside 100,000 sockets: of those that stay none is missed
/// and none comes twice. iter/tcp stays out of it: arriving SYNs are what its fault needs.
pub(crate) fn root_stable_sockets_are_listed_once_amid_churn() {
    let netns = Netns::anonymous();
    let holders = hold(&netns, HOLDERS, PER_PROCESS);
    let expected: HashSet<u64> = stable(&netns, &holders);
    let sockets = usize::try_from(HOLDERS * (2 * PER_PROCESS + 1)).unwrap();
    assert_eq!(expected.len(), sockets, "before the churn");

    let mut churn = Running::start(&netns, &["churn", "100"]);
    let start = std::time::Instant::now();
    churn.report();
    for words in [&["--source", "task-file"][..], &["--netns", "self"]] {
        let mut seen = HashSet::new();
        let mut twice = Vec::new();
        let status = read_lines(&netns, words, |line| {
            if !seen.insert(cookie(line)) {
                twice.push(line.to_owned());
            }
        });
        // Of all namespaces, somebody else's may be out of reach: that is no matter here.
        assert!(matches!(status, Some(0 | 3)), "{words:?}: {status:?}");
        assert!(
            twice.is_empty(),
            "{words:?}: {} twice: {:?}",
            twice.len(),
            twice.first()
        );
        let missed = expected.difference(&seen).count();
        assert_eq!(missed, 0, "{words:?}: of {sockets}");
    }
    let seconds = start.elapsed().as_secs().max(1);
    let rate = churn.finish() / seconds;
    eprintln!("note: {rate} connects and closes a second beside {sockets} sockets");
    assert!(rate > 500, "only {rate} connects and closes a second");
}

/// The cookies of the holders' sockets, by process.
fn stable(netns: &Netns, holders: &[Running]) -> HashSet<u64> {
    let pids: HashSet<u64> = holders.iter().map(|holder| holder.pid().into()).collect();
    let mut cookies = HashSet::new();
    let status = read_lines(netns, &["--netns", "self"], |line| {
        // Another reader may hold a duplicate for a moment, and then there are several.
        let mut owners = line.split("\"pid\":").skip(1);
        if owners.any(|owner| pids.contains(&leading_number(owner, 10))) {
            assert!(cookies.insert(cookie(line)), "twice: {line}");
        }
    });
    assert_eq!(status, Some(0));
    cookies
}

/// What `list` may take for each socket more: two sets of cookies at most half full (8 bytes each
/// entry) while they grow, and some slack.
const BYTES_PER_SOCKET: u64 = 100;

/// `list` streams: its memory does not grow with the sockets, but for what joining needs.
pub(crate) fn root_memory_does_not_grow_with_sockets() {
    let netns = Netns::anonymous();
    let words = [
        "weighed", SOCKPULSE, "list", "-o", "jsonl", "--netns", "self",
    ];
    let peak = || Running::start(&netns, &words).report() * 1024;
    let few = hold(&netns, 1, 1_000);
    let before = peak();
    drop(few);
    let _many = hold(&netns, 3, 7_000);
    let after = peak();
    let more = after.saturating_sub(before) / 40_000;
    eprintln!("note: {before} bytes with 2,000 sockets, {after} with 42,000: {more} a socket");
    assert!(after < 64 << 20, "{after} bytes with 42,000 sockets");
    assert!(more < BYTES_PER_SOCKET, "{more} bytes for each socket more");
}

/// `list` ends well when its reader has enough, also in the middle of much.
pub(crate) fn root_a_reader_that_has_enough_is_no_error() {
    let netns = Netns::anonymous();
    let _held = hold(&netns, 1, 2_000);
    for format in ["table", "json", "jsonl", "csv"] {
        let mut command = Command::new(SOCKPULSE);
        command
            .args(["list", "-o", format, "--netns", "self"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = netns.run(|| command.spawn()).unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{format}: {output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("error"), "{format}: {said}");
    }
}

/// Every source shows each of thousands exactly once.
pub(crate) fn root_every_source_shows_each_of_thousands_once() {
    let netns = Netns::anonymous();
    let held = hold(&netns, 2, 2_000);
    let expected = stable(&netns, &held);
    assert_eq!(expected.len(), 2 * 4_001);
    for source in Source::ALL {
        let listing = Listing::of(&netns, source, &["--netns", "self"]);
        let seen: HashSet<u64> = listing.rows.keys().copied().collect();
        assert_eq!(expected, seen, "{source:?}");
    }
}
