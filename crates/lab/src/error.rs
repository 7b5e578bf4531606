//! What can fail while a lab is built, broken and watched.

use std::io;

use rustix::io::Errno;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of this crate. Messages read after "failed to".
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The rights to make network namespaces are missing.
    #[error("make network namespaces: {operation}")]
    NotPermitted {
        /// The system call that was refused.
        operation: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A program that the lab uses is not installed.
    #[error("start {program}: it is not installed")]
    MissingProgram {
        /// Its name.
        program: &'static str,
        /// The Debian package that brings it.
        package: &'static str,
    },
    /// A program that the lab uses could not be started.
    #[error("start {program}")]
    Start {
        /// Its name.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program that the lab uses failed.
    #[error("run {program} on the {host}: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// Where it ran.
        host: &'static str,
        /// The first line that it wrote to stderr, else how it ended.
        said: String,
    },
    /// A system call failed.
    #[error("{operation}")]
    System {
        /// What was being done, and to what.
        operation: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
    /// A sysctl could not be set.
    #[error("set {name} to {value} on the {host}")]
    Sysctl {
        /// As in sysctl(8).
        name: String,
        /// The value.
        value: i64,
        /// Where.
        host: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel's settings could not be read.
    #[error(transparent)]
    Linux(#[from] sockpulse_linux::Error),
    /// What a scenario needs to begin did not come about.
    #[error("see {event} within {seconds} s")]
    Late {
        /// What was waited for.
        event: &'static str,
        /// For how long.
        seconds: u64,
    },
}

const ROOT: &str = "run it as root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW); a container has them with \
                    --privileged";

impl Error {
    /// For `map_err` on a system call.
    pub(crate) fn system<E: Into<io::Error>>(operation: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::System {
            operation,
            errno: Errno::from_io_error(&error.into()).unwrap_or(Errno::IO),
        }
    }

    /// Whether a right is missing.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::NotPermitted { .. } => true,
            Self::System { errno, .. } => matches!(*errno, Errno::PERM | Errno::ACCESS),
            Self::Linux(error) => error.is_permission(),
            _ => false,
        }
    }

    /// What would help, one line each.
    #[must_use]
    pub fn remedies(&self) -> Vec<String> {
        match self {
            Self::NotPermitted { errno, .. } => {
                let namespaces = match *errno {
                    // What create_user_ns() says when there are as many as may be.
                    Errno::NOSPC => {
                        "or let there be more user namespaces: sysctl user.max_user_namespaces"
                    }
                    _ => {
                        "or let users make user namespaces: sysctl kernel.unprivileged_userns_clone=1, \
                         and where AppArmor restricts them \
                         kernel.apparmor_restrict_unprivileged_userns=0"
                    }
                };
                vec![ROOT.into(), namespaces.into()]
            }
            Self::MissingProgram { package, .. } => {
                vec![format!("install it: apt-get install {package}")]
            }
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_user_namespaces_is_told_apart_from_their_ban() {
        let refused = |errno| Error::NotPermitted {
            operation: "unshare(CLONE_NEWUSER)",
            errno,
        };
        for (errno, sysctl) in [
            (Errno::NOSPC, "user.max_user_namespaces"),
            (Errno::PERM, "kernel.unprivileged_userns_clone"),
        ] {
            let remedies = refused(errno).remedies();
            assert_eq!(remedies.len(), 2);
            assert!(remedies[1].contains(sysctl), "{remedies:?}");
        }
    }
}
