//! Answers as JSON and CSV, appended by hand: there may be a million.

use std::io::Write as _;
use std::time::Duration;

use sockpulse_core::ping::{Answer, Glance, Unreachable, Why};
use sockpulse_core::{End, Namespace};

use super::subject::Subject;
use crate::append;
use crate::csv::quote;

/// The header of CSV, with its line end.
pub(super) const HEADER: &str = "verdict,rtt_ms,probes_sent,silence_ms,why,state,local,remote,\
    netns,cookie,pid,program,unacked_bytes,retransmits\r\n";

/// Appends one answer as an object, without a line feed.
pub(crate) fn object(out: &mut Vec<u8>, subject: &Subject, answer: &Answer, names: &[Namespace]) {
    out.extend_from_slice(b"{\"cookie\":\"");
    append::hex(out, subject.id.cookie.0);
    out.extend_from_slice(b"\",\"netns\":");
    append::number(out, subject.id.netns.0);
    out.extend_from_slice(b",\"netns_name\":");
    let name = names.iter().find(|one| one.id == subject.id.netns);
    text(out, name.map(|one| one.name.as_bytes()));
    out.extend_from_slice(b",\"state\":");
    text(out, Some(subject.state.name().as_bytes()));
    end(out, ",\"local\":", &subject.id.local);
    end(out, ",\"remote\":", &subject.id.remote);
    out.extend_from_slice(b",\"verdict\":");
    text(out, Some(answer.verdict.name().as_bytes()));
    out.extend_from_slice(b",\"rtt_ms\":");
    optional(out, answer.rtt, milliseconds);
    out.extend_from_slice(b",\"probes_sent\":");
    append::number(out, answer.probes);
    out.extend_from_slice(b",\"silence_ms\":");
    optional(out, answer.silence, |out, silence| {
        append::number(out, whole(silence));
    });
    out.extend_from_slice(b",\"why\":");
    text(out, answer.why.map(|why| why.name().as_bytes()));
    out.extend_from_slice(b",\"why_text\":");
    text(out, answer.why.map(sentence).as_deref().map(str::as_bytes));
    out.extend_from_slice(b",\"unreachable\":");
    optional(out, answer.unreachable, unreachable);
    let last = answer.last.as_ref();
    for (key, value) in [
        (",\"unacked_bytes\":", last.map(|last| last.unacked)),
        (
            ",\"retransmits\":",
            last.map(|last| last.retransmits.into()),
        ),
        (",\"retransmitted\":", last.map(|last| last.retransmitted)),
    ] {
        out.extend_from_slice(key.as_bytes());
        optional(out, value, append::number);
    }
    owner(out, subject);
    out.push(b'}');
}

fn owner(out: &mut Vec<u8>, subject: &Subject) {
    out.extend_from_slice(b",\"owner\":{\"pid\":");
    optional(out, subject.process, |out, process| {
        append::number(out, process.pid);
    });
    out.extend_from_slice(b",\"program\":");
    let process = subject.process.as_ref();
    text(out, process.map(|process| process.comm.bytes()));
    out.extend_from_slice(b",\"processes\":");
    append::number(out, subject.holders);
    out.extend_from_slice(b",\"unknown\":");
    text(out, subject.unowned.map(|why| why.name().as_bytes()));
    out.push(b'}');
}

/// Appends one answer as a record of CSV, with its line end.
pub(super) fn record(out: &mut Vec<u8>, subject: &Subject, answer: &Answer) {
    out.extend_from_slice(answer.verdict.name().as_bytes());
    out.push(b',');
    if let Some(rtt) = answer.rtt {
        milliseconds(out, rtt);
    }
    out.push(b',');
    append::number(out, answer.probes);
    out.push(b',');
    if let Some(silence) = answer.silence {
        append::number(out, whole(silence));
    }
    out.push(b',');
    out.extend_from_slice(answer.why.map_or("", Why::name).as_bytes());
    out.push(b',');
    out.extend_from_slice(subject.state.name().as_bytes());
    out.push(b',');
    append::end(out, &subject.id.local);
    out.push(b',');
    append::end(out, &subject.id.remote);
    out.push(b',');
    append::number(out, subject.id.netns.0);
    out.push(b',');
    append::hex(out, subject.id.cookie.0);
    out.push(b',');
    if let Some(process) = &subject.process {
        append::number(out, process.pid);
        out.push(b',');
        let mut name = Vec::new();
        append::visible(&mut name, process.comm.bytes());
        quote(out, &name);
    } else {
        out.push(b',');
    }
    for value in [
        answer.last.map(|last| last.unacked),
        answer.last.map(|last: Glance| last.retransmits.into()),
    ] {
        out.push(b',');
        if let Some(value) = value {
            append::number(out, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Why it is not known, with the kernel's own words where it refused something.
pub(crate) fn sentence(why: Why) -> String {
    match why {
        Why::NotSent(errno) => {
            let words = std::io::Error::from_raw_os_error(errno).to_string();
            let words = words.split(" (os error").next().unwrap_or_default();
            format!("{}: {}", why.sentence(), words.to_lowercase())
        }
        why => why.sentence().to_owned(),
    }
}

/// Milliseconds with the microseconds behind the point: `0.137`.
fn milliseconds(out: &mut Vec<u8>, time: Duration) {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    append::number(out, micros / 1_000);
    if micros % 1_000 > 0 {
        let rest = format!("{:03}", micros % 1_000);
        out.push(b'.');
        out.extend_from_slice(rest.trim_end_matches('0').as_bytes());
    }
}

fn whole(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn unreachable(out: &mut Vec<u8>, said: Unreachable) {
    // Writing to a vector does not fail.
    let _ = write!(out, "{{\"from\":\"{}\",\"code\":{}}}", said.from, said.code);
}

fn end(out: &mut Vec<u8>, key: &str, end: &End) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"{\"addr\":\"");
    append::address(out, end.addr);
    out.extend_from_slice(b"\",\"port\":");
    append::number(out, end.port);
    out.push(b'}');
}

fn text(out: &mut Vec<u8>, text: Option<&[u8]>) {
    optional(out, text, append::json_string);
}

fn optional<T>(out: &mut Vec<u8>, value: Option<T>, show: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => show(out, value),
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_told_in_milliseconds() {
        for (micros, text) in [
            (0, "0"),
            (137, "0.137"),
            (400, "0.4"),
            (12_000, "12"),
            (1_000_050, "1000.05"),
        ] {
            let mut out = Vec::new();
            milliseconds(&mut out, Duration::from_micros(micros));
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }
}
