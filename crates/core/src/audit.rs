//! The machine's connections, counted: what `audit` shows. Constant memory but for one entry per
//! program.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use crate::assess::{Assessment, Exposure, LONG_SILENCE, Target};
use crate::connection::{CgroupId, Comm, Connection, End, NetnsId, TcpState, Unseen};
use crate::finding::{Code, Culprit, Entrance, Finding};
use crate::namespace::{Namespace, NetnsDefaults};
use crate::settings::Origin;

/// Whose connections are counted together: the program's name, the cgroup it was started in, and the
/// network namespace, because that is where a default can be mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProgramKey {
    /// `None` for sockets without a (visible) process.
    pub program: Option<Comm>,
    /// Why there is no program, if there is none.
    pub unseen: Option<Unseen>,
    /// Where its sockets were made.
    pub cgroup: Option<CgroupId>,
    /// The network namespace of its sockets.
    pub netns: NetnsId,
}

impl ProgramKey {
    /// With which connections this one is counted.
    #[must_use]
    pub fn of(connection: &Connection) -> Self {
        let owner = &connection.owner;
        Self {
            program: owner.processes.first().map(|process| process.comm),
            unseen: owner.unseen,
            cgroup: owner.cgroup,
            netns: connection.id.netns,
        }
    }
}

/// One program's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProgramTally {
    exposures: [u64; Exposure::ALL.len()],
    codes: [u64; Code::ALL.len()],
    inheriting: [u64; Code::ALL.len()],
    /// Connections silent for more than an hour, local ones not counted.
    pub silent: u64,
    /// The longest silence, milliseconds, local connections not counted.
    pub longest_silence_ms: u64,
    /// Bytes that its silent connections hold in kernel queues.
    pub queued_by_silent: u64,
    /// Any process of the program.
    pub pid: Option<u32>,
    /// How many processes of the program hold connections.
    pub processes: u64,
    /// The local end with the lowest port: most likely the service's.
    pub end: Option<End>,
}

impl ProgramTally {
    /// How many connections have the exposure.
    #[must_use]
    pub const fn exposed(&self, exposure: Exposure) -> u64 {
        self.exposures[exposure as usize]
    }

    /// How many connections a finding concerns.
    #[must_use]
    pub const fn found(&self, code: Code) -> u64 {
        self.codes[code as usize - 1]
    }

    /// All its connections.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.exposures.iter().sum()
    }

    /// Connections whose end would go unnoticed, be noticed late, or that may be killed alive.
    #[must_use]
    pub const fn endangered(&self) -> u64 {
        self.exposed(Exposure::Unprotected)
            + self.exposed(Exposure::Slow)
            + self.exposed(Exposure::Fragile)
    }

    fn add(&mut self, connection: &Connection, assessment: &Assessment, exposure: Exposure) {
        self.exposures[exposure as usize] += 1;
        let inherits = assessment
            .effective
            .known()
            .is_some_and(|timers| timers.keepalive && timers.idle.origin != Some(Origin::Socket));
        for code in assessment.codes.iter() {
            self.codes[code as usize - 1] += 1;
            self.inheriting[code as usize - 1] += u64::from(inherits);
        }
        self.pid = self
            .pid
            .or(connection.owner.processes.first().map(|p| p.pid));
        let end = connection.id.local;
        if self.end.is_none_or(|lowest| end.port < lowest.port) {
            self.end = Some(end);
        }
        if exposure == Exposure::Local {
            return;
        }
        let silence = connection.silence_ms.unwrap_or(0);
        self.longest_silence_ms = self.longest_silence_ms.max(silence);
        if Duration::from_millis(silence) >= LONG_SILENCE {
            self.silent += 1;
            self.queued_by_silent +=
                connection.unread_bytes.unwrap_or(0) + connection.unacked_bytes.unwrap_or(0);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (sum, n) in self.exposures.iter_mut().zip(other.exposures) {
            *sum += n;
        }
        for (sum, n) in self.codes.iter_mut().zip(other.codes) {
            *sum += n;
        }
        for (sum, n) in self.inheriting.iter_mut().zip(other.inheriting) {
            *sum += n;
        }
        self.processes += other.processes;
        self.silent += other.silent;
        self.longest_silence_ms = self.longest_silence_ms.max(other.longest_silence_ms);
        self.queued_by_silent += other.queued_by_silent;
    }
}

