//! Joins what the readers saw into one row for each socket, and judges it.

use std::collections::BTreeMap;
use std::io;

use sockpulse_bpf::{Kind, Record};
use sockpulse_core::{
    Assessment, Connection, Coverage, Exposure, Gap, Namespace, NetnsId, Observed, Process,
    Remembered, Selector, SocketTimers, Source, Target, TcpState, Unseen, assess_many,
};
use sockpulse_linux::cgroup::Places;
use sockpulse_linux::procfs::{OwnerIndex, Proc, Wanted};
use sockpulse_linux::{netns, pidfd};

use super::cookies::CookieSet;
use super::reading::Batch;
use crate::coverage::counted;
use crate::machine::Visitor;
use crate::row::Row;

/// Where owners and settings come from when no iterator gives them.
pub(super) enum Filler {
    /// BPF's `task_file` does: what it does not show, no process holds.
    TaskFile,
    /// A walk over /proc for owners; settings through duplicated descriptors.
    Borrow(OwnerIndex, Box<pidfd::Borrower>),
    /// A walk over /proc for owners; settings stay unknown.
    OwnersOnly(OwnerIndex),
}

impl Filler {
    const fn owners(&self) -> Option<&OwnerIndex> {
        match self {
            Self::TaskFile => None,
            Self::Borrow(owners, _) | Self::OwnersOnly(owners) => Some(owners),
        }
    }

    const fn owners_mut(&mut self) -> Option<&mut OwnerIndex> {
        match self {
            Self::TaskFile => None,
            Self::Borrow(owners, _) | Self::OwnersOnly(owners) => Some(owners),
        }
    }
}

/// What a Multipath TCP program holds.
struct Parent {
    settings: Observed<SocketTimers>,
    processes: Vec<Process>,
}

/// What is known when everything was shown.
pub(super) struct Joined {
    pub(super) namespaces: Vec<Namespace>,
    /// Namespaces of which a process holds a socket and nothing else was seen.
    pub(super) unreached: Vec<NetnsId>,
    pub(super) coverage: Coverage,
}

/// The one place where everything that was read meets.
pub(super) struct Join<'a, 'v> {
    selector: &'a Selector,
    target: Target,
    proc: &'a Proc,
    filler: Filler,
    namespaces: Namespaces,
    places: Places,
    /// Sockets that were shown, or are kept in `shared`.
    seen: CookieSet,
    /// Sockets that a process should show and none has shown so far.
    awaited: BTreeMap<NetnsId, CookieSet>,
    /// Sockets that several processes may hold: shown when all were asked.
    shared: BTreeMap<u64, Connection>,
    /// Multipath TCP: what the process holds, by inode, and the subflows that belong to it.
    parents: BTreeMap<u64, Parent>,
    subflows: Vec<Connection>,
    /// Sockets that the walk over /proc came too early for.
    newer: Vec<Connection>,
    /// The second pass asks for these alone.
    only: Option<CookieSet>,
    remembered: Remembered,
    /// Connections with a `struct socket` that no visible process has open.
    out_of_sight: u64,
    pub(super) coverage: Coverage,
    visitor: &'a mut Visitor<'v>,
}

impl<'a, 'v> Join<'a, 'v> {
    pub(super) fn new(
        selector: &'a Selector,
        target: Target,
        proc: &'a Proc,
        filler: Filler,
        namespaces: Vec<Namespace>,
        visitor: &'a mut Visitor<'v>,
    ) -> Self {
        Self {
            selector,
            target,
            proc,
            filler,
            places: Places::new(proc.clone()),
            namespaces: Namespaces {
                known: namespaces,
                last: 0,
                unknown: Vec::new(),
            },
            seen: CookieSet::default(),
            awaited: BTreeMap::new(),
            shared: BTreeMap::new(),
            parents: BTreeMap::new(),
            subflows: Vec::new(),
            newer: Vec::new(),
            only: None,
            remembered: Remembered::default(),
            out_of_sight: 0,
            coverage: Coverage::default(),
            visitor,
        }
    }

