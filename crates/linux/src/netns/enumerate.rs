//! Finds every network namespace that a process is in or a mount holds.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use sockpulse_core::{Gap, NetnsId, Place};

use super::{Bind, NAMED, Netns, id_of, open, open_own};
use crate::error::{Error, Result, counted};
use crate::procfs::{Proc, is_gone};

/// The network namespaces of a machine, as far as they could be seen.
#[derive(Debug)]
pub struct Enumeration {
    /// The own one first, then by name.
    pub namespaces: Vec<Netns>,
    /// Namespaces that could not be opened.
    pub gaps: Vec<Gap>,
    /// What is worth knowing and needs no remedy.
    pub notes: Vec<String>,
}

/// Finds the namespaces of all processes and of all bind mounts, and opens each. Hundreds of
/// processes share a namespace: each costs one stat(2), and only the first of a namespace is opened.
///
/// Looking at another user's process needs `CAP_SYS_PTRACE`. Where it is refused, an inode number that
/// everybody may look up still tells whether a process shares a namespace that is open, so that only
/// namespaces that are really out of reach are gaps.
///
/// # Errors
/// When the own namespace or /proc itself cannot be read.
pub fn enumerate(proc: &Proc) -> Result<Enumeration> {
    let (own, fd) = open_own(proc)?;
    let mut search = Search {
        proc,
        own,
        found: BTreeMap::from([(own, Found { fd, pid: None })]),
        denied: Vec::new(),
        refused: BTreeMap::new(),
        gaps: Vec::new(),
    };
    search.processes()?;
    let binds = search.binds();
    search.unseen_processes();
    Ok(search.finish(&binds))
}

struct Search<'a> {
    proc: &'a Proc,
    own: NetnsId,
    found: BTreeMap<NetnsId, Found>,
    /// Processes whose namespace may not be looked at.
    denied: Vec<u32>,
    /// Namespaces that are there and could not be opened, with what they would be called.
    refused: BTreeMap<NetnsId, (String, Error)>,
    gaps: Vec<Gap>,
}

struct Found {
    fd: OwnedFd,
    pid: Option<u32>,
}

