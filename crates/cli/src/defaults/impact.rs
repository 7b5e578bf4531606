//! Whom the defaults reach: the answer to "I set the sysctl and nothing happened".

use serde_json::{Map, Value as Json};
use sockpulse_core::{Code, Cookie, Exposure, Observed, Origin, Process};

use crate::append;
use crate::coverage::{counted, grouped};
use crate::row::Row;

/// Connections by what the defaults are to them. Local ones are counted apart: there the kernel itself
/// reports the end.
#[derive(Debug, Default)]
pub(super) struct Impact {
    /// Asked for keepalive, and all three values are the namespace's.
    follow: u64,
    /// Asked, and some of the values are their own.
    follow_in_part: u64,
    /// Asked, and all values are their own.
    own: u64,
    /// Asked; whether values that equal the default are their own could not be seen.
    untold: u64,
    /// Never asked.
    off: u64,
    /// Both ends in one namespace.
    local: u64,
    /// Settings that could not be seen.
    unknown: u64,
    /// Of those the ones that may have a keepalive timer.
    pub(super) unknown_timers: u64,
    /// Follow the idle, and wait for a timer that was armed before it was lowered.
    stale: u64,
    /// When the last of those timers fires.
    latest_ms: u64,
    /// Those connections, where they are asked for.
    pub(super) waiting: Vec<Waiting>,
}

/// A connection that waits for a timer armed before.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    /// Its identity.
    pub(super) cookie: Cookie,
    /// A process that holds it; `None` where none was seen.
    pub(super) process: Option<Process>,
}

/// Whether connections that wait are to be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remember {
    /// Only count.
    Nothing,
    /// Remember them.
    Waiting,
}

impl Impact {
    pub(super) fn add(&mut self, row: &Row<'_>, remember: Remember) {
        let Some(exposure) = row.assessment.exposure else {
            return;
        };
        if exposure == Exposure::Local {
            self.local += 1;
            return;
        }
        *self.kind(row) += 1;
        if !row.assessment.codes.contains(Code::StaleTimer) {
            return;
        }
        self.stale += 1;
        if let Observed::Known(Some(timer)) = row.connection.timers.keepalive {
            self.latest_ms = self.latest_ms.max(timer.expires_ms);
        }
        if remember == Remember::Waiting {
            self.waiting.push(Waiting {
                cookie: row.connection.id.cookie,
                process: row.connection.owner.processes.first().copied(),
            });
        }
    }

    fn kind(&mut self, row: &Row<'_>) -> &mut u64 {
        match row.connection.settings {
            Observed::Known(timers) if !timers.keepalive => return &mut self.off,
            _ => {}
        }
        let Observed::Known(timers) = row.assessment.effective else {
            if row.connection.timers.keepalive != Observed::Known(None) {
                self.unknown_timers += 1;
            }
            return &mut self.unknown;
        };
        let origins = [timers.idle, timers.interval, timers.probes].map(|value| value.origin);
        let own = origins
            .iter()
            .filter(|origin| **origin == Some(Origin::Socket));
        match own.count() {
            3 => &mut self.own,
            _ if origins.contains(&None) => &mut self.untold,
            0 => &mut self.follow,
            _ => &mut self.follow_in_part,
        }
    }

