//! Signals that end a command early, as something that can be waited for.
//!
//! SIGINT, SIGTERM and SIGHUP do not end this process: they make every wait return
//! [`Error::Interrupted`], the error travels up, and each `Drop` on the way cleans up.

use std::io::{IsTerminal, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::error::{Error, Result};

/// The process's signals. One per process, made at its start.
#[derive(Debug)]
pub(crate) struct Interrupt {
    /// The last signal that came; 0: none.
    raised: Arc<AtomicUsize>,
    wake: UnixStream,
}

/// What a wait ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// The descriptor became readable.
    Ready,
    /// A signal came, now or before.
    Interrupted,
}

impl Interrupt {
    /// Takes over SIGINT, SIGTERM and SIGHUP.
    pub(crate) fn install() -> Result<Self> {
        let raised = Arc::new(AtomicUsize::new(0));
        let (wake, write_end) = UnixStream::pair().map_err(Error::system("make a socket pair"))?;
        wake.set_nonblocking(true)
            .map_err(Error::system("make a socket non-blocking"))?;
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            let action = "register a signal handler";
            let number = usize::try_from(signal).expect("signal numbers are positive");
            signal_hook::flag::register_usize(signal, Arc::clone(&raised), number)
                .map_err(Error::system(action))?;
            let write_end = write_end.try_clone().map_err(Error::system(action))?;
            signal_hook::low_level::pipe::register(signal, write_end)
                .map_err(Error::system(action))?;
        }
        Ok(Self { raised, wake })
    }

    /// An error once a signal came.
    pub(crate) fn check(&self) -> Result<()> {
        if self.last().is_some() {
            return Err(Error::Interrupted);
        }
        Ok(())
    }

    /// Whether it was a Ctrl-C at the terminal, which the programs that we run there got too.
    pub(crate) fn is_known_to_children(&self) -> bool {
        self.last() == Some(SIGINT) && std::io::stdin().is_terminal()
    }

    fn last(&self) -> Option<i32> {
        let number = self.raised.load(Ordering::Relaxed);
        i32::try_from(number).ok().filter(|number| *number != 0)
    }

    /// Waits until `ready` holds, looking again ten times a second.
    ///
    /// # Errors
    /// [`Error::Late`] after `limit`; [`Error::Interrupted`]; whatever `ready` fails with.
    pub(crate) fn wait_until(
        &self,
        event: &str,
        limit: Duration,
        mut ready: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + limit;
        while !ready()? {
            if Instant::now() >= deadline {
                return Err(Error::Late {
                    event: event.to_owned(),
                    seconds: limit.as_secs(),
                });
            }
            self.pause(Duration::from_millis(100))?;
        }
        self.check()
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// [`Error::Interrupted`], at once when a signal comes.
    pub(crate) fn pause(&self, duration: Duration) -> Result<()> {
        self.check()?;
        let timeout = Timespec::try_from(duration)
            .map_err(|_| Error::system("wait")(std::io::ErrorKind::InvalidInput))?;
        let mut signal = [PollFd::new(&self.wake, PollFlags::IN)];
        match poll(&mut signal, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => self.check(),
            Err(error) => Err(Error::system("wait for a signal")(error)),
        }
    }

    /// Waits until `descriptor` is readable or a signal comes, however long that takes.
    ///
    /// Each signal wakes one wait; [`Self::check`] goes on failing after it.
    pub(crate) fn wait_for(&self, descriptor: impl AsFd) -> Result<Wake> {
        let descriptor = descriptor.as_fd();
        loop {
            let mut both = [
                PollFd::new(&descriptor, PollFlags::IN),
                PollFd::new(&self.wake, PollFlags::IN),
            ];
            match poll(&mut both, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::system("poll")(error)),
            }
            if !both[0].revents().is_empty() {
                return Ok(Wake::Ready);
            }
            if !both[1].revents().is_empty() {
                self.drain();
                return Ok(Wake::Interrupted);
            }
        }
    }

    fn drain(&self) {
        let mut bytes = [0; 64];
        while matches!((&self.wake).read(&mut bytes), Ok(count) if count > 0) {}
    }
}
