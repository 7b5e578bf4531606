//! Method preload: the library in front of the program's libc.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sockpulse_linux::exec;
use sockpulse_preload::{Request, VARIABLE};

use super::program::{Linkage, Program};
use crate::error::{CommandError, ErrorKind};

/// The library's name.
const LIBRARY: &str = "libsockpulse_preload.so";

/// Sets the variables that the dynamic linker and the library read.
pub(super) fn apply(request: &Request, program: &Program) -> Result<(), CommandError> {
    if program.linkage() == Linkage::Static {
        let what = format!(
            "{} is static and loads no library",
            program.path().display()
        );
        return Err(CommandError::new(ErrorKind::Incomplete, what)
            .hint("sockpulse run --method seccomp reaches it"));
    }
    if program.linkage() == Linkage::Foreign {
        let what = format!(
            "{} is a 32-bit program or for another processor, and loads other libraries than ours",
            program.path().display()
        );
        return Err(CommandError::new(ErrorKind::Incomplete, what)
            .hint("sockpulse run --method seccomp reaches it"));
    }
    if program.gains_privilege() {
        let what = format!(
            "{} gains privilege by its file, and loads no library of others then",
            program.path().display()
        );
        return Err(CommandError::new(ErrorKind::NotPermitted, what));
    }
    let library = library()?;
    exec::set_variable(VARIABLE, request.to_string().as_ref());
    exec::set_variable("LD_PRELOAD", &before_others(&library));
    Ok(())
}

/// First, so that what others put there finds us behind it as libc.
fn before_others(library: &Path) -> OsString {
    let mut value = library.as_os_str().to_owned();
    if let Some(others) = std::env::var_os("LD_PRELOAD").filter(|others| !others.is_empty()) {
        value.push(":");
        value.push(others);
    }
    value
}

/// Where packages and builds put it, seen from our own program.
fn library() -> Result<PathBuf, CommandError> {
    let missing = |what: String| {
        CommandError::new(ErrorKind::Incomplete, what)
            .hint("the package sockpulse brings it; a build has it by `cargo preload`")
    };
    let own =
        std::env::current_exe().map_err(|error| missing(format!("failed to find it: {error}")))?;
    let folder = own.parent().unwrap_or(Path::new("/"));
    let places = ["../lib/sockpulse", ".", "../preload"].map(|place| folder.join(place));
    let found = places.iter().find_map(|place| {
        let path = place.join(LIBRARY).canonicalize().ok()?;
        path.is_file().then_some(path)
    });
    let library =
        found.ok_or_else(|| missing(format!("there is no {LIBRARY} beside sockpulse")))?;
    // The dynamic linker ends a name there.
    if library
        .as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b": \n".contains(byte))
    {
        let what = format!("{} has a space or a colon in its path", library.display());
        return Err(CommandError::new(ErrorKind::Incomplete, what));
    }
    Ok(library)
}
