//! The keepalive timer: `tcp_keepalive_timer()`, `tcp_set_keepalive()`,
//! `tcp_sock_set_keepidle_locked()`.

use core::time::Duration;

use super::{Action, Cause, Errno, Held, KeepaliveMachine, Sent};
use crate::connection::TcpState;

impl KeepaliveMachine {
    /// Arms the timer with the full idle, where keepalive is on.
    pub(super) fn arm_keepalive_for_idle(&mut self, now: Duration) {
        self.keepalive_timer = None;
        if self.setup.timers.keepalive
            && let Some(idle) = self.setup.idle()
        {
            self.arm_keepalive(now, idle);
        }
    }

    /// As behind a probe that was answered at once.
    pub(super) fn arm_keepalive_for_interval(&mut self, now: Duration) {
        if self.keepalive_timer.take().is_some()
            && let Some(interval) = self.setup.interval()
        {
            self.arm_keepalive(now, interval);
        }
    }

    /// Arms the timer only if it was off: a second time changes nothing.
    pub(super) fn switch_keepalive_on(&mut self, now: Duration) {
        let was_on = core::mem::replace(&mut self.setup.timers.keepalive, true);
        if !was_on && self.state != TcpState::Close && self.takes_options() {
            self.arm_keepalive_for_idle(now);
        }
    }

    pub(super) fn switch_keepalive_off(&mut self) {
        self.setup.timers.keepalive = false;
        if self.takes_options() {
            self.keepalive_timer = None;
        }
    }

    /// A new `TCP_KEEPIDLE` on a socket that has keepalive: what misses of the silence is waited
    /// for, and nothing if it has lasted longer.
    pub(super) fn rearm_for_new_idle(&mut self, now: Duration) {
        if !self.setup.timers.keepalive || self.state == TcpState::Close || !self.takes_options() {
            return;
        }
        if let Some(idle) = self.setup.idle() {
            let missing = idle.saturating_sub(self.silence(now));
            self.arm_keepalive(now, missing);
        }
    }

    /// A request without a socket, and what no program holds, cannot be set options on.
    fn takes_options(&self) -> bool {
        self.held == Held::ByProgram && self.state != TcpState::SynReceived
    }

    fn silence(&self, now: Duration) -> Duration {
        now.saturating_sub(self.heard)
    }

    pub(super) fn on_keepalive_timer(&mut self, now: Duration) -> Action {
        self.keepalive_timer = None;
        if self.lingers() {
            return self.on_linger_timer(now);
        }
        if !self.setup.timers.keepalive || self.state == TcpState::SynSent {
            return Action::None;
        }
        let Some(idle) = self.setup.idle() else {
            return Action::None;
        };
        if self.in_flight || self.queued {
            self.arm_keepalive(now, idle);
            return Action::Rearmed;
        }
        let silence = self.silence(now);
        if silence < idle {
            self.arm_keepalive(now, idle.saturating_sub(silence));
            return Action::Rearmed;
        }
        match self.setup.user_timeout() {
            Some(limit) if silence >= limit && self.probes_out > 0 => {
                self.write_error(Cause::UserTimeout)
            }
            None if self.probes_out >= self.setup.probes() => self.write_error(Cause::Keepalive),
            _ => self.probe(now),
        }
    }

    fn probe(&mut self, now: Duration) -> Action {
        self.probes_out = self.probes_out.saturating_add(1);
        if let Some(interval) = self.setup.interval() {
            self.arm_keepalive(now, interval);
        }
        Action::Send(Sent::Probe {
            unanswered: self.probes_out,
        })
    }

    /// An ICMP error, which counts only for what is in flight: a probe's sequence number lies
    /// outside, so that it neither shortens nor renames a death by keepalive.
    pub(super) fn on_unreachable(&mut self, now: Duration, errno: Errno) -> Action {
        match self.state {
            TcpState::SynSent => {
                let errno = self.finish(errno);
                Action::End {
                    errno,
                    cause: Cause::Unreachable,
                }
            }
            TcpState::SynReceived if errno != Errno::ConnectionRefused => {
                self.finish(errno);
                Action::End {
                    errno: None,
                    cause: Cause::Unreachable,
                }
            }
            TcpState::SynReceived => Action::None,
            _ if self.in_flight => {
                self.soft_error = Some(errno);
                self.revert_backoff(now, errno)
            }
            _ => Action::None,
        }
    }
}
