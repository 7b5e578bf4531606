//! How many connections there are of each kind.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use sockpulse_core::Gap;
use sockpulse_core::ping::{Answer, Gone, Verdict, Why};

use super::json::sentence;
use super::subject::LeftOut;
use crate::coverage::counted;

/// What came of it, counted.
#[derive(Debug, Default)]
pub(crate) struct Count {
    verdicts: BTreeMap<Verdict, u64>,
    /// The shortest and the longest round trip.
    rtt: Option<(Duration, Duration)>,
    /// Why how many are unknown: what is missing, and what has merely ended.
    pub(crate) unknown: BTreeMap<String, u64>,
    pub(crate) ended: BTreeMap<String, u64>,
    /// Who said by ICMP of how many that they cannot be reached.
    pub(crate) unreachable: BTreeMap<IpAddr, u64>,
    /// Those with nobody to ask.
    pub(crate) left_out: BTreeMap<LeftOut, u64>,
    /// Where nobody could be asked.
    pub(crate) gaps: Vec<Gap>,
}

impl Count {
    pub(crate) fn add(&mut self, answer: &Answer) {
        *self.verdicts.entry(answer.verdict).or_default() += 1;
        if let Some(rtt) = answer.rtt {
            let (shortest, longest) = self.rtt.unwrap_or((rtt, rtt));
            self.rtt = Some((shortest.min(rtt), longest.max(rtt)));
        }
        if let Some(said) = answer.unreachable {
            *self.unreachable.entry(said.from).or_default() += 1;
        }
        if let Some(why) = answer.why {
            let reasons = if has_ended(why) {
                &mut self.ended
            } else {
                &mut self.unknown
            };
            *reasons.entry(sentence(why)).or_default() += 1;
        }
    }

    pub(crate) fn leave_out(&mut self, why: LeftOut) {
        *self.left_out.entry(why).or_default() += 1;
    }

    pub(crate) fn of(&self, verdict: Verdict) -> u64 {
        self.verdicts.get(&verdict).copied().unwrap_or(0)
    }

    pub(crate) fn total(&self) -> u64 {
        self.verdicts.values().sum()
    }

    pub(crate) const fn rtt(&self) -> Option<(Duration, Duration)> {
        self.rtt
    }

    /// What was heard by ICMP, for stderr: beside the verdicts, since anybody can send it.
    pub(crate) fn heard(&self) -> Vec<String> {
        const ROUTERS: usize = 5;
        let said = self.unreachable.iter().take(ROUTERS);
        let mut lines: Vec<String> = said
            .map(|(from, number)| {
                let number = counted(*number, "peer");
                format!("heard by ICMP: {from} says that {number} cannot be reached")
            })
            .collect();
        let more = self.unreachable.len().saturating_sub(ROUTERS);
        if more > 0 {
            lines.push(format!("heard by ICMP: the same from {more} others"));
        }
        lines
    }

    /// Whether something could not be found out that could have been.
    pub(crate) fn is_partial(&self) -> bool {
        !self.unknown.is_empty() || !self.gaps.is_empty()
    }
}

/// A connection that is no more is nothing that was missed.
const fn has_ended(why: Why) -> bool {
    matches!(
        why,
        Why::Ended(
            Gone::Closed
                | Gone::Reset
                | Gone::TimedOut
                | Gone::Unreachable
                | Gone::Destroyed
                | Gone::Errno(_)
                | Gone::Unknown
        )
    )
}