    /// Takes in one batch and shows the sockets that it completes.
    pub(super) fn take(&mut self, batch: Batch) -> io::Result<()> {
        match batch {
            Batch::TaskFile(bytes) => sockpulse_bpf::records(&bytes)
                .iter()
                .try_for_each(|record| self.held(record)),
            Batch::IterTcp(netns, bytes) => sockpulse_bpf::records(&bytes)
                .iter()
                .try_for_each(|record| self.walked(netns, record)),
            Batch::Diag(connections) => connections
                .into_iter()
                .try_for_each(|connection| self.unowned(connection)),
            Batch::Owned(netns, cookies) => {
                cookies
                    .into_iter()
                    .for_each(|cookie| self.await_owner(netns, cookie));
                Ok(())
            }
            Batch::Gap(gap) => {
                self.coverage.gaps.push(gap);
                Ok(())
            }
        }
    }

    /// What sock_diag saw with an owner and no process showed so far, by namespace.
    pub(super) fn missing(&mut self) -> BTreeMap<NetnsId, CookieSet> {
        let mut awaited = std::mem::take(&mut self.awaited);
        awaited.retain(|_, cookies| {
            cookies.subtract(&self.seen);
            !cookies.is_empty()
        });
        awaited
    }

    /// From now on only these sockets are taken from processes, or else without an owner.
    pub(super) fn only(&mut self, wanted: CookieSet) {
        self.only = Some(wanted);
    }

    /// Shows what had to wait for the last process.
    pub(super) fn finish(mut self) -> io::Result<Joined> {
        for connection in std::mem::take(&mut self.shared).into_values() {
            self.show(&connection)?;
        }
        for mut subflow in std::mem::take(&mut self.subflows) {
            if let Some(parent) = self.parents.get(&subflow.inode) {
                subflow.owner.processes.clone_from(&parent.processes);
                subflow.owner.unseen = None;
                if subflow.settings.known().is_none() {
                    subflow.settings = parent.settings;
                }
            }
            self.show(&subflow)?;
        }
        self.walk_again()?;
        // Which processes were not looked into matters only where one of them may hold a socket.
        let unknown = &self.coverage.unknown_owners;
        if unknown.contains_key(&Unseen::NotPermitted)
            && let Some(owners) = self.filler.owners()
        {
            self.coverage.gaps.extend(owners.gaps());
        }
        // On the whole machine such a socket is the kernel's own; in a container most are not.
        if self.out_of_sight > 0 && !self.proc.is_of_the_whole_machine() {
            self.coverage.gaps.push(Gap {
                what: format!(
                    "the processes of {}",
                    counted(self.out_of_sight, "connection")
                ),
                why: "they may be outside this pid namespace".into(),
                remedy: Some("run in the pid namespace of the host".into()),
            });
        }
        Ok(Joined {
            namespaces: self.namespaces.known,
            unreached: self.namespaces.unknown,
            coverage: self.coverage,
        })
    }

    /// A socket in a process's descriptor table.
    fn held(&mut self, record: &Record) -> io::Result<()> {
        let cookie = record.cookie().0;
        if self
            .only
            .as_ref()
            .is_some_and(|only| !only.contains(cookie))
        {
            return Ok(());
        }
        if record.kind() == Some(Kind::Mptcp) {
            let parent = self
                .parents
                .entry(record.inode())
                .or_insert_with(|| Parent {
                    settings: (self.target.hz)
                        .map_or(Observed::Unknown(Unseen::NotReported), |hz| {
                            record.settings(hz)
                        }),
                    processes: Vec::new(),
                });
            if let Some(process) = record.process() {
                add_process(&mut parent.processes, process);
            }
            return Ok(());
        }
        let shared = record.may_be_shared()
            || (!self.shared.is_empty() && self.shared.contains_key(&cookie));
        if !shared && !self.seen.insert(cookie) {
            return Ok(());
        }
        let Some(connection) = self.told(record) else {
            return Ok(());
        };
        if !shared {
            return self.show(&connection);
        }
        match self.shared.get_mut(&cookie) {
            Some(kept) => {
                let processes = &mut kept.owner.processes;
                connection
                    .owner
                    .processes
                    .into_iter()
                    .for_each(|p| add_process(processes, p));
            }
            // One that was already shown had no other owner then.
            None if !self.seen.insert(cookie) => {}
            None => {
                self.shared.insert(cookie, connection);
            }
        }
        Ok(())
    }

    /// What a record tells. Iterators are not chosen without a tick rate.
    fn told(&self, record: &Record) -> Option<Connection> {
        record.connection(self.target.hz?)
    }

