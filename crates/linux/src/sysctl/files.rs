//! The files that set sysctls at boot, as they lie on the disk.

use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use sockpulse_core::persisted::{Content, File, Folder, SYSCTL_CONF, Tree};

use crate::error::words;

/// The largest file that is read. Distributions' files have some kilobytes.
pub const MAX_FILE: u64 = 4 << 20;

const SUFFIX: &[u8] = b".conf";

/// Reads the folders and `/etc/sysctl.conf` of the system at `root`, which is `/` but for recorded
/// trees. Links are resolved inside of `root` (openat2(2), Linux 5.6, needed only for another root
/// than `/`). Only regular files are opened for reading, so that nothing waits on a FIFO and no device is
/// touched. Needs no privilege for what everybody may read; what cannot be read stands in the tree with
/// its reason.
#[must_use]
pub fn tree(root: &Path) -> Tree {
    let mut tree = Tree::default();
    let root = match Root::open(root) {
        Ok(root) => root,
        Err(errno) => {
            tree.unreadable = Folder::ALL.map(|folder| (folder, words(errno))).to_vec();
            return tree;
        }
    };
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for folder in Folder::ALL {
        if let Err(errno) = read_folder(&root, folder, &mut seen, &mut tree.files)
            && errno != Errno::NOENT
        {
            tree.unreadable.push((folder, words(errno)));
        }
    }
    tree.sysctl_conf = match root.content(SYSCTL_CONF) {
        Content::Dangling => None,
        content => Some(content),
    };
    tree
}

/// `/lib` is a link to `/usr/lib` on most systems: what lies there is one file, not two.
fn read_folder(
    root: &Root,
    folder: Folder,
    seen: &mut Vec<(u64, u64)>,
    files: &mut Vec<File>,
) -> rustix::io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let directory = root.open_at(folder.path(), flags)?;
    let stat = rustix::fs::fstat(&directory)?;
    let identity = (stat.st_dev, stat.st_ino);
    if seen.contains(&identity) {
        return Ok(());
    }
    seen.push(identity);
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if !name.ends_with(SUFFIX) {
            continue;
        }
        let link = rustix::fs::readlinkat(&directory, entry.file_name(), Vec::new());
        let link = link.ok().map(|link| link.to_string_lossy().into_owned());
        let content = match link.as_deref() {
            Some("/dev/null") => Content::Masked,
            _ => {
                let mut path = folder.path().as_bytes().to_vec();
                path.push(b'/');
                path.extend(name);
                root.content(std::ffi::OsStr::from_bytes(&path))
            }
        };
        files.push(File {
            folder,
            name: name.to_vec(),
            link,
            content,
        });
    }
    Ok(())
}

/// The root of a file system; paths below it are absolute.
struct Root {
    directory: OwnedFd,
    is_own: bool,
}

impl Root {
    fn open(path: &Path) -> rustix::io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self {
            directory: rustix::fs::openat(CWD, path, flags, Mode::empty())?,
            is_own: path == Path::new("/"),
        })
    }

    /// Opens without waiting and without a terminal becoming the process's own.
    fn open_at(&self, path: impl rustix::path::Arg, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let mut flags = flags | OFlags::CLOEXEC;
        if !flags.contains(OFlags::PATH) {
            // openat2(2) refuses what means nothing together.
            flags |= OFlags::NONBLOCK | OFlags::NOCTTY;
        }
        if self.is_own {
            return rustix::fs::openat(CWD, path, flags, Mode::empty());
        }
        let resolve = ResolveFlags::IN_ROOT;
        rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), resolve)
    }

    /// What a path leads to.
    fn content(&self, path: impl rustix::path::Arg + Copy) -> Content {
        match self.text(path) {
            Ok(content) => content,
            Err(Errno::NOENT) => Content::Dangling,
            Err(errno) => Content::Unreadable(words(errno)),
        }
    }

    fn text(&self, path: impl rustix::path::Arg + Copy) -> rustix::io::Result<Content> {
        // Looked at first: to open some devices is to use them.
        if let Some(content) = judge(&stat(&self.open_at(path, OFlags::PATH)?)?) {
            return Ok(content);
        }
        let file = self.open_at(path, OFlags::RDONLY)?;
        if let Some(content) = judge(&stat(&file)?) {
            return Ok(content);
        }
        let mut text = Vec::new();
        let file = std::fs::File::from(file);
        let read = file.take(MAX_FILE + 1).read_to_end(&mut text);
        read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MAX_FILE) {
            return Ok(Content::TooLarge);
        }
        Ok(Content::Text(text))
    }
}

fn stat(file: &OwnedFd) -> rustix::io::Result<Stat> {
    rustix::fs::statat(file, "", AtFlags::EMPTY_PATH)
}

/// What is no regular file is not read; `None` for one that is.
fn judge(stat: &Stat) -> Option<Content> {
    let null = rustix::fs::makedev(1, 3);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some(Content::Folder),
        FileType::CharacterDevice if stat.st_rdev == null => Some(Content::Masked),
        _ => Some(Content::Special),
    }
}
