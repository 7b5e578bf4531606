//! A connection as JSON, appended by hand: a listing writes a million of them, and much of a row is
//! the same as in the row before, so those pieces are kept.

#[cfg(test)]
mod tests;

use sockpulse_core::finding::CodeSet;
use sockpulse_core::{
    Assessment, Comm, EffectiveTimers, End, Exposure, Noticed, Observed, Owner, Place,
    SocketTimers, Timer,
};
use std::time::Duration;

use crate::append;
use crate::fields::{Part, Shown, Value, next_probe, next_timer, unknown_settings};
use crate::row::Row;

/// Writes connections; remembers the pieces that were alike in the last row.
#[derive(Debug, Default)]
pub(crate) struct JsonEncoder {
    settings: Kept<(Observed<SocketTimers>, Observed<EffectiveTimers>)>,
    judgement: Kept<(Option<Exposure>, Option<Noticed>, CodeSet)>,
    program: Kept<Comm>,
    place: Kept<Place>,
    namespace: Kept<String>,
}

impl JsonEncoder {
    /// Appends one connection as an object, without a line feed.
    pub(crate) fn connection(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let connection = row.connection;
        let id = &connection.id;
        // Most rows fit, so that the vector grows at most once a row.
        out.reserve(1536);
        out.extend_from_slice(b"{\"cookie\":");
        if id.cookie.0 == 0 {
            out.extend_from_slice(b"null");
        } else {
            out.push(b'"');
            append::hex(out, id.cookie.0);
            out.push(b'"');
        }
        out.extend_from_slice(b",\"netns\":");
        append::number(out, id.netns.0);
        self.namespace(out, row);
        word(out, ",\"family\":\"", connection.family.name());
        word(out, "\",\"state\":\"", connection.state.name());
        end(out, "\",\"local\":{\"addr\":\"", &id.local);
        end(out, "},\"remote\":{\"addr\":\"", &id.remote);
        out.extend_from_slice(b"},");
        self.settings(out, row);
        timers(out, row);
        optional(out, ",\"silence_ms\":", connection.silence_ms);
        optional(out, ",\"sent_ms\":", connection.sent_ms);
        optional(out, ",\"unread_bytes\":", connection.unread_bytes);
        optional(out, ",\"unacked_bytes\":", connection.unacked_bytes);
        flag(out, ",\"in_flight\":", connection.in_flight);
        optional(out, ",\"retransmits\":", connection.retransmits);
        optional(out, ",\"rto_ms\":", connection.rto_ms);
        optional(out, ",\"backoff\":", connection.backoff);
        optional(out, ",\"snd_una\":", connection.snd_una);
        optional(out, ",\"rcv_nxt\":", connection.rcv_nxt);
        out.push(b',');
        self.judgement(out, row.assessment);
        self.owner(out, &connection.owner, row.place);
        optional(
            out,
            ",\"inode\":",
            (connection.inode != 0).then_some(connection.inode),
        );
        optional(
            out,
            ",\"ifindex\":",
            (connection.ifindex != 0).then_some(connection.ifindex),
        );
        flag(out, ",\"orphan\":", connection.orphan.known());
        flag(out, ",\"mptcp\":", Some(connection.mptcp));
        word(out, ",\"source\":\"", connection.source.name());
        out.extend_from_slice(b"\"}");
    }

