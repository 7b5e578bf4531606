//! What becomes of a program's sockets, with glibc and with musl.

mod kit;

use std::process::Command;

use kit::{LIBRARIES_OF_C, LibC, Stage, printed};

const SETTINGS: &str = "idle=60,interval=5,probes=3";
const OFF: &str = "on=0 idle=7200 interval=75 probes=9 user-timeout=0\n";
const OURS: &str = "on=1 idle=60 interval=5 probes=3 user-timeout=0\n";

/// What the program prints must be the same with each libc.
#[track_caller]
fn check(rows: &[(&str, &str, &str)]) {
    let stage = Stage::new();
    for libc in LIBRARIES_OF_C {
        let probe = stage.probe(libc);
        for (wanted, words, printed) in rows {
            let said = stage.says(&probe, wanted, words);
            assert_eq!(said, *printed, "{libc:?} {wanted:?} {words:?}");
        }
    }
}

#[test]
fn without_the_library_it_is_off() {
    let stage = Stage::new();
    let probe = stage.probe(LibC::Gnu);
    let said = printed(
        stage
            .alone(probe)
            .args(["tcp4", "show", "accepted", "show"]),
    );
    assert_eq!(said, OFF.repeat(2));
}

#[test]
fn every_tcp_socket_gets_it_and_no_other() {
    let other = "on=0 idle=-1 interval=-1 probes=-1 user-timeout=-1\n";
    check(&[
        (SETTINGS, "tcp4 show", OURS),
        (SETTINGS, "tcp6 show", OURS),
        (SETTINGS, "tcp4 accepted show", OURS),
        (SETTINGS, "tcp6 accepted show", OURS),
        (SETTINGS, "udp show", other),
        (SETTINGS, "unix show", other),
        ("off", "tcp4 show", OFF),
        ("off", "tcp4 accepted show", OFF),
    ]);
}

#[test]
fn multipath_tcp_passes_it_on_but_for_the_user_timeout() {
    let stage = Stage::new();
    let alone = stage.says(&stage.probe(LibC::Gnu), "off", "mptcp show");
    if !alone.starts_with("on=0 idle=7200") {
        eprintln!("SKIPPED: Multipath TCP with these options is not available: {alone}");
        return;
    }
    let socket = OURS.replace("user-timeout=0", "user-timeout=-1");
    let all = SETTINGS.to_owned() + ",user-timeout=auto";
    check(&[
        (SETTINGS, "mptcp show", &socket),
        (SETTINGS, "mptcp accepted show", OURS),
        (&all, "mptcp show accepted show", &(socket.clone() + OURS)),
        (
            "idle=60,mode=override",
            "mptcp set idle 30 set on 0 accepted show",
            "on=1 idle=60 interval=75 probes=9 user-timeout=0\n",
        ),
        ("idle=60,remote=10.0.0.0/8", "mptcp accepted show", OFF),
    ]);
}

#[test]
fn who_wins_is_the_mode() {
    check(&[
        // The program: value by value, also when it says off.
        (
            SETTINGS,
            "tcp4 set idle 300 set on 1 show",
            "on=1 idle=300 interval=5 probes=3 user-timeout=0\n",
        ),
        (
            SETTINGS,
            "tcp4 set on 0 show accepted show",
            &"on=0 idle=60 interval=5 probes=3 user-timeout=0\n".repeat(2),
        ),
        ("", "tcp4 set on 0 accepted show", OFF),
        // Whoever is sooner.
        (
            "idle=60,mode=tighten",
            "tcp4 set idle 300 set interval 9 set on 0 show",
            "on=1 idle=60 interval=9 probes=9 user-timeout=0\n",
        ),
        (
            "idle=60,mode=tighten",
            "tcp4 set idle 30 accepted show",
            "on=1 idle=30 interval=75 probes=9 user-timeout=0\n",
        ),
        (
            "user-timeout=20s,mode=tighten",
            "tcp4 set user-timeout 30000 show set user-timeout 7000 show",
            "on=1 idle=7200 interval=75 probes=9 user-timeout=20000\non=1 idle=7200 interval=75 probes=9 user-timeout=7000\n",
        ),
        // The request.
        (
            "idle=60,mode=override",
            "tcp4 set idle 30 set interval 9 set on 0 show",
            "on=1 idle=60 interval=9 probes=9 user-timeout=0\n",
        ),
        (
            "user-timeout=off,mode=override",
            "tcp4 set user-timeout 30000 show",
            "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n",
        ),
    ]);
}

