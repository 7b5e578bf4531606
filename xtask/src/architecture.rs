//! The direction of dependencies, checked on the tree that cargo resolves:
//! `cli -> lab, bpf -> linux -> core`, `sockpulse -> core`, and a core that needs no operating
//! system.

use crate::error::{Error, Result};
use crate::process;

/// A crate, and which of the workspace's own crates it may depend on.
struct Rule {
    name: &'static str,
    may_use: &'static [&'static str],
    /// The only other crates it may depend on, each without its feature `std`. `None`: any.
    foreign: Option<&'static [&'static str]>,
}

const RULES: [Rule; 7] = [
    Rule {
        name: "sockpulse-core",
        may_use: &[],
        foreign: Some(&["ipnet", "thiserror"]),
    },
    Rule {
        name: "sockpulse-linux",
        may_use: &["sockpulse-core", "sockpulse-preload"],
        foreign: None,
    },
    Rule {
        name: "sockpulse-bpf",
        may_use: &["sockpulse-core", "sockpulse-linux", "sockpulse-preload"],
        foreign: None,
    },
    Rule {
        name: "sockpulse",
        may_use: &["sockpulse-core"],
        foreign: None,
    },
    Rule {
        name: "sockpulse-lab",
        may_use: &["sockpulse-core", "sockpulse-linux", "sockpulse-preload"],
        foreign: None,
    },
    Rule {
        name: "sockpulse-preload",
        may_use: &[],
        foreign: Some(&[]),
    },
    Rule {
        name: "sockpulse-cli",
        may_use: &[
            "sockpulse-core",
            "sockpulse-linux",
            "sockpulse-bpf",
            "sockpulse-lab",
            "sockpulse-preload",
        ],
        foreign: None,
    },
];

/// Checks every crate of the workspace.
///
/// # Errors
/// [`Error::Architecture`] with each dependency that points the wrong way.
pub(crate) fn check() -> Result<()> {
    let mut violations = without_rule()?;
    for rule in &RULES {
        let tree = process::output(&mut process::cargo([
            "tree",
            "--locked",
            "--package",
            rule.name,
            "--edges",
            "normal,no-proc-macro,features",
            "--prefix",
            "none",
        ]))?;
        violations.extend(rule.violations(&tree));
        println!("  {} keeps to its dependencies", rule.name);
    }
    if violations.is_empty() {
        return Ok(());
    }
    Err(Error::Architecture(violations))
}

/// The crates that were added without saying what they may depend on.
fn without_rule() -> Result<Vec<String>> {
    let folder = process::workspace().join("crates");
    let entries = std::fs::read_dir(&folder).map_err(Error::file("read", &folder))?;
    let mut missing = Vec::new();
    for entry in entries {
        let entry = entry.map_err(Error::file("read", &folder))?;
        let name = match entry.file_name().to_string_lossy().as_ref() {
            "sockpulse" => "sockpulse".to_owned(),
            folder => format!("sockpulse-{folder}"),
        };
        if entry.path().join("Cargo.toml").exists() && !RULES.iter().any(|rule| rule.name == name) {
            missing.push(format!("{name} has no rule in xtask/src/architecture.rs"));
        }
    }
    missing.sort();
    Ok(missing)
}

impl Rule {
    /// What in the output of `cargo tree` (no prefix, with features) breaks this rule.
    fn violations(&self, tree: &str) -> Vec<String> {
        let mut violations: Vec<String> = tree
            .lines()
            .filter_map(|line| self.violation(line))
            .collect();
        violations.sort();
        violations.dedup();
        if !tree.lines().any(|line| first_word(line) == self.name) {
            violations.push(format!("the tree of {} is empty", self.name));
        }
        violations
    }

    fn violation(&self, line: &str) -> Option<String> {
        let dependency = first_word(line);
        if dependency.is_empty() || dependency == self.name {
            return None;
        }
        if dependency.starts_with("sockpulse") || dependency == "xtask" {
            return (!self.may_use.contains(&dependency))
                .then(|| format!("{} must not depend on {dependency}", self.name));
        }
        let foreign = self.foreign?;
        if !foreign.contains(&dependency) {
            return Some(format!("{} must not depend on {dependency}", self.name));
        }
        line.contains(" feature \"std\"")
            .then(|| format!("{} must not turn on std of {dependency}", self.name))
    }
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &Rule = &RULES[0];
    const LINUX: &Rule = &RULES[1];

    #[test]
    fn a_tree_that_keeps_the_rule_passes() {
        let tree = "sockpulse-core v0.1.0 (/src/crates/core)\nipnet v2.12.2\nthiserror v2.0.21\n";
        assert!(CORE.violations(tree).is_empty());
    }

    #[test]
    fn a_dependency_that_points_up_is_named_once() {
        let tree = "sockpulse-linux v0.1.0\nsockpulse-bpf v0.1.0\nsockpulse-bpf v0.1.0 (*)\n";
        assert_eq!(
            LINUX.violations(tree),
            ["sockpulse-linux must not depend on sockpulse-bpf"]
        );
    }

    #[test]
    fn core_takes_no_other_crate_and_no_std() {
        let tree = "sockpulse-core v0.1.0\nlibc v0.2\nipnet feature \"std\"\nipnet v2.12.2\n";
        assert_eq!(
            CORE.violations(tree),
            [
                "sockpulse-core must not depend on libc",
                "sockpulse-core must not turn on std of ipnet"
            ]
        );
    }

    #[test]
    fn a_tree_without_the_crate_is_not_taken_for_a_good_one() {
        assert_eq!(CORE.violations(""), ["the tree of sockpulse-core is empty"]);
    }
}
