//! Finding, entering and reading network namespaces.

use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sockpulse_core::NetnsDefaults;
use sockpulse_linux::netns::{Netns, enumerate, own, resolve};
use sockpulse_linux::{Error, Proc};

use crate::common::{as_nobody, isolated, needs_root, sh, wait_for};

/// A process in a network namespace of its own, as a container is: without any name.
struct Container {
    process: Child,
}

impl Container {
    /// Starts one whose `tcp_keepalive_time` is `idle_s`.
    fn start(idle_s: u32) -> Self {
        let script = format!("sysctl -qw net.ipv4.tcp_keepalive_time={idle_s}; exec sleep 60");
        let process = Command::new("unshare")
            .args(["-n", "sh", "-c", &script])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let container = Self { process };
        wait_for("the process to settle", || {
            let comm = Proc::default().comm(container.pid()).ok()?;
            (comm.bytes() == b"sleep").then_some(())
        });
        container
    }

    fn pid(&self) -> u32 {
        self.process.id()
    }

    fn stop(&mut self) {
        let _already_dead = self.process.kill();
        let _reaped = self.process.wait();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop();
    }
}

fn idle(netns: &Netns) -> i64 {
    let reading = netns.read(&Proc::default()).unwrap();
    assert_eq!(reading.gaps, []);
    reading.namespace.defaults.unwrap().idle_s
}

fn find(pid: u32) -> Netns {
    let found = enumerate(&Proc::default()).unwrap().namespaces;
    let mut found = found.into_iter().filter(|netns| netns.pid == Some(pid));
    found.next().unwrap()
}

#[test]
fn root_named_and_unnamed_namespaces_are_found_once() {
    isolated(
        "netns::root_named_and_unnamed_namespaces_are_found_once",
        || {
            sh("ip netns add blue");
            sh("ip netns exec blue sysctl -qw net.ipv4.tcp_keepalive_time=1001");
            sh("sysctl -qw net.ipv4.tcp_keepalive_time=1000");
            let first = Container::start(1002);
            let second = Container::start(1003);
            let found = enumerate(&Proc::default()).unwrap();
            assert!(found.namespaces[0].own);
            assert_eq!(idle(&found.namespaces[0]), 1000);
            let mut idles = Vec::new();
            for netns in &found.namespaces[1..] {
                assert!(!netns.own);
                if netns.name == "blue" {
                    assert_eq!(netns.pid, None);
                    idles.push(idle(netns));
                } else if [Some(first.pid()), Some(second.pid())].contains(&netns.pid) {
                    idles.push(idle(netns));
                }
            }
            idles.sort_unstable();
            assert_eq!(idles, [1001, 1002, 1003]);
            assert_eq!(idle(&find(first.pid())), 1002);
        },
    );
}

#[test]
fn root_the_caller_stays_where_it_is() {
    isolated("netns::root_the_caller_stays_where_it_is", || {
        sh("ip netns add blue");
        let here = || std::fs::read_link("/proc/thread-self/ns/net").unwrap();
        let before = here();
        let blue = resolve(&Proc::default(), "blue").unwrap();
        let inside = blue.enter_and(here).unwrap();
        assert_ne!(inside, before);
        assert_eq!(here(), before);
        assert_eq!(inside.to_str().unwrap(), format!("net:[{}]", blue.id.0));
        // In one's own namespace nothing need be entered: it works without any right.
        let own = own(&Proc::default()).unwrap();
        let caller = std::thread::current().id();
        let runner = own.enter_and(|| std::thread::current().id()).unwrap();
        assert_eq!(runner, caller);
    });
}

#[test]
fn root_a_namespace_held_open_outlives_its_process() {
    isolated(
        "netns::root_a_namespace_held_open_outlives_its_process",
        || {
            let mut container = Container::start(1004);
            let netns = find(container.pid());
            container.stop();
            assert_eq!(idle(&netns), 1004);
            let gone = resolve(&Proc::default(), &container.pid().to_string());
            let pid = container.pid();
            assert_eq!(gone.unwrap_err(), Error::NoSuchProcess { pid });
        },
    );
}

