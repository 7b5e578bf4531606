//! How connections begin, who began them, and what is lost.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use sockpulse_bpf::watch::{Happening, Kinds, Known, What};
use sockpulse_core::event::Side;
use sockpulse_core::{Comm, TcpState};

use crate::common::{Watch, cookie, in_namespace, inode, now, own_name, pair, pair_on};

fn side(told: &Happening) -> Side {
    match told.what {
        What::Opened(side) => side,
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn root_both_ends_are_told_with_their_programs() {
    in_namespace(|| {
        let before = now();
        // The listener is older than the watch.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let mut watch = Watch::load(Kinds::OPENED);
        let pair = pair_on(listener);
        let mut told = [watch.next(|_| true), watch.next(|_| true)];
        told.sort_by_key(|told| side(told) == Side::Accepted);
        let [client, server] = told;
        for (told, end, is) in [
            (&client, &pair.client, Side::Connected),
            (&server, &pair.server, Side::Accepted),
        ] {
            let id = &told.connection.id;
            assert_eq!(side(told), is);
            assert_eq!(id.cookie, cookie(end));
            assert_eq!(told.connection.state, TcpState::Established);
            let (local, remote) = (end.local_addr().unwrap(), end.peer_addr().unwrap());
            assert_eq!((id.local.addr, id.local.port), (local.ip(), local.port()));
            assert_eq!(
                (id.remote.addr, id.remote.port),
                (remote.ip(), remote.port())
            );
            assert_eq!(told.connection.owner.uid, Some(0));
            assert!(told.at >= before && told.at <= now());
            assert!(told.opened.unwrap() <= told.at);
            let program = told.program.unwrap();
            assert_eq!(program.pid, std::process::id());
            assert_eq!(program.comm, Comm::new(&own_name()));
        }
        assert_eq!(client.connection.inode, inode(&pair.client));
        assert_eq!(client.program.unwrap().known, Known::Connected);
        assert_eq!(server.program.unwrap().known, Known::Listened);
    });
}

#[test]
fn root_listeners_are_found_for_every_kind_of_address() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::OPENED);
        let any4: SocketAddr = (Ipv4Addr::UNSPECIFIED, 0).into();
        let any6: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
        let one6: SocketAddr = (Ipv6Addr::LOCALHOST, 0).into();
        for (listen, connect) in [
            (any4, "127.0.0.1"),
            (any6, "127.0.0.1"),
            (any6, "::1"),
            (one6, "::1"),
        ] {
            let listener = TcpListener::bind(listen).unwrap();
            let to = SocketAddr::new(
                connect.parse().unwrap(),
                listener.local_addr().unwrap().port(),
            );
            let _client = TcpStream::connect(to).unwrap();
            let accepted = watch.next(|told| side(told) == Side::Accepted);
            let program = accepted.program.unwrap();
            assert_eq!(program.known, Known::Listened, "{listen} {connect}");
            assert_eq!(program.pid, std::process::id());
        }
    });
}

#[test]
fn root_what_is_older_than_the_watch_is_told_without_its_age() {
    in_namespace(|| {
        let pair = pair();
        let mut watch = Watch::load(Kinds::DIED);
        crate::common::abort(pair.server);
        let died = watch.next_of(&pair.client);
        assert_eq!((died.opened, died.program), (None, None));
        assert_eq!(died.connection.inode, inode(&pair.client));
    });
}

#[test]
fn root_a_slow_reader_loses_events_and_nobody_waits() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::OPENED.with(Kinds::CLOSED));
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        // Four events a connection, and room for 16,000.
        for n in 0..5_000_u16 {
            let [_, _, c, d] = u32::from(n / 1000 + 1).to_be_bytes();
            let client = TcpStream::connect((Ipv4Addr::new(127, 0, c, d), port)).unwrap();
            let (server, _) = listener.accept().unwrap();
            drop(client);
            drop(server);
        }
        let lost = watch.watcher().lost().unwrap();
        assert!(lost > 0, "nothing was lost");
        let mut told = Vec::new();
        watch.watcher().next(Duration::ZERO, &mut told).unwrap();
        assert!(told.len() > 10_000, "{}", told.len());
        // The reader catches up, and nothing is lost any more.
        let lost = watch.watcher().lost().unwrap();
        let _pair = pair_on(listener);
        watch.next(|told| told.what == What::Opened(Side::Accepted));
        assert_eq!(watch.watcher().lost().unwrap(), lost);
    });
}

#[test]
fn root_nothing_is_told_for_as_long_as_said() {
    in_namespace(|| {
        let mut watch = Watch::load(Kinds::RECOVERED);
        let start = now();
        let mut told = Vec::new();
        let wait = Duration::from_millis(50);
        watch.watcher().next(wait, &mut told).unwrap();
        assert!(now() - start >= wait || !told.is_empty());
    });
}
