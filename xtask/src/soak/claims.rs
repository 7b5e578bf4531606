//! What has to hold, and whether it did.

use super::actor::Report;
use super::course::Outcome;
use super::kind::{Kind, Truth};

/// One thing that has to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) text: &'static str,
    pub(super) found: String,
    pub(super) holds: bool,
}

/// What is noise between two medians, beside a factor of 2, microseconds.
const TOLERANCE: u64 = 1_000;

impl Claim {
    /// All of them have to be so.
    fn all(text: &'static str, are: usize, of: usize) -> Self {
        Self {
            text,
            found: format!("{are} of {of}"),
            holds: are == of && of > 0,
        }
    }

    fn none(text: &'static str, are: usize) -> Self {
        Self {
            text,
            found: are.to_string(),
            holds: are == 0,
        }
    }
}

impl Outcome {
    pub(super) fn claims(&self) -> Vec<Claim> {
        let mut claims = self.verdicts();
        claims.extend(self.traces());
        claims.extend(self.streams());
        claims.extend(self.after_reap());
        claims
    }

    fn verdicts(&self) -> Vec<Claim> {
        let sum = |truth, verdict| {
            let rounds = self.rounds.iter();
            rounds.map(|round| round.count(truth, verdict)).sum()
        };
        let every = self.connections * self.rounds.len();
        vec![
            Claim::none("verdict `dead` on a living one", sum(Truth::Alive, "dead")),
            Claim::all(
                "verdict `alive` on a living one",
                sum(Truth::Alive, "alive"),
                every,
            ),
            Claim::all(
                "verdict `dead` on a dead one",
                sum(Truth::Dead, "dead"),
                every,
            ),
        ]
    }

    fn traces(&self) -> Vec<Claim> {
        vec![
            Claim::all(
                "getsockopt shows in the owner what it showed before",
                self.same.values().sum(),
                2 * self.connections,
            ),
            Claim::all(
                "inherited values follow a change of the sysctl",
                self.follow.0,
                self.follow.1,
            ),
            Claim::none(
                "living sockets with unanswered probes in `tcp_info`",
                self.unanswered,
            ),
        ]
    }

    fn streams(&self) -> Vec<Claim> {
        let living = || {
            let ends = self.ends.iter();
            ends.filter(|(kind, _)| kind.truth() == Truth::Alive)
        };
        let broken = living()
            .map(|(_, (owner, peer))| owner.broken + peer.map_or(0, |peer| peer.broken))
            .sum();
        let exact = living().filter(|(_, (owner, peer))| agree(owner, *peer));
        vec![
            Claim::none("living connections with a wrong byte", broken),
            Claim::all(
                "kinds of which every block that was sent came, once",
                exact.count(),
                living().count(),
            ),
            self.delay(),
            Claim::all(
                "commands between the rounds that were answered",
                self.answers.0,
                self.answers.1,
            ),
        ]
    }

    /// Those who are asked share the processors with whoever asks, as the others do, so that only
    /// what is common is held against what is common.
    fn delay(&self) -> Claim {
        let (asked, beside) = (self.asked.median, self.beside.median);
        Claim {
            text: "answers of busy ones are not later than of those that nobody asks: medians",
            found: format!("{asked} µs, {beside} µs"),
            holds: self.asked.count > 0 && asked <= 2 * beside + TOLERANCE,
        }
    }

    fn after_reap(&self) -> Vec<Claim> {
        let ends = |truth| {
            let ends = self.ends.iter();
            ends.filter(move |(kind, _)| kind.truth() == truth)
                .map(|(_, (owner, _))| *owner)
        };
        let answered: usize = self.last_answers.values().sum();
        vec![
            Claim::all(
                "dead ones that reap has ended: their owner read ECONNABORTED",
                ends(Truth::Dead).map(|owner| owner.aborted).sum(),
                self.connections,
            ),
            Claim::all(
                "living ones that are open after reap",
                ends(Truth::Alive).map(|owner| owner.open).sum(),
                self.connections,
            ),
            Claim::all(
                "living ones whose next command was answered",
                answered,
                self.connections,
            ),
            Claim {
                text: "reap says that nothing was left",
                found: format!("exit status {}", self.reap.unwrap_or(-1)),
                holds: self.reap == Some(0),
            },
        ]
    }
}

fn agree(owner: &Report, peer: Option<Report>) -> bool {
    peer.is_some_and(|peer| owner.sent == peer.received && peer.sent == owner.received)
}

/// How many blocks went each way over the connections of a kind, if both ends agree.
pub(super) fn blocks(outcome: &Outcome, kind: Kind) -> Option<(u64, u64)> {
    let (owner, peer) = outcome.ends.get(&kind)?;
    agree(owner, *peer).then_some((owner.received, owner.sent))
}
