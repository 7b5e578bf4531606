//! Network namespaces (network_namespaces(7)): finding them all, entering one, reading its defaults.
//!
//! A namespace lives as long as a process is in it, a file of it is open or bind-mounted, or a socket
//! was made in it. Those of processes and of mounts are found. Not found: a namespace that only a
//! descriptor or a socket keeps alive, that only one thread of a process has entered, or that is
//! mounted in another mount namespace only.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sockpulse_core::{Gap, LocalRoutes, Namespace, NetnsId};

use crate::error::{Error, Operation, Result};
use crate::procfs::Proc;
use crate::raw;
use crate::sysctl;

pub use enumerate::{Enumeration, enumerate};
pub use resolve::resolve;

mod enumerate;
mod resolve;
mod routes;

/// Where ip(8) keeps named namespaces.
const NAMED: &str = "/run/netns";
/// The magic number of the file system of namespaces.
const NSFS_MAGIC: u64 = 0x6e73_6673;

/// A network namespace, held open: it cannot vanish while this exists.
#[derive(Debug)]
pub struct Netns {
    /// Its inode number.
    pub id: NetnsId,
    /// What people call it. It may come from a path or from a process, so any character may stand
    /// in it.
    pub name: String,
    /// Whether it is the one that the enumerating thread was in.
    pub own: bool,
    /// The first process in it, if there is one.
    pub pid: Option<u32>,
    fd: OwnedFd,
}

/// A namespace as it was read, and what of it could not be.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Its defaults and own addresses.
    pub namespace: Namespace,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// The network namespace of the calling thread, under the name that [`enumerate()`] gives it.
///
/// # Errors
/// [`Error::System`] when /proc is not there.
pub fn own(proc: &Proc) -> Result<Netns> {
    let (id, fd) = open_own(proc)?;
    let first = enumerate::fingerprint_of(proc, "1");
    let is_host = first.is_some() && first == enumerate::fingerprint_of(proc, "thread-self");
    let (name, pid) = if is_host {
        ("host".into(), Some(1))
    } else {
        // What others call it takes a look at the others.
        let all = enumerate(proc)?.namespaces.into_iter();
        all.filter(|netns| netns.id == id)
            .map(|netns| (netns.name, netns.pid))
            .next()
            .unwrap_or_else(|| (enumerate::name(proc, None, None, id), None))
    };
    Ok(Netns {
        id,
        name,
        own: true,
        pid,
        fd,
    })
}

impl Netns {
    /// Runs a closure in this namespace and waits for it. The calling thread stays where it is: a
    /// thread of its own enters, unless the caller is in this namespace already.
    ///
    /// # Errors
    /// [`Error::System`] with `EPERM`: entering needs `CAP_SYS_ADMIN` here and in the user namespace
    /// that owns the network namespace.
    ///
    /// # Panics
    /// When the closure does.
    pub fn enter_and<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        if current_id().is_some_and(|id| id == self.id) {
            return Ok(work());
        }
        let object = || format!("network namespace {}", self.name);
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new()
                .name("netns".into())
                .spawn_scoped(scope, || {
                    move_into_link_name_space(self.fd.as_fd(), Some(LinkNameSpaceType::Network))
                        .map_err(|errno| Error::system(Operation::EnterNamespace, object(), errno))
                        .map(|()| work())
                })
                .map_err(|error| Error::io(Operation::StartThread, object(), &error))?;
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Reads the namespace's sysctls and its local routing table.
    ///
    /// # Errors
    /// When it cannot be entered; what cannot be read within is a gap.
    pub fn read(&self, proc: &Proc) -> Result<Reading> {
        let (defaults, local) = self.enter_and(|| (sysctl::defaults(proc), routes::local()))?;
        let mut gaps = Vec::new();
        let mut gap = |what: &str, error: &Error| {
            gaps.push(Gap {
                what: format!("{what} of network namespace {}", self.name),
                why: error.reason(),
                remedy: None,
            });
        };
        let defaults = defaults
            .inspect_err(|error| gap("the keepalive defaults", error))
            .ok();
        let local = local.unwrap_or_else(|error| {
            gap("the own addresses", &error);
            LocalRoutes::default()
        });
        let namespace = Namespace {
            id: self.id,
            name: self.name.clone(),
            own: self.own,
            pid: self.pid,
            defaults,
            local,
        };
        Ok(Reading { namespace, gaps })
    }

    /// The kernel's own number for the namespace, never given twice between two boots; `None` before
    /// 5.14.
    ///
    /// # Errors
    /// When it cannot be entered, or no socket can be opened there.
    #[doc(alias = "SO_NETNS_COOKIE")]
    pub fn cookie(&self) -> Result<Option<u64>> {
        self.enter_and(|| {
            let flags = SocketFlags::CLOEXEC;
            let socket =
                rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
                    .map_err(|errno| Error::system(Operation::OpenSocket, "a socket", errno))?;
            match raw::option(&socket, libc::SOL_SOCKET, libc::SO_NETNS_COOKIE) {
                Ok(cookie) => Ok(Some(u64::from_ne_bytes(cookie))),
                Err(Errno::NOPROTOOPT) => Ok(None),
                Err(errno) => {
                    let option = "SO_NETNS_COOKIE";
                    Err(Error::system(Operation::ReadOption, option, errno))
                }
            }
        })?
    }

    /// Whether process 1 is in it: the host's, or a container's own where /proc is a container's.
    ///
    /// # Errors
    /// When it cannot be entered.
    pub fn is_of_process_1(&self, proc: &Proc) -> Result<bool> {
        self.enter_and(|| {
            let first = enumerate::fingerprint_of(proc, "1");
            first.is_some() && first == enumerate::fingerprint_of(proc, "thread-self")
        })
    }

    /// What is not seen when this namespace cannot be read because of `error`.
    #[must_use]
    pub fn gap(&self, error: &Error) -> Gap {
        Gap {
            what: format!("network namespace {}", self.name),
            why: error.reason(),
            remedy: error.is_permission().then(|| {
                "run as root, or with CAP_SYS_ADMIN in the user namespace that owns it".into()
            }),
        }
    }
}

/// The calling thread's namespace, by the /proc of this machine.
fn current_id() -> Option<NetnsId> {
    let stat = rustix::fs::stat("/proc/thread-self/ns/net").ok()?;
    id_of(&stat)
}

fn open_own(proc: &Proc) -> Result<(NetnsId, OwnedFd)> {
    open(&proc.root().join("thread-self/ns/net"))
}

/// Opens a namespace's file and makes sure that it is one.
fn open(path: &Path) -> Result<(NetnsId, OwnedFd)> {
    let object = || path.to_string_lossy();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::system(Operation::Open, object(), errno))?;
    let failed = |errno| Error::system(Operation::Read, object(), errno);
    let stat = rustix::fs::fstat(&fd).map_err(failed)?;
    let file_system = rustix::fs::fstatfs(&fd).map_err(failed)?;
    let is_namespace = u64::try_from(file_system.f_type).is_ok_and(|magic| magic == NSFS_MAGIC);
    match id_of(&stat) {
        Some(id) if is_namespace => Ok((id, fd)),
        _ => Err(Error::NotANamespace {
            path: object().into_owned(),
        }),
    }
}

fn id_of(stat: &rustix::fs::Stat) -> Option<NetnsId> {
    u32::try_from(stat.st_ino).ok().map(NetnsId)
}

/// A bind mount of a network namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bind {
    id: NetnsId,
    path: PathBuf,
}
