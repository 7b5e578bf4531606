//! Sample situations on a terminal of 80 columns and 24 lines.

use std::collections::BTreeMap;
use std::time::Duration;

use sockpulse_core::{
    Audit, CgroupId, Connection, Coverage, Gap, Namespace, NetnsDefaults, NetnsId, Observed, Place,
    Setting, Source, Unseen, UserTimeout, assess,
};

use super::*;
use crate::sample;

const SMALL: Size = Size {
    width: 80,
    height: Some(24),
};

fn seen(sockets: u64) -> Coverage {
    Coverage {
        namespaces: 1,
        sockets: BTreeMap::from([(Source::TaskFile, sockets - 4), (Source::SockDiag, 4)]),
        ..Coverage::default()
    }
}

fn drawn(
    connections: &[Connection],
    namespaces: &[Namespace],
    coverage: &Coverage,
    size: Size,
) -> String {
    let mut audit = Audit::new(sample::TARGET);
    for connection in connections {
        let namespace = namespaces.iter().find(|n| n.id == connection.id.netns);
        audit.add(connection, &assess(connection, namespace, &sample::TARGET));
    }
    let report = audit.finish(namespaces);
    let place = |key: &ProgramKey| match key.cgroup {
        Some(CgroupId(5)) => sample::place(),
        Some(CgroupId(n)) => Place::from_cgroup(&format!(
            "/system.slice/a-service-with-a-very-long-name-{n}.service"
        )),
        None => Place::default(),
    };
    let audited = Audited {
        host: "db7",
        report: &report,
        namespaces,
        coverage,
        elapsed: Duration::from_millis(31),
        place: &place,
    };
    let [text, colored] = [Palette::Plain, Palette::Ansi].map(|palette| {
        let mut out = Vec::new();
        draw(&mut out, &audited, size, palette);
        String::from_utf8(out).unwrap()
    });
    let stripped = anstream::adapter::strip_str(&colored).to_string();
    assert!(
        stripped == text && colored != text,
        "colours change nothing else"
    );
    for line in text.lines() {
        assert!(fit::width(line.as_bytes()) <= size.width, "{line}");
        assert!(!line.ends_with(' '), "{line:?}");
    }
    if let Some(height) = size.height {
        assert!(
            text.lines().count() < height,
            "the prompt needs a line:\n{text}"
        );
    }
    text
}

fn many(connection: &Connection, count: usize) -> Vec<Connection> {
    vec![connection.clone(); count]
}

fn named(mut connection: Connection, pid: u32, comm: &[u8], cgroup: u64) -> Connection {
    connection.owner.processes = vec![sample::process(pid, 3, comm)];
    connection.owner.cgroup = Some(CgroupId(cgroup));
    connection
}

fn protected() -> Connection {
    let mut connection = sample::known();
    if let Observed::Known(timers) = &mut connection.settings {
        timers.idle = Setting::Socket(60);
        timers.interval = Setting::Socket(10);
        timers.probes = Setting::Socket(6);
    }
    connection
}

fn local() -> Connection {
    let mut connection = sample::off();
    connection.id.remote = sample::end("127.0.0.1", 5432);
    connection
}

#[test]
fn a_server_full_of_dead_clients() {
    let mut silent = sample::off();
    silent.silence_ms = Some(5_458_000_000);
    silent.unacked_bytes = Some(1_200);
    let mut fresh = sample::off();
    fresh.silence_ms = Some(12_000);
    let mut slow = sample::known();
    if let Observed::Known(timers) = &mut slow.settings {
        timers.idle = Setting::Namespace;
    }
    slow.silence_ms = Some(7_800_000);
    let postgres = named(slow, 901, b"postgres", 6);
    let worker = |pid| named(postgres.clone(), pid, b"postgres", 6);
    let workers: Vec<Connection> = (901..910).map(worker).collect();
    let connections = [
        many(&silent, 1_198),
        many(&fresh, 3_435),
        many(&postgres, 292),
        workers,
        many(&named(sample::off(), 77, b"java", 7), 236),
        many(&protected(), 5),
        many(&local(), 38),
    ]
    .concat();
    let shown = drawn(&connections, &[sample::namespace()], &seen(5_290), SMALL);
    insta::assert_snapshot!(shown);
}

#[test]
fn nothing_at_all() {
    let shown = drawn(&[], &[sample::namespace()], &seen(24), SMALL);
    insta::assert_snapshot!(shown);
}

#[test]
fn everything_protected() {
    let connections = [many(&protected(), 1_204), many(&local(), 2)].concat();
    let shown = drawn(&connections, &[sample::namespace()], &seen(1_230), SMALL);
    insta::assert_snapshot!(shown);
}

#[test]
fn what_was_read_in_part_is_not_said_to_be_well() {
    let mut coverage = seen(24);
    let gap = Gap {
        what: "1 network namespace".into(),
        why: "CAP_SYS_ADMIN is missing".into(),
        remedy: None,
    };
    for (connections, whole, partial) in [
        (
            vec![],
            "no connections: nothing to mend",
            "no connections seen, but not everything could be read",
        ),
        (
            vec![local()],
            "nothing to mend: 1 connection, and it is local",
            "1 connection, and it is local, but not everything could be read",
        ),
        (
            many(&local(), 3),
            "nothing to mend: 3 connections, all local",
            "3 connections, all local, but not everything could be read",
        ),
        (
            vec![protected()],
            "nothing to mend: 1 connection notices a dead peer within 10m",
            "nothing wrong with 1 connection seen, but not everything could be read",
        ),
        (
            vec![sample::off()],
            "the only connection would never notice a dead peer",
            "the only connection seen would never notice a dead peer",
        ),
    ] {
        for (gaps, verdict) in [(vec![], whole), (vec![gap.clone()], partial)] {
            coverage.gaps = gaps;
            let shown = drawn(&connections, &[sample::namespace()], &coverage, SMALL);
            assert_eq!(shown.lines().next(), Some(&*format!("db7: {verdict}")));
        }
    }
}

