//! What each mode makes of new connections, of every family and on both ends.

use std::net::TcpListener;

use sockpulse_bpf::protect::{Accepted, Hook};
use sockpulse_core::protect::Mode;

use super::common::{
    UNTOUCHED, connect_away, get, has, in_world, pair, pair_on, rule, set, socket, try_away,
    with_user_timeout,
};

const WAYS: [(&str, &str); 4] = [
    ("127.0.0.1:0", "127.0.0.1"),
    ("[::1]:0", "[::1]"),
    ("[::]:0", "127.0.0.1"),
    ("[::]:0", "[::ffff:127.0.0.1]"),
];

#[test]
fn root_both_ends_are_filled_in_every_family() {
    in_world(|world| {
        let rules = [with_user_timeout(rule(Mode::Fill, 61, 11, 5), None)];
        let installed = world.install(&rules);
        assert_eq!(installed.accepted, Accepted::Inherit);
        assert!(installed.missing.is_empty());
        for (listen, connect) in WAYS {
            let pair = pair(listen, connect);
            let wanted = (true, 61, 11, 5, 116_000);
            assert_eq!(has(&pair.client), wanted, "{listen} {connect}");
            assert_eq!(has(&pair.server), wanted, "{listen} {connect}");
        }
        let counts = world.load().unwrap().rules[0].counts;
        assert_eq!((counts.set, counts.refused, counts.local), (8, 0, 0));
    });
}

#[test]
fn root_each_accepted_connection_is_filled_too() {
    in_world(|world| {
        let installed = world.install_each(&[rule(Mode::Fill, 61, 11, 5)]);
        assert_eq!(installed.hooks, [Hook::SockOps]);
        for (listen, connect) in WAYS {
            let pair = pair(listen, connect);
            assert_eq!(has(&pair.client), (true, 61, 11, 5, 0), "{listen}");
            assert_eq!(has(&pair.server), (true, 61, 11, 5, 0), "{listen}");
            assert_eq!(has(&pair.listener), UNTOUCHED);
        }
    });
}

#[test]
fn root_local_connections_are_left_out() {
    in_world(|world| {
        let mut wanted = rule(Mode::Fill, 61, 11, 5);
        wanted.include_local = false;
        world.install(&[wanted]);
        for (listen, connect) in [WAYS[0], WAYS[1]] {
            let pair = pair(listen, connect);
            assert_eq!(has(&pair.client), UNTOUCHED);
            assert_eq!(has(&pair.server), UNTOUCHED);
        }
        // A wildcard listener has others to accept too.
        let wide = pair("0.0.0.0:0", "127.0.0.1");
        assert_eq!(has(&wide.client), UNTOUCHED);
        assert_eq!(has(&wide.server), (true, 61, 11, 5, 0));
        for family in [libc::AF_INET, libc::AF_INET6] {
            assert_eq!(has(&connect_away(family)), (true, 61, 11, 5, 0));
        }
        let counts = world.load().unwrap().rules[0].counts;
        assert_eq!((counts.set, counts.local), (3, 5));
    });
}

/// An address of the machine's own that is not loopback's: the source, by which the connection is
/// known for local, is chosen later than connect(2)'s hook.
#[test]
fn root_own_addresses_are_known_for_local_only_where_each_connection_is_looked_at() {
    in_world(|world| {
        let added = std::process::Command::new("ip")
            .args(["address", "add", "10.9.9.9/32", "dev", "lo"])
            .status();
        assert!(added.unwrap().success());
        let mut wanted = rule(Mode::Fill, 61, 11, 5);
        wanted.include_local = false;
        world.install(&[wanted.clone()]);
        let one = pair("10.9.9.9:0", "10.9.9.9");
        assert_eq!(has(&one.client), (true, 61, 11, 5, 0));
        assert_eq!(has(&one.server), (true, 61, 11, 5, 0));
        world.install_each(&[wanted]);
        let one = pair("10.9.9.9:0", "10.9.9.9");
        assert_eq!(has(&one.client), UNTOUCHED);
        assert_eq!(has(&one.server), UNTOUCHED);
    });
}

