//! Asking peers whether they live: by a probe of our own, sent past the socket, and by the kernel's.
//!
//! A [`Sender`] sends the segments that `sockpulse_core::ping` builds; what they do is seen by looking at
//! the connection, not here. An [`Ear`] hears what routers say of them.

pub use heard::{Ear, Heard};
pub use info::glance;
pub use sender::{Sender, Sent};

mod heard;
mod info;
mod sender;
mod sys;
