//! The table against the selectors that it is made of, and its bytes against the layout.

use alloc::format;
use alloc::string::String;
use alloc::vec;

use proptest::prelude::*;

use super::*;
use crate::connection::{Comm, Connection, End, Process};
use crate::place::Place;
use crate::sample;
use crate::selector::Selector;
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeout, UserTimeoutChoice};
use core::net::IpAddr;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn rule(name: &str, selector: Selector) -> Rule {
    Rule {
        name: name.into(),
        selector,
        ..Rule::default()
    }
}

/// What the selector sees of the same socket.
fn connection(subject: &Subject<'_>) -> Connection {
    let mut connection = sample::connection();
    // An end that is not known is not that of any pattern.
    let nowhere = End {
        addr: IpAddr::from([240, 0, 0, 1]),
        port: 0,
    };
    connection.id.local = subject.local.unwrap_or(nowhere);
    connection.id.remote = subject.remote.unwrap_or(nowhere);
    connection.id.netns = subject.netns;
    connection.owner.processes = vec![Process {
        pid: subject.pid,
        fd: 3,
        comm: subject.comm,
    }];
    connection
}

fn texts(texts: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(texts)
}

fn few<T: core::fmt::Debug>(of: impl Strategy<Value = T>) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(()).prop_map(|()| Vec::new()), 1 => prop::collection::vec(of, 1..3)]
}

fn globs(of: &'static [&'static str]) -> impl Strategy<Value = Vec<Glob>> {
    few(texts(of).prop_map(Glob::new))
}

prop_compose! {
    fn selectors()(
        programs in globs(&["redis-server", "redis*", "*", "r?dis*r", "postgres", ""]),
        pids in few(1_u32..4),
        units in globs(&["redis", "redis.service", "*.scope", "r*", "docker-*"]),
        containers in globs(&["0123456789ab", ID, "deb-12", "web*", "0123*"]),
        cgroups in few(texts(&["/", "/system.slice", "/system.slice/", "/docker", "/system"])),
        locals in few(texts(&[":6379", "10.0.0.0/8", "10.0.0.1:80", "2001:db8::/32", "::/0", "0.0.0.0/0"])),
        remotes in few(texts(&[":80", "10.1.0.0/16", "192.0.2.9", "[2001:db8::1]:80", "::/0", "0.0.0.0/0"])),
        ports in few(prop_oneof![Just(80_u16), Just(6379)]),
        namespaces in few((1_u32..3).prop_map(NetnsId)),
    ) -> Selector {
        let ends = |ends: Vec<&str>| ends.into_iter().map(|end| end.parse().unwrap()).collect();
        Selector {
            programs, pids, units, containers, ports, namespaces,
            cgroups: cgroups.into_iter().map(String::from).collect(),
            locals: ends(locals),
            remotes: ends(remotes),
            ..Selector::default()
        }
    }
}

fn ends() -> impl Strategy<Value = Option<End>> {
    let addrs = texts(&[
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "10.1.2.3",
        "192.0.2.9",
        "2001:db8::1",
        "::1",
        "0.0.0.0",
    ]);
    let port = prop_oneof![Just(80_u16), Just(6379), Just(40_000)];
    prop::option::weighted(
        0.8,
        (addrs, port).prop_map(|(addr, port)| End {
            addr: addr.parse().unwrap(),
            port,
        }),
    )
}

