//! Reads every socket once: chooses the sources, runs the readers side by side, joins what they see.
//!
//! Nothing is collected but what joining needs: the set of cookies seen, and the few sockets that
//! several processes may hold.

mod cookies;
mod failure;
mod join;
mod reading;
mod sources;

use std::io;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use sockpulse_core::{Coverage, Gap, Namespace, Target, Unseen};
use sockpulse_linux::netns::{self, Netns};
use sockpulse_linux::pidfd;
use sockpulse_linux::procfs::{Proc, Wanted};

use crate::coverage::counted;
use crate::error::CommandError;
use crate::machine::Visitor;
use crate::options::{NetnsChoice, SourceChoice, SurveyOptions, Surveyed};
pub(crate) use failure::of_rules;
use join::{Filler, Join, Joined};
use reading::{Batch, Sender, Walk};
pub(crate) use sources::risks_accepted;
use sources::{Rest, Sources};

/// Batches that may wait between the readers and the joining side: about 2 MiB.
const BACKLOG: usize = 16;

/// Reads all sockets that the options select and gives each to the visitor once, in no order.
///
/// # Errors
/// When nothing can be read at all, when a namespace that was named does not exist, or when the
/// visitor fails; what can be read in part is told by the coverage.
pub fn run(options: &SurveyOptions, visitor: &mut Visitor<'_>) -> Result<Surveyed, CommandError> {
    let started = Instant::now();
    let proc = Proc::default();
    let mut start = Start::default();
    let hz = sockpulse_linux::hz();
    let sources = sources::choose(options, hz, &mut start)?;
    let handles = open_namespaces(options, &proc, &mut start)?;
    exist(&options.selector.pids, &proc)?;
    let mut selector = options.selector.clone();
    if !asks_for_all(options) {
        selector.namespaces = handles.iter().map(|handle| handle.id).collect();
    }
    let namespaces = read_defaults(&handles, &proc, &mut start);
    let target = Target {
        detect_within: options.detect_within,
        hz,
    };
    tracing::info!(
        "reading {} by {}",
        counted(
            handles.len().try_into().unwrap_or(u64::MAX),
            "network namespace"
        ),
        sources.describe()
    );
    let filler = filler(&sources, &proc)?;
    let mut join = Join::new(&selector, target, &proc, filler, namespaces, visitor);
    join.coverage.gaps.extend(start.gaps);
    join.coverage.notes.extend(start.notes);
    read_all(&sources, &handles, &mut join).map_err(CommandError::output)?;
    let Joined {
        namespaces,
        mut unreached,
        mut coverage,
    } = join.finish().map_err(CommandError::output)?;
    // Those that were found and could not be entered are gaps already.
    unreached.retain(|id| handles.iter().all(|handle| handle.id != *id));
    tell_unreached(&mut coverage, unreached.len());
    // Those that could not be entered are gaps.
    coverage.namespaces = u64::try_from(namespaces.len()).unwrap_or(u64::MAX);
    tell_unknown_settings(options.source, &mut coverage);
    Ok(Surveyed {
        namespaces,
        coverage,
        elapsed: started.elapsed(),
    })
}

/// What was noticed before the first socket was read.
#[derive(Default)]
struct Start {
    gaps: Vec<Gap>,
    notes: Vec<String>,
}

/// A process that was named must exist: a mistyped number is no empty answer.
///
/// # Errors
/// When it does not.
pub(crate) fn exist(pids: &[u32], proc: &Proc) -> Result<(), CommandError> {
    for &pid in pids {
        match proc.comm(pid) {
            Err(error) if error.is_gone() => Err(sockpulse_linux::Error::NoSuchProcess { pid })?,
            // One that may not be looked at exists.
            _ => {}
        }
    }
    Ok(())
}

fn asks_for_all(options: &SurveyOptions) -> bool {
    options.netns.is_empty() || options.netns.contains(&NetnsChoice::All)
}

fn open_namespaces(
    options: &SurveyOptions,
    proc: &Proc,
    start: &mut Start,
) -> Result<Vec<Netns>, CommandError> {
    if asks_for_all(options) {
        let found = netns::enumerate(proc)?;
        start.gaps.extend(found.gaps);
        start.notes.extend(found.notes);
        return Ok(found.namespaces);
    }
    let mut handles: Vec<Netns> = Vec::new();
    for choice in &options.netns {
        let handle = match choice {
            NetnsChoice::All => continue,
            NetnsChoice::Own => netns::own(proc),
            NetnsChoice::Named(name) => netns::resolve(proc, name),
        }?;
        if handles.iter().all(|known| known.id != handle.id) {
            handles.push(handle);
        }
    }
    Ok(handles)
}