/// Counts connections as they are read.
#[derive(Debug, Clone)]
pub struct Audit {
    target: Target,
    programs: BTreeMap<ProgramKey, ProgramTally>,
    /// A run of sockets mostly belongs to one process: the tally at hand saves the lookup.
    current: Option<(ProgramKey, ProgramTally)>,
    states: [u64; 12],
    off_by_namespace: BTreeMap<NetnsId, u64>,
    /// Every process of every program, and the one whose sockets are being counted.
    processes: BTreeSet<(ProgramKey, u32)>,
    last: Option<(ProgramKey, u32)>,
}

impl Audit {
    /// An empty count.
    #[must_use]
    pub const fn new(target: Target) -> Self {
        Self {
            target,
            programs: BTreeMap::new(),
            current: None,
            states: [0; 12],
            off_by_namespace: BTreeMap::new(),
            processes: BTreeSet::new(),
            last: None,
        }
    }

    /// Counts one socket.
    pub fn add(&mut self, connection: &Connection, assessment: &Assessment) {
        self.states[connection.state as usize] += 1;
        let Some(exposure) = assessment.exposure else {
            return;
        };
        if assessment.codes.contains(Code::KeepaliveOff) {
            *self
                .off_by_namespace
                .entry(connection.id.netns)
                .or_default() += 1;
        }
        let key = ProgramKey::of(connection);
        for process in &connection.owner.processes {
            let holder = Some((key, process.pid));
            if self.last != holder {
                self.last = holder;
                self.processes.extend(holder);
            }
        }
        match &mut self.current {
            Some((current, tally)) if *current == key => {
                tally.add(connection, assessment, exposure);
            }
            _ => {
                self.put_back();
                let mut tally = self.programs.get(&key).copied().unwrap_or_default();
                tally.add(connection, assessment, exposure);
                self.current = Some((key, tally));
            }
        }
    }

    fn put_back(&mut self) {
        if let Some((key, tally)) = self.current.take() {
            self.programs.insert(key, tally);
        }
    }

    /// The result, judged with the namespaces that were read.
    #[must_use]
    pub fn finish(mut self, namespaces: &[Namespace]) -> Report {
        self.put_back();
        for (key, _) in &self.processes {
            if let Some(tally) = self.programs.get_mut(key) {
                tally.processes += 1;
            }
        }
        let mut total = ProgramTally::default();
        for tally in self.programs.values() {
            total.merge(tally);
        }
        let mut programs: Vec<_> = self.programs.into_iter().collect();
        programs.sort_by_key(|(key, tally)| {
            (
                core::cmp::Reverse((
                    tally.exposed(Exposure::Unprotected),
                    tally.endangered(),
                    tally.total(),
                )),
                *key,
            )
        });
        let mut findings = connection_findings(&total, &programs, namespaces, self.target);
        findings.extend(namespace_findings(
            namespaces,
            &self.off_by_namespace,
            self.target,
        ));
        findings.sort_by_key(|finding| (finding.code.severity(), finding.code));
        Report {
            target: self.target,
            total,
            programs,
            states: self.states,
            findings,
        }
    }
}

fn connection_findings(
    total: &ProgramTally,
    programs: &[(ProgramKey, ProgramTally)],
    namespaces: &[Namespace],
    target: Target,
) -> Vec<Finding> {
    let concerned = Code::ALL
        .iter()
        .copied()
        .filter(|code| total.found(*code) > 0);
    concerned
        .map(|code| {
            let inheriting = |tally: &ProgramTally| tally.inheriting[code as usize - 1];
            // A default can be mended only where connections follow it. Of several programs that
            // have as many, the first is worst off otherwise.
            let worst = programs.iter().rev().max_by_key(|(_, tally)| {
                let mendable = if code.follows_default() {
                    inheriting(tally)
                } else {
                    0
                };
                (mendable, tally.found(code))
            });
            Finding {
                code,
                connections: total.found(code),
                inheriting: inheriting(total),
                namespaces: Vec::new(),
                worst: worst.map(|(key, tally)| Culprit {
                    program: key.program,
                    connections: tally.found(code),
                    end: tally.end,
                }),
                entrance: worst
                    .map(|(key, tally)| entrance(namespaces, key.netns, tally.pid))
                    .unwrap_or(Entrance::Unknown),
                detect_within: target.detect_within,
            }
        })
        .collect()
}

