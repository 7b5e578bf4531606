//! A PostgreSQL of its own, run by a user without rights.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kit::netns::Netns;
use crate::software::{Folder, command, find, said};

/// A user without rights, in every Debian.
pub(crate) const NOBODY: u32 = 65_534;

/// What [`Cluster`] needs.
pub(crate) const PROGRAMS: [&str; 4] = ["initdb", "postgres", "psql", "setpriv"];

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
        let mut initdb = unprivileged("initdb");
        initdb.args([
            "--no-sync",
            "--username=postgres",
            "--auth=trust",
            "--pgdata",
        ]);
        said(netns, initdb.arg(&data));
        let everybody = "host all all all trust\n";
        std::fs::write(data.join("pg_hba.conf"), everybody).unwrap();
        let defaults = std::fs::read_to_string(data.join("postgresql.conf")).unwrap();
        Self { data, defaults }
    }

    /// A server with lines of configuration; it refuses for a while. SIGINT ends it.
    pub(crate) fn server(&self, lines: &str) -> Command {
        let rest = "unix_socket_directories = ''\nfsync = off\n";
        let text = format!("{}\n{lines}{rest}", self.defaults);
        std::fs::write(self.data.join("postgresql.conf"), text).unwrap();
        let mut postgres = unprivileged("postgres");
        postgres.arg("-D").arg(&self.data);
        postgres
    }
}

fn unprivileged(program: &str) -> Command {
    let mut command = command("setpriv");
    let user = format!("--reuid={NOBODY}");
    command.args([&user, "--regid=65534", "--clear-groups"]);
    command.arg(find(Path::new(program)).unwrap());
    command.current_dir("/");
    command
}
