//! PostgreSQL, which says itself what its sessions have.

use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::cluster::{Cluster, PROGRAMS};
use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::kit::pair::HERE;
use crate::kit::program::Talking;
use crate::kit::stage::{ASKED, Has, Stage};
use crate::software::{Daemon, command, ready};

const SESSIONS: [&str; 4] = ["--local", ":5432", "--state", "established"];

/// PostgreSQL asks for keepalive itself and sets no values: `fill` leaves it alone, `tighten` sets
/// them, and `SHOW` in a session that was open tells them; sessions to come inherit them.
#[test]
fn root_a_session_of_postgresql_shows_what_was_set() {
    if !ready("postgresql", &PROGRAMS.map(Path::new)) {
        return;
    }
    let stage = Stage::new();
    let (here, there) = (&stage.pair.here, &stage.pair.there);
    let cluster = Cluster::create(here, &stage.folder);
    let mut server = cluster.server(&format!("listen_addresses = '{HERE}'\n"));
    let _server = Daemon::start(here, &mut server, Signal::INT);
    wait_until_it_answers(there);
    let mut open = session(there);
    // What it has shown it remembers, and shows again.
    let mut shown = session(there);
    assert_eq!(show(&mut shown, "tcp_keepalives_idle"), "7200");
    stage.expect(&SESSIONS, 2, Has::on(7200, 75, 9));

    let words = [&["--program", "postgres"], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.count("/right/asked"), 2, "{report:#?}");
    assert_eq!(
        report.changed(),
        (0, 1),
        "fill: the listener alone {report:#?}"
    );
    stage.expect(&SESSIONS, 2, Has::on(7200, 75, 9));

    let words = [&words[..], &["--mode", "tighten"]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (2, 0), "{report:#?}");
    stage.expect(&SESSIONS, 2, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
    let mut later = session(there);
    assert_eq!(show(&mut later, "server_version_num").len(), 6);
    for session in [&mut open, &mut later] {
        assert_eq!(show(session, "tcp_keepalives_idle"), "60");
        assert_eq!(show(session, "tcp_keepalives_interval"), "10");
        assert_eq!(show(session, "tcp_keepalives_count"), "6");
    }
    stage.expect(&SESSIONS, 3, Has::ASKED);
}

/// Until there are sessions.
pub(crate) fn wait_until_it_answers(netns: &Netns) {
    wait_for("PostgreSQL", || {
        let mut select = psql();
        let done = netns.run(|| select.args(["-c", "select 1"]).output());
        done.unwrap().status.success().then_some(())
    });
}

fn psql() -> Command {
    let mut psql = command("psql");
    let url = format!("postgres://postgres@{HERE}/postgres");
    psql.args([
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        &url,
    ]);
    psql
}

/// A session of PostgreSQL at [`HERE`] that waits for what it is told.
pub(crate) fn session(netns: &Netns) -> Talking {
    let mut session = Talking::start(netns, &mut psql());
    session.tell("select 'ready';");
    session.ready()
}

/// What `show NAME` says.
pub(crate) fn show(session: &mut Talking, name: &str) -> String {
    session.tell(&format!("show {name};"));
    session.hear()
}