#[test]
fn namespaces_that_differ_keep_their_times() {
    let differing = |name: &str, id| {
        let mut namespace = sample::namespace();
        namespace.id = NetnsId(id);
        namespace.own = false;
        namespace.name = name.into();
        namespace.defaults = Some(NetnsDefaults {
            idle_s: 10,
            interval_s: 10,
            probes: 2,
            ..NetnsDefaults::KERNEL
        });
        namespace
    };
    for (first, line) in [
        (
            "process python3 (30049)",
            "2 of 3 namespaces differ; noticed after: process python3 (30049) 30s, b 30s",
        ),
        (
            "process a-much-longer-name (4030049)",
            "2 of 3 namespaces differ; noticed after: process a-much-longer-n… 30s, b 30s",
        ),
    ] {
        let namespaces = [sample::namespace(), differing(first, 7), differing("b", 8)];
        let shown = drawn(&[], &namespaces, &seen(24), SMALL);
        assert!(shown.contains(&format!("\n{line}\n")), "{shown}");
    }
}

#[test]
fn hundreds_of_programs_with_long_names_in_many_namespaces() {
    let mut namespaces = vec![sample::namespace()];
    for n in 2..40 {
        let mut namespace = sample::namespace();
        namespace.id = NetnsId(n);
        namespace.own = false;
        namespace.pid = Some(n * 1000);
        namespace.name = format!("container-with-a-long-name-{n}");
        namespace.defaults = Some(NetnsDefaults {
            idle_s: i64::from(n) * 10,
            ..NetnsDefaults::KERNEL
        });
        namespaces.push(namespace);
    }
    let mut connections = Vec::new();
    for n in 0u32..300 {
        let name = format!("\u{1b}[31mworker-{n}");
        let mut off = named(
            sample::off(),
            4_000_000 + n,
            name.as_bytes(),
            u64::from(n) + 6,
        );
        off.id.netns = NetnsId(2 + n % 38);
        off.unread_bytes = Some(4_000_000_000);
        connections.extend(many(&off, usize::try_from(n).unwrap()));
    }
    let mut coverage = seen(44_900);
    coverage.namespaces = 39;
    let shown = drawn(&connections, &namespaces, &coverage, SMALL);
    insta::assert_snapshot!(shown);
}

/// Every exposure and as many findings as there are.
fn everything() -> Vec<Connection> {
    let with = |change: &dyn Fn(&mut Connection)| {
        let mut connection = sample::known();
        change(&mut connection);
        connection
    };
    let timers = |change: &dyn Fn(&mut sockpulse_core::SocketTimers)| {
        with(&|connection| {
            if let Observed::Known(timers) = &mut connection.settings {
                change(timers);
            }
        })
    };
    vec![
        sample::off(),
        timers(&|t| t.idle = Setting::Namespace),
        timers(&|t| t.probes = Setting::Socket(1)),
        timers(&|t| t.idle = Setting::Socket(300)),
        timers(&|t| t.idle = Setting::Socket(2)),
        timers(&|t| {
            t.keepalive = false;
            t.user_timeout = UserTimeout::new(20_000).unwrap();
        }),
        protected(),
        with(&|c| c.unanswered_probes = Some(3)),
        with(&|c| {
            c.retransmits = Some(4);
            c.in_flight = Some(true);
            c.unacked_bytes = Some(10);
        }),
        local(),
        with(&|c| c.settings = Observed::Unknown(Unseen::NotPermitted)),
    ]
}

#[test]
fn everything_at_once_and_partial() {
    let mut other = sample::namespace();
    other.id = NetnsId(7);
    other.own = false;
    other.name = "web1".into();
    other.pid = Some(4321);
    other.defaults = Some(NetnsDefaults {
        probes: 0,
        ..NetnsDefaults::KERNEL
    });
    let mut coverage = seen(16);
    coverage.namespaces = 2;
    coverage.unknown_settings.insert(Unseen::NotPermitted, 1);
    coverage.unknown_owners.insert(Unseen::NoProcess, 3);
    coverage.gaps.push(Gap {
        what: "settings of other users' sockets".into(),
        why: "CAP_SYS_PTRACE is missing".into(),
        remedy: Some("run as root".into()),
    });
    let namespaces = [sample::namespace(), other];
    let shown = drawn(&everything(), &namespaces, &coverage, SMALL);
    insta::assert_snapshot!(shown);
}

#[test]
fn without_a_terminal_nothing_is_left_out() {
    let size = Size {
        width: 80,
        height: None,
    };
    let shown = drawn(&everything(), &[sample::namespace()], &seen(16), size);
    insta::assert_snapshot!(shown);
}

#[test]
fn any_size_is_survived() {
    for width in [1, 20, 40, 79, 200] {
        for height in [None, Some(1), Some(10)] {
            let mut audit = Audit::new(sample::TARGET);
            let namespace = sample::namespace();
            for connection in everything() {
                audit.add(
                    &connection,
                    &assess(&connection, Some(&namespace), &sample::TARGET),
                );
            }
            let namespaces = [namespace];
            let report = audit.finish(&namespaces);
            let audited = Audited {
                host: "db7",
                report: &report,
                namespaces: &namespaces,
                coverage: &seen(16),
                elapsed: Duration::ZERO,
                place: &|_| Place::default(),
            };
            let mut out = Vec::new();
            draw(&mut out, &audited, Size { width, height }, Palette::Ansi);
            assert!(!out.is_empty());
        }
    }
}
