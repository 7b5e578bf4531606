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
//!
//! Where the variable is not set, those of libkeepalive count: `KEEPIDLE`, `KEEPINTVL`, `KEEPCNT`, and
//! `KEEPALIVE=off`. Without any of them keepalive is switched on with the namespace's values. A
//! variable that cannot be read is said on standard error, and nothing is done.
//!
//! # The library
//!
//! `cargo preload` builds `target/preload/libsockpulse_preload.so`, which packages install as
//! `/usr/lib/sockpulse/libsockpulse_preload.so`. It works by itself:
//!
//! ```sh
//! LD_PRELOAD=/usr/lib/sockpulse/libsockpulse_preload.so SOCKPULSE_RUN=idle=60s,probes=4 program
//! ```
//!
//! or for every program of a machine, when its path stands in `/etc/ld.so.preload`: then a program with
//! more rights than its caller has the library too, and heeds no variable.
//!
//! It is a file and not a part of the binary `sockpulse`, because a program's children must find it
//! for as long as they live: a memory file under `/proc/self/fd` is another file, or none, in a child
//! that closed its descriptors; under `/proc/PID/fd` it ends with that process and is closed to other
//! users; and a file in a temporary folder may be on a file system that runs nothing, has to be
//! removed by somebody, and could be replaced by others.
//!
//! # Which sockets, and when
//!
//! | call | what happens |
//! |---|---|
//! | start of the program | descriptors 0 to 2, and the listeners of systemd (`LISTEN_FDS`) |
//! | `socket` | a TCP socket gets all that is asked; not if only some connections are meant |
//! | `connect`, `listen` | before the call, if the socket came by another way |
//! | `connect` | after the call, once both ends are known, if only some connections are meant |
//! | `accept`, `accept4` | what was not inherited from the listener |
//! | `setsockopt` | after the program's own: `tighten` and `override` put things right; `fill` lifts a user timeout of ours that would cut the program's longer probing short |
//!
//! A program's own `SO_KEEPALIVE` = 0 stands under `fill`, except one made before `connect` where only
//! some connections are meant, and one made on a socket that came by another way: the library keeps
//! nothing about sockets, and those look like any other.
//!
//! Not reached: static programs, system calls made past libc (Go), io_uring, libc's own lookups of
//! names, setuid programs through `LD_PRELOAD`.

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
