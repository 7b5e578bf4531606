//! Programs where every user can start them.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::listing::SOCKPULSE;

/// Copies of the binary and of this test binary in a folder that everybody may enter; the folder of
/// the build need not be one. Removed in the end.
#[derive(Debug)]
pub(crate) struct Openly {
    folder: PathBuf,
}

impl Openly {
    /// Makes them.
    pub(crate) fn new() -> Self {
        let template = std::env::temp_dir().join("sockpulse-test");
        let open = Self {
            folder: unique(&template),
        };
        open.copy(Path::new(SOCKPULSE), "sockpulse");
        // Also when a build has replaced this binary meanwhile.
        open.copy(Path::new("/proc/self/exe"), "fixture");
        open
    }

    fn copy(&self, from: &Path, name: &str) {
        let to = self.folder.join(name);
        std::fs::copy(from, &to).expect("a copy of a program");
        std::fs::set_permissions(&to, Permissions::from_mode(0o755)).expect("chmod");
    }

    fn path(&self, name: &str) -> String {
        let path = self.folder.join(name);
        path.to_str().expect("a path in UTF-8").to_owned()
    }

    /// The binary under test.
    pub(crate) fn sockpulse(&self) -> String {
        self.path("sockpulse")
    }

    /// This test binary.
    pub(crate) fn fixture(&self) -> String {
        self.path("fixture")
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Openly {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A new folder beside others of the same name.
fn unique(template: &Path) -> PathBuf {
    let mut number = 0;
    loop {
        let name = format!("{}-{}-{number}", template.display(), std::process::id());
        let folder = PathBuf::from(name);
        match std::fs::create_dir(&folder) {
            Ok(()) => {
                let all = Permissions::from_mode(0o755);
                std::fs::set_permissions(&folder, all).expect("chmod");
                return folder;
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => panic!("{}: {error}", folder.display()),
        }
    }
}
