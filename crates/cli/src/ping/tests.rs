//! ping on a machine that is made up: what it prints, and whom it asks when.

use std::time::Duration;

use sockpulse_core::{Cookie, Gap, NetnsId};

use super::pretend::{Peer, begin, client, everyone, machine, world};
use crate::app::Face;
use crate::args::{Cli, Command};
use crate::error::{CommandError, Exit};
use crate::terminal::Palette;
use clap::Parser;

struct Ran {
    out: String,
    stderr: String,
    exit: Result<Exit, CommandError>,
}

impl Ran {
    /// All that is to be seen, in one text.
    fn screen(&self) -> String {
        let mut screen = self.out.replace("\r\n", "\n");
        for line in self.stderr.lines() {
            screen += &format!("2> {line}\n");
        }
        match &self.exit {
            Ok(exit) => screen += &format!("exit status {}\n", exit.status()),
            Err(error) => screen += &format!("error: {error}, {:?}\n", error.hints()),
        }
        screen
    }
}

fn ping(words: &str) -> Ran {
    on_terminal(words, 80, None)
}

fn on_terminal(words: &str, width: usize, height: Option<usize>) -> Ran {
    let line = format!("sockpulse ping {words}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Ping(args) = &cli.command else {
        panic!("no ping: {line}");
    };
    let face = Face {
        output: cli.global.output,
        width,
        height,
        palette: Palette::Plain,
    };
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let exit = super::run(args, &face, &machine(), &mut out, &mut stderr);
    Ran {
        out: String::from_utf8(out).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        exit,
    }
}

fn clients(count: u64, peer: Peer) -> Vec<(sockpulse_core::Connection, Peer)> {
    (1..=count).map(|cookie| (client(cookie), peer)).collect()
}

const SOON: Peer = Peer::Answers(Duration::from_micros(140));

#[test]
fn the_worst_come_first() {
    begin(everyone());
    insta::assert_snapshot!(ping("").screen());
}

#[test]
fn what_is_in_flight_stands_beside_it() {
    let mut sends = client(1);
    sends.unacked_bytes = Some(1_500);
    sends.retransmits = Some(5);
    begin(vec![(sends, Peer::Silent), (client(2), Peer::Silent)]);
    insta::assert_snapshot!(on_terminal("", 100, None).out);
}

#[test]
fn a_wide_terminal_shows_the_ends_whole() {
    begin(everyone());
    insta::assert_snapshot!(on_terminal("", 160, None).out);
}

#[test]
fn a_document_has_everyone() {
    begin(everyone());
    let ran = ping("-o json");
    let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    for (key, count) in [
        ("alive", 4),
        ("dead", 3),
        ("refused", 1),
        ("busy", 0),
        ("unknown", 3),
    ] {
        assert_eq!(document[key], count, "{key}: {}", ran.out);
    }
    assert_eq!(document["schema_version"], 1);
    assert_eq!(document["results"].as_array().unwrap().len(), 11);
    insta::assert_snapshot!(ran.screen());
}

#[test]
fn lines_and_records_come_one_by_one() {
    begin(everyone());
    let lines = ping("-o jsonl").out;
    assert_eq!(lines.lines().count(), 11);
    for line in lines.lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
    begin(everyone());
    insta::assert_snapshot!(ping("-o csv").screen());
}

#[test]
fn the_living_are_not_listed_where_they_are_too_many() {
    let mut sockets = clients(30, SOON);
    sockets.push((client(99), Peer::Silent));
    begin(sockets.clone());
    insta::assert_snapshot!(on_terminal("", 80, Some(24)).screen());
    for (words, height) in [("--all", Some(24)), ("", Some(60)), ("", None)] {
        begin(sockets.clone());
        let ran = on_terminal(words, 80, height);
        assert_eq!(ran.out.matches("\nalive").count(), 30, "{words}");
    }
}

#[test]
fn the_status_says_whether_all_live() {
    begin(clients(3, SOON));
    let ran = ping("");
    assert_eq!((ran.exit.unwrap(), &*ran.stderr), (Exit::Done, ""));
    for (peer, exit) in [
        (Peer::Silent, Exit::Findings),
        (Peer::Resets, Exit::Findings),
        (Peer::Signed, Exit::Partial),
        (Peer::Closed, Exit::Done),
        (Peer::Late(23), Exit::Done),
        (Peer::Late(24), Exit::Done),
        (Peer::Late(25), Exit::Findings),
    ] {
        let mut sockets = clients(2, SOON);
        sockets.push((client(9), peer));
        begin(sockets);
        assert_eq!(ping("-o json").exit.unwrap(), exit, "{peer:?}");
    }
}

#[test]
fn what_is_not_seen_is_told_in_every_format() {
    for format in ["table", "json", "jsonl", "csv"] {
        let mut elsewhere = client(5);
        elsewhere.id.netns = NetnsId(7);
        let mut sockets = clients(2, SOON);
        sockets.push((elsewhere, SOON));
        begin(sockets);
        world(|world| {
            world.closed.push(NetnsId(7));
            world.notes.push("note: something is lost".into());
            world.gaps.push(Gap {
                what: "owners".into(),
                why: "CAP_SYS_PTRACE is missing".into(),
                remedy: None,
            });
        });
        let ran = ping(&format!("-o {format}"));
        assert_eq!(ran.exit.as_ref().unwrap(), &Exit::Partial);
        let screen = in_order(&ran.screen());
        insta::assert_snapshot!(format!("not_seen_{format}"), screen);
    }
}

