//! One namespace with every kind of socket, field by field.

mod agreement;
mod expected;
mod zoo;

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source};
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, Pair, VANISHING};
use crate::kit::socket::{begin_to_connect_from, listen};
use crate::kit::ss::ss;
use crate::kit::truth::{Moment, Truth};
pub(crate) use zoo::Zoo;

pub(crate) use agreement::{
    root_sequence_numbers_are_those_of_the_other_end, root_sources_agree_with_each_other,
};

/// Every socket, by every source, against what was set and what the kernel tells its process.
pub(crate) fn root_every_kind_is_read_rightly_by_every_source() {
    let zoo = Zoo::open();
    for source in Source::ALL {
        let before: Vec<Option<Moment>> = zoo.moments();
        let listing = Listing::of(&zoo.pair.here, source, &["--netns", "self"]);
        let after = zoo.moments();
        // What a source cannot see makes the reading partial: 3.
        let expected = match source {
            Source::TaskFile | Source::IterTcp => 0,
            Source::Pidfd => zoo.status_by_pidfd(),
            Source::SockDiag => 3,
        };
        let status = listing.ran.status;
        assert_eq!(status, Some(expected), "{source:?}: {}", listing.ran.stderr);
        for (animal, moments) in zoo.animals.iter().zip(before.iter().zip(&after)) {
            let row = listing.row(animal.cookie);
            let case = format!("{} by {source:?}", animal.name);
            expected::identity(animal, row, &zoo, &case);
            expected::settings(animal, row, source, &case);
            expected::timers(animal, row, source, &case);
            expected::owner(animal, row, source, &case);
            if let (Some(before), Some(after)) = moments {
                expected::moment(before, after, row, source, &case);
            }
        }
        let known: Vec<u64> = zoo.animals.iter().map(|animal| animal.cookie).collect();
        for (cookie, row) in &listing.rows {
            assert!(known.contains(cookie), "{source:?} shows one more: {row:?}");
        }
    }
}

/// Sockets that are no connections are shown where somebody asks for them.
pub(crate) fn root_closed_sockets_are_shown_when_asked_for() {
    let netns = Netns::anonymous();
    let [bound, fresh] = netns.run(zoo::bound_and_fresh);
    let known = [&bound, &fresh].map(|socket| Truth::of(socket).cookie);
    let list = |words: &[&str]| {
        let listing = Listing::of(&netns, Source::TaskFile, words);
        listing.rows.into_keys().collect::<Vec<u64>>()
    };
    assert!(list(&["--netns", "self"]).is_empty());
    assert_eq!(list(&["--netns", "self", "--state", "closed"]), known);
}

/// A request is no socket yet: it has no settings, and no exposure. iter/tcp stays out of it:
/// arriving SYNs are what its fault needs.
pub(crate) fn root_a_connection_request_has_no_settings() {
    let pair = Pair::new();
    let listener = listen(&pair.here, HERE, 5000);
    pair.vanish();
    // The SYN arrives, the answer to it does not.
    let _asking = begin_to_connect_from(&pair.there, VANISHING, HERE, 5000);
    let request = wait_for("a request", || {
        let lines = ss(&pair.here);
        let line = lines.values().find(|line| line.state == "syn-received");
        line.cloned()
    });
    for source in [Source::TaskFile, Source::Pidfd, Source::SockDiag] {
        let listing = Listing::of(&pair.here, source, &["--netns", "self"]);
        assert_eq!(listing.rows.len(), 2, "{source:?}: {:?}", listing.rows);
        let row = listing.row(request.cookie);
        let case = format!("{source:?}: {row:?}");
        assert_eq!(row.text("/state"), Some("syn-received"), "{case}");
        assert_eq!(row.end("local"), request.local, "{case}");
        assert_eq!(row.end("remote"), request.remote, "{case}");
        assert_eq!(row.text("/timer/kind"), Some("syn-ack"), "{case}");
        assert_eq!(row.text("/settings_unknown"), Some("no-socket"), "{case}");
        for pointer in [
            "/keepalive/on",
            "/exposure",
            "/owner/pid",
            "/inode",
            "/silence_ms",
        ] {
            assert!(row.at(pointer).is_null(), "{pointer}: {case}");
        }
    }
    drop(listener);
}

/// Every source shows exactly the sockets that ss shows, and what both tell is the same.
pub(crate) fn root_every_source_agrees_with_ss() {
    let zoo = Zoo::open();
    for source in Source::ALL {
        let before = ss(&zoo.pair.here);
        let listing = Listing::of(&zoo.pair.here, source, &["--netns", "self"]);
        let after = ss(&zoo.pair.here);
        for (cookie, row) in &listing.rows {
            assert!(
                before.contains_key(cookie),
                "{source:?} shows one more: {row:?}"
            );
        }
        for (cookie, line) in &before {
            let row = listing.row(*cookie);
            let case = format!("{line:?} by {source:?}: {row:?}");
            assert_eq!(row.text("/state"), Some(line.state), "{case}");
            assert_eq!(row.end("local"), line.local, "{case}");
            assert_eq!(row.end("remote"), line.remote, "{case}");
            assert_eq!(row.number("/inode").unwrap_or(0), line.inode, "{case}");
            if line.inode != 0 {
                assert_eq!(row.number("/owner/uid"), Some(line.uid), "{case}");
            }
            // What a timer may have changed meanwhile is compared only when it did not.
            if after.get(cookie) != Some(line) {
                continue;
            }
            for (ours, theirs) in [
                ("/unread_bytes", line.recv_q),
                ("/unacked_bytes", line.send_q),
            ] {
                if let Some(bytes) = row.number(ours) {
                    assert_eq!(bytes, theirs, "{ours}: {case}");
                }
            }
            assert!(
                expected::timer_of_ss(&line.timer).contains(&row.text("/timer/kind")),
                "{case}"
            );
        }
    }
}
