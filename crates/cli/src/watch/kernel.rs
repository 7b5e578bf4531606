//! Events as the kernel tells them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use sockpulse_bpf::Error;
use sockpulse_bpf::watch::{self, Happening, Kinds, Known, Wanted, Watcher, What};
use sockpulse_core::event::{
    Cause, Changed, Death, Ending, Event, Item, Kind, Name, Opener, Program, Source,
};
use sockpulse_core::machine::SocketOption;
use sockpulse_core::protect::{Asked, Mode, Rule, Table};
use sockpulse_core::{Gap, NetnsId, Observed, Selector, TcpState, UserTimeout};
use sockpulse_linux::cgroup::{self, Places};
use sockpulse_linux::{Proc, netns};

use super::source::{EventOptions, EventSource, More, Occurrence};
use crate::error::{CommandError, ErrorKind};
use crate::options::NetnsChoice;
use crate::survey;

/// The kernel, told what is wanted.
struct Kernel {
    watcher: Watcher,
    gaps: Vec<Gap>,
    wanted: Vec<Name>,
    /// Empty means all.
    namespaces: Vec<NetnsId>,
    places: Places,
    happened: Vec<Happening>,
}

/// Attaches to the kernel: from now on nothing is missed but what is counted as lost.
///
/// # Errors
/// When this kernel or these privileges do not allow it.
pub(crate) fn attach(options: &EventOptions) -> Result<Box<dyn EventSource>, CommandError> {
    let proc = Proc::default();
    let hz = sockpulse_linux::hz().ok_or_else(|| {
        let message = "failed to measure the kernel's tick rate, by which its times count";
        CommandError::new(ErrorKind::Incomplete, message).hint("use --method scan")
    })?;
    survey::exist(&options.selector.pids, &proc)?;
    let namespaces = resolve(&options.netns, &proc)?;
    let among = among(&Selector {
        namespaces: namespaces.clone(),
        ..options.selector.clone()
    });
    let cgroup = options.cgroup.clone().or_else(|| cgroup::root(&proc));
    let load = |kinds| {
        Watcher::load(&Wanted {
            kinds,
            among: among.as_ref(),
            cgroup: cgroup.as_deref(),
            hz,
        })
    };
    let (watcher, gaps) = load_most(kinds(&options.events), cgroup.is_some(), load)?;
    Ok(Box::new(Kernel {
        watcher,
        gaps,
        wanted: options.events.clone(),
        namespaces,
        places: Places::new(proc),
        happened: Vec::new(),
    }))
}

/// Changes are seen by a program on a cgroup, which may not be allowed, or have no place: without it all
/// else is told.
fn load_most(
    kinds: Kinds,
    has_cgroup: bool,
    load: impl Fn(Kinds) -> sockpulse_bpf::Result<Watcher>,
) -> Result<(Watcher, Vec<Gap>), CommandError> {
    let others = kinds.without(Kinds::CHANGED);
    if !kinds.has(Kinds::CHANGED) {
        return Ok((load(kinds).map_err(refused)?, Vec::new()));
    }
    let gap = |why: String, remedy: &str| Gap {
        what: "changes of settings".into(),
        why,
        remedy: Some(remedy.into()),
    };
    let gap = if has_cgroup {
        match load(kinds) {
            Ok(watcher) => return Ok((watcher, Vec::new())),
            Err(error @ Error::HooksNotPermitted { .. }) if others != Kinds::NONE => gap(
                format!("failed to {error}"),
                "run as root, or grant CAP_NET_ADMIN",
            ),
            Err(error) => return Err(refused(error)),
        }
    } else {
        let why = "they are seen through a cgroup v2 hierarchy, and none is mounted";
        gap(
            why.into(),
            "mount one: mount -t cgroup2 none /sys/fs/cgroup",
        )
    };
    Ok((load(others).map_err(refused)?, vec![gap]))
}

/// Why the kernel does not tell. Other sources of connections, which are offered elsewhere, would be of
/// no help.
fn refused(error: Error) -> CommandError {
    match error {
        Error::NotPermitted { .. } => {
            let message = format!("failed to {error}");
            CommandError::new(ErrorKind::NotPermitted, message)
                .hint("run as root, or grant CAP_BPF and CAP_PERFMON")
        }
        other => other.into(),
    }
}

impl EventSource for Kernel {
    fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    fn next(
        &mut self,
        timeout: Duration,
        told: &mut Vec<Occurrence>,
    ) -> Result<More, CommandError> {
        self.watcher.next(timeout, &mut self.happened)?;
        if self.happened.is_empty() {
            return Ok(More::Comes);
        }
        let clocks = Clocks::now();
        for happening in self.happened.drain(..) {
            let Some(event) = event(happening, clocks) else {
                continue;
            };
            let netns = event.connection.id.netns;
            let is_meant = self.namespaces.is_empty() || self.namespaces.contains(&netns);
            if !is_meant || !event.kind.name().is_in(&self.wanted) {
                continue;
            }
            let pid = event.opener.map(|opener| opener.program().pid);
            let cgroup = event.connection.owner.cgroup;
            let place = self.places.place(cgroup, pid).clone();
            told.push(Occurrence { event, place });
        }
        Ok(More::Comes)
    }

    fn lost(&mut self) -> Result<u64, CommandError> {
        Ok(self.watcher.lost()?)
    }

    fn skipped(&mut self) -> Result<u64, CommandError> {
        Ok(self.watcher.skipped()?)
    }
}