/// Namespaces answer side by side, so that rows of several come in any order.
fn in_order(screen: &str) -> String {
    let is_row = |line: &&str| line.starts_with("{\"cookie\"") || line.contains(",redis-server,");
    let mut rows: Vec<&str> = screen.lines().filter(is_row).collect();
    rows.iter_mut().for_each(|row| {
        *row = row
            .strip_suffix("}},")
            .map_or(*row, |_| &row[..row.len() - 1])
    });
    rows.sort_unstable();
    let mut rows = rows.into_iter();
    let lines = screen.lines().map(|line| {
        if is_row(&line) {
            rows.next().unwrap()
        } else {
            line
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn nobody_is_asked_where_nobody_is() {
    begin(Vec::new());
    insta::assert_snapshot!(ping("").screen());
    begin(clients(3, SOON));
    insta::assert_snapshot!(ping("--port 1").screen());
    let listener = everyone()
        .into_iter()
        .filter(|(one, _)| one.id.remote.port == 0);
    begin(listener.collect());
    insta::assert_snapshot!(ping("").screen());
    let document: serde_json::Value = serde_json::from_str(&ping("-o json").out).unwrap();
    assert_eq!(document["left_out"]["listen"], 1);
}

#[test]
fn whoever_interrupts_it_learns_what_is_known() {
    let mut sockets = clients(2, SOON);
    sockets.push((client(9), Peer::Silent));
    begin(sockets);
    world(|world| world.interrupt = Some(Duration::from_secs(3)));
    insta::assert_snapshot!(ping("").screen());
}

#[test]
fn probes_keep_their_distance_and_the_pace() {
    let mut sockets = clients(300, Peer::Silent);
    sockets.extend((301..=1_300).map(|cookie| (client(cookie), SOON)));
    begin(sockets);
    let ran = ping("--rate 500 -o csv");
    assert_eq!(ran.out.matches("\ndead,").count(), 300);
    assert_eq!(ran.out.matches("\nalive,").count(), 1_000);
    let sent = world(|world| world.sent.clone());
    assert_eq!(sent.len(), 300 * 24 + 1_000);
    for second in sent.windows(506) {
        assert!(second[505].0 - second[0].0 >= Duration::from_secs(1));
    }
    let all = sent.last().unwrap().0;
    assert!(all < Duration::from_secs(8_200 / 500 + 16), "{all:?}");
    for cookie in 1..=300 {
        let own: Vec<_> = sent.iter().filter(|(_, one)| *one == cookie).collect();
        assert_eq!(own.len(), 24);
        assert!(
            own.windows(2)
                .all(|two| two[1].0 - two[0].0 >= Duration::from_millis(600))
        );
    }
    // The living do not wait for the dead.
    let last = sent.iter().rposition(|(_, one)| *one > 300).unwrap();
    assert!(sent[last].0 < Duration::from_secs(3), "{:?}", sent[last]);
}

#[test]
fn another_patience_may_be_had() {
    begin(clients(1, Peer::Silent));
    let ran = ping("--probes 3 --spacing 2s -o json");
    assert!(ran.out.contains("\"probes_sent\":3"), "{}", ran.out);
    let sent = world(|world| world.sent.clone());
    assert_eq!(sent.len(), 3);
    assert!(sent[2].0 >= Duration::from_secs(4));
    assert!(world(|world| world.now) >= Duration::from_secs(6));
}

/// What no option takes back is said, and recorded where that is possible.
#[test]
fn what_options_leave_is_told_and_recorded() {
    let state = tempfile::tempdir().unwrap();
    let words = format!("--state-dir {}", state.path().display());
    for round in 1..=2 {
        begin(clients(2, SOON));
        world(|world| world.by_options = true);
        let ran = ping(&words);
        let name = format!("connections-{round}.jsonl");
        let told = std::fs::read_to_string(state.path().join(name)).unwrap();
        if round == 1 {
            insta::assert_snapshot!(ran.screen() + &told);
        }
    }
    std::fs::write(state.path().join("file"), "").unwrap();
    begin(clients(2, SOON));
    world(|world| world.by_options = true);
    let ran = ping(&format!("{words}/file"));
    assert!(
        ran.stderr.contains("what this leaves is not recorded"),
        "{}",
        ran.stderr
    );
    assert_eq!(ran.exit.unwrap(), Exit::Done);
}

/// However long the way is, who answers is known within two round trips and ten milliseconds.
#[test]
fn an_answer_is_seen_soon() {
    for millis in [1, 3, 10, 33, 100, 190] {
        let rtt = Duration::from_millis(millis);
        begin(clients(1, Peer::Answers(rtt)));
        let ran = ping("-o json");
        let took = world(|world| world.now);
        assert!(
            took <= 2 * rtt + Duration::from_millis(10),
            "{rtt:?}: {took:?}"
        );
        let document: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        let told = document["results"][0]["rtt_ms"].as_f64().unwrap();
        let rtt = rtt.as_secs_f64() * 1_000.0;
        assert!((rtt..=rtt * 1.13 + 0.3).contains(&told), "{rtt}: {told}");
    }
}

/// A reader that has what it wants ends it, whoever is still to be asked.
#[test]
fn a_reader_that_has_gone_ends_it_with_success() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for format in ["table", "json", "jsonl", "csv"] {
        begin(clients(2_000, SOON));
        let words = ["sockpulse", "ping", "-o", format].map(Into::into).to_vec();
        let mut stderr = Vec::new();
        let status = crate::app::run(words, &machine(), &mut Gone, &mut stderr);
        assert_eq!((status, &stderr[..]), (0, &b""[..]), "{format}");
    }
}

#[test]
fn a_socket_without_a_cookie_is_left_out() {
    let mut nameless = client(1);
    nameless.id.cookie = Cookie(0);
    begin(vec![(nameless, SOON)]);
    let ran = ping("");
    assert_eq!(
        ran.stderr,
        "there is nobody to ask\nleft out, with nobody to ask: 1 without a cookie\n"
    );
}
