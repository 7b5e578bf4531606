//! Owners of sockets: in a recorded tree of /proc, and on this machine.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use sockpulse_core::{Comm, NetnsDefaults};
use sockpulse_linux::procfs::Wanted;
use sockpulse_linux::{Proc, sysctl};

use crate::common::{as_nobody, isolated, needs_root, sh};

/// A tree like /proc, removed at the end.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sockpulse-{name}-{}", std::process::id()));
        std::fs::create_dir_all(path.join("1/fd")).unwrap();
        Self(path)
    }

    fn process(&self, pid: u32, comm: &[u8], links: &[(u32, &str)]) -> &Self {
        let dir = self.0.join(pid.to_string());
        std::fs::create_dir_all(dir.join("fd")).unwrap();
        std::fs::write(dir.join("comm"), comm).unwrap();
        for (fd, target) in links {
            symlink(target, dir.join("fd").join(fd.to_string())).unwrap();
        }
        self
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.0.join(name), text).unwrap();
        self
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn owners_in_a_recorded_tree() {
    let tree = Tree::new("owners");
    tree.process(300, b"worker\n", &[(9, "socket:[71]"), (3, "socket:[71]")])
        .process(
            20,
            b"ma\x1bster\xff\n",
            &[(5, "socket:[71]"), (6, "pipe:[72]")],
        )
        .process(7, b"alone\n", &[(4, "socket:[73]"), (0, "/dev/null")]);
    std::fs::create_dir(tree.0.join("net")).unwrap();
    let proc = Proc::new(&tree.0);
    assert_eq!(proc.pids(), Ok(vec![1, 7, 20, 300]));

    let index = proc.sockets(Wanted::All).unwrap();
    assert_eq!(index.len(), 3);
    assert_eq!(index.gaps(), []);
    let found: Vec<_> = index
        .processes(71)
        .map(|process| (process.pid, process.fd, process.comm))
        .collect();
    assert_eq!(
        found,
        [
            (20, 5, Comm::new(b"ma\x1bster\xff")),
            (300, 3, Comm::new(b"worker")),
        ]
    );
    assert_eq!(index.processes(72).count(), 0);
    assert_eq!(index.processes(73).count(), 1);

    let some = proc.sockets(Wanted::Processes(&[7, 999])).unwrap();
    assert_eq!(some.len(), 1);
    assert_eq!(some.unreadable(), 0);
}

#[test]
fn cgroups_in_a_recorded_tree() {
    let tree = Tree::new("cgroups");
    tree.file("1/cgroup", "0::/init.scope\n");
    tree.process(2, b"hybrid\n", &[]).file(
        "2/cgroup",
        "5:memory:/a/longer/path/than/others\n1:name=systemd:/system.slice/redis.service\n0::/\n",
    );
    tree.process(3, b"v1\n", &[]).file(
        "3/cgroup",
        "4:cpu,cpuacct:/docker/abc\n3:devices:/docker/abc:odd\n1:name=systemd:/\n",
    );
    let proc = Proc::new(&tree.0);
    let some = |path: &str| Ok(Some(path.to_owned()));
    assert_eq!(proc.cgroup(1), some("/init.scope"));
    assert_eq!(proc.cgroup_v2(1), some("/init.scope"));
    assert_eq!(proc.cgroup(2), some("/system.slice/redis.service"));
    assert_eq!(proc.cgroup_v2(2), some("/"));
    assert_eq!(proc.cgroup(3), some("/docker/abc:odd"));
    assert_eq!(proc.cgroup_v2(3), Ok(None));
    assert!(proc.cgroup(4).unwrap_err().is_gone());
}

#[test]
fn sysctls_in_a_recorded_tree() {
    let tree = Tree::new("sysctls");
    let proc = Proc::new(&tree.0);
    assert!(sysctl::defaults(&proc).unwrap_err().is_gone());
    std::fs::create_dir_all(tree.0.join("sys/net/ipv4")).unwrap();
    let set = |name: &str, text: &str| {
        tree.file(&format!("sys/net/ipv4/{name}"), text);
    };
    // The kernel accepts more here than socket options do.
    set("tcp_keepalive_time", "-1\n");
    set("tcp_keepalive_intvl", "8589934\n");
    set("tcp_keepalive_probes", "0\n");
    set("tcp_retries2", "8\n");
    let old = sysctl::defaults(&proc).unwrap();
    assert_eq!((old.idle_s, old.interval_s, old.probes), (-1, 8_589_934, 0));
    assert_eq!(old.retries2, 8);
    assert_eq!(old.rto_min, NetnsDefaults::KERNEL.rto_min);
    assert_eq!(old.rto_max, NetnsDefaults::KERNEL.rto_max);

    set("tcp_rto_min_us", "5000\n");
    set("tcp_rto_max_ms", "10000\n");
    let new = sysctl::defaults(&proc).unwrap();
    assert_eq!(new.rto_min, Duration::from_millis(5));
    assert_eq!(new.rto_max, Duration::from_secs(10));

    set("tcp_keepalive_probes", "many\n");
    let error = sysctl::defaults(&proc).unwrap_err();
    assert!(
        error.to_string().ends_with("tcp_keepalive_probes"),
        "{error}"
    );
}

/// What a user sees of a machine whose /proc hides the processes of others.
#[test]
fn root_hidden_processes_are_a_gap() {
    let test = "processes::root_hidden_processes_are_a_gap";
    if let Some(root) = std::env::var_os("SOCKPULSE_TEST_HIDEPID") {
        let proc = Proc::new(root);
        assert!(proc.hides_processes());
        let index = proc.sockets(Wanted::All).unwrap();
        assert!(index.gaps().iter().any(|gap| gap.why.contains("hidepid")));
        let found = sockpulse_linux::netns::enumerate(&proc).unwrap();
        assert!(found.gaps.iter().any(|gap| gap.why.contains("hidepid")));
        return;
    }
    if !needs_root(test) {
        return;
    }
    isolated(test, || {
        sh("mkdir /run/proc && mount -t proc -o hidepid=invisible proc /run/proc");
        assert!(!Proc::new("/run/proc").hides_processes());
        as_nobody(test, "SOCKPULSE_TEST_HIDEPID", "/run/proc");
    });
}
