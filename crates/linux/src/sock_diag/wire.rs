//! The kernel's structures of inet_diag (include/uapi/linux/inet_diag.h) and tcp_info
//! (include/uapi/linux/tcp.h).

use zerocopy::byteorder::{BE, NativeEndian, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub(super) type Be16 = U16<BE>;
pub(super) type Ne32 = U32<NativeEndian>;
pub(super) type Ne64 = U64<NativeEndian>;

/// `SOCK_DIAG_BY_FAMILY`: request and answer.
pub(super) const SOCK_DIAG_BY_FAMILY: u16 = 20;

/// `SOCK_DESTROY`.
pub(super) const SOCK_DESTROY: u16 = 21;

/// `TCPDIAG_GETSOCK`: the older request, which dumps both families; its answers have its number.
pub(super) const TCPDIAG_GETSOCK: u16 = 18;

pub(super) const AF_INET: u8 = 2;
pub(super) const AF_INET6: u8 = 10;
pub(super) const IPPROTO_TCP: u8 = 6;

/// Attributes (`INET_DIAG_…`).
pub(super) const INFO: u16 = 2;
pub(super) const SKMEMINFO: u16 = 7;
pub(super) const SHUTDOWN: u16 = 8;
pub(super) const PROTOCOL: u16 = 10;
pub(super) const ULP_INFO: u16 = 19;
pub(super) const CGROUP_ID: u16 = 21;
pub(super) const SOCKOPT: u16 = 22;
/// `INET_ULP_INFO_NAME`, inside `INET_DIAG_ULP_INFO`.
pub(super) const ULP_NAME: u16 = 1;

/// `idiag_timer`.
pub(super) const TIMER_NONE: u8 = 0;
pub(super) const TIMER_RETRANSMISSION: u8 = 1;
pub(super) const TIMER_KEEPALIVE: u8 = 2;
pub(super) const TIMER_TIME_WAIT: u8 = 3;
pub(super) const TIMER_PERSIST: u8 = 4;

/// `struct inet_diag_sockid`.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct SockId {
    pub(super) sport: Be16,
    pub(super) dport: Be16,
    pub(super) src: [u8; 16],
    pub(super) dst: [u8; 16],
    pub(super) ifindex: Ne32,
    /// The low half first, each half in host order.
    pub(super) cookie: [Ne32; 2],
}

impl SockId {
    /// Matches everything, in a dump.
    pub(super) const ANY: Self = Self {
        sport: Be16::ZERO,
        dport: Be16::ZERO,
        src: [0; 16],
        dst: [0; 16],
        ifindex: Ne32::ZERO,
        cookie: [Ne32::ZERO; 2],
    };
}

/// `struct inet_diag_req_v2`.
#[derive(Debug, IntoBytes, Immutable, Clone, Copy)]
#[repr(C)]
pub(super) struct Request {
    pub(super) family: u8,
    pub(super) protocol: u8,
    /// A bit for each wanted attribute, `1 << (attribute - 1)`.
    pub(super) extensions: u8,
    pub(super) pad: u8,
    pub(super) states: u32,
    pub(super) id: SockId,
}

/// `struct inet_diag_req`.
#[derive(Debug, IntoBytes, Immutable, Clone, Copy)]
#[repr(C)]
pub(super) struct OldRequest {
    pub(super) family: u8,
    pub(super) source_length: u8,
    pub(super) destination_length: u8,
    pub(super) extensions: u8,
    pub(super) id: SockId,
    pub(super) states: u32,
    pub(super) dbs: u32,
}

/// `struct inet_diag_msg`.
#[derive(Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Answer {
    pub(super) family: u8,
    pub(super) state: u8,
    pub(super) timer: u8,
    pub(super) retrans: u8,
    pub(super) id: SockId,
    pub(super) expires: Ne32,
    pub(super) rqueue: Ne32,
    pub(super) wqueue: Ne32,
    pub(super) uid: Ne32,
    pub(super) inode: Ne32,
}

/// The part of `struct tcp_info` that every kernel has.
#[derive(Debug, FromBytes, KnownLayout, Immutable, Unaligned, Clone, Copy)]
#[repr(C)]
pub(super) struct Info {
    pub(super) state: u8,
    pub(super) ca_state: u8,
    pub(super) retransmits: u8,
    pub(super) probes: u8,
    pub(super) backoff: u8,
    pub(super) options: u8,
    pub(super) window_scales: u8,
    pub(super) flags: u8,
    /// Microseconds.
    pub(super) rto: Ne32,
    pub(super) ato: Ne32,
    pub(super) snd_mss: Ne32,
    pub(super) rcv_mss: Ne32,
    /// Segments (`packets_out`).
    pub(super) unacked: Ne32,
    pub(super) sacked: Ne32,
    pub(super) lost: Ne32,
    pub(super) retrans: Ne32,
    pub(super) fackets: Ne32,
    /// Milliseconds ago.
    pub(super) last_data_sent: Ne32,
    pub(super) last_ack_sent: Ne32,
    pub(super) last_data_recv: Ne32,
    pub(super) last_ack_recv: Ne32,
}

const _: () = {
    assert!(size_of::<SockId>() == 48);
    assert!(size_of::<Request>() == 56);
    assert!(size_of::<OldRequest>() == 60);
    assert!(size_of::<Answer>() == 72);
    assert!(size_of::<Info>() == 60);
};
