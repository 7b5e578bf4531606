//! From a socket's cgroup id to the place where its program runs.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use sockpulse_core::{CgroupId, Place};

use crate::procfs::Proc;

/// A socket's cgroup and the process that holds it.
type Asked = (Option<CgroupId>, Option<u32>);

/// Places by cgroup id and by process, read when first asked for and kept.
#[derive(Debug)]
pub struct Places {
    proc: Proc,
    hierarchy: Option<Hierarchy>,
    by_id: HashMap<CgroupId, Option<Place>>,
    by_pid: HashMap<u32, Option<Place>>,
    nowhere: Place,
    /// Sockets of one process mostly come in a row.
    last: Option<(Asked, Place)>,
}

impl Places {
    /// Finds the cgroup v2 mount, which need not be at `/sys/fs/cgroup` (hybrid mounts have it at
    /// `/sys/fs/cgroup/unified`). Without one, places are known by process only.
    #[must_use]
    pub fn new(proc: Proc) -> Self {
        Self {
            hierarchy: Hierarchy::find(&proc),
            proc,
            by_id: HashMap::new(),
            by_pid: HashMap::new(),
            nowhere: Place::default(),
            last: None,
        }
    }

    /// The place of a socket: that of the cgroup in which it was made. Where this says nothing (the
    /// root, as in hybrid mounts; a cgroup that was removed or is hidden by a cgroup namespace), the
    /// place of a process that holds it. An empty [`Place`] when neither is known.
    pub fn place(&mut self, id: Option<CgroupId>, pid: Option<u32>) -> &Place {
        let asked = (id, pid);
        let place = match self.last.take() {
            Some((known, place)) if known == asked => place,
            _ => self.find(id, pid).clone(),
        };
        &self.last.insert((asked, place)).1
    }

    fn find(&mut self, id: Option<CgroupId>, pid: Option<u32>) -> &Place {
        if let Some(id) = id
            && !self.by_id.contains_key(&id)
        {
            let path = self.hierarchy.as_mut().and_then(|it| it.path(id));
            let place = path.map(|path| Place::from_cgroup(&path));
            self.by_id.insert(id, place);
        }
        let of_id = id.and_then(|id| self.by_id.get(&id)?.as_ref());
        if of_id.is_some_and(|place| place.cgroup != "/") {
            return of_id.unwrap_or(&self.nowhere);
        }
        if let Some(pid) = pid {
            self.by_pid.entry(pid).or_insert_with(|| {
                let path = self.proc.cgroup(pid).ok().flatten();
                path.map(|path| Place::from_cgroup(&path))
            });
        }
        let of_pid = pid.and_then(|pid| self.by_pid.get(&pid)?.as_ref());
        of_pid.or(of_id).unwrap_or(&self.nowhere)
    }
}

/// Where the cgroup v2 hierarchy is mounted, a mount of the whole of it before others. Needs no
/// privilege.
#[must_use]
pub fn root(proc: &Proc) -> Option<PathBuf> {
    open_mount(proc).map(|(point, _)| point)
}

/// Opens the cgroup v2 hierarchy where it is mounted, a mount of the whole of it before others.
pub(crate) fn open_mount(proc: &Proc) -> Option<(PathBuf, OwnedFd)> {
    let mut mounts = proc.mounts().ok()?;
    mounts.retain(|mount| mount.kind == "cgroup2");
    mounts.sort_by_key(|mount| mount.root != Path::new("/"));
    mounts.into_iter().find_map(|mount| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, &mount.point, flags, Mode::empty()).ok()?;
        // Something else may be mounted over it.
        let magic = rustix::fs::fstatfs(&fd).ok()?.f_type;
        (u64::try_from(magic) == Ok(CGROUP2_MAGIC)).then_some((mount.point, fd))
    })
}

/// `CGROUP2_SUPER_MAGIC`.
const CGROUP2_MAGIC: u64 = 0x6367_7270;

/// The mounted cgroup v2 tree.
#[derive(Debug)]
struct Hierarchy {
    fd: OwnedFd,
    point: PathBuf,
    /// Filled by a walk when the kernel does not open cgroups by id for us.
    walked: Option<HashMap<CgroupId, String>>,
}

impl Hierarchy {
    fn find(proc: &Proc) -> Option<Self> {
        let (point, fd) = open_mount(proc)?;
        Some(Self {
            fd,
            point,
            walked: None,
        })
    }

    /// The path below the hierarchy's root, which is `/`.
    fn path(&mut self, id: CgroupId) -> Option<String> {
        if self.walked.is_none() {
            match open_by_id(&self.fd, id) {
                Ok(cgroup) => return self.relative(&cgroup),
                Err(Errno::STALE) => return None,
                Err(_) => self.walked = Some(walk(&self.fd)),
            }
        }
        self.walked.as_ref()?.get(&id).cloned()
    }

