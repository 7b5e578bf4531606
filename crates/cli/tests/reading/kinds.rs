//! One namespace with every kind of socket, field by field.

mod agreement;
mod expected;
mod zoo;

use crate::kit::listing::{Listing, Source};
use crate::kit::ss::ss;
use crate::kit::truth::Moment;
use zoo::Zoo;

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
