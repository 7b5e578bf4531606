//! This machine's stations.

mod ender;
mod nobody;
mod option;
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
use sockpulse_linux::ping::Pinned;
use sockpulse_linux::procfs::Proc;
use sockpulse_linux::sock_diag::Memory;

use super::station::{MethodChoice, NotThere, Stations, Work};
use crate::error::{CommandError, ErrorKind};
use ender::Ender;
use nobody::Nobody;
use option::Options;
use raw::Looks;

/// This machine as it is now.
struct ThisMachine {
    way: Way,
    notes: Vec<String>,
    namespaces: Vec<Netns>,
    borrower: Mutex<Borrower>,
    started: Instant,
    interrupted: Arc<AtomicBool>,
}

enum Way {
    Raw(Looks),
    Option(Options),
    Nobody,
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
    let mut notes = Vec::new();
    let way = match choice {
        MethodChoice::Nobody => Way::Nobody,
        MethodChoice::Only(Method::Option) => Way::Option(Options::open()?),
        MethodChoice::Only(Method::Raw) => Way::Raw(Looks::open(cookies)?),
        MethodChoice::Auto => match Looks::open(cookies) {
            Ok(looks) => Way::Raw(looks),
            Err(error) => {
                notes.push(format!("note: asked by method option: {error}"));
                Way::Option(Options::open()?)
            }
        },
    };
    let namespaces = match netns::enumerate(&proc) {
        Ok(found) => found.namespaces,
        Err(_) => netns::own(&proc).into_iter().collect(),
    };
    Ok(Box::new(ThisMachine {
        way,
        notes,
        namespaces,
        borrower: Mutex::default(),
        started: Instant::now(),
        interrupted: interruption(),
    }))
}

impl Stations for ThisMachine {
    fn method(&self) -> Method {
        match self.way {
            Way::Raw(_) | Way::Nobody => Method::Raw,
            Way::Option(_) => Method::Option,
        }
    }

    fn pinned(&self) -> Vec<(Cookie, Pinned)> {
        match &self.way {
            Way::Option(options) => options.pinned(),
            Way::Raw(_) | Way::Nobody => Vec::new(),
        }
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }

    fn at(&self, netns: NetnsId, work: &mut Work<'_>) -> Result<(), NotThere> {
        let handle = self.namespaces.iter().find(|one| one.id == netns);
        let Some(handle) = handle else {
            return self.elsewhere(work, || NotThere {
                why: Why::NotEntered,
                reason: "only a descriptor or a socket holds it: it cannot be entered".into(),
                remedy: None,
            });
        };
        match handle.enter_and(|| self.inside(work)) {
            Ok(done) => done,
            Err(error) => self.elsewhere(work, || {
                let gap = handle.gap(&error);
                NotThere {
                    why: Why::NotEntered,
                    reason: gap.why,
                    remedy: gap.remedy,
                }
            }),
        }
    }

    fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn memory_after(&self, process: Process, cookie: Cookie) -> Result<Memory, Unseen> {
        let mut borrower = self.borrower.lock().unwrap_or_else(PoisonError::into_inner);
        borrower.memory(process, cookie)
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

impl ThisMachine {
    fn inside(&self, work: &mut Work<'_>) -> Result<(), NotThere> {
        match &self.way {
            Way::Raw(looks) => return looks.work(self.started, work),
            Way::Option(options) => options.work(self.started, Ender::Here(None), work),
            Way::Nobody => work(&mut Nobody {
                started: self.started,
                ender: Ender::Here(None),
            }),
        }
        Ok(())
    }

    /// Options are set through processes, wherever their sockets are.
    fn elsewhere(
        &self,
        work: &mut Work<'_>,
        why: impl FnOnce() -> NotThere,
    ) -> Result<(), NotThere> {
        let Way::Option(options) = &self.way else {
            return Err(why());
        };
        options.work(self.started, Ender::Elsewhere, work);
        Ok(())
    }
}

/// Asks whoever sits at the terminal; `None` where nobody does. Without a question only that is told.
pub(crate) fn consent(question: Option<&str>) -> Option<bool> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return None;
    }
    let Some(question) = question else {
        return Some(false);
    };
    // Without an answer it is no.
    let _ = write!(io::stderr(), "{question} [y/N] ");
    let mut answer = String::new();
    let _ = io::stdin().read_line(&mut answer);
    let answer = answer.trim();
    Some(answer.eq_ignore_ascii_case("y") || answer.eq_ignore_ascii_case("yes"))
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
