//! What this kernel and these privileges allow, found out by trying.

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sockpulse_core::{End, Family, NetnsId, SocketId, TcpState};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::ControlFlow;
use std::os::fd::AsFd;

use crate::cgroup;
use crate::error::{Error, Operation, Result, words};
use crate::ping::Sender;
use crate::procfs::Proc;
use crate::sock_diag::{Query, Socket, States, TcpInfo};
use crate::sockopt;

/// Something that a kernel or a privilege gives or withholds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facility {
    /// What it is called.
    pub name: &'static str,
    /// Whether it can be used.
    pub support: Support,
    /// What it is used for.
    pub serves: &'static str,
    /// What is lost without it.
    pub without: &'static str,
    /// What to grant or do, if anything helps.
    pub grant: Option<String>,
}

/// Whether a facility can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It was tried and works.
    Yes,
    /// It was tried and does not.
    No {
        /// In the kernel's words, or which part is refused.
        why: String,
    },
}

impl Support {
    /// Whether it works.
    #[must_use]
    pub const fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// Tries every facility that this crate uses. Nothing is changed; a few milliseconds.
#[must_use]
pub fn facilities(proc: &Proc) -> Vec<Facility> {
    vec![
        sock_diag(),
        enter_namespaces(),
        others_descriptors(proc),
        borrow_descriptors(proc),
        raw_sockets(),
        destroy(),
        cgroups(proc),
        cgroups_by_id(proc),
        tick_rate(),
    ]
}

fn facility(
    name: &'static str,
    tried: Result<(), String>,
    serves: &'static str,
    without: &'static str,
    grant: &str,
) -> Facility {
    let (support, grant) = match tried {
        Ok(()) => (Support::Yes, None),
        Err(why) => (Support::No { why }, Some(grant.to_owned())),
    };
    Facility {
        name,
        support,
        serves,
        without,
        grant: grant.filter(|grant| !grant.is_empty()),
    }
}

/// CLOSED is a state that no dump shows: the kernel answers, and nothing is sent.
fn sock_diag() -> Facility {
    let query = Query {
        family: Family::Ipv4,
        states: States::only(TcpState::Close),
        info: TcpInfo::Without,
    };
    let tried = Socket::open()
        .and_then(|mut socket| socket.dump(&query, |_| ControlFlow::Continue(())))
        .map(drop)
        .map_err(|error| error.reason());
    facility(
        "sock_diag",
        tried,
        "every TCP socket of a namespace: ends, state, queues, a timer, silence",
        "sockets without a process (orphans, TIME-WAIT, not yet accepted) are not seen",
        "modprobe tcp_diag; in a sandbox, allow AF_NETLINK sockets",
    )
}

/// Entering the namespace that one is in already needs the same right as entering another.
fn enter_namespaces() -> Facility {
    let tried = std::thread::spawn(|| {
        let failed = |errno| Error::system(Operation::EnterNamespace, "a network namespace", errno);
        let own = std::fs::File::open("/proc/thread-self/ns/net")
            .map_err(|error| Error::io(Operation::Open, "/proc/thread-self/ns/net", &error))?;
        move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::Network)).map_err(failed)
    })
    .join()
    .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    facility(
        "setns",
        tried.map_err(|error| error.reason()),
        "the defaults, own addresses and sock_diag of other network namespaces",
        "only the own network namespace is read",
        "CAP_SYS_ADMIN",
    )
}

fn others_descriptors(proc: &Proc) -> Facility {
    let tried = if proc.hides_processes() {
        Err("/proc is mounted with hidepid".to_owned())
    } else {
        of_others(proc, |pid| proc.try_descriptors(pid))
    };
    facility(
        "/proc/PID/fd",
        tried,
        "which process holds a socket",
        "sockets of other users have no program's name",
        "CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
    )
}

/// A descriptor number that no process has: the right is checked before the number is looked up
/// (`pidfd_getfd()`, kernel/pid.c), so that nothing is ever duplicated.
const NO_DESCRIPTOR: i32 = i32::MAX;

fn borrow_descriptors(proc: &Proc) -> Facility {
    let tried = of_others(proc, |pid| {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let pidfd = pidfd_open(pid.ok_or(Errno::SRCH)?, PidfdFlags::empty())?;
        match pidfd_getfd(&pidfd, NO_DESCRIPTOR, PidfdGetfdFlags::empty()) {
            Ok(_) | Err(Errno::BADF) => Ok(()),
            Err(errno) => Err(errno),
        }
    });
    let yama = proc.read("sys/kernel/yama/ptrace_scope").ok();
    let restricted = yama.is_some_and(|scope| scope.first().is_some_and(|digit| *digit > b'0'));
    facility(
        "pidfd_getfd",
        tried,
        "keepalive settings of other programs' sockets where BPF is not available",
        "without BPF, the settings of those sockets are unknown",
        if restricted {
            "CAP_SYS_PTRACE (kernel.yama.ptrace_scope restricts it to that)"
        } else {
            "CAP_SYS_PTRACE"
        },
    )
}

