//! Handshakes that nobody answers: SYN-SENT (`tcp_connect()`, `tcp_write_timeout()`) and SYN-RECEIVED
//! (`reqsk_timer_handler()`).

use core::time::Duration;

use super::retransmit::doubled;
use super::{Action, Cause, Errno, KeepaliveMachine, Segment, Sent, WriteTimer};
use crate::connection::TcpState;
use crate::detection::model_timeout;

impl KeepaliveMachine {
    pub(super) fn begin_handshake(&mut self, now: Duration) {
        self.in_flight = true;
        // The limits of SYN-SENT count from connect(2), not from the first repetition.
        self.retransmitted_since = Some(now);
        self.arm_write_timer(WriteTimer::Retransmit, now, self.handshake_rto());
    }

    fn handshake_rto(&self) -> Duration {
        doubled(FIRST_TIMEOUT, self.backoff).min(self.setup.defaults.rto_max)
    }

    pub(super) fn on_syn_timer(&mut self, now: Duration) -> Action {
        if let Some(cause) = self.syn_expired(now) {
            return self.write_error(cause);
        }
        self.retransmits = self.retransmits.saturating_add(1);
        self.backoff_before = self.backoff;
        if self.retransmits > self.setup.syn_linear_timeouts {
            self.back_off();
        }
        let wait = match self.setup.user_timeout() {
            Some(limit) => {
                let since = self.retransmitted_since.unwrap_or(now);
                self.handshake_rto()
                    .min(limit.saturating_sub(now.saturating_sub(since)))
            }
            None => self.handshake_rto(),
        };
        self.arm_write_timer(WriteTimer::Retransmit, now, wait);
        Action::Send(Sent::Syn {
            count: self.retransmits,
        })
    }

    fn syn_expired(&self, now: Duration) -> Option<Cause> {
        let setup = &self.setup;
        let most = setup.syn_retries.saturating_add(setup.syn_linear_timeouts);
        if self.retransmits >= most {
            return Some(Cause::Connect);
        }
        let since = self.retransmitted_since.filter(|_| self.retransmits > 0)?;
        let passed = now.saturating_sub(since);
        if let Some(limit) = setup.user_timeout() {
            return (passed >= limit).then_some(Cause::UserTimeout);
        }
        let rto_max = setup.defaults.rto_max;
        let limit = model_timeout(FIRST_TIMEOUT, rto_max, setup.syn_retries);
        (passed >= limit).then_some(Cause::Connect)
    }

    pub(super) fn on_syn_ack_timer(&mut self, now: Duration) -> Action {
        if self.retransmits >= self.setup.synack_retries {
            self.finish(Errno::TimedOut);
            return Action::GiveUp {
                errno: None,
                cause: Cause::Accept,
            };
        }
        self.retransmits = self.retransmits.saturating_add(1);
        self.backoff = self.backoff.saturating_add(1);
        self.arm_write_timer(WriteTimer::Retransmit, now, self.handshake_rto());
        Action::Send(Sent::SynAck {
            count: self.retransmits,
        })
    }

    /// What completes a handshake; anything else is ignored.
    pub(super) fn on_handshake(&mut self, now: Duration, segment: Segment) -> Action {
        if !matches!(segment, Segment::Ack | Segment::ZeroWindow) {
            return Action::None;
        }
        self.hear(now);
        self.settle();
        self.window_open = segment == Segment::Ack;
        self.state = TcpState::Established;
        self.arm_keepalive_for_idle(now);
        Action::None
    }
}

/// `TCP_TIMEOUT_INIT`.
pub(super) const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
