//! What the kernel does to one connection when its peer falls silent: a model without a clock and
//! without a socket.
//!
//! [`KeepaliveMachine`] holds the timers of one TCP connection as Linux 6.18 does
//! (net/ipv4/tcp_timer.c, `tcp_ack()`, `tcp_rcv_state_process()`) and is told what happens: a
//! segment arrives, a timer fires, the program writes, sets an option or closes. Time is an
//! argument, counted from any moment; it must not go backwards.
//!
//! [`simulation`] drives it against a network, [`timeline`] lists what happens to a connection whose
//! peer vanished, [`predict`] says when a program learns of its end, [`loss`] counts living
//! connections that are given up.
//!
//! What is left out: congestion control, several segments in flight at once, a window that shrinks
//! under data in flight, fast open, MPTCP, a full accept queue (fewer SYN-ACKs), memory pressure
//! (orphans die sooner), thin-stream timeouts, the RTO of 3 s behind a repeated SYN
//! (until a round trip is measured), and timers beyond the wheel's last level (49 days at HZ 250).
//!
//! Kernels from 5.10 to 7.x keep the same rules but for: `tcp_syn_linear_timeouts` (6.5; set it to 0
//! for older ones), `tcp_rto_min_us` (6.11) and `tcp_rto_max_ms` (6.15; older ones have 200 ms and
//! 120 s), and the user timeout of a zero window, which the first 5.10 releases counted from another
//! moment.

mod bounds;
mod close;
mod connect;
mod errno;
mod keepalive;
mod lateness;
pub mod loss;
mod persist;
pub mod predict;
mod retransmit;
mod segment;
mod setup;
pub mod simulation;
pub mod timeline;

use core::time::Duration;

use crate::connection::TcpState;
use crate::namespace::NetnsDefaults;
use crate::settings::Setting;

pub use errno::Errno;
pub use lateness::Lateness;
pub use loss::{LossReport, lossy_day};
pub use predict::{Outcome, predict};
pub use segment::{Action, Cause, Segment, Sent, SocketOption};
pub use setup::Setup;
pub use simulation::{Answer, End, Event, Run, Simulation, Start, World};
pub use timeline::{Step, Window, timeline};

/// Which of the timers that share `icsk_retransmit_timer` is armed (`icsk_pending`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WriteTimer {
    Retransmit,
    TailLoss,
    Persist,
}

/// Whether a program still holds the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    ByProgram,
    /// `SOCK_DEAD`.
    Orphan,
}

/// One connection's timers. See the [module](self).
#[derive(Debug, Clone)]
pub struct KeepaliveMachine {
    setup: Setup,
    lateness: Lateness,
    state: TcpState,
    held: Held,
    /// The later of `tp->rcv_tstamp` and `icsk_ack.lrcvtime`.
    heard: Duration,
    /// `sk_timer`: keepalive, and lingering in FIN-WAIT-2.
    keepalive_timer: Option<Duration>,
    /// `icsk_retransmit_timer`.
    write_timer: Option<(WriteTimer, Duration)>,
    /// `icsk_probes_out`.
    probes_out: u32,
    /// `icsk_retransmits`.
    retransmits: u32,
    /// `icsk_backoff`.
    backoff: u32,
    /// The backoff before the last timer raised it.
    backoff_before: u32,
    /// `tp->retrans_stamp`.
    retransmitted_since: Option<Duration>,
    /// `icsk_probes_tstamp`.
    window_probed_since: Option<Duration>,
    /// `sk_err_soft`.
    soft_error: Option<Errno>,
    /// `tp->packets_out`.
    in_flight: bool,
    /// Data waits for the window.
    queued: bool,
    window_open: bool,
    fin_sent: bool,
    fin_received: bool,
    /// When the segment in flight was sent last.
    sent_at: Duration,
}

impl KeepaliveMachine {
    /// A connection whose handshake ends now; keepalive is armed where the settings say so, with
    /// the full idle (`tcp_finish_connect()`, `tcp_create_openreq_child()`).
    #[must_use]
    pub fn established(setup: &Setup, lateness: Lateness, now: Duration) -> Self {
        let mut machine = Self::new(setup, lateness, TcpState::Established, now);
        machine.arm_keepalive_for_idle(now);
        machine
    }

