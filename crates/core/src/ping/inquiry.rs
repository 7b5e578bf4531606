//! One connection being asked: when to send, when to look, what the looks prove.

use core::time::Duration;

use super::answer::{Answer, Gone, Unreachable, Verdict, Why};
use super::glance::Glance;
use super::patience::{Method, Patience};
use super::segment::{has_peer, probeable};
use crate::connection::TcpState;

/// What a look saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// The connection.
    Glance(Glance),
    /// It is not there any more.
    Gone(Gone),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Send a probe built from the glance that was just passed, then call [`Inquiry::sent`]. Who cannot
    /// send now looks again later: the answer is the same, from a fresh glance.
    Send,
    /// Look again, not before this time.
    Look {
        /// On the clock that `now` is of.
        at: Duration,
    },
    /// It is settled.
    Done(Answer),
}

/// One connection being asked. Times are of any clock that only goes forward.
///
/// Anything that came after the first probe proves life, since a dead peer sends nothing: an answer to
/// any of the probes, data, a probe of the peer's own. At once, if an acknowledgement or data was taken
/// in; a segment that only was counted may be a reset that is about to be acted on, so that the next
/// probe's time is waited for.
#[derive(Debug, Clone)]
pub struct Inquiry {
    method: Method,
    patience: Patience,
    /// The last look at which nothing had come.
    quiet: Glance,
    probes: u16,
    /// When the last probe was sent, or the watching of data in flight began.
    since: Duration,
    /// When something was first seen to have come.
    heard: Option<Duration>,
    /// Whether data in flight keeps the kernel from probing, and it is watched instead.
    watching: bool,
    unreachable: Option<Unreachable>,
}

/// How often is looked in the beginning, and how often later.
const SOON: Duration = Duration::from_micros(200);
const LATER: Duration = Duration::from_millis(1);
/// The shortest idle time that the kernel knows.
const SECOND: Duration = Duration::from_secs(1);
const RARELY: Duration = Duration::from_millis(50);

impl Inquiry {
    /// Begins with a look that was taken just now.
    #[must_use]
    pub const fn new(method: Method, patience: Patience, first: &Glance) -> Self {
        Self {
            method,
            patience,
            quiet: *first,
            probes: 0,
            since: Duration::ZERO,
            heard: None,
            watching: false,
            unreachable: None,
        }
    }

    /// What follows from a look that was taken at `now`.
    pub fn next(&mut self, now: Duration, seen: Seen) -> Step {
        let glance = match seen {
            Seen::Glance(glance) if glance.cookie != self.quiet.cookie => {
                return self.gone(Gone::Unknown);
            }
            Seen::Glance(glance) if glance.state == TcpState::Close => {
                return self.gone(self.ending(&glance));
            }
            Seen::Glance(glance) => glance,
            Seen::Gone(gone) => return self.gone(gone),
        };
        let asked = self.probes > 0 || self.watching;
        if asked && glance.heard_since(&self.quiet) {
            return self.grown(now, &glance);
        }
        self.quiet = glance;
        if let Some(why) = self.obstacle() {
            return Step::Done(self.because(why));
        }
        if self.method == Method::Option && glance.unacked > 0 {
            return self.watch(now);
        }
        if self.method == Method::Option && glance.silence < SECOND {
            return self.bide(now);
        }
        self.watching = false;
        let due = self.since.saturating_add(self.wait());
        if self.probes == 0 || (now >= due && self.probes < self.patience.probes.get()) {
            Step::Send
        } else if now < due {
            self.look(now, due)
        } else {
            Step::Done(self.answer(Verdict::Dead))
        }
    }

    /// A probe has left.
    pub const fn sent(&mut self, now: Duration) {
        self.probes = self.probes.saturating_add(1);
        self.since = now;
    }

    /// ICMP said that a probe went no further. It is told beside the verdict and changes nothing.
    pub const fn hear(&mut self, unreachable: Unreachable) {
        self.unreachable = Some(unreachable);
    }

    /// Ends the asking for a reason that lies outside of it.
    #[must_use]
    pub const fn because(&self, why: Why) -> Answer {
        Answer {
            why: Some(why),
            ..self.answer(Verdict::Unknown)
        }
    }

    /// Probes sent so far.
    #[must_use]
    pub const fn probes(&self) -> u16 {
        self.probes
    }