#[test]
fn root_fill_leaves_what_the_program_asked_for() {
    in_world(|world| {
        world.install(&[rule(Mode::Fill, 61, 11, 5)]);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        set(&socket, libc::SO_KEEPALIVE, 1);
        set(&socket, libc::TCP_KEEPIDLE, 777);
        try_away(&socket, libc::AF_INET);
        assert_eq!(has(&socket), (true, 777, 75, 9, 0));
        // What it asks for later wins too.
        let socket = connect_away(libc::AF_INET);
        set(&socket, libc::TCP_KEEPIDLE, 888);
        set(&socket, libc::SO_KEEPALIVE, 0);
        assert_eq!(has(&socket), (false, 888, 11, 5, 0));
    });
}

#[test]
fn root_fill_keeps_single_values_of_the_program() {
    in_world(|world| {
        world.install(&[with_user_timeout(
            rule(Mode::Fill, 61, 11, 5),
            Some(200_000),
        )]);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        set(&socket, libc::TCP_KEEPINTVL, 3);
        set(&socket, libc::TCP_USER_TIMEOUT, 90_000);
        try_away(&socket, libc::AF_INET);
        assert_eq!(has(&socket), (true, 61, 3, 5, 90_000));
    });
}

#[test]
fn root_tighten_makes_slower_values_faster_and_no_faster_one_slower() {
    in_world(|world| {
        world.install(&[with_user_timeout(rule(Mode::Tighten, 61, 11, 5), None)]);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        set(&socket, libc::TCP_KEEPIDLE, 30);
        try_away(&socket, libc::AF_INET);
        assert_eq!(has(&socket), (true, 30, 11, 5, 85_000));
    });
}

#[test]
fn root_override_and_off() {
    in_world(|world| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set(&listener, libc::SO_KEEPALIVE, 1);
        world.install(&[rule(Mode::Override, 61, 11, 5)]);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        set(&socket, libc::SO_KEEPALIVE, 1);
        set(&socket, libc::TCP_KEEPIDLE, 30);
        try_away(&socket, libc::AF_INET);
        assert_eq!(has(&socket), (true, 61, 11, 5, 0));

        world.install(&[rule(Mode::Off, 61, 11, 5)]);
        try_away(&socket, libc::AF_INET);
        assert_eq!(has(&socket), (false, 61, 11, 5, 0));
        // One that listened before hands on what it has.
        let pair = pair_on(listener, "127.0.0.1");
        assert_eq!(has(&pair.client), UNTOUCHED);
        assert_eq!(has(&pair.server), (true, 7200, 75, 9, 0));
    });
}

#[test]
fn root_nothing_is_set_beside_defaults_that_end_healthy_connections() {
    in_world(|world| {
        std::fs::write("/proc/sys/net/ipv4/tcp_keepalive_probes", "0").unwrap();
        let mut wanted = rule(Mode::Fill, 61, 11, 5);
        wanted.asked.probes = None;
        world.install(&[wanted]);
        assert_eq!(has(&connect_away(libc::AF_INET)), (false, 7200, 75, 0, 0));
        assert_eq!(world.load().unwrap().rules[0].counts.refused, 1);
    });
}

#[test]
fn root_multipath_tcp_and_datagrams_are_left_alone() {
    const MPTCP: i32 = 262;
    in_world(|world| {
        world.install(&[rule(Mode::Override, 61, 11, 5)]);
        for (kind, protocol) in [(libc::SOCK_STREAM, MPTCP), (libc::SOCK_DGRAM, 0)] {
            let socket = socket(libc::AF_INET, kind, protocol);
            try_away(&socket, libc::AF_INET);
            assert_eq!(get(&socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
        }
        let counts = world.load().unwrap().rules[0].counts;
        assert_eq!((counts.set, counts.right, counts.refused), (0, 0, 0));
    });
}
