//! Writes a file whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{CommandError, ErrorKind};

/// Names that are tried for the new file: a leftover of a process that was killed may have one.
const ATTEMPTS: u32 = 16;

/// Writes the file. Whoever reads it sees the old contents or the new, never a part: the new file
/// takes the old one's name when it is on the disk. What is no file, like a pipe, is written into.
///
/// # Errors
/// When the path is a directory, its folder is missing, or writing is not permitted or fails; the
/// old file is then as it was.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), CommandError> {
    if path.as_os_str().is_empty() {
        return Err(usage("the name of the file is empty".into()).hint("name a file, like out.svg"));
    }
    let failed = |error| refusal(path, error);
    match fs::metadata(path) {
        Ok(old) if old.is_dir() => {
            let text = format!("{} is a directory", path.display());
            let inside = path.join("sockpulse.svg");
            Err(usage(text).hint(format!("name a file in it, like {}", inside.display())))
        }
        Ok(old) if !old.is_file() => {
            let mut open = OpenOptions::new().write(true).open(path).map_err(failed)?;
            open.write_all(contents).map_err(failed)
        }
        Ok(old) => {
            // What a symbolic link points to is replaced, not the link.
            let target = fs::canonicalize(path).map_err(failed)?;
            let keep = |file: &File| file.set_permissions(old.permissions());
            rename_over(&target, contents, keep).map_err(failed)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            rename_over(path, contents, |_| Ok(())).map_err(failed)
        }
        Err(error) => Err(failed(error)),
    }
}

fn rename_over(
    path: &Path,
    contents: &[u8],
    prepare: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (mut file, new) = create_beside(folder, path)?;
    let filled = prepare(&file)
        .and_then(|()| file.write_all(contents))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if let Err(error) = filled {
        // The error that made it useless is what is told.
        let _ = fs::remove_file(&new);
        return Err(error);
    }
    // The name is on the disk when its folder is.
    File::open(folder)?.sync_all()
}

fn create_beside(folder: &Path, path: &Path) -> io::Result<(File, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut result = Err(io::ErrorKind::AlreadyExists.into());
    for attempt in 0..ATTEMPTS {
        let id = std::process::id();
        let new = folder.join(format!(".{name}.{id}-{attempt}.new"));
        result = OpenOptions::new().write(true).create_new(true).open(&new);
        match result {
            Ok(file) => return Ok((file, new)),
            Err(ref error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(_) => break,
        }
    }
    result.map(|file| (file, PathBuf::new()))
}

fn refusal(path: &Path, error: io::Error) -> CommandError {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display().to_string();
    let told = format!("failed to write {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => {
            usage(format!("there is no folder {folder}")).hint(format!("mkdir -p {folder}"))
        }
        io::ErrorKind::NotADirectory => usage(told).hint(format!("{folder} is no folder")),
        io::ErrorKind::PermissionDenied => CommandError::new(ErrorKind::NotPermitted, told)
            .hint("name a file in a folder that you may write to"),
        io::ErrorKind::ReadOnlyFilesystem => CommandError::new(ErrorKind::Incomplete, told)
            .hint("name a file on a file system that can be written"),
        _ => CommandError::new(ErrorKind::Incomplete, told),
    }
}

fn usage(text: String) -> CommandError {
    CommandError::new(ErrorKind::Usage, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_made_and_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.svg");
        replace(&path, b"one").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640, "as the old one was");
        assert_eq!(names(folder.path()), ["a.svg"]);
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        replace(&real, b"one").unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, b"two").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&real).unwrap(), b"two");
    }

    #[test]
    fn what_is_no_file_is_written_into() {
        replace(Path::new("/dev/null"), b"x").unwrap();
        let null = fs::metadata("/dev/null").unwrap();
        assert!(!null.is_file());
        let full = replace(Path::new("/dev/full"), b"x").unwrap_err();
        assert_eq!(full.status(), 3);
    }

    #[test]
    fn refusals_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, b"x").unwrap();
        for (path, kind, said, hint) in [
            (
                folder.path().into(),
                ErrorKind::Usage,
                "is a directory",
                "name a file in it",
            ),
            (
                folder.path().join("no/a.svg"),
                ErrorKind::Usage,
                "there is no folder",
                "mkdir -p",
            ),
            (
                file.join("a.svg"),
                ErrorKind::Usage,
                "Not a directory",
                "is no folder",
            ),
            (PathBuf::new(), ErrorKind::Usage, "empty", "name a file"),
        ] {
            let error = replace(&path, b"x").unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.hints()[0].contains(hint), "{:?}", error.hints());
        }
        assert_eq!(names(folder.path()), ["file"]);
    }

    #[test]
    fn a_missing_permission_is_told_as_one() {
        let error = refusal(
            Path::new("/x/a.svg"),
            io::ErrorKind::PermissionDenied.into(),
        );
        assert_eq!(error.status(), 4);
        assert_eq!(
            error.to_string(),
            "failed to write /x/a.svg: permission denied"
        );
    }
}
