//! What of BPF this kernel and these privileges allow, found out by trying.

use std::path::Path;

use sockpulse_core::Hz;
use sockpulse_linux::support::{Facility, Support};

use crate::error::{Error, Operation};
use crate::glance::{self, Endings};
use crate::load::BTF;
use crate::protect::{self, Hook, PINS};
use crate::risk::RiskAccepted;
use crate::watch::{self, Kinds};
use crate::{IterTcp, TaskFile, sys};

const CAPABILITIES: &str = "CAP_BPF and CAP_PERFMON in the initial user namespace: run as root, or \
                            `setcap cap_bpf,cap_perfmon+ep` the program";
const HOOK_CAPABILITIES: &str = "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN in the initial user namespace: \
                                 run as root";
const BPFFS: &str = "`mount -t bpf bpf /sys/fs/bpf`";
const NO_NEW: &str = "only connections that are open can be protected, and what listeners hand on";
const TYPES: &str = "a kernel with CONFIG_DEBUG_INFO_BTF, and /sys mounted";

/// Tries every facility that this crate uses, and changes nothing. Takes some 10 to 35 ms for each
/// program: they are loaded, the kernel's verifier reads them, and they are dropped again.
#[must_use]
pub fn facilities(accepted: RiskAccepted) -> Vec<Facility> {
    vec![
        bpf(),
        btf(Path::new(BTF)),
        task_file(),
        iter_tcp(accepted),
        hooks(
            "BPF cgroup hooks",
            &[Hook::Connect4, Hook::SetSockOpt],
            "`protect --new` and policy rules: connections to come get their settings",
        ),
        hooks(
            "BPF sock_ops",
            &[Hook::SockOps],
            "rules that ask for the far end of accepted connections",
        ),
        bpffs(Path::new(PINS)),
        lookup(),
        tracepoint(),
        timers(),
    ]
}

fn bpf() -> Facility {
    let tried =
        sys::try_bpf().map_err(|error| Error::of(Operation::Load, "the smallest program", error));
    facility(
        "bpf(2)",
        tried,
        "both iterators below",
        "keepalive settings come from pidfd_getfd instead, or stay unknown",
    )
}

fn btf(path: &Path) -> Facility {
    let tried = match path.try_exists() {
        Ok(true) => Ok(()),
        _ => Err(Error::NoBtf {
            object: "any iterator",
            path: path.into(),
        }),
    };
    facility(
        "BTF",
        tried,
        "fitting the BPF programs to this kernel's structures",
        "no BPF program can be loaded",
    )
}

fn task_file() -> Facility {
    let tried = TaskFile::load().and_then(|iterator| iterator.open(Some(std::process::id())));
    facility(
        "BPF task_file iterator",
        tried.map(drop),
        "settings, timers and owners of all processes' sockets in all namespaces, in one pass",
        "settings are read socket by socket through pidfd_getfd, which is slower and needs \
         CAP_SYS_PTRACE",
    )
}

fn iter_tcp(accepted: RiskAccepted) -> Facility {
    let tried = IterTcp::load(accepted).and_then(|iterator| iterator.open());
    facility(
        "BPF tcp iterator",
        tried.map(drop),
        "settings and timers of sockets without a process (orphans, not yet accepted)",
        "settings of sockets without a process stay unknown",
    )
}

fn hooks(name: &'static str, hooks: &[Hook], serves: &'static str) -> Facility {
    facility(name, protect::try_hooks(hooks), serves, NO_NEW)
}

fn bpffs(pins: &Path) -> Facility {
    let tried = match protect::can_pin(pins) {
        true => Ok(()),
        false => Err(Error::NoBpffs { path: pins.into() }),
    };
    facility(
        "bpffs",
        tried,
        "keeping these programs beyond the command's life",
        NO_NEW,
    )
}

fn lookup() -> Facility {
    facility(
        "BPF socket lookup",
        glance::try_look(),
        "`ping` and `reap`: a connection is looked at again and again while it is asked",
        "connections are asked by `--method option`, through their program's descriptor",
    )
}

fn tracepoint() -> Facility {
    facility(
        "BPF state tracepoint",
        Endings::load(1).map(drop),
        "telling how a connection ended that was being asked or watched",
        "a connection that was reset while it was asked is told as one that is gone",
    )
}

