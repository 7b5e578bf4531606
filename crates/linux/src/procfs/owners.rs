//! Which processes hold which sockets: the links `/proc/PID/fd/N -> socket:[INODE]`.

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::fs::RawDir;
use rustix::io::Errno;
use sockpulse_core::{Comm, Gap, Process};

use super::{Proc, is_gone, open_directory};
use crate::error::{Result, counted};

/// Whose descriptors to look through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Every process that can be read.
    All,
    /// These processes only.
    Processes(&'a [u32]),
}

/// More threads than this do not make the walk faster: the kernel's locks are common.
const MOST_THREADS: usize = 4;

/// Holders of sockets by inode. Sixteen bytes for each descriptor.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerIndex {
    /// Sorted by inode, then process.
    holders: Vec<Holder>,
    /// Sorted by pid.
    processes: Vec<(u32, Comm)>,
    unreadable: usize,
    hidden: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Holder {
    inode: u64,
    pid: u32,
    fd: u32,
}

impl OwnerIndex {
    /// The processes that hold the socket, lowest pid first, each with its lowest descriptor.
    pub fn processes(&self, inode: u64) -> impl Iterator<Item = Process> + '_ {
        let from = self.holders.partition_point(|holder| holder.inode < inode);
        self.holders[from..]
            .iter()
            .take_while(move |holder| holder.inode == inode)
            .filter_map(|&Holder { pid, fd, .. }| {
                let place = self.processes.binary_search_by_key(&pid, |(pid, _)| *pid);
                let (_, comm) = *self.processes.get(place.ok()?)?;
                Some(Process { pid, fd, comm })
            })
    }

    fn add(&mut self, other: Self) {
        self.holders.extend(other.holders);
        self.processes.extend(other.processes);
        self.unreadable += other.unreadable;
    }

    fn sort(&mut self) {
        self.holders.sort_unstable();
        self.holders
            .dedup_by_key(|holder| (holder.inode, holder.pid));
        self.processes.sort_unstable();
    }

    /// How many pairs of socket and process were found.
    #[must_use]
    pub fn len(&self) -> usize {
        self.holders.len()
    }

    /// Whether no process holds any socket, as far as could be seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holders.is_empty()
    }

    /// How many processes did not let their descriptors be read.
    #[must_use]
    pub fn unreadable(&self) -> usize {
        self.unreadable
    }

    /// What was not seen. When there is any, a socket without holders may have one all the same.
    #[must_use]
    pub fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::new();
        if self.unreadable > 0 {
            gaps.push(Gap {
                what: format!(
                    "the descriptors of {}",
                    counted(self.unreadable, "process", "processes")
                ),
                why: "not permitted to look into them".into(),
                remedy: lacks_rights()
                    .then(|| "run with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or as root".into()),
            });
        }
        if self.hidden {
            gaps.push(Gap {
                what: "the processes of other users".into(),
                why: "/proc is mounted with hidepid".into(),
                remedy: Some("run as root, or with CAP_SYS_PTRACE".into()),
            });
        }
        gaps
    }
}

impl Proc {
    /// Looks through the descriptors of processes: about 6 µs for each, on as many threads as there
    /// are processors, four at most. Processes that end meanwhile are nothing; those that may not be
    /// read are counted.
    ///
    /// Needs the right to trace the processes of others (`CAP_SYS_PTRACE`; `/proc/PID/fd` follows
    /// `PTRACE_MODE_READ_FSCREDS`). Threads with a descriptor table of their own
    /// (`unshare(CLONE_FILES)`) are seen through their process's table only.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System) when /proc itself cannot be read.
    pub fn sockets(&self, wanted: Wanted<'_>) -> Result<OwnerIndex> {
        let root = self.open()?;
        let listed;
        let mut index = OwnerIndex::default();
        let pids = match wanted {
            Wanted::All => {
                index.hidden = self.hides_processes();
                listed = self.pids()?;
                &listed[..]
            }
            Wanted::Processes(pids) => pids,
        };
        let next = AtomicUsize::new(0);
        let walk = || self.walk(root.as_fd(), pids, &next);
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS));
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(walk)).collect();
            index.add(walk());
            for other in others {
                index.add(
                    other
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
                );
            }
        });
        index.sort();
        Ok(index)
    }

    /// Takes processes from a common list until it is at its end.
    fn walk(&self, root: BorrowedFd<'_>, pids: &[u32], next: &AtomicUsize) -> OwnerIndex {
        let mut index = OwnerIndex::default();
        let mut buffer = vec![MaybeUninit::uninit(); 32 * 1024];
        while let Some(&pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            let before = index.holders.len();
            let read = descriptors(root, pid, &mut buffer, |fd, target| {
                let inode = socket_inode(target);
                index
                    .holders
                    .extend(inode.map(|inode| Holder { inode, pid, fd }));
                ControlFlow::Continue(())
            });
            if read.is_err_and(|errno| !is_gone(errno)) {
                index.unreadable += 1;
            }
            if index.holders.len() > before {
                let comm = self.comm(pid).unwrap_or_else(|_| Comm::new(b""));
                index.processes.push((pid, comm));
            }
        }
        index
    }
}

