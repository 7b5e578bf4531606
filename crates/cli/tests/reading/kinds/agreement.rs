//! Sources are twins: what two of them know of a socket is the same.

use std::time::Instant;

use serde_json::Value;

use super::zoo::Zoo;
use crate::kit::listing::{Listing, Row, Source};

/// What a socket keeps while nothing happens to it.
const LASTING: &[&str] = &[
    "/netns",
    "/netns_name",
    "/family",
    "/state",
    "/local/addr",
    "/local/port",
    "/remote/addr",
    "/remote/port",
    "/keepalive/on",
    "/keepalive/idle/seconds",
    "/keepalive/idle/origin",
    "/keepalive/interval/seconds",
    "/keepalive/interval/origin",
    "/keepalive/probes/count",
    "/keepalive/probes/origin",
    "/keepalive/user_timeout/ms",
    "/timers/keepalive/kind",
    "/unread_bytes",
    "/unacked_bytes",
    "/snd_una",
    "/rcv_nxt",
    "/detects_idle_s",
    "/detects_idle_latest_s",
    "/owner/uid",
    "/owner/cgroup",
    "/owner/unit",
    "/owner/container",
    "/inode",
    "/ifindex",
    "/orphan",
    "/mptcp",
];

/// Every two sources, over every kind of socket.
pub(crate) fn root_sources_agree_with_each_other() {
    let zoo = Zoo::open();
    let read = |source| {
        let start = Instant::now();
        let listing = Listing::of(&zoo.pair.here, source, &["--netns", "self"]);
        (source, start, listing, Instant::now())
    };
    let readings = Source::ALL.map(read);
    for (first, start, one, _) in &readings {
        for (second, _, other, end) in &readings {
            for animal in &zoo.animals {
                let (a, b) = (one.row(animal.cookie), other.row(animal.cookie));
                let case = format!("{} by {first:?} and {second:?}", animal.name);
                for pointer in LASTING {
                    let (x, y) = (a.at(pointer), b.at(pointer));
                    assert!(
                        x == y || x.is_null() || y.is_null(),
                        "{case}: {pointer}: {a:?} {b:?}"
                    );
                }
                let (x, y) = (a.processes(), b.processes());
                assert!(
                    x == y || x.is_empty() || y.is_empty(),
                    "{case}: {a:?} {b:?}"
                );
                let known = |row: &Row| row.text("/exposure") != Some("unknown");
                if known(a) && known(b) {
                    assert_eq!(a.at("/exposure"), b.at("/exposure"), "{case}");
                }
                if start < end && animal.name != "a probe is unanswered" {
                    let between = end.duration_since(*start).as_millis();
                    same_timer(a, b, u64::try_from(between).unwrap(), &case);
                }
            }
        }
    }
}

/// A keepalive timer that was due in a time is due earlier by as much as has passed.
fn same_timer(first: &Row, second: &Row, elapsed: u64, case: &str) {
    const CLOCK_MS: u64 = 10;
    let expires = |row: &Row| row.number("/timers/keepalive/expires_ms");
    if let (Some(first), Some(second)) = (expires(first), expires(second)) {
        assert!(
            first <= second + elapsed + CLOCK_MS,
            "{case}: {first} {second}"
        );
        assert!(second <= first + CLOCK_MS, "{case}: {first} {second}");
    }
}

/// The two ends of a quiet connection agree on what was sent and received.
pub(crate) fn root_sequence_numbers_are_those_of_the_other_end() {
    let zoo = Zoo::open();
    for source in [Source::TaskFile, Source::IterTcp] {
        let here = Listing::of(&zoo.pair.here, source, &["--netns", "self"]);
        let there = Listing::of(&zoo.pair.there, source, &["--netns", "self"]);
        let mut compared = 0;
        for row in here.rows.values() {
            let quiet = row.text("/state") == Some("established")
                && row.number("/unacked_bytes") == Some(0)
                && row.at("/snd_una") != &Value::Null;
            let mirrored = |other: &&Row| {
                (other.end("local"), other.end("remote")) == (row.end("remote"), row.end("local"))
            };
            let Some(other) = there.rows.values().find(mirrored).filter(|_| quiet) else {
                continue;
            };
            if other.at("/rcv_nxt") == &Value::Null {
                continue;
            }
            assert_eq!(
                row.at("/snd_una"),
                other.at("/rcv_nxt"),
                "{source:?}: {row:?}"
            );
            assert_eq!(
                row.at("/rcv_nxt"),
                other.at("/snd_una"),
                "{source:?}: {row:?}"
            );
            compared += 1;
        }
        assert!(
            compared >= 12,
            "{source:?}: {compared} connections compared"
        );
    }
}
