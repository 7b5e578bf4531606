//! A process that puts options back when this one dies between setting and putting back.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::{Errno, read, write};
use rustix::pipe::{PipeFlags, pipe_with};

use super::saved::{LENGTH, Saved, message, understood};
use crate::child::{self, Side};
use crate::error::{Error, Operation, Result};

/// The other process. It is told before an option is set and after the last one is back, and acts when
/// its pipe is closed without that.
#[derive(Debug)]
pub(super) struct Guard {
    pipe: Option<OwnedFd>,
    child: i32,
}

impl Guard {
    /// Starts it. The calling process may have threads: the child calls into nothing that locks.
    pub(super) fn start() -> Result<Self> {
        let failed = |errno| Error::system(Operation::Start, "a guard of options", errno);
        let (reading, writing) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
        match child::fork().map_err(failed)? {
            Side::Child => stand(&reading),
            Side::Parent(child) => Ok(Self {
                pipe: Some(writing),
                child,
            }),
        }
    }

    /// From now on this is put back when we die.
    pub(super) fn note(&self, saved: &Saved) -> Result<()> {
        self.tell(Some(saved))
    }

    /// It is back.
    pub(super) fn forget(&self) -> Result<()> {
        self.tell(None)
    }

    fn tell(&self, saved: Option<&Saved>) -> Result<()> {
        let failed = |errno| Error::system(Operation::Write, "to the guard of options", errno);
        let pipe = self.pipe.as_ref().ok_or_else(|| failed(Errno::PIPE))?;
        // Less than PIPE_BUF is written whole (pipe(7)).
        match write(pipe, &message(saved)) {
            Ok(LENGTH) => Ok(()),
            Ok(_) => Err(failed(Errno::IO)),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // It ends with its pipe; should somebody have waited for it already, nothing is lost.
        let _ = child::end_of(self.child);
    }
}

/// The child's whole life.
fn stand(pipe: &OwnedFd) -> ! {
    child::block_signals();
    // A terminal's signals and the end of its session do not concern us.
    let _ = rustix::process::setsid();
    child::close_all_but(&mut [pipe.as_fd().as_raw_fd()]);
    let mut saved = None;
    let mut bytes = [0; LENGTH];
    loop {
        match read(pipe, &mut bytes) {
            Ok(LENGTH) => saved = understood(&bytes),
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => break,
        }
    }
    let done = saved.map_or(Ok(()), |saved| saved.put_back_there());
    child::leave(i32::from(done.is_err()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::AsRawFd;
    use std::time::{Duration, Instant};

    use sockpulse_core::Cookie;

    use super::*;
    use crate::sockopt;

    fn saved(socket: &TcpListener) -> Saved {
        Saved {
            pid: std::process::id(),
            fd: socket.as_raw_fd().cast_unsigned(),
            cookie: sockopt::cookie(socket).unwrap(),
            keepalive: false,
            idle: 77,
            probes: 9,
            user_timeout: 0,
        }
    }

    /// Ends like one that is killed: nothing is dropped.
    fn die_between(saved: &Saved, socket: &TcpListener) {
        let Side::Parent(child) = child::fork().unwrap() else {
            let guard = Guard::start().and_then(|guard| guard.note(saved).map(|()| guard));
            let set = saved.set(socket);
            child::leave(i32::from(guard.is_err() || set.is_err()));
        };
        assert_eq!(child::end_of(child), Ok(child::Change::Done));
    }

    #[test]
    fn root_options_are_put_back_by_the_guard_of_one_that_died() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: root_options_are_put_back_by_the_guard_of_one_that_died");
            return;
        }
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        die_between(&saved(&socket), &socket);
        let deadline = Instant::now() + Duration::from_secs(10);
        while sockopt::keep_cnt(&socket).unwrap() != 9 {
            assert!(Instant::now() < deadline, "nobody put it back");
            std::thread::yield_now();
        }
        assert_eq!(sockopt::keep_idle(&socket).unwrap(), 77);
        assert!(!sockopt::keepalive(&socket).unwrap());
    }

    #[test]
    fn a_guard_that_was_told_to_forget_touches_nothing() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let saved = saved(&socket);
        let guard = Guard::start().unwrap();
        guard.note(&saved).unwrap();
        saved.set(&socket).unwrap();
        guard.forget().unwrap();
        drop(guard);
        assert_eq!(sockopt::keep_idle(&socket).unwrap(), 1);
        // Nor does it touch another socket that has the number by now.
        let guard = Guard::start().unwrap();
        let other = Saved {
            cookie: Cookie(1),
            ..saved
        };
        guard.note(&other).unwrap();
        drop(guard);
        assert_eq!(sockopt::keep_idle(&socket).unwrap(), 1);
    }
}
