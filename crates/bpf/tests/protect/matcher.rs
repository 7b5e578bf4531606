//! The programs against their twins in core: which rule, and what it sets. Random rules over small
//! alphabets, so that many match and many nearly do.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use sockpulse_bpf::protect::{Answers, Planned};
use sockpulse_core::glob::Glob;
use sockpulse_core::protect::{
    Asked, Jitter, Mode, Rule, Skip, Subject, Table, Terms, Verdict, decide,
};
use sockpulse_core::selector::EndPattern;
use sockpulse_core::{
    Comm, Connection, Cookie, End, Family, KeepCnt, KeepIdle, KeepIntvl, LocalRoutes, Namespace,
    NetnsDefaults, NetnsId, Observed, Owner, Selector, Setting, SocketId, SocketTimers, Source,
    TcpState, Timers, UserTimeout, UserTimeoutChoice,
};

use super::common::{hz, in_world};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const LATER: &str = "ABCDEFabcdef0123456789abcdef0123456789abcdef0123456789abcdef0123";

/// Parts of paths: units, containers, what nearly is one, and other names.
fn part() -> impl Strategy<Value = String> {
    let fixed = vec![
        "system.slice",
        "redis.service",
        "a.service",
        ".service",
        "b.scope",
        ".scope",
        "x.mount",
        "y.swap",
        "z.socket",
        "lxc.payload.",
        "lxc.payload.web1",
        "lxc.payload.a-long-name-of-a-machine",
        "lxc.payload.aaaaaaaaaaaé",
        "lxc.payload.aaaaaaaaaaéa",
        "machine-.scope",
        "machine-deb.scope",
        "machine-a\\x2db\\x2dc.scope",
        "machine-\\x2d\\x2.scope",
        "machine-deb.service",
        "docker-.scope",
        "kubepods.slice",
        "a",
        "ab",
    ];
    prop_oneof![
        8 => select(fixed).prop_map(str::to_owned),
        1 => select(vec![ID, LATER]).prop_map(str::to_owned),
        1 => (select(vec!["docker-", "cri-containerd-", "crio-", "libpod-", "nerdctl-", "no-"]), select(vec![ID, LATER, "12"]))
            .prop_map(|(prefix, id)| format!("{prefix}{id}.scope")),
        1 => "[a-c.]{1,6}",
        1 => (200..255_usize).prop_map(|len| "n".repeat(len)),
        1 => (1..64_usize).prop_map(|len| "0".repeat(len)),
    ]
}

fn path() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => Just(String::new()),
        1 => Just("/".to_owned()),
        20 => prop::collection::vec(part(), 1..6).prop_map(|parts| format!("/{}", parts.join("/"))),
        1 => (1000..1100_usize).prop_map(|len| format!("/{}", "a/".repeat(8) + &"b".repeat(len - 17))),
        1 => (28..36_usize).prop_map(|parts| "/a".repeat(parts)),
    ]
}

/// Patterns that are made from what they are to match.
fn pattern(names: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    (names, 0..6_u8, any::<prop::sample::Index>()).prop_map(|(name, kind, at)| {
        let chars: Vec<char> = name.chars().take(40).collect();
        let at = at.index(chars.len() + 1);
        let (head, tail) = chars.split_at(at);
        let (head, tail) = (
            head.iter().collect::<String>(),
            tail.iter().collect::<String>(),
        );
        match kind {
            0 | 1 => name,
            2 => format!("{head}*"),
            3 => format!("*{tail}"),
            4 => format!("{head}*{}", tail.chars().skip(2).collect::<String>()),
            _ => format!("{head}?{}*", tail.chars().skip(1).collect::<String>()),
        }
    })
}

fn unit_pattern() -> impl Strategy<Value = Glob> {
    let short = part().prop_map(|part| part.trim_end_matches(".service").to_owned());
    pattern(prop_oneof![part(), short]).prop_map(|text| Glob::new(&text))
}

fn container_pattern() -> impl Strategy<Value = Glob> {
    let names = select(vec![
        ID.to_owned(),
        LATER.to_owned(),
        ID[..12].to_owned(),
        "web1".to_owned(),
        "deb".to_owned(),
        "a-b-c".to_owned(),
        "-\\x2".to_owned(),
        "a-long-name-".to_owned(),
        "aaaaaaaaaaaé".to_owned(),
        "aaaaaaaaaa".to_owned(),
        String::new(),
    ]);
    pattern(names).prop_map(|text| Glob::new(&text))
}

fn comm() -> impl Strategy<Value = String> {
    "[ab-]{0,3}|redis-server|a-name-of-15-by"
}

