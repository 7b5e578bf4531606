//! inet_diag against the sockets' own programs and against ss(8).

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::common::{isolated, sh, wait_for};
use crate::scene::{Ports, Scene, ports};
use sockpulse_core::{
    Connection, Cookie, End, Family, NetnsId, Observed, TcpState, Timer, TimerKind, Unseen,
};
use sockpulse_linux::sock_diag::{DumpEnd, Query, Socket, States, TcpInfo, messages};
use sockpulse_linux::sockopt;

const NETNS: NetnsId = NetnsId(1);

fn dump(states: States, info: TcpInfo) -> Vec<Connection> {
    let mut socket = Socket::open().unwrap();
    let mut found = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let query = Query {
            family,
            states,
            info,
        };
        let end = socket
            .dump(&query, |batch| {
                found.extend(messages(batch).map(|m| m.unwrap().connection(NETNS).unwrap()));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(end, DumpEnd::Complete);
    }
    found
}

fn by_ports((local, remote): Ports) -> Connection {
    let all = dump(States::ALL, TcpInfo::With);
    let mut found = all
        .into_iter()
        .filter(|c| (c.id.local.port, c.id.remote.port) == (local, remote));
    let connection = found.next().expect("the socket is in the dump");
    assert_eq!(found.next(), None);
    connection
}

fn in_state(ports: Ports, state: TcpState) -> Connection {
    wait_for(state.name(), || {
        Some(by_ports(ports)).filter(|connection| connection.state == state)
    })
}

fn pending(timer: Observed<Option<Timer>>) -> Option<TimerKind> {
    timer.known().flatten().map(|timer| timer.kind)
}

const HIDDEN: Observed<Option<Timer>> = Observed::Unknown(Unseen::NotReported);
const NONE: Observed<Option<Timer>> = Observed::Known(None);

/// What every socket with a descriptor must say alike.
fn agrees(connection: &Connection, fd: impl AsFd) {
    let fd = fd.as_fd();
    let end = |addr: rustix::io::Result<rustix::net::SocketAddrAny>| {
        let addr = SocketAddr::try_from(addr.unwrap()).unwrap();
        End {
            addr: addr.ip(),
            port: addr.port(),
        }
    };
    assert_eq!(connection.id.local, end(rustix::net::getsockname(fd)));
    if connection.state.has_peer() {
        assert_eq!(
            connection.id.remote,
            end(rustix::net::getpeername(fd).map(Option::unwrap))
        );
    }
    assert_eq!(connection.id.cookie, sockopt::cookie(fd).unwrap());
    assert_eq!(connection.inode, rustix::fs::fstat(fd).unwrap().st_ino);
    assert_eq!(connection.orphan, Observed::Known(false));
    assert_eq!(
        connection.owner.uid,
        Some(rustix::process::geteuid().as_raw())
    );
    assert_eq!(
        connection.settings,
        Observed::Unknown(Unseen::NotReported),
        "inet_diag does not tell them"
    );
}

#[test]
fn root_connections_with_programs() {
    isolated("sock_diag::root_connections_with_programs", || {
        let scene = Scene::open();
        let listener = by_ports((scene.listener.local_addr().unwrap().port(), 0));
        assert_eq!(listener.state, TcpState::Listen);
        agrees(&listener, &scene.listener);
        assert_eq!(listener.silence_ms, None);
        assert_eq!(listener.rto_ms, None);
        assert_eq!(listener.unread_bytes, Some(0));
        assert!(listener.unacked_bytes > Some(0), "the queue's length");

        let plain = by_ports(ports(&scene.plain));
        assert_eq!(plain.state, TcpState::Established);
        agrees(&plain, &scene.plain);
        assert_eq!(
            (plain.timers.keepalive, plain.timers.retransmission),
            (NONE, NONE)
        );
        assert_eq!(plain.unanswered_probes, Some(0));
        assert!(plain.silence_ms.is_some_and(|ms| ms < 20_000));
        assert_eq!(plain.in_flight, Some(false));
        assert!(plain.rto_ms.is_some_and(|ms| ms >= 200));

        let tuned = by_ports(ports(&scene.tuned));
        agrees(&tuned, &scene.tuned);
        assert_eq!(pending(tuned.timers.keepalive), Some(TimerKind::Keepalive));
        assert_eq!(tuned.timers.retransmission, NONE);

        let ipv6 = by_ports(ports(&scene.ipv6));
        assert_eq!(ipv6.family, Family::Ipv6);
        agrees(&ipv6, &scene.ipv6);
        let mapped = by_ports(ports(&scene.mapped));
        assert_eq!(mapped.family, Family::Ipv6);
        assert_eq!(mapped.id.local.addr.to_string(), "::ffff:127.0.0.1");
        agrees(&mapped, &scene.mapped);

        let half_closed = in_state(ports(&scene.half_closed), TcpState::FinWait2);
        agrees(&half_closed, &scene.half_closed);
        let close_wait = in_state(ports(&scene.close_wait), TcpState::CloseWait);
        agrees(&close_wait, &scene.close_wait);

        let blocked = wait_for("the zero window", || {
            Some(by_ports(ports(&scene.blocked)))
                .filter(|c| pending(c.timers.retransmission) == Some(TimerKind::Persist))
        });
        agrees(&blocked, &scene.blocked);
        assert_eq!(blocked.timers.keepalive, HIDDEN);
        assert!(blocked.unacked_bytes > Some(100_000));

        let syn_sent = wait_for("SYN-SENT", || {
            dump(States::only(TcpState::SynSent), TcpInfo::With).pop()
        });
        agrees(&syn_sent, &scene.syn_sent);
        assert_eq!(syn_sent.silence_ms, None);
        assert_eq!(
            pending(syn_sent.timers.retransmission),
            Some(TimerKind::Retransmission)
        );
        assert_eq!(syn_sent.timers.keepalive, HIDDEN);

        if let Some(mptcp) = &scene.mptcp {
            let subflow = by_ports(ports(mptcp));
            assert!(subflow.mptcp);
            assert_eq!(subflow.inode, rustix::fs::fstat(mptcp).unwrap().st_ino);
            assert_ne!(subflow.id.cookie, sockopt::cookie(mptcp).unwrap());
            assert!(!plain.mptcp);
        }
    });
}

#[test]
fn root_entries_without_programs() {
    isolated("sock_diag::root_entries_without_programs", || {
        let scene = Scene::open();
        let orphan = in_state(scene.lingering, TcpState::FinWait2);
        assert_eq!(orphan.orphan, Observed::Known(true));
        assert_eq!(orphan.inode, 0);
        assert_eq!(pending(orphan.timers.keepalive), Some(TimerKind::FinWait2));
        assert_eq!(orphan.owner.unseen, Some(Unseen::NoProcess));
        assert_eq!(orphan.settings, Observed::Unknown(Unseen::NotReported));

        let closing = in_state(scene.fin_wait_1, TcpState::FinWait1);
        assert_eq!(closing.orphan, Observed::Known(true));

        for (ports, state) in [
            (scene.fin_wait_2_entry, TcpState::FinWait2),
            (scene.time_wait, TcpState::TimeWait),
        ] {
            let entry = in_state(ports, state);
            assert_eq!(pending(entry.timers.keepalive), Some(TimerKind::TimeWait));
            assert_eq!(entry.settings, Observed::Unknown(Unseen::NoSocket));
            assert_eq!(entry.owner.uid, None);
            assert_eq!(entry.silence_ms, None);
            assert_eq!(entry.unread_bytes, None);
        }

        let (client_port, server_port) = ports(&scene.not_accepted);
        let not_accepted = by_ports((server_port, client_port));
        assert_eq!(not_accepted.state, TcpState::Established);
        assert_eq!(not_accepted.inode, 0);
        assert_eq!(not_accepted.orphan, Observed::Known(false));

        let request = in_state(scene.request, TcpState::SynReceived);
        assert_eq!(pending(request.timers.keepalive), Some(TimerKind::SynAck));
        assert_eq!(request.timers.retransmission, NONE);
        assert_eq!(request.settings, Observed::Unknown(Unseen::NoSocket));
        assert_eq!(request.orphan, Observed::Known(false));
        assert_eq!(request.owner.uid, None);
    });
}

#[test]
fn root_agrees_with_ss() {
    isolated("sock_diag::root_agrees_with_ss", || {
        let _scene = Scene::open();
        // Timers run down and the states settle: both must say the same at some moment.
        wait_for("agreement with ss", || {
            let ss = of_ss(&sh("ss -H -tanoe"));
            let ours: BTreeMap<_, _> = dump(States::ALL, TcpInfo::Without)
                .iter()
                .map(|c| (c.id.cookie, line(c)))
                .collect();
            assert!(ss.len() > 20, "{ss:?}");
            (ss == ours).then_some(()).or_else(|| {
                eprintln!("ss: {ss:?}\nus: {ours:?}");
                None
            })
        });
    });
}

/// State, queues, ends, timer, inode as ss writes them.
type Line = (String, u64, u64, String, String, String, u64);

fn of_ss(text: &str) -> BTreeMap<Cookie, Line> {
    let parse = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let tag = |name: &str| {
            let field = fields.iter().find_map(|field| field.strip_prefix(name));
            field.unwrap_or_default().to_owned()
        };
        let timer = tag("timer:(");
        let timer = timer.split(',').next().unwrap_or_default().to_owned();
        let cookie = u64::from_str_radix(&tag("sk:"), 16).unwrap();
        let line = (
            fields[0].to_lowercase(),
            fields[1].parse().unwrap(),
            fields[2].parse().unwrap(),
            fields[3].to_owned(),
            fields[4].to_owned(),
            timer,
            tag("ino:").parse().unwrap(),
        );
        (Cookie(cookie), line)
    };
    text.lines().map(parse).collect()
}

