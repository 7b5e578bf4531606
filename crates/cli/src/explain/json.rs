//! The explanation for programs: one document, times in seconds.

use std::io;

use serde_json::{Value, json};
use sockpulse_core::machine::{Cause, Event, Sent, Step, Window};
use sockpulse_core::{Comm, Connection, Coverage, Effective, Observed, Timer};

use super::account::{Account, Case};
use super::groups::{Gathered, Group};
use super::subject::{Rto, Subject, Whose};
use crate::append;
use crate::coverage;

/// Appends the document. Settings that were given have no coverage: nothing was surveyed.
pub(super) fn document(
    out: &mut Vec<u8>,
    accounts: &[Account<'_>],
    rest: &[Subject],
    gathered: &Gathered,
    coverage: Option<&Coverage>,
) -> io::Result<()> {
    let unknown: serde_json::Map<String, Value> = gathered
        .unknown
        .iter()
        .map(|(why, count)| (why.name().to_owned(), (*count).into()))
        .collect();
    let peerless: serde_json::Map<String, Value> = gathered
        .peerless
        .iter()
        .map(|(state, count)| (state.name().to_owned(), (*count).into()))
        .collect();
    let document = json!({
        "schema_version": 1,
        "explanations": accounts.iter().map(explanation).collect::<Vec<_>>(),
        "left_out": {
            "groups": rest.len(),
            "connections": rest.iter().map(Subject::connections).sum::<u64>(),
            "unknown_settings": unknown,
            "without_peer": peerless,
            "orphans": gathered.orphans,
        },
    });
    append::json_document(out, &serde_json::to_string(&document)?);
    // The coverage is written as in a listing: it takes the place of the closing brace.
    out.pop();
    out.extend_from_slice(b",\"coverage\":");
    match coverage {
        Some(coverage) => coverage::json(out, coverage),
        None => out.extend_from_slice(b"null"),
    }
    out.extend_from_slice(b"}\n");
    Ok(())
}

fn explanation(account: &Account<'_>) -> Value {
    let subject = account.subject;
    let (connections, now) = match &subject.whose {
        Whose::Asked { .. } => (Value::Null, Value::Null),
        Whose::Open(group) => (whose(group), group.only.as_ref().map_or(Value::Null, now)),
    };
    let notes: Vec<Value> = account
        .notes
        .iter()
        .map(|note| json!({ "code": note.code.map(|code| code.name()), "text": note.text }))
        .collect();
    let changes: Vec<Value> = account
        .changes
        .iter()
        .map(|change| json!({ "change": change.how, "outcome": change.outcome }))
        .collect();
    json!({
        "settings": settings(account),
        "connections": connections,
        "now": now,
        "hz": subject.hz.map(sockpulse_core::Hz::get),
        "idle": case(&account.idle),
        "data_in_flight": account.data.as_ref().map(case),
        "zero_window": account.window.as_ref().map(case),
        "notes": notes,
        "changes": changes,
    })
}

fn settings(account: &Account<'_>) -> Value {
    let subject = account.subject;
    let timers = &account.timers;
    let origin = |setting: Effective| match (&subject.whose, setting.origin) {
        (Whose::Asked { .. }, Some(sockpulse_core::Origin::Socket)) => Some("command-line"),
        (_, origin) => origin.map(sockpulse_core::Origin::name),
    };
    let (least, most) = match subject.rto {
        Rto::ShortPath(rto) => (Some(rto), Some(rto)),
        Rto::Measured(least, most) => (Some(least), Some(most)),
        Rto::Unknown => (None, None),
    };
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    json!({
        "on": timers.keepalive,
        "idle": { "seconds": timers.idle.value, "origin": origin(timers.idle) },
        "interval": { "seconds": timers.interval.value, "origin": origin(timers.interval) },
        "probes": { "count": timers.probes.value, "origin": origin(timers.probes) },
        "user_timeout": { "ms": timers.user_timeout.get() },
        "retries2": subject.defaults.retries2,
        "rto": {
            "least_ms": least.map(millis),
            "most_ms": most.map(millis),
            "measured": matches!(subject.rto, Rto::Measured(..)),
        },
    })
}

fn whose(group: &Group) -> Value {
    let programs: Vec<Value> = group
        .programs
        .iter()
        .take(PROGRAMS)
        .map(|(program, count)| {
            json!({ "program": program.as_ref().map(name), "connections": count })
        })
        .collect();
    json!({
        "count": group.connections,
        "local": group.local,
        "namespaces": group.namespaces,
        "programs": programs,
        "more_programs": group.programs.len().saturating_sub(PROGRAMS),
    })
}

/// Programs that are named, those with most connections.
const PROGRAMS: usize = 100;

fn name(program: &Comm) -> String {
    String::from_utf8_lossy(program.bytes()).into_owned()
}

fn now(connection: &Connection) -> Value {
    let id = &connection.id;
    let end = |end: sockpulse_core::End| json!({ "addr": end.addr.to_string(), "port": end.port });
    let timer = |timer: Observed<Option<Timer>>| {
        timer
            .known()
            .flatten()
            .map(|timer| json!({ "kind": timer.kind.name(), "expires_ms": timer.expires_ms }))
    };
    json!({
        "cookie": format!("{:#x}", id.cookie.0),
        "local": end(id.local),
        "remote": end(id.remote),
        "state": connection.state.name(),
        "silence_ms": connection.silence_ms,
        "unanswered_probes": connection.unanswered_probes,
        "unacked_bytes": connection.unacked_bytes,
        "in_flight": connection.in_flight,
        "retransmits": connection.retransmits,
        "keepalive_timer": timer(connection.timers.keepalive),
        "retransmission_timer": timer(connection.timers.retransmission),
    })
}

fn case(case: &Case) -> Value {
    json!({
        "noticed": case.end().map(window),
        "errno": case.errno().map(sockpulse_core::machine::Errno::name),
        "timeline": case.steps.iter().map(step).collect::<Vec<_>>(),
    })
}

fn window(window: Window) -> Value {
    json!({
        "earliest_s": window.earliest.as_secs_f64(),
        "by_settings_s": window.by_settings.as_secs_f64(),
        "latest_s": window.latest.as_secs_f64(),
    })
}

fn step(step: &Step) -> Value {
    let (event, number, cause) = match step.event {
        Event::Sent(sent) => {
            let (event, number) = sent_as(sent);
            (event, number, None)
        }
        Event::GivenUp { cause, .. } => ("given-up", None, Some(cause_name(cause))),
        Event::Ended { cause, .. } => ("ended", None, Some(cause_name(cause))),
        Event::Congested(_) => ("congested", None, None),
        Event::Rearmed => ("re-armed", None, None),
        Event::Answered => ("answered", None, None),
        Event::Unreachable(_) => ("unreachable", None, None),
    };
    json!({
        "event": event,
        "number": number,
        "cause": cause,
        "at": window(step.at),
        "times": step.times,
        "until": window(step.until),
    })
}

fn sent_as(sent: Sent) -> (&'static str, Option<u32>) {
    match sent {
        Sent::Probe { unanswered } => ("probe", Some(unanswered)),
        Sent::Data => ("data", None),
        Sent::TailLossProbe => ("tail-loss-probe", None),
        Sent::Retransmission { count } => ("retransmission", Some(count)),
        Sent::WindowProbe { unanswered } => ("window-probe", Some(unanswered)),
        Sent::Syn { count } => ("syn", Some(count)),
        Sent::SynAck { count } => ("syn-ack", Some(count)),
        Sent::Fin { count } => ("fin", Some(count)),
    }
}

const fn cause_name(cause: Cause) -> &'static str {
    match cause {
        Cause::Keepalive => "keepalive",
        Cause::UserTimeout => "user-timeout",
        Cause::Retransmission => "retransmission",
        Cause::WindowProbes => "window-probes",
        Cause::Connect => "connect",
        Cause::Accept => "accept",
        Cause::Orphan => "orphan",
        Cause::FinTimeout => "fin-timeout",
        Cause::Reset => "reset",
        Cause::Unreachable => "unreachable",
        Cause::Closed => "closed",
    }
}