    /// A connection of which the SYN leaves now.
    #[must_use]
    pub fn connecting(setup: &Setup, lateness: Lateness, now: Duration) -> Self {
        let mut machine = Self::new(setup, lateness, TcpState::SynSent, now);
        machine.begin_handshake(now);
        machine
    }

    /// A request of which the SYN was received and the SYN-ACK leaves now.
    #[must_use]
    pub fn accepting(setup: &Setup, lateness: Lateness, now: Duration) -> Self {
        let mut machine = Self::new(setup, lateness, TcpState::SynReceived, now);
        machine.begin_handshake(now);
        machine
    }

    fn new(setup: &Setup, lateness: Lateness, state: TcpState, now: Duration) -> Self {
        Self {
            setup: setup.clone(),
            lateness,
            state,
            held: Held::ByProgram,
            heard: now,
            keepalive_timer: None,
            write_timer: None,
            probes_out: 0,
            retransmits: 0,
            backoff: 0,
            backoff_before: 0,
            retransmitted_since: None,
            window_probed_since: None,
            soft_error: None,
            in_flight: false,
            queued: false,
            window_open: true,
            fin_sent: false,
            fin_received: false,
            sent_at: now,
        }
    }

    /// The state of RFC 9293; `Close` once the connection is over.
    #[must_use]
    pub const fn state(&self) -> TcpState {
        self.state
    }

    /// Unanswered probes (`tcpi_probes`).
    #[must_use]
    pub const fn unanswered(&self) -> u32 {
        self.probes_out
    }

    /// When the next timer fires, `None` if none is armed. Never before the last input.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Duration> {
        let write = self.write_timer.map(|(_, at)| at);
        match (self.keepalive_timer, write) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// A timer fires. Before [`next_timeout`](Self::next_timeout) nothing happens; behind it, call
    /// again until the next timeout lies ahead.
    pub fn on_timer(&mut self, now: Duration) -> Action {
        let keepalive = self.keepalive_timer.filter(|at| *at <= now);
        let write = self.write_timer.filter(|(_, at)| *at <= now);
        match (keepalive, write) {
            (Some(at), Some((_, other))) if at <= other => self.on_keepalive_timer(now),
            (_, Some((timer, _))) => self.on_write_timer(timer, now),
            (Some(_), None) => self.on_keepalive_timer(now),
            (None, None) => Action::None,
        }
    }

    /// A timer fires while the program is inside a system call on the socket
    /// (`sock_owned_by_user()`): keepalive is tried again HZ/20 later, the write timer runs when the
    /// call ends, `until`.
    pub fn on_timer_while_owned(&mut self, now: Duration, until: Duration) {
        let until = until.max(now);
        if self.keepalive_timer.is_some_and(|at| at <= now) {
            self.arm_keepalive(now, OWNED_RETRY);
        }
        if let Some((_, at)) = &mut self.write_timer
            && *at <= now
        {
            *at = until;
        }
    }

    /// The device refused what the last [`Action::Send`] of a timer asked for (local congestion):
    /// tried again HZ/2 later, and a keepalive probe is not counted.
    pub fn on_congestion(&mut self, now: Duration, sent: Sent) {
        match sent {
            Sent::Probe { .. } => {
                self.probes_out = self.probes_out.saturating_sub(1);
                self.arm_keepalive(now, CONGESTION_RETRY);
            }
            Sent::WindowProbe { .. } => self.window_probe_was_refused(now),
            Sent::Retransmission { .. } | Sent::Syn { count: 1.. } | Sent::Fin { count: 1.. } => {
                self.retransmission_was_refused(now);
            }
            // The timer that is armed repeats it.
            Sent::Data
            | Sent::TailLossProbe
            | Sent::Syn { count: 0 }
            | Sent::SynAck { .. }
            | Sent::Fin { count: 0 } => {}
        }
    }

