//! Where commands change the machine: the one place through which everything is written, so that
//! tests can put another in its place.

use std::collections::BTreeMap;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use sockpulse_bpf::Order;
use sockpulse_bpf::protect::{self, Accepted, Hook, Installed, Wanted};
use sockpulse_core::change::{Change, NetnsKey, Target, Value, value_of};
use sockpulse_core::persisted::Tree;
use sockpulse_core::protect::{Step, Table};
use sockpulse_core::{Cookie, EffectiveTimers, Gap, Hz, Namespace, NetnsId, Process};
use sockpulse_linux::file::{self, Whose};
use sockpulse_linux::netns::{self, Netns};
use sockpulse_linux::pidfd::Borrower;
use sockpulse_linux::procfs::Proc;
use sockpulse_linux::rearm::NotRearmed;
use sockpulse_linux::set::{Expected, NotSet};
use sockpulse_linux::{Error, Operation, sysctl};

use crate::error::{CommandError, ErrorKind};
use crate::options::{NetnsChoice, SurveyOptions};
pub use crate::protect::rule::KernelRule;
pub use crate::protect::rules::Rules;
use crate::survey::of_rules;
use crate::walk::{Pacer, Walks};

/// A namespace with its defaults, and how the journal tells it from others.
#[derive(Debug, Clone)]
pub struct Inhabited {
    /// What was read of it.
    pub namespace: Namespace,
    /// Which it is.
    pub key: NetnsKey,
}

/// The namespaces that were asked for.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Those that could be entered, the own one first.
    pub namespaces: Vec<Inhabited>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// Where the kernel's rules for connections to come are.
#[derive(Debug, Clone)]
pub struct Hooks {
    /// The folder of a bpffs in which programs, maps and links are kept.
    pub pins: PathBuf,
    /// The cgroup to which they are attached; `None` means the root of the hierarchy.
    pub cgroup: Option<PathBuf>,
}

/// The kernel's rules for connections to come, as they are in force.
#[derive(Debug, Clone, Default)]
pub struct InForce {
    /// The first that matches decides.
    pub rules: Vec<RuleInForce>,
    /// Who decides over accepted connections.
    pub accepted: Accepted,
    /// The hooks that are attached.
    pub hooks: Vec<&'static str>,
    /// Those that ought to be and are not.
    pub missing: Vec<&'static str>,
    /// Why it cannot be told which rules are in force, though some are.
    pub unread: Option<String>,
}

/// A rule in force, and what it did.
#[derive(Debug, Clone, Default)]
pub struct RuleInForce {
    /// What its installer wrote about it.
    pub text: String,
    /// Sockets of which something was set.
    pub set: u64,
    /// Those that were right already.
    pub right: u64,
    /// Those of which the kernel refused an option.
    pub refused: u64,
    /// Those that were left out, with both ends in one namespace.
    pub local: u64,
    /// Calls of setsockopt(2) whose value was replaced.
    pub held: u64,
}

/// What commands change, and what they look at to plan it.
pub trait ChangeSink {
    /// Seconds since 1970.
    fn clock(&self) -> u64;

    /// Finds namespaces and reads their defaults. None named means all.
    ///
    /// # Errors
    /// When one that was named does not exist, or nothing can be read at all.
    fn namespaces(&mut self, wanted: &[NetnsChoice]) -> Result<Found, CommandError>;

    /// The files that set sysctls at boot.
    fn tree(&self) -> Tree;

    /// The kernel's tick rate, which decides what times it takes.
    fn hz(&self) -> Option<Hz>;

    /// What a target has now; `None` where it is gone. Namespaces are known once they were found.
    ///
    /// # Errors
    /// When it is there, or may be there, and cannot be read.
    fn now(&mut self, target: &Target) -> Result<Option<Value>, Error>;

    /// Whether a change could be made, as far as that can be told without making it.
    ///
    /// # Errors
    /// Why not.
    fn check(&mut self, change: &Change) -> Result<(), Error>;

    /// Makes a change.
    ///
    /// # Errors
    /// When the kernel refuses, or a file cannot be replaced: then it is as it was.
    fn make(&mut self, change: &Change) -> Result<(), Error>;

    /// The boot in which the machine runs (`/proc/sys/kernel/random/boot_id`).
    fn boot(&self) -> String;

