//! The folder in a bpffs that keeps programs, maps and links beyond the command's life.
//!
//! ```text
//! PINS/turn              whose turn it is: the number of an installation, 0 for nobody's
//! PINS/in-NUMBER/…       maps and programs of an installation
//! PINS/in-NUMBER/on-…    its links
//! ```

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, FlockOperation};

use super::hook::Hook;
use super::sys;
use crate::error::{Error, Operation, Result};

const TURN: &str = "turn";
const PREFIX: &str = "in-";
/// `BPF_FS_MAGIC`.
const BPFFS: u64 = 0xcafe_4a11;

/// The folder, held against other installers.
#[derive(Debug)]
pub(super) struct Pins {
    path: PathBuf,
    /// Its lock goes with it.
    _lock: File,
}

impl Pins {
    /// Makes the folder if it is not there, and locks it.
    pub(super) fn create(path: &Path) -> Result<Self> {
        loop {
            match std::fs::DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(Error::NoBpffs { path: path.into() });
                }
                made => made.map_err(at(Operation::Create, path))?,
            }
            if let Some(pins) = Self::lock(path)? {
                return Ok(pins);
            }
        }
    }

    /// Locks the folder, if it is there.
    pub(super) fn existing(path: &Path) -> Result<Option<Self>> {
        match path.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(at(Operation::Reopen, path)(error)),
            Ok(_) => Self::lock(path),
        }
    }

    /// `None` when it was removed by whoever had the lock.
    fn lock(path: &Path) -> Result<Option<Self>> {
        let lock = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(at(Operation::Lock, path))?,
        };
        let kind = rustix::fs::fstatfs(&lock)
            .map_err(|error| at(Operation::Lock, path)(error.into()))?
            .f_type;
        if u64::try_from(kind) != Ok(BPFFS) {
            return Err(Error::NoBpffs { path: path.into() });
        }
        rustix::fs::flock(&lock, FlockOperation::LockExclusive)
            .map_err(|error| at(Operation::Lock, path)(error.into()))?;
        let held = lock.metadata().map_err(at(Operation::Lock, path))?;
        let there = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            there => there.map_err(at(Operation::Lock, path))?,
        };
        Ok((held.ino() == there.ino()).then(|| Self {
            path: path.into(),
            _lock: lock,
        }))
    }

    /// The map that says whose turn it is, if there is a sound one.
    pub(super) fn turn(&self) -> Result<Option<Turn>> {
        let path = self.path.join(TURN);
        let Some(map) = open(&path)? else {
            return Ok(None);
        };
        let mut number = [0; 8];
        if let Err(error) = sys::read(map.as_fd(), &mut number) {
            if error.kind() == io::ErrorKind::InvalidData {
                return Ok(None);
            }
            return Err(at(Operation::Read, &path)(error));
        }
        Ok(Some(Turn {
            map,
            number: u64::from_ne_bytes(number),
            path,
        }))
    }

    /// Makes that map, and takes away what stood in its place.
    pub(super) fn create_turn(&self) -> Result<Turn> {
        let path = self.path.join(TURN);
        remove_file(&path)?;
        let map = sys::create_array(c"sockpulse_turn", 8)
            .map_err(|error| Error::of_hook(Operation::Create, super::object::NAME, error))?;
        sys::pin(map.as_fd(), &path).map_err(at(Operation::Pin, &path))?;
        Ok(Turn {
            map,
            number: 0,
            path,
        })
    }

    /// The folder of an installation.
    pub(super) fn installation(&self, number: u64) -> Installation {
        Installation {
            path: self.path.join(format!("{PREFIX}{number:x}")),
        }
    }

    /// A number that no installation has, nor had since the folder was made.
    pub(super) fn unused(&self, turn: u64) -> Result<u64> {
        let numbers = self.installations()?;
        let highest = numbers.iter().filter_map(|(_, number)| *number).max();
        Ok(highest.unwrap_or(0).max(turn) + 1)
    }

    /// The folder of an installation with a link in it, if there is one.
    pub(super) fn attached(&self) -> Result<Option<PathBuf>> {
        for (installation, _) in self.installations()? {
            for hook in Hook::ALL {
                if installation.link(hook)?.is_some() {
                    return Ok(Some(installation.path));
                }
            }
        }
        Ok(None)
    }

    /// Removes everything but one installation: what a crash left, and what was replaced.
    pub(super) fn remove_others(&self, keep: u64) -> Result<()> {
        for (installation, number) in self.installations()? {
            if number != Some(keep) {
                installation.remove()?;
            }
        }
        Ok(())
    }

    /// Removes everything, the folder last.
    pub(super) fn remove(self) -> Result<()> {
        for (installation, _) in self.installations()? {
            installation.remove()?;
        }
        remove_file(&self.path.join(TURN))?;
        // Another's files are none of ours.
        match std::fs::remove_dir(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            removed => removed.map_err(at(Operation::Remove, &self.path)),
        }
    }

    fn installations(&self) -> Result<Vec<(Installation, Option<u64>)>> {
        let mut all = Vec::new();
        let entries = std::fs::read_dir(&self.path).map_err(at(Operation::Read, &self.path))?;
        for entry in entries {
            let entry = entry.map_err(at(Operation::Read, &self.path))?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
                continue;
            };
            let number = u64::from_str_radix(number, 16).ok();
            all.push((Installation { path: entry.path() }, number));
        }
        Ok(all)
    }
}

