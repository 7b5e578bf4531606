//! Sockets set where they are, by a walk through the kernel's own table of them: without a right on
//! the processes that hold them, and without any. Only where the kernel's iterator may be used.

use std::collections::BTreeMap;

use rustix::io::Errno;
use sockpulse_bpf::{Order, RiskAccepted, SetTcp, Verdict};
use sockpulse_core::{Hz, NetnsId, Unseen};
use sockpulse_linux::netns::{self, Netns};
use sockpulse_linux::procfs::Proc;
use sockpulse_linux::set::NotSet;
use sockpulse_linux::{Error, Operation};

use crate::error::CommandError;
use crate::options::{SourceChoice, SurveyOptions};
use crate::survey::risks_accepted;

/// Who says how fast a walk goes, and is told what came of it.
pub trait Pacer {
    /// Waits until more may be set, and tells how many; one at least.
    fn turn(&mut self) -> usize;

    /// What became of the order of this number.
    fn told(&mut self, number: usize, result: Result<(), NotSet>);
}

/// What a walk needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walks {
    accepted: RiskAccepted,
    hz: Hz,
}

impl Walks {
    /// `None` where sockets are to be reached through their processes: the kernel's fault is not
    /// accepted, a right or the kernel's support is missing, or another reader was asked for.
    ///
    /// # Errors
    /// When a risk is named that is not known.
    pub(crate) fn find(
        options: &SurveyOptions,
        hz: Option<Hz>,
    ) -> Result<Option<Self>, CommandError> {
        let accepted = risks_accepted(&options.accepted_risks)?;
        let by_iterator = matches!(options.source, SourceChoice::Auto | SourceChoice::IterTcp);
        let Some(hz) = hz.filter(|_| by_iterator) else {
            return Ok(None);
        };
        Ok(match SetTcp::load(accepted, hz, [].into_iter()) {
            Ok(_) => Some(Self { accepted, hz }),
            Err(error) => {
                tracing::info!("sockets are set one by one: failed to {error}");
                None
            }
        })
    }

    /// Carries orders out in these namespaces, of which it is known how many there are in each. What
    /// is not told to the pacer was not met: it was closed, or its namespace cannot be entered.
    ///
    /// # Errors
    /// When a walk breaks off: then some may be set that were not told.
    pub(crate) fn walk(
        self,
        proc: &Proc,
        orders: &mut dyn ExactSizeIterator<Item = Order>,
        namespaces: &BTreeMap<NetnsId, usize>,
        pacer: &mut dyn Pacer,
    ) -> Result<(), CommandError> {
        let set = match SetTcp::load(self.accepted, self.hz, orders) {
            Ok(set) => set,
            Err(error) => {
                tracing::info!("sockets are set one by one: failed to {error}");
                return Ok(());
            }
        };
        for netns in handles(proc, namespaces) {
            let orders = namespaces.get(&netns.id).copied().unwrap_or(0);
            one_namespace(&set, &netns, orders, pacer)?;
        }
        Ok(())
    }
}

/// The namespaces that are found; to enter them is another thing.
fn handles(proc: &Proc, wanted: &BTreeMap<NetnsId, usize>) -> Vec<Netns> {
    match netns::enumerate(proc) {
        Ok(found) => {
            let mut handles = found.namespaces;
            handles.retain(|handle| wanted.contains_key(&handle.id));
            handles
        }
        Err(error) => {
            tracing::info!("failed to find network namespaces: {error}");
            netns::own(proc).into_iter().collect()
        }
    }
}

fn one_namespace(
    set: &SetTcp,
    netns: &Netns,
    mut orders: usize,
    pacer: &mut dyn Pacer,
) -> Result<(), CommandError> {
    let mut walk = match netns.enter_and(|| set.open()) {
        Ok(walk) => walk?,
        Err(error) => {
            tracing::info!("failed to {error}");
            return Ok(());
        }
    };
    // The rest of the walk would only pass by other sockets.
    while orders > 0 {
        let answers = walk.advance(pacer.turn())?;
        if answers.is_empty() {
            break;
        }
        orders = orders.saturating_sub(answers.len());
        for (number, verdict) in answers {
            pacer.told(number, result(verdict));
        }
    }
    Ok(())
}

fn result(verdict: Verdict) -> Result<(), NotSet> {
    let refused = |errno| Error::System {
        operation: Operation::SetOption,
        object: "a keepalive option".into(),
        errno: Errno::from_raw_os_error(errno),
    };
    Err(match verdict {
        Verdict::Set => return Ok(()),
        Verdict::Changed => NotSet::Changed,
        Verdict::Probing => NotSet::Probing,
        Verdict::Silent => NotSet::Silent,
        Verdict::Subflow => NotSet::Unreached(Unseen::NotReported),
        Verdict::Failed(errno) => NotSet::Failed(refused(errno)),
        Verdict::HalfMade(errno) => NotSet::HalfMade(refused(errno)),
    })
}
