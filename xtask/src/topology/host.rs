//! One host of a topology: a named network namespace and the processes that run in it.

use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use crate::error::{Error, Result};
use crate::process;

/// A network namespace with one address, and its processes. See [`super::Topology`], whose drop
/// closes it.
#[derive(Debug)]
pub(crate) struct Host {
    name: String,
    namespace: String,
    address: Ipv4Addr,
    created: bool,
    processes: Vec<Child>,
}

impl Host {
    /// A host that does not exist yet.
    pub(super) fn new(prefix: &str, name: &str, address: Ipv4Addr) -> Self {
        Self {
            name: name.to_owned(),
            namespace: format!("{prefix}-{name}"),
            address,
            created: false,
            processes: Vec::new(),
        }
    }

    /// Makes the namespace and brings its loopback up.
    pub(super) fn create(&mut self) -> Result<()> {
        process::output(Command::new("ip").args(["netns", "add", &self.namespace]))?;
        self.created = true;
        process::output(&mut self.ip("link set lo up"))?;
        Ok(())
    }

    /// Its name within the topology, also that of the router's port to it: `client3`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name of its namespace, as in `ip netns list` and `sockpulse --netns`.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The address of its `eth0`.
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// `ip -n NAMESPACE WORDS`: a command of iproute2 about this host's network.
    pub(super) fn ip(&self, words: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["-n", &self.namespace]);
        command.args(words.split_whitespace());
        command
    }

    /// A program to be run on this host.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Starts a [`Self::command`] that runs until the host is closed. Returns its process id.
    ///
    /// It is its own process group, so that a Ctrl-C at the terminal does not reach it, and dies
    /// with the calling thread (PR_SET_PDEATHSIG), so that a killed owner leaves no process.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<u32> {
        let mut bound = Command::new("setpriv");
        bound.args(["--pdeathsig", "KILL"]);
        bound.arg(command.get_program()).args(command.get_args());
        if let Some(directory) = command.get_current_dir() {
            bound.current_dir(directory);
        }
        bound.stdin(Stdio::null()).stdout(Stdio::null());
        let child = process::spawn(bound.process_group(0))?;
        let pid = child.id();
        self.processes.push(child);
        Ok(pid)
    }

    /// Kills its processes, waits for their end, removes the namespace.
    pub(super) fn close(&mut self) -> Vec<Error> {
        let mut errors = Vec::new();
        for mut child in self.processes.drain(..) {
            let ended = child.kill().and_then(|()| child.wait());
            errors.extend(ended.map_err(Error::system("end a process")).err());
        }
        if self.created {
            self.created = false;
            let mut delete = Command::new("ip");
            delete.args(["netns", "delete", &self.namespace]);
            // Not in our process group: a second Ctrl-C must not stop the cleaning.
            errors.extend(process::output(delete.process_group(0)).err());
        }
        errors
    }
}
