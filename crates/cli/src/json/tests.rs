//! JSON held against the registry of fields and against a parser, and its speed.

use super::*;
use crate::fields::FIELDS;
use crate::sample::{self, Sample};
use proptest::prelude::*;
use serde_json::Value as Json;
use sockpulse_core::{NetnsId, TcpState};

fn line(encoder: &mut JsonEncoder, row: &Row<'_>) -> String {
    let mut out = Vec::new();
    encoder.connection(&mut out, row);
    String::from_utf8(out).unwrap()
}

fn at<'j>(json: &'j Json, path: &str) -> &'j Json {
    path.split('.').fold(json, |json, key| &json[key])
}

/// JSON is written by hand; the registry says what must stand in it.
#[test]
fn json_says_what_the_registry_says() {
    let mut encoder = JsonEncoder::default();
    for sample in sample::all() {
        let row = sample.row();
        let json: Json = serde_json::from_str(&line(&mut encoder, &row)).unwrap();
        for field in FIELDS.iter().filter(|field| !field.json.is_empty()) {
            let mut raw = Vec::new();
            (field.of)(&row).raw(&mut raw);
            let raw = String::from_utf8(raw).unwrap();
            let found = match at(&json, field.json) {
                Json::Null => String::new(),
                Json::String(text) => text.clone(),
                Json::Array(codes) => {
                    let codes: Vec<_> = codes.iter().filter_map(Json::as_str).collect();
                    codes.join(" ")
                }
                Json::Object(end) if end.contains_key("addr") => {
                    match end["addr"].as_str().unwrap() {
                        v6 if v6.contains(':') => format!("[{v6}]:{}", end["port"]),
                        v4 => format!("{v4}:{}", end["port"]),
                    }
                }
                other => other.to_string(),
            };
            let raw = match field.name {
                "program" => raw.replace("\\x1b", "\u{1b}").replace("\\xff", "\u{fffd}"),
                _ => raw,
            };
            assert_eq!(found, raw, "{} of {:?}", field.name, row.connection);
        }
    }
}

#[test]
fn every_leaf_is_documented() {
    fn leaves(json: &Json, path: &str, found: &mut Vec<String>) {
        match json {
            Json::Object(map) if !map.contains_key("addr") => {
                for (key, value) in map {
                    let dot = if path.is_empty() { "" } else { "." };
                    leaves(value, &format!("{path}{dot}{key}"), found);
                }
            }
            _ => found.push(path.to_string()),
        }
    }
    let sample = Sample::new(sample::known());
    let json: Json =
        serde_json::from_str(&line(&mut JsonEncoder::default(), &sample.row())).unwrap();
    let mut found = Vec::new();
    leaves(&json, "", &mut found);
    for leaf in found.iter().filter(|leaf| !leaf.starts_with("timers.")) {
        assert!(FIELDS.iter().any(|field| field.json == leaf), "{leaf}");
    }
}

#[test]
fn everything_known_and_nothing_known() {
    let mut encoder = JsonEncoder::default();
    let lines: Vec<_> = sample::all()
        .iter()
        .map(|sample| line(&mut encoder, &sample.row()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn pieces_that_are_kept_never_belong_to_another_row() {
    let samples = sample::all();
    let mut kept = JsonEncoder::default();
    for n in 0..samples.len() * samples.len() {
        let sample = &samples[(n * 7 + n / samples.len()) % samples.len()];
        let fresh = line(&mut JsonEncoder::default(), &sample.row());
        assert_eq!(line(&mut kept, &sample.row()), fresh);
    }
}

proptest! {
    #[test]
    fn any_connection_is_valid_json(
        comm: Vec<u8>, unit: String, cookie: u64, netns: u32, silence: Option<u64>, state in 0..11usize
    ) {
        let mut connection = sample::known();
        connection.id.cookie.0 = cookie;
        connection.id.netns = NetnsId(netns);
        connection.silence_ms = silence;
        connection.state = TcpState::ALL[state];
        connection.owner.processes = vec![sample::process(1, 2, &comm); 2];
        let mut sample = Sample::new(connection);
        sample.place.unit = Some(unit.clone());
        let json: Json =
            serde_json::from_str(&line(&mut JsonEncoder::default(), &sample.row())).unwrap();
        let comm = Comm::new(&comm);
        prop_assert_eq!(
            json["owner"]["program"].as_str(),
            Some(&*String::from_utf8_lossy(comm.bytes()))
        );
        prop_assert_eq!(json["owner"]["unit"].as_str(), Some(&*unit));
        prop_assert_eq!(json["silence_ms"].as_u64(), silence);
    }
}

/// `cargo test --release -p sockpulse-cli -- --ignored --nocapture nanoseconds`
#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_a_row() {
    const ROWS: u32 = 1_000_000;
    let on = Sample::new(sample::known());
    let off = Sample::new(sample::off());
    let mut encoder = JsonEncoder::default();
    let mut out = Vec::with_capacity(1 << 17);
    for (name, samples) in [("alike", [&on, &on]), ("alternating", [&on, &off])] {
        let mut connections = samples.map(|sample| sample.connection.clone());
        let begin = std::time::Instant::now();
        let mut bytes = 0;
        for n in 0..ROWS {
            let which = usize::from(n % 2 == 1);
            let sample = samples[which];
            let connection = &mut connections[which];
            connection.id.cookie.0 = u64::from(n);
            connection.id.remote.port = (n & 0xffff) as u16;
            connection.silence_ms = Some(u64::from(n));
            let row = Row {
                connection,
                ..sample.row()
            };
            encoder.connection(&mut out, &row);
            out.push(b'\n');
            if out.len() > 65_536 {
                bytes += out.len();
                out.clear();
            }
        }
        let each = begin.elapsed() / ROWS;
        eprintln!(
            "{name}: {} ns a row, {} bytes",
            each.as_nanos(),
            bytes / ROWS as usize
        );
    }
}

/// What judging a row costs beside printing it.
#[test]
#[ignore = "a measurement, not a test"]
fn nanoseconds_a_judgement() {
    const ROWS: u32 = 1_000_000;
    let (mut connection, namespace) = (sample::known(), sample::namespace());
    let mut remembered = sockpulse_core::Remembered::default();
    let begin = std::time::Instant::now();
    for n in 0..ROWS {
        connection.silence_ms = Some(u64::from(n));
        let judged = sockpulse_core::assess_many(
            &connection,
            Some(&namespace),
            &sample::TARGET,
            &mut remembered,
        );
        std::hint::black_box(judged);
    }
    eprintln!("{} ns a judgement", (begin.elapsed() / ROWS).as_nanos());
}
