//! Files that are written whole or not at all.
//!
//! The new contents go into a file beside the old one and onto the disk, and then take the old one's
//! name. Whoever reads, whatever is killed, and whenever power is lost: there is the old file or the new.

use std::ffi::OsString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

use crate::error::{Error, Operation, Result};
use temporary::Temporary;

mod temporary;
#[cfg(test)]
mod tests;

/// Whose file it is, which decides what may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// One of our own, under a name of our own. It has exactly this mode. Whatever else lies there,
    /// even a link, was put there by somebody and is refused.
    Ours {
        /// Its permissions, whatever the umask.
        mode: u32,
    },
    /// One that the user named. What a link leads to is replaced, not the link; it keeps its mode
    /// and, where that is permitted, its owner. What is no file, like a pipe, is written into.
    TheUsers,
}

/// Writes a file so that it is never seen, or left, in part. Needs write permission for its folder.
/// On return it is on the disk, as far as the file system can tell. Leftovers of a run that was killed
/// are removed. Two that replace the same file at once do not disturb each other: one of them is last.
///
/// # Errors
/// The old file is as it was, unless the operation is [`Operation::Sync`] on the folder: then the new
/// one is in place, but a loss of power may bring back the old one.
/// - [`Error::System`] with the step that failed: `ENOENT` without the folder, `EROFS`, `EACCES`,
///   `ENOSPC`, `EDQUOT`.
/// - [`Error::NotAFile`] for a folder, for what [`Whose::Ours`] refuses, and for somebody else's link
///   in a folder like /tmp.
pub fn replace(path: &Path, contents: &[u8], whose: Whose) -> Result<()> {
    replace_watched(path, contents, whose, |_| {})
}

/// Removes a file of our own and sees to it that it stays away when power is lost. A file that is not
/// there is no error.
///
/// # Errors
/// [`Error::System`] as for [`replace()`], [`Error::NotAFile`] for what is no regular file.
pub fn remove(path: &Path) -> Result<()> {
    let place = Place::open(path)?;
    match place.stat()? {
        None => return Ok(()),
        Some(old) => must_be_a_file(&place.path, &old)?,
    }
    rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::empty())
        .map_err(|errno| place.failed(Operation::Remove, errno))?;
    place.sync()
}

/// Whether [`replace()`] of a file of our own, or [`remove()`], would be let write in the file's folder,
/// as far as permissions, the mount and what lies there tell. Changes nothing. Where the folder is
/// missing, the nearest above it counts, in which it could be made.
///
/// # Errors
/// [`Error::System`]: `EACCES`, `EROFS`, `ENOTDIR` where the folder is none; [`Error::NotAFile`] for
/// what is no regular file.
pub fn may_replace(path: &Path) -> Result<()> {
    let mut folder = folder_of(path);
    loop {
        let access = Access::WRITE_OK | Access::EXEC_OK;
        // A plain file may not be executed either: first of all it is no folder.
        let is_folder = match rustix::fs::stat(folder) {
            Ok(found) if is(&found, FileType::Directory) => Ok(()),
            Ok(_) => Err(Errno::NOTDIR),
            Err(errno) => Err(errno),
        };
        let may = || rustix::fs::accessat(CWD, folder, access, AtFlags::EACCESS);
        match is_folder.and_then(|()| may()) {
            Ok(()) => return may_take_the_place_of(path),
            Err(Errno::NOENT) if folder.parent().is_some() => folder = folder_of(folder),
            Err(errno) => {
                let object = folder.to_string_lossy();
                return Err(Error::system(Operation::Write, object, errno));
            }
        }
    }
}

fn may_take_the_place_of(path: &Path) -> Result<()> {
    match rustix::fs::lstat(path) {
        Ok(found) => must_be_a_file(path, &found),
        // What cannot be looked at is told when it is tried.
        Err(_) => Ok(()),
    }
}

/// The moments at which a test stops and kills the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Opened,
    Created,
    HalfWritten,
    Written,
    Synced,
    Renamed,
    Done,
}

fn replace_watched(
    path: &Path,
    contents: &[u8],
    whose: Whose,
    mut at: impl FnMut(Step),
) -> Result<()> {
    let mut place = Place::open(path)?;
    let mut old = place.stat()?;
    if whose == Whose::TheUsers {
        if old.as_ref().is_some_and(|old| is(old, FileType::Symlink)) {
            // Links of /proc/PID/fd lead to pipes that have no path: /dev/stdout is one.
            if place.stat_of_target().as_ref().is_some_and(is_open_ended) {
                return write_into(&place, contents);
            }
            place = Place::open(&target(path)?)?;
            old = place.stat()?;
        }
        if old.as_ref().is_some_and(is_open_ended) {
            return write_into(&place, contents);
        }
    }
    if let Some(old) = &old {
        must_be_a_file(&place.path, old)?;
    }
    at(Step::Opened);
    let temporary = Temporary::create(&place)?;
    at(Step::Created);
    let filled = fill(&temporary, contents, whose, old.as_ref(), &mut at)
        .and_then(|()| temporary.rename_over(&place));
    if let Err((operation, errno)) = filled {
        // What made it useless is what is told, not a failure to clear it away.
        temporary.remove(&place);
        return Err(place.failed(operation, errno));
    }
    at(Step::Renamed);
    place.sync()?;
    at(Step::Done);
    Ok(())
}

type Failed = (Operation, Errno);

