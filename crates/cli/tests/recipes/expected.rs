//! What a recipe promises, held against what is read.

use sockpulse_cli::software::Gives;
use sockpulse_core::{Setting, SocketTimers};

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Row, Source};
use crate::kit::netns::Netns;

/// Waits until the established connections that the words select are there and have what was
/// promised.
///
/// # Panics
/// When they do not; says what they have.
pub(crate) fn expect(netns: &Netns, words: &[&str], gives: &Gives, case: &str) {
    let Gives::Connections(timers) = gives else {
        panic!("{case}: no promise of connections: {gives:?}");
    };
    let mut all = vec!["--netns", "self", "--state", "established"];
    all.extend(words);
    // A server sets the options after the connection is there.
    let mut last = Vec::new();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_for(case, || {
            let listing = Listing::of(netns, Source::TaskFile, &all);
            last = listing.rows.into_values().collect();
            (!last.is_empty() && last.iter().all(|row| has(row, timers))).then_some(())
        });
    }));
    assert!(outcome.is_ok(), "{case}: promised {gives}, read {last:#?}");
}

fn has(row: &Row, timers: &SocketTimers) -> bool {
    let value = |setting: &str, unit: &str, promised: Setting<u32>| {
        let origin = row.text(&format!("/keepalive/{setting}/origin"));
        let number = row.number(&format!("/keepalive/{setting}/{unit}"));
        match promised {
            Setting::Namespace => origin == Some("namespace"),
            Setting::Socket(value) | Setting::Either(value) => {
                origin == Some("socket") && number == Some(value.into())
            }
        }
    };
    row.at("/keepalive/on") == timers.keepalive
        && value("idle", "seconds", timers.idle)
        && value("interval", "seconds", timers.interval)
        && value("probes", "count", timers.probes)
        && row.number("/keepalive/user_timeout/ms") == Some(timers.user_timeout.get().into())
}
