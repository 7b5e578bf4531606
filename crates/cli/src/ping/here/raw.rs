//! Asking by segments of our own, with looks through BPF.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use sockpulse_bpf::glance::{Endings, Glances, Look, Whom};
use sockpulse_core::Cookie;
use sockpulse_core::ping::{Glance, Gone, Seen, Why, segment};
use sockpulse_linux::Error;
use sockpulse_linux::ping::{Ear, Heard, Sender, Sent};
use sockpulse_linux::sock_diag::Memory;

use super::ender::Ender;
use super::refused;
use crate::error::{CommandError, ErrorKind};
use crate::ping::station::{NotThere, Station, Work};
use crate::ping::subject::Subject;

/// The kernel's programs that look, shared by all namespaces.
pub(super) struct Looks {
    glances: Mutex<Glances>,
    endings: Mutex<Endings>,
}

impl Looks {
    pub(super) fn open(cookies: &[Cookie]) -> Result<Self, CommandError> {
        // Whoever may load BPF and send here may send in other namespaces too. Asked now, since there
        // is another method for who may not.
        Sender::open().map_err(refused)?;
        let Some(hz) = sockpulse_linux::hz() else {
            let message = "failed to measure the kernel's tick rate, by which it counts silence";
            return Err(
                CommandError::new(ErrorKind::Incomplete, message).hint("use --method option")
            );
        };
        let mut endings = Endings::load(cookies.len()).map_err(refused)?;
        endings.watch(cookies).map_err(refused)?;
        Ok(Self {
            glances: Mutex::new(Glances::load(hz).map_err(refused)?),
            endings: Mutex::new(endings),
        })
    }

    /// Works in the namespace of the calling thread.
    pub(super) fn work(&self, started: Instant, work: &mut Work<'_>) -> Result<(), NotThere> {
        let sender = Sender::open().map_err(|error| NotThere {
            why: if error.is_permission() {
                Why::NotPermitted
            } else {
                Why::NotEntered
            },
            reason: error.reason(),
            remedy: error
                .is_permission()
                .then(|| "run as root, or grant CAP_NET_RAW there".into()),
        })?;
        let mut here = Here {
            looks: self,
            sender,
            // What routers say is told if it can be.
            ear: Ear::open().ok(),
            started,
            ender: Ender::Here(None),
            whom: Vec::new(),
            found: Vec::new(),
        };
        work(&mut here);
        Ok(())
    }

    fn ended(&self, cookie: Cookie) -> Gone {
        let mut endings = self.endings.lock().unwrap_or_else(PoisonError::into_inner);
        let errno = endings.take(cookie).ok().flatten();
        errno.map_or(Gone::Unknown, Gone::by_errno)
    }
}

/// One namespace.
struct Here<'a> {
    looks: &'a Looks,
    sender: Sender,
    ear: Option<Ear>,
    started: Instant,
    ender: Ender,
    whom: Vec<Whom>,
    found: Vec<Look>,
}

impl Station for Here<'_> {
    fn now(&mut self) -> Duration {
        self.started.elapsed()
    }

    fn look(
        &mut self,
        subjects: &[&Subject],
        seen: &mut Vec<Result<Seen, Why>>,
    ) -> Result<(), CommandError> {
        self.whom.clear();
        self.found.clear();
        self.whom.extend(subjects.iter().map(|subject| Whom {
            cookie: subject.id.cookie,
            local: subject.id.local,
            remote: subject.id.remote,
            ifindex: subject.ifindex,
        }));
        {
            let glances = &self.looks.glances;
            let mut glances = glances.lock().unwrap_or_else(PoisonError::into_inner);
            glances.look(&self.whom, &mut self.found)?;
        }
        for (look, subject) in self.found.drain(..).zip(subjects) {
            seen.push(match look {
                Look::Seen(glance) => Ok(Seen::Glance(glance)),
                Look::Gone => Ok(Seen::Gone(self.looks.ended(subject.id.cookie))),
                Look::NoDevice => Err(Why::NoDevice),
            });
        }
        Ok(())
    }

    fn send(&mut self, subject: &Subject, glance: &Glance) -> Result<Sent, Why> {
        let segment = segment(subject.id.local, subject.id.remote, glance).map_err(Why::from)?;
        let sent = self.sender.send(&segment, subject.ifindex);
        sent.map_err(|error| match error.errno() {
            Some(Errno::NODEV | Errno::NXIO) => Why::NoDevice,
            Some(errno) => Why::NotSent(errno.raw_os_error()),
            None => Why::NotSent(Errno::IO.raw_os_error()),
        })
    }

    fn hear(&mut self) -> Option<Heard> {
        self.ear.as_ref()?.hear()
    }

    fn wait(&mut self, until: Duration) {
        std::thread::sleep(until.saturating_sub(self.started.elapsed()));
    }

    fn silence(&mut self, subject: &Subject) -> Result<Option<Duration>, Error> {
        self.ender.silence(subject)
    }

    fn memory(&mut self, subject: &Subject) -> Option<Memory> {
        self.ender.memory(subject)
    }

    fn destroy(&mut self, subject: &Subject) -> Result<bool, Error> {
        self.ender.destroy(subject)
    }
}
