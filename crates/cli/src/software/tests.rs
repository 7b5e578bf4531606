//! Every recipe as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl};

use super::*;

fn settings(idle: u64, interval: u64, probes: u64, user_timeout_ms: u64) -> Settings {
    Settings {
        idle: KeepIdle::new(idle).unwrap(),
        interval: KeepIntvl::new(interval).unwrap(),
        probes: KeepCnt::new(probes).unwrap(),
        user_timeout: UserTimeout::new(user_timeout_ms).unwrap(),
    }
}

fn every_recipe(settings: &Settings) -> String {
    let mut text = String::new();
    for software in Software::ALL {
        let recipe = software.recipe(settings);
        writeln!(text, "== {} ({})", software.title(), software.name()).unwrap();
        for snippet in recipe.snippets {
            writeln!(text, "-- {} ({})", snippet.place, snippet.language).unwrap();
            text.push_str(&snippet.text);
            writeln!(text, "-> {}", snippet.gives).unwrap();
        }
        for note in recipe.notes {
            writeln!(text, "note: {note}").unwrap();
        }
        text.push('\n');
    }
    text
}

#[test]
fn typical_settings_as_recipes() {
    insta::assert_snapshot!(every_recipe(&settings(120, 20, 5, 220_000)));
}

/// At the ends of the ranges, with a part of a second, and less than the keepalive takes.
#[test]
fn awkward_settings_as_recipes() {
    insta::assert_snapshot!(every_recipe(&settings(32_767, 1, 127, 1_500)));
}

#[test]
fn without_a_user_timeout_none_is_written_or_missed() {
    for software in Software::ALL {
        let recipe = software.recipe(&settings(1, 1, 1, 0));
        for snippet in recipe.snippets {
            let text = snippet.text.to_lowercase();
            for word in ["user_timeout(duration", "tcp_user_timeout", "tcp-ut"] {
                assert!(!text.contains(word), "{software:?}: {text}");
            }
        }
        for note in recipe.notes {
            assert!(
                !note.contains("cannot set a user timeout"),
                "{software:?}: {note}"
            );
        }
    }
}

#[test]
fn recipes_are_whole() {
    for settings in [settings(120, 20, 5, 220_000), settings(1, 1, 1, 0)] {
        for software in Software::ALL {
            let recipe = software.recipe(&settings);
            assert!(!recipe.snippets.is_empty(), "{software:?}");
            for snippet in &recipe.snippets {
                assert!(snippet.text.ends_with('\n'), "{software:?}: {snippet:?}");
                assert!(
                    !snippet.text.contains("\n\n\n\n"),
                    "{software:?}: {snippet:?}"
                );
            }
            for note in &recipe.notes {
                assert!(
                    !note.ends_with('.') && !note.contains('\n'),
                    "{software:?}: {note}"
                );
                assert!(!note.contains("  "), "{software:?}: {note}");
            }
        }
    }
}

#[test]
fn names_are_told_apart() {
    let mut names = BTreeSet::new();
    for software in Software::ALL {
        let about = software.about();
        for name in about.aliases.iter().chain([&about.name]) {
            assert!(names.insert(*name), "{name} twice");
            assert_eq!(Software::from_str(name, true), Ok(*software));
        }
    }
}