#[test]
fn a_user_timeout_follows_the_programs_own_timings_or_goes() {
    check(&[
        (
            "idle=60,interval=5,probes=3,user-timeout=auto",
            "tcp4 show set idle 300 show",
            "on=1 idle=60 interval=5 probes=3 user-timeout=75000\non=1 idle=300 interval=5 probes=3 user-timeout=315000\n",
        ),
        (
            "idle=60,interval=5,probes=3,user-timeout=90s",
            "tcp4 set idle 65 show set idle 300 show",
            "on=1 idle=65 interval=5 probes=3 user-timeout=90000\non=1 idle=300 interval=5 probes=3 user-timeout=0\n",
        ),
        // One of its own is its own.
        (
            "idle=60,user-timeout=90s",
            "tcp4 set user-timeout 5000 set idle 300 show",
            "on=1 idle=300 interval=75 probes=9 user-timeout=5000\n",
        ),
    ]);
}

#[test]
fn only_the_connections_that_match() {
    check(&[
        (
            "idle=60,remote=127.0.0.0/8",
            "tcp4 show accepted show",
            &(OFF.to_owned() + "on=1 idle=60 interval=75 probes=9 user-timeout=0\n"),
        ),
        ("idle=60,remote=10.0.0.0/8", "tcp4 accepted show", OFF),
        (
            "idle=60,local=[::1]",
            "tcp6 accepted show",
            "on=1 idle=60 interval=75 probes=9 user-timeout=0\n",
        ),
        ("idle=60,local=[::2]", "tcp6 accepted show", OFF),
        (
            "remote=127.0.0.1",
            "tcp4 accepted show",
            "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n",
        ),
        // Values that every socket has anyway.
        (
            "idle=7200,remote=127.0.0.1",
            "tcp4 accepted show",
            "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n",
        ),
    ]);
}

#[test]
fn what_became_of_a_connection_can_be_asked_by_connect() {
    let on = "on=1 idle=60 interval=75 probes=9 user-timeout=0\n";
    let off = on.replace("on=1", "on=0");
    for wanted in ["idle=60", "idle=60,remote=127.0.0.1", "idle=60,remote=::1"] {
        let family = if wanted.ends_with("::1") {
            "tcp6"
        } else {
            "tcp4"
        };
        let words = format!("{family} again show");
        check(&[(wanted, words.as_str(), &format!("{on}{off}"))]);
    }
}

#[test]
fn the_program_never_notices() {
    let bad = "connect: Bad address\nsetsockopt: Bad address\nsetsockopt: Bad file descriptor\n";
    for mode in [
        "mode=fill,user-timeout=auto",
        "mode=tighten,idle=5",
        "mode=override,idle=5",
        "remote=10.0.0.1",
    ] {
        // musl words it otherwise.
        let stage = Stage::new();
        let probe = stage.probe(LibC::Gnu);
        assert_eq!(stage.says(&probe, mode, "tcp4 bad"), bad, "{mode}");
        assert_eq!(
            stage.says(&probe, mode, "tcp4 refused"),
            "connect: Connection refused\n"
        );
        assert_eq!(
            stage.says(&probe, mode, "unix refused"),
            stage.says(&probe, "off", "unix refused")
        );
        assert_eq!(
            stage.says(&probe, mode, "fd 77 listen"),
            stage.says(&probe, "off", "fd 77 listen")
        );
    }
}

#[test]
fn a_cancelled_thread_is_unwound_through_it() {
    let stage = Stage::new();
    let said = stage.says(&stage.probe(LibC::Gnu), "", "tcp4 listen cancel");
    assert_eq!(said, "cleaned up\nunwound\ncancelled\n");
    let said = stage.says(&stage.probe(LibC::Musl), "", "tcp4 listen cancel");
    assert_eq!(said, "cleaned up\ncancelled\n");
}

#[test]
fn children_have_it_and_vfork_is_safe() {
    let stage = Stage::new();
    for libc in LIBRARIES_OF_C {
        let probe = stage.probe(libc);
        let words = format!("vfork {} tcp4 show", probe.display());
        assert_eq!(
            stage.says(&probe, SETTINGS, &words),
            OURS.to_owned() + "child 0\n" + OURS
        );
    }
}

#[test]
fn the_environment_is_read_once() {
    check(&[(SETTINGS, "env tcp4 show", OURS)]);
}

#[test]
fn a_variable_that_cannot_be_meant_is_said_and_nothing_is_done() {
    let stage = Stage::new();
    for libc in LIBRARIES_OF_C {
        let mut command = stage.under(&[("SOCKPULSE_RUN", "idle=0")], stage.probe(libc));
        let output = command.args(["tcp4", "show"]).output().expect("it starts");
        assert!(output.status.success());
        assert_eq!(kit::text(&output.stdout), OFF);
        let said = "sockpulse: keepalive is left alone, SOCKPULSE_RUN: a value cannot be read or is out of range\n";
        assert_eq!(kit::text(&output.stderr), said);
    }
}

