//! Redis and every source agree.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source};
use crate::kit::pair::Pair;
use crate::kit::redis::{Client, Server};

/// Clients before and after `CONFIG SET tcp-keepalive 60`: Redis and every source agree on who they
/// are, and the settings are what Redis's source says it sets: 60, 60/3 and 3.
pub(crate) fn root_redis_and_every_source_agree() {
    let pair = Pair::new();
    let server = Server::start(&pair);
    let mut without = [(); 3].map(|()| Client::connect(&pair));
    assert_eq!(without[0].ask("CONFIG SET tcp-keepalive 60"), "OK");
    let with = [(); 4].map(|()| Client::connect(&pair));
    let address = |client: &Client| client.0.get_ref().local_addr().unwrap();
    let protected: Vec<SocketAddr> = with.iter().map(address).collect();

    for source in Source::ALL {
        let words = [
            "--netns",
            "self",
            "--local",
            ":6379",
            "--state",
            "established",
        ];
        // The one that looked whether the server is up may still be in Redis's list.
        let clients = wait_for("Redis to forget who has gone", || {
            let clients = without[0].clients();
            (clients.len() == 7).then_some(clients)
        });
        let listing = Listing::of(&pair.here, source, &words);
        let seen: BTreeMap<SocketAddr, _> = listing
            .rows
            .values()
            .map(|row| (SocketAddr::from(row.end("remote")), row))
            .collect();
        assert_eq!(
            clients.keys().collect::<Vec<_>>(),
            seen.keys().collect::<Vec<_>>(),
            "{source:?}: the same clients"
        );
        for (client, row) in seen {
            let case = format!("{client} by {source:?}: {row:?}");
            if source == Source::SockDiag {
                assert!(row.at("/keepalive/on").is_null(), "{case}");
                assert_eq!(row.text("/exposure"), Some("unknown"), "{case}");
                continue;
            }
            let on = protected.contains(&client);
            assert_eq!(row.at("/keepalive/on"), on, "{case}");
            let exposure = if on { "protected" } else { "unprotected" };
            assert_eq!(row.text("/exposure"), Some(exposure), "{case}");
            if on {
                assert_eq!(row.number("/keepalive/idle/seconds"), Some(60), "{case}");
                assert_eq!(
                    row.number("/keepalive/interval/seconds"),
                    Some(20),
                    "{case}"
                );
                assert_eq!(row.number("/keepalive/probes/count"), Some(3), "{case}");
                assert_eq!(row.number("/detects_idle_s"), Some(120), "{case}");
                assert_eq!(row.text("/timer/kind"), Some("keepalive"), "{case}");
            }
            assert_eq!(
                row.number("/owner/pid"),
                Some(server.0.id().into()),
                "{case}"
            );
            assert_eq!(row.text("/owner/program"), Some("redis-server"), "{case}");
            assert_eq!(
                row.number("/owner/fd"),
                clients.get(&client).copied(),
                "{case}"
            );
        }
    }
    drop(with);
}
