//! Drives a [`KeepaliveMachine`] against a network: what is sent, what comes back, how it ends.

use alloc::vec::Vec;
use core::time::Duration;

use super::{Action, Cause, Errno, KeepaliveMachine, Lateness, Segment, Sent, Setup};

/// What the connection is doing at time zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// A segment of the peer was just received, and the timer is armed for the idle time: a new
    /// connection, or one with traffic.
    Idle,
    /// The peer just answered a probe: the timer is armed for the interval.
    Answered,
    /// The program just wrote, and everything is in flight.
    DataInFlight,
    /// The program wrote more than the peer's window takes; the persist timer was just armed.
    ZeroWindow,
    /// The SYN just left.
    Connecting,
    /// The SYN-ACK just left.
    Accepting,
    /// The program just closed the socket, and the FIN left.
    Closing,
    /// The program closed the socket, and the peer just acknowledged the FIN.
    FinWait2,
}

/// What the network makes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It is acknowledged.
    Acked {
        /// How much later the ACK arrives.
        after: Duration,
    },
    /// It is answered by an ACK that leaves the window closed.
    ZeroWindow {
        /// How much later the ACK arrives.
        after: Duration,
    },
    /// Nothing comes back.
    Lost,
    /// RST comes back.
    Reset {
        /// How much later it arrives.
        after: Duration,
    },
    /// An ICMP error comes back.
    Unreachable {
        /// How much later it arrives.
        after: Duration,
        /// What its code stands for.
        errno: Errno,
    },
    /// The own device refuses it.
    Congested,
}

/// The network and the peer.
pub trait World {
    /// What becomes of a segment that is sent now.
    fn answer(&mut self, now: Duration, sent: Sent) -> Answer;
}

impl<F: FnMut(Duration, Sent) -> Answer> World for F {
    fn answer(&mut self, now: Duration, sent: Sent) -> Answer {
        self(now, sent)
    }
}

/// A world in which nothing is ever answered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Vanished;

impl World for Vanished {
    fn answer(&mut self, _now: Duration, _sent: Sent) -> Answer {
        Answer::Lost
    }
}

/// What happened at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// A segment was sent.
    Sent(Sent),
    /// The device refused the segment.
    Congested(Sent),
    /// A timer fired, found nothing to do and was armed anew.
    Rearmed,
    /// The peer was heard.
    Answered,
    /// An ICMP error arrived.
    Unreachable(Errno),
    /// The timers gave the connection up.
    GivenUp {
        /// What the program reads, if one is left to read.
        errno: Option<Errno>,
        /// Which limit was reached.
        cause: Cause,
    },
    /// The connection ended by what was received, or by itself.
    Ended {
        /// What the program reads, if one is left to read.
        errno: Option<Errno>,
        /// What it was.
        cause: Cause,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct End {
    /// When.
    pub at: Duration,
    /// What the program reads, if one is left to read.
    pub errno: Option<Errno>,
    /// Why.
    pub cause: Cause,
}

/// What happened up to the end, or to the moment that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Everything that happened, in order; the first [`Simulation::MOST_EVENTS`] of it.
    pub events: Vec<(Duration, Event)>,
    /// The end, `None` if the connection lives on.
    pub end: Option<End>,
    /// Whether somebody answered.
    pub answered: bool,
    /// How far the run got: the end, or the time asked for, unless it had too many events.
    pub reached: Duration,
}

/// A machine, a network and what is on its way.
#[derive(Debug)]
pub struct Simulation<W> {
    machine: KeepaliveMachine,
    world: W,
    arriving: Vec<(Duration, Segment)>,
    run: Run,
}

impl<W: World> Simulation<W> {
    /// A run is cut off behind this many events.
    pub const MOST_EVENTS: usize = 100_000;

    /// Runs a connection up to its end, or to `until`.
    #[must_use]
    pub fn run(setup: &Setup, start: Start, lateness: Lateness, world: W, until: Duration) -> Run {
        Self::new(setup, start, lateness, world).finish(until, Self::MOST_EVENTS)
    }

    /// Runs a connection up to its end, or to so many events.
    #[must_use]
    pub fn run_briefly(
        setup: &Setup,
        start: Start,
        lateness: Lateness,
        world: W,
        most_events: usize,
    ) -> Run {
        Self::new(setup, start, lateness, world).finish(Duration::MAX, most_events)
    }

    fn new(setup: &Setup, start: Start, lateness: Lateness, world: W) -> Self {
        let (machine, first) = start.machine(setup, lateness);
        let mut simulation = Self {
            machine,
            world,
            arriving: Vec::new(),
            run: Run {
                events: Vec::new(),
                end: None,
                answered: false,
                reached: Duration::ZERO,
            },
        };
        if let Some(sent) = first {
            simulation.act(Duration::ZERO, Action::Send(sent));
        }
        simulation
    }

    fn finish(mut self, until: Duration, most_events: usize) -> Run {
        while self.run.end.is_none() && self.run.events.len() < most_events {
            let Some(now) = self.next().filter(|at| *at <= until) else {
                self.run.reached = until;
                break;
            };
            self.step(now);
            self.run.reached = now;
        }
        self.run
    }

