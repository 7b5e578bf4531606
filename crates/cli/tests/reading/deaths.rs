//! What `list` predicts, held against the kernel: a peer vanishes without a word, and each connection
//! ends when it was said to.

use std::net::TcpStream;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source};
use crate::kit::pair::{Pair, VANISHING};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::{Moment, Truth};

/// `TCP_CLOSE` of tcp_states.h.
const CLOSED: u8 = 7;
/// The test may look late; the kernel may not be early.
const SLACK: Duration = Duration::from_millis(300);

/// A connection and when it ends: after the last segment, not before this.
struct Case {
    options: Options,
    earliest_s: u64,
    by_settings_s: u64,
}

const fn case(own: (u32, u32, u32), user_timeout_ms: u32, earliest_s: u64, by_s: u64) -> Case {
    let (idle, interval, probes) = own;
    Case {
        options: Options {
            user_timeout_ms,
            ..Options::own(idle, interval, probes)
        },
        earliest_s,
        by_settings_s: by_s,
    }
}

const CASES: [Case; 5] = [
    case((2, 1, 3), 0, 5, 5),
    case((1, 1, 1), 0, 2, 2),
    // The interval sets the pace once a probe was answered.
    case((1, 3, 2), 0, 7, 9),
    case((2, 1, 3), 4_200, 5, 5),
    case((1, 3, 9), 4_000, 4, 6),
];

/// All die within what was said; the one without keepalive stays.
pub(crate) fn root_deaths_come_when_they_were_predicted() {
    let pair = Pair::new();
    let listener = listen(&pair.there, VANISHING, 0);
    let open = || connected(&pair.here, VANISHING, &listener);
    let (unprotected, _other_end) = open();
    let streams: Vec<(TcpStream, TcpStream)> = CASES.iter().map(|_| open()).collect();
    for (case, (stream, _)) in CASES.iter().zip(&streams) {
        case.options.apply(stream);
    }
    // Silence beyond idle, with nothing unanswered: its first probe was answered before.
    wait_for("a connection that is probed every interval", || {
        let moment = Moment::of(&streams[2].0);
        (moment.silence_ms > 2_000 && moment.unanswered_probes == 0).then_some(())
    });
    let words = ["--netns", "self", "--state", "established"];
    let listing = Listing::of(&pair.here, Source::TaskFile, &words);
    pair.vanish();

    let mut heard: Vec<Instant> = vec![Instant::now(); CASES.len()];
    let mut ended: Vec<Option<Duration>> = vec![None; CASES.len()];
    wait_for("all deaths", || {
        for ((ended, heard), (stream, _)) in ended.iter_mut().zip(&mut heard).zip(&streams) {
            let moment = Moment::of(stream.as_fd());
            if moment.state != CLOSED {
                *heard = moment.at - Duration::from_millis(moment.silence_ms);
            } else if ended.is_none() {
                *ended = Some(moment.at - *heard);
            }
        }
        ended.iter().all(Option::is_some).then_some(())
    });
    for ((case, (stream, _)), ended) in CASES.iter().zip(&streams).zip(ended) {
        let row = listing.row(Truth::of(stream).cookie);
        let seconds = |name: &str| row.at(name).as_f64().map(Duration::from_secs_f64);
        let ended = ended.unwrap();
        let latest = seconds("/detects_idle_latest_s").unwrap();
        let told = format!("{:?} ended after {ended:?}, {row:?}", case.options);
        assert_eq!(
            seconds("/detects_idle_s"),
            Some(Duration::from_secs(case.by_settings_s)),
            "{told}"
        );
        // TCP_INFO counts whole milliseconds.
        let earliest = Duration::from_secs(case.earliest_s) - Duration::from_millis(5);
        assert!(earliest <= ended && ended <= latest + SLACK, "{told}");
    }
    assert_ne!(Moment::of(&unprotected).state, CLOSED, "nobody asked");
    let row = listing.row(Truth::of(&unprotected).cookie);
    assert!(row.at("/detects_idle_s").is_null(), "{row:?}");
    assert_eq!(row.text("/exposure"), Some("unprotected"), "{row:?}");
}
