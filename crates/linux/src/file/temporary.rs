//! The file beside the file: how it is made, and how one that was left over is known.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use rustix::rand::GetRandomFlags;

use super::{Failed, Place};
use crate::error::{Operation, Result};

/// Hidden, and not ending like the file itself: no program takes it for one.
const SUFFIX: &[u8] = b".sockpulse-new";
/// Hexadecimal digits in the name.
const DIGITS: usize = 16;
/// Names that are tried. More than one is needed only when another process takes the new file for a
/// leftover in the moment before it is locked.
const ATTEMPTS: usize = 16;

/// A new file without a name of its own yet. Whoever writes it holds a lock on it; a file without
/// one belongs to nobody any more.
pub(super) struct Temporary {
    pub(super) file: OwnedFd,
    name: OsString,
}

impl Temporary {
    /// Clears leftovers away and makes a new file.
    pub(super) fn create(place: &Place) -> Result<Self> {
        remove_leftovers(place);
        let mut last = Errno::EXIST;
        for _ in 0..ATTEMPTS {
            match Self::attempt(place) {
                Ok(Some(temporary)) => return Ok(temporary),
                Ok(None) | Err(Errno::EXIST) => {}
                Err(errno) => {
                    last = errno;
                    break;
                }
            }
        }
        Err(place.failed(Operation::Create, last))
    }

    fn attempt(place: &Place) -> rustix::io::Result<Option<Self>> {
        let name = random_name(&place.name)?;
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666); // less the umask
        let file = rustix::fs::openat(&place.folder, &name, flags, mode)?;
        let temporary = Self { file, name };
        // File systems without locks do without: a leftover is then never cleared away.
        let lock = FlockOperation::NonBlockingLockExclusive;
        let taken = rustix::fs::flock(&temporary.file, lock) == Err(Errno::WOULDBLOCK);
        // Whoever took it for a leftover removes it, or has done so.
        if taken || rustix::fs::fstat(&temporary.file)?.st_nlink == 0 {
            return Ok(None);
        }
        Ok(Some(temporary))
    }

    /// Gives it the name that it was made for.
    pub(super) fn rename_over(&self, place: &Place) -> Result<(), Failed> {
        rustix::fs::renameat(&place.folder, &self.name, &place.folder, &place.name)
            .map_err(|errno| (Operation::Replace, errno))
    }

    pub(super) fn remove(&self, place: &Place) {
        let _ = rustix::fs::unlinkat(&place.folder, &self.name, AtFlags::empty());
    }
}

fn random_name(of: &OsStr) -> rustix::io::Result<OsString> {
    let mut random = [0_u8; DIGITS / 2];
    rustix::rand::getrandom(&mut random, GetRandomFlags::empty())?;
    let mut name = beginning(of);
    for byte in random {
        name.extend(format!("{byte:02x}").into_bytes());
    }
    name.extend(SUFFIX);
    Ok(OsString::from_vec(name))
}

/// A long name is cut, so that the new one is no longer than a name may be. Then leftovers of files
/// whose names begin alike look alike, which harms nobody: they are leftovers all the same.
fn beginning(of: &OsStr) -> Vec<u8> {
    const LONGEST: usize = 255;
    let most = LONGEST - DIGITS - SUFFIX.len() - 2;
    let name = of.as_bytes();
    let mut beginning = b".".to_vec();
    beginning.extend(&name[..name.len().min(most)]);
    beginning.push(b'.');
    beginning
}

fn is_temporary(name: &[u8], of: &OsStr) -> bool {
    let digits = name
        .strip_prefix(beginning(of).as_slice())
        .and_then(|rest| rest.strip_suffix(SUFFIX));
    digits.is_some_and(|digits| digits.len() == DIGITS && digits.iter().all(u8::is_ascii_hexdigit))
}

/// Removes what killed runs left. What cannot be removed, or is in use, stays.
fn remove_leftovers(place: &Place) {
    let Ok(entries) = Dir::read_from(&place.folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if !is_temporary(name.to_bytes(), &place.name) {
            continue;
        }
        // The lock is held until the name is gone, so that its maker sees one or the other.
        if let Some(_lock) = lock_abandoned(place, name) {
            let _ = rustix::fs::unlinkat(&place.folder, name, AtFlags::empty());
        }
    }
}

fn lock_abandoned(place: &Place, name: &CStr) -> Option<OwnedFd> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&place.folder, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&file).ok()?;
    let is_ours = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
        && stat.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours {
        return None;
    }
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}
