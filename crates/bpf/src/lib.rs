//! BPF iterators that read every TCP socket of a machine, with all settings and timers.
//!
//! [`TaskFile`] walks the descriptors of all processes and so sees every network namespace at once,
//! with the process that holds each socket; what no process holds (orphans, TIME-WAIT, connections
//! not accepted yet) it cannot see. [`IterTcp`] walks the sockets of one namespace and knows nothing
//! of processes. Both write the same [`Record`], read in bulk by a [`Reader`]. [`SetTcp`] walks as
//! [`IterTcp`] does, and sets the sockets that it has an [`Order`] for.
//!
//! [`protect`] gives connections to come the settings of their rule, by programs that stay in the kernel.
//! [`watch`] tells what happens to connections, by programs that stay as long as the reader does.
//!
//! [`glance`] looks at single connections again and again, by their ends, and tells how they end.
//!
//! Loading needs `CAP_BPF` and `CAP_PERFMON` and a kernel with BTF; [`support::facilities`] tells by
//! trying what is possible here. The programs are written in C (src/bpf) and fit themselves to the
//! running kernel when they are loaded.

mod connection;
mod count;
mod error;
pub mod glance;
mod iter_tcp;
mod load;
mod order;
pub mod protect;
mod reader;
mod record;
pub mod risk;
mod set_tcp;
mod shared;
mod skeleton;
pub mod support;
mod sys;
mod task_file;
pub mod watch;

pub use count::Counting;
pub use error::{Error, Result};
pub use iter_tcp::IterTcp;
pub use order::{Order, Verdict};
pub use reader::{Reader, records};
pub use record::{Kind, Record};
pub use risk::RiskAccepted;
pub use set_tcp::{SetTcp, Walk};
pub use task_file::TaskFile;
