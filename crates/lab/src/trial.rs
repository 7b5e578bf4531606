//! What is about to be run.

use std::time::Duration;

use crate::fault::Fault;
use crate::scenario::{Case, Expected, Scenario};
use crate::settings::Settings;

/// A scenario with settings, about to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// What is done.
    pub scenario: &'static Scenario,
    /// What breaks: the scenario's fault, or the same with other numbers.
    pub fault: Fault,
    /// What the connection has set.
    pub settings: Settings,
    /// What should become of it, where that is known beside the model.
    pub expected: Option<Expected>,
    /// How long a connection is watched that should stay.
    pub watch: Duration,
}

impl Trial {
    /// A case of the table.
    #[must_use]
    pub const fn of(scenario: &'static Scenario, case: &Case) -> Self {
        Self {
            scenario,
            fault: scenario.fault,
            settings: case.settings,
            expected: Some(case.expected),
            watch: case.watch(),
        }
    }

    /// The scenario with other settings than the table's, of which only the model knows the end.
    #[must_use]
    pub fn with(scenario: &'static Scenario, settings: Settings) -> Self {
        let known = |case: &&Case| case.settings == settings;
        if let Some(case) = scenario.cases.iter().find(known) {
            return Self::of(scenario, case);
        }
        Self {
            scenario,
            fault: scenario.fault,
            settings,
            expected: None,
            watch: scenario.cases[0].watch(),
        }
    }

    /// The same with another fault, of which again only the model knows the end.
    #[must_use]
    pub fn broken_by(self, fault: Fault) -> Self {
        if fault == self.fault {
            return self;
        }
        Self {
            fault,
            expected: None,
            ..self
        }
    }

    /// What it is called in the evidence: `vanish 2/1/3`.
    #[must_use]
    pub fn title(&self) -> String {
        self.scenario.title(&self.settings)
    }
}
