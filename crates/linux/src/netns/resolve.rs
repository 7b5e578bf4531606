//! The namespace that a user means by a word.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::io::Errno;
use sockpulse_core::{NetnsId, Place};

use super::{NAMED, Netns, enumerate, id_of, open, open_own, own};
use crate::error::{Error, Operation, Result};
use crate::procfs::Proc;

/// Inode numbers of namespaces begin about here (`PROC_DYNAMIC_FIRST`, fs/proc/generic.c; those of the
/// first namespaces lie a little below), far above the ids of processes.
const FIRST_NUMBER: u32 = 0xe000_0000;
/// Digits of a container's id that are taken for one; less is more likely a name that is not there.
const MIN_ID: usize = 4;

/// The namespace that a user means: `self`; a name under `/run/netns` (ip-netns(8)); a process id; the
/// name that [`enumerate()`] gives it, `host` among them; its inode number, plain or as
/// `net:[NUMBER]`; a container, by its name or the first digits of its id; a systemd unit.
///
/// # Errors
/// [`Error::NoSuchNamespace`], [`Error::NoSuchProcess`], [`Error::NotANamespace`];
/// [`Error::AmbiguousNamespace`] when several go by the word; [`Error::System`] when the namespace may
/// not be looked at (needs `CAP_SYS_PTRACE`).
pub fn resolve(proc: &Proc, text: &str) -> Result<Netns> {
    if text == "self" {
        return own(proc);
    }
    if let Some(netns) = of_file(proc, text)? {
        return Ok(netns);
    }
    match text.parse::<u32>() {
        // An id may begin with 0, and be one of a container.
        Ok(pid) if pid < FIRST_NUMBER && !text.starts_with('0') => of_process(proc, pid),
        _ => by_word(proc, text),
    }
}

/// By a name of ip(8).
fn of_file(proc: &Proc, name: &str) -> Result<Option<Netns>> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Ok(None);
    }
    match open(&Path::new(NAMED).join(name)) {
        Ok((id, fd)) => Ok(Some(Netns {
            id,
            name: name.to_owned(),
            own: is_own(proc, id),
            pid: None,
            fd,
        })),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_process(proc: &Proc, pid: u32) -> Result<Netns> {
    let (id, fd) = open(&proc.root().join(format!("{pid}/ns/net"))).map_err(|error| {
        if error.is_gone() {
            Error::NoSuchProcess { pid }
        } else {
            error
        }
    })?;
    Ok(Netns {
        id,
        name: enumerate::name(proc, None, Some(pid), id),
        own: is_own(proc, id),
        pid: Some(pid),
        fd,
    })
}

fn is_own(proc: &Proc, id: NetnsId) -> bool {
    open_own(proc).is_ok_and(|(own, _)| own == id)
}

/// By the name that is shown, or by what runs in it.
fn by_word(proc: &Proc, text: &str) -> Result<Netns> {
    let mut all = enumerate(proc)?.namespaces;
    let number = number(text);
    let shown = |netns: &Netns| netns.name == text || number == Some(netns.id);
    if let Some(at) = all.iter().position(shown) {
        return Ok(all.swap_remove(at));
    }
    let inhabited = inhabited(proc, text)?;
    all.retain(|netns| inhabited.contains(&netns.id));
    match all.len() {
        1 => Ok(all.swap_remove(0)),
        0 => Err(Error::NoSuchNamespace {
            name: text.to_owned(),
        }),
        _ => Err(Error::AmbiguousNamespace {
            name: text.to_owned(),
            among: all.into_iter().map(|netns| netns.name).collect(),
        }),
    }
}

fn number(text: &str) -> Option<NetnsId> {
    let digits = text.strip_prefix("net:[").and_then(|t| t.strip_suffix(']'));
    digits.unwrap_or(text).parse().ok().map(NetnsId)
}

/// The namespaces in which a process of the container or unit is. A container may share that of
/// another, as in a pod, which is then called after the other.
fn inhabited(proc: &Proc, word: &str) -> Result<BTreeSet<NetnsId>> {
    let mut ids = BTreeSet::new();
    let mut refused = None;
    for pid in proc.pids()? {
        let Ok(Some(cgroup)) = proc.cgroup(pid) else {
            continue;
        };
        if !goes_by(&Place::from_cgroup(&cgroup), word) {
            continue;
        }
        let path = proc.root().join(format!("{pid}/ns/net"));
        match rustix::fs::stat(&path) {
            Ok(stat) => ids.extend(id_of(&stat)),
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => {
                let path = path.to_string_lossy();
                refused.get_or_insert_with(|| Error::system(Operation::Open, path, errno));
            }
            // It ended, or is a zombie.
            Err(_) => {}
        }
    }
    match refused {
        Some(error) if ids.is_empty() => Err(error),
        _ => Ok(ids),
    }
}

/// Whether people call a place so. A unit within a container is the container's own affair.
fn goes_by(place: &Place, word: &str) -> bool {
    let Some(container) = &place.container else {
        return place.unit.as_deref() == Some(word);
    };
    let word = word.strip_prefix("container ").unwrap_or(word);
    let is_id = |text: &str| text.len() >= MIN_ID && text.bytes().all(|b| b.is_ascii_hexdigit());
    container == word || container.len() == 64 && is_id(word) && container.starts_with(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_go_by_the_start_of_their_id_and_units_by_their_name() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let docker = format!("/system.slice/docker-{id}.scope");
        for (cgroup, word, expected) in [
            (docker.as_str(), "0123456789ab", true),
            (&docker, "container 0123456789ab", true),
            (&docker, id, true),
            (&docker, "0123", true),
            (&docker, "012", false),
            (&docker, "1234", false),
            (&docker, &format!("docker-{id}.scope"), false),
            ("/lxc.payload.web1/init.scope", "web1", true),
            ("/lxc.payload.web1/init.scope", "web", false),
            ("/lxc.payload.web1/init.scope", "init.scope", false),
            ("/system.slice/redis.service", "redis.service", true),
            ("/system.slice/redis.service", "redis", false),
            ("/", "", false),
        ] {
            let place = Place::from_cgroup(cgroup);
            assert_eq!(goes_by(&place, word), expected, "{cgroup} {word}");
        }
    }

    #[test]
    fn a_number_is_one_of_a_process_or_of_a_namespace() {
        assert_eq!(number("net:[4026532101]"), Some(NetnsId(4_026_532_101)));
        assert_eq!(number("4026532101"), Some(NetnsId(4_026_532_101)));
        assert_eq!(number("net:[x]"), None);
        let proc = Proc::default();
        let own = own(&proc).unwrap();
        for word in [&*own.name, &own.id.0.to_string(), "self"] {
            assert_eq!(resolve(&proc, word).unwrap().id, own.id, "{word}");
        }
        let none = resolve(&proc, "4294967295").unwrap_err();
        assert!(matches!(none, Error::NoSuchNamespace { .. }), "{none}");
    }
}
