//! Netlink (netlink(7)): requests and dumps.

use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use zerocopy::{Immutable, IntoBytes};

pub(crate) use framing::{Cut, Messages, attributes, messages};

use crate::error::{Error, Operation, Result};
use framing::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, scan};

mod framing;

/// How a dump ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "an interrupted dump is not complete"]
pub enum DumpEnd {
    /// Everything was sent.
    Complete,
    /// The kernel's table changed in a way that may have left out or repeated entries
    /// (`NLM_F_DUMP_INTR`): ask again, or say so.
    Interrupted,
    /// The receiver asked to stop.
    Stopped,
}

/// The kernel never sends more in one dump datagram (`netlink_dump()`, net/netlink/af_netlink.c).
const BUFFER: usize = 32 * 1024;

/// A netlink socket connected to the kernel. It stays in the network namespace in which it was
/// opened, whichever thread uses it later.
pub(crate) struct Netlink {
    fd: OwnedFd,
    sequence: u32,
    /// A dump was left before its end; its rest is read before the next request.
    unfinished: bool,
    buffer: Box<[u8]>,
}

impl fmt::Debug for Netlink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netlink")
            .field("fd", &self.fd)
            .field("unfinished", &self.unfinished)
            .finish_non_exhaustive()
    }
}

impl AsFd for Netlink {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace. Being connected, it takes
    /// datagrams from the kernel alone.
    pub(crate) fn open(protocol: Option<Protocol>, name: &'static str) -> Result<Self> {
        let failed = |errno| Error::system(Operation::OpenSocket, name, errno);
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            protocol,
        )
        .map_err(failed)?;
        rustix::net::connect(&fd, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        Ok(Self {
            fd,
            sequence: 0,
            unfinished: false,
            buffer: vec![0; BUFFER].into_boxed_slice(),
        })
    }

    /// Asks for a dump and hands out every datagram as it came.
    pub(crate) fn dump<R: IntoBytes + Immutable>(
        &mut self,
        request: &'static str,
        kind: u16,
        body: &R,
        mut datagram: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<DumpEnd> {
        self.send(request, kind, NLM_F_REQUEST | NLM_F_DUMP, body)?;
        self.unfinished = true;
        let mut interrupted = false;
        loop {
            let received = self.receive(request)?;
            let bytes = &self.buffer[..received];
            let scan = scan(bytes, self.sequence);
            interrupted |= scan.interrupted;
            if let Some(errno) = scan.refused {
                self.unfinished = false;
                return Err(Error::Refused { request, errno });
            }
            let flow = if scan.ours {
                datagram(bytes)
            } else {
                ControlFlow::Continue(())
            };
            if scan.done {
                self.unfinished = false;
            }
            return Ok(match (flow, scan.done) {
                (ControlFlow::Break(()), _) => DumpEnd::Stopped,
                (_, true) if interrupted => DumpEnd::Interrupted,
                (_, true) => DumpEnd::Complete,
                (_, false) => continue,
            });
        }
    }

    /// Asks for one thing; `None` when the kernel knows nothing like it.
    pub(crate) fn ask<R: IntoBytes + Immutable>(
        &mut self,
        request: &'static str,
        kind: u16,
        body: &R,
    ) -> Result<Option<Vec<u8>>> {
        self.send(request, kind, NLM_F_REQUEST, body)?;
        loop {
            let received = self.receive(request)?;
            let bytes = &self.buffer[..received];
            let scan = scan(bytes, self.sequence);
            match scan.refused {
                Some(Errno::NOENT | Errno::STALE) => return Ok(None),
                Some(errno) => return Err(Error::Refused { request, errno }),
                None if scan.ours => return Ok(Some(bytes.to_vec())),
                None => {}
            }
        }
    }

    /// Has something done, and waits until it is; `false` when there is nothing to do it to.
    pub(crate) fn order<R: IntoBytes + Immutable>(
        &mut self,
        request: &'static str,
        kind: u16,
        body: &R,
    ) -> Result<bool> {
        self.send(request, kind, NLM_F_REQUEST | NLM_F_ACK, body)?;
        loop {
            let received = self.receive(request)?;
            let scan = scan(&self.buffer[..received], self.sequence);
            match scan.refused {
                Some(Errno::NOENT | Errno::STALE) => return Ok(false),
                Some(errno) => return Err(Error::Refused { request, errno }),
                None if scan.acknowledged => return Ok(true),
                None => {}
            }
        }
    }

    fn send<R: IntoBytes + Immutable>(
        &mut self,
        request: &'static str,
        kind: u16,
        flags: u16,
        body: &R,
    ) -> Result<()> {
        while self.unfinished {
            let received = self.receive(request)?;
            let scan = scan(&self.buffer[..received], self.sequence);
            self.unfinished = !scan.done && scan.refused.is_none();
        }
        self.sequence = self.sequence.wrapping_add(1);
        let message = framing::encode(kind, flags, self.sequence, body);
        rustix::io::retry_on_intr(|| rustix::net::send(&self.fd, &message, SendFlags::empty()))
            .map_err(|errno| Error::system(Operation::Send, request, errno))?;
        Ok(())
    }

    /// Receives one datagram. The kernel answers within send(2) and continues a dump within
    /// recv(2), so there is always something to read; waiting could only hang, for instance after
    /// the kernel found no memory for the next part.
    fn receive(&mut self, request: &'static str) -> Result<usize> {
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let mut lost = None;
        let length = loop {
            match rustix::net::recv(&self.fd, &mut *self.buffer, flags) {
                Ok((_, length)) => break length,
                Err(Errno::INTR) => {}
                // The error of a failed part comes first, then what is still queued, then EAGAIN.
                Err(Errno::NOBUFS) if lost.is_none() => lost = Some(Errno::NOBUFS),
                Err(errno) => {
                    let errno = lost.unwrap_or(errno);
                    return Err(Error::system(Operation::Receive, request, errno));
                }
            }
        };
        if length > self.buffer.len() {
            return Err(Error::Truncated {
                request,
                length,
                buffer: self.buffer.len(),
            });
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An inet_diag request for all listeners of IPv4.
    fn listeners() -> [u8; 56] {
        let mut request = [0; 56];
        (request[0], request[1]) = (2, 6);
        request[4..8].copy_from_slice(&(1u32 << 10).to_ne_bytes());
        request
    }

    fn sock_diag() -> Netlink {
        let protocol = Some(rustix::net::netlink::SOCK_DIAG);
        Netlink::open(protocol, "a test's socket").unwrap()
    }

    #[test]
    fn a_datagram_that_does_not_fit_is_refused() {
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut netlink = sock_diag();
        netlink.buffer = vec![0; 64].into_boxed_slice();
        let end = netlink.dump("ask", 20, &listeners(), |_| ControlFlow::Continue(()));
        assert!(
            matches!(end, Err(Error::Truncated { length, buffer: 64, .. }) if length > 64),
            "{end:?}"
        );
    }

    #[test]
    fn what_the_kernel_refuses_is_told() {
        let mut netlink = sock_diag();
        let end = netlink.dump("ask", 127, &listeners(), |_| ControlFlow::Continue(()));
        assert!(matches!(end, Err(Error::Refused { .. })), "{end:?}");
        // The socket is still good.
        let end = netlink.dump("ask", 20, &listeners(), |_| ControlFlow::Continue(()));
        assert_eq!(end, Ok(DumpEnd::Complete));
    }
}
