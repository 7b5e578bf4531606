//! A PostgreSQL of its own, run by a user without rights.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;

use crate::kit::netns::Netns;
use crate::software::{Daemon, Folder, command, said};

/// A user without rights, in every Debian.
pub(crate) const NOBODY: u32 = 65_534;

/// What [`Cluster`] needs.
pub(crate) const PROGRAMS: [&str; 3] = ["initdb", "postgres", "psql"];

/// Databases and their configuration.
pub(crate) struct Cluster {
    data: PathBuf,
    /// The configuration that initdb wrote.
    defaults: String,
}

impl Cluster {
    /// Makes one; whoever reaches it may do everything.
    pub(crate) fn create(netns: &Netns, folder: &Folder) -> Self {
        let data = folder.at("data");
        std::fs::create_dir(&data).unwrap();
        chown(&data, Some(NOBODY), Some(NOBODY)).unwrap();
        let mut initdb = command("initdb");
        initdb.args([
            "--no-sync",
            "--username=postgres",
            "--auth=trust",
            "--pgdata",
        ]);
        said(netns, unprivileged(initdb.arg(&data)));
        let everybody = "host all all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), everybody).unwrap();
        let defaults = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        Self { data, defaults }
    }

    /// Starts a server with lines of configuration; it may refuse for a while.
    pub(crate) fn start(&self, netns: &Netns, lines: &str) -> Daemon {
        let rest = "unix_socket_directories = ''\nfsync = off\n";
        let text = format!("{}\n{lines}{rest}", self.defaults);
        std::fs::write(self.data.join("postgresql.conf"), text).unwrap();
        let mut postgres = command("postgres");
        let postgres = unprivileged(postgres.arg("-D").arg(&self.data));
        Daemon::start(netns, postgres, Signal::INT)
    }
}

fn unprivileged(command: &mut Command) -> &mut Command {
    command.uid(NOBODY).gid(NOBODY).current_dir("/")
}
