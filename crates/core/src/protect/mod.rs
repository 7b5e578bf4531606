//! Keepalive for programs that did not ask: what is to be set on which socket, and what not.
//!
//! A [`Rule`] says which connections are meant and what they are to have. [`decide`] holds it against
//! one open socket and answers with a [`Step`], or with why there is none; [`Pace`] spreads the steps
//! so that the probes that follow are no storm; [`Tally`] says what they change for a peer that dies.
//! For connections to come, [`Table`] turns the rules into what the kernel reads, and is the
//! matcher's twin in Rust.

mod asked;
mod decide;
mod effect;
mod jitter;
mod pace;
mod room;
mod step;
pub mod table;
#[cfg(test)]
mod tests;
mod verdict;

pub use asked::{Asked, Mode, Rule};
pub use decide::{Asker, Terms, decide};
pub use effect::{Effect, Span, Tally};
pub use jitter::{Jitter, jittered};
pub use pace::{FirstProbe, Limits, Load, Pace};
pub use room::{Pulse, settle};
pub use step::{Frozen, Step, TakeBack, take_back};
pub use table::{Subject, Table, TableError};
pub use verdict::{Right, Skip, Verdict, Withheld};
