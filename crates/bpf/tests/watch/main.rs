//! What happens to connections, told by the kernel. Tests named `root_…` need root; each has a network
//! namespace of its own and leaves nothing behind.

#[cfg(test)]
mod among;
#[cfg(test)]
mod changes;
#[cfg(test)]
mod common;
#[cfg(test)]
mod deaths;
#[cfg(test)]
mod lives;