impl Search<'_> {
    fn processes(&mut self) -> Result<()> {
        let root = self.proc.open()?;
        // The own process comes last: nobody calls a namespace after the one who looks at it.
        let own = std::process::id();
        let mut pids = self.proc.pids()?;
        pids.sort_by_key(|pid| *pid == own);
        for pid in pids {
            let name = format!("{pid}/ns/net");
            let stat = match rustix::fs::statat(root.as_fd(), &name, AtFlags::empty()) {
                Ok(stat) => stat,
                Err(Errno::ACCESS | Errno::PERM) => {
                    self.denied.push(pid);
                    continue;
                }
                // It ended, or is a zombie.
                Err(_) => continue,
            };
            let Some(id) = id_of(&stat) else { continue };
            if let Some(found) = self.found.get_mut(&id) {
                found.pid.get_or_insert(pid);
                continue;
            }
            match open(&self.proc.root().join(name)) {
                // The process may have moved on meanwhile: what was opened counts.
                Ok((id, fd)) => {
                    let found = self.found.entry(id).or_insert(Found { fd, pid: None });
                    found.pid.get_or_insert(pid);
                }
                Err(error) if error.is_gone() => {}
                Err(error) => {
                    let name = || (format!("of process {pid}"), error);
                    self.refused.entry(id).or_insert_with(name);
                }
            }
        }
        if self.proc.hides_processes() {
            self.gaps.push(Gap {
                what: "the network namespaces of other users' processes".into(),
                why: "/proc is mounted with hidepid".into(),
                remedy: Some("run as root, or with CAP_SYS_PTRACE".into()),
            });
        }
        Ok(())
    }

    /// The bind mounts of namespaces, best name first; opens those that no process is in.
    fn binds(&mut self) -> Vec<Bind> {
        let mounts = match self.proc.mounts() {
            Ok(mounts) => mounts,
            Err(error) => {
                self.gaps.push(Gap {
                    what: "named network namespaces".into(),
                    why: error.reason(),
                    remedy: None,
                });
                return Vec::new();
            }
        };
        let mut binds: Vec<_> = mounts
            .into_iter()
            .filter(|mount| mount.kind == "nsfs")
            .filter_map(|mount| {
                Some(Bind {
                    id: bound_id(&mount.root)?,
                    path: mount.point,
                })
            })
            .collect();
        binds.sort_by_cached_key(|bind| (!is_named(&bind.path), bind.path.clone()));
        binds.dedup();
        binds.retain(|bind| {
            if self.found.contains_key(&bind.id) {
                return true;
            }
            match open(&bind.path) {
                Ok((id, fd)) if id == bind.id => {
                    self.found.insert(id, Found { fd, pid: None });
                    true
                }
                // Another mount lies over it: it cannot be reached this way.
                Ok(_) => false,
                Err(error) if error.is_gone() => false,
                Err(error) => {
                    let name = || (bind.path.display().to_string(), error);
                    self.refused.entry(bind.id).or_insert_with(name);
                    false
                }
            }
        });
        binds
    }

    /// Which of the processes that may not be looked at are in namespaces that nobody else showed.
    fn unseen_processes(&mut self) {
        if self.denied.is_empty() {
            return;
        }
        let known: BTreeSet<_> = self
            .found
            .values()
            .filter_map(|found| fingerprint(self.proc, found.pid?))
            .chain(fingerprint_of(self.proc, "thread-self"))
            .collect();
        let mut unseen = BTreeSet::new();
        let mut processes = 0;
        for &pid in &self.denied {
            match fingerprint_of(self.proc, &pid.to_string()) {
                Some(print) if known.contains(&print) => continue,
                Some(print) => {
                    unseen.insert(print);
                }
                // Zombies are in no namespace.
                None if !self.has_namespace(pid) => continue,
                None => {}
            }
            processes += 1;
        }
        if processes == 0 {
            return;
        }
        let processes = counted(processes, "process", "processes");
        let what = match unseen.len() {
            0 => format!("the network namespaces of {processes}"),
            n => {
                let namespaces = counted(n, "network namespace", "network namespaces");
                format!("{namespaces}, of {processes}")
            }
        };
        self.gaps.push(Gap {
            what,
            why: "not permitted to look at processes of other users".into(),
            remedy: Some("run as root, or with CAP_SYS_PTRACE and CAP_SYS_ADMIN".into()),
        });
    }

    fn has_namespace(&self, pid: u32) -> bool {
        let path = self.proc.root().join(format!("{pid}/net"));
        let dev = rustix::fs::stat(path.join("dev"));
        !dev.is_err_and(|errno| is_gone(errno) || errno == Errno::INVAL)
    }

    fn finish(mut self, binds: &[Bind]) -> Enumeration {
        self.gaps.extend(refused_namespaces(&self.refused));
        let proc = self.proc;
        let first = fingerprint_of(proc, "1");
        let own_is_host = first.is_some() && first == fingerprint_of(proc, "thread-self");
        let mut namespaces: Vec<_> = self
            .found
            .into_iter()
            .map(|(id, found)| {
                let own = id == self.own;
                let bind = binds.iter().find(|bind| bind.id == id);
                let name = if own && own_is_host {
                    "host".into()
                } else {
                    name(proc, bind.map(|bind| bind.path.as_path()), found.pid, id)
                };
                Netns {
                    id,
                    name,
                    own,
                    pid: found.pid,
                    fd: found.fd,
                }
            })
            .collect();
        tell_apart(&mut namespaces);
        namespaces.sort_by(|a, b| (!a.own, &a.name, a.id).cmp(&(!b.own, &b.name, b.id)));
        Enumeration {
            namespaces,
            gaps: self.gaps,
            notes: Vec::new(),
        }
    }
}

/// A number that tells a process's network namespace from others without the right to trace it:
/// everybody may look up `/proc/PID/net/dev`, and its inode number is the namespace's own
/// (`proc_register()`, fs/proc/generic.c, gives each namespace's entries numbers of their own).
fn fingerprint(proc: &Proc, pid: u32) -> Option<u64> {
    fingerprint_of(proc, &pid.to_string())
}

/// [`fingerprint()`] of a directory of /proc: a process id, `self`, `thread-self`.
pub(super) fn fingerprint_of(proc: &Proc, process: &str) -> Option<u64> {
    let path = proc.root().join(process).join("net/dev");
    rustix::fs::stat(path).ok().map(|stat| stat.st_ino)
}

