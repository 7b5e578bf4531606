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
