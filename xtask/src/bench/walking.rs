//! The kernel's own iterator over sockets: a bare dump, and a walk that sets all of them, each timed
//! by itself.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use sockpulse_bpf::{IterTcp, Order, RiskAccepted, SetTcp, Verdict, Walk, records, risk};
use sockpulse_core::protect::Step;
use sockpulse_core::{Hz, KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, TcpState};

use crate::error::{Error, Result};

/// What one read of the iterator returns at most.
const BUFFER: usize = 32 << 10;

type Answer<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Walked {
    pub(super) sockets: u64,
    /// Until the program, and its orders, were in the kernel.
    pub(super) loaded: Duration,
    pub(super) walk: Duration,
    /// Of both, the time on a processor.
    pub(super) busy: Duration,
}

/// Walks once, and prints the sockets and the microseconds of each part.
pub(super) fn run(kind: &str) -> Result<ExitCode> {
    let walked = match kind {
        "dump" => dump(),
        "set" => set(),
        _ => return Err(Error::UnknownCommand(format!("bench walk {kind}"))),
    };
    let walked = walked.map_err(|error| Error::Floor(kind.to_owned(), error))?;
    println!("{}", walked.line());
    Ok(ExitCode::SUCCESS)
}

/// What [`run`] printed.
pub(super) fn parse(line: &str) -> Option<Walked> {
    let mut numbers = line.split_whitespace().map(str::parse);
    let mut next = || numbers.next()?.ok();
    Some(Walked {
        sockets: next()?,
        loaded: Duration::from_micros(next()?),
        walk: Duration::from_micros(next()?),
        busy: Duration::from_micros(next()?),
    })
}

impl Walked {
    fn line(&self) -> String {
        format!(
            "{} {} {} {}",
            self.sockets,
            self.loaded.as_micros(),
            self.walk.as_micros(),
            self.busy.as_micros()
        )
    }
}

/// A clock for each figure.
struct Watch {
    started: Instant,
    busy: Duration,
    loaded: Duration,
}

impl Watch {
    fn start() -> Self {
        Self {
            started: Instant::now(),
            busy: busy(),
            loaded: Duration::ZERO,
        }
    }

    fn loaded(&mut self) {
        self.loaded = self.started.elapsed();
    }

    fn stop(&self, sockets: usize) -> Answer<Walked> {
        Ok(Walked {
            sockets: sockets.try_into()?,
            loaded: self.loaded,
            walk: self.started.elapsed().saturating_sub(self.loaded),
            busy: busy().saturating_sub(self.busy),
        })
    }
}

/// The time on a processor so far.
fn busy() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// Nothing connects in the benchmark's namespaces while it measures, so that the iterator's fault has
/// nothing to meet there.
fn accepted() -> Answer<RiskAccepted> {
    Ok(RiskAccepted::named(risk::TCP_ITERATOR.id)?)
}

fn dump() -> Answer<Walked> {
    let mut watch = Watch::start();
    let program = IterTcp::load(accepted()?)?;
    watch.loaded();
    let mut reader = program.open()?;
    let mut buffer = vec![0; BUFFER];
    let mut sockets = 0;
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            length => sockets += records(&buffer[..length]).len(),
        }
    }
    watch.stop(sockets)
}

/// Keepalive with three values, of which one is never what the socket has already.
fn set() -> Answer<Walked> {
    let hz = sockpulse_linux::hz().ok_or("the tick rate is not known")?;
    let orders = orders(hz)?;
    let mut watch = Watch::start();
    let set = SetTcp::load(accepted()?, hz, orders.iter().copied())?;
    watch.loaded();
    let mut walk = set.open()?;
    let mut done = 0;
    while done < orders.len() {
        let answers = walk.advance(Walk::MOST)?;
        if answers.is_empty() {
            break;
        }
        let set = answers.iter().filter(|(_, one)| *one == Verdict::Set);
        done += set.count();
    }
    watch.stop(done)
}

/// Of every established connection.
fn orders(hz: Hz) -> Answer<Vec<Order>> {
    let step = |idle| -> Answer<Step> {
        Ok(Step {
            keepalive: Some(true),
            idle: Some(KeepIdle::new(idle)?),
            interval: Some(KeepIntvl::new(60)?),
            probes: Some(KeepCnt::new(6)?),
            user_timeout: None,
        })
    };
    let (on, again) = (step(10_800)?, step(10_801)?);
    let mut orders = Vec::new();
    let mut reader = IterTcp::load(accepted()?)?.open()?;
    let mut buffer = vec![0; BUFFER];
    loop {
        let length = reader.read(&mut buffer)?;
        if length == 0 {
            return Ok(orders);
        }
        let connections = records(&buffer[..length])
            .iter()
            .filter_map(|record| record.connection(hz));
        for connection in connections.filter(|one| one.state == TcpState::Established) {
            let Some(timers) = connection.settings.known() else {
                continue;
            };
            let before = timers.effective(&NetnsDefaults::KERNEL);
            orders.push(Order {
                cookie: connection.id.cookie,
                before,
                silence: Duration::MAX,
                step: if before.idle.value == 10_800 {
                    again
                } else {
                    on
                },
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let walked = Walked {
            sockets: 7,
            loaded: Duration::from_micros(11),
            walk: Duration::from_micros(13),
            busy: Duration::from_micros(17),
        };
        assert_eq!(parse(&walked.line()), Some(walked));
        assert_eq!(parse("7 11 13"), None);
    }
}