#[test]
fn root_defaults_and_own_addresses_are_the_namespaces() {
    isolated(
        "netns::root_defaults_and_own_addresses_are_the_namespaces",
        || {
            sh("ip netns add blue && ip netns add empty");
            sh("ip -n blue link set lo up");
            sh("ip -n blue link add v0 type veth peer name v1");
            sh("ip -n blue link set v0 up && ip -n blue addr add 10.1.2.3/24 brd + dev v0");
            sh("ip -n blue route add local 192.0.2.0/24 dev lo");
            sh("ip -n blue addr add 2001:db8::5/64 dev lo nodad");
            // The kernel adds an IPv6 address's own route from a work queue.
            wait_for("the route of 2001:db8::5", || {
                let routes = sh("ip -n blue -6 route show table local");
                routes.contains("2001:db8::5").then_some(())
            });
            sh(
                "ip netns exec blue sysctl -qw net.ipv4.tcp_keepalive_intvl=11 \
            net.ipv4.tcp_keepalive_probes=3 net.ipv4.tcp_retries2=8",
            );
            let read = |name| {
                let netns = resolve(&Proc::default(), name).unwrap();
                let reading = netns.read(&Proc::default()).unwrap();
                assert_eq!(reading.gaps, [], "{name}");
                reading.namespace
            };
            let blue = read("blue");
            assert_eq!(blue.name, "blue");
            let defaults = blue.defaults.unwrap();
            assert_eq!(
                (defaults.interval_s, defaults.probes, defaults.retries2),
                (11, 3, 8)
            );
            for (addr, local) in [
                ("10.1.2.3", true),
                ("10.1.2.4", false),
                ("192.0.2.200", true),
                ("2001:db8::5", true),
                ("2001:db8::6", false),
            ] {
                let addr: IpAddr = addr.parse().unwrap();
                assert_eq!(blue.local.contains(addr), local, "{addr}");
            }
            // The broadcast address and multicast groups are not this host.
            assert!(!blue.local.contains([10, 1, 2, 255].into()));
            assert!(
                !blue
                    .local
                    .contains(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into())
            );

            let empty = read("empty");
            assert_eq!(empty.defaults, Some(NetnsDefaults::KERNEL));
            assert!(!empty.local.contains([10, 1, 2, 3].into()));
        },
    );
}

#[test]
fn root_what_is_no_namespace_is_refused() {
    isolated("netns::root_what_is_no_namespace_is_refused", || {
        let proc = Proc::default();
        sh("mkdir -p /run/netns && touch /run/netns/unfinished");
        assert_eq!(
            resolve(&proc, "unfinished").unwrap_err(),
            Error::NotANamespace {
                path: "/run/netns/unfinished".into()
            }
        );
        for name in ["nowhere", "", "..", "a/b", "-1"] {
            assert_eq!(
                resolve(&proc, name).unwrap_err(),
                Error::NoSuchNamespace { name: name.into() }
            );
        }
        assert_eq!(
            resolve(&proc, "4194305").unwrap_err(),
            Error::NoSuchProcess { pid: 4_194_305 }
        );
        assert!(resolve(&proc, "self").unwrap().own);
        let own = resolve(&proc, &std::process::id().to_string()).unwrap();
        assert!(own.own);
    });
}