/// The way into a namespace: any process in it, or one that holds a socket of it.
fn entrance(namespaces: &[Namespace], id: NetnsId, holder: Option<u32>) -> Entrance {
    let namespace = namespaces.iter().find(|namespace| namespace.id == id);
    match namespace.map_or((false, None), |namespace| (namespace.own, namespace.pid)) {
        (true, _) => Entrance::Here,
        (false, pid) => pid.or(holder).map_or(Entrance::Unknown, Entrance::Process),
    }
}

fn namespace_findings(
    namespaces: &[Namespace],
    off: &BTreeMap<NetnsId, u64>,
    target: Target,
) -> Vec<Finding> {
    let own = namespaces.iter().find(|namespace| namespace.own);
    let finding = |code, ids: Vec<NetnsId>, connections| Finding {
        code,
        connections,
        inheriting: 0,
        entrance: ids
            .first()
            .map_or(Entrance::Here, |id| entrance(namespaces, *id, None)),
        namespaces: ids,
        worst: None,
        detect_within: target.detect_within,
    };
    let with = |test: &dyn Fn(&NetnsDefaults) -> bool| -> Vec<NetnsId> {
        let judged = namespaces
            .iter()
            .filter(|n| n.defaults.as_ref().is_some_and(test));
        judged.map(|namespace| namespace.id).collect()
    };
    let mut findings = Vec::new();
    let zero = with(&|defaults| defaults.probes == 0);
    if !zero.is_empty() {
        findings.push(finding(Code::ZeroProbes, zero, 0));
    }
    let tuned: Vec<_> = with(&|defaults| !defaults.same_keepalive(&NetnsDefaults::KERNEL))
        .into_iter()
        .filter(|id| off.contains_key(id))
        .collect();
    if !tuned.is_empty() {
        let connections = tuned.iter().filter_map(|id| off.get(id)).sum();
        findings.push(finding(Code::SysctlUnused, tuned, connections));
    }
    if let Some(own) = own.and_then(|namespace| namespace.defaults.as_ref()) {
        let other = with(&|defaults| !defaults.same_keepalive(own));
        if !other.is_empty() {
            findings.push(finding(Code::NamespaceDiffers, other, 0));
        }
    }
    findings
}