/// Whether the folder is in a bpffs, or could be made in one.
pub(super) fn is_in_bpffs(pins: &Path) -> bool {
    let folder = [Some(pins), pins.parent()]
        .into_iter()
        .flatten()
        .find_map(|folder| File::open(folder).ok());
    let kind = folder.and_then(|folder| rustix::fs::fstatfs(&folder).ok());
    kind.is_some_and(|kind| u64::try_from(kind.f_type) == Ok(BPFFS))
}

/// Whether the folder is there and may be written, or could be made.
pub(super) fn may_write(pins: &Path) -> Result<()> {
    let folder = match pins.symlink_metadata() {
        Ok(_) => pins,
        Err(_) => pins.parent().unwrap_or(pins),
    };
    if !is_in_bpffs(folder) {
        return Err(Error::NoBpffs { path: pins.into() });
    }
    rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK)
        .map_err(|error| at(Operation::Create, pins)(error.into()))
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turn {
    map: OwnedFd,
    path: PathBuf,
    pub(super) number: u64,
}

impl Turn {
    pub(super) fn map(&self) -> BorrowedFd<'_> {
        self.map.as_fd()
    }

    /// From now on it is the turn of this installation, and of no other: in one step.
    pub(super) fn give(&mut self, number: u64) -> Result<()> {
        sys::write(self.map.as_fd(), &number.to_ne_bytes())
            .map_err(at(Operation::Write, &self.path))?;
        self.number = number;
        Ok(())
    }
}

/// The folder of one installation.
#[derive(Debug)]
pub(super) struct Installation {
    pub(super) path: PathBuf,
}

impl Installation {
    pub(super) fn create(&self) -> Result<()> {
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&self.path)
            .map_err(at(Operation::Create, &self.path))
    }

    pub(super) fn pin(&self, name: &str, object: BorrowedFd<'_>) -> Result<()> {
        let path = self.path.join(name);
        sys::pin(object, &path).map_err(at(Operation::Pin, &path))
    }

    pub(super) fn open(&self, name: &str) -> Result<Option<OwnedFd>> {
        open(&self.path.join(name))
    }

    pub(super) fn pin_link(&self, hook: Hook, link: BorrowedFd<'_>) -> Result<()> {
        self.pin(&link_file(hook), link)
    }

    pub(super) fn link(&self, hook: Hook) -> Result<Option<OwnedFd>> {
        self.open(&link_file(hook))
    }

    /// Detaches at once: without its file alone a link would live as long as someone has it open.
    pub(super) fn remove_link(&self, hook: Hook) -> Result<()> {
        let path = self.path.join(link_file(hook));
        if let Some(link) = open(&path)? {
            // One whose cgroup is gone is detached already.
            let _ = sys::detach(link.as_fd());
        }
        remove_file(&path)
    }

    fn remove(&self) -> Result<()> {
        for hook in Hook::ALL {
            self.remove_link(hook)?;
        }
        let entries = std::fs::read_dir(&self.path).map_err(at(Operation::Read, &self.path))?;
        for entry in entries {
            let entry = entry.map_err(at(Operation::Read, &self.path))?;
            remove_file(&entry.path())?;
        }
        std::fs::remove_dir(&self.path).map_err(at(Operation::Remove, &self.path))
    }
}

fn link_file(hook: Hook) -> String {
    format!("on-{}", hook.file())
}

fn open(path: &Path) -> Result<Option<OwnedFd>> {
    match sys::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(at(Operation::Reopen, path)),
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(at(Operation::Remove, path)),
    }
}

/// The kernel's answer about a file as an error of ours.
pub(super) fn at(operation: Operation, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| match source.raw_os_error() {
        Some(1) => Error::of_hook(operation, super::object::NAME, source),
        _ => Error::Pin {
            operation,
            path: path.into(),
            source,
        },
    }
}
