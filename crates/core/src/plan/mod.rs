//! Chooses settings: what detects in time, keeps the path open, costs least and does not kill.

mod settings;

pub use settings::Settings;
