//! What programs ask for later.

use super::common::{
    connect_away, has, in_world, pair, rule, set, set_bytes, socket, try_set, with_user_timeout,
};
use sockpulse_core::protect::Mode;

/// A program that sets everything to one value, and what comes out.
fn asked_later(socket: &impl std::os::fd::AsRawFd, on: i32, values: [i32; 3], timeout: i32) {
    set(socket, libc::TCP_KEEPIDLE, values[0]);
    set(socket, libc::TCP_KEEPINTVL, values[1]);
    set(socket, libc::TCP_KEEPCNT, values[2]);
    set(socket, libc::TCP_USER_TIMEOUT, timeout);
    set(socket, libc::SO_KEEPALIVE, on);
}

#[test]
fn root_tighten_holds() {
    in_world(|world| {
        world.install(&[with_user_timeout(rule(Mode::Tighten, 60, 10, 6), None)]);
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        for end in [&pair.client, &pair.server] {
            asked_later(end, 0, [7200, 75, 9], 0);
            assert_eq!(has(end), (true, 60, 10, 6, 120_000));
            asked_later(end, 1, [20, 5, 3], 10_000);
            assert_eq!(has(end), (true, 20, 5, 3, 10_000));
        }
        assert_eq!(world.load().unwrap().rules[0].counts.held, 10);
    });
}

#[test]
fn root_override_holds_what_it_asks_for() {
    in_world(|world| {
        let mut wanted = rule(Mode::Override, 60, 10, 6);
        wanted.asked.probes = None;
        world.install(&[wanted]);
        let socket = connect_away(libc::AF_INET);
        asked_later(&socket, 0, [20, 5, 3], 5_000);
        assert_eq!(has(&socket), (true, 60, 10, 3, 5_000));
    });
}

#[test]
fn root_off_stays_off() {
    in_world(|world| {
        world.install(&[rule(Mode::Off, 60, 10, 6)]);
        let socket = connect_away(libc::AF_INET6);
        asked_later(&socket, 1, [20, 5, 3], 5_000);
        assert_eq!(has(&socket), (false, 20, 5, 3, 5_000));
    });
}

/// What the kernel would refuse, it refuses.
#[test]
fn root_mistakes_are_still_told() {
    in_world(|world| {
        world.install(&[rule(Mode::Override, 60, 10, 6)]);
        let socket = connect_away(libc::AF_INET);
        for (option, value) in [
            (libc::TCP_KEEPIDLE, 0),
            (libc::TCP_KEEPIDLE, 32768),
            (libc::TCP_KEEPINTVL, -1),
            (libc::TCP_KEEPCNT, 128),
            (libc::TCP_USER_TIMEOUT, -1),
        ] {
            let error = try_set(&socket, libc::IPPROTO_TCP, option, value).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EINVAL), "{option} {value}");
        }
        let short = set_bytes(&socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &[1]);
        assert_eq!(short.unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(has(&socket), (true, 60, 10, 6, 0));
    });
}

/// The kernel shows a program no more than a page of a value, and takes no longer one from it.
#[test]
fn root_long_values_and_other_options_pass() {
    in_world(|world| {
        world.install(&[rule(Mode::Override, 60, 10, 6)]);
        let socket = socket(libc::AF_INET, libc::SOCK_STREAM, 0);
        let mut long = [0_u8; 8192];
        long[0] = 1;
        set_bytes(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR, &long).unwrap();
        set_bytes(&socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, &long).unwrap();
        long[0] = 9;
        set_bytes(&socket, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &long).unwrap();
        assert_eq!(has(&socket), (false, 60, 75, 9, 0));
        let get = |option| super::common::get(&socket, libc::SOL_SOCKET, option);
        assert_eq!(get(libc::SO_REUSEADDR), 1);
    });
}

/// A timeout that goes with idle + interval x probes goes on with them; one of a length of its own
/// is lifted when the program's values need longer.
#[test]
fn root_a_filled_user_timeout_ends_no_connection_early() {
    in_world(|world| {
        world.install(&[with_user_timeout(rule(Mode::Fill, 60, 10, 6), None)]);
        let socket = connect_away(libc::AF_INET);
        assert_eq!(has(&socket), (true, 60, 10, 6, 120_000));
        set(&socket, libc::TCP_KEEPIDLE, 600);
        set(&socket, libc::TCP_KEEPINTVL, 20);
        assert_eq!(has(&socket), (true, 600, 20, 6, 720_000));
        // One of its own is the program's.
        set(&socket, libc::TCP_USER_TIMEOUT, 30_000);
        set(&socket, libc::TCP_KEEPIDLE, 900);
        assert_eq!(has(&socket), (true, 900, 20, 6, 30_000));

        world.install(&[with_user_timeout(
            rule(Mode::Fill, 60, 10, 6),
            Some(150_000),
        )]);
        let socket = connect_away(libc::AF_INET);
        set(&socket, libc::TCP_KEEPIDLE, 80);
        assert_eq!(has(&socket), (true, 80, 10, 6, 150_000));
        set(&socket, libc::TCP_KEEPIDLE, 100);
        assert_eq!(has(&socket), (true, 100, 10, 6, 0));
    });
}
