//! Data in flight: `tcp_retransmit_timer()`, `tcp_write_timeout()`, `retransmits_timed_out()`,
//! `tcp_clamp_rto_to_user_timeout()`, `tcp_ld_RTO_revert()`.

use core::time::Duration;

use super::{Action, CONGESTION_RETRY, Cause, Errno, Held, KeepaliveMachine, Sent, WriteTimer};
use crate::detection::{RETRIES_BASE, model_timeout};

impl KeepaliveMachine {
    /// Something leaves that must be acknowledged; a timer runs for it, if none does already.
    pub(super) fn put_in_flight(&mut self, now: Duration) {
        let already = core::mem::replace(&mut self.in_flight, true);
        if already && self.write_timer.is_some() {
            return;
        }
        self.sent_at = now;
        let rto = self.rto();
        match self.setup.tail_loss_probe {
            Some(wait) => self.arm_write_timer(WriteTimer::TailLoss, now, wait.min(rto)),
            None => self.arm_write_timer(WriteTimer::Retransmit, now, rto),
        }
    }

    /// The retransmission timeout with its backoff.
    pub(super) fn rto(&self) -> Duration {
        doubled(self.setup.rto, self.backoff).min(self.setup.defaults.rto_max)
    }

    pub(super) fn on_tail_loss_timer(&mut self, now: Duration) -> Action {
        self.arm_write_timer(WriteTimer::Retransmit, now, self.rto());
        Action::Send(Sent::TailLossProbe)
    }

    pub(super) fn on_retransmit_timer(&mut self, now: Duration) -> Action {
        if !self.in_flight {
            return Action::None;
        }
        if let Some(cause) = self.expired(now) {
            return self.write_error(cause);
        }
        self.retransmits = self.retransmits.saturating_add(1);
        self.retransmitted_since.get_or_insert(now);
        self.sent_at = now;
        self.back_off();
        let wait = self.clamped_rto(now);
        self.arm_write_timer(WriteTimer::Retransmit, now, wait);
        let count = self.retransmits;
        Action::Send(if self.fin_sent {
            Sent::Fin { count }
        } else {
            Sent::Retransmission { count }
        })
    }

    /// The limit that has been reached, counted from the first retransmission.
    fn expired(&self, now: Duration) -> Option<Cause> {
        let since = self.retransmitted_since.filter(|_| self.retransmits > 0)?;
        let passed = now.saturating_sub(since);
        if let Some(limit) = self.setup.user_timeout() {
            return (passed >= limit).then_some(Cause::UserTimeout);
        }
        let (retries, cause) = match self.held {
            Held::ByProgram => (self.setup.defaults.retries2, Cause::Retransmission),
            Held::Orphan => (self.orphan_retries(self.rto()), Cause::Orphan),
        };
        (passed >= self.stands_for(retries)).then_some(cause)
    }

    /// `tcp_orphan_retries()`, where a connection is held alive while its timeout is below the
    /// ceiling.
    pub(super) fn orphan_retries(&self, rto: Duration) -> u32 {
        let alive = rto < self.setup.defaults.rto_max;
        match self.setup.orphan_retries {
            0 if alive => 8,
            _ if self.soft_error.is_some() && !alive => 0,
            retries => retries,
        }
    }

    fn stands_for(&self, retries: u32) -> Duration {
        model_timeout(RETRIES_BASE, self.setup.defaults.rto_max, retries)
    }

    /// The next timeout, not beyond the user timeout.
    pub(super) fn clamped_rto(&self, now: Duration) -> Duration {
        let rto = self.rto();
        match (self.setup.user_timeout(), self.retransmitted_since) {
            (Some(limit), Some(since)) => rto.min(limit.saturating_sub(now.saturating_sub(since))),
            _ => rto,
        }
    }

    pub(super) fn back_off(&mut self) {
        self.backoff_before = self.backoff;
        self.backoff = self.backoff.saturating_add(1);
    }

    /// No backoff for what the device refused.
    pub(super) fn retransmission_was_refused(&mut self, now: Duration) {
        self.backoff = self.backoff_before;
        self.arm_write_timer(WriteTimer::Retransmit, now, CONGESTION_RETRY);
    }

    /// A router that says the host or network is unreachable takes one backoff back (RFC 6069).
    pub(super) fn revert_backoff(&mut self, now: Duration, errno: Errno) -> Action {
        let reverts = matches!(errno, Errno::HostUnreachable | Errno::NetworkUnreachable);
        if !reverts || self.retransmits == 0 || self.backoff == 0 {
            return Action::None;
        }
        self.backoff -= 1;
        let missing = self.rto().saturating_sub(now.saturating_sub(self.sent_at));
        if missing.is_zero() {
            return self.on_retransmit_timer(now);
        }
        self.arm_write_timer(WriteTimer::Retransmit, now, missing);
        Action::None
    }

    /// Everything is acknowledged: no timer, no backoff.
    pub(super) fn settle(&mut self) {
        self.in_flight = false;
        self.retransmits = 0;
        self.backoff = 0;
        self.retransmitted_since = None;
        self.write_timer = None;
    }

    pub(super) fn on_ack(&mut self, now: Duration) -> Action {
        self.hear(now);
        self.settle();
        self.window_open = true;
        self.window_probed_since = None;
        if core::mem::take(&mut self.queued) {
            self.put_in_flight(now);
            return Action::Send(Sent::Data);
        }
        self.on_everything_acknowledged(now)
    }
}

/// A wait after `times` doublings.
pub(super) fn doubled(wait: Duration, times: u32) -> Duration {
    wait.saturating_mul(1u32.checked_shl(times).unwrap_or(u32::MAX))
}
