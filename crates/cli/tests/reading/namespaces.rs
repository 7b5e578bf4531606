//! Several network namespaces, with and without names, in one list.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::kit::listing::{Listing, Row, SOCKPULSE, Source, run};
use crate::kit::netns::Netns;
use crate::kit::socket::{Options, connect, listen};
use crate::kit::truth::Truth;

/// A connection over loopback.
struct Local {
    _listener: TcpListener,
    here: TcpStream,
    there: TcpStream,
}

impl Local {
    fn open(netns: &Netns, options: Options) -> Self {
        let listener = listen(netns, "127.0.0.1", 0);
        let port = listener.local_addr().unwrap().port();
        let here = connect(netns, "127.0.0.1", port);
        options.apply(&here);
        let (there, _) = listener.accept().unwrap();
        Self {
            _listener: listener,
            here,
            there,
        }
    }

    fn cookies(&self) -> [u64; 2] {
        [&self.here, &self.there].map(|end| Truth::of(end).cookie)
    }
}

/// `sockpulse list -o json` where the tests run, which is none of their namespaces.
fn list(source: Source, words: &[&str]) -> Listing {
    let mut command = Command::new(SOCKPULSE);
    command.args(["list", "-o", "json"]);
    Listing::from(run(command.args(source.flags()).args(words)))
}

fn idle(row: &Row) -> (Option<u64>, Option<&str>) {
    let seconds = row.number("/keepalive/idle/seconds");
    (seconds, row.text("/keepalive/idle/origin"))
}

/// Two containers and a namespace with a name: each with its own defaults and its own name.
pub(crate) fn root_unnamed_and_named_namespaces_are_in_one_list() {
    let namespaces = [
        Netns::anonymous(),
        Netns::anonymous(),
        Netns::named("sockpulse-test"),
    ];
    let mut connections = Vec::new();
    for (netns, time) in namespaces.iter().zip([1001, 1002, 1003]) {
        netns.set("tcp_keepalive_time", time);
        connections.push(Local::open(netns, Options::ON));
    }
    // iter/tcp is left out: other namespaces of the machine may be met by SYNs.
    for source in [Source::TaskFile, Source::Pidfd, Source::SockDiag] {
        let listing = list(source, &[]);
        for (at, (netns, connection)) in namespaces.iter().zip(&connections).enumerate() {
            let [cookie, other] = connection.cookies();
            let row = listing.row(cookie);
            let case = format!("namespace {at} by {source:?}: {row:?}");
            assert_eq!(row.number("/netns"), Some(netns.id()), "{case}");
            assert_eq!(
                listing.row(other).number("/netns"),
                Some(netns.id()),
                "{case}"
            );
            let name = if at == 2 {
                netns.name().to_owned()
            } else {
                format!("process cat ({})", netns.pid())
            };
            assert_eq!(row.text("/netns_name"), Some(&*name), "{case}");
            let time = 1001 + u64::try_from(at).unwrap();
            let expected = match source {
                Source::TaskFile => (Some(time), Some("namespace")),
                Source::Pidfd => (Some(time), None),
                _ => (None, None),
            };
            assert_eq!(idle(row), expected, "{case}");
            assert_eq!(row.text("/exposure"), Some("local"), "{case}");
        }
    }
}

/// `--netns` takes a name, a process, `self` and several of them.
pub(crate) fn root_namespaces_are_chosen_by_name_process_and_self() {
    let (named, unnamed) = (Netns::named("sockpulse-test"), Netns::anonymous());
    let first = Local::open(&named, Options::ON);
    let second = Local::open(&unnamed, Options::ON);
    let pid = unnamed.pid().to_string();
    for source in Source::ALL {
        for (words, expected) in [
            (vec!["--netns", named.name()], vec![named.id()]),
            (vec!["--netns", &pid], vec![unnamed.id()]),
            (
                vec!["--netns", named.name(), "--netns", &pid],
                vec![named.id(), unnamed.id()],
            ),
        ] {
            let listing = list(source, &words);
            let case = format!("{words:?} by {source:?}");
            for (netns, connection) in [(&named, &first), (&unnamed, &second)] {
                for cookie in connection.cookies() {
                    let shown = listing.rows.contains_key(&cookie);
                    assert_eq!(shown, expected.contains(&netns.id()), "{case}");
                }
            }
            for row in listing.rows.values() {
                let netns = row.number("/netns").unwrap();
                assert!(expected.contains(&netns), "{case}: {row:?}");
            }
        }
        let own = Listing::of(&named, source, &["--netns", "self"]);
        assert_eq!(own.rows.len(), 3, "{source:?}: {:?}", own.rows);
        assert_eq!(
            own.row(first.cookies()[0]).text("/netns_name"),
            Some(named.name())
        );
    }
}

/// A descriptor may belong to a namespace that no process is in and that has no name.
pub(crate) fn root_sockets_of_a_namespace_without_processes_are_seen() {
    let netns = Netns::anonymous();
    let id = netns.id();
    let connection = Local::open(&netns, Options::own(63, 12, 6));
    drop(netns);
    let listing = list(Source::TaskFile, &[]);
    for (cookie, keepalive) in connection.cookies().into_iter().zip([true, false]) {
        let row = listing.row(cookie);
        assert_eq!(row.number("/netns"), Some(id), "{row:?}");
        assert_eq!(row.at("/keepalive/on"), keepalive, "{row:?}");
        // Its defaults could not be read, so what is inherited is unknown.
        let inherited = row.number("/keepalive/idle/seconds");
        assert_eq!(inherited, keepalive.then_some(63), "{row:?}");
    }
}

/// Namespaces come and go while others are read: nothing fails, and what stays is complete.
pub(crate) fn root_a_namespace_may_vanish_during_the_read() {
    let stable = Netns::anonymous();
    let connections: Vec<_> = (0..50).map(|_| Local::open(&stable, Options::ON)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let vanishing = scope.spawn(|| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                let netns = Netns::anonymous();
                let _connection = Local::open(&netns, Options::ON);
                drop(netns);
                count += 1;
            }
            count
        });
        for source in [Source::TaskFile, Source::Pidfd, Source::SockDiag].repeat(3) {
            let listing = list(source, &[]);
            for cookie in connections.iter().flat_map(Local::cookies) {
                assert_eq!(listing.row(cookie).number("/netns"), Some(stable.id()));
            }
        }
        done.store(true, Ordering::Relaxed);
        let vanished = vanishing.join().unwrap();
        assert!(
            vanished > 3,
            "only {vanished} namespaces vanished meanwhile"
        );
    });
}
