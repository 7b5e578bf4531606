//! What each source must say of a socket.

use std::os::fd::AsRawFd;

use serde_json::Value;

use super::zoo::{Animal, DEFAULTS, Held, Zoo};
use crate::kit::listing::{Row, Source};
use crate::kit::truth::{Moment, Truth};

/// How far two readings of one clock may lie apart: a jiffy at 100 Hz.
const CLOCK_MS: u64 = 10;

/// What every source sees.
pub(super) fn identity(animal: &Animal, row: &Row, zoo: &Zoo, case: &str) {
    assert_eq!(row.text("/state"), Some(animal.state), "{case}: {row:?}");
    assert_eq!(row.text("/family"), Some(animal.family), "{case}");
    assert_eq!(row.number("/netns"), Some(zoo.pair.here.id()), "{case}");
    if let Some(socket) = animal.descriptor() {
        let end = |address: rustix::io::Result<rustix::net::SocketAddrAny>| {
            let address = std::net::SocketAddr::try_from(address.unwrap()).unwrap();
            (address.ip(), address.port())
        };
        assert_eq!(
            row.end("local"),
            end(rustix::net::getsockname(socket)),
            "{case}"
        );
        // A socket whose peer is gone has forgotten it.
        if let Ok(peer) = rustix::net::getpeername(socket) {
            let peer = peer.expect("an address");
            assert_eq!(row.end("remote"), end(Ok(peer)), "{case}");
        }
        assert_eq!(
            row.number("/inode"),
            Some(Truth::of(socket).inode),
            "{case}"
        );
        assert_eq!(row.number("/owner/uid"), Some(0), "{case}");
    }
    if let (Value::Bool(orphan), false) = (row.at("/orphan"), matches!(animal.held, Held::Entry)) {
        assert_eq!(
            *orphan,
            matches!(animal.held, Held::Orphan),
            "{case}: {row:?}"
        );
    }
}

/// Whether a source sees the settings of a socket; `None` where it may or may not.
fn sees_settings(animal: &Animal, source: Source) -> Option<bool> {
    match (source, &animal.held) {
        (Source::SockDiag, _) | (_, Held::Entry) => Some(false),
        (Source::IterTcp, _) | (_, Held::Here(_)) => Some(true),
        (_, Held::ByMptcp(_)) => None,
        (_, Held::Orphan | Held::Unaccepted) => Some(false),
    }
}

/// The settings, where they come from, and what follows from them.
pub(super) fn settings(animal: &Animal, row: &Row, source: Source, case: &str) {
    let known = row.at("/keepalive/on").is_boolean();
    if let Some(expected) = sees_settings(animal, source) {
        assert_eq!(known, expected, "{case}: {row:?}");
    }
    if !known {
        unseen(animal, row, case);
        return;
    }
    assert_eq!(row.at("/settings_unknown"), &Value::Null, "{case}");
    let options = animal.options;
    assert_eq!(
        row.at("/keepalive/on"),
        options.keepalive,
        "{case}: {row:?}"
    );
    for (name, origin, own, default) in [
        ("idle/seconds", "idle/origin", options.idle_s, DEFAULTS.0),
        (
            "interval/seconds",
            "interval/origin",
            options.interval_s,
            DEFAULTS.1,
        ),
        ("probes/count", "probes/origin", options.probes, DEFAULTS.2),
    ] {
        let value = own.map_or(default, u64::from);
        let pointer = format!("/keepalive/{name}");
        assert_eq!(
            row.number(&pointer),
            Some(value),
            "{case}: {pointer}: {row:?}"
        );
        let from = row.text(&format!("/keepalive/{origin}"));
        let truth = if own.is_some() { "socket" } else { "namespace" };
        // getsockopt(2) tells values, not where they come from.
        let expected = match source {
            Source::Pidfd if value == default => None,
            _ => Some(truth),
        };
        assert_eq!(from, expected, "{case}: {origin}: {row:?}");
    }
    let user_timeout = row.number("/keepalive/user_timeout/ms");
    assert_eq!(user_timeout, Some(options.user_timeout_ms.into()), "{case}");
    if let Some(socket) = animal.descriptor() {
        same_as_getsockopt(&Truth::of(socket), row, case);
    }
    assert_eq!(row.text("/exposure"), animal.exposure, "{case}: {row:?}");
}

fn same_as_getsockopt(truth: &Truth, row: &Row, case: &str) {
    assert_eq!(row.at("/keepalive/on"), truth.keepalive, "{case}");
    for (pointer, value) in [
        ("/keepalive/idle/seconds", truth.idle_s),
        ("/keepalive/interval/seconds", truth.interval_s),
        ("/keepalive/probes/count", truth.probes),
        ("/keepalive/user_timeout/ms", truth.user_timeout_ms),
    ] {
        assert_eq!(row.number(pointer), Some(value), "{case}: {pointer}");
    }
}

/// What was not seen is null with a reason, and never taken for "on".
fn unseen(animal: &Animal, row: &Row, case: &str) {
    for pointer in [
        "/keepalive/on",
        "/keepalive/idle/seconds",
        "/keepalive/idle/origin",
        "/keepalive/user_timeout/ms",
        "/detects_idle_s",
        "/detects_idle_latest_s",
        "/detects_busy_s",
        "/next_probe_ms",
    ] {
        assert_eq!(row.at(pointer), &Value::Null, "{case}: {pointer}: {row:?}");
    }
    assert!(row.at("/settings_unknown").is_string(), "{case}: {row:?}");
    let exposure = row.text("/exposure");
    match animal.held {
        Held::Entry => assert_eq!(exposure, None, "{case}"),
        // inet_diag alone does not tell an orphan from a socket that nobody has accepted.
        Held::Orphan => assert!(
            matches!(exposure, None | Some("unknown")),
            "{case}: {row:?}"
        ),
        _ => {
            let expected = animal.exposure.map(|_| "unknown");
            assert_eq!(exposure, expected, "{case}: {row:?}");
        }
    }
}

