//! Sockets set by the iterator, compared with what their owner is told.

use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use sockpulse_bpf::{Error, Order, RiskAccepted, SetTcp, Verdict, Walk, risk};
use sockpulse_core::protect::Step;
use sockpulse_core::{
    Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Observed, TcpState, UserTimeout,
};

use crate::common::*;

/// What the owner is told.
fn in_force(socket: &impl AsRawFd) -> EffectiveTimers {
    let tcp = |option| Effective {
        value: get::<i32>(socket, libc::IPPROTO_TCP, option).into(),
        origin: None,
    };
    let timeout: i32 = get(socket, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT);
    EffectiveTimers {
        keepalive: get::<i32>(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE) == 1,
        idle: tcp(libc::TCP_KEEPIDLE),
        interval: tcp(libc::TCP_KEEPINTVL),
        probes: tcp(libc::TCP_KEEPCNT),
        user_timeout: UserTimeout::new(timeout.try_into().unwrap()).unwrap(),
    }
}

fn everything() -> Step {
    Step {
        keepalive: Some(true),
        idle: KeepIdle::new(60).ok(),
        interval: KeepIntvl::new(10).ok(),
        probes: KeepCnt::new(6).ok(),
        user_timeout: UserTimeout::new(120_000).ok(),
    }
}

fn only_on() -> Step {
    Step {
        keepalive: Some(true),
        ..Step::default()
    }
}

/// As if it had been planned just now.
fn order(socket: &impl AsRawFd, step: Step) -> Order {
    Order {
        cookie: cookie(socket),
        before: in_force(socket),
        silence: Duration::MAX,
        step,
    }
}

/// Carries orders out in the calling thread's namespace, a few at a time.
fn carry_out(orders: &[Order], most: usize) -> Vec<Option<Verdict>> {
    let set = SetTcp::load(accepted(), hz(), orders.iter().copied()).unwrap();
    let mut walk = set.open().unwrap();
    let mut verdicts = vec![None; orders.len()];
    loop {
        let answers = walk.advance(most).unwrap();
        assert!(answers.len() <= most);
        if answers.is_empty() {
            return verdicts;
        }
        for (number, verdict) in answers {
            assert_eq!(verdicts[number], None, "order {number} was answered twice");
            verdicts[number] = Some(verdict);
        }
    }
}

fn one(order: Order) -> Option<Verdict> {
    carry_out(&[order], Walk::MOST)[0]
}

#[test]
fn root_every_option_is_set_on_sockets_of_every_family() {
    in_namespace(|| {
        let pairs = [
            pair("127.0.0.1:0", "127.0.0.1"),
            pair("[::1]:0", "[::1]"),
            pair("[::]:0", "127.0.0.1"),
        ];
        let step = everything();
        for Pair {
            listener,
            client,
            server,
        } in &pairs
        {
            let orders = [
                order(listener, step),
                order(client, step),
                order(server, step),
            ];
            assert_eq!(carry_out(&orders, 1), [Some(Verdict::Set); 3]);
            for now in [in_force(listener), in_force(client), in_force(server)] {
                assert!(step.stands(&now), "{now:?}");
            }
            // What is accepted from now on has it.
            let later = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            assert!(step.stands(&in_force(&listener.accept().unwrap().0)));
            assert!(!in_force(&later).keepalive);
            // The timer waits for the whole idle time.
            let timers = connection(&find(&by_iter_tcp(), client)).timers;
            let due = timers.keepalive.known().flatten().unwrap().expires_ms;
            assert!((50_000..62_000).contains(&due), "{due}");
        }
    });
}

#[test]
fn root_what_is_not_asked_stays_inherited_and_off_is_off() {
    in_namespace(|| {
        let Pair { client, .. } = &pair("127.0.0.1:0", "127.0.0.1");
        assert_eq!(one(order(client, only_on())), Some(Verdict::Set));
        let settings = connection(&find(&by_iter_tcp(), client)).settings;
        let settings = settings.known().unwrap();
        assert!(settings.keepalive);
        assert_eq!(settings.idle, sockpulse_core::Setting::Namespace);
        let off = Step {
            keepalive: Some(false),
            ..Step::default()
        };
        assert_eq!(one(order(client, off)), Some(Verdict::Set));
        let timers = connection(&find(&by_iter_tcp(), client)).timers;
        assert!(!in_force(client).keepalive);
        assert_eq!(timers.keepalive, Observed::Known(None));
    });
}

#[test]
fn root_a_connection_that_waits_to_be_accepted_is_set() {
    in_namespace(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let client = TcpStream::connect(at).unwrap();
        let waiting = waiting(at, client.local_addr().unwrap());
        let before = in_force(&client);
        let order = Order {
            cookie: waiting,
            before,
            silence: Duration::MAX,
            step: everything(),
        };
        assert_eq!(one(order), Some(Verdict::Set));
        let accepted = listener.accept().unwrap().0;
        assert_eq!(cookie(&accepted), waiting);
        assert!(everything().stands(&in_force(&accepted)));
    });
}

/// The cookie of the end that nobody holds.
fn waiting(at: SocketAddr, peer: SocketAddr) -> sockpulse_core::Cookie {
    wait_for("the connection to be there", || {
        let records = by_iter_tcp();
        let mut found = records.iter().map(connection).filter(|seen| {
            seen.state == TcpState::Established
                && seen.id.local.port == at.port()
                && seen.id.remote.port == peer.port()
        });
        found.next().map(|seen| seen.id.cookie)
    })
}

