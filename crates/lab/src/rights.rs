//! The right to make network namespaces: root's, or that of a user namespace of our own.

use std::fs;

use rustix::process::{getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::{Error, Result};
use crate::sys;

/// Where the rights come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// The process had them.
    Own,
    /// It moved into a user namespace of its own, in which it has them.
    UserNamespace,
}

impl Rights {
    /// Makes sure of `CAP_SYS_ADMIN`, `CAP_NET_ADMIN` and `CAP_NET_RAW` over namespaces that this
    /// process makes. To be called before any thread is started: a process with several may not
    /// enter a user namespace. Files that are made later belong to the same user as before.
    ///
    /// # Errors
    /// [`Error::NotPermitted`] where user namespaces are forbidden too.
    pub fn acquire() -> Result<Self> {
        let needed = CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
        let held = capabilities(None).map_err(Error::system("read the own capabilities"))?;
        if held.effective.contains(needed) {
            return Ok(Self::Own);
        }
        let refused = |operation| move |errno| Error::NotPermitted { operation, errno };
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        sys::unshare_user().map_err(refused("unshare(CLONE_NEWUSER)"))?;
        for (file, text) in [
            ("setgroups", "deny".to_owned()),
            ("uid_map", format!("0 {uid} 1")),
            ("gid_map", format!("0 {gid} 1")),
        ] {
            fs::write(format!("/proc/self/{file}"), text)
                .map_err(|error| rustix::io::Errno::from_io_error(&error))
                .map_err(|errno| Error::NotPermitted {
                    operation: "write the maps of an own user namespace",
                    errno: errno.unwrap_or(rustix::io::Errno::IO),
                })?;
        }
        Ok(Self::UserNamespace)
    }
}
