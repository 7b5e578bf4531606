//! Every quick case of the table, with real sockets: the kernel does what the model says.

use std::num::NonZeroUsize;

use sockpulse_lab::{Pace, Report, Trial, Verdict, run_many, table};

/// So many that all are done within a minute, so few that two processors wake all in time.
const AT_ONCE: usize = 24;

#[test]
fn root_deaths_are_as_predicted_in_every_quick_case() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW)");
        return;
    }
    let trials: Vec<Trial> = table::all()
        .flat_map(|scenario| scenario.cases.iter().map(move |case| (scenario, case)))
        .filter(|(_, case)| case.pace == Pace::Quick)
        .map(|(scenario, case)| Trial::of(scenario, case))
        .collect();
    let mut failed = Vec::new();
    let at_once = NonZeroUsize::new(AT_ONCE).unwrap();
    run_many(&trials, at_once, |number, report| {
        let title = trials[number].title();
        match report {
            Err(error) => failed.push(format!("{title}: failed to {error}")),
            Ok(report) => failed.extend(difference(&title, &report)),
        }
    });
    assert!(failed.is_empty(), "{failed:#?}");
}

fn difference(title: &str, report: &Report) -> Option<String> {
    let told = format!(
        "{title}: {:?} after {:?}, {:?}",
        report.ending, report.after, report.prediction.outcome
    );
    println!("{told}");
    match &report.verdict {
        Verdict::Holds => None,
        Verdict::Differs(why) => Some(format!("{why}: {told}")),
    }
}