fn line(c: &Connection) -> Line {
    let state = match c.state {
        TcpState::Established => "estab",
        TcpState::SynReceived => "syn-recv",
        other => other.name(),
    };
    let timer = match (c.timers.keepalive, c.timers.retransmission) {
        (Observed::Known(Some(timer)), _) | (_, Observed::Known(Some(timer))) => match timer.kind {
            TimerKind::Keepalive | TimerKind::FinWait2 => "keepalive",
            TimerKind::TimeWait => "timewait",
            TimerKind::Persist => "persist",
            _ => "on",
        },
        _ => "",
    };
    let end = |end: &End| {
        let addr = match end.addr {
            std::net::IpAddr::V6(addr) if addr.is_unspecified() => "*".into(),
            std::net::IpAddr::V6(addr) => format!("[{addr}]"),
            std::net::IpAddr::V4(addr) => addr.to_string(),
        };
        match end.port {
            0 => format!("{addr}:*"),
            port => format!("{addr}:{port}"),
        }
    };
    (
        state.to_owned(),
        c.unread_bytes.unwrap_or(0),
        c.unacked_bytes.unwrap_or(0),
        end(&c.id.local),
        end(&c.id.remote),
        timer.to_owned(),
        c.inode,
    )
}

#[test]
fn root_many_sockets_come_once_beside_churn() {
    isolated(
        "sock_diag::root_many_sockets_come_once_beside_churn",
        || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let addr = listener.local_addr().unwrap();
            let stable: Vec<_> = (0..200)
                .map(|_| {
                    (
                        TcpStream::connect(addr).unwrap(),
                        listener.accept().unwrap().0,
                    )
                })
                .collect();
            let cookies: Vec<_> = stable
                .iter()
                .flat_map(|(a, b)| [sockopt::cookie(a).unwrap(), sockopt::cookie(b).unwrap()])
                .collect();
            let busy = TcpListener::bind("127.0.0.1:0").unwrap();
            let stop = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let _client = TcpStream::connect(busy.local_addr().unwrap());
                        let _server = busy.accept();
                    }
                });
                for _ in 0..20 {
                    let mut seen = BTreeMap::<Cookie, u32>::new();
                    for connection in dump(States::ALL, TcpInfo::With) {
                        *seen.entry(connection.id.cookie).or_default() += 1;
                    }
                    for cookie in &cookies {
                        assert_eq!(seen.get(cookie), Some(&1));
                    }
                }
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
            });
        },
    );
}

