//! Events without the kernel's help: two looks at all sockets are compared, again and again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sockpulse_core::event::{Look, Looks, Name};
use sockpulse_core::{CgroupId, Coverage, Namespace, Place, Selector};

use super::source::{More, Occurrence};
use crate::error::CommandError;
use crate::machine::Survey;
use crate::options::{SurveyOptions, Surveyed};

/// Looks, and compares.
pub(super) struct Scan {
    survey: Survey,
    options: SurveyOptions,
    every: Duration,
    due: Instant,
    looks: Looks,
    last: Surveyed,
    events: Vec<Name>,
    /// Of cgroups that were seen: a connection that is gone may have been the last of its own.
    places: BTreeMap<CgroupId, Place>,
}

impl Scan {
    /// Takes the first look, with which the later ones are compared.
    ///
    /// # Errors
    /// Those of a survey.
    pub(super) fn begin(
        survey: Survey,
        options: SurveyOptions,
        events: Vec<Name>,
        every: Duration,
    ) -> Result<Self, CommandError> {
        let mut scan = Self {
            survey,
            // What comes and goes with time would make a connection come and go.
            options: SurveyOptions {
                selector: Selector {
                    states: Vec::new(),
                    silent_for: None,
                    exposures: Vec::new(),
                    ..options.selector
                },
                ..options
            },
            every,
            due: Instant::now(),
            looks: Looks::default(),
            last: Surveyed::default(),
            events,
            places: BTreeMap::new(),
        };
        scan.look(&mut Vec::new())?;
        Ok(scan)
    }

    fn look(&mut self, told: &mut Vec<Occurrence>) -> Result<(), CommandError> {
        self.due = Instant::now() + self.every;
        let at = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let mut events = Vec::new();
        let (looks, places) = (&mut self.looks, &mut self.places);
        let surveyed = (self.survey)(&self.options, &mut |row| {
            if let Some(cgroup) = row.connection.owner.cgroup
                && !places.contains_key(&cgroup)
            {
                places.insert(cgroup, row.place.clone());
            }
            looks.see(at, row.connection, &mut |event| events.push(event));
            Ok(())
        })?;
        let look = if surveyed.coverage.is_partial() {
            Look::Partial
        } else {
            Look::Complete
        };
        looks.end(at, look, &mut |event| events.push(event));
        for event in events {
            if event.kind.name().is_in(&self.events) {
                let cgroup = event.connection.owner.cgroup;
                let place = cgroup.and_then(|cgroup| self.places.get(&cgroup).cloned());
                let place = place.unwrap_or_default();
                told.push(Occurrence { event, place });
            }
        }
        self.last = surveyed;
        Ok(())
    }
}

impl Scan {
    /// Waits, and looks when it is time.
    ///
    /// # Errors
    /// Those of a survey.
    pub(super) fn next(
        &mut self,
        timeout: Duration,
        told: &mut Vec<Occurrence>,
    ) -> Result<More, CommandError> {
        let left = self.due.saturating_duration_since(Instant::now());
        if left > timeout {
            std::thread::park_timeout(timeout);
        } else {
            std::thread::park_timeout(left);
            self.look(told)?;
        }
        Ok(More::Comes)
    }

    /// The namespaces at the last look.
    pub(super) fn namespaces(&self) -> &[Namespace] {
        &self.last.namespaces
    }

    /// What the last look saw and what not.
    pub(super) const fn coverage(&self) -> &Coverage {
        &self.last.coverage
    }

    /// Connections at the last look.
    pub(super) fn connections(&self) -> u64 {
        u64::try_from(self.looks.len()).unwrap_or(u64::MAX)
    }
}