    /// A socket that the `tcp` iterator showed: its owner, if it has one, shows it too.
    fn walked(&mut self, netns: NetnsId, record: &Record) -> io::Result<()> {
        let Some(connection) = self.told(record) else {
            return Ok(());
        };
        let cookie = connection.id.cookie.0;
        let given_up = self.only.as_ref().is_some_and(|only| only.contains(cookie));
        if connection.inode != 0 && !connection.mptcp && !given_up {
            self.await_owner(netns, cookie);
            return Ok(());
        }
        self.unowned(connection)
    }

    fn await_owner(&mut self, netns: NetnsId, cookie: u64) {
        if !self.seen.contains(cookie) {
            self.awaited.entry(netns).or_default().insert(cookie);
        }
    }

    /// A socket that no descriptor table showed.
    fn unowned(&mut self, mut connection: Connection) -> io::Result<()> {
        let cookie = connection.id.cookie.0;
        // Requests and TIME-WAIT entries of some kernels have no cookie.
        if cookie != 0 && !self.seen.insert(cookie) {
            return Ok(());
        }
        if connection.mptcp && connection.inode != 0 && matches!(self.filler, Filler::TaskFile) {
            connection.owner.unseen = Some(Unseen::NoProcess);
            self.subflows.push(connection);
            return Ok(());
        }
        if self.is_newer(&connection) {
            self.newer.push(connection);
            return Ok(());
        }
        self.fill_and_show(connection)
    }

    fn fill_and_show(&mut self, mut connection: Connection) -> io::Result<()> {
        self.fill(&mut connection);
        let ownerless = connection.owner.unseen == Some(Unseen::NoProcess);
        if ownerless && connection.inode != 0 && connection.state.has_peer() {
            self.out_of_sight += 1;
        }
        self.show(&connection)
    }

    /// Whether a program made the socket after its process was looked into: every process was, and
    /// none holds it. Some are the kernel's own.
    fn is_newer(&self, connection: &Connection) -> bool {
        self.filler.owners().is_some_and(|owners| {
            connection.inode != 0
                && owners.gaps().is_empty()
                && owners.processes(connection.inode).next().is_none()
        })
    }

    /// Looks once more for the owners of sockets that are newer than the first walk.
    fn walk_again(&mut self) -> io::Result<()> {
        let newer = std::mem::take(&mut self.newer);
        // /proc was there a moment ago; without it the first walk's answer stands.
        if !newer.is_empty()
            && let Some(owners) = self.filler.owners_mut()
            && let Ok(again) = self.proc.sockets(Wanted::All)
        {
            *owners = again;
        }
        newer
            .into_iter()
            .try_for_each(|connection| self.fill_and_show(connection))
    }

    fn fill(&mut self, connection: &mut Connection) {
        let (owners, borrower) = match &mut self.filler {
            Filler::TaskFile => {
                connection.owner.unseen = Some(Unseen::NoProcess);
                if connection.settings == Observed::Unknown(Unseen::NotReported) {
                    connection.settings = Observed::Unknown(Unseen::NoProcess);
                }
                return;
            }
            Filler::Borrow(owners, borrower) => (&*owners, Some(borrower)),
            Filler::OwnersOnly(owners) => (&*owners, None),
        };
        if connection.inode != 0 {
            connection.owner.processes = owners.processes(connection.inode).collect();
        }
        connection.owner.unseen = match connection.owner.processes[..] {
            [] if connection.inode == 0 || owners.gaps().is_empty() => Some(Unseen::NoProcess),
            [] => Some(Unseen::NotPermitted),
            _ => None,
        };
        let Some(borrower) = borrower else { return };
        if connection.settings != Observed::Unknown(Unseen::NotReported) {
            return;
        }
        if let Some(unseen) = connection.owner.unseen {
            connection.settings = Observed::Unknown(unseen);
        }
        for process in &connection.owner.processes {
            let settings = borrower.settings(*process, connection);
            connection.settings = settings;
            if settings.known().is_some() {
                connection.source = Source::Pidfd;
                break;
            }
        }
    }

    fn show(&mut self, connection: &Connection) -> io::Result<()> {
        let netns = connection.id.netns;
        if !self.selector.namespaces.is_empty() && !self.selector.namespaces.contains(&netns) {
            return Ok(());
        }
        // No connection, and descriptor tables alone show it: only where it is asked for.
        let closed = TcpState::Close;
        if connection.state == closed && !self.selector.states.contains(&closed) {
            return Ok(());
        }
        let namespace = self.namespaces.find(connection, self.proc);
        let assessment = assess_many(connection, namespace, &self.target, &mut self.remembered);
        count(&mut self.coverage, connection, &assessment);
        let pid = connection
            .owner
            .processes
            .first()
            .map(|process| process.pid);
        let place = self.places.place(connection.owner.cgroup, pid);
        if self
            .selector
            .matches(connection, place, assessment.exposure)
        {
            (self.visitor)(&Row {
                connection,
                assessment: &assessment,
                place,
                namespace,
            })?;
        }
        Ok(())
    }
}