#[test]
fn root_what_its_program_closed_is_left_to_end() {
    in_namespace(|| {
        let Pair { client, server, .. } = pair("127.0.0.1:0", "127.0.0.1");
        // Longer than TIME-WAIT: the socket itself lingers, with its keepalive timer.
        set(&client, libc::IPPROTO_TCP, libc::TCP_LINGER2, 100);
        let order = order(&client, only_on());
        client.shutdown(Shutdown::Write).unwrap();
        let state = || get::<libc::tcp_info>(&client, libc::IPPROTO_TCP, libc::TCP_INFO).tcpi_state;
        wait_for("FIN-WAIT-2", || (state() == 5).then_some(()));
        drop(client);
        assert_eq!(one(order), Some(Verdict::Changed));
        let orphan = |record: &sockpulse_bpf::Record| {
            let seen = connection(record);
            (seen.id.cookie == order.cookie).then(|| seen.settings.known().unwrap().keepalive)
        };
        assert_eq!(by_iter_tcp().iter().find_map(orphan), Some(false));
        // Without a socket there is no answer.
        drop(server);
        wait_for("TIME-WAIT", || one(order).is_none().then_some(()));
    });
}

#[test]
fn root_what_changed_since_the_plan_is_left() {
    in_namespace(|| {
        let pairs: Vec<_> = (0..5).map(|_| pair("127.0.0.1:0", "127.0.0.1")).collect();
        let change: [&dyn Fn(&TcpStream); 5] = [
            &|_| (),
            &|s| set(s, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
            &|s| set(s, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
            &|s| set(s, libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
            &|s| set(s, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, 9_000),
        ];
        let orders: Vec<_> = pairs
            .iter()
            .map(|p| order(&p.client, everything()))
            .collect();
        let mut after = Vec::new();
        for (pair, change) in pairs.iter().zip(change) {
            change(&pair.client);
            after.push(in_force(&pair.client));
        }
        let verdicts = carry_out(&orders, Walk::MOST);
        assert_eq!(verdicts[0], Some(Verdict::Set));
        assert_eq!(verdicts[1..], [Some(Verdict::Changed); 4]);
        for (pair, after) in pairs.iter().zip(after).skip(1) {
            assert_eq!(in_force(&pair.client), after);
        }
    });
}

#[test]
fn root_silence_and_unanswered_probes_keep_from_a_user_timeout() {
    in_namespace(|| {
        let Pair { client, .. } = &pair("127.0.0.1:0", "127.0.0.1");
        wait_for("silence", || {
            let info: libc::tcp_info = get(client, libc::IPPROTO_TCP, libc::TCP_INFO);
            (info.tcpi_last_ack_recv.min(info.tcpi_last_data_recv) > 100).then_some(())
        });
        let hasty = Order {
            silence: Duration::from_millis(90),
            ..order(client, everything())
        };
        assert_eq!(one(hasty), Some(Verdict::Silent));
        assert!(!in_force(client).keepalive);
        let without = Order {
            step: only_on(),
            ..hasty
        };
        assert_eq!(one(without), Some(Verdict::Set));

        // Nobody answers while the device is down.
        set(client, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 30);
        loopback(Loopback::Down);
        set(client, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 1);
        wait_for("an unanswered probe", || {
            let info: libc::tcp_info = get(client, libc::IPPROTO_TCP, libc::TCP_INFO);
            (info.tcpi_probes > 0).then_some(())
        });
        let interval = Step {
            interval: KeepIntvl::new(1).ok(),
            ..Step::default()
        };
        assert_eq!(one(order(client, interval)), Some(Verdict::Probing));
        let off = Step {
            keepalive: Some(false),
            ..interval
        };
        assert_eq!(one(order(client, off)), Some(Verdict::Set));
        loopback(Loopback::Up);
    });
}

#[test]
fn root_other_namespaces_are_other_walks() {
    in_namespace(|| {
        let Pair { client, .. } = &pair("127.0.0.1:0", "127.0.0.1");
        let orders = [order(client, only_on())];
        on_thread(|| {
            unshare(libc::CLONE_NEWNET);
            assert_eq!(carry_out(&orders, Walk::MOST), [None]);
        });
        assert!(!in_force(client).keepalive);
        assert_eq!(carry_out(&orders, Walk::MOST), [Some(Verdict::Set)]);
    });
}

/// More than the kernel hands out at once, in steps of every size.
#[test]
fn root_each_of_many_answers_once() {
    in_namespace(|| {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let room = room_for(3_000);
        let ends: Vec<_> = (0..room)
            .flat_map(|_| {
                let client = TcpStream::connect(at).unwrap();
                [client, listener.accept().unwrap().0]
            })
            .collect();
        for (most, step) in [
            (Walk::MOST, everything()),
            (7, everything()),
            (100_000, only_on()),
        ] {
            for end in &ends {
                set(end, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 0);
            }
            let orders: Vec<_> = ends.iter().map(|end| order(end, step)).collect();
            let most = most.min(Walk::MOST);
            let verdicts = carry_out(&orders, most);
            let others: Vec<_> = verdicts
                .iter()
                .enumerate()
                .filter(|(_, one)| **one != Some(Verdict::Set))
                .map(|(nth, one)| (nth, orders[nth].cookie, one))
                .collect();
            assert!(others.is_empty(), "{most} at once: {others:?}");
            assert!(ends.iter().all(|end| step.stands(&in_force(end))));
        }
    });
}

#[test]
fn root_a_risk_that_is_not_accepted_keeps_from_setting() {
    in_namespace(|| {
        let loaded = SetTcp::load(RiskAccepted::NONE, hz(), [].into_iter());
        if risk::affected().is_empty() {
            assert!(loaded.is_ok());
        } else {
            assert!(matches!(loaded, Err(Error::KernelRisk { .. })));
        }
    });
}
