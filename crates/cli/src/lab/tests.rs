//! What a run looks like, from reports that are made up.

use std::time::Duration;

use sockpulse_core::machine::{Cause, Event, Sent, Window};
use sockpulse_lab::capture::{Seen, Way};
use sockpulse_lab::packet::{Flags, Packet, Segment};
use sockpulse_lab::{
    Deaths, Ending, Expectation, Hour, Predicted, Prediction, Report, Rights, Timed, Trial,
    Verdict, table,
};

use super::{json, table as tables, timeline};
use crate::terminal::Palette;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn between(from: u64, to: u64) -> Window {
    Window {
        earliest: ms(from),
        by_settings: ms(from),
        latest: ms(to),
    }
}

fn packet(after: u64, way: Way, flags: u8) -> Timed {
    Timed {
        after: ms(after),
        seen: Seen {
            at: ms(1_000_000 + after),
            way,
            packet: Packet::Tcp(Segment {
                from: 40_000,
                to: 7_000,
                seq: 1,
                ack: 1,
                flags: Flags(flags),
                window: 500,
                length: 0,
            }),
        },
    }
}

/// A peer that vanished, given up after two probes.
fn vanished(verdict: Verdict) -> Report {
    let scenario = table::find("vanish").unwrap();
    let probe = |unanswered, at| Expectation {
        at,
        event: Event::Sent(Sent::Probe { unanswered }),
    };
    Report {
        trial: Trial::of(scenario, &scenario.cases[0]),
        prediction: Prediction {
            outcome: Predicted::Ends {
                at: between(4_000, 4_096),
                ending: Ending::Error(110),
            },
            cause: Some(Cause::Keepalive),
            steps: vec![
                probe(1, between(2_000, 2_032)),
                probe(2, between(3_000, 3_064)),
            ],
            with_tail_loss_probe: Vec::new(),
        },
        ending: Ending::Error(110),
        after: ms(4_081),
        rto: ms(204),
        packets: vec![
            packet(2_015, Way::Out, 0x10),
            packet(3_043, Way::Out, 0x10),
            packet(4_080, Way::Out, Flags::RST | 0x10),
        ],
        verdict,
        client: None,
        until: Duration::ZERO,
    }
}

/// A peer that hangs: its kernel answers.
fn answered() -> Report {
    let scenario = table::find("peer-stopped").unwrap();
    let sent = Event::Sent(Sent::Probe { unanswered: 1 });
    Report {
        trial: Trial::of(scenario, &scenario.cases[0]),
        prediction: Prediction {
            outcome: Predicted::Stays,
            cause: None,
            steps: [sent, Event::Answered]
                .map(|event| Expectation {
                    at: between(1_000, 1_032),
                    event,
                })
                .to_vec(),
            with_tail_loss_probe: Vec::new(),
        },
        ending: Ending::Stayed,
        after: ms(6_001),
        rto: ms(204),
        packets: vec![packet(1_020, Way::Out, 0x10), packet(1_021, Way::In, 0x10)],
        verdict: Verdict::Holds,
        client: None,
        until: Duration::ZERO,
    }
}

const DEATHS: Deaths = Deaths {
    hour: Hour {
        connections: 1_000,
        probes: 8,
        permille: 300,
    },
    least: 77,
    mean: 114.123,
    most: 150,
    counted: 110,
};

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_timeline_shows_predicted_beside_measured() {
    let wrong = Verdict::Differs("12ms too late".into());
    let reports = [vanished(Verdict::Holds), vanished(wrong), answered()];
    let shown = reports.map(|report| text(timeline::render(&report, Palette::Plain)));
    insta::assert_snapshot!(shown.join("\n----\n"));
}

#[test]
fn results_are_a_table() {
    let (one, other) = (vanished(Verdict::Holds), answered());
    let shown = tables::results(&[&one, &other], Some(&DEATHS), Palette::Plain);
    insta::assert_snapshot!(text(shown));
}

#[test]
fn the_evidence_is_one_document() {
    let runs = vec![json::run(&vanished(Verdict::Holds)), json::hour(&DEATHS)];
    let document = json::evidence(Rights::Own, runs);
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["failed"], 0);
    insta::assert_snapshot!(format!("{:#}", document["runs"]));
}

#[test]
fn a_run_that_differs_is_counted() {
    let wrong = Verdict::Differs("it was to stay".into());
    let late = Deaths {
        counted: 151,
        ..DEATHS
    };
    let document = json::evidence(
        Rights::UserNamespace,
        vec![json::run(&vanished(wrong)), json::hour(&late)],
    );
    assert_eq!(document["failed"], 2);
    assert_eq!(document["runs"][0]["why"], "it was to stay");
}

#[test]
fn what_could_not_be_run_is_told_and_is_no_success() {
    let late = |event| sockpulse_lab::Error::Late { event, seconds: 10 };
    let failures = |events: &[&'static str]| {
        let failures = events
            .iter()
            .map(|event| ("vanish 2/1/3".into(), late(event)));
        super::not_run(failures.collect())
    };
    assert!(failures(&[]).is_none());
    for (events, hint) in [
        (&["a way"][..], "it was vanish 2/1/3; all else was run"),
        (
            &["a way", "b", "c"],
            "it was vanish 2/1/3; 2 others could not be run either",
        ),
    ] {
        let error = failures(events).unwrap();
        assert_eq!(error.to_string(), "failed to see a way within 10 s");
        assert_eq!((error.status(), error.hints()), (3, &[hint.to_owned()][..]));
    }
}
