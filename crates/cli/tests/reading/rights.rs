//! Without root: what can be seen is shown, what cannot is said, and the exit status is 3.

use std::process::Command;

use crate::kit::fixture::{self, CONNECTED};
use crate::kit::listing::{Listing, Ran, Row, run};
use crate::kit::netns::Netns;
use crate::kit::openly::Openly;
use crate::kit::socket::Options;

/// `setpriv` to a user without any right, with the rest of the command line.
pub(crate) const NOBODY: [&str; 6] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
    "--inh-caps=-all",
    "--bounding-set=-all",
];

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}

/// The rows of the fixture's connection: its end with keepalive, and the other one.
fn ends(listing: &Listing) -> (&Row, &Row) {
    let find = |on: bool| {
        let mut rows = listing.rows.values();
        rows.find(|row| row.at("/keepalive/on") == on && row.text("/state") == Some("established"))
            .unwrap_or_else(|| panic!("no connection with keepalive {on}: {listing:#?}"))
    };
    (find(true), find(false))
}

fn has_values(row: &Row, options: Options) {
    for (pointer, value) in [
        ("/keepalive/idle/seconds", options.idle_s),
        ("/keepalive/interval/seconds", options.interval_s),
        ("/keepalive/probes/count", options.probes),
    ] {
        assert_eq!(row.number(pointer), value.map(u64::from), "{row:?}");
    }
}

/// Runs sockpulse as nobody, in a namespace where nobody holds a connection and root another.
fn as_nobody(words: &[&str]) -> Ran {
    let netns = Netns::anonymous();
    let root_listener = crate::kit::socket::listen(&netns, "127.0.0.1", 6000);
    let open = Openly::new();
    let fixture = fixture::words_of(&open.fixture(), &["connected", &open.sockpulse()]);
    let fixture: Vec<&str> = fixture.iter().map(AsRef::as_ref).collect();
    let all = [&NOBODY[..], &fixture, words].concat();
    let ran = netns.run(|| run(&mut command(&all)));
    drop(root_listener);
    ran
}

/// Another user's connections and settings are not seen: said, with status 3; the own ones are.
pub(crate) fn root_a_user_without_rights_sees_the_own_connections() {
    let listing = Listing::from(as_nobody(&["list", "-o", "json", "--netns", "self"]));
    let stderr = &listing.ran.stderr;
    assert_eq!(listing.ran.status, Some(3), "{stderr}");
    let (on, off) = ends(&listing);
    has_values(on, CONNECTED);
    for row in [on, off] {
        assert_eq!(row.text("/source"), Some("pidfd"), "{row:?}");
        assert_eq!(row.text("/exposure"), Some("local"), "{row:?}");
        assert!(row.at("/owner/pid").is_u64(), "{row:?}");
    }
    let roots = listing.rows.values().find(|row| row.end("local").1 == 6000);
    let roots = roots.expect("a listener of root's");
    assert!(roots.at("/owner/pid").is_null(), "{roots:?}");
    assert_eq!(
        roots.text("/owner/unknown"),
        Some("not-permitted"),
        "{roots:?}"
    );
    assert!(roots.at("/keepalive/on").is_null(), "{roots:?}");
    assert_partial(stderr);
    assert!(
        !listing.coverage["complete"].as_bool().unwrap_or(false),
        "{listing:?}"
    );
}

/// The same for the one screen.
pub(crate) fn root_a_user_without_rights_gets_an_audit() {
    let ran = as_nobody(&["audit", "--netns", "self"]);
    assert_eq!(ran.status, Some(3), "{}", ran.stderr);
    let screen = String::from_utf8(ran.stdout).unwrap();
    assert!(screen.contains("first probe after 2h"), "{screen}");
    assert!(
        screen.contains("partial") || ran.stderr.contains("partial"),
        "{screen}"
    );
}

/// What a source needs and the caller lacks is named.
pub(crate) fn root_a_source_that_is_not_permitted_names_the_capability() {
    let ran = as_nobody(&["list", "--source", "task-file"]);
    assert_eq!(ran.status, Some(4), "{}", ran.stderr);
    for word in ["CAP_BPF", "hint:"] {
        assert!(ran.stderr.contains(word), "{word}: {}", ran.stderr);
    }
    assert!(ran.stdout.is_empty());
}

/// In a user namespace one is root of little: the own namespace is read, the rest is said.
pub(crate) fn root_in_a_user_namespace_the_own_connections_are_seen() {
    let open = Openly::new();
    for (who, settings) in [
        (&NOBODY[..], ["list", "-o", "json"].as_slice()),
        (&[], &["list", "-o", "json", "--netns", "self"]),
    ] {
        let script = "ip link set lo up && exec \"$@\"";
        let unshare = ["unshare", "-U", "-r", "-n", "sh", "-c", script, "sh"];
        let fixture = fixture::words_of(&open.fixture(), &["connected", &open.sockpulse()]);
        let fixture: Vec<&str> = fixture.iter().map(AsRef::as_ref).collect();
        let all = [who, &unshare, &fixture, settings].concat();
        let listing = Listing::from(run(&mut command(&all)));
        let stderr = &listing.ran.stderr;
        let (on, _) = ends(&listing);
        has_values(on, CONNECTED);
        assert_eq!(on.text("/source"), Some("pidfd"), "{on:?}");
        if !who.is_empty() {
            assert_eq!(listing.ran.status, Some(3), "{stderr}");
            assert_partial(stderr);
        }
    }
}

fn assert_partial(stderr: &str) {
    for word in ["partial:", "not seen:", "hint:"] {
        assert!(stderr.contains(word), "{word}: {stderr}");
    }
}
