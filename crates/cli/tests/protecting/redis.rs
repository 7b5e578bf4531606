//! A redis-server with `tcp-keepalive 0`, which never learns of it.

use crate::Stage;
use crate::kit::listing::{Listing, Source};
use crate::kit::redis::{Client, Server};

const WORDS: [&str; 8] = [
    "--program",
    "redis-server",
    "--idle",
    "60s",
    "--interval",
    "10s",
    "--probes",
    "6",
];

/// Its open clients and its listener gain keepalive; a second run plans nothing; undo takes it back.
#[test]
fn root_redis_gains_keepalive_and_loses_it_again() {
    let Some(stage) = Stage::new("root_redis_gains_keepalive_and_loses_it_again") else {
        return;
    };
    let _server = Server::start(&stage.pair);
    let mut clients = [(); 5].map(|()| Client::connect(&stage.pair));
    crate::kit::deadline::wait_for("Redis to forget who has gone", || {
        (clients[0].clients().len() == 5).then_some(())
    });
    let mut dry = WORDS.to_vec();
    dry.push("--dry-run");
    let planned = stage.protect(&dry);
    assert_eq!(planned["connections"]["to_change"], 5, "{planned}");
    assert_eq!(settings(&stage, "established"), [None; 5]);

    let done = stage.protect(&WORDS);
    // What was foretold is what was done.
    for key in ["rule", "left_out", "withheld", "effect", "pace"] {
        assert_eq!(planned[key], done[key], "{key}");
    }
    for kind in ["connections", "listeners"] {
        assert_eq!(planned[kind]["to_change"], done[kind]["changed"], "{done}");
    }
    assert_eq!(done["listeners"]["changed"], 1, "{done}");
    assert_eq!(done["effect"]["before"]["never"], 5, "{done}");
    for idle in settings(&stage, "established") {
        assert!((53..=60).contains(&idle.unwrap()), "{idle:?}");
    }
    assert_eq!(settings(&stage, "listen"), [Some(60)]);
    // The next client inherits from the listener, exactly.
    let next = Client::connect(&stage.pair);
    let remote = next.0.get_ref().local_addr().unwrap().to_string();
    let listing = Listing::of(&stage.pair.here, Source::TaskFile, &["--remote", &remote]);
    let row = listing.rows.values().next().unwrap();
    assert_eq!(row.at("/keepalive/on"), true);
    assert_eq!(row.number("/keepalive/idle/seconds"), Some(60));

    let again = stage.protect(&WORDS);
    for kind in ["connections", "listeners"] {
        assert_eq!(again[kind]["to_change"], 0, "{again}");
    }
    assert_eq!(again["id"], serde_json::Value::Null);

    let undone = stage.undo(&[]);
    assert_eq!(undone["connections"]["changed"], 6, "{undone}");
    assert_eq!(settings(&stage, "listen"), [None]);
    let left = settings(&stage, "established");
    // Whom the listener gave it was not changed by us.
    assert_eq!(left.iter().flatten().count(), 1, "{left:?}");
    let nothing = stage.undo(&[]);
    assert_eq!(nothing["connections"], serde_json::Value::Null, "{nothing}");
}

/// Idle times of Redis's sockets where keepalive is on.
fn settings(stage: &Stage, state: &str) -> Vec<Option<u64>> {
    let words = [
        "--netns",
        "self",
        "--program",
        "redis-server",
        "--state",
        state,
    ];
    let listing = Listing::of(&stage.pair.here, Source::TaskFile, &words);
    let rows = listing.rows.values();
    rows.map(|row| {
        let on = row.at("/keepalive/on") == true;
        on.then(|| row.number("/keepalive/idle/seconds").unwrap())
    })
    .collect()
}

/// Vanished clients disappear from Redis's own list at the predicted second.
#[test]
fn root_redis_notices_who_has_vanished() {
    let Some(stage) = Stage::new("root_redis_notices_who_has_vanished") else {
        return;
    };
    let _server = Server::start(&stage.pair);
    let mut stays = Client::connect(&stage.pair);
    let gone = Client::connect(&stage.pair);
    let address = gone.0.get_ref().local_addr().unwrap();
    stage.protect(&[
        "--program",
        "redis-server",
        "--idle",
        "2",
        "--interval",
        "1",
        "--probes",
        "2",
    ]);
    let started = std::time::Instant::now();
    // Its packets are lost from now on, and nobody says so.
    stage.pair.here.run(|| {
        let rule = "add table ip t; add chain ip t o { type filter hook output priority 0; }; \
                    add rule ip t o tcp dport PORT drop";
        let rule = rule.replace("PORT", &address.port().to_string());
        let ran = std::process::Command::new("nft")
            .arg(rule)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    });
    crate::kit::deadline::wait_for("Redis to notice", || {
        (!stays.clients().contains_key(&address)).then_some(())
    });
    let took = started.elapsed();
    // 2 s of silence, two probes a second apart; the wheel may be an eighth late.
    assert!(
        took.as_secs_f64() > 2.5 && took.as_secs_f64() < 5.5,
        "{took:?}"
    );
}
