//! On real sockets of this process.

use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn typical() -> Keepalive {
    let chosen = Keepalive::new().idle(120 * SECOND).unwrap();
    chosen.interval(20 * SECOND).unwrap().probes(5).unwrap()
}

fn connection() -> (TcpListener, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (listener, client)
}

#[test]
fn what_was_applied_is_read() {
    let (_listener, client) = connection();
    assert!(!read(&client).unwrap().on);
    typical()
        .user_timeout(SECOND)
        .unwrap()
        .apply(&client)
        .unwrap();
    let expected = InForce {
        on: true,
        idle: Some(120 * SECOND),
        interval: Some(20 * SECOND),
        probes: 5,
        user_timeout: Some(SECOND),
    };
    assert_eq!(read(&client).unwrap(), expected);
    typical().user_timeout_off().apply(&client).unwrap();
    assert_eq!(read(&client).unwrap().user_timeout, None);
    switch_off(&client).unwrap();
    assert_eq!(
        read(&client).unwrap(),
        InForce {
            on: false,
            user_timeout: None,
            ..expected
        }
    );
}

#[test]
fn what_is_not_chosen_stays() {
    let (_listener, client) = connection();
    typical()
        .user_timeout(SECOND)
        .unwrap()
        .apply(&client)
        .unwrap();
    Keepalive::new().probes(7).unwrap().apply(&client).unwrap();
    let in_force = read(&client).unwrap();
    assert_eq!(in_force.idle, Some(120 * SECOND));
    assert_eq!(in_force.probes, 7);
    assert_eq!(in_force.user_timeout, Some(SECOND));
}

#[test]
fn an_automatic_user_timeout_counts_what_is_in_force() {
    let (_listener, client) = connection();
    typical().apply(&client).unwrap();
    let later = Keepalive::new().probes(7).unwrap().user_timeout_auto();
    later.apply(&client).unwrap();
    let timeout = read(&client).unwrap().user_timeout;
    assert_eq!(timeout, Some((120 + 7 * 20) * SECOND));
}

#[test]
fn an_automatic_user_timeout_that_is_too_long_is_refused() {
    let (_listener, client) = connection();
    let longest = 32_767 * SECOND;
    let chosen = Keepalive::new().idle(longest).unwrap();
    let chosen = chosen.interval(longest).unwrap().probes(127).unwrap();
    let error = chosen.user_timeout_auto().apply(&client).unwrap_err();
    assert!(matches!(error, Error::OutOfRange(_)), "{error}");
    assert!(!read(&client).unwrap().on);
}

#[test]
fn accepted_connections_inherit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    typical().user_timeout_auto().apply(&listener).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(read(&accepted).unwrap(), read(&listener).unwrap());
}

#[test]
fn settings_are_taken_whole() {
    let settings = Settings {
        idle: KeepIdle::new(61).unwrap(),
        interval: KeepIntvl::new(11).unwrap(),
        probes: KeepCnt::new(3).unwrap(),
        user_timeout: UserTimeout::OFF,
    };
    let (_listener, client) = connection();
    typical().user_timeout_auto().apply(&client).unwrap();
    Keepalive::from(settings).apply(&client).unwrap();
    let in_force = read(&client).unwrap();
    assert_eq!((in_force.probes, in_force.user_timeout), (3, None));
}

#[test]
fn parts_of_a_second_round_up_and_limits_are_told() {
    let (_listener, client) = connection();
    let chosen = Keepalive::new().idle(Duration::from_millis(1_001)).unwrap();
    chosen.apply(&client).unwrap();
    assert_eq!(read(&client).unwrap().idle, Some(2 * SECOND));

    let new = Keepalive::new();
    for (refused, said) in [
        (
            new.idle(Duration::ZERO),
            "idle must be between 1 and 32767 seconds, not 0",
        ),
        (
            new.interval(32_768 * SECOND),
            "interval must be between 1 and 32767 seconds, not 32768",
        ),
        (new.probes(128), "probes must be between 1 and 127, not 128"),
        (
            new.user_timeout(Duration::MAX),
            "user_timeout must be between",
        ),
    ] {
        let error = refused.unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
        let error = io::Error::from(error);
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}

#[test]
fn an_error_names_operation_and_option() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let error = typical().apply(&socket).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("set option TCP_KEEPIDLE: "), "{said}");
    let error = read(&socket).unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with("read option TCP_USER_TIMEOUT: "), "{said}");
    let error = io::Error::from(error);
    assert!(error.to_string().contains("TCP_USER_TIMEOUT"), "{error}");
}
