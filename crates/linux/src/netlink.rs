//! Netlink framing (netlink(7)): requests, dumps, datagrams cut into messages and attributes.
//!
//! Lengths come from outside and are never trusted: every cut is checked, and a bad length ends the
//! reading with an error instead of a panic.

use std::fmt;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Operation, Result};

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

const NLM_F_REQUEST: u16 = 0x01;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// Message types below are netlink's own.
const NLMSG_MIN_TYPE: u16 = 0x10;
/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` are not part of an attribute's type.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// `struct nlmsghdr`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

const HEADER: usize = size_of::<Header>();

/// `struct nlattr`.
#[derive(FromBytes, KnownLayout, Immutable, Clone, Copy)]
#[repr(C)]
struct AttributeHeader {
    length: u16,
    kind: u16,
}

const ATTRIBUTE_HEADER: usize = size_of::<AttributeHeader>();

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
        let length = HEADER + size_of::<R>();
        let header = Header {
            length: u32::try_from(length).unwrap_or(u32::MAX),
            kind,
            flags,
            sequence: self.sequence,
            port: 0,
        };
        let mut message = Vec::with_capacity(length);
        message.extend_from_slice(header.as_bytes());
        message.extend_from_slice(body.as_bytes());
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

/// What netlink itself says in a datagram.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    /// It has messages that answer this request.
    ours: bool,
    done: bool,
    interrupted: bool,
    refused: Option<Errno>,
}

fn scan(datagram: &[u8], sequence: u32) -> Scan {
    let mut scan = Scan::default();
    for message in messages(datagram) {
        // Cut bytes are handed on, so that the reader of the messages reports them.
        let Ok(message) = message else {
            scan.ours = true;
            break;
        };
        if message.sequence != sequence {
            continue;
        }
        scan.interrupted |= message.flags & NLM_F_DUMP_INTR != 0;
        match message.kind {
            NLMSG_DONE => {
                scan.done = true;
                scan.refused = error_of(message.payload);
            }
            NLMSG_ERROR => scan.refused = Some(error_of(message.payload).unwrap_or(Errno::PROTO)),
            NLMSG_NOOP => {}
            _ => scan.ours = true,
        }
    }
    scan
}

/// The error in a `struct nlmsgerr` or at the end of a dump: a negative error number, or 0.
fn error_of(payload: &[u8]) -> Option<Errno> {
    let (code, _) = i32::read_from_prefix(payload).ok()?;
    let code = code.checked_neg().filter(|code| (1..4096).contains(code))?;
    Some(Errno::from_raw_os_error(code))
}

/// A message of a datagram.
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    flags: u16,
    sequence: u32,
    pub(crate) payload: &'a [u8],
}

/// A length that does not fit: the rest of the datagram or message cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut;

/// The messages of a datagram, netlink's own included; ends after the first that is cut.
pub(crate) fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

/// See [`messages()`].
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The next message that is not netlink's own.
    pub(crate) fn next_content(&mut self) -> Option<Result<Message<'a>, Cut>> {
        self.find(|message| !matches!(message, Ok(message) if message.kind < NLMSG_MIN_TYPE))
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        let bytes = self.rest;
        if bytes.is_empty() {
            return None;
        }
        let parsed = Header::read_from_prefix(bytes)
            .ok()
            .and_then(|(header, _)| {
                let length = usize::try_from(header.length).ok()?;
                let payload = bytes.get(HEADER..length)?;
                self.rest = after(bytes, length);
                Some(Message {
                    kind: header.kind,
                    flags: header.flags,
                    sequence: header.sequence,
                    payload,
                })
            });
        if parsed.is_none() {
            self.rest = &[];
        }
        Some(parsed.ok_or(Cut))
    }
}

/// The attributes of a message or of a nested attribute; ends after the first that is cut.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = Result<(u16, &[u8]), Cut>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let parsed = AttributeHeader::read_from_prefix(rest)
            .ok()
            .and_then(|(header, _)| {
                let length = usize::from(header.length);
                Some((header.kind, length, rest.get(ATTRIBUTE_HEADER..length)?))
            });
        let Some((kind, length, value)) = parsed else {
            rest = &[];
            return Some(Err(Cut));
        };
        rest = after(rest, length);
        Some(Ok((kind & NLA_TYPE_MASK, value)))
    })
}

/// What follows `length` bytes, which are padded to four; the last padding may be missing.
fn after(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(length.next_multiple_of(4)..).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            length: u32::try_from(HEADER + payload.len()).unwrap(),
            kind,
            flags,
            sequence,
            port: 0,
        };
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_datagram_is_cut_into_messages() {
        let mut bytes = message(20, 2, 1, b"first");
        bytes.extend(message(NLMSG_DONE, 2, 1, &0i32.to_ne_bytes()));
        let kinds: Vec<_> = messages(&bytes).map(|m| m.unwrap().kind).collect();
        assert_eq!(kinds, [20, NLMSG_DONE]);
        let mut all = messages(&bytes);
        let content = all.next_content().unwrap().unwrap();
        assert_eq!(content.payload, b"first");
        assert!(all.next_content().is_none());
        assert_eq!(
            scan(&bytes, 1),
            Scan {
                ours: true,
                done: true,
                ..Scan::default()
            }
        );
        assert_eq!(scan(&bytes, 2), Scan::default());
    }

    #[test]
    fn bad_lengths_end_with_an_error() {
        for length in [0u32, 15, 21, u32::MAX] {
            let mut bytes = message(20, 0, 1, b"abcd");
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            let all: Vec<_> = messages(&bytes).map(|m| m.is_ok()).collect();
            assert_eq!(all, [false], "{length}");
            assert!(scan(&bytes, 1).ours);
        }
        for bytes in [&[4u8, 0, 1][..], &[3, 0, 1, 0], &[9, 0, 1, 0, 7, 7, 7, 7]] {
            let all: Vec<_> = attributes(bytes).map(|a| a.is_ok()).collect();
            assert_eq!(all, [false], "{bytes:?}");
        }
    }

    #[test]
    fn errors_and_interruptions_are_seen() {
        let refused = |code: i32, kind| scan(&message(kind, 0, 1, &code.to_ne_bytes()), 1).refused;
        assert_eq!(refused(-1, NLMSG_ERROR), Some(Errno::PERM));
        assert_eq!(refused(-2, NLMSG_DONE), Some(Errno::NOENT));
        assert_eq!(refused(0, NLMSG_DONE), None);
        assert_eq!(refused(i32::MIN, NLMSG_DONE), None);
        assert_eq!(refused(0, NLMSG_ERROR), Some(Errno::PROTO));
        assert!(scan(&message(20, NLM_F_DUMP_INTR, 1, b""), 1).interrupted);
    }

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

    #[test]
    fn attributes_are_cut_and_masked() {
        let bytes = [5u8, 0, 8, 0x80, 3, 0, 0, 0, 4, 0, 2, 0];
        let all: Vec<_> = attributes(&bytes).map(Result::unwrap).collect();
        assert_eq!(all, [(8, &[3u8][..]), (2, &[][..])]);
    }
}
