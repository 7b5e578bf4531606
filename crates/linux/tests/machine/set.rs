//! Options of other programs' sockets, set and read back.

use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::net::sockopt as options;
use sockpulse_core::protect::Step;
use sockpulse_core::{
    Comm, Cookie, Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Process, Unseen,
    UserTimeout,
};
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::set::{Expected, NotSet};
use sockpulse_linux::{Proc, netns, sockopt};

use crate::common::{as_nobody, isolated, needs_root, sh, wait_for};
use crate::pidfd::connection;
use crate::scene::Scene;

const FOREVER: Duration = Duration::from_secs(1 << 30);

/// Settings as the kernel gives them to a new socket.
fn fresh() -> Expected {
    let inherited = |value| Effective {
        value,
        origin: None,
    };
    Expected {
        timers: EffectiveTimers {
            keepalive: false,
            idle: inherited(7200),
            interval: inherited(75),
            probes: inherited(9),
            user_timeout: UserTimeout::OFF,
        },
        silence: FOREVER,
    }
}

fn step() -> Step {
    Step {
        keepalive: Some(true),
        idle: KeepIdle::new(60).ok(),
        interval: KeepIntvl::new(10).ok(),
        probes: KeepCnt::new(6).ok(),
        user_timeout: UserTimeout::new(120_000).ok(),
    }
}

const OFF: Step = Step {
    keepalive: Some(false),
    idle: None,
    interval: None,
    probes: None,
    user_timeout: None,
};

fn held(socket: impl AsFd) -> Process {
    Process {
        pid: std::process::id(),
        fd: u32::try_from(socket.as_fd().as_raw_fd()).unwrap(),
        comm: Comm::new(b"test"),
    }
}

fn cookie(socket: impl AsFd) -> Cookie {
    sockopt::cookie(socket).unwrap()
}

/// A connection over loopback.
fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (there, _) = listener.accept().unwrap();
    (here, there)
}

fn set(socket: impl AsFd, expected: &Expected, step: &Step) -> Result<EffectiveTimers, NotSet> {
    let socket = socket.as_fd();
    Borrower::new().set(held(socket), cookie(socket), expected, step)
}

#[test]
fn root_what_was_set_is_read_back_and_only_what_was_asked_for() {
    let test = "set::root_what_was_set_is_read_back_and_only_what_was_asked_for";
    isolated(test, || {
        let (here, there) = pair();
        let read = set(&here, &fresh(), &step()).unwrap();
        assert!(step().stands(&read));
        assert_eq!(sockopt::keep_idle(&here).unwrap(), 60);
        assert_eq!(sockopt::user_timeout(&here).unwrap().get(), 120_000);
        // The first probe is a whole idle time away.
        let timer = connection(&here).timers.keepalive.known().flatten();
        assert!((58_000..=68_000).contains(&timer.unwrap().expires_ms));

        let only = Step {
            keepalive: Some(true),
            ..Step::default()
        };
        set(&there, &fresh(), &only).unwrap();
        // What was not asked for is inherited still.
        sh("echo 500 > /proc/sys/net/ipv4/tcp_keepalive_time");
        assert_eq!(sockopt::keep_idle(&there).unwrap(), 500);
        assert_eq!(sockopt::keep_idle(&here).unwrap(), 60);
    });
}

#[test]
fn root_what_a_listener_was_given_its_connections_have() {
    let test = "set::root_what_a_listener_was_given_its_connections_have";
    isolated(test, || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        set(&listener, &fresh(), &step()).unwrap();
        let _here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (there, _) = listener.accept().unwrap();
        assert!(sockopt::keepalive(&there).unwrap());
        assert_eq!(sockopt::keep_idle(&there).unwrap(), 60);
        assert_eq!(sockopt::keep_intvl(&there).unwrap(), 10);
        assert_eq!(sockopt::keep_cnt(&there).unwrap(), 6);
        assert_eq!(sockopt::user_timeout(&there).unwrap().get(), 120_000);
    });
}

