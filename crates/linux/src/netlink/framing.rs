//! Datagrams cut into messages, messages into attributes.
//!
//! Lengths come from outside and are never trusted: every cut is checked, and a bad length ends the
//! reading with an error instead of a panic.

use rustix::io::Errno;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

pub(super) const NLM_F_REQUEST: u16 = 0x01;
pub(super) const NLM_F_ACK: u16 = 0x04;
pub(super) const NLM_F_DUMP: u16 = 0x300;
const NLM_F_DUMP_INTR: u16 = 0x10;
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

/// A request's bytes.
pub(super) fn encode<R: IntoBytes + Immutable>(
    kind: u16,
    flags: u16,
    sequence: u32,
    body: &R,
) -> Vec<u8> {
    let length = HEADER + size_of::<R>();
    let header = Header {
        length: u32::try_from(length).unwrap_or(u32::MAX),
        kind,
        flags,
        sequence,
        port: 0,
    };
    [header.as_bytes(), body.as_bytes()].concat()
}

/// What netlink itself says in a datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scan {
    /// It has messages that answer this request.
    pub(super) ours: bool,
    pub(super) done: bool,
    pub(super) interrupted: bool,
    /// What was asked is done: the answer to `NLM_F_ACK`.
    pub(super) acknowledged: bool,
    pub(super) refused: Option<Errno>,
}

pub(super) fn scan(datagram: &[u8], sequence: u32) -> Scan {
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
            NLMSG_ERROR => match i32::read_from_prefix(message.payload) {
                Ok((0, _)) => scan.acknowledged = true,
                _ => scan.refused = Some(error_of(message.payload).unwrap_or(Errno::PROTO)),
            },
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
        assert_eq!(refused(0, NLMSG_ERROR), None);
        assert!(scan(&message(NLMSG_ERROR, 0, 1, &[0; 20]), 1).acknowledged);
        let cut = scan(&message(NLMSG_ERROR, 0, 1, &[0; 2]), 1);
        assert_eq!((cut.acknowledged, cut.refused), (false, Some(Errno::PROTO)));
        assert!(scan(&message(20, NLM_F_DUMP_INTR, 1, b""), 1).interrupted);
    }

    #[test]
    fn attributes_are_cut_and_masked() {
        let bytes = [5u8, 0, 8, 0x80, 3, 0, 0, 0, 4, 0, 2, 0];
        let all: Vec<_> = attributes(&bytes).map(Result::unwrap).collect();
        assert_eq!(all, [(8, &[3u8][..]), (2, &[][..])]);
    }
}
