//! Servers whose accepted connections have what their configuration says.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::Path;

use rustix::process::Signal;
use sockpulse_cli::software::Software;

use crate::cluster::{Cluster, NOBODY, PROGRAMS};
use crate::expected::expect;
use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::software::{Daemon, Folder, command, ready};
use crate::{awkward, only, text_and_gives, typical};

/// A connection to a server that needs a moment to start.
pub(crate) fn connect(netns: &Netns, port: u16) -> TcpStream {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    wait_for(&format!("a server at {address}"), || {
        netns.run(|| TcpStream::connect(address)).ok()
    })
}

#[test]
fn root_redis_does_as_configured() {
    if !ready("redis", &[Path::new("redis-server")]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let (text, gives) = text_and_gives(only(Software::Redis, &settings));
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let rest = "bind 127.0.0.1\nport 6379\nsave \"\"\ndir /\n";
        let file = folder.write("redis.conf", text + rest);
        let mut redis = command("redis-server");
        let _redis = Daemon::start(&netns, redis.arg(file), Signal::TERM);
        let _client = connect(&netns, 6379);
        expect(&netns, &["--local", ":6379"], &gives, "redis");
    }
}

#[test]
fn root_postgresql_and_libpq_do_as_configured() {
    if !ready("postgresql", &PROGRAMS.map(Path::new)) {
        return;
    }
    let (netns, folder) = (Netns::anonymous(), Folder::new());
    let cluster = Cluster::create(&netns, &folder);

    for settings in [typical(), awkward()] {
        let (text, server) = text_and_gives(only(Software::Postgresql, &settings));
        let (url, client) = text_and_gives(only(Software::Libpq, &settings));
        let listen = "listen_addresses = '127.0.0.1'\n";
        let mut postgres = cluster.server(&(text + listen));
        let _postgres = Daemon::start(&netns, &mut postgres, Signal::INT);
        drop(connect(&netns, 5432));
        let url = url.trim_end().replace("USER@HOST", "postgres@127.0.0.1");
        let url = url.replace("/DATABASE", "/postgres");
        // It may refuse for as long as it starts.
        wait_for("a session", || {
            let mut psql = command("psql");
            psql.args([&url, "-c", "select 1"]);
            netns
                .run(|| psql.output())
                .unwrap()
                .status
                .success()
                .then_some(())
        });
        // A session waits for what comes on stdin.
        let mut psql = command("psql");
        let _session = Daemon::start(&netns, psql.arg(&url), Signal::TERM);
        expect(&netns, &["--local", ":5432"], &server, "postgresql");
        expect(&netns, &["--remote", ":5432"], &client, "libpq");
    }
}

#[test]
fn root_mariadb_does_as_configured() {
    if !ready("mariadb", &[Path::new("mariadbd")]) {
        return;
    }
    for settings in [typical(), awkward()] {
        let (text, gives) = text_and_gives(only(Software::Mariadb, &settings));
        let (netns, folder) = (Netns::anonymous(), Folder::new());
        let data = folder.at("data");
        std::fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        // It sets the options when a client connects, before it looks for users, of whom there are
        // none.
        let rest = format!(
            "skip-grant-tables\nuser = nobody\nbind-address = 127.0.0.1\nconnect-timeout = 60\n\
             datadir = {data}\nsocket = {data}/socket\npid-file = {data}/pid\n",
            data = data.display()
        );
        let file = folder.write("keepalive.cnf", text + &rest);
        let mut mariadb = command("mariadbd");
        mariadb.arg(format!("--defaults-file={}", file.display()));
        let _mariadb = Daemon::start(&netns, &mut mariadb, Signal::TERM);
        let _client = connect(&netns, 3306);
        expect(&netns, &["--local", ":3306"], &gives, "mariadb");
    }
}