fn address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u8>().prop_map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last & 3))),
        any::<u8>()
            .prop_map(|last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last & 3).to_ipv6_mapped())),
        any::<u8>().prop_map(|last| {
            IpAddr::from(Ipv6Addr::new(
                0x2001,
                0xdb8,
                0,
                0,
                0,
                0,
                0,
                u16::from(last & 3),
            ))
        }),
        select(vec![
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ]),
    ]
}

fn end() -> impl Strategy<Value = End> {
    (address(), 0..4_u16).prop_map(|(addr, port)| End { addr, port })
}

fn end_pattern() -> impl Strategy<Value = EndPattern> {
    let net = (address(), 0..=128_u8).prop_map(|(addr, prefix)| {
        let addr = addr.to_canonical();
        let most = if addr.is_ipv4() { 32 } else { 128 };
        ipnet::IpNet::new(addr, prefix.min(most)).unwrap().trunc()
    });
    let net = prop::option::of(net);
    (net, prop::option::of(1..4_u16)).prop_map(|(net, port)| EndPattern { net, port })
}

fn few<T: std::fmt::Debug>(
    value: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![
        3 => Just(0..1_usize),
        1 => Just(1..3_usize),
    ]
    .prop_flat_map({
        let value = value.boxed();
        move |size| prop::collection::vec(value.clone(), size)
    })
}

fn selector() -> impl Strategy<Value = Selector> {
    let program = pattern(comm()).prop_map(|text| {
        let short: String = text.chars().take(20).collect();
        Glob::new(&short)
    });
    let cgroup = path().prop_map(|path| path.chars().take(256).collect::<String>());
    let names = (
        few(program),
        few(1..4_u32),
        few(unit_pattern()),
        few(container_pattern()),
        few(cgroup),
    );
    let ends = (
        few(end_pattern()),
        few(end_pattern()),
        few(1..4_u16),
        few((1..3_u32).prop_map(NetnsId)),
    );
    (names, ends).prop_map(
        |((programs, pids, units, containers, cgroups), (locals, remotes, ports, namespaces))| {
            Selector {
                programs,
                pids,
                units,
                containers,
                cgroups,
                locals,
                remotes,
                ports,
                namespaces,
                ..Selector::default()
            }
        },
    )
}

type Subjects = Vec<(String, u32, String, Option<End>, Option<End>, u32)>;

fn subjects() -> impl Strategy<Value = Subjects> {
    let one = (
        comm(),
        0..4_u32,
        path(),
        prop::option::of(end()),
        prop::option::of(end()),
        0..3_u32,
    );
    prop::collection::vec(one, 40)
}

type Sockets = Vec<(bool, [Option<u64>; 3], u64)>;

/// Keepalive, idle, interval, probes, user timeout.
fn sockets() -> impl Strategy<Value = Sockets> {
    let own = |most| prop::option::of(prop_oneof![1..6_u64, Just(most)]);
    let timeout = prop_oneof![Just(0), 1..40_000_u64];
    let one = (any::<bool>(), [own(32767), own(32767), own(127)], timeout);
    prop::collection::vec(one, 40)
}

fn asked() -> impl Strategy<Value = (Mode, Asked)> {
    let value = |most| prop::option::of(prop_oneof![1..6_u64, Just(most)]);
    let timeout = prop_oneof![
        Just(None),
        Just(Some(UserTimeoutChoice::Auto)),
        Just(Some(UserTimeoutChoice::Off)),
        (1..40_000_u64)
            .prop_map(|ms| Some(UserTimeoutChoice::Fixed(UserTimeout::new(ms).unwrap()))),
    ];
    let asked = (value(32767), value(32767), value(127), timeout);
    (select(Mode::ALL.to_vec()), asked).prop_map(|(mode, (idle, interval, probes, timeout))| {
        let asked = Asked {
            idle: idle.map(|value| KeepIdle::new(value).unwrap()),
            interval: interval.map(|value| KeepIntvl::new(value).unwrap()),
            probes: probes.map(|value| KeepCnt::new(value).unwrap()),
            user_timeout: timeout,
        };
        (mode, asked)
    })
}

/// A listener: it has no past, as a connection to come has none.
fn listener(timers: SocketTimers) -> Connection {
    let end = End {
        addr: IpAddr::from(Ipv4Addr::UNSPECIFIED),
        port: 1,
    };
    Connection {
        id: SocketId {
            cookie: Cookie(1),
            netns: NetnsId(1),
            local: end,
            remote: end,
        },
        family: Family::Ipv4,
        state: TcpState::Listen,
        ifindex: 0,
        mptcp: false,
        orphan: Observed::Known(false),
        inode: 1,
        settings: Observed::Known(timers),
        timers: Timers {
            keepalive: Observed::Known(None),
            retransmission: Observed::Known(None),
        },
        unanswered_probes: Some(0),
        silence_ms: None,
        sent_ms: None,
        unread_bytes: Some(0),
        unacked_bytes: Some(0),
        in_flight: Some(false),
        snd_una: None,
        rcv_nxt: None,
        rto_ms: None,
        retransmits: Some(0),
        backoff: Some(0),
        owner: Owner::default(),
        source: Source::TaskFile,
    }
}

