//! Scenarios and results as tables.

use sockpulse_core::machine::Window;
use sockpulse_lab::{Deaths, Predicted, Report, Trial, Verdict, table};

use crate::terminal::{BAD, BOLD, DIM, GOOD, Palette};

/// The scenarios, one line each.
pub(super) fn list() -> String {
    let mut text = String::new();
    for scenario in table::all() {
        text += &format!("{:<29} {}\n", scenario.name, scenario.about);
    }
    text += &format!(
        "{:<29} {}\n\n",
        super::args::HOUR,
        "1,000 healthy ones at 30 % loss, an hour a minute"
    );
    text += "sockpulse lab NAME [--idle …] runs one; sockpulse lab all runs every quick case.\n";
    text
}

/// Where a trial stands in the table, so that results are always in one order.
pub(super) fn place(trial: &Trial) -> (usize, usize) {
    let scenario = table::all().position(|scenario| scenario.name == trial.scenario.name);
    let cases = trial.scenario.cases.iter();
    let case = cases
        .clone()
        .position(|case| case.settings == trial.settings);
    (scenario.unwrap_or(usize::MAX), case.unwrap_or(usize::MAX))
}

/// A window as text: one moment, or from and to.
pub(super) fn window(at: &Window) -> String {
    let (from, to) = (at.earliest.as_secs_f64(), at.latest.as_secs_f64());
    if at.earliest == at.latest {
        format!("{from:.3} s")
    } else {
        format!("{from:.3} … {to:.3} s")
    }
}

/// All results, and how many are as predicted.
pub(super) fn results(reports: &[&Report], deaths: Option<&Deaths>, palette: Palette) -> Vec<u8> {
    let mut out = Vec::new();
    let heading = format!(
        "{:<46} {:<26} {:>10}  {:<14} {}\n",
        "scenario", "predicted", "measured", "ending", "verdict"
    );
    palette.paint(&mut out, BOLD, heading.trim_end().as_bytes());
    out.push(b'\n');
    for report in reports {
        let predicted = match &report.prediction.outcome {
            Predicted::Stays => "stays".into(),
            Predicted::Depends => "depends".into(),
            Predicted::Ends { at, .. } => window(at),
        };
        let line = format!(
            "{:<46} {predicted:<26} {:>8.3} s  {:<14} ",
            report.trial.title(),
            report.after.as_secs_f64(),
            report.ending.to_string(),
        );
        out.extend_from_slice(line.as_bytes());
        verdict(&mut out, &report.verdict, palette);
        out.push(b'\n');
    }
    if let Some(deaths) = deaths {
        out.extend_from_slice(&hour(deaths, palette));
    }
    let holds = |report: &&&Report| report.verdict == Verdict::Holds;
    let good = reports.iter().filter(holds).count();
    let end = format!("\n{good} of {} are as predicted\n", reports.len());
    out.extend_from_slice(end.as_bytes());
    out
}

fn verdict(out: &mut Vec<u8>, verdict: &Verdict, palette: Palette) {
    match verdict {
        Verdict::Holds => palette.paint(out, GOOD, b"holds"),
        Verdict::Differs(why) => {
            palette.paint(out, BAD, b"DIFFERS");
            out.extend_from_slice(format!(": {why}").as_bytes());
        }
    }
}

/// The compressed hour.
pub(super) fn hour(deaths: &Deaths, palette: Palette) -> Vec<u8> {
    let mut out = Vec::new();
    let hour = &deaths.hour;
    let head = format!(
        "{}: {} living connections, {}.{} % loss each way, {} probes\n",
        super::args::HOUR,
        hour.connections,
        hour.permille / 10,
        hour.permille % 10,
        hour.probes
    );
    palette.paint(&mut out, BOLD, head.trim_end().as_bytes());
    out.push(b'\n');
    let text = format!(
        "  predicted  {} to {} false deaths (99.9 %), {:.1} on average\n  measured   {} ",
        deaths.least, deaths.most, deaths.mean, deaths.counted
    );
    out.extend_from_slice(text.as_bytes());
    let holds = deaths.holds();
    let (style, word) = if holds {
        (GOOD, "as predicted")
    } else {
        (BAD, "not as predicted")
    };
    palette.paint(&mut out, style, word.as_bytes());
    out.push(b'\n');
    palette.paint(&mut out, DIM, b"  an hour of 60/60, sixty times as fast");
    out.push(b'\n');
    out
}
