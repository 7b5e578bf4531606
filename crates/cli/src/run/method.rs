//! Which method serves, and why.

use sockpulse_linux::seccomp::{self, Holding, NotHeld, Way};
use sockpulse_preload::Request;

use super::args::Method;
use super::preload;
use super::program::{Linkage, Program};
use crate::error::{CommandError, ErrorKind};

/// Prepares this process, so that what it becomes has keepalive.
pub(super) fn apply(
    method: Method,
    request: &Request,
    program: &Program,
) -> Result<(), CommandError> {
    match method {
        Method::Seccomp => {
            let holding = seccomp::hold(request).map_err(|error| refused(error, program))?;
            tell(&holding, program);
            Ok(())
        }
        Method::Preload => {
            preload::apply(request, program)?;
            tracing::info!("method preload, as asked for");
            Ok(())
        }
        Method::Auto => choose(request, program),
    }
}

/// seccomp reaches almost everything, so it is tried first; what it would harm is not started with it.
fn choose(request: &Request, program: &Program) -> Result<(), CommandError> {
    if program.gains_privilege() {
        let what = format!(
            "{} gains privilege by its file, which neither method leaves it",
            program.path().display()
        );
        return Err(CommandError::new(ErrorKind::NotPermitted, what)
            .hint("as root: sudo sockpulse run -- PROGRAM")
            .hint("without its privilege: sockpulse run --method seccomp -- PROGRAM"));
    }
    let unreadable = program.linkage() == Linkage::Unreadable;
    if unreadable && preload::apply(request, program).is_ok() {
        tracing::info!(
            "method preload for {}, which may not be read: seccomp does not reach it",
            program.path().display()
        );
        return Ok(());
    }
    let error = match seccomp::hold(request) {
        Ok(holding) => {
            tell(&holding, program);
            return Ok(());
        }
        Err(error) => error,
    };
    let why = chain(&error);
    match preload::apply(request, program) {
        Ok(()) => {
            tracing::warn!("method preload, since seccomp failed to {why}");
            Ok(())
        }
        Err(preload) => {
            Err(refused(error, program).hint(format!("nor does preload serve: {preload}")))
        }
    }
}

fn chain(error: &NotHeld) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

fn tell(holding: &Holding, program: &Program) {
    let linkage = match program.linkage() {
        Linkage::Static => ", a static program that no library reaches",
        Linkage::Dynamic | Linkage::Foreign | Linkage::Unreadable | Linkage::Unknown => "",
    };
    let way = match holding.way {
        Way::Borrowed => "its sockets are borrowed (pidfd_getfd)",
        Way::Made => "its sockets are made for it, since borrowing them is refused here",
    };
    tracing::info!(
        "method seccomp for {}{linkage}: {way}",
        program.path().display()
    );
    if program.linkage() == Linkage::Unreadable {
        tracing::warn!(
            "{} may not be read, so that seccomp does not reach it: only programs that it starts",
            program.path().display()
        );
    }
    if holding.no_new_privileges && program.gains_privilege() {
        tracing::warn!(
            "{} runs without the privilege that its file would give it (no_new_privs)",
            program.path().display()
        );
    } else if holding.no_new_privileges {
        tracing::info!(
            "no_new_privs: sudo, su and others that gain privilege by their file run without it"
        );
    }
}

fn refused(error: NotHeld, program: &Program) -> CommandError {
    let hint = match &error {
        NotHeld::Supervised => {
            "one supervisor is enough: run sockpulse only once, or --method preload"
        }
        NotHeld::NotBorrowed => {
            "with --mode fill and without selectors sockets can be made instead of borrowed; or grant \
             CAP_SYS_PTRACE, or --method preload"
        }
        _ if matches!(program.linkage(), Linkage::Static | Linkage::Foreign) => {
            "the program loads no library of ours: only root's `sockpulse protect` reaches it then"
        }
        _ => "try --method preload",
    };
    let kind = match &error {
        NotHeld::Refused { errno, .. } if *errno != rustix::io::Errno::PERM => {
            ErrorKind::Incomplete
        }
        _ => ErrorKind::NotPermitted,
    };
    let what = format!("failed to {}", chain(&error));
    CommandError::new(kind, what).hint(hint)
}