    /// Makes a step on a socket that a process holds.
    ///
    /// # Errors
    /// Why it was left as it was.
    fn set_socket(
        &mut self,
        process: Process,
        cookie: Cookie,
        expected: &Expected,
        step: &Step,
    ) -> Result<EffectiveTimers, NotSet>;

    /// Whether sockets may be set without their processes, by [`ChangeSink::walk()`].
    ///
    /// # Errors
    /// When a risk is named that is not known.
    fn may_walk(&mut self, options: &SurveyOptions) -> Result<bool, CommandError>;

    /// Carries orders out, numbered from 0, wherever their sockets are; `namespaces` tells how many
    /// there are in each. What the pacer is not told of was not met.
    ///
    /// # Errors
    /// When a walk breaks off: then some may be set that were not told.
    fn walk(
        &mut self,
        orders: &mut dyn ExactSizeIterator<Item = Order>,
        namespaces: &BTreeMap<NetnsId, usize>,
        pacer: &mut dyn Pacer,
    ) -> Result<(), CommandError>;

    /// The rules that are in force for connections to come.
    ///
    /// # Errors
    /// When they cannot be read, or another version's are in force.
    fn rules(&mut self, pins: &Path) -> Result<InForce, CommandError>;

    /// Whether these rules could be put into force, as far as that can be told without doing it.
    ///
    /// # Errors
    /// Why not.
    fn check_rules(&mut self, hooks: &Hooks, rules: &Rules) -> Result<(), CommandError>;

    /// Puts rules into force in the place of those that are; none ends it all.
    ///
    /// # Errors
    /// When the kernel refuses: then what was in force still is.
    fn set_rules(&mut self, hooks: &Hooks, rules: &Rules) -> Result<InForce, CommandError>;

    /// Arms a connection's keepalive timer anew.
    ///
    /// # Errors
    /// Why it was left as it was.
    fn rearm(&mut self, process: Process, cookie: Cookie) -> Result<(), NotRearmed>;
}

/// This machine.
#[derive(Debug)]
pub(crate) struct ThisMachine {
    proc: Proc,
    boot: String,
    handles: Vec<(NetnsKey, Netns)>,
    /// Namespaces that are there and could not be entered.
    closed: Vec<(NetnsId, Error)>,
    /// Whether all that are there were found, as far as is known.
    all_found: bool,
    borrower: Borrower,
    walks: Option<Walks>,
}

/// This machine as it is now.
pub(crate) fn this_machine() -> Box<dyn ChangeSink> {
    let proc = Proc::default();
    let boot = std::fs::read_to_string(proc.root().join("sys/kernel/random/boot_id"));
    Box::new(ThisMachine {
        boot: boot.unwrap_or_default().trim().to_owned(),
        proc,
        handles: Vec::new(),
        closed: Vec::new(),
        all_found: false,
        borrower: Borrower::new(),
        walks: None,
    })
}

impl ThisMachine {
    fn opened(&self, wanted: &[NetnsChoice]) -> Result<(Vec<Netns>, Vec<Gap>), CommandError> {
        if wanted.is_empty() || wanted.contains(&NetnsChoice::All) {
            let found = netns::enumerate(&self.proc)?;
            return Ok((found.namespaces, found.gaps));
        }
        let mut handles: Vec<Netns> = Vec::new();
        for choice in wanted {
            let handle = match choice {
                NetnsChoice::All => continue,
                NetnsChoice::Own => netns::own(&self.proc),
                NetnsChoice::Named(name) => netns::resolve(&self.proc, name),
            }?;
            if handles.iter().all(|known| known.id != handle.id) {
                handles.push(handle);
            }
        }
        Ok((handles, Vec::new()))
    }

    fn inhabited(&self, handle: &Netns) -> Result<(Inhabited, Vec<Gap>), Error> {
        let reading = handle.read(&self.proc)?;
        let key = NetnsKey {
            id: handle.id,
            cookie: handle.cookie()?,
            name: handle.name.clone(),
            host: handle.is_of_process_1(&self.proc)?,
            boot: self.boot.clone(),
        };
        let namespace = reading.namespace;
        Ok((Inhabited { namespace, key }, reading.gaps))
    }

    fn handle(&self, netns: &NetnsKey) -> Option<&Netns> {
        let known = self.handles.iter().find(|(key, _)| key.is(netns));
        known.map(|(_, handle)| handle)
    }