    /// A line for each kind of which there is any, and one for timers that were armed before.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = self.kinds();
        if self.stale > 0 {
            lines.push(self.waits());
        }
        lines
    }

    /// A line for each kind of which there is any.
    pub(super) fn kinds(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut add = |count: u64, one: &str, more: &str| {
            if count > 0 {
                let verb = if count == 1 { one } else { more };
                lines.push(format!("{} {verb}", counted(count, "connection")));
            }
        };
        add(
            self.follow,
            "asked for keepalive and follows the defaults",
            "asked for keepalive and follow the defaults",
        );
        add(
            self.follow_in_part,
            "follows some of the defaults; its other values are its own",
            "follow some of the defaults; their other values are their own",
        );
        add(
            self.own,
            "has values of its own: no default reaches it",
            "have values of their own: no default reaches them",
        );
        let untold = "asked for keepalive; which values are their own only BPF could tell";
        add(self.untold, untold, untold);
        add(
            self.off,
            "never asked for keepalive: no default reaches it",
            "never asked for keepalive: no default reaches them",
        );
        let local = "within one namespace, where keepalive adds nothing";
        add(self.local, local, local);
        let unknown = "with settings that could not be seen";
        add(self.unknown, unknown, unknown);
        if lines.is_empty() {
            lines.push("no connections".into());
        }
        lines
    }

    /// Of values that are not set: timers that would go on as they were armed.
    pub(super) fn would_wait(&self) -> Option<String> {
        let timers = counted(self.stale, "timer");
        (self.stale > 0).then(|| format!("{timers} armed before would not follow without --rearm"))
    }

    fn waits(&self) -> String {
        let mut time = Vec::new();
        append::span(&mut time, self.latest_ms);
        let time = String::from_utf8_lossy(&time);
        match self.stale {
            1 => format!("1 that follows waits for a timer armed before, for {time}"),
            n => format!(
                "{} that follow wait for timers armed before, the last for {time}",
                grouped(n)
            ),
        }
    }

    /// What would help, a command each; `netns` is how the namespace is named on the command line.
    pub(super) fn hints(&self, netns: &str) -> Vec<String> {
        let mut hints = Vec::new();
        if self.off > 0 {
            hints.push("keepalive is switched on by programs: sockpulse explain SP001".into());
        }
        if self.stale > 0 {
            hints.push(format!(
                "let the timers follow now: sockpulse defaults set --rearm{netns}"
            ));
        }
        hints
    }

    /// How many of each kind, under the names that programs read.
    pub(super) const fn counts(&self) -> [(&'static str, u64); 8] {
        [
            ("follow", self.follow),
            ("follow_in_part", self.follow_in_part),
            ("own_values", self.own),
            ("origin_unknown", self.untold),
            ("never_asked", self.off),
            ("local", self.local),
            ("unknown", self.unknown),
            ("armed_before", self.stale),
        ]
    }

    pub(super) fn json(&self) -> Json {
        let counts = self.counts().into_iter();
        let mut json: Map<String, Json> = counts
            .map(|(kind, count)| (kind.to_owned(), count.into()))
            .collect();
        let latest = (self.stale > 0).then_some(self.latest_ms);
        json.insert("armed_before_latest_ms".into(), latest.into());
        json.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{self, Sample};
    use sockpulse_core::{Setting, Timer, TimerKind};

    #[test]
    fn every_connection_is_of_one_kind() {
        let mut impact = Impact::default();
        for sample in sample::all() {
            impact.add(&sample.row(), Remember::Waiting);
        }
        let counts = impact.json();
        for (kind, count) in [
            ("follow", 0),
            ("follow_in_part", 1),
            ("never_asked", 1),
            ("unknown", 2),
            ("armed_before", 0),
        ] {
            assert_eq!(counts[kind], count, "{kind}: {counts}");
        }
        assert!(impact.waiting.is_empty());
    }

    #[test]
    fn a_timer_of_before_is_remembered_when_asked_for() {
        let mut connection = sample::known();
        if let Observed::Known(timers) = &mut connection.settings {
            timers.idle = Setting::Namespace;
        }
        connection.timers.keepalive = Observed::Known(Some(Timer {
            kind: TimerKind::Keepalive,
            expires_ms: 9_000_000,
        }));
        let stale = Sample::new(connection);
        let mut impact = Impact::default();
        impact.add(&stale.row(), Remember::Nothing);
        assert!(impact.waiting.is_empty());
        impact.add(&stale.row(), Remember::Waiting);
        assert_eq!((impact.stale, impact.waiting.len()), (2, 1));
        assert_eq!(
            impact.lines(),
            [
                "2 connections asked for keepalive and follow the defaults",
                "2 that follow wait for timers armed before, the last for 2h30m"
            ]
        );
    }
}
