//! Keepalive for one program and its children without any privilege: seccomp user notification
//! (`SECCOMP_RET_USER_NOTIF`, seccomp_unotify(2); since 5.0, with what is needed here since 5.9).
//!
//! The kernel holds connect(2) and listen(2) of the program until a supervisor has borrowed the socket
//! (pidfd_getfd(2)), set its options and let the call go on. Accepted sockets inherit from their
//! listener. No other call is touched.
//!
//! Where borrowing is refused (Yama, containers), socket(2) is held instead and the supervisor makes
//! the socket, for processes of its own user and network namespace.
//!
//! The caller's process becomes the program, so that its id, terminal, signals and exit status are the
//! program's own. The supervisor is nobody's child that would be waited for: it leaves the session,
//! and ends when the last process that the filter holds has ended.

mod attend;
mod borrow;
mod call;
mod filter;
mod supervise;
mod sys;

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags};
use sockpulse_preload::{Mode, Request};

use filter::Held;
use sys::Shared;

use crate::child::{self, Change, Side};

/// How sockets get their options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The program's own sockets are borrowed.
    Borrowed,
    /// The supervisor makes them.
    Made,
}

/// Calls are held from now on, for this process and all that come from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// How sockets get their options.
    pub way: Way,
    /// Whether programs lose what privilege their files would give them (`no_new_privs`,
    /// PR_SET_NO_NEW_PRIVS(2const)): without `CAP_SYS_ADMIN` no filter is installed otherwise.
    pub no_new_privileges: bool,
}

/// Why calls are not held. Messages read after "failed to".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotHeld {
    /// The kernel does not know user notification, or a filter of a container or a service manager
    /// keeps it from us.
    #[error("hold system calls: seccomp user notification is unknown or forbidden here")]
    Unknown,
    /// This architecture's system calls are not known here.
    #[error("hold system calls: they are not known for this architecture")]
    Architecture,
    /// There is a supervisor already: `run` within `run`, or a container engine's.
    #[error("hold system calls: this process has a seccomp supervisor already")]
    Supervised,
    /// Only a borrowed socket can be told from others, or held to its settings; and for these the
    /// program's memory must be read.
    #[error("borrow descriptors of programs started here, or read their memory")]
    NotBorrowed,
    /// A step was refused.
    #[error("{step}")]
    Refused {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        errno: Errno,
    },
}

/// Holds the calls of this process and of every process that comes from it, and starts the supervisor
/// that attends them. What follows should be an exec.
///
/// # Errors
/// [`NotHeld`]: nothing is held then, and nothing is left.
pub fn hold(request: &Request) -> Result<Holding, NotHeld> {
    if call::CONVENTIONS.is_empty() {
        return Err(NotHeld::Architecture);
    }
    if may_be_killed_for_asking() || !sys::knows_action(libc::SECCOMP_RET_USER_NOTIF) {
        return Err(NotHeld::Unknown);
    }
    let supervisor = start(request)?;
    let borrows = receive_byte(&supervisor).map_err(refused("start a supervisor"))?;
    let (way, held) = match (borrows, request.mode) {
        (CAN_BORROW, Mode::Fill) => (Way::Borrowed, Held::Openings),
        (CAN_BORROW, _) => (Way::Borrowed, Held::OpeningsAndOptions),
        (_, Mode::Fill) if !request.is_selective() => (Way::Made, Held::Sockets),
        _ => return Err(NotHeld::NotBorrowed),
    };
    let (listener, no_new_privileges) = install(&filter::program(held))?;
    hand_over(&supervisor, &listener).unwrap_or_else(|errno| lost(errno));
    Ok(Holding {
        way,
        no_new_privileges,
    })
}

/// Filters of service managers kill who makes a call that they do not list (`SystemCallFilter=`,
/// systemd.exec(5)), and few list seccomp(2): under a filter a child asks first.
fn may_be_killed_for_asking() -> bool {
    use rustix::thread::{SecureComputingMode, secure_computing_mode};
    if !secure_computing_mode().is_ok_and(|mode| mode == SecureComputingMode::Filter) {
        return false;
    }
    match child::fork() {
        Ok(Side::Parent(child)) => !matches!(child::wait(child), Ok(Change::Done)),
        Ok(Side::Child) => {
            sys::knows_action(libc::SECCOMP_RET_USER_NOTIF);
            child::leave(0)
        }
        Err(_) => true,
    }
}

/// The filter cannot be taken away again, and without a supervisor no connection is possible.
fn lost(errno: Errno) -> ! {
    panic!("the supervisor did not take the listener over: {errno}")
}

/// The supervisor's first word: whether it may borrow from its parent's process.
const CAN_BORROW: u8 = b'b';
const CANNOT_BORROW: u8 = b'm';