#[test]
fn root_containers_and_units_name_their_namespaces() {
    isolated(
        "netns::root_containers_and_units_name_their_namespaces",
        || {
            let [first, second, third] = [1005, 1006, 1007].map(Container::start);
            let ids = ["0123456789ab", "0123456789cd"].map(|id| format!("{id}{}", "0".repeat(52)));
            // A tree of /proc in which these processes have the cgroups of an engine.
            let root = Path::new("/run/processes");
            std::fs::create_dir(root).unwrap();
            let of = |pid: u32, cgroup: &str| {
                let folder = root.join(pid.to_string());
                std::fs::create_dir(&folder).unwrap();
                std::fs::write(folder.join("cgroup"), format!("0::{cgroup}\n")).unwrap();
                std::fs::write(folder.join("comm"), "app\n").unwrap();
                symlink(format!("/proc/{pid}/ns"), folder.join("ns")).unwrap();
            };
            of(
                first.pid(),
                &format!("/system.slice/docker-{}.scope", ids[0]),
            );
            of(second.pid(), &format!("/docker/{}", ids[1]));
            of(third.pid(), "/system.slice/redis.service");
            for name in ["self", "thread-self", "sys"] {
                symlink(format!("/proc/{name}"), root.join(name)).unwrap();
            }
            let proc = Proc::new(root);
            for (word, idle_s) in [
                ("container 0123456789ab", 1005),
                ("0123456789c", 1006),
                (&ids[1], 1006),
                ("redis.service", 1007),
            ] {
                assert_eq!(idle(&resolve(&proc, word).unwrap()), idle_s, "{word}");
            }
            let several = resolve(&proc, "01234567").unwrap_err();
            let among = ["container 0123456789ab", "container 0123456789cd"];
            assert_eq!(
                several,
                Error::AmbiguousNamespace {
                    name: "01234567".into(),
                    among: among.map(str::to_owned).to_vec(),
                }
            );
        },
    );
}

#[test]
fn root_names_may_hold_anything() {
    isolated("netns::root_names_may_hold_anything", || {
        let name = "a b\\c\u{1b}[31m";
        sh(&format!("ip netns add '{name}'"));
        let found = enumerate(&Proc::default()).unwrap();
        assert!(found.namespaces.iter().any(|netns| netns.name == name));
    });
}

#[test]
fn root_too_few_descriptors_are_a_gap() {
    isolated("netns::root_too_few_descriptors_are_a_gap", || {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let containers: Vec<_> = (0..4).map(|_| Container::start(1006)).collect();
        // The limit is on the number: all below must be in use.
        let in_use: Vec<_> = std::iter::repeat_with(|| std::fs::File::open("/dev/null").unwrap())
            .take_while(|file| file.as_raw_fd() < 64)
            .collect();
        let before = getrlimit(Resource::Nofile);
        let mut few = before;
        few.current = Some(64 + 4);
        setrlimit(Resource::Nofile, few).unwrap();
        let found = enumerate(&Proc::default());
        setrlimit(Resource::Nofile, before).unwrap();
        drop(in_use);
        let found = found.unwrap();
        assert!(found.namespaces.len() < containers.len());
        let remedies = found.gaps.iter().filter_map(|gap| gap.remedy.as_ref());
        assert!(remedies.clone().any(|remedy| remedy.contains("ulimit")));
        // All refused namespaces are one gap, and so is the table of mounts.
        assert!(found.gaps.len() <= 2, "{:?}", found.gaps);
    });
}

/// What somebody without rights sees of a machine with a foreign namespace.
#[test]
fn root_namespaces_out_of_reach_are_gaps() {
    let test = "netns::root_namespaces_out_of_reach_are_gaps";
    if std::env::var_os("SOCKPULSE_TEST_NOBODY").is_some() {
        let found = enumerate(&Proc::default()).unwrap();
        let gaps: Vec<_> = found.gaps.iter().map(|gap| gap.what.as_str()).collect();
        assert_eq!(found.namespaces.len(), 2, "the own one and the named one");
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        // The machine's first one, the container's, and those of other tests.
        let (count, what) = gaps[0].split_once(' ').unwrap();
        assert!(count.parse::<u32>().unwrap() >= 2, "{gaps:?}");
        assert!(what.starts_with("network namespaces, of "), "{gaps:?}");
        assert!(
            found.gaps[0]
                .remedy
                .as_ref()
                .unwrap()
                .contains("CAP_SYS_PTRACE")
        );
        let blue = &found.namespaces[1];
        assert_eq!((blue.name.as_str(), blue.pid), ("blue", None));
        let refused = blue.enter_and(|| ()).unwrap_err();
        assert!(refused.is_permission());
        let gap = blue.gap(&refused);
        assert_eq!(gap.what, "network namespace blue");
        assert!(gap.remedy.unwrap().contains("CAP_SYS_ADMIN"));
        return;
    }
    if !needs_root(test) {
        return;
    }
    isolated(test, || {
        sh("ip netns add blue");
        let _foreign = Container::start(1005);
        as_nobody(test, "SOCKPULSE_TEST_NOBODY", "1");
    });
}
