//! What happened, beside what was predicted.

use std::time::Duration;

use sockpulse_core::NetnsId;

use crate::capture::Seen;
use crate::packet::{Flags, Packet};
use crate::prediction::{Predicted, Prediction};
use crate::scenario::Expected;
use crate::trial::Trial;
use crate::watch::Ending;

/// What happened, beside what was predicted.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub trial: Trial,
    /// The model's word, given before the end.
    pub prediction: Prediction,
    /// How it ended.
    pub ending: Ending,
    /// When, or for how long it was watched, counted from the same moment as the prediction.
    pub after: Duration,
    /// The retransmission timeout when it broke.
    pub rto: Duration,
    /// The packets that the client sent and received, their time counted from the same moment.
    pub packets: Vec<Timed>,
    /// Whether the prediction holds.
    pub verdict: Verdict,
    /// The client's network namespace; by now another may have its number.
    pub client: Option<NetnsId>,
    /// The moment at which it was seen to end, or until which it was watched, since 1970.
    pub until: Duration,
}

/// A packet and its time from the moment that the prediction counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timed {
    /// How long after.
    pub after: Duration,
    /// What was seen.
    pub seen: Seen,
}

/// Whether what happened is what was predicted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Holds,
    /// It is not, and why.
    Differs(String),
}

/// What clocks and rounding may differ by.
pub const EARLY: Duration = Duration::from_millis(5);
/// What scheduling may take until a waiting program runs.
pub const LATE: Duration = Duration::from_millis(60);

impl Timed {
    /// Whether it is a RST, or an ICMP error.
    #[must_use]
    pub const fn is_reset(&self) -> bool {
        match self.seen.packet {
            Packet::Tcp(segment) => segment.flags.has(Flags::RST),
            Packet::Icmp(_) => true,
        }
    }
}

/// Holds the end against both opinions.
pub(crate) fn judge(
    predicted: &Predicted,
    expected: Option<Expected>,
    ending: Ending,
    after: Duration,
) -> Verdict {
    let otherwise = expected.is_some_and(|expected| expected.ending() != ending);
    match predicted {
        Predicted::Depends => Verdict::Differs("luck decides, nothing could be predicted".into()),
        _ if otherwise => Verdict::Differs("the table of scenarios expects something else".into()),
        Predicted::Stays if ending == Ending::Stayed => Verdict::Holds,
        Predicted::Stays => Verdict::Differs("it was to stay".into()),
        Predicted::Ends { ending: said, .. } if *said != ending => {
            Verdict::Differs("it was to end otherwise".into())
        }
        Predicted::Ends { at, .. } if after + EARLY < at.earliest => {
            Verdict::Differs(format!("{:?} too early", at.earliest - after))
        }
        Predicted::Ends { at, .. } if after > at.latest + LATE => {
            Verdict::Differs(format!("{:?} too late", after - at.latest))
        }
        Predicted::Ends { .. } => Verdict::Holds,
    }
}

impl Expected {
    /// The same as it is measured.
    #[must_use]
    pub const fn ending(self) -> Ending {
        match self {
            Self::Stays => Ending::Stayed,
            Self::Error(errno) => Ending::Error(errno.number()),
            Self::EndOfStream => Ending::EndOfStream,
            Self::Dropped => Ending::Dropped,
        }
    }
}

#[cfg(test)]
mod tests {
    use sockpulse_core::machine::{Errno, Window};

    use super::*;

    const DEAD: Ending = Ending::Error(110);
    const TIMED_OUT: Option<Expected> = Some(Expected::Error(Errno::TimedOut));

    fn verdict(expected: Option<Expected>, ending: Ending, after_ms: u64) -> Verdict {
        let at = Window {
            earliest: Duration::from_secs(5),
            by_settings: Duration::from_secs(5),
            latest: Duration::from_millis(5_128),
        };
        let predicted = Predicted::Ends { at, ending: DEAD };
        judge(
            &predicted,
            expected,
            ending,
            Duration::from_millis(after_ms),
        )
    }

    #[test]
    fn an_end_within_the_window_and_its_slack_holds() {
        for after_ms in [4_995, 5_000, 5_128, 5_188] {
            assert_eq!(
                verdict(TIMED_OUT, DEAD, after_ms),
                Verdict::Holds,
                "{after_ms}"
            );
        }
        assert_eq!(verdict(None, DEAD, 5_080), Verdict::Holds);
    }

    #[test]
    fn anything_else_differs_and_says_how() {
        for (expected, ending, after_ms, said) in [
            (TIMED_OUT, DEAD, 4_994, "too early"),
            (TIMED_OUT, DEAD, 5_189, "too late"),
            (TIMED_OUT, Ending::Stayed, 5_080, "expects something else"),
            (None, Ending::Error(104), 5_080, "otherwise"),
            (Some(Expected::Stays), DEAD, 5_080, "expects something else"),
        ] {
            let Verdict::Differs(why) = verdict(expected, ending, after_ms) else {
                panic!("{said}");
            };
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn what_was_to_stay_must_stay() {
        let judged = |ending| judge(&Predicted::Stays, None, ending, Duration::from_secs(9));
        assert_eq!(judged(Ending::Stayed), Verdict::Holds);
        assert_ne!(judged(DEAD), Verdict::Holds);
        let depends = judge(&Predicted::Depends, None, DEAD, Duration::ZERO);
        assert_ne!(depends, Verdict::Holds);
    }
}
