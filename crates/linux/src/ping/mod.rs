//! Asking peers whether they live: by a probe of our own, sent past the socket, and by the kernel's.
//!
//! A [`Sender`] sends the segments that `sockpulse_core::ping` builds; what they do is seen by looking at
//! the connection, not here. An [`Ear`] hears what routers say of them. An [`Asker`] does without either,
//! through options of the socket.

pub use heard::{Ear, Heard};
pub use info::glance;
pub use option::{Asked, Asker, NotAsked, Pinned};
pub use sender::{Sender, Sent};

mod guard;
mod heard;
mod info;
mod option;
mod saved;
mod sender;
mod sys;
