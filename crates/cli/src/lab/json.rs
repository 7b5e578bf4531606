//! The evidence as JSON.

use std::time::Duration;

use serde_json::{Value, json};
use sockpulse_lab::capture::Way;
use sockpulse_lab::{Deaths, Predicted, Report, Rights, Scenario, Timed, Verdict, table};

/// The document around runs.
pub(super) fn evidence(rights: Rights, runs: Vec<Value>) -> Value {
    let failed = runs.iter().filter(|run| run["verdict"] != "holds").count();
    json!({
        "schema_version": 1,
        "machine": super::machine(rights),
        "runs": runs,
        "failed": failed,
    })
}

/// One run.
pub(super) fn run(report: &Report) -> Value {
    let trial = &report.trial;
    let settings = &trial.settings;
    let packets: Vec<Value> = report.packets.iter().map(packet).collect();
    let why = match &report.verdict {
        Verdict::Holds => None,
        Verdict::Differs(why) => Some(why),
    };
    json!({
        "name": trial.scenario.name,
        "title": trial.title(),
        "about": trial.scenario.about,
        "fault": trial.fault.to_string(),
        "twin_of": trial.scenario.twin_of.map(|twin| twin.script),
        "settings": {
            "keepalive": settings.keepalive,
            "idle_s": settings.idle,
            "interval_s": settings.interval,
            "probes": settings.probes,
            "user_timeout_ms": settings.user_timeout.0,
        },
        "rto_ms": u64::try_from(report.rto.as_millis()).unwrap_or(u64::MAX),
        "predicted": predicted(&report.prediction.outcome),
        "measured": {
            "ending": report.ending.to_string(),
            "after_s": seconds(report.after),
        },
        "verdict": if why.is_none() { "holds" } else { "differs" },
        "why": why,
        "packets": packets,
    })
}

fn predicted(outcome: &Predicted) -> Value {
    match outcome {
        Predicted::Stays => json!({ "ending": "stays" }),
        Predicted::Depends => json!({ "ending": "depends" }),
        Predicted::Ends { at, ending } => json!({
            "ending": ending.to_string(),
            "earliest_s": seconds(at.earliest),
            "by_settings_s": seconds(at.by_settings),
            "latest_s": seconds(at.latest),
        }),
    }
}

fn packet(timed: &Timed) -> Value {
    json!({
        "after_s": seconds(timed.after),
        "way": match timed.seen.way {
            Way::Out => "sent",
            Way::In => "received",
        },
        "what": timed.seen.packet.to_string(),
    })
}

/// The compressed hour.
pub(super) fn hour(deaths: &Deaths) -> Value {
    json!({
        "name": super::args::HOUR,
        "title": super::args::HOUR,
        "connections": deaths.hour.connections,
        "probes": deaths.hour.probes,
        "loss": f64::from(deaths.hour.permille) / 1_000.0,
        "predicted": {
            "least": deaths.least,
            "mean": (deaths.mean * 10.0).round() / 10.0,
            "most": deaths.most,
        },
        "measured": { "deaths": deaths.counted },
        "verdict": if deaths.holds() { "holds" } else { "differs" },
    })
}

/// What there is.
pub(super) fn scenarios() -> Value {
    let scenarios: Vec<Value> = table::all().map(scenario).collect();
    json!({ "schema_version": 1, "scenarios": scenarios })
}

/// The same, one a line.
pub(super) fn scenario_lines() -> String {
    table::all()
        .map(|one| format!("{}\n", scenario(one)))
        .collect()
}

fn scenario(scenario: &Scenario) -> Value {
    let cases = scenario.cases.iter();
    json!({
        "name": scenario.name,
        "about": scenario.about,
        "fault": scenario.fault.to_string(),
        "twin_of": scenario.twin_of.map(|twin| twin.script),
        "cases": cases.map(|case| case.settings.to_string()).collect::<Vec<_>>(),
    })
}

/// Milliseconds are what a measurement is good for.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}