/// Puts mode, owner and contents into the new file, and all of it onto the disk.
fn fill(
    temporary: &Temporary,
    contents: &[u8],
    whose: Whose,
    old: Option<&Stat>,
    at: &mut impl FnMut(Step),
) -> Result<(), Failed> {
    let file = &temporary.file;
    let mode = match (whose, old) {
        (Whose::Ours { mode }, _) => Some(mode),
        (Whose::TheUsers, Some(old)) => {
            // To give a file away is root's right alone; without it the new file is the writer's.
            let (user, group) = (Uid::from_raw(old.st_uid), Gid::from_raw(old.st_gid));
            let _ = rustix::fs::fchown(file, Some(user), Some(group));
            Some(old.st_mode & 0o7777)
        }
        (Whose::TheUsers, None) => None,
    };
    if let Some(mode) = mode {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode))
            .map_err(|errno| (Operation::SetMode, errno))?;
    }
    let (first, second) = contents.split_at(contents.len() / 2);
    write_all(file, first)?;
    at(Step::HalfWritten);
    write_all(file, second)?;
    at(Step::Written);
    rustix::fs::fsync(file).map_err(|errno| (Operation::Sync, errno))?;
    at(Step::Synced);
    Ok(())
}

fn write_all(file: &OwnedFd, mut contents: &[u8]) -> Result<(), Failed> {
    while !contents.is_empty() {
        let written = rustix::io::retry_on_intr(|| rustix::io::write(file, contents));
        match written.map_err(|errno| (Operation::Write, errno))? {
            0 => return Err((Operation::Write, Errno::IO)),
            length => contents = &contents[length..],
        }
    }
    Ok(())
}

fn is(stat: &Stat, kind: FileType) -> bool {
    FileType::from_raw_mode(stat.st_mode) == kind
}

/// A pipe, a terminal, a device: there is no old and new.
fn is_open_ended(stat: &Stat) -> bool {
    is(stat, FileType::Fifo) || is(stat, FileType::CharacterDevice)
}

fn write_into(place: &Place, contents: &[u8]) -> Result<()> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    rustix::fs::openat(&place.folder, &place.name, flags, Mode::empty())
        .map_err(|errno| (Operation::Open, errno))
        .and_then(|file| write_all(&file, contents))
        .map_err(|(operation, errno)| place.failed(operation, errno))
}

/// Where a link leads in the end. A link to nothing leads to where the file is to be.
fn target(path: &Path) -> Result<PathBuf> {
    /// As many as the kernel follows.
    const MOST: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..MOST {
        match follow(&path)? {
            Some(link) => path = folder_of(&path).join(link),
            None => return Ok(path),
        }
    }
    Err(Error::system(
        Operation::Open,
        path.to_string_lossy(),
        Errno::LOOP,
    ))
}

/// Where a link leads, `None` for what is none. One that somebody else has put into a folder for all,
/// like /tmp, is a trap for whoever writes there, and is not followed; the kernel does not either where
/// `fs.protected_symlinks` is set (`may_follow_link()`, fs/namei.c).
fn follow(path: &Path) -> Result<Option<PathBuf>> {
    let failed = |errno| Error::system(Operation::Open, path.to_string_lossy(), errno);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = match rustix::fs::openat(CWD, path, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(None),
        link => link.map_err(failed)?,
    };
    let found = rustix::fs::fstat(&link).map_err(failed)?;
    if !is(&found, FileType::Symlink) {
        return Ok(None);
    }
    let folder = rustix::fs::stat(folder_of(path)).map_err(failed)?;
    let for_all = folder.st_mode & 0o1002 == 0o1002;
    let own = [rustix::process::geteuid().as_raw(), folder.st_uid];
    if for_all && !own.contains(&found.st_uid) {
        return Err(not_a_file(path, "somebody else's link in a folder for all"));
    }
    let leads_to = rustix::fs::readlinkat(&link, "", Vec::new()).map_err(failed)?;
    Ok(Some(OsString::from_vec(leads_to.into_bytes()).into()))
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// A name in a folder that is held open, so that the folder cannot be changed for another meanwhile.
struct Place {
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Place {
    fn open(path: &Path) -> Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(not_a_file(path, "a folder"));
        };
        let folder = folder_of(path);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(CWD, folder, flags, Mode::empty());
        let opened = opened
            .map_err(|errno| Error::system(Operation::Open, folder.to_string_lossy(), errno))?;
        Ok(Self {
            folder: opened,
            name: name.to_owned(),
            path: path.to_owned(),
        })
    }

    /// What lies there now; a link is not followed.
    fn stat(&self) -> Result<Option<Stat>> {
        match rustix::fs::statat(&self.folder, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(Operation::Read, errno)),
        }
    }

    /// What a link leads to, if that is there.
    fn stat_of_target(&self) -> Option<Stat> {
        rustix::fs::statat(&self.folder, &self.name, AtFlags::empty()).ok()
    }

    /// Puts the folder's entries onto the disk. File systems that cannot do that with a folder say
    /// `EINVAL`, and there is nothing more to be done.
    fn sync(&self) -> Result<()> {
        match rustix::fs::fsync(self.folder.as_fd()) {
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(Error::system(
                Operation::Sync,
                folder_of(&self.path).to_string_lossy(),
                errno,
            )),
        }
    }

    fn failed(&self, operation: Operation, errno: Errno) -> Error {
        Error::system(operation, self.path.to_string_lossy(), errno)
    }
}

fn must_be_a_file(path: &Path, found: &Stat) -> Result<()> {
    let kind = match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => return Ok(()),
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        _ => "a device",
    };
    Err(not_a_file(path, kind))
}

fn not_a_file(path: &Path, kind: &'static str) -> Error {
    Error::NotAFile {
        path: path.to_string_lossy().into_owned(),
        kind,
    }
}
