//! The rules as tables.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;

/// A tree of files, each `folder/name` with its text; `sysctl.conf` is the one in `/etc`.
fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, text) in files {
        let content = Content::Text(text.as_bytes().to_vec());
        if *path == SYSCTL_CONF {
            tree.sysctl_conf = Some(content);
            continue;
        }
        let (folder, name) = path.rsplit_once('/').unwrap();
        let folder = Folder::ALL.into_iter().find(|of| of.path() == folder);
        tree.files.push(File {
            folder: folder.unwrap(),
            name: name.as_bytes().to_vec(),
            link: None,
            content,
        });
    }
    tree
}

fn idle(tree: &Tree) -> (Option<i64>, Option<i64>) {
    let persisted = Persisted::of(tree, Hz::new(250));
    let value = |program| persisted.by(program).value(Sysctl::Idle);
    (value(Program::SystemdSysctl), value(Program::Procps))
}

#[test]
fn which_line_wins() {
    const KEY: &str = "net.ipv4.tcp_keepalive_time";
    let line = |value: &str| alloc::format!("{KEY} = {value}\n");
    let one = line("1001");
    let two = line("1002");
    for (what, files, systemd, procps) in [
        ("nothing", vec![], None, None),
        (
            "only sysctl.conf",
            vec![(SYSCTL_CONF, &*one)],
            None,
            Some(1001),
        ),
        (
            "the name decides, not the folder",
            vec![
                ("/usr/lib/sysctl.d/90-a.conf", &*one),
                ("/etc/sysctl.d/10-b.conf", &*two),
            ],
            Some(1001),
            Some(1001),
        ),
        (
            "the folder decides among equal names",
            vec![
                ("/usr/lib/sysctl.d/10-a.conf", &*one),
                ("/run/sysctl.d/10-a.conf", &*two),
            ],
            Some(1002),
            Some(1002),
        ),
        (
            "sysctl.conf is the last for procps",
            vec![
                (SYSCTL_CONF, &*one),
                ("/etc/sysctl.d/99-sysctl.conf", &*one),
                ("/etc/sysctl.d/99-zz.conf", &*two),
            ],
            Some(1002),
            Some(1001),
        ),
        (
            "hidden",
            vec![("/etc/sysctl.d/.b.conf", &*one)],
            None,
            Some(1001),
        ),
    ] {
        assert_eq!(idle(&tree(&files)), (systemd, procps), "{what}");
    }
}

#[test]
fn our_file_gets_a_name_under_which_it_wins() {
    let values = [(Sysctl::Idle, 60)];
    let other = "net.ipv4.tcp_keepalive_time = 7\n";
    for (files, name, obstacles) in [
        (vec![], "zz-sockpulse.conf", 0),
        (
            vec![("/etc/sysctl.d/zz-top.conf", other)],
            "zzz-sockpulse.conf",
            0,
        ),
        (vec![(SYSCTL_CONF, other)], "zz-sockpulse.conf", 1),
        (
            vec![("/etc/sysctl.d/~.conf", other)],
            "zz-sockpulse.conf",
            2,
        ),
    ] {
        let placed = placement(&tree(&files), &values, None);
        let found: Vec<String> = placed
            .obstacles
            .iter()
            .map(|of| of.line.position.to_string())
            .collect();
        assert_eq!(placed.name, name, "{found:?}");
        assert_eq!(found.len(), obstacles, "{found:?}");
    }
}

/// The same lines go through the real programs in the tests of `sockpulse-linux`.
#[test]
fn lines_end_as_in_the_real_programs() {
    let table = include_str!("lines.txt").lines();
    for line in table.filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.splitn(4, '|').collect();
        let text = unescaped(&fields[3].replace("KEY", Sysctl::Idle.key()));
        let mut tree = tree(&[("/etc/sysctl.d/a.conf", "")]);
        tree.files[0].content = Content::Text(text);
        let value = |field: &str| field.trim().parse::<i64>().ok();
        assert_eq!(idle(&tree), (value(fields[0]), value(fields[1])), "{line}");
    }
}

/// Backslashes stand before `n`, `r`, `t`, `0`, `xNN` and themselves.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escaped = if byte == b'\\' { rest.next() } else { None };
        bytes.push(match escaped {
            None => byte,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'0') => 0,
            Some(b'x') => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(core::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            Some(other) => other,
        });
    }
    bytes
}

