//! Selectors and the audit, on real sockets: each chooses or counts what the whole list shows.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kinds::Zoo;
use crate::kit::listing::{Listing, Row, Source, sockpulse};

type Chosen = fn(&Row) -> bool;

/// Every selector, against the same choice made of the whole list.
pub(crate) fn root_selectors_choose_what_they_say() {
    let zoo = Zoo::open();
    let list = |words: &[&str]| {
        let all = [&["--netns", "self"], words].concat();
        Listing::of(&zoo.pair.here, Source::TaskFile, &all).rows
    };
    let own = std::process::id().to_string();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap();
    let glob = format!("{}*", &comm[..4]);
    let choices: [(Vec<&str>, Chosen); 17] = [
        (vec!["--state", "established"], |row| {
            state(row) == "established"
        }),
        (vec!["--state", "fin-wait-2", "--state", "listen"], |row| {
            ["fin-wait-2", "listen"].contains(&state(row))
        }),
        (vec!["--local", ":5001"], |row| row.end("local").1 == 5001),
        (vec!["--local", "192.0.2.0/24"], |row| {
            row.end("local")
                .0
                .to_canonical()
                .to_string()
                .starts_with("192.0.2.")
        }),
        (vec!["--remote", "2001:db8::/64"], |row| {
            row.end("remote").0.to_string().starts_with("2001:db8::")
        }),
        (vec!["--remote", "[2001:db8::2]:7001"], |row| {
            row.end("remote") == ("2001:db8::2".parse().unwrap(), 7001)
        }),
        // IPv4-mapped addresses count as IPv4.
        (vec!["--remote", "192.0.2.2"], |row| {
            row.end("remote").0.to_canonical().to_string() == "192.0.2.2"
        }),
        (vec!["--port", "7000"], |row| {
            [row.end("local").1, row.end("remote").1].contains(&7000)
        }),
        (vec!["--port", "7000", "--state", "close-wait"], |row| {
            row.end("remote").1 == 7000 && state(row) == "close-wait"
        }),
        (vec!["--exposure", "fragile"], |row| {
            exposure(row) == "fragile"
        }),
        (
            vec!["--exposure", "unprotected", "--exposure", "slow"],
            |row| ["unprotected", "slow"].contains(&exposure(row)),
        ),
        (vec!["--pid", &own], |row| !row.processes().is_empty()),
        (vec!["--program", &glob], |row| !row.processes().is_empty()),
        (vec!["--program", "nobody-is-called-so"], |_| false),
        (vec!["--silent-for", "0"], |row| {
            row.at("/silence_ms").is_u64()
        }),
        (vec!["--silent-for", "7d"], |_| false),
        (vec!["--cgroup", "/"], |row| {
            row.at("/owner/cgroup").is_string()
        }),
    ];
    for (words, chosen) in choices {
        let cookies = |rows: BTreeMap<u64, Row>| rows.into_keys().collect::<Vec<_>>();
        let mut all = list(&[]);
        all.retain(|_, row| chosen(row));
        assert_eq!(cookies(list(&words)), cookies(all), "{words:?}");
    }
}

/// What the audit counts is what the list shows.
pub(crate) fn root_the_audit_counts_what_the_list_shows() {
    let zoo = Zoo::open();
    for source in Source::ALL {
        let rows = Listing::of(&zoo.pair.here, source, &["--netns", "self"]).rows;
        let words = [
            &["audit", "-o", "json", "--netns", "self"][..],
            &source.flags(),
        ]
        .concat();
        let ran = sockpulse(&zoo.pair.here, &words);
        assert!(
            matches!(ran.status, Some(0 | 3)),
            "{source:?}: {}",
            ran.stderr
        );
        let audit = ran.json();
        for name in [
            "unprotected",
            "slow",
            "fragile",
            "protected",
            "probing",
            "local",
            "unknown",
        ] {
            let listed = rows.values().filter(|row| exposure(row) == name).count();
            assert_eq!(
                audit["total"][name], listed,
                "{source:?}: {name}: {audit:#}"
            );
        }
        for (name, count) in audit["states"].as_object().unwrap() {
            let listed = rows.values().filter(|row| state(row) == name).count();
            assert_eq!(*count, listed, "{source:?}: {name}: {audit:#}");
        }
        let defaults = &audit["namespaces"][0]["defaults"];
        assert_eq!(defaults["idle_s"], 3600, "{source:?}: {audit:#}");
        assert_eq!(
            defaults["detects_after_s"],
            3600 + 4 * 20,
            "{source:?}: {audit:#}"
        );
    }
}

/// What `explain` tells is what the list shows: each connection in one group, with its settings and
/// the same time.
pub(crate) fn root_explain_tells_what_the_list_shows() {
    let zoo = Zoo::open();
    let here = &zoo.pair.here;
    for source in [Source::TaskFile, Source::Pidfd] {
        let mut listed: BTreeMap<String, u64> = BTreeMap::new();
        for row in Listing::of(here, source, &["--netns", "self"])
            .rows
            .values()
        {
            let known = row.at("/keepalive/idle/seconds").is_i64();
            if known && !exposure(row).is_empty() {
                let time = row.at("/detects_idle_s").as_f64();
                *listed.entry(group(row.at("/keepalive"), time)).or_insert(0) += 1;
            }
        }
        assert!(listed.len() > 2, "{source:?}: too few settings: {listed:?}");
        let words = [
            &["explain", "-o", "json", "--netns", "self"][..],
            &source.flags(),
        ]
        .concat();
        let ran = sockpulse(here, &words);
        assert!(
            matches!(ran.status, Some(0 | 3)),
            "{source:?}: {}",
            ran.stderr
        );
        let document = ran.json();
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        for explanation in document["explanations"].as_array().unwrap() {
            let time = explanation["idle"]["noticed"]["by_settings_s"].as_f64();
            let count = explanation["connections"]["count"].as_u64().unwrap();
            *told
                .entry(group(&explanation["settings"], time))
                .or_insert(0) += count;
        }
        assert_eq!(told, listed, "{source:?}: {document:#}");
    }
}

/// What makes connections alike in both.
fn group(settings: &Value, noticed: Option<f64>) -> String {
    let of = |name: &str| &settings[name];
    let parts = [
        of("on"),
        of("idle"),
        of("interval"),
        of("probes"),
        of("user_timeout"),
    ];
    format!("{parts:?} {noticed:?}")
}

fn state(row: &Row) -> &str {
    row.text("/state").expect("a state")
}

/// Empty where the word does not apply.
fn exposure(row: &Row) -> &str {
    row.text("/exposure").unwrap_or_default()
}
