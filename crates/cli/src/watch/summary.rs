//! What was told, all in all.

use std::collections::BTreeMap;
use std::time::Duration;

use sockpulse_core::event::{Event, Kind, Name, Source};
use sockpulse_core::human;

use crate::append;
use crate::coverage::{counted, grouped};

/// Counts.
#[derive(Debug)]
pub(super) struct Summary {
    /// Who tells.
    pub(super) source: Source,
    /// How long it was.
    pub(super) watched: Duration,
    /// Events that nobody took in time.
    pub(super) lost: u64,
    /// At most so many were not seen besides.
    pub(super) skipped: u64,
    events: BTreeMap<Name, u64>,
    causes: BTreeMap<&'static str, u64>,
}

impl Summary {
    pub(super) const fn new(source: Source) -> Self {
        Self {
            source,
            watched: Duration::ZERO,
            lost: 0,
            skipped: 0,
            events: BTreeMap::new(),
            causes: BTreeMap::new(),
        }
    }

    /// Counts an event that was told.
    pub(super) fn count(&mut self, event: &Event) {
        *self.events.entry(event.kind.name()).or_default() += 1;
        if let Kind::Died(death) = &event.kind {
            *self.causes.entry(death.cause.name()).or_default() += 1;
        }
    }

    /// How many were told.
    pub(super) fn told(&self) -> u64 {
        self.events.values().sum()
    }

    /// By name.
    pub(super) fn events(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.events
            .iter()
            .map(|(name, count)| (name.name(), *count))
    }

    /// Deaths by cause.
    pub(super) fn causes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.causes.iter().map(|(name, count)| (*name, *count))
    }

    /// `watching 1,204 connections in 3 namespaces, told by the kernel`.
    pub(super) fn looked(&self, connections: u64, namespaces: u64, every: Duration) -> String {
        let how = match self.source {
            Source::Bpf => "told by the kernel".to_owned(),
            Source::Scan => format!("by looking every {}", human(every)),
        };
        format!(
            "watching {} in {}, {how}",
            counted(connections, "connection"),
            counted(namespaces, "namespace"),
        )
    }

    /// `14 events in 12m: opened 10, died 4 (keepalive 3, reset 1); none lost`.
    pub(super) fn end(&self) -> String {
        let mut watched = Vec::new();
        append::span(
            &mut watched,
            u64::try_from(self.watched.as_millis()).unwrap_or(u64::MAX),
        );
        let mut line = format!(
            "{} in {}",
            counted(self.told(), "event"),
            String::from_utf8_lossy(&watched)
        );
        for (at, (name, count)) in self.events().enumerate() {
            line.push_str(if at == 0 { ": " } else { ", " });
            line.push_str(&format!("{name} {}", grouped(count)));
            if name == Name::Died.name() {
                let causes = self
                    .causes()
                    .map(|(cause, n)| format!("{cause} {}", grouped(n)));
                line.push_str(&format!(" ({})", causes.collect::<Vec<_>>().join(", ")));
            }
        }
        let lost = match self.lost {
            0 => "none".to_owned(),
            lost => grouped(lost).to_string(),
        };
        line.push_str(&format!("; {lost} lost"));
        if self.skipped > 0 {
            line.push_str(&format!(", at most {} not seen", grouped(self.skipped)));
        }
        line
    }
}
