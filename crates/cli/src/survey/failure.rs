//! What the readers' errors mean for the command: its exit status and what would help.

use std::error::Error;
use std::fmt;

use crate::error::{CommandError, ErrorKind};

/// The readers' messages are fragments that read after "failed to".
#[derive(Debug)]
struct Failed<E>(E);

impl<E: fmt::Display> fmt::Display for Failed<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failed to {}", self.0)
    }
}

impl<E: Error> Error for Failed<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}

impl From<sockpulse_linux::Error> for CommandError {
    fn from(error: sockpulse_linux::Error) -> Self {
        use sockpulse_linux::Error as Linux;
        let (kind, hint) = match &error {
            Linux::NoSuchNamespace { .. } | Linux::NotANamespace { .. } => (
                ErrorKind::Usage,
                Some("`sockpulse defaults` shows the names; the id of a process in it serves too"),
            ),
            Linux::AmbiguousNamespace { .. } => (
                ErrorKind::Usage,
                Some("name one of them, or a process in it: --netns PID"),
            ),
            Linux::NoSuchProcess { .. } => (ErrorKind::Usage, Some("`ps -e` lists processes")),
            error if error.is_permission() => (
                ErrorKind::NotPermitted,
                Some("run as root, or grant CAP_SYS_ADMIN and CAP_SYS_PTRACE"),
            ),
            // Nothing but a missing mount makes its own entries vanish.
            Linux::System { object, .. } if error.is_gone() && object.starts_with("/proc") => (
                ErrorKind::Incomplete,
                Some("mount it: mount -t proc proc /proc"),
            ),
            _ => (ErrorKind::Incomplete, None),
        };
        let failure = Self::new(kind, Failed(error));
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

impl From<sockpulse_core::protect::TableError> for CommandError {
    fn from(error: sockpulse_core::protect::TableError) -> Self {
        use sockpulse_core::protect::TableError as Table;
        let hint = match &error {
            Table::OnlyExisting { .. } => "set what is open: --existing",
            Table::Rules { .. } => "end some: sockpulse unprotect NAME",
            _ => "say it in fewer or shorter words, or in several rules; --existing knows no limit",
        };
        Self::new(ErrorKind::Usage, Failed(error)).hint(hint)
    }
}

/// Why the kernel's rules for connections to come could not be read or set.
pub(crate) fn of_rules(error: sockpulse_bpf::Error) -> CommandError {
    use sockpulse_bpf::Error as Bpf;
    let (kind, hint) = match &error {
        Bpf::NotPermitted { .. } | Bpf::HooksNotPermitted { .. } => (
            ErrorKind::NotPermitted,
            "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; --existing does without",
        ),
        Bpf::Pin { source, .. } if source.kind() == std::io::ErrorKind::PermissionDenied => (
            ErrorKind::NotPermitted,
            "run as root; --existing does without",
        ),
        Bpf::NoBpffs { .. } => (
            ErrorKind::Incomplete,
            "mount one: mount -t bpf bpf /sys/fs/bpf",
        ),
        Bpf::Foreign { .. } | Bpf::Torn { .. } => {
            (ErrorKind::Incomplete, "end them: sockpulse unprotect")
        }
        _ => (
            ErrorKind::Incomplete,
            "set what is open all the same: --existing",
        ),
    };
    CommandError::new(kind, Failed(error)).hint(hint)
}

impl From<sockpulse_bpf::Error> for CommandError {
    fn from(error: sockpulse_bpf::Error) -> Self {
        use sockpulse_bpf::Error as Bpf;
        let (kind, hint) = match &error {
            Bpf::NotPermitted { .. } => (
                ErrorKind::NotPermitted,
                "run as root, grant CAP_BPF and CAP_PERFMON, or use --source pidfd".to_owned(),
            ),
            Bpf::LookupNotPermitted { .. } => (
                ErrorKind::NotPermitted,
                "run as root, grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or use --method option"
                    .to_owned(),
            ),
            Bpf::HooksNotPermitted { .. } => (
                ErrorKind::NotPermitted,
                "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN".to_owned(),
            ),
            Bpf::UnknownRisk { .. } => (
                ErrorKind::Usage,
                "`sockpulse doctor` lists the risks of this kernel".to_owned(),
            ),
            Bpf::KernelRisk { risk, .. } => (
                ErrorKind::NotPermitted,
                format!(
                    "--accept-kernel-risk {} if your distribution mended it",
                    risk.id
                ),
            ),
            _ => (
                ErrorKind::Incomplete,
                "use --source pidfd, which needs no BPF".to_owned(),
            ),
        };
        Self::new(kind, Failed(error)).hint(hint)
    }
}