fn timers() -> Facility {
    // Any rate will do: nothing is attached.
    let hz = sockpulse_linux::hz().or(Hz::new(1));
    let hz = hz.expect("1 is a tick rate");
    facility(
        "BPF timer tracepoint",
        watch::try_kinds(Kinds::PROBING.with(Kinds::RECOVERED), hz),
        "`watch`: keepalive probes that are not answered, and peers that are heard again",
        "`watch` tells of connections that open and end, not of those that fall silent",
    )
}

fn facility(
    name: &'static str,
    tried: Result<(), Error>,
    serves: &'static str,
    without: &'static str,
) -> Facility {
    let (support, grant) = match tried {
        Ok(()) => (Support::Yes, None),
        Err(error) => {
            let grant = grant(&error);
            (Support::No { why: why(&error) }, grant)
        }
    };
    Facility {
        name,
        support,
        serves,
        without,
        grant,
    }
}

/// The reason alone: the facility's name stands beside it.
fn why(error: &Error) -> String {
    match error {
        Error::NotPermitted { source, .. }
        | Error::HooksNotPermitted { source, .. }
        | Error::LookupNotPermitted { source, .. }
        | Error::Pin { source, .. }
        | Error::NoBpf { source, .. }
        | Error::Rejected { source, .. }
        | Error::Bpf { source, .. } => source.to_string(),
        Error::NoBtf { path, .. } => format!("{} does not exist", path.display()),
        Error::KernelRisk { risk, kernel, .. } => {
            format!("kernel {kernel} is affected by {}: {}", risk.id, risk.what)
        }
        Error::NoBpffs { path } => format!("no bpffs is mounted at {}", path.display()),
        Error::BufferTooSmall { .. }
        | Error::UnknownRisk { .. }
        | Error::Foreign { .. }
        | Error::Torn { .. }
        | Error::Pattern { .. }
        | Error::Texts { .. } => error.to_string(),
    }
}

fn grant(error: &Error) -> Option<String> {
    match error {
        Error::NotPermitted { .. } => Some(CAPABILITIES.into()),
        Error::NoBpf { .. } => Some(
            "a kernel with CONFIG_BPF_SYSCALL; in a container, a seccomp profile that allows bpf(2)"
                .into(),
        ),
        Error::NoBtf { .. } => Some(TYPES.into()),
        Error::Rejected { .. } => Some("Linux 5.12 or later".into()),
        Error::KernelRisk { risk, .. } => Some(format!(
            "a kernel with the fix, or --accept-kernel-risk {} if your distribution has it",
            risk.id
        )),
        Error::HooksNotPermitted { .. } | Error::LookupNotPermitted { .. } => {
            Some(HOOK_CAPABILITIES.into())
        }
        Error::NoBpffs { .. } => Some(BPFFS.into()),
        Error::Bpf { .. }
        | Error::Pin { .. }
        | Error::BufferTooSmall { .. }
        | Error::UnknownRisk { .. }
        | Error::Foreign { .. }
        | Error::Torn { .. }
        | Error::Pattern { .. }
        | Error::Texts { .. } => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_without_types_is_told_with_the_option_that_gives_them() {
        let facility = btf(Path::new("/nonexistent/vmlinux"));
        let Support::No { why } = facility.support else {
            panic!("there is no such file");
        };
        assert_eq!(why, "/nonexistent/vmlinux does not exist");
        assert!(facility.grant.unwrap().contains("CONFIG_DEBUG_INFO_BTF"));
    }

    #[test]
    fn every_refusal_tells_what_to_grant() {
        let refused = |errno| {
            let error = Error::of(
                Operation::Load,
                "x",
                std::io::Error::from_raw_os_error(errno),
            );
            facility("x", Err(error), "", "").grant
        };
        for (errno, granted) in [
            (1, Some("CAP_BPF")),
            (13, Some("Linux 5.12")),
            (22, Some("Linux 5.12")),
            (38, Some("CONFIG_BPF_SYSCALL")),
            (12, None),
            (24, None),
        ] {
            let grant = refused(errno);
            assert_eq!(grant.is_some(), granted.is_some(), "errno {errno}");
            if let (Some(grant), Some(granted)) = (grant, granted) {
                assert!(grant.contains(granted), "errno {errno}: {grant}");
            }
        }
    }
}
