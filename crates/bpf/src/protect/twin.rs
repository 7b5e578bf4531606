//! The programs' own answers to what core decides too, attached to nothing: what the tests hold one
//! against the other by.

use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};

use sockpulse_core::protect::{Step, Subject, Table};
use sockpulse_core::{
    End, Hz, KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, Setting, SocketTimers, UserTimeout,
};
use zerocopy::native_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::hook::Hook;
use super::layout;
use super::object::{Choice, NAME, Object, Questions, file};
use super::{install, sys};
use crate::error::{Error, Operation, Result};

const INSTALLATION: u64 = 1;

/// The programs with a table.
#[derive(Debug)]
pub struct Answers {
    matcher: OwnedFd,
    planner: OwnedFd,
    rules: Vec<layout::Rule>,
}

/// What the planner says of a socket that has just been made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Planned {
    /// Nothing is to be set.
    Right,
    /// This is.
    Step(Step),
    /// Nothing must be: defaults would end healthy connections.
    Refused,
}

impl Answers {
    /// Loads the programs with a table of their own.
    ///
    /// # Errors
    /// As for [`install`](super::install()), without files.
    pub fn load(table: &Table, hz: Hz) -> Result<Self> {
        let write = |error| Error::of_hook(Operation::Write, NAME, error);
        let turn = sys::create_array(c"sockpulse_turn", 8).map_err(write)?;
        let choice = Choice {
            hooks: &[],
            questions: Questions::Yes,
            kept: Vec::new(),
        };
        let object = Object::load(turn.as_fd(), INSTALLATION, hz, &choice)?;
        let bytes = super::to_match(table)?;
        install::put_table(object.file(file::TABLES), &bytes)?;
        sys::write(turn.as_fd(), &INSTALLATION.to_ne_bytes()).map_err(write)?;
        let rules = layout::Table::ref_from_bytes(&bytes)
            .map(|table| table.rule.to_vec())
            .unwrap_or_default();
        let keep = |name| object.file(name).try_clone_to_owned().map_err(write);
        Ok(Self {
            matcher: keep(file::MATCH)?,
            planner: keep(file::PLAN)?,
            rules,
        })
    }

    /// What [`Table::first_match`] says too.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn first_match(&self, subject: &Subject<'_>) -> Result<Option<usize>> {
        let mut question = Question::of(subject);
        run(&self.matcher, question.as_mut_bytes())?;
        Ok(usize::try_from(question.answer.get()).ok())
    }

    /// What [`decide`](sockpulse_core::protect::decide) says too, of a connection that has never been
    /// silent, without jitter.
    ///
    /// # Errors
    /// [`Error::Bpf`].
    pub fn step(
        &self,
        rule: usize,
        timers: &SocketTimers,
        defaults: &NetnsDefaults,
    ) -> Result<Planned> {
        let mut question = PlanQuestion::of(self.rules[rule], timers, defaults);
        run(&self.planner, question.as_mut_bytes())?;
        Ok(match question.answer.get() {
            0 => Planned::Right,
            1 => Planned::Step(question.step()),
            _ => Planned::Refused,
        })
    }
}

/// Whether the kernel takes the programs of these hooks.
pub(super) fn try_hooks(hooks: &[Hook]) -> Result<()> {
    let choice = Choice {
        hooks,
        questions: Questions::No,
        kept: Vec::new(),
    };
    let turn = sys::create_array(c"sockpulse_turn", 8)
        .map_err(|error| Error::of_hook(Operation::Create, NAME, error))?;
    // The rate is reckoned with only when a program runs.
    let hz = Hz::new(100).expect("kernels have it");
    Object::load(turn.as_fd(), INSTALLATION, hz, &choice).map(drop)
}

fn run(program: &OwnedFd, question: &mut [u8]) -> Result<()> {
    let answered = sys::run(program.as_fd(), question);
    let failed = |error| Error::of_hook(Operation::Run, NAME, error);
    match answered.map_err(failed)? {
        0 => Ok(()),
        _ => Err(failed(std::io::Error::other("the program gave no answer"))),
    }
}