#[test]
fn what_became_of_each_line_is_told() {
    let mut tree = tree(&[
        (
            "/usr/lib/sysctl.d/50-a.conf",
            "net.ipv4.tcp_keepalive_time = 1\n",
        ),
        (
            "/etc/sysctl.d/50-a.conf",
            "# ours\nnet.ipv4.tcp_keepalive_* = 2\nnet.ipv4.tcp_keepalive_time = 3\nbroken\n",
        ),
        (
            "/etc/sysctl.d/60-b.conf",
            "net.ipv4.tcp_keepalive_time = 4\n-net.ipv4.tcp_keepalive_time = 5s\n",
        ),
        (SYSCTL_CONF, "net.ipv4.tcp_keepalive_time = 6\n"),
    ]);
    tree.unreadable
        .push((Folder::Run, "permission denied".to_string()));
    let persisted = Persisted::of(&tree, None);
    let told = |program| {
        let resolved = persisted.by(program).of_sysctl(Sysctl::Idle);
        let passed = resolved.passed.iter();
        let passed = passed.map(|of| (of.assignment.position.to_string(), of.why.clone()));
        let winner = resolved.winner.as_ref();
        let winner = winner.map(|of| of.position.to_string());
        (winner, passed.collect::<Vec<_>>())
    };
    let at = |position: &str| position.to_string();
    let masked = Why::Masked {
        by: "/etc/sysctl.d/50-a.conf".to_string(),
    };
    assert_eq!(
        told(Program::SystemdSysctl),
        (
            None,
            vec![
                (at("/etc/sysctl.d/50-a.conf:2"), Why::Named),
                (at("/etc/sysctl.d/50-a.conf:3"), Why::Overridden),
                (at("/etc/sysctl.d/60-b.conf:1"), Why::Overridden),
                (
                    at("/etc/sysctl.d/60-b.conf:2"),
                    Why::Refused(Refused::Trailing)
                ),
                (at("/usr/lib/sysctl.d/50-a.conf:1"), masked.clone()),
                (at("/etc/sysctl.conf:1"), Why::NotRead),
            ]
        )
    );
    let (winner, passed) = told(Program::Procps);
    assert_eq!(winner, Some(at("/etc/sysctl.conf:1")));
    assert_eq!(
        passed[2],
        (at("/etc/sysctl.d/60-b.conf:1"), Why::Overridden)
    );
    assert!(!persisted.procps.is_complete(), "a folder was not read");
    assert!(!persisted.agree(Sysctl::Idle));
    assert!(persisted.agree(Sysctl::Probes));
    let problems: Vec<String> = persisted
        .procps
        .problems
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        problems,
        [
            "/run/sysctl.d: permission denied",
            "/etc/sysctl.d/50-a.conf:4: the line is no assignment",
            "/etc/sysctl.d/60-b.conf:2: the number is followed by other characters",
        ]
    );
}

#[test]
fn a_line_that_takes_ours_back_stands_in_the_way() {
    let tree = tree(&[(
        "/run/sysctl.d/~.conf",
        "net.ipv4.tcp_keepalive_intvl = 1\n-net.ipv4.tcp_keepalive_intvl\n",
    )]);
    let placed = placement(&tree, &[(Sysctl::Interval, 10)], None);
    let found: Vec<(Program, String)> = placed
        .obstacles
        .iter()
        .map(|of| (of.program, of.line.position.to_string()))
        .collect();
    let position = "/run/sysctl.d/~.conf";
    assert_eq!(
        found,
        [
            (Program::SystemdSysctl, alloc::format!("{position}:2")),
            (Program::Procps, alloc::format!("{position}:1")),
        ]
    );
    assert!(!placed.obstacles[0].is_sysctl_conf());
}

#[test]
fn our_own_older_file_is_not_in_the_way_of_itself() {
    let own = print(&[(Sysctl::Idle, 1)], &["one", ""]);
    assert_eq!(own, "# one\nnet.ipv4.tcp_keepalive_time = 1\n");
    let tree = tree(&[
        ("/etc/sysctl.d/zz-sockpulse.conf", &own),
        ("/etc/sysctl.d/zzzz-sockpulse.conf", &own),
        ("/usr/lib/sysctl.d/zz-top.conf", &own),
    ]);
    let placed = placement(&tree, &[(Sysctl::Idle, 60)], None);
    assert_eq!(placed.path(), "/etc/sysctl.d/zzz-sockpulse.conf");
    assert_eq!(
        placed.superseded,
        ["zz-sockpulse.conf", "zzzz-sockpulse.conf"]
    );
    assert!(placed.obstacles.is_empty());
    for (name, own) in [
        ("zz-sockpulse.conf", true),
        ("z-sockpulse.conf", false),
        ("zzy-sockpulse.conf", false),
        ("zz-sockpulse.conf.bak", false),
        ("zzzzzzzzzzzzzzzzz-sockpulse.conf", false),
    ] {
        assert_eq!(is_own(name.as_bytes()), own, "{name}");
    }
}