#[test]
fn what_a_program_is_started_with_gets_it_too() {
    let stage = Stage::new();
    for libc in LIBRARIES_OF_C {
        let probe = stage.probe(libc);
        assert_eq!(
            stage.says(&probe, SETTINGS, "received"),
            OURS.repeat(2),
            "{libc:?}"
        );
    }
}

#[test]
fn without_dlsym_the_system_calls_are_made() {
    let stage = Stage::new();
    let flags = ["-DWITHOUT_DLSYM", "-rdynamic", "-pthread"];
    let probe = stage.compile("cc", "probe.c", &flags);
    assert_eq!(stage.says(&probe, SETTINGS, "tcp4 accepted show"), OURS);
    assert_eq!(
        stage.says(&probe, SETTINGS, "tcp6 set idle 70 accepted show"),
        OURS.replace("60", "70")
    );
    let refused = "connect: Connection refused\n";
    assert_eq!(stage.says(&probe, SETTINGS, "tcp4 refused"), refused);
    assert_eq!(
        stage.says(&probe, SETTINGS, "fd 77 set idle 5"),
        "set idle: Bad file descriptor\n"
    );
}

#[test]
fn dlsym_is_asked_on_loading_only() {
    let stage = Stage::new();
    let flags = ["-DDLSYM_ON_LOADING", "-rdynamic", "-pthread"];
    let probe = stage.compile("cc", "probe.c", &flags);
    let said = stage.says(&probe, SETTINGS, "tcp4 set idle 60 accepted show");
    assert_eq!(said, OURS);
}

#[test]
fn a_library_that_mimics_glibc_misleads_nobody() {
    let stage = Stage::new();
    let probe = stage.compile("musl-gcc", "probe.c", &["-DMIMICS_GLIBC", "-rdynamic"]);
    assert_eq!(stage.says(&probe, SETTINGS, "tcp4 show"), OURS);
}

#[test]
fn other_libraries_in_front_of_libc_are_still_called() {
    let stage = Stage::new();
    let probe = stage.probe(LibC::Gnu);
    let front = stage.compile("cc", "front.c", &["-shared", "-fPIC"]);
    let (ours, front) = (stage.library(), front.as_path());
    for (first, second) in [(ours.as_path(), front), (front, ours.as_path())] {
        let mut command = stage.alone("env");
        command.arg(format!(
            "LD_PRELOAD={}:{}",
            first.display(),
            second.display()
        ));
        command.arg("SOCKPULSE_RUN=idle=60,interval=5,probes=3");
        let said = printed(command.arg(&probe).args(["tcp4", "accepted", "show"]));
        assert_eq!(said, format!("front\n{OURS}"), "{first:?} first");
    }
}

/// In a mount namespace of its own, with a copy of /etc.
#[test]
fn root_a_whole_machine_lives_with_it() {
    if !kit::is_root() {
        eprintln!("SKIPPED: root_a_whole_machine_lives_with_it needs root (CAP_SYS_ADMIN)");
        return;
    }
    let stage = Stage::new();
    let probe = stage.probe(LibC::Gnu);
    let copied = stage.path("etc");
    let script = format!(
        "set -e\n\
         mount --make-rprivate /\n\
         cp -a /etc {etc}\n\
         mount --bind {etc} /etc\n\
         echo {library} > /etc/ld.so.preload\n\
         {probe} tcp4 accepted show\n\
         SOCKPULSE_RUN=idle=60,interval=5,probes=3 {probe} tcp4 accepted show\n\
         KEEPALIVE=off {probe} tcp4 accepted show\n\
         # A setuid program heeds no variable.\n\
         cp {probe} {probe}-setuid; chmod u+s {probe}-setuid\n\
         setpriv --reuid=65534 --clear-groups env KEEPALIVE=off {probe}-setuid tcp4 accepted show\n\
         # Programs of all sorts.\n\
         id -u; ls -d /etc; printf 'b\\na\\n' | sort | tr a-z A-Z; awk 'BEGIN {{ print 6 * 7 }}'\n\
         perl -e 'print \"perl\\n\"'; /usr/bin/python3 -c 'print(\"python\")'; openssl version > /dev/null\n\
         bash -c 'true & wait; echo bash'; ip -brief link show lo > /dev/null; busybox true 2> /dev/null || true\n\
         su nobody -s /bin/sh -c 'echo su'; getent passwd root > /dev/null; tar -cf - /etc/passwd 2> /dev/null | wc -c > /dev/null\n",
        etc = copied.display(),
        library = stage.library().display(),
        probe = probe.display(),
    );
    let mut unshare = Command::new("unshare");
    let said = printed(unshare.args(["--mount", "sh", "-c", &script]));
    let system = "on=1 idle=7200 interval=75 probes=9 user-timeout=0\n";
    let programs = "0\n/etc\nA\nB\n42\nperl\npython\nbash\nsu\n";
    assert_eq!(said, format!("{system}{OURS}{OFF}{system}{programs}"));
}