    fn known(&self, netns: &NetnsKey) -> Result<&Netns, Error> {
        self.handle(netns).ok_or_else(|| Error::NoSuchNamespace {
            name: netns.name.clone(),
        })
    }

    /// Why a namespace was not found; `None` if that is because it is gone.
    fn missing(&self, netns: &NetnsKey) -> Option<Error> {
        if netns.boot != self.boot {
            return None;
        }
        let closed = self.closed.iter().find(|(id, _)| *id == netns.id);
        let not_found = || Error::NoSuchNamespace {
            name: netns.name.clone(),
        };
        match closed {
            Some((_, error)) => Some(error.clone()),
            None => (!self.all_found).then(not_found),
        }
    }

    fn with_rules<T>(
        &self,
        hooks: &Hooks,
        rules: &Rules,
        work: impl FnOnce(&Path, &Path, &Wanted<'_>) -> sockpulse_bpf::Result<T>,
    ) -> Result<T, CommandError> {
        let only: Vec<_> = rules.rules.iter().map(|one| one.rule.clone()).collect();
        let texts: Vec<_> = rules.rules.iter().map(|one| one.text.clone()).collect();
        let table = Table::compile(&only)?;
        let cgroup = match &hooks.cgroup {
            Some(cgroup) => cgroup.clone(),
            None => sockpulse_linux::cgroup::root(&self.proc).ok_or_else(no_cgroup)?,
        };
        let hz = sockpulse_linux::hz().ok_or_else(no_hz)?;
        let wanted = Wanted {
            table: &table,
            texts: &texts,
            accepted: rules.accepted,
            hz,
        };
        work(&hooks.pins, &cgroup, &wanted).map_err(of_rules)
    }
}

impl ChangeSink for ThisMachine {
    fn clock(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }

