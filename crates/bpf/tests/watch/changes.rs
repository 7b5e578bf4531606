//! Who sets options.

use std::path::PathBuf;
use std::time::Duration;

use sockpulse_bpf::watch::{Change, Kinds, Known, Wanted, What};
use sockpulse_core::machine::SocketOption;
use sockpulse_core::{KeepIdle, UserTimeout};

use crate::common::{Watch, hz, in_namespace, keepalive, pair, set, try_set};

fn load() -> Option<Watch> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let cgroup = line
        .and_then(|line| line.split(' ').nth(4))
        .map(PathBuf::from);
    let Some(cgroup) = cgroup else {
        eprintln!("SKIPPED: needs a cgroup v2 hierarchy");
        return None;
    };
    Some(Watch::with(&Wanted {
        kinds: Kinds::CHANGED,
        among: None,
        cgroup: Some(&cgroup),
        hz: hz(),
    }))
}

fn change(what: &What) -> Change {
    match what {
        What::Changed(change) => *change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn root_options_are_told_with_who_set_them() {
    in_namespace(|| {
        let Some(mut watch) = load() else { return };
        let pair = pair();
        keepalive(&pair.client, 60, 10, 6);
        let options: Vec<_> = (0..4)
            .map(|_| watch.next_of(&pair.client))
            .map(|told| {
                assert!(!told.effective.keepalive, "it is told before it is done");
                let change = change(&told.what);
                assert_eq!(change.by.known, Known::Called);
                assert_eq!(change.by.pid, std::process::id());
                change.option
            })
            .collect();
        let idle = KeepIdle::new(60).unwrap();
        assert_eq!(options[0], SocketOption::Idle(idle));
        assert_eq!(options[3], SocketOption::KeepaliveOn);

        // Nothing new, nothing valid, nothing of keepalive; then something.
        set(&pair.client, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 60);
        set(&pair.client, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 5);
        let zero = 0_i32.to_ne_bytes();
        try_set(&pair.client, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, &zero).unwrap_err();
        set(&pair.client, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
        set(
            &pair.client,
            libc::IPPROTO_TCP,
            libc::TCP_USER_TIMEOUT,
            90_000,
        );
        let told = watch.next_of(&pair.client);
        let timeout = UserTimeout::new(90_000).unwrap();
        assert_eq!(
            change(&told.what).option,
            SocketOption::UserTimeout(timeout)
        );
        assert_eq!(told.effective.idle.value, 60);
        assert_eq!(told.effective.user_timeout, UserTimeout::OFF);
    });
}

#[test]
fn root_long_values_pass_as_they_are() {
    in_namespace(|| {
        let Some(mut watch) = load() else { return };
        let pair = pair();
        let mut long = vec![0; 8192];
        long[0] = 1;
        try_set(&pair.client, libc::SOL_SOCKET, libc::SO_KEEPALIVE, &long).unwrap();
        let told = watch.next_of(&pair.client);
        assert_eq!(change(&told.what).option, SocketOption::KeepaliveOn);
    });
}

#[test]
fn root_sockets_without_a_connection_are_not_told() {
    in_namespace(|| {
        let Some(mut watch) = load() else { return };
        let pair = pair();
        keepalive(&pair.listener, 60, 10, 6);
        set(&pair.server, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
        let told = watch.until(|_| true);
        assert_eq!(told.len(), 1);
        let id = &told[0].connection.id;
        assert_eq!(id.remote.port, pair.client.local_addr().unwrap().port());
        let mut more = Vec::new();
        watch.watcher().next(Duration::ZERO, &mut more).unwrap();
        let netns = id.netns;
        more.retain(|told| told.connection.id.netns == netns);
        assert!(more.is_empty(), "{more:?}");
    });
}