    /// A segment, or an ICMP error, arrives.
    pub fn on_segment(&mut self, now: Duration, segment: Segment) -> Action {
        if self.state == TcpState::Close {
            return Action::None;
        }
        match segment {
            Segment::Reset => self.on_reset(),
            Segment::Unreachable(errno) => self.on_unreachable(now, errno),
            _ if matches!(self.state, TcpState::SynSent | TcpState::SynReceived) => {
                self.on_handshake(now, segment)
            }
            Segment::Ack => self.on_ack(now),
            Segment::Stale => {
                self.hear(now);
                Action::None
            }
            Segment::Data => self.on_data(now),
            Segment::ZeroWindow => self.on_zero_window(now),
            Segment::Fin => self.on_fin(now),
        }
    }

    /// The program writes, and everything is sent at once if the window is open.
    pub fn send(&mut self, now: Duration) -> Action {
        if self.fin_sent || !matches!(self.state, TcpState::Established | TcpState::CloseWait) {
            return Action::None;
        }
        if !self.window_open {
            self.queue(now);
            return Action::None;
        }
        self.put_in_flight(now);
        Action::Send(Sent::Data)
    }

    /// The program sets a socket option.
    pub fn set(&mut self, now: Duration, option: SocketOption) {
        let timers = &mut self.setup.timers;
        match option {
            SocketOption::KeepaliveOn => self.switch_keepalive_on(now),
            SocketOption::KeepaliveOff => self.switch_keepalive_off(),
            SocketOption::Idle(idle) => {
                timers.idle = Setting::Socket(u32::from(idle.get()));
                self.rearm_for_new_idle(now);
            }
            SocketOption::Interval(interval) => {
                timers.interval = Setting::Socket(u32::from(interval.get()));
            }
            SocketOption::Probes(probes) => {
                timers.probes = Setting::Socket(u32::from(probes.get()));
            }
            SocketOption::UserTimeout(timeout) => timers.user_timeout = timeout,
        }
    }

    /// The administrator changes the namespace's sysctls. No armed timer moves: the new values count
    /// when it fires.
    pub fn set_defaults(&mut self, defaults: NetnsDefaults) {
        self.setup.defaults = defaults;
    }

    fn hear(&mut self, now: Duration) {
        self.heard = now;
        self.probes_out = 0;
        self.soft_error = None;
    }

    fn on_write_timer(&mut self, timer: WriteTimer, now: Duration) -> Action {
        self.write_timer = None;
        match (timer, self.state) {
            (_, TcpState::SynSent) => self.on_syn_timer(now),
            (_, TcpState::SynReceived) => self.on_syn_ack_timer(now),
            (WriteTimer::Retransmit, _) => self.on_retransmit_timer(now),
            (WriteTimer::TailLoss, _) => self.on_tail_loss_timer(now),
            (WriteTimer::Persist, _) => self.on_persist_timer(now),
        }
    }

    fn arm_write_timer(&mut self, timer: WriteTimer, now: Duration, wait: Duration) {
        let at = self.lateness.fires(self.setup.hz, now, wait);
        self.write_timer = Some((timer, at));
    }

    fn arm_keepalive(&mut self, now: Duration, wait: Duration) {
        self.keepalive_timer = Some(self.lateness.fires(self.setup.hz, now, wait));
    }

    /// The connection is over; what the program reads, if it can still read.
    fn finish(&mut self, errno: Errno) -> Option<Errno> {
        self.state = TcpState::Close;
        self.keepalive_timer = None;
        self.write_timer = None;
        (self.held == Held::ByProgram).then_some(errno)
    }

    fn give_up(&mut self, errno: Errno, cause: Cause) -> Action {
        let errno = self.finish(errno);
        Action::GiveUp { errno, cause }
    }

    /// `tcp_write_err()`: an ICMP error that was noted gives its name to the death.
    fn write_error(&mut self, cause: Cause) -> Action {
        let errno = self.soft_error.unwrap_or(Errno::TimedOut);
        self.give_up(errno, cause)
    }
}

/// `TCP_RESOURCE_PROBE_INTERVAL`: HZ/2.
const CONGESTION_RETRY: Duration = Duration::from_millis(500);
/// HZ/20.
const OWNED_RETRY: Duration = Duration::from_millis(50);
