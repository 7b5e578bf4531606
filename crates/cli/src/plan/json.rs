//! A plan for programs: one document. Keys are only ever added.

use std::io;

use serde_json::{Value, json};
use sockpulse_core::Setting;
use sockpulse_core::plan::{Plan, Settings, Warning};

use super::args::PlanArgs;
use super::{busy, fleets};
use crate::append;
use crate::software::{Gives, Software};

/// Appends the document.
pub(super) fn print(out: &mut Vec<u8>, args: &PlanArgs, plan: &Plan) -> io::Result<()> {
    let connections = args.connections.unwrap_or(1);
    let cost = plan.cost(connections);
    let idle = plan.settings.detects_idle(plan.wish.hz);
    let document = json!({
        "schema_version": 1,
        "settings": settings(&plan.settings),
        "detects_idle_s": seconds(idle.by_settings()),
        "detects_idle_latest_s": seconds(idle.latest()),
        "detects_busy_s": seconds(busy(plan).by_settings()),
        "detects_busy_latest_s": seconds(busy(plan).latest()),
        "probe_period_s": plan.settings.period().as_secs_f64(),
        "connections": connections,
        "probes_per_second": cost.probes_per_second,
        "packets_per_second": cost.packets_per_second,
        "bytes_per_second": cost.bytes_per_second,
        "bytes_per_second_ipv6": cost.bytes_per_second_ipv6,
        "false_death_probability": plan.false_death_per_day(),
        "survives_outage_s": plan.survives().as_secs_f64(),
        "fleets": fleets(args).into_iter().map(|fleet| of_fleet(plan, fleet)).collect::<Vec<_>>(),
        "warnings": plan.warnings.iter().map(warning).collect::<Vec<_>>(),
        "wish": wish(plan),
        "configuration": args.software.iter()
            .map(|software| configuration(*software, &plan.settings))
            .collect::<Vec<_>>(),
    });
    append::json_document(out, &serde_json::to_string(&document)?);
    out.push(b'\n');
    Ok(())
}

fn settings(settings: &Settings) -> Value {
    json!({
        "idle_s": settings.idle.get(),
        "interval_s": settings.interval.get(),
        "probes": settings.probes.get(),
        "user_timeout_ms": settings.user_timeout.get(),
    })
}

fn of_fleet(plan: &Plan, connections: u64) -> Value {
    let cost = plan.cost(connections);
    json!({
        "connections": connections,
        "probes_per_second": cost.probes_per_second,
        "packets_per_second": cost.packets_per_second,
        "bytes_per_second": cost.bytes_per_second,
        "bytes_per_second_ipv6": cost.bytes_per_second_ipv6,
    })
}

fn warning(warning: &Warning) -> Value {
    json!({ "code": warning.code(), "text": warning.sentence() })
}

fn wish(plan: &Plan) -> Value {
    let wish = &plan.wish;
    let path = wish.path.map(|path| {
        json!({
            "title": path.title,
            "timeout_s": path.timeout.as_secs_f64(),
            "probe_counts": path.probe_counts,
            "on_expiry": path.on_expiry.name(),
        })
    });
    json!({
        "detect_within_s": seconds(wish.detect_within),
        "path": path,
        "loss": wish.loss.get(),
        "outage_s": wish.outage().as_secs_f64(),
        "hz": wish.hz.get(),
    })
}

fn configuration(software: Software, settings: &Settings) -> Value {
    let recipe = software.recipe(settings);
    let snippets: Vec<Value> = recipe
        .snippets
        .iter()
        .map(|snippet| {
            json!({
                "place": snippet.place,
                "language": snippet.language,
                "text": snippet.text,
                "gives": gives(snippet.gives),
            })
        })
        .collect();
    json!({ "software": software.name(), "snippets": snippets, "notes": recipe.notes })
}

fn gives(gives: Gives) -> Value {
    let own = |setting| match setting {
        Setting::Namespace => None,
        Setting::Socket(value) | Setting::Either(value) => Some(value),
    };
    match gives {
        Gives::Connections(timers) => json!({
            "kind": "connections",
            "idle_s": own(timers.idle),
            "interval_s": own(timers.interval),
            "probes": own(timers.probes),
            "user_timeout_ms": timers.user_timeout.get(),
        }),
        Gives::Defaults {
            idle_s,
            interval_s,
            probes,
        } => json!({
            "kind": "defaults",
            "idle_s": idle_s,
            "interval_s": interval_s,
            "probes": probes,
        }),
        Gives::Messages {
            every_s,
            unanswered,
        } => json!({
            "kind": "messages",
            "every_s": every_s,
            "unanswered": unanswered,
        }),
    }
}

fn seconds(time: Option<std::time::Duration>) -> Option<f64> {
    time.map(|time| time.as_secs_f64())
}
