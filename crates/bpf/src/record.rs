//! One socket as the BPF programs write it: the twin of `struct record` in src/bpf/record.h.

use sockpulse_core::{Comm, Cookie, NetnsId, Process};
use zerocopy::native_endian::{I32, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One socket, or one entry of the kernel's that stands for a connection.
///
/// Any bytes are a valid record: what cannot be, such as an unknown state, gives no
/// [`connection`](Record::connection). Fields may be read from a buffer of any alignment.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Record {
    pub(crate) cookie: U64,
    pub(crate) inode: U64,
    pub(crate) cgroup_id: U64,
    pub(crate) local_addr: [u8; 16],
    pub(crate) remote_addr: [u8; 16],
    pub(crate) netns: U32,
    pub(crate) ifindex: U32,
    pub(crate) uid: U32,
    pub(crate) pid: U32,
    pub(crate) fd: U32,
    pub(crate) file_refs: U32,
    pub(crate) keepalive_time: U32,
    pub(crate) keepalive_intvl: U32,
    pub(crate) user_timeout: U32,
    pub(crate) timer: I32,
    pub(crate) retransmit_timer: I32,
    pub(crate) sent_age: U32,
    pub(crate) received_age: U32,
    pub(crate) acked_age: U32,
    pub(crate) unread: U32,
    pub(crate) unacked: U32,
    pub(crate) packets_out: U32,
    pub(crate) snd_una: U32,
    pub(crate) rcv_nxt: U32,
    pub(crate) rto: U32,
    pub(crate) local_port: U16,
    pub(crate) remote_port: U16,
    pub(crate) family: u8,
    pub(crate) state: u8,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) keepalive_probes: u8,
    pub(crate) probes_out: u8,
    pub(crate) retransmits: u8,
    pub(crate) backoff: u8,
    pub(crate) pending: u8,
    pub(crate) reserved: [u8; 3],
    pub(crate) comm: [u8; 16],
}

/// What a record stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A TCP socket, Multipath TCP's subflows included.
    Tcp,
    /// The socket that a program of Multipath TCP holds. It is no connection by itself: its
    /// subflows are, and each has this one's inode number.
    Mptcp,
    /// A connection in TIME-WAIT, or closed by its program and in FIN-WAIT-2: an entry without a
    /// socket.
    TimeWait,
    /// A connection request: an entry without a socket.
    Request,
}

/// Bits of `flags`: `enum record_flag`.
pub(crate) mod flag {
    pub(crate) const KEEPALIVE: u8 = 1 << 0;
    pub(crate) const DEAD: u8 = 1 << 1;
    pub(crate) const SUBFLOW: u8 = 1 << 2;
    pub(crate) const TIMER: u8 = 1 << 3;
    pub(crate) const SETTINGS: u8 = 1 << 4;
    pub(crate) const UID: u8 = 1 << 5;
    pub(crate) const PROCESS: u8 = 1 << 6;
    pub(crate) const FILE_REFS: u8 = 1 << 7;
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Record>() == 168);
    assert!(offset_of!(Record, inode) == 8);
    assert!(offset_of!(Record, local_addr) == 24);
    assert!(offset_of!(Record, netns) == 56);
    assert!(offset_of!(Record, file_refs) == 76);
    assert!(offset_of!(Record, timer) == 92);
    assert!(offset_of!(Record, rto) == 132);
    assert!(offset_of!(Record, local_port) == 136);
    assert!(offset_of!(Record, family) == 140);
    assert!(offset_of!(Record, pending) == 148);
    assert!(offset_of!(Record, comm) == 152);
};

impl Record {
    /// What it stands for; `None` for a kind that this crate does not know.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        match self.kind {
            1 => Some(Kind::Tcp),
            2 => Some(Kind::Mptcp),
            3 => Some(Kind::TimeWait),
            4 => Some(Kind::Request),
            _ => None,
        }
    }

    /// The socket's identity. Reading it made the kernel give one, so it is never zero.
    #[must_use]
    pub fn cookie(&self) -> Cookie {
        Cookie(self.cookie.get())
    }

    /// The network namespace that the socket belongs to.
    #[must_use]
    pub fn netns(&self) -> NetnsId {
        NetnsId(self.netns.get())
    }

    /// The inode number in sockfs; 0 when the entry has no `struct socket`.
    #[must_use]
    pub fn inode(&self) -> u64 {
        self.inode.get()
    }

    /// The process that holds the socket by this descriptor; `None` from the `tcp` iterator.
    #[must_use]
    pub fn process(&self) -> Option<Process> {
        self.has(flag::PROCESS).then(|| Process {
            pid: self.pid.get(),
            fd: self.fd.get(),
            comm: Comm::new(&self.comm),
        })
    }

    /// Whether other descriptors, here or in other processes, may be the same socket: then more
    /// records with the same cookie may come. Certainly not when the file has one reference; more
    /// than one is also counted while a thread of a multi-threaded process is in a system call
    /// on it, and processes that share their table of descriptors count as sharing its sockets.
    #[must_use]
    pub fn may_be_shared(&self) -> bool {
        !self.has(flag::FILE_REFS) || self.file_refs.get() != 1
    }

    pub(crate) const fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}
