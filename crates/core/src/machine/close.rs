//! The ways out: RST, FIN, and sockets that no program holds any more (`tcp_close()`,
//! `tcp_rcv_state_process()`, `tcp_time_wait()`, `tcp_reset()`).

use core::time::Duration;

use super::{Action, Cause, Errno, Held, KeepaliveMachine, Sent};
use crate::connection::TcpState;

impl KeepaliveMachine {
    /// The program closes the socket, which becomes an orphan. What was written is still delivered.
    pub fn close(&mut self, now: Duration) -> Action {
        if self.held == Held::Orphan || self.state == TcpState::Close {
            return Action::None;
        }
        self.held = Held::Orphan;
        match self.state {
            TcpState::Established | TcpState::CloseWait => self.send_fin(now),
            TcpState::FinWait2 => {
                self.linger(now);
                Action::None
            }
            TcpState::SynSent | TcpState::SynReceived => {
                self.finish(Errno::ConnectionReset);
                Action::End {
                    errno: None,
                    cause: Cause::Closed,
                }
            }
            _ => Action::None,
        }
    }

    /// The program says that it has no more to send (shutdown(2)), and keeps the socket.
    pub fn shut_down(&mut self, now: Duration) -> Action {
        match self.state {
            TcpState::Established | TcpState::CloseWait if self.held == Held::ByProgram => {
                self.send_fin(now)
            }
            _ => Action::None,
        }
    }

    fn send_fin(&mut self, now: Duration) -> Action {
        self.state = match self.state {
            TcpState::CloseWait => TcpState::LastAck,
            _ => TcpState::FinWait1,
        };
        self.fin_sent = true;
        if self.queued {
            // Behind the data that waits for the window.
            return Action::None;
        }
        self.put_in_flight(now);
        Action::Send(Sent::Fin { count: 0 })
    }

    pub(super) fn on_everything_acknowledged(&mut self, now: Duration) -> Action {
        match self.state {
            TcpState::FinWait1 => {
                self.state = TcpState::FinWait2;
                if self.held == Held::Orphan {
                    self.linger(now);
                }
                Action::None
            }
            TcpState::LastAck => self.end_orderly(),
            TcpState::Closing => {
                self.wait_for_old_segments(now);
                Action::None
            }
            _ => Action::None,
        }
    }

    pub(super) fn on_fin(&mut self, now: Duration) -> Action {
        self.hear(now);
        self.fin_received = true;
        match self.state {
            TcpState::Established => self.state = TcpState::CloseWait,
            TcpState::FinWait1 => self.state = TcpState::Closing,
            TcpState::FinWait2 | TcpState::TimeWait => self.wait_for_old_segments(now),
            _ => {}
        }
        Action::None
    }

    /// Data that nobody is left to read is answered with RST (`TCPABORTONDATA`).
    pub(super) fn on_data(&mut self, now: Duration) -> Action {
        let closed = self.held == Held::Orphan
            && matches!(self.state, TcpState::FinWait1 | TcpState::FinWait2);
        if closed {
            return self.end_orderly();
        }
        self.hear(now);
        Action::None
    }

    pub(super) fn on_reset(&mut self) -> Action {
        let errno = match self.state {
            TcpState::SynSent => Errno::ConnectionRefused,
            TcpState::CloseWait => Errno::BrokenPipe,
            _ => Errno::ConnectionReset,
        };
        let seen = self.state != TcpState::SynReceived;
        let errno = self.finish(errno).filter(|_| seen);
        Action::End {
            errno,
            cause: Cause::Reset,
        }
    }

    /// Whether the keepalive timer serves for waiting in FIN-WAIT-2 or TIME-WAIT.
    pub(super) fn lingers(&self) -> bool {
        match self.state {
            TcpState::FinWait2 => self.held == Held::Orphan,
            TcpState::TimeWait => true,
            _ => false,
        }
    }

    /// An orphan waits for the peer's FIN: up to 60 s as a small TIME-WAIT entry. Beyond 60 s the
    /// kernel waits twice for what goes beyond, on the keepalive timer and then as such an entry, so
    /// that a `tcp_fin_timeout` of 65 s lasts for 10 s and one of 120 s for 120 s (measured on 6.18).
    fn linger(&mut self, now: Duration) {
        let wait = self.fin_time();
        match wait.checked_sub(TIME_WAIT) {
            Some(beyond) if !beyond.is_zero() => self.arm_keepalive(now, beyond),
            _ => {
                self.state = TcpState::TimeWait;
                self.arm_keepalive(now, wait);
            }
        }
    }

    /// `tcp_fin_time()`.
    fn fin_time(&self) -> Duration {
        let least = self.setup.rto.saturating_mul(7) / 2;
        self.setup.fin_timeout.max(least)
    }

    pub(super) fn on_linger_timer(&mut self, now: Duration) -> Action {
        if self.state == TcpState::FinWait2 {
            self.state = TcpState::TimeWait;
            let wait = self.fin_time().saturating_sub(TIME_WAIT);
            self.arm_keepalive(now, wait);
            return Action::Rearmed;
        }
        if self.fin_received {
            return self.end_orderly();
        }
        self.finish(Errno::TimedOut);
        Action::GiveUp {
            errno: None,
            cause: Cause::FinTimeout,
        }
    }

    fn wait_for_old_segments(&mut self, now: Duration) {
        self.state = TcpState::TimeWait;
        self.arm_keepalive(now, TIME_WAIT);
    }

    fn end_orderly(&mut self) -> Action {
        self.finish(Errno::ConnectionReset);
        Action::End {
            errno: None,
            cause: Cause::Closed,
        }
    }
}

/// `TCP_TIMEWAIT_LEN`.
const TIME_WAIT: Duration = Duration::from_secs(60);
