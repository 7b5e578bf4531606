//! The recipes, held against the software that they are for: it starts with them, and the sockets
//! that it then has are read by the built binary.
//!
//! Every test works in a network namespace of its own, so that ports are free and the machine's
//! sysctls untouched. `cargo xtask setup` installs the software.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod cluster;
mod expected;
mod kit;
mod languages;
mod proxies;
mod servers;
mod software;
mod system;

use sockpulse_cli::software::{Gives, Recipe, Snippet, Software};
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl, Settings, UserTimeout};

/// What a plan typically chooses.
fn typical() -> Settings {
    settings(120, 20, 5, 220_000)
}

/// The ends of the ranges, and a part of a second.
fn awkward() -> Settings {
    settings(32_767, 1, 127, 1_500)
}

fn settings(idle: u64, interval: u64, probes: u64, user_timeout_ms: u64) -> Settings {
    Settings {
        idle: KeepIdle::new(idle).unwrap(),
        interval: KeepIntvl::new(interval).unwrap(),
        probes: KeepCnt::new(probes).unwrap(),
        user_timeout: UserTimeout::new(user_timeout_ms).unwrap(),
    }
}

/// The only snippet of a recipe.
fn only(software: Software, settings: &Settings) -> Snippet {
    let [snippet] = snippets(software, settings);
    snippet
}

/// All snippets of a recipe.
fn snippets<const N: usize>(software: Software, settings: &Settings) -> [Snippet; N] {
    let Recipe { snippets, .. } = software.recipe(settings);
    snippets.try_into().unwrap()
}

/// What the software has to be given, and leads to.
fn text_and_gives(snippet: Snippet) -> (String, Gives) {
    (snippet.text, snippet.gives)
}
