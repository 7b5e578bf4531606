//! Keepalive for the TCP sockets of one program, put in front of libc by `LD_PRELOAD`; and the
//! variable that says what is wanted, [`VARIABLE`], which both methods of `sockpulse run` read.
//!
//! Without `std`, without allocation, without a dependency: the library is mapped into programs of
//! every libc and every age, and a single symbol with a version would stop some of them from
//! starting.
//!
//! # The variable
//!
//! `SOCKPULSE_RUN` holds parts separated by commas. All may be left out; an empty variable switches
//! keepalive on with the values of the network namespace.
//!
//! | part | meaning |
//! |---|---|
//! | `idle=DURATION`, `interval=DURATION`, `probes=N` | the settings; what is left out stays as it is |
//! | `user-timeout=auto\|off\|DURATION` | `auto` is idle + interval x probes of the socket |
//! | `mode=fill\|tighten\|override` | who wins when the program sets its own, see [`Mode`] |
//! | `local=[ADDR\|CIDR][:PORT]`, `remote=…` | only these connections; repeated: or |
//! | `port=N` | either end has this port; repeated: or |
//! | `off` | alone: nothing is done |
//!
//! A duration is written `60`, `60s`, `2m`, `1h30m` or `1500ms`; a bare number is seconds. Example:
//! `idle=60s,interval=10s,probes=6,user-timeout=120000ms,mode=fill,remote=10.0.0.0/8:5432`.

#![cfg_attr(not(test), no_std)]

mod decision;
mod duration;
#[cfg(any(test, feature = "object"))]
mod environment;
#[cfg(feature = "object")]
mod kernel;
#[cfg(feature = "object")]
mod libc;
#[cfg(feature = "object")]
mod object;
mod pattern;
mod request;
#[cfg(feature = "object")]
mod settle;

pub use decision::{Held, Step, Timings, decide};
pub use pattern::{CAPACITY, Full, List, Pattern};
pub use request::{Mode, Request, RequestError, UserTimeout, VARIABLE};
