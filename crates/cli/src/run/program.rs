//! What kind of program is to be started: who loads libraries for it, and whether its file gives it
//! privilege.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;

/// A program's file.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    linkage: Linkage,
    privilege: bool,
}

/// Whether libraries can stand in front of libc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Linkage {
    /// A dynamic linker loads it.
    Dynamic,
    /// A dynamic linker loads it that takes other libraries than ours: a 32-bit program, for one.
    Foreign,
    /// It stands alone.
    Static,
    /// Its user may execute and not read it. The kernel then lets nobody look into what runs it, nor
    /// borrow from it (`would_dump()`, fs/exec.c).
    Unreadable,
    /// It is none that is known.
    Unknown,
}

impl Program {
    /// Finds it as execvp(3) does.
    pub(super) fn find(name: &OsStr) -> Result<Self, Errno> {
        let path = in_path(name)?;
        let (linkage, privilege) = examine(&path, SCRIPTS);
        Ok(Self {
            path,
            linkage,
            privilege,
        })
    }

    /// Its file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether libraries can stand in front of libc.
    pub(super) const fn linkage(&self) -> Linkage {
        self.linkage
    }

    /// Whether starting it gives more privilege than the caller has: set-user-id, set-group-id, file
    /// capabilities. Root loses nothing by either method.
    pub(super) fn gains_privilege(&self) -> bool {
        self.privilege && !rustix::process::geteuid().is_root()
    }
}

/// Scripts whose interpreters are scripts: as deep as the kernel goes (`BINPRM_MAX_RECURSION`).
const SCRIPTS: u8 = 5;

fn in_path(name: &OsStr) -> Result<PathBuf, Errno> {
    if name.is_empty() {
        return Err(Errno::NOENT);
    }
    if name.as_bytes().contains(&b'/') {
        access(name, Access::EXEC_OK)?;
        // A folder may be executed too, in its own way.
        return match Path::new(name).is_dir() {
            true => Err(Errno::ACCESS),
            false => Ok(name.into()),
        };
    }
    let mut found = Err(Errno::NOENT);
    // What execvp(3) takes where there is none.
    let places = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    for folder in std::env::split_paths(&places) {
        let path = folder.join(name);
        match access(&path, Access::EXEC_OK) {
            Ok(()) if path.is_file() => return Ok(path),
            Err(Errno::ACCESS) | Ok(()) => found = Err(Errno::ACCESS),
            Err(_) => {}
        }
    }
    found
}

fn examine(path: &Path, depth: u8) -> (Linkage, bool) {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            return (Linkage::Unreadable, gives_privilege(path));
        }
        Err(_) => return (Linkage::Unknown, false),
    };
    let mut start = [0; 256];
    let length = file.read(&mut start).unwrap_or(0);
    let start = &start[..length];
    if let Some(line) = start.strip_prefix(b"#!") {
        // The kernel takes no privilege from a script's file.
        return match interpreter(line) {
            Some(path) if depth > 0 => examine(&path, depth - 1),
            _ => (Linkage::Unknown, false),
        };
    }
    (
        linkage(&file, start).unwrap_or(Linkage::Unknown),
        gives_privilege(path),
    )
}

fn interpreter(line: &[u8]) -> Option<PathBuf> {
    let line = line.split(|byte| *byte == b'\n').next()?;
    let mut words = line.split(|byte| byte.is_ascii_whitespace());
    let word = words.find(|word| !word.is_empty())?;
    let path = PathBuf::from(OsStr::from_bytes(word));
    // env(1) is a program as any other, but the one that it starts matters.
    if path.file_name() == Some(OsStr::new("env")) {
        let name = words.find(|word| !word.is_empty() && !word.starts_with(b"-"))?;
        return in_path(OsStr::from_bytes(name)).ok();
    }
    Some(path)
}

