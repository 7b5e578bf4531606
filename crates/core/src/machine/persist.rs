//! A closed window: `tcp_probe_timer()`, `tcp_send_probe0()`, `tcp_ack_probe()`,
//! `tcp_clamp_probe0_to_user_timeout()`.

use core::time::Duration;

use super::retransmit::doubled;
use super::{Action, CONGESTION_RETRY, Cause, Held, KeepaliveMachine, Sent, WriteTimer};
use crate::detection::persist_base;

impl KeepaliveMachine {
    /// Data that has to wait for the window.
    pub(super) fn queue(&mut self, now: Duration) {
        self.queued = true;
        if self.write_timer.is_none() {
            let wait = self.window_probe_base();
            self.arm_write_timer(WriteTimer::Persist, now, wait);
        }
    }

    /// Everything in flight is acknowledged, and the window is closed: what waits goes on waiting.
    pub(super) fn on_zero_window(&mut self, now: Duration) -> Action {
        self.hear(now);
        if self.in_flight {
            self.settle();
        }
        self.window_open = false;
        if !self.queued {
            return self.on_everything_acknowledged(now);
        }
        let wait = self.clamped_to_user_timeout(now, self.window_probe_wait());
        self.arm_write_timer(WriteTimer::Persist, now, wait);
        Action::None
    }

    pub(super) fn on_persist_timer(&mut self, now: Duration) -> Action {
        if self.in_flight || !self.queued {
            self.probes_out = 0;
            self.window_probed_since = None;
            return Action::None;
        }
        match (self.window_probed_since, self.setup.user_timeout()) {
            (None, _) => self.window_probed_since = Some(now),
            (Some(since), Some(limit)) if now.saturating_sub(since) >= limit => {
                return self.write_error(Cause::UserTimeout);
            }
            _ => {}
        }
        let (most, cause) = match self.held {
            Held::ByProgram => (self.setup.defaults.retries2, Cause::WindowProbes),
            Held::Orphan => {
                let wait = self.rto();
                let most = self.orphan_retries(wait);
                if wait >= self.setup.defaults.rto_max && self.backoff >= most {
                    return self.write_error(Cause::Orphan);
                }
                (most, Cause::Orphan)
            }
        };
        if self.probes_out >= most {
            return self.write_error(cause);
        }
        self.probe_window(now)
    }

    fn probe_window(&mut self, now: Duration) -> Action {
        self.probes_out = self.probes_out.saturating_add(1);
        self.backoff_before = self.backoff;
        if self.backoff < self.setup.defaults.retries2 {
            self.back_off();
        }
        let wait = self.clamped_to_user_timeout(now, self.window_probe_wait());
        self.arm_write_timer(WriteTimer::Persist, now, wait);
        Action::Send(Sent::WindowProbe {
            unanswered: self.probes_out,
        })
    }

    /// Counted all the same, but without backoff.
    pub(super) fn window_probe_was_refused(&mut self, now: Duration) {
        self.backoff = self.backoff_before;
        let wait = self.clamped_to_user_timeout(now, CONGESTION_RETRY);
        self.arm_write_timer(WriteTimer::Persist, now, wait);
    }

    fn window_probe_base(&self) -> Duration {
        persist_base(&self.setup.backoff())
    }

    fn window_probe_wait(&self) -> Duration {
        doubled(self.window_probe_base(), self.backoff).min(self.setup.defaults.rto_max)
    }

    fn clamped_to_user_timeout(&self, now: Duration, wait: Duration) -> Duration {
        match (self.setup.user_timeout(), self.window_probed_since) {
            (Some(limit), Some(since)) => wait.min(limit.saturating_sub(now.saturating_sub(since))),
            _ => wait,
        }
    }
}
