//! What sockpulse knows of TCP keepalive, and nothing of how to read it from a machine.
//!
//! The crate is pure: no clock, no files, no sockets, no threads. Time comes in as an argument or a
//! field. It holds the settings and their ranges, resolves what a socket inherits, says when a
//! dead peer will be noticed, classifies connections into exposures and judges them by findings
//! with stable codes.

#![no_std]

extern crate alloc;

pub mod assess;
pub mod audit;
pub mod change;
pub mod connection;
pub mod coverage;
pub mod detection;
pub mod duration;
pub mod event;
pub mod finding;
pub mod glob;
pub mod machine;
pub mod namespace;
pub mod number;
pub mod paths;
pub mod persisted;
pub mod ping;
pub mod place;
pub mod plan;
pub mod protect;
pub mod selector;
pub mod settings;
mod waits;
pub mod wheel;

#[cfg(test)]
mod sample;

pub use assess::{Assessment, Exposure, Target, assess, assess_many, is_fragile};
pub use audit::{Audit, ProgramTally, Report};
pub use connection::{
    CgroupId, Comm, Connection, Cookie, End, Family, NetnsId, Observed, Owner, Process, SocketId,
    Source, TcpState, Timer, TimerKind, Timers, Unseen,
};
pub use coverage::{Coverage, Gap};
pub use detection::{Backoff, Detection, Noticed, Remembered};
pub use duration::{human, parse_duration};
pub use finding::{Code, CodeSet, Entrance, Finding};
pub use machine::KeepaliveMachine;
pub use namespace::{LocalRoutes, Namespace, NetnsDefaults};
pub use number::grouped;
pub use place::Place;
pub use plan::Settings;
pub use selector::Selector;
pub use settings::{
    Effective, EffectiveTimers, KeepCnt, KeepIdle, KeepIntvl, Origin, Setting, SocketTimers,
    UserTimeout, UserTimeoutChoice,
};
pub use wheel::Hz;