/// Pending timers: both where the source sees both, and none that is not there.
pub(super) fn timers(animal: &Animal, row: &Row, source: Source, case: &str) {
    let sees_both = match source {
        Source::TaskFile => matches!(animal.held, Held::Here(_)),
        Source::IterTcp => true,
        Source::Pidfd | Source::SockDiag => false,
    };
    let keepalive = row.text("/timers/keepalive/kind");
    let retransmission = row.text("/timers/retransmission/kind");
    if sees_both {
        assert!(
            keepalive.is_some() && retransmission.is_some(),
            "{case}: {row:?}"
        );
    }
    if let Some(kind) = keepalive {
        assert_eq!(kind, animal.keepalive_timer, "{case}: {row:?}");
    }
    if let Some(kind) = retransmission {
        assert!(
            animal.retransmission_timer.contains(&kind),
            "{case}: {row:?}"
        );
    }
    if animal.keepalive_timer == "keepalive" && keepalive.is_some() {
        let expires = row.number("/timers/keepalive/expires_ms").expect("a time");
        let idle = animal.options.idle_s.map_or(DEFAULTS.0, u64::from);
        // The timer wheel may be late by an eighth, and an unanswered probe waits for the interval.
        let longest = idle * 1000 * 9 / 8 + 1000;
        assert!(expires <= longest, "{case}: {expires} ms: {row:?}");
    }
}

/// What ss calls a timer, in our words.
pub(super) fn timer_of_ss(name: &str) -> &'static [Option<&'static str>] {
    match name {
        "" => &[Some("none")],
        // A retransmission hides the keepalive timer from ss; which of both is due first may differ.
        "on" => &[
            Some("retransmission"),
            Some("loss-probe"),
            Some("reordering"),
            Some("syn-ack"),
            Some("keepalive"),
        ],
        // ss has one word for two timers.
        "keepalive" => &[Some("keepalive"), Some("fin-wait-2")],
        "timewait" => &[Some("time-wait")],
        "persist" => &[Some("persist"), Some("keepalive")],
        other => panic!("ss: a timer {other}"),
    }
}

/// Whose it is.
pub(super) fn owner(animal: &Animal, row: &Row, source: Source, case: &str) {
    let owners = row.processes();
    let (socket, must_know) = match (&animal.held, source) {
        (Held::Here(socket), Source::TaskFile | Source::Pidfd) => (socket, true),
        // A subflow is in no descriptor table, but the socket above it is.
        (Held::ByMptcp(socket), Source::TaskFile | Source::IterTcp) => (socket, true),
        (Held::Here(socket) | Held::ByMptcp(socket), _) => (socket, false),
        (Held::Orphan | Held::Unaccepted | Held::Entry, _) => {
            assert_eq!(owners, [], "{case}: {row:?}");
            assert!(row.at("/owner/unknown").is_string(), "{case}: {row:?}");
            return;
        }
    };
    assert!(!owners.is_empty() || !must_know, "{case}: {row:?}");
    if owners.is_empty() {
        assert!(row.at("/owner/unknown").is_string(), "{case}: {row:?}");
        return;
    }
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let descriptor = u64::try_from(socket.as_raw_fd()).unwrap();
    let expected = (std::process::id().into(), descriptor, comm.trim_end());
    assert_eq!(owners, [expected], "{case}: {row:?}");
    assert_eq!(row.at("/owner/unknown"), &Value::Null, "{case}");
}

/// What changes by itself must lie between what the kernel told before and after.
pub(super) fn moment(before: &Moment, after: &Moment, row: &Row, source: Source, case: &str) {
    if !matches!(
        row.text("/state"),
        Some("established" | "close-wait" | "fin-wait-2")
    ) {
        return;
    }
    let between = format!("{before:?}, {after:?}: {row:?}");
    let elapsed = after.at.duration_since(before.at).as_millis();
    let elapsed = u64::try_from(elapsed).unwrap();
    for (pointer, earlier, later) in [
        ("/silence_ms", before.silence_ms, after.silence_ms),
        ("/sent_ms", before.sent_ms, after.sent_ms),
    ] {
        let ours = row.number(pointer);
        let ours = ours.unwrap_or_else(|| panic!("{case}: no {pointer} by {source:?}: {row:?}"));
        let most = earlier + elapsed + CLOCK_MS;
        assert!(ours <= most, "{case}: {pointer}: {between}");
        // A segment that came or went meanwhile sets the clock back.
        if later + CLOCK_MS >= earlier + elapsed {
            let least = earlier.saturating_sub(CLOCK_MS);
            assert!(ours >= least, "{case}: {pointer}: {between}");
        }
    }
    for (pointer, earlier, later) in [
        (
            "/timer/unanswered_probes",
            before.unanswered_probes,
            after.unanswered_probes,
        ),
        ("/retransmits", before.retransmits, after.retransmits),
        ("/backoff", before.backoff, after.backoff),
        ("/rto_ms", before.rto_ms, after.rto_ms),
    ] {
        if earlier == later {
            assert_eq!(
                row.number(pointer),
                Some(later),
                "{case}: {pointer}: {between}"
            );
        }
    }
}