    fn namespaces(&mut self, wanted: &[NetnsChoice]) -> Result<Found, CommandError> {
        let (handles, gaps) = self.opened(wanted)?;
        let mut found = Found {
            namespaces: Vec::new(),
            gaps,
        };
        let all = wanted.is_empty() || wanted.contains(&NetnsChoice::All);
        self.all_found = all && found.gaps.is_empty();
        self.closed.clear();
        for handle in handles {
            match self.inhabited(&handle) {
                Ok((inhabited, gaps)) => {
                    self.handles.retain(|(key, _)| !key.is(&inhabited.key));
                    self.handles.push((inhabited.key.clone(), handle));
                    found.namespaces.push(inhabited);
                    found.gaps.extend(gaps);
                }
                // Of all, what cannot be entered is left out; one that was named is an error.
                Err(error) if all => {
                    found.gaps.push(handle.gap(&error));
                    self.closed.push((handle.id, error));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }

    fn tree(&self) -> Tree {
        sysctl::tree(Path::new("/"))
    }

    fn hz(&self) -> Option<Hz> {
        sockpulse_linux::hz()
    }

    fn now(&mut self, target: &Target) -> Result<Option<Value>, Error> {
        match target {
            Target::Sysctl { netns, sysctl } => {
                let Some(handle) = self.handle(netns) else {
                    return self.missing(netns).map_or(Ok(None), Err);
                };
                let defaults = handle.enter_and(|| sysctl::defaults(&self.proc))??;
                Ok(Some(Value::Number(value_of(*sysctl, &defaults))))
            }
            Target::PersistedFile { path } => text_of(path).map(Some),
            _ => Ok(None),
        }
    }

    fn check(&mut self, change: &Change) -> Result<(), Error> {
        match &change.target {
            Target::Sysctl { netns, sysctl } => self
                .known(netns)?
                .enter_and(|| sysctl::may_set(&self.proc, *sysctl))?,
            Target::PersistedFile { path } => file::may_replace(Path::new(path)),
            _ => Ok(()),
        }
    }

    fn make(&mut self, change: &Change) -> Result<(), Error> {
        match (&change.target, &change.after) {
            (Target::Sysctl { netns, sysctl }, Value::Number(value)) => self
                .known(netns)?
                .enter_and(|| sysctl::set(&self.proc, *sysctl, *value))?,
            (Target::PersistedFile { path }, Value::Text(text)) => {
                make_folder(Path::new(path))?;
                let ours = Whose::Ours { mode: 0o644 };
                file::replace(Path::new(path), text.as_bytes(), ours)
            }
            (Target::PersistedFile { path }, Value::Absent) => file::remove(Path::new(path)),
            _ => Err(Error::Malformed {
                object: "a change that this version does not know".into(),
            }),
        }
    }

    fn boot(&self) -> String {
        self.boot.clone()
    }

    fn set_socket(
        &mut self,
        process: Process,
        cookie: Cookie,
        expected: &Expected,
        step: &Step,
    ) -> Result<EffectiveTimers, NotSet> {
        self.borrower.set(process, cookie, expected, step)
    }

    fn rules(&mut self, pins: &Path) -> Result<InForce, CommandError> {
        use sockpulse_bpf::Error::{Foreign, Torn};
        match protect::load(pins) {
            // They can be ended all the same.
            Err(error @ (Foreign { .. } | Torn { .. })) => Ok(InForce {
                unread: Some(of_rules(error).to_string()),
                ..InForce::default()
            }),
            loaded => Ok(loaded.map_err(of_rules)?.map(in_force).unwrap_or_default()),
        }
    }

    fn check_rules(&mut self, hooks: &Hooks, rules: &Rules) -> Result<(), CommandError> {
        if rules.rules.is_empty() {
            return Ok(());
        }
        self.with_rules(hooks, rules, protect::rehearse)
    }

    fn set_rules(&mut self, hooks: &Hooks, rules: &Rules) -> Result<InForce, CommandError> {
        if rules.rules.is_empty() {
            protect::remove(&hooks.pins).map_err(of_rules)?;
            return Ok(InForce::default());
        }
        self.with_rules(hooks, rules, protect::install)
            .map(in_force)
    }

    fn may_walk(&mut self, options: &SurveyOptions) -> Result<bool, CommandError> {
        self.walks = Walks::find(options, self.hz())?;
        Ok(self.walks.is_some())
    }

    fn walk(
        &mut self,
        orders: &mut dyn ExactSizeIterator<Item = Order>,
        namespaces: &BTreeMap<NetnsId, usize>,
        pacer: &mut dyn Pacer,
    ) -> Result<(), CommandError> {
        match self.walks {
            Some(walks) => walks.walk(&self.proc, orders, namespaces, pacer),
            None => Ok(()),
        }
    }

    fn rearm(&mut self, process: Process, cookie: Cookie) -> Result<(), NotRearmed> {
        self.borrower.rearm(process, cookie)
    }
}

fn in_force(installed: Installed) -> InForce {
    let rules = installed.rules.into_iter().map(|rule| RuleInForce {
        text: rule.text,
        set: rule.counts.set,
        right: rule.counts.right,
        refused: rule.counts.refused,
        local: rule.counts.local,
        held: rule.counts.held,
    });
    let names = |hooks: Vec<Hook>| hooks.into_iter().map(Hook::name).collect();
    InForce {
        rules: rules.collect(),
        accepted: installed.accepted,
        hooks: names(installed.hooks),
        missing: names(installed.missing),
        unread: None,
    }
}

fn no_cgroup() -> CommandError {
    let message = "failed to find a cgroup v2 hierarchy, to which the rules would be attached";
    CommandError::new(ErrorKind::Incomplete, message)
        .hint("mount one: mount -t cgroup2 none /sys/fs/cgroup")
        .hint("set what is open all the same: --existing")
}

fn no_hz() -> CommandError {
    let message = "failed to measure the kernel's tick rate, by which its programs count";
    CommandError::new(ErrorKind::Incomplete, message)
}

/// A file's text. What is no text is none of ours, nor is what a link leads to.
fn text_of(path: &str) -> Result<Value, Error> {
    if std::fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(Error::NotAFile {
            path: path.to_owned(),
            kind: "no regular file",
        });
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Value::Text(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Value::Absent),
        Err(error) => Err(Error::System {
            operation: Operation::Read,
            object: path.to_owned(),
            errno: Errno::from_io_error(&error).unwrap_or(Errno::ILSEQ),
        }),
    }
}

/// A folder of sysctl files may be missing on a small system.
fn make_folder(file: &Path) -> Result<(), Error> {
    let Some(folder) = file.parent() else {
        return Ok(());
    };
    let mut folders = DirBuilder::new();
    let made = folders.recursive(true).mode(0o755).create(folder);
    made.map_err(|error| Error::System {
        operation: Operation::Write,
        object: folder.to_string_lossy().into_owned(),
        errno: Errno::from_io_error(&error).unwrap_or(Errno::IO),
    })
}
