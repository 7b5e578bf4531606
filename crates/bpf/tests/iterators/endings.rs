//! By which error connections end that are watched, compared with what their owner is told.

use std::net::TcpStream;

use sockpulse_bpf::glance::Endings;
use sockpulse_core::Cookie;

use crate::common::*;
use crate::wire::reset_on_close;

fn ending(endings: &mut Endings, cookie: Cookie) -> i32 {
    wait_for("the end", || endings.take(cookie).unwrap())
}

fn owners_error(stream: &TcpStream) -> i32 {
    get(stream, libc::SOL_SOCKET, libc::SO_ERROR)
}

#[test]
fn root_resets_are_told_and_not_taken_from_the_owner() {
    in_namespace(|| {
        let established = pair("127.0.0.1:0", "127.0.0.1");
        let closing = pair("127.0.0.1:0", "127.0.0.1");
        closing.client.shutdown(std::net::Shutdown::Write).unwrap();
        let ends = [cookie(&established.server), cookie(&closing.server)];
        let mut endings = Endings::load(2).unwrap();
        endings.watch(&ends).unwrap();
        assert_eq!(ends.map(|end| endings.take(end).unwrap()), [None, None]);
        for pair in [&established, &closing] {
            reset_on_close(&pair.client);
        }
        drop((established.client, closing.client));
        assert_eq!(ending(&mut endings, ends[0]), libc::ECONNRESET);
        assert_eq!(ending(&mut endings, ends[1]), libc::EPIPE);
        assert_eq!(owners_error(&established.server), libc::ECONNRESET);
        assert_eq!(owners_error(&closing.server), libc::EPIPE);
        assert_eq!(endings.take(ends[0]).unwrap(), None, "told once");
    });
}

#[test]
fn root_a_close_is_no_error() {
    in_namespace(|| {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        let (first, last) = (cookie(&pair.client), cookie(&pair.server));
        let mut endings = Endings::load(2).unwrap();
        endings.watch(&[first, last]).unwrap();
        drop(pair.client);
        assert_eq!(endings.take(last).unwrap(), None);
        drop(pair.server);
        assert_eq!(ending(&mut endings, first), 0);
        assert_eq!(ending(&mut endings, last), 0);
    });
}

#[test]
fn root_a_connection_that_was_given_up_says_so() {
    in_namespace(|| {
        let pair = pair("127.0.0.1:0", "127.0.0.1");
        let cookie = cookie(&pair.client);
        let mut endings = Endings::load(1).unwrap();
        endings.watch(&[cookie]).unwrap();
        set(&pair.client, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 300);
        loopback(Loopback::Down);
        std::io::Write::write_all(&mut &pair.client, b"anybody?").unwrap();
        let error = ending(&mut endings, cookie);
        assert_eq!(error, owners_error(&pair.client));
        assert_eq!(error, libc::ETIMEDOUT);
    });
}

#[test]
fn root_only_what_is_watched_is_told() {
    in_namespace(|| {
        let pairs: Vec<_> = (0..4).map(|_| pair("127.0.0.1:0", "127.0.0.1")).collect();
        let cookies: Vec<_> = pairs.iter().map(|pair| cookie(&pair.server)).collect();
        let mut endings = Endings::load(3).unwrap();
        endings.watch(&cookies[..3]).unwrap();
        let full = endings.watch(&cookies).unwrap_err();
        assert!(full.to_string().contains("write to"), "{full}");
        endings.forget(cookies[1]).unwrap();
        endings.forget(cookies[1]).unwrap();
        for pair in &pairs {
            reset_on_close(&pair.client);
        }
        let servers: Vec<_> = pairs.into_iter().map(|pair| pair.server).collect();
        // A second watch begins afresh.
        assert_eq!(ending(&mut endings, cookies[0]), libc::ECONNRESET);
        assert_eq!(ending(&mut endings, cookies[2]), libc::ECONNRESET);
        for unwatched in [cookies[1], cookies[3]] {
            assert_eq!(endings.take(unwatched).unwrap(), None);
        }
        drop(servers);
    });
}

#[test]
fn root_many_are_watched_in_any_namespace() {
    in_namespace(|| {
        let mut endings = Endings::load(10_000).unwrap();
        let made_up: Vec<_> = (0..9_000).map(|nth| Cookie(u64::MAX - nth)).collect();
        endings.watch(&made_up).unwrap();
        let endings = &mut endings;
        on_thread(move || {
            unshare(libc::CLONE_NEWNET);
            loopback(Loopback::Up);
            let pair = pair("127.0.0.1:0", "127.0.0.1");
            let cookie = cookie(&pair.server);
            endings.watch(&[cookie]).unwrap();
            reset_on_close(&pair.client);
            drop(pair.client);
            assert_eq!(ending(endings, cookie), libc::ECONNRESET);
        });
    });
}
