//! Asking by the kernel's own keepalive, through options that are set for a moment.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sockpulse_core::ping::{Glance, Gone, Seen, Why};
use sockpulse_core::{Cookie, Process, Unseen};
use sockpulse_linux::Error;
use sockpulse_linux::ping::{Asker, Heard, NotAsked, Pinned, Sent};
use sockpulse_linux::sock_diag::Memory;

use super::ender::Ender;
use super::refused;
use crate::error::CommandError;
use crate::ping::station::{Station, Work};
use crate::ping::subject::Subject;

/// One for all namespaces: sockets are reached through their processes, wherever they are.
pub(super) struct Options {
    asker: Mutex<Asker>,
    pinned: Mutex<BTreeMap<Cookie, Pinned>>,
}

impl Options {
    pub(super) fn open() -> Result<Self, CommandError> {
        Ok(Self {
            asker: Mutex::new(Asker::start().map_err(refused)?),
            pinned: Mutex::default(),
        })
    }

    /// What could not be taken back.
    pub(super) fn pinned(&self) -> Vec<(Cookie, Pinned)> {
        let pinned = locked(&self.pinned);
        pinned.iter().map(|(cookie, one)| (*cookie, *one)).collect()
    }

    pub(super) fn work(&self, started: Instant, ender: Ender, work: &mut Work<'_>) {
        work(&mut There {
            options: self,
            started,
            ender,
        });
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct There<'a> {
    options: &'a Options,
    started: Instant,
    ender: Ender,
}

impl There<'_> {
    fn see(&self, subject: &Subject) -> Result<Seen, Why> {
        let process = process(subject)?;
        let mut asker = locked(&self.options.asker);
        match asker.look(process, subject.id.cookie) {
            Ok(glance) => Ok(Seen::Glance(glance)),
            Err(NotAsked::Unreached(Unseen::Vanished)) => Ok(Seen::Gone(Gone::Closed)),
            Err(error) => Err(error.why()),
        }
    }
}

fn process(subject: &Subject) -> Result<Process, Why> {
    let why = subject.unowned.unwrap_or(Unseen::NoProcess);
    subject.process.ok_or(Why::Unreached(why))
}

impl Station for There<'_> {
    fn now(&mut self) -> Duration {
        self.started.elapsed()
    }

    fn look(
        &mut self,
        subjects: &[&Subject],
        seen: &mut Vec<Result<Seen, Why>>,
    ) -> Result<(), CommandError> {
        seen.extend(subjects.iter().map(|subject| self.see(subject)));
        Ok(())
    }

    fn send(&mut self, subject: &Subject, _: &Glance) -> Result<Sent, Why> {
        let cookie = subject.id.cookie;
        let asked = locked(&self.options.asker).probe(process(subject)?, cookie);
        let asked = asked.map_err(|error| error.why())?;
        locked(&self.options.pinned).insert(cookie, asked.pinned);
        Ok(asked.sent)
    }

    fn hear(&mut self) -> Option<Heard> {
        None
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