impl Proc {
    /// Whether the descriptors of a process may be looked at: reads one of them, if there is any.
    pub(crate) fn try_descriptors(&self, pid: u32) -> rustix::io::Result<()> {
        let mut buffer = vec![MaybeUninit::uninit(); 1024];
        let root = open_directory(rustix::fs::CWD, self.root())?;
        descriptors(
            root.as_fd(),
            pid,
            &mut buffer,
            |_, _| ControlFlow::Break(()),
        )
    }
}

/// Whether a capability would help: some processes are out of reach of every one.
fn lacks_rights() -> bool {
    use rustix::thread::CapabilitySet;
    let wanted = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
    rustix::thread::capabilities(None).is_ok_and(|sets| !sets.effective.contains(wanted))
}

/// Calls `found` with number and target of every descriptor, until told to stop.
fn descriptors(
    proc: BorrowedFd<'_>,
    pid: u32,
    buffer: &mut [MaybeUninit<u8>],
    mut found: impl FnMut(u32, &[u8]) -> ControlFlow<()>,
) -> rustix::io::Result<()> {
    let dir = open_directory(proc, format!("{pid}/fd"))?;
    let mut entries = RawDir::new(&dir, buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let Some(fd) = number(entry.file_name()) else {
            continue;
        };
        // Longer than any socket's; what is cut is no socket.
        let mut target = [MaybeUninit::uninit(); 64];
        match rustix::fs::readlinkat_raw(&dir, entry.file_name(), &mut target[..]) {
            Ok((target, _)) if found(fd, target).is_break() => break,
            Err(errno @ (Errno::ACCESS | Errno::PERM)) => return Err(errno),
            // A descriptor that was closed meanwhile is nothing.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}

fn socket_inode(target: &[u8]) -> Option<u64> {
    let digits = target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn only_sockets_are_taken() {
        for (target, inode) in [
            ("socket:[42]", Some(42)),
            ("socket:[18446744073709551615]", Some(u64::MAX)),
            ("socket:[18446744073709551616]", None),
            ("socket:[]", None),
            ("socket:[42", None),
            ("pipe:[42]", None),
            ("/tmp/socket:[42]", None),
        ] {
            assert_eq!(socket_inode(target.as_bytes()), inode, "{target}");
        }
    }

    #[test]
    fn an_own_socket_is_found_with_its_lowest_descriptor() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let copy = listener.try_clone().unwrap();
        let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
        let lowest = listener.as_raw_fd().min(copy.as_raw_fd());
        let pid = std::process::id();
        let index = Proc::default().sockets(Wanted::Processes(&[pid])).unwrap();
        let found: Vec<_> = index.processes(inode).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].pid, pid);
        assert_eq!(found[0].fd, u32::try_from(lowest).unwrap());
        assert_eq!(index.unreadable(), 0);
        assert_eq!(index.processes(0).count(), 0);
        assert_eq!(index.processes(u64::MAX).count(), 0);
    }

    #[test]
    fn a_process_that_is_gone_is_nothing() {
        let index = Proc::default()
            .sockets(Wanted::Processes(&[u32::MAX]))
            .unwrap();
        assert!(index.is_empty());
        assert!(index.gaps().is_empty());
    }
}
