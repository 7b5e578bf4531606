//! Asking whether the peer of a connection is alive.
//!
//! A [`Glance`] is what a look at the connection tells. [`segment()`] builds from it the very segment
//! that the kernel sends as a keepalive probe, and an [`Inquiry`] says when to send it, when to look
//! again and what the looks prove. Nothing here sends or reads a clock.

pub use answer::{Answer, Gone, Unreachable, Verdict, Why};
pub use glance::{Glance, Timestamps};
pub use inquiry::{Inquiry, Seen, Step};
pub use patience::{Method, Patience};
pub use room::Room;
pub use segment::{Segment, Unprobeable, segment};

mod answer;
mod glance;
mod inquiry;
mod patience;
mod room;
mod segment;

#[cfg(test)]
mod sample;
