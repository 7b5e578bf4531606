//! The scenarios: data, and nothing else.

mod handshake;
mod idle;
mod middleboxes;
mod sending;

use sockpulse_core::Family;
use sockpulse_core::machine::Errno;

use crate::fault::Fault;
use crate::scenario::{Begin, Case, Expected, Pace, Scenario};
use crate::settings::Settings;

/// Every scenario, in the order in which they are listed.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    idle::SCENARIOS
        .iter()
        .chain(middleboxes::SCENARIOS)
        .chain(sending::SCENARIOS)
        .chain(handshake::SCENARIOS)
}

/// The scenario of that name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().find(|scenario| scenario.name == name)
}

/// A row to begin with: an idle connection, IPv4, the kernel's sysctls.
const fn row(
    name: &'static str,
    about: &'static str,
    fault: Fault,
    cases: &'static [Case],
) -> Scenario {
    Scenario {
        name,
        about,
        begin: Begin::Idle,
        fault,
        sysctls: &[],
        family: Family::Ipv4,
        cases,
        twin_of: None,
    }
}

const fn case(settings: Settings, expected: Expected) -> Case {
    Case {
        settings,
        expected,
        pace: Pace::Quick,
        watch_s: 10,
    }
}

/// Keepalive with these values ends in this error.
const fn error(idle: u16, interval: u16, probes: u8, errno: Errno) -> Case {
    case(
        Settings::own(idle, interval, probes),
        Expected::Error(errno),
    )
}

/// Keepalive with these values ends in `ETIMEDOUT`.
const fn dies(idle: u16, interval: u16, probes: u8) -> Case {
    error(idle, interval, probes, Errno::TimedOut)
}

/// Whatever is set, it stays for as long as it is watched.
const fn stays(settings: Settings, watch_s: u16) -> Case {
    Case {
        watch_s,
        ..case(settings, Expected::Stays)
    }
}

/// The same with a user timeout.
const fn with(case: Case, user_timeout_ms: u32) -> Case {
    Case {
        settings: case.settings.and(user_timeout_ms),
        ..case
    }
}

/// The same, but it takes long.
const fn slowly(case: Case) -> Case {
    Case {
        pace: Pace::Slow,
        ..case
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn there_are_at_least_sixty_cases_each_with_a_title_of_its_own() {
        let titles: Vec<String> = all()
            .flat_map(|scenario| {
                scenario
                    .cases
                    .iter()
                    .map(|case| scenario.title(&case.settings))
            })
            .collect();
        let different: BTreeSet<&String> = titles.iter().collect();
        assert_eq!(different.len(), titles.len(), "{titles:#?}");
        assert!(titles.len() >= 60, "{}", titles.len());
    }

    #[test]
    fn names_are_words_for_a_command_line() {
        for scenario in all() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            assert!(scenario.name.chars().all(plain), "{}", scenario.name);
            assert!(!["all", "lossy-hour"].contains(&scenario.name));
            assert!(!scenario.cases.is_empty(), "{}", scenario.name);
            assert!(scenario.about.len() <= 50, "{}", scenario.name);
        }
    }
}