/// Tables are loaded one by one, each for many questions. The seed is fixed: what fails, fails again.
fn runner() -> TestRunner {
    TestRunner::new_with_rng(
        Config::default(),
        TestRng::deterministic_rng(RngAlgorithm::ChaCha),
    )
}

#[test]
fn root_the_matcher_is_cores() {
    in_world(|_| {
        let mut runner = runner();
        let (mut matched, mut asked, mut later, mut tables) = (0, 0, 0, 0);
        while tables < 30 {
            let count = if tables % 5 == 4 { 30..60 } else { 1..12 };
            let rules = prop::collection::vec(selector(), count);
            let rules = rules.new_tree(&mut runner).unwrap().current();
            let rules: Vec<Rule> = rules
                .into_iter()
                .map(|selector| Rule {
                    selector,
                    ..Rule::default()
                })
                .collect();
            // Too many clauses, names or places are core's own tests' matter.
            let Ok(table) = Table::compile(&rules) else {
                continue;
            };
            tables += 1;
            let answers = Answers::load(&table, hz()).unwrap();
            for (comm, pid, cgroup, local, remote, netns) in
                subjects().new_tree(&mut runner).unwrap().current()
            {
                let subject = Subject {
                    comm: Comm::new(comm.as_bytes()),
                    pid,
                    cgroup: &cgroup,
                    local,
                    remote,
                    netns: NetnsId(netns),
                };
                let twin = table.first_match(&subject);
                let kernel = answers.first_match(&subject).unwrap();
                assert_eq!(kernel, twin, "{subject:?} {rules:#?}");
                asked += 1;
                matched += u32::from(twin.is_some());
                later += u32::from(twin > Some(0));
            }
        }
        assert!(
            matched * 5 > asked,
            "{matched} of {asked} match: too few to mean anything"
        );
        assert!(later * 20 > asked, "{later} of {asked} match a later rule");
    });
}

#[test]
fn root_what_is_set_is_what_core_decides() {
    in_world(|_| {
        let mut runner = runner();
        let rules = prop::collection::vec(asked(), 64);
        let rules = rules.new_tree(&mut runner).unwrap().current();
        let rules: Vec<Rule> = rules
            .into_iter()
            .map(|(mode, asked)| Rule {
                mode,
                asked,
                include_local: true,
                ..Rule::default()
            })
            .collect();
        let table = Table::compile(&rules).unwrap();
        let answers = Answers::load(&table, hz()).unwrap();
        let values = [-1, 0, 3, 7200];
        let mut steps = 0;
        for (number, rule) in rules.iter().enumerate() {
            for (on, [idle, interval, probes], timeout) in
                sockets().new_tree(&mut runner).unwrap().current()
            {
                // `fill` on a socket that has keepalive looks at what an earlier run withheld, which
                // no new connection has.
                if on && rule.mode == Mode::Fill {
                    continue;
                }
                let own = |value: Option<u64>| match value {
                    Some(value) => Setting::Socket(u32::try_from(value).unwrap()),
                    None => Setting::Namespace,
                };
                let timers = SocketTimers {
                    keepalive: on,
                    idle: own(idle),
                    interval: own(interval),
                    probes: own(probes),
                    user_timeout: UserTimeout::new(timeout).unwrap(),
                };
                let pick = |n: usize| values[(steps + n) % values.len()];
                let defaults = NetnsDefaults {
                    idle_s: pick(number),
                    interval_s: pick(number / 4).max(0),
                    probes: pick(number / 16).clamp(0, 255),
                    ..NetnsDefaults::KERNEL
                };
                let namespace = Namespace {
                    id: NetnsId(1),
                    name: String::new(),
                    own: true,
                    pid: None,
                    defaults: Some(defaults.clone()),
                    local: LocalRoutes::default(),
                };
                let terms = Terms {
                    jitter: Jitter::None,
                    ..Terms::default()
                };
                let verdict = decide(rule, &listener(timers), Some(&namespace), &terms);
                let twin = match verdict {
                    Verdict::Change { step, .. } => Planned::Step(step),
                    Verdict::Skip(Skip::Defaults) => Planned::Refused,
                    Verdict::Right(_) | Verdict::Wait(_) => Planned::Right,
                    Verdict::Skip(skip) => panic!("{skip:?}"),
                };
                let kernel = answers.step(number, &timers, &defaults).unwrap();
                assert_eq!(kernel, twin, "{rule:?} {timers:?} {defaults:?}");
                steps += usize::from(matches!(twin, Planned::Step(_)));
            }
        }
        assert!(steps > 500, "{steps} steps are too few to mean anything");
    });
}