    /// How a connection ended whose program still holds the socket (method `option` looks through it):
    /// in these states only a reset ends one when a segment comes.
    const fn ending(&self, glance: &Glance) -> Gone {
        let is_open = matches!(
            self.quiet.state,
            TcpState::Established | TcpState::CloseWait
        );
        if is_open && glance.heard_since(&self.quiet) {
            Gone::Reset
        } else {
            Gone::Unknown
        }
    }

    fn wait(&self) -> Duration {
        self.patience.wait(self.quiet.rto)
    }

    fn obstacle(&self) -> Option<Why> {
        match self.method {
            Method::Raw => probeable(&self.quiet).err().map(Why::from),
            // The kernel signs its own probes.
            Method::Option if has_peer(self.quiet.state) => None,
            Method::Option => Some(Why::State(self.quiet.state)),
        }
    }

    /// Something came.
    fn grown(&mut self, now: Duration, glance: &Glance) -> Step {
        let heard = *self.heard.get_or_insert(now);
        let due = self.since.saturating_add(self.wait());
        if !self.taken_in(now, glance) && now < due {
            return self.look(now, due);
        }
        Step::Done(Answer {
            rtt: self.round_trip(heard, glance),
            last: Some(*glance),
            ..self.answer(Verdict::Alive)
        })
    }

    /// Whether the peer was heard since, by the kernel's own account. It counts in ticks, so that an
    /// answer that came within the probe's own tick is told by the silence that it ended.
    fn taken_in(&self, now: Duration, glance: &Glance) -> bool {
        glance.silence < self.quiet.silence || glance.silence <= now.saturating_sub(self.since)
    }

    /// Only if what came can hardly be anything but the answer to the one probe: one segment without
    /// data that acknowledged nothing new (Karn's rule for more than one probe). When the kernel's own
    /// probe left is known to a tick only.
    fn round_trip(&self, heard: Duration, glance: &Glance) -> Option<Duration> {
        let quiet = &self.quiet;
        let alone = self.method == Method::Raw
            && self.probes == 1
            && glance.segs_in == quiet.segs_in.wrapping_add(1)
            && glance.data_segs_in == quiet.data_segs_in
            && glance.snd_una == quiet.snd_una;
        alone.then(|| heard.saturating_sub(self.since))
    }

    /// The kernel does not probe while data is in flight: its acknowledgements tell.
    fn watch(&mut self, now: Duration) -> Step {
        if !self.watching {
            self.watching = true;
            self.since = now;
        }
        let end = self.since.saturating_add(self.wait());
        if now < end {
            self.look(now, end)
        } else {
            Step::Done(self.answer(Verdict::Busy))
        }
    }

    /// The kernel probes after a second of silence at the soonest, and the options should not stand for
    /// so long. What comes meanwhile is an answer too.
    fn bide(&mut self, now: Duration) -> Step {
        self.watching = true;
        self.since = now;
        let left = SECOND.saturating_sub(self.quiet.silence);
        Step::Look {
            at: now.saturating_add(left),
        }
    }

    fn gone(&self, gone: Gone) -> Step {
        let answer = match gone {
            Gone::Reset if self.probes > 0 => self.answer(Verdict::Refused),
            other => self.because(Why::Ended(other)),
        };
        Step::Done(Answer {
            gone: Some(gone),
            ..answer
        })
    }

    /// Often at first, then at times that grow with the waiting, so that a round trip is known to an
    /// eighth of itself. Later probes are of connections that have not answered at once, mostly
    /// dead ones, and are looked at less often.
    fn look(&self, now: Duration, until: Duration) -> Step {
        let waited = now.saturating_sub(self.since);
        let gap = if self.probes <= 1 && !self.watching {
            (waited / 8).clamp(SOON, RARELY)
        } else {
            waited.max(LATER)
        };
        Step::Look {
            at: now.saturating_add(gap).min(until),
        }
    }

    const fn answer(&self, verdict: Verdict) -> Answer {
        Answer {
            verdict,
            why: None,
            rtt: None,
            probes: self.probes,
            silence: Some(self.quiet.silence),
            gone: None,
            unreachable: self.unreachable,
            last: Some(self.quiet),
        }
    }
}

#[cfg(test)]
mod tests;