fn count(coverage: &mut Coverage, connection: &Connection, assessment: &Assessment) {
    *coverage.sockets.entry(connection.source).or_default() += 1;
    // What a right or another source would have shown is missing also where nothing is judged by it.
    let counts = |why| {
        assessment.exposure == Some(Exposure::Unknown)
            || matches!(why, Unseen::NotReported | Unseen::NotPermitted)
    };
    if let Observed::Unknown(why) = assessment.effective
        && counts(why)
    {
        *coverage.unknown_settings.entry(why).or_default() += 1;
    }
    if let Some(why) = connection.owner.unseen {
        *coverage.unknown_owners.entry(why).or_default() += 1;
    }
}

/// One entry for each process, by pid, with its lowest descriptor.
fn add_process(processes: &mut Vec<Process>, process: Process) {
    match processes.binary_search_by_key(&process.pid, |known| known.pid) {
        Ok(at) => processes[at].fd = processes[at].fd.min(process.fd),
        Err(at) => processes.insert(at, process),
    }
}

/// The namespaces that were read, found again quickly; one that appeared since is read when its first
/// socket shows.
struct Namespaces {
    known: Vec<Namespace>,
    last: usize,
    unknown: Vec<NetnsId>,
}

impl Namespaces {
    fn find(&mut self, connection: &Connection, proc: &Proc) -> Option<&Namespace> {
        let id = connection.id.netns;
        if self
            .known
            .get(self.last)
            .is_none_or(|namespace| namespace.id != id)
        {
            match self.known.iter().position(|namespace| namespace.id == id) {
                Some(at) => self.last = at,
                None => {
                    if self.unknown.contains(&id) {
                        return None;
                    }
                    let pid = connection
                        .owner
                        .processes
                        .first()
                        .map(|process| process.pid);
                    let Some(namespace) = pid.and_then(|pid| read_through(pid, id, proc)) else {
                        self.unknown.push(id);
                        return None;
                    };
                    self.known.push(namespace);
                    self.last = self.known.len() - 1;
                }
            }
        }
        self.known.get(self.last)
    }
}

fn read_through(pid: u32, id: NetnsId, proc: &Proc) -> Option<Namespace> {
    let netns = netns::resolve(proc, &pid.to_string()).ok()?;
    if netns.id != id {
        return None;
    }
    netns.read(proc).ok().map(|reading| reading.namespace)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::sample;

    /// What a walk over /proc that found no process's sockets makes of one of our own.
    fn shown(mut connection: Connection) -> Vec<Connection> {
        let proc = Proc::default();
        let target = Target {
            detect_within: Duration::from_secs(600),
            hz: None,
        };
        connection.owner.processes.clear();
        let mut rows = Vec::new();
        let mut visitor = |row: &Row<'_>| {
            rows.push(row.connection.clone());
            Ok(())
        };
        let selector = Selector::default();
        let filler = Filler::OwnersOnly(OwnerIndex::default());
        let mut join = Join::new(&selector, target, &proc, filler, Vec::new(), &mut visitor);
        let netns = connection.id.netns;
        join.take(Batch::Diag(vec![connection])).unwrap();
        assert_eq!(join.finish().unwrap().unreached, [netns]);
        rows
    }

    #[test]
    fn a_socket_that_is_newer_than_the_walk_is_looked_for_once_more() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let descriptor = format!(
            "/proc/self/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&listener)
        );
        let mut connection = sample::unknown();
        connection.inode = std::fs::metadata(descriptor).unwrap().ino();
        let rows = shown(connection);
        assert_eq!(rows.len(), 1);
        let pids: Vec<u32> = rows[0].owner.processes.iter().map(|p| p.pid).collect();
        assert_eq!(pids, [std::process::id()]);
    }

    #[test]
    fn a_socket_without_an_inode_has_no_owner_to_look_for() {
        let mut connection = sample::unknown();
        connection.inode = 0;
        let rows = shown(connection);
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].owner.unseen, Some(Unseen::NoProcess));
    }
}