#[test]
fn values_are_the_kernels() {
    let hz = Hz::new(1000);
    for (sysctl, text, value) in [
        (Sysctl::Idle, "  60 # a minute", Ok(60)),
        (Sysctl::Idle, "0x3c", Ok(60)),
        (Sysctl::Idle, "074", Ok(60)),
        (Sysctl::Idle, "-1", Ok(-1)),
        (Sysctl::Idle, "2147483", Ok(2_147_483)),
        (
            Sysctl::Idle,
            "2147484",
            Err(Refused::OutOfRange {
                value: 2_147_484,
                min: -2_147_483,
                max: 2_147_483,
            }),
        ),
        (
            Sysctl::Probes,
            "-1",
            Err(Refused::OutOfRange {
                value: -1,
                min: 0,
                max: 255,
            }),
        ),
        (Sysctl::Probes, "255", Ok(255)),
        (Sysctl::Probes, "60s", Err(Refused::Trailing)),
        (Sysctl::Probes, "sixty", Err(Refused::NotANumber)),
        (Sysctl::Probes, "", Err(Refused::Empty)),
        (
            Sysctl::Probes,
            "000000000000000000001",
            Err(Refused::TooLong),
        ),
    ] {
        assert_eq!(read_as_kernel(sysctl, text.as_bytes(), hz), value, "{text}");
    }
}

#[test]
fn patterns_are_those_of_glob() {
    for (pattern, text, finds, covers) in [
        ("a/*", "a/b", true, true),
        ("a/*", "a/b/c", false, true),
        ("*", "a/b", false, true),
        ("a/[b-d]x", "a/cx", true, true),
        ("a/[!b-d]x", "a/cx", false, false),
        ("a/[]x]", "a/]", true, true),
        ("a/[x", "a/[x", true, true),
        ("a/[[:digit:]]", "a/7", true, true),
        ("a/\\*", "a/*", true, true),
        ("a/\\*", "a/b", false, false),
        ("a*b*c", "aXbXbXc", true, true),
        ("?", "", false, false),
    ] {
        let pattern = Pattern::new(pattern.as_bytes());
        assert_eq!(pattern.finds(text.as_bytes()), finds, "{pattern:?} {text}");
        assert_eq!(
            pattern.covers(text.as_bytes()),
            covers,
            "{pattern:?} {text}"
        );
    }
}

proptest::proptest! {
    #[test]
    fn what_is_printed_is_what_is_read(idle in -99_999_i64..99_999, probes in 0..=255_i64) {
        let values = [(Sysctl::Idle, idle), (Sysctl::Probes, probes)];
        let text = print(&values, &["a comment", "of two\nlines"]);
        for program in Program::ALL {
            let parsed = parse(text.as_bytes(), program);
            assert!(parsed.flaws.is_empty());
            assert_eq!(parsed.lines.len(), values.len());
            for (line, (sysctl, value)) in parsed.lines.iter().zip(values) {
                assert!(line.concerns(sysctl, program));
                let Directive::Set(text) = &line.directive else { panic!("{line:?}") };
                assert_eq!(read_as_kernel(sysctl, text, None), Ok(value));
            }
        }
    }

    #[test]
    fn any_bytes_are_read_by_both(
        text in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
        some in "[-#; .=/*?\\[\\]a-z0-9\r\n\\\\]{0,200}",
    ) {
        for text in [&text[..], some.as_bytes()] {
            let mut tree = tree(&[("/etc/sysctl.d/a.conf", "")]);
            tree.files[0].content = Content::Text(text.to_vec());
            let persisted = Persisted::of(&tree, None);
            for program in Program::ALL {
                for line in parse(text, program).lines {
                    assert!(line.number <= 1 + text.iter().filter(|byte| **byte == b'\n').count());
                }
                assert_eq!(persisted.by(program).files.len(), 1);
            }
        }
    }

    #[test]
    fn a_value_is_never_misread(text in "[ \t]{0,2}-?(0x)?[0-9a-f]{1,22}[ s#]{0,2}") {
        for sysctl in Sysctl::ALL {
            if let Ok(value) = read_as_kernel(sysctl, text.as_bytes(), None) {
                let (min, max) = sysctl.range(None);
                assert!((min..=max).contains(&value));
            }
        }
    }
}
