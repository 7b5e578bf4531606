//! What a connection's timers go by.

use core::time::Duration;

use crate::detection::Backoff;
use crate::namespace::NetnsDefaults;
use crate::settings::{EffectiveTimers, SocketTimers};
use crate::wheel::Hz;

/// The settings, sysctls and measured values that decide what happens to one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    /// What the socket holds.
    pub timers: SocketTimers,
    /// The namespace's sysctls.
    pub defaults: NetnsDefaults,
    /// The retransmission timeout without backoff.
    pub rto: Duration,
    /// The kernel's tick rate, if it is known.
    pub hz: Option<Hz>,
    /// `net.ipv4.tcp_syn_retries`, or `TCP_SYNCNT`.
    pub syn_retries: u32,
    /// `net.ipv4.tcp_syn_linear_timeouts` (since 6.5; 0 before).
    pub syn_linear_timeouts: u32,
    /// `net.ipv4.tcp_synack_retries`.
    pub synack_retries: u32,
    /// `net.ipv4.tcp_orphan_retries`; 0 stands for 8 while the retransmission timeout is below its
    /// ceiling.
    pub orphan_retries: u32,
    /// `net.ipv4.tcp_fin_timeout`, or `TCP_LINGER2`.
    pub fin_timeout: Duration,
    /// How long after sending data a tail loss probe repeats it, at most the retransmission timeout;
    /// `None` if there is none. Usually twice the round trip and `rto_min` (RFC 8985 7.2).
    pub tail_loss_probe: Option<Duration>,
}

impl Setup {
    /// A connection over a short path with the kernel's values where none are known, and no tail loss
    /// probe. Its retransmission timeout is 4 ms above the floor: the round trip comes on top of the
    /// floor, and at HZ 250 the shortest one makes 204 ms of it.
    #[must_use]
    pub fn new(timers: SocketTimers, defaults: NetnsDefaults) -> Self {
        Self {
            rto: defaults.rto_min.saturating_add(Duration::from_millis(4)),
            timers,
            defaults,
            hz: None,
            syn_retries: 6,
            syn_linear_timeouts: 4,
            synack_retries: 5,
            orphan_retries: 0,
            fin_timeout: Duration::from_secs(60),
            tail_loss_probe: None,
        }
    }

    /// The settings with the namespace's defaults filled in.
    #[must_use]
    pub fn effective(&self) -> EffectiveTimers {
        self.timers.effective(&self.defaults)
    }

    /// What retransmission goes by, for the closed formulas of [`detection`](crate::detection).
    #[must_use]
    pub const fn backoff(&self) -> Backoff {
        Backoff {
            rto: self.rto,
            rto_max: self.defaults.rto_max,
            retries2: self.defaults.retries2,
        }
    }

    /// Silence before the first probe, `None` for a default below zero: never.
    pub(super) fn idle(&self) -> Option<Duration> {
        whole_seconds(self.effective().idle.value)
    }

    /// Time to the next probe, `None` for a default below zero: there is none.
    pub(super) fn interval(&self) -> Option<Duration> {
        whole_seconds(self.effective().interval.value)
    }

    pub(super) fn probes(&self) -> u32 {
        u32::try_from(self.effective().probes.value).unwrap_or(0)
    }

    pub(super) fn user_timeout(&self) -> Option<Duration> {
        self.timers.user_timeout.duration()
    }
}

fn whole_seconds(value: i64) -> Option<Duration> {
    u64::try_from(value).ok().map(Duration::from_secs)
}
