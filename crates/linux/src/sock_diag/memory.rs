//! What the buffers of a socket take.

use sockpulse_core::SocketId;
use zerocopy::FromBytes;

use super::wire::{self, Answer, Ne32};
use super::{LOOKUP, Socket, one};
use crate::error::{Error, Result};
use crate::netlink;

/// Memory that the kernel charges to a socket, in bytes (`struct sock`'s own size is not in it).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Memory(pub u64);

impl Memory {
    /// Sums up `SK_MEMINFO_…` (`sk_get_meminfo()`, net/core/sock.c): what was received, what is queued
    /// to be sent, what is set aside for more, options, and the backlog. What is being transmitted
    /// is among what is queued.
    pub(crate) fn of(values: &[u32]) -> Self {
        const COUNTED: [usize; 5] = [0, 4, 5, 6, 7];
        let counted = COUNTED.iter().filter_map(|at| values.get(*at));
        // The kernel reads them without a lock: what is set aside may be negative for a moment.
        let positive = counted.filter_map(|value| u64::try_from(value.cast_signed()).ok());
        Self(positive.sum())
    }
}

impl Socket {
    /// What a socket's buffers take; `None` when it is gone.
    ///
    /// # Errors
    /// As for [`Socket::dump()`].
    #[doc(alias = "INET_DIAG_SKMEMINFO")]
    pub fn memory(&mut self, id: &SocketId, ifindex: u32) -> Result<Option<Memory>> {
        let request = one(id, ifindex, 1 << (wire::SKMEMINFO - 1));
        let kind = wire::SOCK_DIAG_BY_FAMILY;
        let Some(answer) = self.netlink.ask(LOOKUP, kind, &request)? else {
            return Ok(None);
        };
        read(&answer).map(Some).ok_or_else(|| Error::Malformed {
            object: "an inet_diag message".into(),
        })
    }
}

fn read(datagram: &[u8]) -> Option<Memory> {
    let mut messages = netlink::messages(datagram);
    let message = messages.next_content()?.ok()?;
    let (_, rest) = Answer::ref_from_prefix(message.payload).ok()?;
    let mut attributes = netlink::attributes(rest).map_while(|attribute| attribute.ok());
    let (_, value) = attributes.find(|(kind, _)| *kind == wire::SKMEMINFO)?;
    let values = <[Ne32]>::ref_from_prefix_with_elems(value, value.len() / size_of::<Ne32>());
    let values: Vec<u32> = values.ok()?.0.iter().map(|value| value.get()).collect();
    Some(Memory::of(&values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_transmitted_is_not_counted_twice() {
        let values = [1, 1 << 20, 2, 1 << 20, 4, 8, 16, 32, 64];
        assert_eq!(Memory::of(&values), Memory(1 + 4 + 8 + 16 + 32));
        assert_eq!(Memory::of(&[5, 0, 0, 0, u32::MAX]), Memory(5));
        assert_eq!(Memory::of(&[]), Memory(0));
    }
}
