//! What is to be done with the open sockets that a rule means. Nothing is kept of a survey but the
//! sockets that are to be set, each in some hundred bytes, and counts.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use sockpulse_core::protect::{
    Effect, FirstProbe, Jitter, Limits, Load, Mode, Pace, Right, Rule, Skip, Step, Tally, Terms,
    Verdict, Withheld, decide,
};
use sockpulse_core::{
    Cookie, Hz, KeepIdle, Observed, SocketId, TcpState, Unseen, detection::idle as noticed,
    is_fragile,
};

use super::held::Held;
use crate::error::CommandError;
use crate::machine::Machine;
use crate::options::{SurveyOptions, Surveyed};
use crate::row::Row;

/// What is planned, and what was counted on the way.
#[derive(Debug)]
pub(super) struct Plan {
    /// The sockets to set, listeners first.
    pub(super) planned: Vec<Planned>,
    pub(super) counts: Counts,
    /// Over what time, and the probes that follow.
    pub(super) pace: Pace,
    /// The longest that was taken to pass before a socket's turn comes.
    pub(super) delay: Duration,
    /// When a dead peer is noticed, before and after, by those that are to be set.
    pub(super) effect: Tally,
    pub(super) surveyed: Surveyed,
}

/// A socket that is to be set.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) id: SocketId,
    pub(super) before: Held,
    pub(super) step: Step,
    /// Process and descriptor through which it is reached; none holds what waits to be accepted.
    pub(super) way: Option<Way>,
    /// Of the other processes that hold it.
    pub(super) others: Option<Box<[Way]>>,
    /// How long the peer was silent, milliseconds.
    pub(super) silence_ms: u64,
    pub(super) is_listener: bool,
}

/// A process that holds the socket, and its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) pid: u32,
    pub(super) fd: u32,
}

/// Sockets by what is to become of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) connections: Kind,
    pub(super) listeners: Kind,
    /// Those that have what the rule wants, and why.
    pub(super) right: BTreeMap<Right, u64>,
    /// User timeouts that must wait; the rest of such a step is made.
    pub(super) withheld: BTreeMap<Withheld, u64>,
    /// Those that must not, or cannot, be touched.
    pub(super) skipped: BTreeMap<Skip, u64>,
    /// Connections that one lost probe ends, with what they get and what they keep.
    pub(super) fragile: u64,
    /// Of connections that `fill` leaves as they are, those that `tighten` would not.
    pub(super) slower: u64,
}

/// Connections, or listeners.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) matched: u64,
    pub(super) to_change: u64,
    pub(super) right: u64,
    /// All that misses is a user timeout that must wait.
    pub(super) waiting: u64,
}

/// What plans are made by.
pub(super) struct Wanted<'a> {
    pub(super) machine: &'a Machine,
    pub(super) options: SurveyOptions,
    pub(super) rule: Rule,
    pub(super) hz: Option<Hz>,
    pub(super) jitter: Jitter,
    /// As asked for.
    pub(super) spread: Option<Duration>,
    pub(super) limits: Limits,
    pub(super) reach: Reach,
}

/// Which sockets can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that a process holds.
    Processes,
    /// All.
    All,
}

impl Reach {
    /// What the sink can do.
    pub(super) const fn of(may_walk: bool) -> Self {
        if may_walk { Self::All } else { Self::Processes }
    }
}

/// What reading takes at the most, as far as a silence that grows meanwhile is concerned; what takes
/// longer is noticed when the socket's turn comes.
const READING: Duration = Duration::from_secs(1);

impl Wanted<'_> {
    /// Observes, and decides over each socket as it comes. Those that were `tried` are left out.
    ///
    /// # Errors
    /// When nothing can be read.
    pub(super) fn plan(&self, tried: &HashSet<u64>) -> Result<Plan, CommandError> {
        let spread = self.spread.unwrap_or_default();
        let plan = self.plan_within(spread + READING, tried)?;
        let timeouts = |one: &Planned| one.step.user_timeout.is_some();
        if plan.pace.spread <= spread || !plan.planned.iter().any(timeouts) {
            return Ok(plan);
        }
        // Setting takes longer than was thought, and the silence that a user timeout has to leave
        // room for grows meanwhile: the same once more with that in mind.
        self.plan_within(plan.pace.spread + READING, tried)
    }

    fn plan_within(&self, delay: Duration, tried: &HashSet<u64>) -> Result<Plan, CommandError> {
        let terms = Terms {
            hz: self.hz,
            jitter: self.jitter,
            delay,
            ..Terms::default()
        };
        let mut planning = Planning::new(&self.rule, &terms, self.reach, tried);
        let surveyed = (self.machine.survey)(&self.options, &mut |row| {
            planning.take(row);
            Ok(())
        })?;
        let mut planned = planning.planned;
        planned.sort_by_key(|one| !one.is_listener);
        let mut load = planning.load;
        load.idle = load.idle.or(planning.shortest);
        Ok(Plan {
            planned,
            counts: planning.counts,
            pace: Pace::plan(&load, self.hz, self.spread, &self.limits),
            delay,
            effect: planning.effect,
            surveyed,
        })
    }
}

