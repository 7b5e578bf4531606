//! Makes TCP connections fail in network namespaces, and holds what the kernel does against what
//! `sockpulse-core` predicted.
//!
//! A [`Topology`] is a client, a router and a server: network namespaces that threads of this
//! process hold, joined by cables. Real sockets talk through them, a [`Fault`] breaks something, and
//! the end of the connection is measured.

pub mod capture;
mod connection;
mod error;
mod fault;
mod host;
mod lossy;
mod many;
pub mod packet;
mod prediction;
mod report;
mod rights;
mod run;
pub mod scenario;
mod scene;
mod settings;
mod sys;
pub mod table;
pub mod topology;
mod trial;
mod watch;

pub use capture::Capture;
pub use error::{Error, Result};
pub use fault::{Direction, Fault, Kind, Link, Middlebox, Refusal, Unknown, Unread};
pub use host::Host;
pub use lossy::{Deaths, Hour, lossy_hour};
pub use many::run_many;
pub use prediction::{Expectation, Predicted, Prediction};
pub use report::{EARLY, LATE, Report, Timed, Verdict};
pub use rights::Rights;
pub use run::run;
pub use scenario::{Begin, Case, Expected, Pace, Scenario, Twin};
pub use settings::{Settings, Timeout};
pub use topology::Topology;
pub use trial::Trial;
pub use watch::Ending;