/// What people call a namespace: that of process 1 the host's; the name that ip(8) gave it; the container; where it is mounted; the
/// unit; else a process in it.
pub(super) fn name(proc: &Proc, bind: Option<&Path>, pid: Option<u32>, id: NetnsId) -> String {
    let first = fingerprint(proc, 1);
    if first.is_some() && first == pid.and_then(|pid| fingerprint(proc, pid)) {
        return "host".into();
    }
    let file_name = |path: &Path| {
        let name = path.file_name().unwrap_or(path.as_os_str());
        name.to_string_lossy().into_owned()
    };
    if let Some(path) = bind.filter(|path| is_named(path)) {
        return file_name(path);
    }
    let cgroup = pid.and_then(|pid| proc.cgroup(pid).ok().flatten());
    let place = cgroup
        .map(|path| Place::from_cgroup(&path))
        .unwrap_or_default();
    if let Some(container) = place.container {
        return format!("container {}", short(&container));
    }
    if let Some(path) = bind {
        return file_name(path);
    }
    if let Some(unit) = place.unit {
        return unit;
    }
    let process = pid.and_then(|pid| Some((pid, proc.comm(pid).ok()?)));
    match process {
        Some((pid, comm)) => {
            format!("process {} ({pid})", String::from_utf8_lossy(comm.bytes()))
        }
        None => format!("net:[{}]", id.0),
    }
}

/// A unit may have several namespaces: those of one name get a process or a number added.
fn tell_apart(namespaces: &mut [Netns]) {
    let mut uses = BTreeMap::<String, u32>::new();
    for netns in namespaces.iter() {
        *uses.entry(netns.name.clone()).or_default() += 1;
    }
    for netns in namespaces {
        if uses.get(&netns.name).is_some_and(|uses| *uses > 1) {
            netns.name = match netns.pid {
                Some(pid) => format!("{} ({pid})", netns.name),
                None => format!("{} (net:[{}])", netns.name, netns.id.0),
            };
        }
    }
}

/// The first twelve digits of a container's id, as its engine prints it.
fn short(container: &str) -> &str {
    let is_id = container.len() == 64 && container.bytes().all(|b| b.is_ascii_hexdigit());
    match container.get(..12) {
        Some(short) if is_id => short,
        _ => container,
    }
}

fn is_named(path: &Path) -> bool {
    path.parent()
        .is_some_and(|dir| dir == Path::new(NAMED) || dir == Path::new("/var/run/netns"))
}

/// The namespace in the root of an nsfs mount: `net:[4026532101]`.
fn bound_id(root: &Path) -> Option<NetnsId> {
    let digits = root.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?;
    digits.parse().ok().map(NetnsId)
}

/// One gap for all, with the first as the example: a host may have hundreds.
fn refused_namespaces(refused: &BTreeMap<NetnsId, (String, Error)>) -> Option<Gap> {
    let (name, error) = refused.values().next()?;
    Some(Gap {
        what: match refused.len() - 1 {
            0 => format!("network namespace {name}"),
            more => format!("network namespace {name} and {more} more"),
        },
        why: error.reason(),
        remedy: descriptors_remedy(error.errno()),
    })
}

fn descriptors_remedy(errno: Option<Errno>) -> Option<String> {
    match errno? {
        Errno::MFILE => Some("raise the limit of open files (ulimit -n)".into()),
        Errno::ACCESS | Errno::PERM => Some("run as root".into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_namespaces_are_taken_from_mounts() {
        for (root, id) in [
            ("net:[4026532101]", Some(NetnsId(4_026_532_101))),
            ("mnt:[4026532101]", None),
            ("net:[]", None),
            ("net:[99999999999]", None),
            ("/", None),
        ] {
            assert_eq!(bound_id(Path::new(root)), id, "{root}");
        }
    }

    #[test]
    fn names_in_order_of_meaning() {
        let proc = Proc::new("/nonexistent");
        let id = NetnsId(7);
        let named = |path: &str| name(&proc, Some(Path::new(path)), None, id);
        assert_eq!(named("/run/netns/blue"), "blue");
        assert_eq!(named("/var/run/netns/blue"), "blue");
        assert_eq!(named("/run/docker/netns/1f00"), "1f00");
        assert_eq!(name(&proc, None, Some(7), id), "net:[7]");
        let init = name(&Proc::default(), None, Some(1), id);
        assert_eq!(init, "host");
        let own = name(&Proc::default(), None, Some(std::process::id()), id);
        assert!(!own.is_empty());
    }

    #[test]
    fn the_own_namespace_is_first_and_found_once() {
        let found = enumerate(&Proc::default()).unwrap();
        assert!(found.namespaces[0].own);
        assert_eq!(found.namespaces.iter().filter(|n| n.own).count(), 1);
        let ids: BTreeSet<_> = found.namespaces.iter().map(|n| n.id).collect();
        assert_eq!(ids.len(), found.namespaces.len());
        let own = super::super::own(&Proc::default()).unwrap();
        assert_eq!(own.id, found.namespaces[0].id);
    }
}