fn read_defaults(handles: &[Netns], proc: &Proc, start: &mut Start) -> Vec<Namespace> {
    let mut namespaces = Vec::with_capacity(handles.len());
    for handle in handles {
        // One that cannot be entered is told when its sockets are asked for.
        if let Ok(reading) = handle.read(proc) {
            namespaces.push(reading.namespace);
            start.gaps.extend(reading.gaps);
        }
    }
    namespaces
}

fn filler(sources: &Sources, proc: &Proc) -> Result<Filler, CommandError> {
    Ok(match sources {
        Sources::Bpf { .. } => Filler::TaskFile,
        Sources::Borrow => {
            Filler::Borrow(proc.sockets(Wanted::All)?, Box::new(pidfd::Borrower::new()))
        }
        Sources::SockDiag => Filler::OwnersOnly(proc.sockets(Wanted::All)?),
    })
}

fn read_all(sources: &Sources, handles: &[Netns], join: &mut Join<'_, '_>) -> io::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let Sources::Bpf { task_file, rest } = sources else {
        let walks: Vec<_> = handles.iter().map(|handle| (handle, Walk::All)).collect();
        return side_by_side(join, &[&|to| reading::namespaces(&walks, threads, to)]);
    };
    let walks: Vec<_> = handles
        .iter()
        .map(|handle| match rest {
            Rest::SockDiag => (handle, Walk::Unowned),
            Rest::IterTcp(iterator) => (handle, Walk::IterTcp(iterator)),
        })
        .collect();
    // task_file keeps one processor busy; the namespaces' walks share the others.
    let others = threads.saturating_sub(1).max(1);
    let processes = |to: &Sender| drop(reading::task_file(task_file, to));
    side_by_side(
        join,
        &[&processes, &|to| reading::namespaces(&walks, others, to)],
    )?;

    // Sockets that changed hands meanwhile, and those that only processes out of sight hold.
    let missing = join.missing();
    if missing.is_empty() {
        return Ok(());
    }
    tracing::info!("once more for sockets that changed hands, or that no visible process has open");
    let mut wanted = cookies::CookieSet::default();
    for cookies in missing.values() {
        wanted.add(cookies);
    }
    join.only(wanted);
    side_by_side(join, &[&processes])?;
    let walks: Vec<_> = handles
        .iter()
        .filter_map(|handle| {
            let cookies = missing.get(&handle.id)?;
            Some(match rest {
                Rest::SockDiag => (handle, Walk::Only(cookies)),
                Rest::IterTcp(iterator) => (handle, Walk::IterTcp(iterator)),
            })
        })
        .collect();
    side_by_side(join, &[&|to| reading::namespaces(&walks, others, to)])
}

/// Runs the readers on threads and joins here, until all have ended.
fn side_by_side(join: &mut Join<'_, '_>, readers: &[&(dyn Fn(&Sender) + Sync)]) -> io::Result<()> {
    let (to, from) = sync_channel::<Batch>(BACKLOG);
    std::thread::scope(|scope| {
        for reader in readers {
            let to = to.clone();
            scope.spawn(move || reader(&to));
        }
        drop(to);
        // Leaving early drops the receiver, and the readers end at their next batch.
        from.into_iter().try_for_each(|batch| join.take(batch))
    })
}

/// A namespace without a process and a mount cannot be entered: what no process holds in it, and its
/// defaults, are not seen.
fn tell_unreached(coverage: &mut Coverage, namespaces: usize) {
    if namespaces == 0 {
        return;
    }
    let namespaces = u64::try_from(namespaces).unwrap_or(u64::MAX);
    coverage.gaps.push(Gap {
        what: format!("the inside of {}", counted(namespaces, "network namespace")),
        why: "only a descriptor or a socket holds it: no process is in it, nothing is mounted"
            .into(),
        remedy: None,
    });
}

/// Settings that a right would have shown make the reading partial; sockets without a process do not.
fn tell_unknown_settings(source: SourceChoice, coverage: &mut Coverage) {
    for (why, sockets) in &coverage.unknown_settings {
        let remedy = match (why, source) {
            (Unseen::NotReported, _) => "leave --source out, or choose one that reads settings",
            (Unseen::NotPermitted, SourceChoice::Auto) => {
                "run as root where BPF works: `sockpulse doctor` says what is missing"
            }
            (Unseen::NotPermitted, _) => {
                "leave --source out: BPF reads the sockets of every process"
            }
            (Unseen::NoDefaults, _) => "run as root, or grant CAP_SYS_ADMIN",
            _ => continue,
        };
        coverage.gaps.push(Gap {
            what: format!("the settings of {}", counted(*sockets, "socket")),
            why: why.why().into(),
            remedy: Some(remedy.into()),
        });
    }
}