struct Planning<'a> {
    rule: &'a Rule,
    /// For `fill`: the same, with `tighten`.
    tighter: Option<Rule>,
    terms: &'a Terms,
    reach: Reach,
    /// Sockets that were tried before: they are not tried for ever.
    tried: &'a HashSet<u64>,
    planned: Vec<Planned>,
    counts: Counts,
    load: Load,
    /// The shortest idle time of those that are switched on and keep theirs.
    shortest: Option<KeepIdle>,
    effect: Tally,
}

impl<'a> Planning<'a> {
    fn new(rule: &'a Rule, terms: &'a Terms, reach: Reach, tried: &'a HashSet<u64>) -> Self {
        let tighter = (rule.mode == Mode::Fill).then(|| Rule {
            mode: Mode::Tighten,
            ..rule.clone()
        });
        Self {
            rule,
            tighter,
            terms,
            reach,
            tried,
            planned: Vec::new(),
            counts: Counts::default(),
            load: Load::new(&rule.asked, terms.jitter),
            shortest: None,
            effect: Tally::default(),
        }
    }

    fn take(&mut self, row: &Row<'_>) {
        let verdict = decide(self.rule, row.connection, row.namespace, self.terms);
        let kind = self.kind(row);
        kind.matched += 1;
        match verdict {
            Verdict::Right(_) => kind.right += 1,
            Verdict::Wait(_) => kind.waiting += 1,
            _ => {}
        }
        if let Some(why) = verdict.withheld() {
            *self.counts.withheld.entry(why).or_default() += 1;
        }
        match verdict {
            Verdict::Right(why) => {
                *self.counts.right.entry(why).or_default() += 1;
                self.counts.slower += u64::from(self.could_be_tightened(row));
            }
            Verdict::Wait(_) => {}
            Verdict::Skip(skip) => self.skip(skip),
            Verdict::Change { step, .. } => match planned(row, step, self.reach) {
                Ok(planned) if self.tried.contains(&planned.id.cookie.0) => {}
                Ok(planned) => self.add(row, planned),
                Err(skip) => self.skip(skip),
            },
        }
    }

    fn could_be_tightened(&self, row: &Row<'_>) -> bool {
        let Some(tighter) = &self.tighter else {
            return false;
        };
        let verdict = decide(tighter, row.connection, row.namespace, self.terms);
        row.connection.state != TcpState::Listen && matches!(verdict, Verdict::Change { .. })
    }

    fn kind(&mut self, row: &Row<'_>) -> &mut Kind {
        match row.connection.state {
            TcpState::Listen => &mut self.counts.listeners,
            _ => &mut self.counts.connections,
        }
    }

    fn skip(&mut self, skip: Skip) {
        *self.counts.skipped.entry(told(skip)).or_default() += 1;
    }

    fn add(&mut self, row: &Row<'_>, planned: Planned) {
        self.kind(row).to_change += 1;
        if !planned.is_listener {
            if let Observed::Known(timers) = &row.connection.settings {
                self.load.add(FirstProbe::of(&planned.step, timers));
            }
            let before = planned.before.timers();
            let after = planned.before.after(&planned.step);
            self.effect.add(&Effect {
                before: noticed(&before, self.terms.hz),
                after: noticed(&after, self.terms.hz),
            });
            if after.keepalive && is_fragile(&after, self.terms.hz) {
                self.counts.fragile += 1;
            }
            let idle = u64::try_from(after.idle.value).ok();
            let idle = idle.and_then(|idle| KeepIdle::new(idle).ok());
            if let Some(idle) = idle {
                self.shortest = Some(self.shortest.map_or(idle, |known| known.min(idle)));
            }
        }
        self.planned.push(planned);
    }
}

/// How a step on this socket can be made.
pub(super) fn planned(row: &Row<'_>, step: Step, reach: Reach) -> Result<Planned, Skip> {
    let connection = row.connection;
    let mut ways = connection.owner.processes.iter().map(|process| Way {
        pid: process.pid,
        fd: process.fd,
    });
    let way = ways.next();
    if way.is_none() && reach == Reach::Processes {
        return Err(match connection.owner.unseen {
            None | Some(Unseen::NoProcess) => Skip::NoProcess,
            Some(why) => Skip::Unseen(why),
        });
    }
    let before = match row.assessment.effective {
        Observed::Known(timers) => Held::of(&timers),
        Observed::Unknown(why) => return Err(Skip::Unseen(why)),
    };
    // Without a cookie nobody could tell whether the descriptor still stands for it.
    if connection.id.cookie == Cookie(0) {
        return Err(Skip::Unseen(Unseen::NotReported));
    }
    let others: Box<[Way]> = ways.collect();
    Ok(Planned {
        id: connection.id,
        before,
        step,
        way,
        others: (!others.is_empty()).then_some(others),
        silence_ms: connection.silence_ms.unwrap_or(0),
        is_listener: connection.state == TcpState::Listen,
    })
}

/// A socket without a process is the same to whoever finds that first.
const fn told(skip: Skip) -> Skip {
    match skip {
        Skip::Unseen(Unseen::NoProcess) => Skip::NoProcess,
        // One reason for all states.
        Skip::State(_) => Skip::State(TcpState::TimeWait),
        skip => skip,
    }
}

impl Planned {
    /// The longest silence with which its step may be made: as it was seen, and the time since.
    pub(super) fn silence(&self, delay: Duration) -> Duration {
        Duration::from_millis(self.silence_ms).saturating_add(delay)
    }
}