#[test]
fn root_what_is_not_as_it_was_planned_is_left_alone() {
    let test = "set::root_what_is_not_as_it_was_planned_is_left_alone";
    isolated(test, || {
        let (here, there) = pair();
        let mut borrower = Borrower::new();
        let mut try_it = |process, cookie| {
            borrower
                .set(process, cookie, &fresh(), &step())
                .unwrap_err()
        };
        let gone = NotSet::Unreached(Unseen::Vanished);
        // The descriptor stands for another socket by now, for a file, for nothing.
        assert_eq!(try_it(held(&there), cookie(&here)), gone);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(try_it(held(&file), cookie(&here)), gone);
        let closed = Process {
            fd: 9999,
            ..held(&here)
        };
        assert_eq!(try_it(closed, cookie(&here)), gone);
        // Its process ended.
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let ended = Process {
            pid: child.id(),
            ..held(&here)
        };
        assert_eq!(try_it(ended, cookie(&here)), gone);
        // Its program set something itself.
        options::set_tcp_keepidle(&here, Duration::from_secs(90)).unwrap();
        assert_eq!(try_it(held(&here), cookie(&here)), NotSet::Changed);
        assert_eq!(sockopt::keep_idle(&here).unwrap(), 90);
        assert!(!sockopt::keepalive(&here).unwrap());
        // It is closed by both ends.
        drop(there);
        here.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for("the end of the connection", || {
            let left = set(&here, &fresh(), &OFF).unwrap_err();
            (left == NotSet::Changed).then_some(())
        });
    });
}

#[test]
fn root_a_silence_without_room_keeps_the_user_timeout_away() {
    let test = "set::root_a_silence_without_room_keeps_the_user_timeout_away";
    isolated(test, || {
        let (here, _there) = pair();
        wait_for("some silence", || {
            (connection(&here).silence_ms > Some(5)).then_some(())
        });
        let hurried = Expected {
            silence: Duration::ZERO,
            ..fresh()
        };
        assert_eq!(set(&here, &hurried, &step()), Err(NotSet::Silent));
        assert!(!sockopt::keepalive(&here).unwrap(), "nothing was set");
        let without = Step {
            user_timeout: None,
            ..step()
        };
        assert!(set(&here, &hurried, &without).is_ok());
    });
}

#[test]
fn root_a_connection_that_is_being_probed_can_only_be_switched_off() {
    let test = "set::root_a_connection_that_is_being_probed_can_only_be_switched_off";
    isolated(test, || {
        let (here, _there) = pair();
        options::set_tcp_keepidle(&here, Duration::from_secs(1)).unwrap();
        options::set_tcp_keepintvl(&here, Duration::from_secs(100)).unwrap();
        options::set_socket_keepalive(&here, true).unwrap();
        sh("ip link set lo down");
        wait_for("an unanswered probe", || {
            (connection(&here).unanswered_probes > Some(0)).then_some(())
        });
        let mut expected = fresh();
        expected.timers.keepalive = true;
        expected.timers.idle.value = 1;
        expected.timers.interval.value = 100;
        let other = Step {
            keepalive: None,
            ..step()
        };
        assert_eq!(set(&here, &expected, &other), Err(NotSet::Probing));
        assert!(set(&here, &expected, &OFF).is_ok());
        assert!(!sockopt::keepalive(&here).unwrap());
    });
}

#[test]
fn root_a_subflow_is_not_set_through_the_socket_above_it() {
    let test = "set::root_a_subflow_is_not_set_through_the_socket_above_it";
    isolated(test, || {
        let scene = Scene::open();
        let Some(parent) = &scene.mptcp else { return };
        let subflow = connection(parent);
        let refused = Borrower::new().set(held(parent), subflow.id.cookie, &fresh(), &step());
        assert_eq!(refused, Err(NotSet::Unreached(Unseen::NotReported)));
    });
}

#[test]
fn root_a_socket_of_another_namespace_is_set_from_here() {
    let test = "set::root_a_socket_of_another_namespace_is_set_from_here";
    isolated(test, || {
        sh("ip netns add other && ip netns exec other sysctl -qw net.ipv4.tcp_keepalive_time=321");
        let other = netns::resolve(&Proc::default(), "other").unwrap();
        let listener = other.enter_and(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let listener = listener.unwrap();
        // Defaults of its own show that it is elsewhere.
        let mut expected = fresh();
        expected.timers.idle.value = 321;
        let read = set(&listener, &expected, &step()).unwrap();
        assert!(step().stands(&read));
    });
}

/// Another user's process.
#[test]
fn root_a_foreign_process_is_not_touched() {
    let test = "set::root_a_foreign_process_is_not_touched";
    if let Ok(pid) = std::env::var("SOCKPULSE_TEST_FOREIGN_SET") {
        let (here, _there) = pair();
        let foreign = Process {
            pid: pid.parse().unwrap(),
            ..held(&here)
        };
        let refused = Borrower::new().set(foreign, cookie(&here), &fresh(), &step());
        assert_eq!(refused, Err(NotSet::Unreached(Unseen::NotPermitted)));
        assert!(set(&here, &fresh(), &step()).is_ok());
        return;
    }
    if needs_root(test) {
        isolated(test, || {
            as_nobody(
                test,
                "SOCKPULSE_TEST_FOREIGN_SET",
                &std::process::id().to_string(),
            )
        });
    }
}