/// What `audit` shows.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was judged by.
    pub target: Target,
    /// All programs together.
    pub total: ProgramTally,
    /// Each program, worst first.
    pub programs: Vec<(ProgramKey, ProgramTally)>,
    states: [u64; 12],
    /// Findings, most serious first.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many sockets are in the state.
    #[must_use]
    pub const fn in_state(&self, state: TcpState) -> u64 {
        self.states[state as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assess::assess;
    use crate::connection::Observed;
    use crate::sample;
    use crate::settings::Setting;

    const TARGET: Target = Target {
        detect_within: Duration::from_secs(600),
        hz: None,
    };

    fn report(connections: &[Connection]) -> Report {
        let namespaces = [sample::namespace()];
        let mut audit = Audit::new(TARGET);
        for connection in connections {
            audit.add(connection, &assess(connection, namespaces.first(), &TARGET));
        }
        audit.finish(&namespaces)
    }

    #[test]
    fn programs_are_counted_apart_and_the_worst_comes_first() {
        let mut good = sample::connection();
        good.owner.processes[0].comm = Comm::new(b"good");
        let off = sample::off(&sample::connection());
        let report = report(&[good.clone(), off.clone(), good, off.clone(), off]);
        assert_eq!(report.total.total(), 5);
        assert_eq!(report.total.exposed(Exposure::Unprotected), 3);
        let names: Vec<_> = report
            .programs
            .iter()
            .map(|(key, t)| (key.program, t.total()))
            .collect();
        assert_eq!(
            names,
            [
                (Some(Comm::new(b"redis-server")), 3),
                (Some(Comm::new(b"good")), 2)
            ]
        );
        let first = &report.findings[0];
        assert_eq!((first.code, first.connections), (Code::KeepaliveOff, 3));
        assert_eq!(
            first.remedy(),
            "sockpulse protect --program redis-server --idle 2m --interval 20s"
        );
    }

    #[test]
    fn of_programs_with_as_many_the_worse_one_is_named() {
        let mut chatty = sample::connection();
        if let Observed::Known(timers) = &mut chatty.settings {
            timers.idle = Setting::Socket(5);
            timers.interval = Setting::Socket(5);
        }
        let named = |name: &[u8]| {
            let mut connection = chatty.clone();
            connection.owner.processes[0].comm = Comm::new(name);
            connection
        };
        let (worse, better) = (named(b"worse"), named(b"better"));
        let report = report(&[better, worse.clone(), sample::off(&worse)]);
        let found = report.findings.iter().find(|f| f.code == Code::Chatty);
        let worst = found.and_then(|finding| finding.worst.as_ref()).unwrap();
        assert_eq!(worst.program, Some(Comm::new(b"worse")));
    }

    #[test]
    fn a_default_is_mended_where_connections_follow_it() {
        let mut own = sample::connection();
        if let Observed::Known(timers) = &mut own.settings {
            timers.idle = Setting::Socket(7200);
        }
        let mut follows = sample::connection();
        if let Observed::Known(timers) = &mut follows.settings {
            timers.idle = Setting::Namespace;
        }
        follows.id.netns = NetnsId(2);
        follows.owner.processes[0].pid = 99;
        let mut other = sample::namespace();
        other.id = NetnsId(2);
        other.own = false;
        other.pid = Some(99);
        let namespaces = [sample::namespace(), other];
        let mut audit = Audit::new(TARGET);
        for connection in [&own, &own, &follows] {
            let namespace = namespaces.iter().find(|n| n.id == connection.id.netns);
            audit.add(connection, &assess(connection, namespace, &TARGET));
        }
        let report = audit.finish(&namespaces);
        let slow = report
            .findings
            .iter()
            .find(|f| f.code == Code::Slow)
            .unwrap();
        assert_eq!((slow.connections, slow.inheriting), (3, 1));
        assert!(slow.remedy().ends_with(" --netns 99"), "{}", slow.remedy());
    }

    #[test]
    fn processes_are_counted_once() {
        let mut other = sample::connection();
        other.owner.processes[0].pid = 9;
        let one = sample::connection();
        let report = report(&[one.clone(), other.clone(), one.clone(), other]);
        assert_eq!(report.programs.len(), 1);
        assert_eq!(report.programs[0].1.processes, 2);
    }

    #[test]
    fn silence_is_counted_with_what_it_holds() {
        let mut silent = sample::off(&sample::connection());
        silent.silence_ms = Some(3_600_000);
        silent.unacked_bytes = Some(10);
        silent.unread_bytes = Some(5);
        let report = report(&[silent, sample::connection()]);
        assert_eq!(
            (report.total.silent, report.total.queued_by_silent),
            (1, 15)
        );
        assert!(
            report
                .findings
                .iter()
                .any(|finding| finding.code == Code::SilentUnprotected)
        );
    }

    #[test]
    fn namespaces_are_judged_by_the_own_one() {
        let own = sample::namespace();
        let mut other = sample::namespace();
        other.id = NetnsId(2);
        other.own = false;
        other.pid = Some(77);
        other.defaults = Some(NetnsDefaults {
            probes: 0,
            ..NetnsDefaults::KERNEL
        });
        let report = Audit::new(TARGET).finish(&[own, other]);
        let found: Vec<_> = report
            .findings
            .iter()
            .map(|f| (f.code, f.entrance))
            .collect();
        assert_eq!(
            found,
            [
                (Code::ZeroProbes, Entrance::Process(77)),
                (Code::NamespaceDiffers, Entrance::Process(77))
            ]
        );
        assert_eq!(
            report.findings[0].remedy(),
            "sockpulse defaults set --probes 5 --netns 77"
        );
    }

    #[test]
    fn a_tuned_sysctl_with_sockets_that_never_asked_is_told() {
        let mut tuned = sample::namespace();
        tuned.defaults = Some(NetnsDefaults {
            idle_s: 60,
            ..NetnsDefaults::KERNEL
        });
        let off = sample::off(&sample::connection());
        let mut audit = Audit::new(TARGET);
        audit.add(&off, &assess(&off, Some(&tuned), &TARGET));
        let report = audit.finish(&[tuned]);
        assert!(
            report
                .findings
                .iter()
                .any(|f| f.code == Code::SysctlUnused && f.connections == 1)
        );
    }
}
