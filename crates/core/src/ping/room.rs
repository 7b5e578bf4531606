//! Whether the kernel may be made to probe by options without endangering the connection.

use core::time::Duration;

use crate::settings::{EffectiveTimers, KeepCnt, UserTimeout};

/// What has to be set beside keepalive and an idle time of a second for one more probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    /// Nothing.
    AsItIs,
    /// The highest count: the kernel gives the connection up with the one in force.
    HighestCount,
    /// It must not be probed.
    None,
}

/// The idle time with which a probe leaves at once.
const SECOND: Duration = Duration::from_secs(1);

impl Room {
    /// For one more probe of a connection with these settings and this silence, on which so many probes
    /// are unanswered.
    ///
    /// Unanswered probes stay counted when the options are back, until the peer is heard again. So
    /// where its program has keepalive on they stay below its count, or its next tick would give up a
    /// connection whose path has healed (`tcp_keepalive_timer()`, net/ipv4/tcp_timer.c); with a user
    /// timeout one is too many. When its own probing is near, putting the idle time back would send one
    /// more.
    #[must_use]
    pub fn of(timers: &EffectiveTimers, unanswered: u8, silence: Duration) -> Self {
        let next = i64::from(unanswered) + 1;
        let fits = next < timers.probes.value;
        if !timers.keepalive {
            return match next < i64::from(KeepCnt::MAX.get()) {
                true if fits => Self::AsItIs,
                true => Self::HighestCount,
                false => Self::None,
            };
        }
        let idle = u64::try_from(timers.idle.value).unwrap_or(0);
        let is_near = silence.saturating_add(SECOND) >= Duration::from_secs(idle);
        if fits && !is_near && timers.user_timeout == UserTimeout::OFF {
            Self::AsItIs
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Effective;

    fn timers(keepalive: bool, idle: i64, probes: i64, user_timeout: u64) -> EffectiveTimers {
        let value = |value| Effective {
            value,
            origin: None,
        };
        EffectiveTimers {
            keepalive,
            idle: value(idle),
            interval: value(75),
            probes: value(probes),
            user_timeout: UserTimeout::new(user_timeout).unwrap(),
        }
    }

    #[test]
    fn probes_stay_below_the_programs_own_count() {
        let second = |seconds| Duration::from_secs(seconds);
        for (timers, unanswered, silence, room) in [
            (timers(false, 7200, 9, 0), 0, 9_999, Room::AsItIs),
            (timers(false, 7200, 9, 5_000), 7, 9_999, Room::AsItIs),
            (timers(false, 7200, 9, 0), 8, 9_999, Room::HighestCount),
            (timers(false, 7200, 1, 0), 0, 9_999, Room::HighestCount),
            (timers(false, 7200, 9, 0), 125, 9_999, Room::HighestCount),
            (timers(false, 7200, 9, 0), 126, 9_999, Room::None),
            (timers(true, 60, 9, 0), 0, 58, Room::AsItIs),
            (timers(true, 60, 9, 0), 7, 58, Room::AsItIs),
            (timers(true, 60, 9, 0), 8, 58, Room::None),
            (timers(true, 60, 9, 0), 0, 59, Room::None),
            (timers(true, 60, 9, 1), 0, 10, Room::None),
            (timers(true, 60, 1, 0), 0, 10, Room::None),
            (timers(true, -1, 9, 0), 0, 10, Room::None),
        ] {
            let found = Room::of(&timers, unanswered, second(silence));
            assert_eq!(found, room, "{timers:?} {unanswered} {silence}");
        }
    }
}
