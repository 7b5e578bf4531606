//! What happened, as the programs write it: the twin of src/bpf/happening.h.

use std::time::Duration;

use sockpulse_core::event::Side;
use sockpulse_core::machine::SocketOption;
use sockpulse_core::{
    Comm, Connection, Hz, KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, Observed, Timers, Unseen,
    UserTimeout,
};
use zerocopy::native_endian::{I32, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::happening::{Change, Ending, Happening, Known, Program, What};
use crate::record::Record;

/// `struct happening`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Raw {
    record: Record,
    at: U64,
    age: U64,
    owner_comm: [u8; 16],
    actor_comm: [u8; 16],
    owner_pid: U32,
    actor_pid: U32,
    idle_default: I32,
    interval_default: I32,
    error: I32,
    soft_error: I32,
    value: I32,
    silence: U32,
    unsent: U32,
    window_probed: U32,
    level: u8,
    option: u8,
    unanswered: u8,
    accepted: u8,
    probes_default: u8,
    what: u8,
    known: u8,
    reset: u8,
}

/// `enum what`.
pub(super) mod what {
    pub(crate) const OPENED: u8 = 1;
    pub(crate) const PROBING: u8 = 2;
    pub(crate) const RECOVERED: u8 = 3;
    pub(crate) const DIED: u8 = 4;
    pub(crate) const CLOSED: u8 = 5;
    pub(crate) const CHANGED: u8 = 6;
}

/// `enum known`.
mod known {
    pub(super) const CONNECTED: u8 = 1;
    pub(super) const LISTENED: u8 = 2;
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Raw>() == 264);
    assert!(offset_of!(Raw, at) == 168);
    assert!(offset_of!(Raw, owner_comm) == 184);
    assert!(offset_of!(Raw, owner_pid) == 216);
    assert!(offset_of!(Raw, error) == 232);
    assert!(offset_of!(Raw, unsent) == 248);
    assert!(offset_of!(Raw, level) == 256);
    assert!(offset_of!(Raw, probes_default) == 260);
    assert!(offset_of!(Raw, what) == 261);
};

impl Raw {
    /// `None` for what is no event, which the programs never write.
    pub(super) fn happening(&self, hz: Hz) -> Option<Happening> {
        let connection = self.connection(hz)?;
        let settings = connection.settings.known()?;
        Some(Happening {
            at: Duration::from_nanos(self.at.get()),
            what: self.what(hz)?,
            effective: settings.effective(&self.defaults(hz)),
            connection,
            opened: self.opened(hz),
            program: self.program(),
        })
    }

    /// Where the socket was reached by its timer or by a call, its timers were not read.
    fn connection(&self, hz: Hz) -> Option<Connection> {
        let connection = self.record.connection(hz)?;
        if matches!(self.what, what::OPENED | what::DIED | what::CLOSED) {
            return Some(connection);
        }
        let timers = Timers {
            keepalive: Observed::Unknown(Unseen::NotReported),
            retransmission: Observed::Unknown(Unseen::NotReported),
        };
        Some(Connection {
            timers,
            ..connection
        })
    }

    fn opened(&self, hz: Hz) -> Option<Duration> {
        let age = jiffies(self.age.get().checked_sub(1)?, hz);
        Some(Duration::from_nanos(self.at.get()).saturating_sub(age))
    }

    fn what(&self, hz: Hz) -> Option<What> {
        Some(match self.what {
            what::OPENED if self.accepted != 0 => What::Opened(Side::Accepted),
            what::OPENED => What::Opened(Side::Connected),
            what::PROBING => What::Probing,
            what::RECOVERED => What::Recovered {
                silence: jiffies(self.silence.get().into(), hz),
                unanswered: self.unanswered,
            },
            what::DIED => What::Died(Ending {
                errno: self.error.get(),
                soft_error: self.soft_error.get(),
                reset: self.reset != 0,
                unsent: self.unsent.get(),
                window_probed: Some(self.window_probed.get())
                    .filter(|count| *count != 0)
                    .map(|count| jiffies(count.into(), hz)),
                by: self.actor(),
            }),
            what::CLOSED => What::Closed,
            what::CHANGED => What::Changed(Change {
                option: self.option()?,
                by: self.actor()?,
            }),
            _ => return None,
        })
    }

    fn option(&self) -> Option<SocketOption> {
        const SOL_SOCKET: u8 = 1;
        const SO_KEEPALIVE: u8 = 9;
        const SOL_TCP: u8 = 6;
        const TCP_KEEPIDLE: u8 = 4;
        const TCP_KEEPINTVL: u8 = 5;
        const TCP_KEEPCNT: u8 = 6;
        const TCP_USER_TIMEOUT: u8 = 18;
        let value = u64::try_from(self.value.get()).ok()?;
        Some(match (self.level, self.option) {
            (SOL_SOCKET, SO_KEEPALIVE) if value == 0 => SocketOption::KeepaliveOff,
            (SOL_SOCKET, SO_KEEPALIVE) => SocketOption::KeepaliveOn,
            (SOL_TCP, TCP_KEEPIDLE) => SocketOption::Idle(KeepIdle::new(value).ok()?),
            (SOL_TCP, TCP_KEEPINTVL) => SocketOption::Interval(KeepIntvl::new(value).ok()?),
            (SOL_TCP, TCP_KEEPCNT) => SocketOption::Probes(KeepCnt::new(value).ok()?),
            (SOL_TCP, TCP_USER_TIMEOUT) => SocketOption::UserTimeout(UserTimeout::new(value).ok()?),
            _ => return None,
        })
    }