#[test]
fn root_states_are_filtered_and_dumps_can_be_left() {
    isolated(
        "sock_diag::root_states_are_filtered_and_dumps_can_be_left",
        || {
            let _scene = Scene::open();
            let listening = dump(States::only(TcpState::Listen), TcpInfo::Without);
            assert!(!listening.is_empty());
            assert!(listening.iter().all(|c| c.state == TcpState::Listen));
            let rest = States::ALL.without(States::only(TcpState::Listen));
            assert!(
                dump(rest, TcpInfo::Without)
                    .iter()
                    .all(|c| c.state != TcpState::Listen)
            );
            assert!(dump(States::only(TcpState::Close), TcpInfo::Without).is_empty());

            let mut socket = Socket::open().unwrap();
            let query = Query {
                family: Family::Ipv4,
                states: States::ALL,
                info: TcpInfo::With,
            };
            let mut parts = 0;
            for _ in 0..3 {
                let end = socket.dump(&query, |_| {
                    parts += 1;
                    ControlFlow::Break(())
                });
                assert_eq!(end, Ok(DumpEnd::Stopped));
            }
            assert_eq!(parts, 3);
            let end = socket.dump(&query, |_| ControlFlow::Continue(()));
            assert_eq!(end, Ok(DumpEnd::Complete));
        },
    );
}