/// Tries something on the processes of other users, or on all but this one where there are no others.
/// It counts as refused when most refuse: a single process may be out of anybody's reach.
fn of_others(proc: &Proc, attempt: impl Fn(u32) -> rustix::io::Result<()>) -> Result<(), String> {
    let pids = proc.pids().map_err(|error| error.reason())?;
    let user = rustix::process::geteuid().as_raw();
    let is_other = |pid: &u32| {
        let stat = rustix::fs::stat(proc.root().join(pid.to_string()));
        stat.is_ok_and(|stat| stat.st_uid != user)
    };
    let (others, own): (Vec<_>, Vec<_>) = pids.into_iter().partition(is_other);
    let targets = if others.is_empty() { own } else { others };
    let (mut tried, mut refused, mut why) = (0_u32, 0_u32, None);
    for pid in targets {
        if pid == std::process::id() {
            continue;
        }
        match attempt(pid) {
            Ok(()) => tried += 1,
            Err(Errno::NOENT | Errno::SRCH) => {}
            Err(errno) => {
                tried += 1;
                refused += 1;
                why = why.or(Some(errno));
            }
        }
    }
    match why {
        Some(errno) if refused > tried / 2 => {
            Err(format!("{refused} of {tried} processes: {}", words(errno)))
        }
        _ => Ok(()),
    }
}

fn raw_sockets() -> Facility {
    facility(
        "raw sockets",
        Sender::open().map(drop).map_err(|error| error.reason()),
        "`ping` and `reap`: probes past the socket, which leave nothing on it",
        "connections are asked by `--method option`, through their program's descriptor",
        "CAP_NET_RAW",
    )
}

/// Whether destroying is permitted is told only about a socket that is there: a listener of our own, to
/// which nobody has connected, is destroyed.
fn destroy() -> Facility {
    let tried = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(|error| Error::io(Operation::OpenSocket, "a listener", &error))
        .and_then(|listener| destroy_listener(&listener));
    facility(
        "SOCK_DESTROY",
        tried.map_err(|error| error.reason()),
        "`reap`: ending connections whose peers are dead",
        "dead connections are found and not ended",
        "CAP_NET_ADMIN, and a kernel with CONFIG_INET_DIAG_DESTROY",
    )
}

fn destroy_listener(listener: &TcpListener) -> Result<(), Error> {
    let here = listener
        .local_addr()
        .map_err(|error| Error::io(Operation::ReadOption, "a listener", &error))?;
    let end = |port| End {
        addr: here.ip(),
        port,
    };
    let id = SocketId {
        cookie: sockopt::cookie(listener)?,
        netns: NetnsId(0),
        local: end(here.port()),
        remote: End {
            addr: Ipv4Addr::UNSPECIFIED.into(),
            port: 0,
        },
    };
    Socket::open()?.destroy(&id, 0).map(drop)
}

const NO_CGROUP2: &str = "no file system of type cgroup2 is mounted";

fn cgroups(proc: &Proc) -> Facility {
    let tried = cgroup::open_mount(proc)
        .map(drop)
        .ok_or_else(|| NO_CGROUP2.to_owned());
    facility(
        "cgroup2",
        tried,
        "the unit, container or pod of a socket without a process",
        "only sockets with a process have a unit, container or pod",
        "mount -t cgroup2 none /sys/fs/cgroup",
    )
}

fn cgroups_by_id(proc: &Proc) -> Facility {
    let tried = match cgroup::open_mount(proc) {
        None => Err(NO_CGROUP2.to_owned()),
        Some((_, mount)) => cgroup::id_of(&mount)
            .ok_or(Errno::IO)
            .and_then(|id| cgroup::open_by_id(&mount, id))
            .map(drop)
            .map_err(words),
    };
    facility(
        "open_by_handle_at",
        tried,
        "finding a cgroup by its number",
        "the tree of cgroups is walked instead: slower, and not seen beyond a cgroup namespace",
        "CAP_DAC_READ_SEARCH",
    )
}

fn tick_rate() -> Facility {
    let tried = crate::hz()
        .map(drop)
        .ok_or_else(|| "SO_RCVTIMEO does not read back as a jiffy".to_owned());
    facility(
        "tick rate",
        tried,
        "how late the kernel's timers may be",
        "detection times are by the settings only",
        "",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_needs_no_grant() {
        let all = facilities(&Proc::default());
        for facility in &all {
            if facility.support.is_yes() {
                assert_eq!(facility.grant, None, "{}", facility.name);
            }
        }
        let mut names: Vec<_> = all.iter().map(|facility| facility.name).collect();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn refusals_are_counted() {
        let proc = Proc::default();
        assert_eq!(of_others(&proc, |_| Ok(())), Ok(()));
        assert_eq!(of_others(&proc, |_| Err(Errno::SRCH)), Ok(()));
        let refused = of_others(&proc, |_| Err(Errno::PERM)).unwrap_err();
        assert!(
            refused.ends_with("processes: operation not permitted"),
            "{refused}"
        );
    }
}
