//! The supervisor: two small processes, so that one may be killed.
//!
//! Without a supervisor every held call fails with `ENOSYS` for as long as the program runs. So a
//! guard waits for the worker, its child, and starts another one when it is killed; when the guard is
//! killed, the worker becomes the guard of another one. A stopped worker is made to go on. What the
//! worker was attending when it died is known from the page that both share, and let go on.

use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use libc::{c_int, seccomp_notif_resp};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use sockpulse_preload::Request;

use super::attend::{Attendant, Reply};
use super::sys::{self, Shared};
use crate::child::{self, Change, Side};

/// Stands by until no process is left that the filter holds. Never returns; other descriptors than the
/// listener are closed.
pub(super) fn stand_by(listener: &OwnedFd, request: &Request, page: &Shared) -> ! {
    loop {
        let Ok((read, write)) = pipe_with(PipeFlags::CLOEXEC) else {
            serve_alone(listener, request, page);
        };
        match child::fork() {
            Ok(Side::Child) => {
                drop(write);
                match serve(listener.as_fd(), Some(read.as_fd()), request, page) {
                    End::NobodyLeft => child::leave(0),
                    // This process is the guard from now on.
                    End::GuardGone => {}
                }
            }
            Ok(Side::Parent(worker)) => {
                drop(read);
                watch(worker);
                let_go_on(listener.as_fd(), page.get().id);
            }
            Err(_) => serve_alone(listener, request, page),
        }
    }
}

/// Where no second process may be started, one must do.
fn serve_alone(listener: &OwnedFd, request: &Request, page: &Shared) -> ! {
    serve(listener.as_fd(), None, request, page);
    child::leave(0);
}

/// Returns when the worker was killed.
fn watch(worker: c_int) {
    loop {
        match child::wait(worker) {
            Ok(Change::Stopped) => sys::go_on(worker),
            Ok(Change::Done) => child::leave(0),
            Ok(Change::Failed(_)) | Err(_) => return,
        }
    }
}

/// Why serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Every process that the filter holds has ended.
    NobodyLeft,
    /// The guard was killed.
    GuardGone,
}

fn serve(
    listener: BorrowedFd<'_>,
    guard: Option<BorrowedFd<'_>>,
    request: &Request,
    page: &Shared,
) -> End {
    let mut attendant = Attendant::new(listener, request);
    // A guard that is not there is listened for nowhere.
    let guard = guard.unwrap_or(listener);
    loop {
        let mut ready = [
            PollFd::from_borrowed_fd(listener, PollFlags::IN),
            PollFd::from_borrowed_fd(guard, PollFlags::empty()),
        ];
        if poll(&mut ready, None).is_err() {
            continue;
        }
        let [calls, guard] = ready.map(|ready| ready.revents());
        if calls.contains(PollFlags::IN) {
            attend(listener, &mut attendant, page);
        } else if calls.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return End::NobodyLeft;
        } else if guard.intersects(PollFlags::HUP | PollFlags::ERR) {
            return End::GuardGone;
        }
    }
}

fn attend(listener: BorrowedFd<'_>, attendant: &mut Attendant<'_>, page: &Shared) {
    // The caller may have been interrupted meanwhile: then it calls again, or has been told.
    let Ok(held) = sys::receive(listener, page) else {
        return;
    };
    match attendant.attend(&held) {
        Reply::Continue => let_go_on(listener, held.id),
        Reply::Result(value) => answer(listener, held.id, value, 0),
        Reply::Sent => {}
    }
}

fn let_go_on(listener: BorrowedFd<'_>, id: u64) {
    answer(listener, id, 0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

fn answer(listener: BorrowedFd<'_>, id: u64, value: i64, flags: libc::c_ulong) {
    let reply = seccomp_notif_resp {
        id,
        val: value,
        error: 0,
        flags: u32::try_from(flags).unwrap_or_default(),
    };
    // Whoever does not wait any more needs no answer.
    let _: Result<(), Errno> = sys::send(listener, reply);
}

/// Becomes a process that nobody sees: no terminal, no descriptors but the listener, no folder that it
/// keeps busy, another name than the program's, and none of its variables, which may be secrets that
/// the program itself wipes.
pub(super) fn withdraw(listener: &OwnedFd) {
    child::close_all_but(&mut [listener.as_raw_fd()]);
    let _ = rustix::process::chdir("/");
    if let Some([words, variables]) = started_with() {
        let shown = NAME.len().min(words.len().saturating_sub(1));
        sys::overwrite(words, &NAME[..shown]);
        sys::overwrite(variables, &[]);
    }
}

/// What `ps` shows: not the program's words, by which `pkill -f` would find us.
const NAME: &[u8] = b"sockpulse: supervisor";

/// Where the kernel finds command line and environment: fields 48 to 51 of /proc/self/stat (proc(5)).
fn started_with() -> Option<[Range<usize>; 2]> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.trim_end().split(' ').skip(45);
    let mut range = || {
        let start = fields.next()?.parse().ok()?;
        Some(start..fields.next()?.parse().ok()?)
    };
    Some([range()?, range()?])
}