    fn next(&self) -> Option<Duration> {
        let arrival = self.arriving.iter().map(|(at, _)| *at).min();
        match (arrival, self.machine.next_timeout()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// What arrives at a moment comes before the timers of that moment.
    fn step(&mut self, now: Duration) {
        let arrived = self.arriving.iter().position(|(at, _)| *at <= now);
        let Some(index) = arrived else {
            let action = self.machine.on_timer(now);
            return self.act(now, action);
        };
        let (_, segment) = self.arriving.remove(index);
        let event = match segment {
            Segment::Unreachable(errno) => Some(Event::Unreachable(errno)),
            Segment::Reset => None,
            _ => Some(Event::Answered),
        };
        if let Some(event) = event {
            self.run.answered |= event == Event::Answered;
            self.run.events.push((now, event));
        }
        let action = self.machine.on_segment(now, segment);
        self.act(now, action);
    }

    fn act(&mut self, now: Duration, action: Action) {
        match action {
            Action::None => {}
            Action::Rearmed => self.run.events.push((now, Event::Rearmed)),
            Action::Send(sent) => self.send(now, sent),
            Action::GiveUp { errno, cause } => {
                self.end(now, Event::GivenUp { errno, cause }, errno, cause);
            }
            Action::End { errno, cause } => {
                self.end(now, Event::Ended { errno, cause }, errno, cause);
            }
        }
    }

    fn end(&mut self, at: Duration, event: Event, errno: Option<Errno>, cause: Cause) {
        self.run.events.push((at, event));
        self.run.end = Some(End { at, errno, cause });
    }

    fn send(&mut self, now: Duration, sent: Sent) {
        let (after, segment) = match self.world.answer(now, sent) {
            Answer::Congested => {
                self.run.events.push((now, Event::Congested(sent)));
                return self.machine.on_congestion(now, sent);
            }
            Answer::Lost => (None, Segment::Reset),
            Answer::Acked { after } => (Some(after), Segment::Ack),
            Answer::ZeroWindow { after } => (Some(after), Segment::ZeroWindow),
            Answer::Reset { after } => (Some(after), Segment::Reset),
            Answer::Unreachable { after, errno } => (Some(after), Segment::Unreachable(errno)),
        };
        self.run.events.push((now, Event::Sent(sent)));
        if let Some(after) = after {
            self.arriving.push((now.saturating_add(after), segment));
        }
    }
}

impl Start {
    /// The machine at time zero, and what leaves at that moment.
    #[must_use]
    pub fn machine(self, setup: &Setup, lateness: Lateness) -> (KeepaliveMachine, Option<Sent>) {
        let now = Duration::ZERO;
        let open = || KeepaliveMachine::established(setup, lateness, now);
        match self {
            Self::Idle => (open(), None),
            Self::Answered => {
                let mut machine = open();
                machine.arm_keepalive_for_interval(now);
                (machine, None)
            }
            Self::DataInFlight => {
                let mut machine = open();
                machine.send(now);
                (machine, Some(Sent::Data))
            }
            Self::ZeroWindow => {
                let mut machine = open();
                machine.on_segment(now, Segment::ZeroWindow);
                machine.send(now);
                (machine, None)
            }
            Self::Connecting => {
                let machine = KeepaliveMachine::connecting(setup, lateness, now);
                (machine, Some(Sent::Syn { count: 0 }))
            }
            Self::Accepting => {
                let machine = KeepaliveMachine::accepting(setup, lateness, now);
                (machine, Some(Sent::SynAck { count: 0 }))
            }
            Self::Closing => {
                let mut machine = open();
                machine.close(now);
                (machine, Some(Sent::Fin { count: 0 }))
            }
            Self::FinWait2 => {
                let mut machine = open();
                machine.close(now);
                machine.on_segment(now, Segment::Ack);
                (machine, None)
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::namespace::NetnsDefaults;
    use crate::settings::{Setting, SocketTimers, UserTimeout};
    use crate::wheel::Hz;

    pub(crate) fn setup(idle: u32, interval: u32, probes: u32, user_timeout_ms: u64) -> Setup {
        let timers = SocketTimers {
            keepalive: true,
            idle: Setting::Socket(idle),
            interval: Setting::Socket(interval),
            probes: Setting::Socket(probes),
            user_timeout: UserTimeout::new(user_timeout_ms).unwrap(),
        };
        Setup {
            hz: Hz::new(250),
            ..Setup::new(timers, NetnsDefaults::KERNEL)
        }
    }

    #[test]
    fn an_answered_peer_lives() {
        let after = Duration::from_millis(1);
        let world = |_, _| Answer::Acked { after };
        let day = Duration::from_secs(86_400);
        let run = Simulation::run(
            &setup(60, 10, 6, 0),
            Start::Idle,
            Lateness::None,
            world,
            day,
        );
        assert_eq!((run.end, run.reached), (None, day));
    }
}
