//! The audit for programs: one JSON document, or a line or record for each owning program.

use std::io;

use serde_json::{Map, Value, json};
use sockpulse_core::audit::{ProgramKey, ProgramTally};
use sockpulse_core::{Code, Exposure, Finding, Namespace, NetnsDefaults, Place, TcpState};

use crate::append;
use crate::coverage;
use crate::csv;
use crate::screen::{Audited, noticed_after};

/// One document with everything.
pub(super) fn json(out: &mut Vec<u8>, audited: &Audited<'_>) -> io::Result<()> {
    let report = audited.report;
    let states: Map<String, Value> = TcpState::ALL
        .into_iter()
        .map(|state| (state.name().into(), report.in_state(state).into()))
        .collect();
    let programs: Vec<Value> = programs(audited).map(Value::Object).collect();
    let document = json!({
        "schema_version": 1,
        "host": audited.host,
        "detect_within_s": report.target.detect_within.as_secs_f64(),
        "elapsed_ms": u64::try_from(audited.elapsed.as_millis()).unwrap_or(u64::MAX),
        "total": tally(&report.total),
        "states": states,
        "namespaces": audited.namespaces.iter().map(namespace).collect::<Vec<_>>(),
        "programs": programs,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    });
    append::json_document(out, &serde_json::to_string(&document)?);
    // The coverage is written as in a listing: it takes the place of the closing brace.
    out.pop();
    out.extend_from_slice(b",\"coverage\":");
    coverage::json(out, audited.coverage);
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// A line for each program, worst first.
pub(super) fn json_lines(out: &mut Vec<u8>, audited: &Audited<'_>) -> io::Result<()> {
    for program in programs(audited) {
        append::json_document(out, &serde_json::to_string(&program)?);
        out.push(b'\n');
    }
    Ok(())
}

/// A record for each program, worst first.
pub(super) fn csv(out: &mut Vec<u8>, audited: &Audited<'_>) {
    out.extend_from_slice(
        b"program,pid,processes,port,cgroup,unit,container,pod,netns,connections",
    );
    for exposure in Exposure::ALL {
        out.push(b',');
        out.extend_from_slice(exposure.name().as_bytes());
    }
    out.extend_from_slice(b",silent_over_1h,longest_silence_ms,queued_bytes,findings\r\n");
    for (key, tally) in &audited.report.programs {
        record(out, key, tally, &(audited.place)(key));
    }
}

fn programs<'a>(audited: &'a Audited<'_>) -> impl Iterator<Item = Map<String, Value>> + 'a {
    audited.report.programs.iter().map(|(key, counted)| {
        let place = (audited.place)(key);
        let program = key.program.map(|comm| lossy(comm.bytes()));
        let mut object = Map::new();
        object.insert("program".into(), program.into());
        object.insert("pid".into(), counted.pid.into());
        object.insert("processes".into(), counted.processes.into());
        object.insert("port".into(), port(counted).into());
        object.insert("cgroup".into(), text(&place.cgroup));
        object.insert("unit".into(), place.unit.into());
        object.insert("container".into(), place.container.into());
        object.insert("pod".into(), place.pod.into());
        object.insert("netns".into(), key.netns.0.into());
        object.extend(tally(counted));
        object
    })
}

fn tally(tally: &ProgramTally) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("connections".into(), tally.total().into());
    for exposure in Exposure::ALL {
        object.insert(exposure.name().into(), tally.exposed(exposure).into());
    }
    object.insert("silent_over_1h".into(), tally.silent.into());
    object.insert("longest_silence_ms".into(), tally.longest_silence_ms.into());
    object.insert("queued_bytes".into(), tally.queued_by_silent.into());
    let findings: Map<String, Value> = found(tally)
        .map(|(code, count)| (code.name().into(), count.into()))
        .collect();
    object.insert("findings".into(), findings.into());
    object
}

fn found(tally: &ProgramTally) -> impl Iterator<Item = (Code, u64)> {
    Code::ALL
        .iter()
        .map(|code| (*code, tally.found(*code)))
        .filter(|(_, count)| *count > 0)
}

fn namespace(namespace: &Namespace) -> Value {
    json!({
        "netns": namespace.id.0,
        "name": namespace.name,
        "own": namespace.own,
        "pid": namespace.pid,
        "defaults": namespace.defaults.as_ref().map(defaults),
    })
}

fn defaults(defaults: &NetnsDefaults) -> Value {
    json!({
        "idle_s": defaults.idle_s,
        "interval_s": defaults.interval_s,
        "probes": defaults.probes,
        "detects_after_s": noticed_after(defaults).map(|after| after.as_secs()),
        "retries2": defaults.retries2,
        "rto_min_ms": u64::try_from(defaults.rto_min.as_millis()).unwrap_or(u64::MAX),
        "rto_max_ms": u64::try_from(defaults.rto_max.as_millis()).unwrap_or(u64::MAX),
    })
}

fn finding(finding: &Finding) -> Value {
    let worst = finding.worst.as_ref().map(|worst| {
        json!({
            "program": worst.program.map(|comm| lossy(comm.bytes())),
            "connections": worst.connections,
            "port": worst.end.map(|end| end.port),
        })
    });
    json!({
        "code": finding.code.name(),
        "severity": finding.code.severity().name(),
        "title": finding.code.title(),
        "sentence": finding.sentence(),
        "connections": finding.connections,
        "inheriting": finding.inheriting,
        "namespaces": finding.namespaces.iter().map(|id| id.0).collect::<Vec<_>>(),
        "worst": worst,
        "remedy": finding.remedy(),
        "caveat": finding.caveat(),
    })
}

fn record(out: &mut Vec<u8>, key: &ProgramKey, tally: &ProgramTally, place: &Place) {
    let mut name = Vec::new();
    if let Some(comm) = &key.program {
        append::visible(&mut name, comm.bytes());
    }
    csv::quote(out, &name);
    optional(out, tally.pid.map(u64::from));
    optional(out, Some(tally.processes));
    optional(out, port(tally).map(u64::from));
    let none = String::new();
    let [unit, container, pod] =
        [&place.unit, &place.container, &place.pod].map(|text| text.as_ref().unwrap_or(&none));
    for text in [&place.cgroup, unit, container, pod] {
        let mut shown = Vec::new();
        append::visible(&mut shown, text.as_bytes());
        out.push(b',');
        csv::quote(out, &shown);
    }
    optional(out, Some(u64::from(key.netns.0)));
    optional(out, Some(tally.total()));
    for exposure in Exposure::ALL {
        optional(out, Some(tally.exposed(exposure)));
    }
    optional(out, Some(tally.silent));
    optional(out, Some(tally.longest_silence_ms));
    optional(out, Some(tally.queued_by_silent));
    let codes: Vec<_> = found(tally).map(|(code, _)| code.name()).collect();
    out.push(b',');
    out.extend_from_slice(codes.join(" ").as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn optional(out: &mut Vec<u8>, value: Option<u64>) {
    out.push(b',');
    if let Some(value) = value {
        append::number(out, value);
    }
}

fn port(tally: &ProgramTally) -> Option<u16> {
    tally.end.map(|end| end.port)
}

fn text(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
