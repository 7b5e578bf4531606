//! Where nobody is asked: connections can only be ended.

use std::time::{Duration, Instant};

use rustix::io::Errno;
use sockpulse_core::ping::{Glance, Seen, Why};
use sockpulse_linux::Error;
use sockpulse_linux::ping::{Heard, Sent};
use sockpulse_linux::sock_diag::Memory;

use super::ender::Ender;
use crate::error::CommandError;
use crate::ping::station::Station;
use crate::ping::subject::Subject;

pub(super) struct Nobody {
    pub(super) started: Instant,
    pub(super) ender: Ender,
}

impl Station for Nobody {
    fn now(&mut self) -> Duration {
        self.started.elapsed()
    }

    fn look(
        &mut self,
        subjects: &[&Subject],
        seen: &mut Vec<Result<Seen, Why>>,
    ) -> Result<(), CommandError> {
        seen.extend(subjects.iter().map(|_| Err(Why::Interrupted)));
        Ok(())
    }

    fn send(&mut self, _: &Subject, _: &Glance) -> Result<Sent, Why> {
        Err(Why::NotSent(Errno::OPNOTSUPP.raw_os_error()))
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