    fn relative(&self, cgroup: &OwnedFd) -> Option<String> {
        let link = format!("/proc/self/fd/{}", cgroup.as_raw_fd());
        let path = std::fs::read_link(link).ok()?;
        // A cgroup outside of what a cgroup namespace shows has no path below the mount.
        let below = path.strip_prefix(&self.point).ok()?;
        Some(format!("/{}", below.to_string_lossy()))
    }
}

/// `struct file_handle` of kernfs (`FILEID_KERNFS`, since 5.5): the node's 64-bit id.
#[repr(C)]
struct KernfsHandle {
    bytes: u32,
    kind: i32,
    id: u64,
}

const FILEID_KERNFS: i32 = 0xfe;

/// Opens a cgroup by its id (open_by_handle_at(2)); needs `CAP_DAC_READ_SEARCH`. `ESTALE` when it is
/// gone.
#[expect(unsafe_code, reason = "rustix lacks open_by_handle_at")]
pub(crate) fn open_by_id(mount: impl AsFd, id: CgroupId) -> rustix::io::Result<OwnedFd> {
    let mut handle = KernfsHandle {
        bytes: 8,
        kind: FILEID_KERNFS,
        id: id.0,
    };
    let mount = mount.as_fd().as_raw_fd();
    let flags = libc::O_PATH | libc::O_CLOEXEC;
    // SAFETY: the handle has the layout of struct file_handle followed by the eight bytes that its
    // first field announces, and outlives the call; the kernel only reads it.
    let fd = unsafe { libc::open_by_handle_at(mount, (&raw mut handle).cast(), flags) };
    if fd < 0 {
        let error = std::io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    // SAFETY: the call returned a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The id of a cgroup's directory: its inode number.
pub(crate) fn id_of(dir: impl AsFd) -> Option<CgroupId> {
    Some(CgroupId(rustix::fs::fstat(dir).ok()?.st_ino))
}

/// All cgroups that can be read, without following mounts or links. A directory that vanishes or is
/// refused is left out.
fn walk(root: &OwnedFd) -> HashMap<CgroupId, String> {
    let mut found = HashMap::new();
    found.extend(id_of(root).map(|id| (id, "/".to_owned())));
    let mut open = vec![PathBuf::new()];
    while let Some(below) = open.pop() {
        let path = if below.as_os_str().is_empty() {
            Path::new(".")
        } else {
            &below
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let Ok(entries) = rustix::fs::openat(root, path, flags, Mode::empty()).and_then(Dir::new)
        else {
            continue;
        };
        for entry in entries.filter_map(Result::ok) {
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if entry.file_type() != FileType::Directory || name == "." || name == ".." {
                continue;
            }
            let path = below.join(name);
            found.insert(
                CgroupId(entry.ino()),
                format!("/{}", path.to_string_lossy()),
            );
            open.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hierarchy() -> Option<Hierarchy> {
        let found = Hierarchy::find(&Proc::default());
        if found.is_none() {
            eprintln!("SKIPPED: needs a cgroup v2 mount");
        }
        found
    }

    #[test]
    fn a_walk_finds_the_root() {
        let Some(hierarchy) = hierarchy() else { return };
        let found = walk(&hierarchy.fd);
        let root = id_of(&hierarchy.fd).unwrap();
        assert_eq!(found.get(&root).map(String::as_str), Some("/"));
        assert!(found.values().all(|path| path.starts_with('/')));
    }

    #[test]
    fn ids_and_walks_agree() {
        let Some(mut hierarchy) = hierarchy() else {
            return;
        };
        let root = id_of(&hierarchy.fd).unwrap();
        if open_by_id(&hierarchy.fd, root).is_err_and(|errno| errno == Errno::PERM) {
            eprintln!("SKIPPED: needs CAP_DAC_READ_SEARCH");
            return;
        }
        for (id, path) in walk(&hierarchy.fd) {
            assert_eq!(hierarchy.path(id), Some(path));
        }
        assert_eq!(hierarchy.path(CgroupId(u64::MAX)), None);
        assert!(hierarchy.walked.is_none());
    }

    #[test]
    fn without_a_mount_the_process_tells() {
        let mut places = Places::new(Proc::default());
        places.hierarchy = None;
        let pid = std::process::id();
        let cgroup = Proc::default().cgroup(pid).unwrap().unwrap();
        assert_eq!(places.place(Some(CgroupId(1)), Some(pid)).cgroup, cgroup);
        assert_eq!(places.place(Some(CgroupId(1)), None), &Place::default());
        assert_eq!(places.place(None, Some(u32::MAX)), &Place::default());
    }
}