fn resolve(wanted: &[NetnsChoice], proc: &Proc) -> Result<Vec<NetnsId>, CommandError> {
    if wanted.contains(&NetnsChoice::All) {
        return Ok(Vec::new());
    }
    let resolve = |choice: &NetnsChoice| match choice {
        NetnsChoice::Named(name) => netns::resolve(proc, name),
        NetnsChoice::All | NetnsChoice::Own => netns::own(proc),
    };
    let ids = wanted.iter().map(|choice| Ok(resolve(choice)?.id));
    ids.collect()
}

fn kinds(events: &[Name]) -> Kinds {
    let kind = |name: &Name| match name {
        Name::Opened => Kinds::OPENED,
        Name::Probing => Kinds::PROBING,
        Name::Recovered => Kinds::RECOVERED,
        Name::Died => Kinds::DIED,
        Name::Closed => Kinds::CLOSED,
        Name::Changed => Kinds::CHANGED,
        Name::Gone => Kinds::NONE,
    };
    events
        .iter()
        .map(kind)
        .fold(Kinds::NONE, |all, kind| all.with(kind))
}

/// What of the selectors the kernel can hold against a connection; `None` where that is nothing, or
/// too much for it. What it lets through is looked at again.
fn among(selector: &Selector) -> Option<Table> {
    let selector = Selector {
        states: Vec::new(),
        silent_for: None,
        exposures: Vec::new(),
        ..selector.clone()
    };
    if selector.is_empty() {
        return None;
    }
    let rule = Rule {
        name: "watch".into(),
        selector,
        asked: Asked::default(),
        mode: Mode::Fill,
        include_local: true,
    };
    Table::compile(&[rule]).ok()
}

/// Two clocks, read at the same time.
#[derive(Debug, Clone, Copy)]
struct Clocks {
    since_boot: Duration,
    since_1970: Duration,
}

impl Clocks {
    fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        Self {
            since_boot: Duration::try_from(boot).unwrap_or_default(),
            since_1970: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        }
    }

    /// A moment that was counted since the machine started.
    fn since_1970(self, moment: Duration) -> Duration {
        let ago = self.since_boot.saturating_sub(moment);
        self.since_1970.saturating_sub(ago)
    }
}

/// `None` for what a newer version of the programs may tell.
fn event(happening: Happening, clocks: Clocks) -> Option<Event> {
    let opener = happening.program.and_then(opener);
    let mut event = Event {
        at: clocks.since_1970(happening.at),
        kind: kind(&happening)?,
        connection: happening.connection,
        age: happening
            .opened
            .map(|opened| happening.at.saturating_sub(opened)),
        opener,
        source: Source::Bpf,
    };
    if let What::Recovered { silence, .. } = happening.what {
        event.connection.silence_ms = u64::try_from(silence.as_millis()).ok();
    }
    Some(event)
}

fn kind(happening: &Happening) -> Option<Kind> {
    Some(match &happening.what {
        What::Opened(side) => Kind::Opened(*side),
        What::Probing => Kind::Probing,
        What::Recovered { unanswered, .. } => Kind::Recovered {
            unanswered: *unanswered,
        },
        What::Died(ending) => Kind::Died(death(happening, ending)),
        What::Closed => Kind::Closed,
        What::Changed(change) => {
            let (item, value) = item(change.option);
            let by = Some(named(change.by));
            Kind::Changed(Changed { item, value, by })
        }
        _ => return None,
    })
}

fn death(happening: &Happening, ending: &watch::Ending) -> Death {
    let connection = &happening.connection;
    let timers = connection.settings.known();
    let connecting = connection.state == TcpState::SynSent;
    let waiting = connection.unacked_bytes.unwrap_or(0);
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    let cause = Cause::of(&Ending {
        errno: ending.errno,
        state: connection.state,
        orphan: connection.orphan == Observed::Known(true),
        user_timeout: timers.map_or(UserTimeout::OFF, |timers| timers.user_timeout),
        unacked: waiting.saturating_sub(ending.unsent),
        unsent: ending.unsent,
        reset: Some(ending.reset),
        window_probed: ending.window_probed,
        connecting: happening
            .opened
            .filter(|_| connecting)
            .map(|opened| happening.at.saturating_sub(opened)),
    });
    Death {
        cause,
        errno: ending.errno,
        by: ending.by.map(named).filter(|_| cause == Cause::Destroyed),
    }
}

fn item(option: SocketOption) -> (Item, u32) {
    match option {
        SocketOption::KeepaliveOn => (Item::Keepalive, 1),
        SocketOption::KeepaliveOff => (Item::Keepalive, 0),
        SocketOption::Idle(idle) => (Item::Idle, idle.get().into()),
        SocketOption::Interval(interval) => (Item::Interval, interval.get().into()),
        SocketOption::Probes(probes) => (Item::Probes, probes.get().into()),
        SocketOption::UserTimeout(timeout) => (Item::UserTimeout, timeout.get()),
    }
}

fn opener(program: watch::Program) -> Option<Opener> {
    match program.known {
        Known::Connected => Some(Opener::Connected(named(program))),
        Known::Listened => Some(Opener::Listened(named(program))),
        // Who made another call need not be whose connection it is.
        Known::Called => None,
    }
}

const fn named(program: watch::Program) -> Program {
    Program {
        pid: program.pid,
        comm: program.comm,
    }
}
