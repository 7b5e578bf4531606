//! Rules that ask for what a listener cannot know: each accepted connection is decided over by itself,
//! in an interrupt.

use std::net::TcpListener;

use sockpulse_bpf::protect::{Accepted, Hook};
use sockpulse_core::Selector;
use sockpulse_core::glob::Glob;
use sockpulse_core::protect::{Mode, Rule};

use super::common::{UNTOUCHED, connect_from, has, in_world, rule};

fn for_remote(remote: &str, idle: u64) -> Rule {
    Rule {
        selector: Selector {
            remotes: vec![remote.parse().unwrap()],
            ..Selector::default()
        },
        name: remote.into(),
        ..rule(Mode::Fill, idle, 11, 5)
    }
}

/// Connects from an address and accepts.
fn accepted(listener: &TcpListener, from: &str) -> (std::net::TcpStream, std::net::TcpStream) {
    let client = connect_from(from, listener.local_addr().unwrap());
    (client, listener.accept().unwrap().0)
}

#[test]
fn root_the_far_end_decides() {
    in_world(|world| {
        let rules = [for_remote("127.0.0.2", 62), for_remote("127.0.0.3", 63)];
        let installed = world.install(&rules);
        assert_eq!(installed.accepted, Accepted::Each);
        assert_eq!(installed.hooks, [Hook::SockOps]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        for (from, idle) in [("127.0.0.2", 62), ("127.0.0.3", 63)] {
            let (client, server) = accepted(&listener, from);
            assert_eq!(has(&server), (true, idle, 11, 5, 0));
            // For the client it is this end.
            assert_eq!(has(&client), UNTOUCHED);
        }
        let (_, server) = accepted(&listener, "127.0.0.4");
        assert_eq!(has(&server), UNTOUCHED);
    });
}

/// The address of this end, which a wildcard listener has not.
#[test]
fn root_this_end_decides() {
    in_world(|world| {
        let mut wanted = rule(Mode::Fill, 61, 11, 5);
        wanted.selector.locals = vec!["127.0.0.7".parse().unwrap()];
        world.install(&[wanted]);
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for (to, wanted) in [
            ("127.0.0.7", (true, 61, 11, 5, 0)),
            ("127.0.0.1", UNTOUCHED),
        ] {
            let to = format!("{to}:{port}").parse().unwrap();
            let client = connect_from("127.0.0.9", to);
            let (server, _) = listener.accept().unwrap();
            assert_eq!(has(&server), wanted);
            assert_eq!(has(&client), UNTOUCHED);
        }
    });
}

/// The name is that of the program that listens: neither that of whoever is interrupted, nor that of
/// one of its threads.
#[test]
fn root_an_accepted_connection_has_its_listeners_program() {
    in_world(|world| {
        let own = std::fs::read_to_string("/proc/self/comm").unwrap();
        let before = TcpListener::bind("127.0.0.1:0").unwrap();
        let program = |name: &str, idle| Rule {
            selector: Selector {
                programs: vec![Glob::new(name)],
                ..for_remote("127.0.0.2", idle).selector
            },
            ..for_remote("127.0.0.2", idle)
        };
        world.install(&[program("nobody-*", 66), program(own.trim(), 61)]);
        let after = TcpListener::bind("127.0.0.1:0").unwrap();
        // Without bind(2).
        let unbound = super::common::socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        super::common::listen(&unbound);
        for (which, listener) in [before, after, unbound.into()].into_iter().enumerate() {
            let to = listener.local_addr().unwrap().port();
            let to = format!("127.0.0.1:{to}").parse().unwrap();
            std::thread::scope(|scope| {
                let client = std::thread::Builder::new().name("nobody-thread".into());
                client
                    .spawn_scoped(scope, || connect_from("127.0.0.2", to))
                    .unwrap()
                    .join()
                    .unwrap();
            });
            let (server, _) = listener.accept().unwrap();
            assert_eq!(has(&server), (true, 61, 11, 5, 0), "{which}");
        }
    });
}

/// Once each connection is looked at by itself, listeners may have come that hand nothing on.
#[test]
fn root_each_stays_each() {
    in_world(|world| {
        world.install(&[for_remote("127.0.0.2", 62)]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let installed = world.install(&[rule(Mode::Fill, 61, 11, 5)]);
        assert_eq!(installed.accepted, Accepted::Each);
        let (client, server) = accepted(&listener, "127.0.0.2");
        assert_eq!(has(&server), (true, 61, 11, 5, 0));
        assert_eq!(has(&client), (true, 61, 11, 5, 0));
    });
}