/// Looks for `PT_INTERP` in an ELF file of this machine's byte order.
fn linkage(file: &File, start: &[u8]) -> Option<Linkage> {
    const PT_INTERP: u32 = 3;
    let header = start.get(..64)?;
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let wide = header[4] == 2;
    let half = |at: usize| Some(u16::from_ne_bytes(header.get(at..at + 2)?.try_into().ok()?));
    let (offset, size, count) = if wide {
        let offset = u64::from_ne_bytes(header.get(32..40)?.try_into().ok()?);
        (offset, half(54)?, half(56)?)
    } else {
        let offset = u32::from_ne_bytes(header.get(28..32)?.try_into().ok()?);
        (offset.into(), half(42)?, half(44)?)
    };
    for index in 0..count {
        let at = offset.checked_add(u64::from(index) * u64::from(size))?;
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, at).ok()?;
        if u32::from_ne_bytes(kind) == PT_INTERP {
            let own = own_header()?;
            return Some(if machine(header) == machine(&own) {
                Linkage::Dynamic
            } else {
                Linkage::Foreign
            });
        }
    }
    Some(Linkage::Static)
}

/// What a library must have in common with the program: the class of ELF file, its byte order and its
/// machine.
fn machine(header: &[u8]) -> Option<(&[u8], &[u8])> {
    Some((header.get(4..6)?, header.get(18..20)?))
}

fn own_header() -> Option<[u8; 20]> {
    let mut header = [0; 20];
    let own = File::open("/proc/self/exe").ok()?;
    own.read_exact_at(&mut header, 0).ok()?;
    Some(header)
}

fn gives_privilege(path: &Path) -> bool {
    const SET_USER_ID: u32 = 0o4000;
    const SET_GROUP_ID: u32 = 0o2000;
    let by_mode = std::fs::metadata(path).is_ok_and(|meta| {
        let user =
            meta.mode() & SET_USER_ID != 0 && meta.uid() != rustix::process::geteuid().as_raw();
        let group =
            meta.mode() & SET_GROUP_ID != 0 && meta.gid() != rustix::process::getegid().as_raw();
        user || group
    });
    let mut none: [u8; 0] = [];
    let capabilities = rustix::fs::getxattr(path, "security.capability", &mut none);
    by_mode || capabilities.is_ok_and(|length| length > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn programs_are_found_as_the_shell_finds_them() {
        let sh = Program::find(OsStr::new("sh")).unwrap();
        assert!(sh.path().ends_with("sh"));
        assert_eq!(sh.linkage(), Linkage::Dynamic);
        assert!(!sh.gains_privilege());
        let errno = |name: &str| Program::find(OsStr::new(name)).unwrap_err();
        assert_eq!(errno("no-such-program-anywhere"), Errno::NOENT);
        assert_eq!(errno(""), Errno::NOENT);
        assert_eq!(errno("/etc/hostname/x"), Errno::NOTDIR);
        assert_eq!(errno("/etc"), Errno::ACCESS);
    }

    #[test]
    fn programs_of_another_machine_load_other_libraries() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        let mut bytes = std::fs::read("/bin/sh").unwrap();
        bytes[18] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let found = Program::find(path.as_os_str()).unwrap();
        assert_eq!(found.linkage(), Linkage::Foreign);
    }

    #[test]
    fn scripts_are_as_their_interpreters() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("script");
        for (text, linkage) in [
            ("#!/bin/sh\n", Linkage::Dynamic),
            ("#! /bin/sh -eu\n", Linkage::Dynamic),
            ("#!/usr/bin/env -S sh -e\n", Linkage::Dynamic),
            ("#!/nonexistent\n", Linkage::Unknown),
            ("#!\n", Linkage::Unknown),
            ("echo\n", Linkage::Unknown),
        ] {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            let found = Program::find(path.as_os_str()).unwrap();
            assert_eq!(found.linkage(), linkage, "{text}");
        }
        // One that names itself ends somewhere.
        std::fs::write(&path, format!("#!{}\n", path.display())).unwrap();
        assert_eq!(
            Program::find(path.as_os_str()).unwrap().linkage(),
            Linkage::Unknown
        );
    }
}
