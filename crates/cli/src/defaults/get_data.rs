//! `sockpulse defaults get` for programs.

use serde_json::{Map, Value as Json, json};
use sockpulse_core::NetnsDefaults;
use sockpulse_core::persisted::{Assignment, Persisted, Program, Sysctl};

use super::Impact;
use super::get::{Got, dangers_in, drifts, problems};
use crate::append;
use crate::coverage::gaps_json;
use crate::csv;
use crate::screen::noticed_after;
use crate::sink::Inhabited;

/// One document with everything.
pub(super) fn json(out: &mut Vec<u8>, got: &Got) {
    let namespaces = got.found.namespaces.iter().map(|one| namespace(got, one));
    let document = json!({
        "schema_version": 1,
        "namespaces": namespaces.collect::<Vec<_>>(),
        "gaps": gaps_json(&got.coverage.gaps),
        "problems": problems(got),
    });
    append::json_document(out, &document.to_string());
    out.push(b'\n');
}

/// A line for each namespace.
pub(super) fn json_lines(out: &mut Vec<u8>, got: &Got) {
    for one in &got.found.namespaces {
        let mut line = namespace(got, one);
        line["schema_version"] = 1.into();
        append::json_document(out, &line.to_string());
        out.push(b'\n');
    }
}

/// A record for each namespace.
pub(super) fn csv(out: &mut Vec<u8>, got: &Got) {
    out.extend_from_slice(
        b"netns,name,idle_s,interval_s,probes,detects_after_s,boot_idle_s,boot_interval_s,\
          boot_probes,drift",
    );
    if got.impact.is_some() {
        for (kind, _) in Impact::default().counts() {
            out.push(b',');
            out.extend_from_slice(kind.as_bytes());
        }
    }
    out.extend_from_slice(b"\r\n");
    for one in &got.found.namespaces {
        append::number(out, one.key.id.0);
        out.push(b',');
        let mut name = Vec::new();
        append::visible(&mut name, one.namespace.name.as_bytes());
        csv::quote(out, &name);
        let defaults = one.namespace.defaults.as_ref();
        let after = defaults.and_then(noticed_after);
        let after = after.and_then(|after| i64::try_from(after.as_secs()).ok());
        for value in [
            defaults.map(|defaults| defaults.idle_s),
            defaults.map(|defaults| defaults.interval_s),
            defaults.map(|defaults| defaults.probes),
            after,
        ] {
            optional(out, value);
        }
        for sysctl in Sysctl::ALL {
            let at_boot = got.persisted.systemd.value(sysctl);
            optional(out, at_boot.filter(|_| one.key.host));
        }
        out.push(b',');
        if let Some(defaults) = defaults.filter(|_| one.key.host) {
            let drifts = drifts(&got.persisted, defaults);
            let settings: Vec<_> = drifts.iter().map(|drift| drift.sysctl.setting()).collect();
            out.extend_from_slice(settings.join(" ").as_bytes());
        }
        if let Some(impact) = &got.impact {
            let none = Impact::default();
            for (_, count) in impact.get(&one.key.id).unwrap_or(&none).counts() {
                out.push(b',');
                append::number(out, count);
            }
        }
        out.extend_from_slice(b"\r\n");
    }
}

fn optional(out: &mut Vec<u8>, value: Option<i64>) {
    out.push(b',');
    if let Some(value) = value {
        append::number(out, value);
    }
}

fn namespace(got: &Got, one: &Inhabited) -> Json {
    let defaults = one.namespace.defaults.as_ref();
    let after = defaults.and_then(noticed_after);
    let mut json = json!({
        "netns": one.key.id.0,
        "name": one.namespace.name,
        "own": one.namespace.own,
        "host": one.key.host,
        "pid": one.namespace.pid,
        "idle_s": defaults.map(|defaults| defaults.idle_s),
        "interval_s": defaults.map(|defaults| defaults.interval_s),
        "probes": defaults.map(|defaults| defaults.probes),
        "detects_after_s": after.map(|after| after.as_secs()),
        "warnings": dangers_in(defaults),
        // Files are read at boot for the namespace of process 1 alone.
        "persisted": one.key.host.then(|| persisted(&got.persisted)),
        "drift": one.key.host.then(|| drift(&got.persisted, defaults)),
    });
    if let Some(impact) = &got.impact {
        let impact = impact.get(&one.key.id);
        json["impact"] = impact.map_or_else(|| Impact::default().json(), |one| one.json());
    }
    json
}

/// The line that wins for each default: systemd-sysctl's, and beside it that of procps where it is
/// another.
fn persisted(persisted: &Persisted) -> Json {
    let mut object = Map::new();
    for sysctl in Sysctl::ALL {
        let [systemd, procps] =
            Program::ALL.map(|program| persisted.by(program).of_sysctl(sysctl).winner.as_ref());
        let mut json = line(systemd);
        if systemd != procps {
            if json.is_null() {
                json = json!({ "value": null, "file": null, "line": null });
            }
            json["procps"] = line(procps);
        }
        object.insert(sysctl.setting().into(), json);
    }
    object.into()
}

fn line(line: Option<&Assignment>) -> Json {
    line.map_or(Json::Null, |line| {
        json!({
            "value": line.value.as_ref().ok(),
            "file": line.position.path,
            "line": line.position.line,
            "text": String::from_utf8_lossy(&line.text),
        })
    })
}

fn drift(persisted: &Persisted, now: Option<&NetnsDefaults>) -> Json {
    let drifts = now.map(|now| drifts(persisted, now)).unwrap_or_default();
    let drifts = drifts.into_iter().map(|drift| {
        json!({
            "setting": drift.sysctl.setting(),
            "now": drift.now,
            "at_boot": drift.at_boot,
        })
    });
    drifts.collect()
}