/// `struct end`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Address {
    addr: [u8; 16],
    port: U16,
    v4: U16,
    reserved: U32,
}

/// `struct question`, which begins with a `struct subject`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Question {
    comm: [u8; 16],
    pid: U32,
    netns: U32,
    cgroup: U64,
    node: U64,
    local: Address,
    remote: Address,
    flags: U32,
    reserved: U32,
    path_len: U32,
    answer: I32,
    path: [u8; 1024],
}

/// `enum subject_flag`.
mod flag {
    pub(super) const PROGRAM: u32 = 1 << 0;
    pub(super) const LOCAL: u32 = 1 << 1;
    pub(super) const REMOTE: u32 = 1 << 2;
}

/// `struct plan_question`.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct PlanQuestion {
    rule: layout::Rule,
    held: [U32; 5],
    defaults: [I32; 3],
    keepalive: I32,
    idle: I32,
    interval: I32,
    probes: I32,
    user_timeout: I32,
    answer: I32,
}

const _: () = {
    use std::mem::offset_of;
    assert!(offset_of!(Question, local) == 40);
    assert!(offset_of!(Question, flags) == 88);
    assert!(offset_of!(Question, path) == 104);
    assert!(offset_of!(PlanQuestion, keepalive) == 48);
    assert!(size_of::<PlanQuestion>() == 72);
};

impl Question {
    fn of(subject: &Subject<'_>) -> Self {
        let mut question = Self::new_zeroed();
        let mut flags = flag::PROGRAM;
        for (to, from) in question.comm.iter_mut().zip(subject.comm.bytes()) {
            *to = *from;
        }
        question.pid.set(subject.pid);
        question.netns.set(subject.netns.0);
        if let Some(end) = &subject.local {
            flags |= flag::LOCAL;
            question.local = Address::of(end);
        }
        if let Some(end) = &subject.remote {
            flags |= flag::REMOTE;
            question.remote = Address::of(end);
        }
        question.flags.set(flags);
        // What is too long is not known.
        let path = subject.cgroup.as_bytes();
        if let Some(to) = question.path.get_mut(..path.len()) {
            to.copy_from_slice(path);
            question
                .path_len
                .set(u32::try_from(path.len()).unwrap_or(0));
        }
        question
    }
}

impl Address {
    fn of(end: &End) -> Self {
        let addr = match end.addr.to_canonical() {
            IpAddr::V4(addr) => addr.to_ipv6_mapped(),
            IpAddr::V6(addr) => addr,
        };
        Self {
            addr: addr.octets(),
            port: end.port.into(),
            v4: u16::from(addr.to_ipv4_mapped().is_some()).into(),
            reserved: U32::new(0),
        }
    }
}

impl PlanQuestion {
    fn of(rule: layout::Rule, timers: &SocketTimers, defaults: &NetnsDefaults) -> Self {
        let own = |setting| match setting {
            Setting::Namespace => 0,
            Setting::Socket(value) | Setting::Either(value) => value,
        };
        let default = |value| I32::new(i32::try_from(value).unwrap_or(i32::MAX));
        let mut question = Self::new_zeroed();
        question.rule = rule;
        question.held = [
            u32::from(timers.keepalive),
            own(timers.idle),
            own(timers.interval),
            own(timers.probes),
            timers.user_timeout.get(),
        ]
        .map(U32::new);
        question.defaults = [
            default(defaults.idle_s),
            default(defaults.interval_s),
            default(defaults.probes),
        ];
        question
    }

    fn step(&self) -> Step {
        let set = |value: I32| u64::try_from(value.get()).ok();
        Step {
            keepalive: set(self.keepalive).map(|on| on != 0),
            idle: set(self.idle).and_then(|value| KeepIdle::new(value).ok()),
            interval: set(self.interval).and_then(|value| KeepIntvl::new(value).ok()),
            probes: set(self.probes).and_then(|value| KeepCnt::new(value).ok()),
            user_timeout: set(self.user_timeout).and_then(|value| UserTimeout::new(value).ok()),
        }
    }
}
