//! Events as JSON, one a line. A connection is written as `list` writes it.

use std::time::Duration;

use sockpulse_core::event::{Changed, Death, Event, Item, Kind, Program, Side, errno_name};

use super::summary::Summary;
use super::view::{Known, View};
use crate::append;
use crate::journal::moment;
use crate::json::JsonEncoder;

/// Writes events; remembers the pieces that were alike in the last one.
#[derive(Debug, Default)]
pub(super) struct EventEncoder {
    connections: JsonEncoder,
}

impl EventEncoder {
    /// Appends one event and a line feed.
    pub(super) fn event(&mut self, out: &mut Vec<u8>, view: &View<'_>) {
        let event = view.event;
        head(out, event.kind.name().name(), event.at);
        what(out, event);
        let age = event.age.map(millis);
        optional(out, ",\"age_ms\":", age);
        owner(out, view);
        out.extend_from_slice(b",\"connection\":");
        self.connections.connection(out, &view.row);
        text(out, ",\"source\":", Some(event.source.name()));
        out.extend_from_slice(b"}\n");
    }
}

/// Appends what is said at the beginning: that from now on nothing is missed.
pub(super) fn beginning(out: &mut Vec<u8>, at: Duration, summary: &Summary) {
    head(out, "watching", at);
    text(out, ",\"source\":", Some(summary.source.name()));
    out.extend_from_slice(b"}\n");
}

/// Appends what the first look showed.
pub(super) fn looked(out: &mut Vec<u8>, at: Duration, connections: u64, namespaces: u64) {
    head(out, "looked", at);
    optional(out, ",\"connections\":", Some(connections));
    optional(out, ",\"namespaces\":", Some(namespaces));
    out.extend_from_slice(b"}\n");
}

/// Appends that events were lost.
pub(super) fn lost(out: &mut Vec<u8>, at: Duration, count: u64) {
    head(out, "lost", at);
    optional(out, ",\"lost\":", Some(count));
    out.extend_from_slice(b"}\n");
}

/// Appends what it was, all in all.
pub(super) fn end(out: &mut Vec<u8>, at: Duration, summary: &Summary) {
    head(out, "summary", at);
    optional(out, ",\"watched_ms\":", Some(millis(summary.watched)));
    counts(out, ",\"events\":{", summary.events());
    counts(out, "},\"causes\":{", summary.causes());
    optional(out, "},\"lost\":", Some(summary.lost));
    optional(out, ",\"not_seen_at_most\":", Some(summary.skipped));
    text(out, ",\"source\":", Some(summary.source.name()));
    out.extend_from_slice(b"}\n");
}

fn head(out: &mut Vec<u8>, name: &str, at: Duration) {
    text(out, "{\"schema_version\":1,\"event\":", Some(name));
    // Seconds behind a dot are as RFC 3339 has them.
    let moment = moment(at.as_secs());
    let moment = format!(
        "{}.{:03}Z",
        moment.trim_end_matches('Z'),
        at.subsec_millis()
    );
    text(out, ",\"at\":", Some(&moment));
}

/// What belongs to the kind alone.
fn what(out: &mut Vec<u8>, event: &Event) {
    match &event.kind {
        Kind::Opened(side) => opened(out, *side),
        Kind::Recovered { unanswered } => {
            let known = Some(*unanswered).filter(|unanswered| *unanswered > 0);
            optional(out, ",\"probes_before\":", known);
        }
        Kind::Died(death) => died(out, death),
        Kind::Changed(change) => changed(out, event, change),
        Kind::Probing | Kind::Closed | Kind::Gone => {}
    }
}

fn opened(out: &mut Vec<u8>, side: Side) {
    text(out, ",\"side\":", side.name());
}

fn died(out: &mut Vec<u8>, death: &Death) {
    text(out, ",\"cause\":", Some(death.cause.name()));
    optional(out, ",\"errno\":", Some(death.errno));
    text(out, ",\"error\":", errno_name(death.errno));
    let limit = death.cause.limit().map(|limit| limit.name());
    text(out, ",\"given_up_by\":", limit);
    program(out, ",\"by\":", death.by);
}

fn changed(out: &mut Vec<u8>, event: &Event, change: &Changed) {
    let Changed { item, value, by } = *change;
    text(out, ",\"setting\":", Some(item.name()));
    // Each in the unit in which `list` has it.
    let before = match item {
        Item::Keepalive => ",\"on\":",
        Item::Idle | Item::Interval => ",\"seconds\":",
        Item::Probes => ",\"count\":",
        Item::UserTimeout => ",\"ms\":",
    };
    if item == Item::Keepalive {
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(if value == 0 { b"false" } else { b"true" });
    } else {
        optional(out, before, Some(value));
    }
    program(out, ",\"by\":", by);
    out.extend_from_slice(b",\"by_owner\":");
    let own = by.map(|by| event.is_its_own(by.pid));
    out.extend_from_slice(match own {
        Some(true) => b"true",
        Some(false) => b"false",
        None => b"null",
    });
}

/// Whose it is, and how that is known.
fn owner(out: &mut Vec<u8>, view: &View<'_>) {
    let owner = view.owner();
    optional(
        out,
        ",\"owner\":{\"pid\":",
        owner.map(|(owner, _)| owner.pid),
    );
    out.extend_from_slice(b",\"program\":");
    match owner {
        Some((owner, _)) => append::json_string(out, owner.comm.bytes()),
        None => out.extend_from_slice(b"null"),
    }
    let known = owner.map(|(_, known)| match known {
        Known::Descriptor => "descriptor",
        Known::Connect => "connect",
        Known::Listen => "listen",
    });
    text(out, ",\"known_by\":", known);
    out.push(b'}');
}

fn program(out: &mut Vec<u8>, before: &str, program: Option<Program>) {
    out.extend_from_slice(before.as_bytes());
    match program {
        Some(program) => {
            optional(out, "{\"pid\":", Some(program.pid));
            out.extend_from_slice(b",\"program\":");
            append::json_string(out, program.comm.bytes());
            out.push(b'}');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn counts<'a>(out: &mut Vec<u8>, before: &str, counts: impl Iterator<Item = (&'a str, u64)>) {
    out.extend_from_slice(before.as_bytes());
    for (at, (name, count)) in counts.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        append::json_string(out, name.as_bytes());
        optional(out, ":", Some(count));
    }
}

fn optional(out: &mut Vec<u8>, before: &str, value: Option<impl itoa::Integer>) {
    out.extend_from_slice(before.as_bytes());
    match value {
        Some(value) => append::number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn text(out: &mut Vec<u8>, before: &str, text: Option<&str>) {
    out.extend_from_slice(before.as_bytes());
    match text {
        Some(text) => append::json_string(out, text.as_bytes()),
        None => out.extend_from_slice(b"null"),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
