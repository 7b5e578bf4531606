//! This machine's stations.

mod raw;

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;
use sockpulse_core::ping::{Method, Why};
use sockpulse_core::{Cookie, NetnsId, Process, Unseen};
use sockpulse_linux::netns::{self, Netns};
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::procfs::Proc;
use sockpulse_linux::sock_diag::Memory;

use super::station::{MethodChoice, NotThere, Stations, Work};
use crate::error::{CommandError, ErrorKind};
use raw::Looks;

/// This machine as it is now.
struct ThisMachine {
    method: Method,
    notes: Vec<String>,
    namespaces: Vec<Netns>,
    looks: Option<Looks>,
    borrower: Mutex<Borrower>,
    started: Instant,
    interrupted: Arc<AtomicBool>,
}

/// Opens the way to asking these connections.
///
/// # Errors
/// When a method is asked for that is not permitted, or that the kernel lacks.
pub(crate) fn this_machine(
    choice: MethodChoice,
    cookies: &[Cookie],
) -> Result<Box<dyn Stations>, CommandError> {
    let proc = Proc::default();
    let (looks, notes) = match choice {
        MethodChoice::Only(Method::Option) => {
            let message = "method option is not there yet";
            return Err(CommandError::new(ErrorKind::Incomplete, message));
        }
        MethodChoice::Only(Method::Raw) | MethodChoice::Auto => {
            (Some(Looks::open(cookies)?), Vec::new())
        }
    };
    let namespaces = match netns::enumerate(&proc) {
        Ok(found) => found.namespaces,
        Err(_) => netns::own(&proc).into_iter().collect(),
    };
    Ok(Box::new(ThisMachine {
        method: looks.as_ref().map_or(Method::Option, |_| Method::Raw),
        notes,
        namespaces,
        looks,
        borrower: Mutex::default(),
        started: Instant::now(),
        interrupted: interruption(),
    }))
}

impl Stations for ThisMachine {
    fn method(&self) -> Method {
        self.method
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn at(&self, netns: NetnsId, work: &mut Work<'_>) -> Result<(), NotThere> {
        let handle = self.namespaces.iter().find(|one| one.id == netns);
        let handle = handle.ok_or_else(|| NotThere {
            why: Why::NotEntered,
            reason: "only a descriptor or a socket holds it: it cannot be entered".into(),
            remedy: None,
        })?;
        let inside = || match &self.looks {
            Some(looks) => looks.work(self.started, work),
            None => Ok(()),
        };
        match handle.enter_and(inside) {
            Ok(done) => done,
            Err(error) => {
                let gap = handle.gap(&error);
                Err(NotThere {
                    why: Why::NotEntered,
                    reason: gap.why,
                    remedy: gap.remedy,
                })
            }
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn confirm(&self, question: &str) -> Option<bool> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return None;
        }
        // Without an answer it is no.
        let _ = write!(io::stderr(), "{question} [y/N] ");
        let mut answer = String::new();
        let _ = io::stdin().read_line(&mut answer);
        let answer = answer.trim();
        Some(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
    }

    fn memory_after(&self, process: Process, cookie: Cookie) -> Result<Memory, Unseen> {
        let mut borrower = self.borrower.lock().unwrap_or_else(PoisonError::into_inner);
        borrower.memory(process, cookie)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Set by the first signal that would end us; the second one does.
fn interruption() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Without a handler the signal ends us, as it does elsewhere.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stop))
            .and_then(|_| flag::register(signal, Arc::clone(&stop)));
    }
    stop
}

/// A right is missing, or the kernel lacks something.
fn refused(error: impl Into<CommandError>) -> CommandError {
    let error: CommandError = error.into();
    let hint = match error.kind() {
        ErrorKind::NotPermitted => {
            "run as root, grant CAP_NET_RAW, CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, or use --method option"
        }
        _ => "use --method option, which needs neither BPF nor raw sockets",
    };
    CommandError::new(error.kind(), error.to_string()).hint(hint)
}
