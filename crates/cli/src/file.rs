//! Files that the user named, with what helps when they cannot be written.

use std::path::Path;

use rustix::io::Errno;
use sockpulse_linux::Error;
use sockpulse_linux::file::{self, Whose};

use crate::error::{CommandError, ErrorKind};

/// Writes a file whole or not at all.
///
/// # Errors
/// When the path is a directory, its folder is missing, or writing is not permitted or fails; the
/// old file is then as it was.
pub(crate) fn replace(path: &Path, contents: &[u8]) -> Result<(), CommandError> {
    if path.as_os_str().is_empty() {
        let text = "the name of the file is empty";
        return Err(CommandError::new(ErrorKind::Usage, text).hint("name a file, like out.svg"));
    }
    file::replace(path, contents, Whose::TheUsers).map_err(|error| refusal(path, &error))
}

fn refusal(path: &Path, error: &Error) -> CommandError {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).display();
    let (kind, hint) = match error.errno() {
        None => (ErrorKind::Usage, Some("name a file".into())),
        Some(Errno::NOENT) => (ErrorKind::Usage, Some(format!("mkdir -p {folder}"))),
        Some(Errno::NOTDIR) => (ErrorKind::Usage, Some(format!("{folder} is no folder"))),
        Some(Errno::ACCESS | Errno::PERM) => (
            ErrorKind::NotPermitted,
            Some("name a file in a folder that you may write to".into()),
        ),
        Some(Errno::ROFS) => (
            ErrorKind::Incomplete,
            Some("name a file on a file system that can be written".into()),
        ),
        Some(_) => (ErrorKind::Incomplete, None),
    };
    let failure = CommandError::new(kind, error.reason());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        replace(&file, b"x").unwrap();
        for (path, status, hint) in [
            (folder.path().to_owned(), 2, Some("name a file")),
            (folder.path().join("no/a.svg"), 2, Some("mkdir -p ")),
            (file.join("a.svg"), 2, Some("is no folder")),
            ("".into(), 2, Some("name a file, like")),
            ("/dev/full".into(), 3, None),
        ] {
            let error = replace(&path, b"y").unwrap_err();
            assert_eq!(error.status(), status, "{error}");
            match (error.hints(), hint) {
                ([told], Some(hint)) => assert!(told.contains(hint), "{told}"),
                (told, _) => assert_eq!((told.len(), hint), (0, None), "{error}"),
            }
        }
        assert_eq!(std::fs::read(&file).unwrap(), b"x");
    }

    #[test]
    fn a_missing_permission_is_told_as_one() {
        let error = Error::System {
            operation: sockpulse_linux::Operation::Create,
            object: "/x/a.svg".into(),
            errno: Errno::ACCESS,
        };
        let told = refusal(Path::new("/x/a.svg"), &error);
        assert_eq!(told.status(), 4);
        assert_eq!(
            told.to_string(),
            "failed to create /x/a.svg: permission denied"
        );
    }
}