#[test]
fn root_both_families_in_one_dump() {
    isolated("sock_diag::root_both_families_in_one_dump", || {
        let _scene = Scene::open();
        let mut socket = Socket::open().unwrap();
        for info in [TcpInfo::With, TcpInfo::Without] {
            wait_for("two dumps that agree", || {
                let mut both = Vec::new();
                let end = socket.dump_both(States::ALL, info, |batch| {
                    both.extend(messages(batch).map(|m| m.unwrap().connection(NETNS).unwrap()));
                    ControlFlow::Continue(())
                });
                assert_eq!(end, Ok(DumpEnd::Complete));
                let line = |connection: &Connection| (connection.id.cookie, line(connection));
                let both: BTreeMap<_, _> = both.iter().map(line).collect();
                let one_by_one: BTreeMap<_, _> = dump(States::ALL, info).iter().map(line).collect();
                (both == one_by_one).then_some(())
            });
        }
    });
}

/// Sockets bound to a device are found only with its number.
#[test]
fn root_a_socket_bound_to_a_device_is_looked_up() {
    isolated(
        "sock_diag::root_a_socket_bound_to_a_device_is_looked_up",
        || {
            sh("ip addr add fe80::1/64 dev lo nodad");
            let addr = std::net::SocketAddrV6::new("fe80::1".parse().unwrap(), 0, 0, 1);
            let listener = TcpListener::bind(addr).unwrap();
            let bound = by_ports((listener.local_addr().unwrap().port(), 0));
            assert_eq!(bound.ifindex, 1);
            let mut socket = Socket::open().unwrap();
            let answer = socket.lookup(&bound.id, bound.ifindex, TcpInfo::Without);
            assert!(answer.unwrap().is_some());
        },
    );
}

#[test]
fn root_one_socket_is_looked_up_by_cookie() {
    isolated("sock_diag::root_one_socket_is_looked_up_by_cookie", || {
        let scene = Scene::open();
        let mut socket = Socket::open().unwrap();
        let all = dump(States::ALL, TcpInfo::Without);
        let mut looked_up = 0;
        for connection in &all {
            let mut id = connection.id;
            let answer = socket
                .lookup(&id, connection.ifindex, TcpInfo::With)
                .unwrap()
                .expect("the socket is still there");
            let found: Vec<_> = messages(&answer)
                .map(|message| message.unwrap().connection(NETNS).unwrap())
                .collect();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].id, id);
            assert_eq!(found[0].inode, connection.inode);
            looked_up += 1;
            id.cookie = Cookie(id.cookie.0 ^ (1 << 40));
            let other = socket.lookup(&id, connection.ifindex, TcpInfo::With);
            assert_eq!(other, Ok(None), "another socket's cookie");
            id.cookie = Cookie(0);
            let any = socket.lookup(&id, connection.ifindex, TcpInfo::Without);
            assert!(any.unwrap().is_some(), "whichever socket it is");
        }
        assert!(looked_up > 20);

        let gone = by_ports(ports(&scene.plain));
        // A reset ends the connection without TIME-WAIT.
        let linger = Some(std::time::Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&scene.plain, linger).unwrap();
        drop(scene.plain);
        wait_for("the end of the connection", || {
            let answer = socket.lookup(&gone.id, 0, TcpInfo::With).unwrap();
            answer.is_none().then_some(())
        });
    });
}