fn cgroups() -> impl Strategy<Value = String> {
    prop_oneof![
        texts(&[
            "",
            "/",
            "/system.slice/redis.service",
            "/system.slice",
            "/systemd",
            "/lxc.payload.web1/init.scope",
            "/machine.slice/machine-deb\\x2d12.scope",
        ])
        .prop_map(String::from),
        Just(format!("/docker/{ID}")),
        Just(format!("/system.slice/docker-{ID}.scope")),
        Just(format!("/docker/{ID}/system.slice/redis.service")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn the_table_names_the_first_rule_whose_selector_matches(
        selectors in prop::collection::vec(selectors(), 0..6),
        comm in texts(&["redis-server", "redis-sentinel", "postgres", "r", ""]),
        pid in 1_u32..4, cgroup in cgroups(), local in ends(), remote in ends(), netns in 1_u32..3,
    ) {
        let rules: Vec<Rule> = selectors.into_iter().map(|selector| rule("r", selector)).collect();
        let table = match Table::compile(&rules) {
            Err(TableError::Full { what: Counted::Clauses, .. }) => return Ok(()),
            table => table.unwrap(),
        };
        let comm = Comm::new(comm.as_bytes());
        let subject = Subject { comm, pid, cgroup: &cgroup, local, remote, netns: NetnsId(netns) };
        // Only `0.0.0.0/0` takes what stands for an end that is not known.
        let everywhere: crate::selector::EndPattern = "0.0.0.0/0".parse().unwrap();
        let unknown = |end: Option<End>, patterns: &[crate::selector::EndPattern]| {
            end.is_none() && patterns.contains(&everywhere)
        };
        prop_assume!(!rules.iter().any(|rule| {
            unknown(local, &rule.selector.locals) || unknown(remote, &rule.selector.remotes)
        }));
        let (seen, place) = (connection(&subject), Place::from_cgroup(&cgroup));
        let first = rules.iter().position(|rule| rule.selector.matches(&seen, &place, None));
        prop_assert_eq!(table.first_match(&subject), first);
        prop_assert_eq!(table.encode().len(), TABLE_BYTES);
    }
}

fn globs_of(names: impl Iterator<Item = usize>) -> Vec<Glob> {
    names.map(|n| Glob::new(&format!("p{n}"))).collect()
}

fn error(rules: &[Rule]) -> String {
    format!("{}", Table::compile(rules).unwrap_err())
}

#[test]
fn limits_are_named_with_the_rule() {
    let many = vec![rule("web", Selector::default()); RULES + 1];
    assert_eq!(
        error(&many),
        "hold 65 rules in the kernel's table: 64 is the most"
    );
    assert!(Table::compile(&many[..RULES]).is_ok());
    let product = Selector {
        programs: globs_of(0..20),
        ports: (1..=20).collect(),
        ..Selector::default()
    };
    assert_eq!(
        error(&[rule("web", product)]),
        "hold rule \"web\" in the kernel's table: with it there are 400 combinations of its \
         selectors' values, and 256 is the most"
    );
    let programs = Selector {
        programs: globs_of(0..65),
        ..Selector::default()
    };
    assert!(error(&[rule("web", programs)]).contains("65 names of programs, and 64"));
    let units = Selector {
        units: globs_of(0..33),
        ..Selector::default()
    };
    assert!(error(&[rule("web", units)]).contains("33 units, containers and cgroups, and 32"));
    let long = Selector {
        programs: vec![Glob::new(&"x".repeat(33))],
        ..Selector::default()
    };
    assert!(error(&[rule("web", long)]).contains("longer than 32 bytes"));
    // Small enough for one rule, and too much for all of them.
    let half = Selector {
        ports: (1..=200).collect(),
        ..Selector::default()
    };
    let both = [rule("a", half.clone()), rule("b", half)];
    assert!(
        error(&both).starts_with("hold rule \"b\" in the kernel's table: with it there are 400")
    );
}

#[test]
fn an_endless_product_is_not_made() {
    let all = Selector {
        programs: globs_of(0..64),
        pids: (0..100_000).collect(),
        ports: (1..=u16::MAX).collect(),
        namespaces: (0..100_000).map(NetnsId).collect(),
        ..Selector::default()
    };
    assert!(error(&[rule("web", all)]).contains("combinations"));
}

#[test]
fn what_says_nothing_about_connections_to_come_is_refused() {
    for (selector, name) in [
        (
            Selector {
                silent_for: Some(core::time::Duration::from_secs(60)),
                ..Selector::default()
            },
            "--silent-for",
        ),
        (
            Selector {
                states: vec![crate::TcpState::Established],
                ..Selector::default()
            },
            "--state",
        ),
        (
            Selector {
                exposures: vec![crate::Exposure::Slow],
                ..Selector::default()
            },
            "--exposure",
        ),
    ] {
        let error = error(&[rule("web", selector)]);
        assert!(error.ends_with(&format!("{name} says nothing about connections to come")));
    }
}

#[test]
fn a_path_beyond_what_is_looked_at_lies_nowhere() {
    let everywhere = Selector {
        cgroups: vec!["/".into()],
        ..Selector::default()
    };
    let table = Table::compile(&[rule("all", everywhere)]).unwrap();
    assert_eq!(table.places_of("/a"), 1);
    assert_eq!(table.places_of(&"/a".repeat(PATH_PARTS)), 1);
    assert_eq!(table.places_of(&"/a".repeat(PATH_PARTS + 1)), 0);
    let longest = format!("/{}", "a".repeat(PATH_BYTES - 1));
    assert_eq!(table.places_of(&longest), 1);
    assert_eq!(table.places_of(&format!("{longest}a")), 0);
}

#[test]
fn what_is_needed_is_told() {
    let needs = |selector| Table::compile(&[rule("r", selector)]).unwrap().needs();
    assert_eq!(needs(Selector::default()), Needs::default());
    let remote = needs(Selector {
        remotes: vec![":80".parse().unwrap()],
        ..Selector::default()
    });
    assert!(remote.remote && !remote.local && !remote.place);
    let port = needs(Selector {
        ports: vec![80],
        ..Selector::default()
    });
    assert!(port.remote && port.local);
    let timeout = Rule {
        asked: Asked {
            user_timeout: Some(UserTimeoutChoice::Auto),
            ..Asked::default()
        },
        ..Rule::default()
    };
    assert!(Table::compile(&[timeout]).unwrap().needs().setsockopt);
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

#[test]
fn bytes_lie_where_the_layout_says() {
    let selector = Selector {
        programs: vec![Glob::new("redis*"), Glob::new("valkey")],
        pids: vec![812],
        units: vec![Glob::new("redis")],
        cgroups: vec!["/system.slice/".into()],
        locals: vec!["10.0.0.0/8:6379".parse().unwrap()],
        remotes: vec!["2001:db8::/32".parse().unwrap()],
        ports: vec![6379],
        namespaces: vec![NetnsId(77)],
        ..Selector::default()
    };
    let second = Rule {
        asked: Asked {
            idle: KeepIdle::new(600).ok(),
            interval: KeepIntvl::new(300).ok(),
            probes: KeepCnt::new(6).ok(),
            user_timeout: UserTimeout::new(90_000).ok().map(UserTimeoutChoice::Fixed),
        },
        mode: Mode::Override,
        include_local: true,
        ..rule("b", selector)
    };
    let table = Table::compile(&[rule("a", Selector::default()), second]).unwrap();
    let bytes = table.encode();
    let counts = [0, 4, 8, 12].map(|at| u32_at(&bytes, at));
    assert_eq!(counts, [2, 3, 2, 2]);
    let entry = &bytes[layout::RULES_AT + layout::RULE..];
    assert_eq!(entry[..4], [3, 15, 1, 2]);
    assert_eq!((u16_at(entry, 4), u16_at(entry, 6)), (600, 300));
    assert_eq!((u32_at(entry, 8), entry[12]), (90_000, 6));
    let program = &bytes[layout::PROGRAMS_AT..];
    assert_eq!((program[0], program[1]), (2, 6));
    assert_eq!(&program[4..10], b"redis*");
    assert_eq!(program[layout::PROGRAM], 1);
    let place = &bytes[layout::PLACES_AT + layout::PLACE..];
    assert_eq!((place[0], u16_at(place, 2)), (3, 13));
    assert_eq!(&place[4..17], b"/system.slice");
    assert_eq!(u16_at(&bytes, layout::CLAUSES_AT), 0, "wants nothing");
    // The last: redis* was taken first.
    let clause = &bytes[layout::CLAUSES_AT + 2 * layout::CLAUSE..];
    assert_eq!(u16_at(clause, 0), 0b1_1111_0111);
    assert_eq!((clause[2], clause[3], u32_at(clause, 4)), (1, 1, 0b11));
    assert_eq!(
        (u32_at(clause, 8), u32_at(clause, 12), u16_at(clause, 16)),
        (812, 77, 6379)
    );
    let local = &clause[layout::CLAUSE_LOCAL_AT..];
    assert_eq!((local[0], u16_at(local, 2)), (4, 6379));
    assert_eq!(
        local[4..20],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 0]
    );
    assert_eq!(
        local[20..36],
        [
            255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0
        ]
    );
    let remote = &clause[layout::CLAUSE_REMOTE_AT..];
    assert_eq!((remote[0], u16_at(remote, 2)), (6, 0));
    assert_eq!(remote[4..8], [0x20, 1, 0xd, 0xb8]);
    assert_eq!(remote[20..25], [255, 255, 255, 255, 0]);
}
