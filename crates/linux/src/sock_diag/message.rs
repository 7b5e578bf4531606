//! Datagrams of inet_diag, cut into messages and those into attributes.

use sockpulse_core::{CgroupId, Cookie, TcpState};
use zerocopy::FromBytes;

use super::wire::{self, Answer, Info, Ne64};
use crate::error::Error;
use crate::netlink::{self, Cut};

/// The messages of a datagram, netlink's own left out. Any bytes may be given: what cannot be read
/// is an [`Error::Malformed`]; after a wrong length nothing follows.
pub fn messages(batch: &[u8]) -> Messages<'_> {
    Messages {
        inner: netlink::messages(batch),
    }
}

/// See [`messages()`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    inner: netlink::Messages<'a>,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<DiagMessage<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let message = match self.inner.next_content()? {
                Ok(message) => match message.kind {
                    wire::SOCK_DIAG_BY_FAMILY | wire::TCPDIAG_GETSOCK => {
                        DiagMessage::parse(message.payload)
                    }
                    _ => continue,
                },
                Err(Cut) => None,
            };
            return Some(message.ok_or_else(|| Error::Malformed {
                object: "an inet_diag message".into(),
            }));
        }
    }
}

/// Flags of `INET_DIAG_SOCKOPT` (`struct inet_diag_sockopt`, since 5.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketFlags(u16);

impl SocketFlags {
    /// `IP_TRANSPARENT`: the local address may be another host's (a transparent proxy).
    #[must_use]
    pub const fn transparent(self) -> bool {
        self.0 & (1 << 5) != 0
    }

    /// connect(2) was deferred to the first write (`TCP_FASTOPEN_CONNECT`).
    #[must_use]
    pub const fn connect_deferred(self) -> bool {
        self.0 & (1 << 10) != 0
    }
}

/// One socket as inet_diag shows it.
#[derive(Debug, Clone, Copy)]
pub struct DiagMessage<'a> {
    pub(super) base: &'a Answer,
    pub(super) info: Option<Info>,
    pub(super) has_shutdown: bool,
    pub(super) protocol: u8,
    pub(super) cgroup: Option<CgroupId>,
    flags: Option<SocketFlags>,
    pub(super) mptcp: bool,
}

impl<'a> DiagMessage<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Option<Self> {
        let (base, rest) = Answer::ref_from_prefix(payload).ok()?;
        let mut message = Self {
            base,
            info: None,
            has_shutdown: false,
            protocol: wire::IPPROTO_TCP,
            cgroup: None,
            flags: None,
            mptcp: false,
        };
        for attribute in netlink::attributes(rest) {
            let (kind, value) = attribute.ok()?;
            match kind {
                wire::INFO => message.info = Some(Info::read_from_prefix(value).ok()?.0),
                wire::SHUTDOWN => message.has_shutdown = true,
                wire::PROTOCOL => message.protocol = *value.first()?,
                wire::CGROUP_ID => {
                    let id = Ne64::read_from_prefix(value).ok()?.0.get();
                    message.cgroup = (id != 0).then_some(CgroupId(id));
                }
                wire::SOCKOPT => {
                    let flags = <[u8; 2]>::read_from_prefix(value).ok()?.0;
                    message.flags = Some(SocketFlags(u16::from_le_bytes(flags)));
                }
                wire::ULP_INFO => message.mptcp = is_mptcp(value),
                _ => {}
            }
        }
        Some(message)
    }

    /// The socket's identity.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        let [low, high] = self.base.id.cookie;
        Cookie(u64::from(low.get()) | u64::from(high.get()) << 32)
    }

    /// The inode number in sockfs; 0 when no `struct socket` belongs to it.
    #[must_use]
    pub fn inode(&self) -> u64 {
        u64::from(self.base.inode.get())
    }

    /// The state; `None` for numbers that are no TCP state.
    #[must_use]
    pub fn state(&self) -> Option<TcpState> {
        TcpState::from_kernel(self.base.state)
    }

    /// Flags of the socket, if the kernel tells them.
    #[must_use]
    pub const fn flags(&self) -> Option<SocketFlags> {
        self.flags
    }
}

fn is_mptcp(ulp: &[u8]) -> bool {
    netlink::attributes(ulp)
        .map_while(Result::ok)
        .any(|(kind, name)| {
            kind == wire::ULP_NAME && name.split(|b| *b == 0).next() == Some(b"mptcp")
        })
}