    fn namespace(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        out.extend_from_slice(b",\"netns_name\":");
        match row.namespace {
            Some(namespace) => self.namespace.write(out, &namespace.name, |out, name| {
                append::json_string(out, name.as_bytes());
            }),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn settings(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        let key = (row.connection.settings, row.assessment.effective);
        self.settings.write(out, &key, |out, _| settings(out, row));
    }

    fn judgement(&mut self, out: &mut Vec<u8>, assessment: &Assessment) {
        let detection = assessment.detection;
        let key = (
            assessment.exposure,
            detection.map(|d| d.idle),
            assessment.codes,
        );
        self.judgement.write(out, &key, judgement);
        // These hang on the round trip time, which is another for each connection.
        let busy = detection.and_then(|d| d.unacknowledged);
        let window = detection.and_then(|d| d.zero_window);
        time(
            out,
            ",\"detects_busy_s\":",
            busy.and_then(Noticed::by_settings),
        );
        time(
            out,
            ",\"detects_zero_window_s\":",
            window.and_then(Noticed::by_settings),
        );
    }

    fn owner(&mut self, out: &mut Vec<u8>, owner: &Owner, place: &Place) {
        out.extend_from_slice(b",\"owner\":{\"pid\":");
        match owner.processes.first() {
            Some(process) => {
                append::number(out, process.pid);
                out.extend_from_slice(b",\"program\":");
                self.program.write(out, &process.comm, program);
                out.extend_from_slice(b",\"fd\":");
                append::number(out, process.fd);
            }
            None => out.extend_from_slice(b"null,\"program\":null,\"fd\":null"),
        }
        optional(out, ",\"uid\":", owner.uid);
        self.place.write(out, place, place_of);
        match owner.unseen {
            Some(why) => {
                word(out, ",\"unknown\":\"", why.name());
                out.push(b'"');
            }
            None => out.extend_from_slice(b",\"unknown\":null"),
        }
        if owner.processes.len() > 1 {
            processes(out, owner);
        }
        out.push(b'}');
    }
}

/// The last pieces of text of a kind, and what each was made from. Several, because rows of a few
/// programs take turns: both ends of a connection on this machine, to begin with.
#[derive(Debug)]
struct Kept<K> {
    pieces: Vec<(K, Vec<u8>)>,
    oldest: usize,
}

/// More would take longer to search than a piece takes to write.
const PIECES: usize = 4;

impl<K> Default for Kept<K> {
    fn default() -> Self {
        Self {
            pieces: Vec::with_capacity(PIECES),
            oldest: 0,
        }
    }
}

impl<K: PartialEq + Clone> Kept<K> {
    fn write(&mut self, out: &mut Vec<u8>, key: &K, make: impl FnOnce(&mut Vec<u8>, &K)) {
        if let Some((_, text)) = self.pieces.iter().find(|(kept, _)| kept == key) {
            out.extend_from_slice(text);
            return;
        }
        let start = out.len();
        make(out, key);
        let piece = (key.clone(), out[start..].to_vec());
        if self.pieces.len() < PIECES {
            self.pieces.push(piece);
        } else {
            self.pieces[self.oldest] = piece;
            self.oldest = (self.oldest + 1) % PIECES;
        }
    }
}

fn word(out: &mut Vec<u8>, before: &str, word: &str) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(word.as_bytes());
}

fn optional(out: &mut Vec<u8>, before: &str, value: Option<impl itoa::Integer>) {
    out.extend_from_slice(before.as_bytes());
    match value {
        Some(value) => append::number(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

fn flag(out: &mut Vec<u8>, before: &str, value: Option<bool>) {
    let text = match value {
        Some(true) => "true",
        Some(false) => "false",
        None => "null",
    };
    word(out, before, text);
}

fn end(out: &mut Vec<u8>, before: &str, end: &End) {
    out.extend_from_slice(before.as_bytes());
    append::address(out, end.addr);
    out.extend_from_slice(b"\",\"port\":");
    append::number(out, end.port);
}

fn settings(out: &mut Vec<u8>, row: &Row<'_>) {
    let shown = Shown::of(row);
    flag(out, "\"keepalive\":{\"on\":", shown.keepalive);
    part(out, ",\"idle\":{\"seconds\":", shown.idle);
    part(out, ",\"interval\":{\"seconds\":", shown.interval);
    part(out, ",\"probes\":{\"count\":", shown.probes);
    optional(out, ",\"user_timeout\":{\"ms\":", shown.user_timeout_ms);
    out.extend_from_slice(b"}},\"settings_unknown\":");
    quoted(out, unknown_settings(row).map(|why| why.name()));
}

fn part(out: &mut Vec<u8>, before: &str, part: Part) {
    optional(out, before, part.value);
    out.extend_from_slice(b",\"origin\":");
    quoted(out, part.origin.map(|origin| origin.name()));
    out.push(b'}');
}

fn quoted(out: &mut Vec<u8>, value: Option<&'static str>) {
    match value {
        Some(value) => {
            word(out, "\"", value);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

fn timers(out: &mut Vec<u8>, row: &Row<'_>) {
    out.extend_from_slice(b",\"timer\":");
    match next_timer(row) {
        Observed::Known(next) => timer(out, next),
        Observed::Unknown(_) => out.extend_from_slice(b"{\"kind\":null,\"expires_ms\":null"),
    }
    optional(
        out,
        ",\"unanswered_probes\":",
        row.connection.unanswered_probes,
    );
    let both = &row.connection.timers;
    for (before, one) in [
        ("},\"timers\":{\"keepalive\":", both.keepalive),
        (",\"retransmission\":", both.retransmission),
    ] {
        out.extend_from_slice(before.as_bytes());
        match one {
            Observed::Known(one) => {
                timer(out, one);
                out.push(b'}');
            }
            Observed::Unknown(_) => out.extend_from_slice(b"null"),
        }
    }
    let probe = match next_probe(row) {
        Value::Millis(millis) => Some(millis),
        _ => None,
    };
    optional(out, "},\"next_probe_ms\":", probe);
}

/// A timer's object without its closing brace.
fn timer(out: &mut Vec<u8>, timer: Option<Timer>) {
    match timer {
        Some(timer) => {
            word(out, "{\"kind\":\"", timer.kind.name());
            out.extend_from_slice(b"\",\"expires_ms\":");
            append::number(out, timer.expires_ms);
        }
        None => out.extend_from_slice(b"{\"kind\":\"none\",\"expires_ms\":null"),
    }
}

fn judgement(
    out: &mut Vec<u8>,
    (exposure, idle, codes): &(Option<Exposure>, Option<Noticed>, CodeSet),
) {
    out.extend_from_slice(b"\"exposure\":");
    quoted(out, exposure.map(Exposure::name));
    out.extend_from_slice(b",\"findings\":[");
    for (at, code) in codes.iter().enumerate() {
        word(out, if at > 0 { ",\"" } else { "\"" }, code.name());
        out.push(b'"');
    }
    let by_settings = idle.and_then(Noticed::by_settings);
    time(out, "],\"detects_idle_s\":", by_settings);
    let latest = idle.and_then(Noticed::latest);
    time(out, ",\"detects_idle_latest_s\":", latest);
}

fn time(out: &mut Vec<u8>, before: &str, time: Option<Duration>) {
    out.extend_from_slice(before.as_bytes());
    match time {
        Some(time) => append::seconds(out, time),
        None => out.extend_from_slice(b"null"),
    }
}

fn program(out: &mut Vec<u8>, comm: &Comm) {
    append::json_string(out, comm.bytes());
}

fn place_of(out: &mut Vec<u8>, place: &Place) {
    let known = Some(place.cgroup.as_str()).filter(|path| !path.is_empty());
    for (before, text) in [
        (",\"cgroup\":", known),
        (",\"unit\":", place.unit.as_deref()),
        (",\"container\":", place.container.as_deref()),
        (",\"pod\":", place.pod.as_deref()),
    ] {
        out.extend_from_slice(before.as_bytes());
        match text {
            Some(text) => append::json_string(out, text.as_bytes()),
            None => out.extend_from_slice(b"null"),
        }
    }
}

fn processes(out: &mut Vec<u8>, owner: &Owner) {
    for (at, process) in owner.processes.iter().enumerate() {
        let before = if at == 0 { ",\"processes\":[" } else { "," };
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(b"{\"pid\":");
        append::number(out, process.pid);
        out.extend_from_slice(b",\"program\":");
        append::json_string(out, process.comm.bytes());
        out.extend_from_slice(b",\"fd\":");
        append::number(out, process.fd);
        out.push(b'}');
    }
    out.push(b']');
}
