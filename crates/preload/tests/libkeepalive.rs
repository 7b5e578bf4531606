//! What the libraries of that name promise, the one of 2003 with its hook on socket and the later
//! one with connect and listen, held against this one in their place.

mod kit;

use kit::{LIBRARIES_OF_C, Stage, printed};

#[track_caller]
fn check(environment: &[(&str, &str)], words: &str, wanted: &str) {
    let stage = Stage::new();
    for libc in LIBRARIES_OF_C {
        let mut command = stage.under(environment, stage.probe(libc));
        let said = printed(command.args(words.split(' ')));
        assert_eq!(said, wanted, "{libc:?} {environment:?}");
    }
}

#[test]
fn keepalive_is_on_with_the_values_of_the_system() {
    check(
        &[],
        "tcp4 show",
        "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n",
    );
}

#[test]
fn three_variables_set_the_values() {
    let all = [("KEEPIDLE", "180"), ("KEEPINTVL", "60"), ("KEEPCNT", "20")];
    check(
        &all,
        "tcp4 show",
        "on=1 idle=180 interval=60 probes=20 user-timeout=0\n",
    );
    check(
        &[("KEEPCNT", "20")],
        "tcp6 show",
        "on=1 idle=7200 interval=75 probes=20 user-timeout=0\n",
    );
}

#[test]
fn zero_and_nonsense_stand_for_the_system() {
    let all = [("KEEPIDLE", "0"), ("KEEPINTVL", "soon"), ("KEEPCNT", "-1")];
    check(
        &all,
        "tcp4 show",
        "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n",
    );
}

#[test]
fn keepalive_off_switches_the_library_off() {
    for off in ["off", "OFF"] {
        let environment = [("KEEPALIVE", off), ("KEEPIDLE", "180")];
        check(
            &environment,
            "tcp4 show accepted show",
            &"on=0 idle=7200 interval=75 probes=9 user-timeout=0\n".repeat(2),
        );
    }
}

#[test]
fn the_settings_are_there_before_connect_and_inherited_by_accept() {
    let settings = [("KEEPIDLE", "15"), ("KEEPINTVL", "16")];
    check(
        &settings,
        "tcp4 accepted show",
        "on=1 idle=15 interval=16 probes=9 user-timeout=0\n",
    );
    check(
        &settings,
        "tcp6 accepted show",
        "on=1 idle=15 interval=16 probes=9 user-timeout=0\n",
    );
}

#[test]
fn what_the_program_sets_afterwards_stands() {
    check(
        &[("KEEPIDLE", "15")],
        "tcp4 set idle 30 set on 0 show",
        "on=0 idle=30 interval=75 probes=9 user-timeout=0\n",
    );
}

#[test]
fn sockets_that_are_not_tcp_are_left_alone() {
    check(
        &[("KEEPIDLE", "15")],
        "udp show unix show",
        &"on=0 idle=-1 interval=-1 probes=-1 user-timeout=-1\n".repeat(2),
    );
}
