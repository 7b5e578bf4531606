//! Chooses settings: those that notice a dead peer in time, keep the path open, hardly ever give up
//! a living connection, and cost least. See docs/adr/0014-how-plan-chooses.md.

mod chance;
mod cost;
mod impossible;
mod search;
mod settings;
mod warning;
mod wish;

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

pub use chance::{GOAL, Loss, Rhythm};
pub use cost::{Cost, FRAME_IPV4, FRAME_IPV6};
pub use impossible::{FixedSetting, Impossible, Limit};
pub use search::ROUND;
pub use settings::Settings;
pub use warning::Warning;
pub use wish::{Broken, FEWEST_PROBES, Fixed, Path, Wish, collision, rhythm, survives};

/// Settings that meet a wish.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// What was wanted.
    pub wish: Wish,
    /// What to set.
    pub settings: Settings,
    /// What to know before it is set, the gravest first.
    pub warnings: Vec<Warning>,
}

/// The settings that meet the wish and cost least: the longest period in round numbers, then the
/// fewest probes, then the shortest interval.
///
/// # Errors
/// [`Impossible`] where nothing meets it: what stands in the way, and what comes nearest.
pub fn plan(wish: &Wish) -> Result<Plan, Impossible> {
    choose(wish).ok_or_else(|| impossible::explain(wish))
}

/// As [`plan`], but without the reasons where nothing meets the wish: finding them takes longer.
#[must_use]
pub fn choose(wish: &Wish) -> Option<Plan> {
    search::best(wish).map(|settings| Plan::of(wish, settings))
}

impl Plan {
    /// These settings, with what is to be known of them.
    #[must_use]
    pub fn of(wish: &Wish, settings: Settings) -> Self {
        Self {
            wish: *wish,
            settings,
            warnings: warning::all(wish, &settings),
        }
    }

    /// The chance that loss alone ends a living connection that is idle for a day.
    #[must_use]
    pub fn false_death_per_day(&self) -> f64 {
        rhythm(&self.settings, self.wish.hz).chance_per_day(self.wish.loss)
    }

    /// The longest outage that living connections survive wherever it begins.
    #[must_use]
    pub fn survives(&self) -> core::time::Duration {
        survives(&self.settings, self.wish.hz)
    }

    /// How many of the probes that decide over a living connection go out before the path forgets
    /// it, with the margin of [`Path::safe`]; `None` where there is no path to keep open.
    #[must_use]
    pub fn probes_in_time(&self) -> Option<u32> {
        let path = self.wish.held()?;
        let in_time = wish::probes_before(path.safe(), &self.settings, self.wish.hz);
        Some(in_time.min(u32::from(self.settings.probes.get())))
    }

    /// What so many healthy idle connections cost.
    #[must_use]
    pub fn cost(&self, connections: u64) -> Cost {
        Cost::of(connections, self.settings.period())
    }
}
