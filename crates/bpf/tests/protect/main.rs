//! Rules for connections to come, on real sockets. Tests named `root_…` need root; each has
//! a network namespace, a cgroup and a bpffs of its own and leaves nothing behind.

#[cfg(test)]
mod common;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod each;
#[cfg(test)]
mod hold;
#[cfg(test)]
mod life;
#[cfg(test)]
mod matcher;
#[cfg(test)]
mod modes;
#[cfg(test)]
mod places;