    fn actor(&self) -> Option<Program> {
        (self.actor_pid.get() != 0 || self.actor_comm != [0; 16]).then(|| Program {
            pid: self.actor_pid.get(),
            comm: Comm::new(&self.actor_comm),
            known: Known::Called,
        })
    }

    fn program(&self) -> Option<Program> {
        let known = match self.known {
            known::CONNECTED => Known::Connected,
            known::LISTENED => Known::Listened,
            _ => return None,
        };
        Some(Program {
            pid: self.owner_pid.get(),
            comm: Comm::new(&self.owner_comm),
            known,
        })
    }

    fn defaults(&self, hz: Hz) -> NetnsDefaults {
        let seconds = |jiffies: i32| i64::from(jiffies).div_euclid(i64::from(hz.get()));
        NetnsDefaults {
            idle_s: seconds(self.idle_default.get()),
            interval_s: seconds(self.interval_default.get()),
            probes: self.probes_default.into(),
            ..NetnsDefaults::KERNEL
        }
    }
}

fn jiffies(count: u64, hz: Hz) -> Duration {
    Duration::from_millis(count.saturating_mul(1000) / u64::from(hz.get()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sockpulse_core::{Origin, TcpState};
    use zerocopy::FromZeros;

    use super::*;

    const HZ: Hz = match Hz::new(250) {
        Some(hz) => hz,
        None => panic!("250 is a tick rate"),
    };

    fn raw(kind: u8) -> Raw {
        let mut raw = Raw::new_zeroed();
        raw.what = kind;
        raw.record.kind = 1;
        raw.record.family = 2;
        raw.record.state = 1;
        raw.record.flags = crate::record::flag::SETTINGS;
        raw.idle_default = (7200 * 250).into();
        raw.interval_default = (75 * 250).into();
        raw.probes_default = 9;
        raw
    }

    #[test]
    fn what_is_inherited_is_filled_in() {
        let mut raw = raw(what::PROBING);
        raw.record.keepalive_time = 500.into();
        let told = raw.happening(HZ).unwrap();
        assert_eq!(told.effective.idle.value, 2);
        assert_eq!(told.effective.idle.origin, Some(Origin::Socket));
        assert_eq!(told.effective.interval.value, 75);
        assert_eq!(told.effective.probes.value, 9);
        assert_eq!((told.opened, told.program), (None, None));
    }

    #[test]
    fn an_end_is_told_with_its_errors() {
        let mut raw = raw(what::DIED);
        raw.error = 113.into();
        raw.soft_error = 113.into();
        raw.unsent = 5.into();
        raw.window_probed = 1000.into();
        raw.record.state = 4;
        raw.at = 8_000_000_000.into();
        raw.age = 751.into();
        raw.known = known::LISTENED;
        raw.owner_pid = 7.into();
        raw.owner_comm[..5].copy_from_slice(b"nginx");
        let told = raw.happening(HZ).unwrap();
        assert_eq!(
            told.what,
            What::Died(Ending {
                errno: 113,
                soft_error: 113,
                reset: false,
                unsent: 5,
                window_probed: Some(Duration::from_secs(4)),
                by: None
            })
        );
        assert_eq!(told.connection.state, TcpState::FinWait1);
        assert_eq!(told.opened, Some(Duration::from_secs(5)));
        let program = told.program.unwrap();
        assert_eq!((program.pid, program.known), (7, Known::Listened));
        assert_eq!(program.comm, Comm::new(b"nginx"));
    }

    #[test]
    fn options_come_with_their_values() {
        let changed = |level, option, value: i32| {
            let mut raw = raw(what::CHANGED);
            raw.actor_pid = 3.into();
            (raw.level, raw.option, raw.value) = (level, option, value.into());
            raw.happening(HZ).map(|told| match told.what {
                What::Changed(change) => change.option,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(changed(1, 9, 1), Some(SocketOption::KeepaliveOn));
        assert_eq!(changed(1, 9, 0), Some(SocketOption::KeepaliveOff));
        let idle = KeepIdle::new(60).unwrap();
        assert_eq!(changed(6, 4, 60), Some(SocketOption::Idle(idle)));
        let timeout = UserTimeout::new(90_000).unwrap();
        assert_eq!(
            changed(6, 18, 90_000),
            Some(SocketOption::UserTimeout(timeout))
        );
        assert_eq!(changed(6, 4, 0), None);
        assert_eq!(changed(6, 1, 1), None, "another option");
    }

    #[test]
    fn silences_are_turned_from_jiffies() {
        let mut raw = raw(what::RECOVERED);
        raw.silence = 625.into();
        raw.unanswered = 2;
        let silence = Duration::from_millis(2500);
        assert_eq!(
            raw.happening(HZ).unwrap().what,
            What::Recovered {
                silence,
                unanswered: 2
            }
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 264), what in 0..8u8) {
            let mut raw = Raw::read_from_bytes(&bytes).unwrap();
            let _ = raw.happening(HZ);
            raw.what = what;
            raw.record.kind = 1;
            raw.record.family = 2;
            raw.record.state = 1;
            let _ = raw.happening(HZ);
        }
    }
}
