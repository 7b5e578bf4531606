//! The evidence that is checked in covers the table as it is: run `cargo xtask evidence` after a
//! change to the scenarios.

use sockpulse_lab::table;

const PAGE: &str = include_str!("../../../docs/evidence.md");

#[test]
fn every_case_has_a_row_that_holds() {
    for scenario in table::all() {
        for case in scenario.cases {
            let title = scenario.title(&case.settings);
            let begin = format!("| {title} | ");
            let row = PAGE.lines().find(|line| line.starts_with(&begin));
            assert!(
                row.is_some_and(|row| row.ends_with("| holds |")),
                "{title}: {row:?}"
            );
        }
    }
}

#[test]
fn every_row_belongs_to_a_case() {
    let titles: Vec<String> = table::all()
        .flat_map(|scenario| {
            scenario
                .cases
                .iter()
                .map(|case| scenario.title(&case.settings))
        })
        .collect();
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| "));
    for row in rows {
        let title = row.split(" | ").next().unwrap_or_default();
        assert!(
            title == "case" || titles.iter().any(|known| known == title),
            "{title}"
        );
    }
}

#[test]
fn the_eight_public_experiments_have_twins() {
    let scripts: std::collections::BTreeSet<&str> = table::all()
        .filter_map(|scenario| scenario.twin_of.map(|twin| twin.script))
        .collect();
    for script in [
        "test-dead.py",
        "test-estab.py",
        "test-idle.py",
        "test-pacing.py",
        "test-syn-ack.py",
        "test-syn-recv.py",
        "test-syn-sent.py",
        "test-zero.py",
    ] {
        assert!(scripts.contains(script), "{script}");
        assert!(PAGE.contains(script), "{script}");
    }
    assert!(PAGE.contains("Verdict: holds."), "the hour");
}