/// Starts the supervisor: a grandchild, whose parent ends at once. It must be there before the filter,
/// which children inherit.
///
/// An orphan becomes the child of whoever adopts, which may be the program itself: as process 1 of a
/// container, or by PR_SET_CHILD_SUBREAPER(2const). It would wait for a child that waits for its end. A
/// child whose end raises no signal is not among those that wait(2) waits for.
fn start(request: &Request) -> Result<OwnedFd, NotHeld> {
    let failed = refused("start a supervisor");
    let page = Shared::new().map_err(&failed)?;
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )
    .map_err(&failed)?;
    let program = rustix::process::getpid();
    let adopts =
        program == Pid::INIT || rustix::process::child_subreaper().is_ok_and(|set| set.is_some());
    match child::fork().map_err(&failed)? {
        Side::Parent(child) => {
            drop(theirs);
            if !adopts {
                child::end_of(child).map_err(&failed)?;
            }
            Ok(ours)
        }
        Side::Child => {
            drop(ours);
            child::block_signals();
            // Only a group's leader is refused, which a new process is not.
            let _ = rustix::process::setsid();
            if adopts {
                supervise(&theirs, program, request, &page);
            }
            match child::fork() {
                Ok(Side::Child) => supervise(&theirs, program, request, &page),
                Ok(Side::Parent(_)) => child::leave(0),
                Err(_) => child::leave(1),
            }
        }
    }
}

/// The supervisor's life.
fn supervise(program: &OwnedFd, pid: Pid, request: &Request, page: &Shared) -> ! {
    let word = if may_borrow(pid) && (!needs_memory(request) || may_read_memory(pid, request)) {
        CAN_BORROW
    } else {
        CANNOT_BORROW
    };
    let listener = send_byte(program, word).and_then(|()| take_over(program));
    // Without one the filter was refused.
    let Ok(listener) = listener else {
        child::leave(0);
    };
    // Since 6.6: the caller's processor goes straight to us and back.
    let _ = sys::set_flags(listener.as_fd(), SYNC_WAKE_UP);
    let told = send_byte(program, TAKEN);
    if told.is_err() {
        child::leave(1);
    }
    supervise::withdraw(&listener);
    supervise::stand_by(&listener, request, page)
}

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` (include/uapi/linux/seccomp.h).
const SYNC_WAKE_UP: libc::c_ulong = 1;

/// The supervisor's last word.
const TAKEN: u8 = b't';

/// What Yama or a container's filter forbids is known only by trying.
fn may_borrow(pid: Pid) -> bool {
    let Ok(pidfd) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
        return false;
    };
    // That the descriptor is not there is an answer of someone who was let in.
    let answer = rustix::process::pidfd_getfd(pidfd, 0, PidfdGetfdFlags::empty());
    matches!(answer, Ok(_) | Err(Errno::BADF))
}

/// Selectors and the program's own options are looked up in its memory.
fn needs_memory(request: &Request) -> bool {
    request.is_selective() || request.mode != Mode::Fill
}

/// As [`may_borrow`].
fn may_read_memory(pid: Pid, request: &Request) -> bool {
    // The program is our ancestor, and has at that address what we have there.
    let address = std::ptr::from_ref(request).expose_provenance();
    let address = u64::try_from(address).unwrap_or_default();
    sys::peek(pid.as_raw_pid().cast_unsigned(), address, &mut [0]) == Ok(1)
}

/// Installs the filter, with the best that the kernel offers.
fn install(filter: &[libc::sock_filter]) -> Result<(OwnedFd, bool), NotHeld> {
    let failed = |errno| match errno {
        Errno::BUSY => NotHeld::Supervised,
        _ => refused("install a seccomp filter")(errno),
    };
    let try_both =
        || match sys::install(filter, FLAGS | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV) {
            // Before 5.19 signals interrupt a call that is being attended; it is attended again.
            Err(Errno::INVAL) => sys::install(filter, FLAGS),
            answer => answer,
        };
    let own = rustix::thread::no_new_privs().unwrap_or(false);
    let give_up_and_try = || {
        rustix::thread::set_no_new_privs(true)?;
        try_both()
    };
    match try_both() {
        Ok(listener) => Ok((listener, own)),
        Err(Errno::ACCESS) => {
            // There is no way back from no_new_privs: another process tries whether it is for nothing.
            sys::rehearse(|| give_up_and_try().map(drop)).map_err(failed)?;
            Ok((give_up_and_try().map_err(failed)?, true))
        }
        Err(errno) => Err(failed(errno)),
    }
}

/// A filter is no reason to slow the program down against speculation (before 5.16 it was one).
const FLAGS: libc::c_ulong = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

fn refused(step: &'static str) -> impl Fn(Errno) -> NotHeld {
    move |errno| NotHeld::Refused { step, errno }
}

fn hand_over(supervisor: &OwnedFd, listener: &OwnedFd) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [listener.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    let word = [IoSlice::new(&[TAKEN])];
    rustix::net::sendmsg(supervisor, &word, &mut control, SendFlags::NOSIGNAL)?;
    match receive_byte(supervisor)? {
        TAKEN => Ok(()),
        _ => Err(Errno::PROTO),
    }
}

fn take_over(program: &OwnedFd) -> Result<OwnedFd, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut word = [IoSliceMut::new(&mut byte)];
    rustix::net::recvmsg(program, &mut word, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    fds.next().ok_or(Errno::BADF)
}

fn send_byte(to: &OwnedFd, byte: u8) -> Result<(), Errno> {
    rustix::net::send(to, &[byte], SendFlags::NOSIGNAL).map(drop)
}

/// One byte; the other side's end is an error.
fn receive_byte(from: &OwnedFd) -> Result<u8, Errno> {
    let mut byte = [0];
    match rustix::io::retry_on_intr(|| rustix::net::recv(from, &mut byte, RecvFlags::empty()))?.0 {
        0 => Err(Errno::PIPE),
        _ => Ok(byte[0]),
    }
}
