//! The programs that read sockets, on real ones. Tests named `root_…` need `CAP_BPF`, `CAP_PERFMON` and
//! `CAP_SYS_ADMIN`; each makes a network namespace of its own and leaves nothing behind.

#[cfg(test)]
mod common;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod entries;
#[cfg(test)]
mod glances;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod setting;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod wire;
