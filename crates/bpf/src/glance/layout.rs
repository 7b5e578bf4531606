//! What is asked of one connection and what is seen of it: the twin of `struct glance` in
//! src/bpf/glance.h.

use std::net::IpAddr;
use std::time::Duration;

use sockpulse_core::ping::{Glance, Timestamps};
use sockpulse_core::{Cookie, Hz, TcpState};
use zerocopy::native_endian::{I16, I32, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::Whom;

/// Looks of one run: `GLANCES`.
pub(super) const MOST: usize = 256;

/// `struct glance`.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Cell {
    cookie: U64,
    ends: [u8; 36],
    asked: U32,
    flags: U32,
    segs_in: U32,
    data_segs_in: U32,
    received_age: U32,
    acked_age: U32,
    unacked: U32,
    unread: U32,
    total_retrans: U32,
    rto: U32,
    srtt: U32,
    snd_una: U32,
    snd_nxt: U32,
    rcv_nxt: U32,
    window: U32,
    timestamp: U32,
    echo: U32,
    soft_error: I32,
    state: u8,
    probes_out: u8,
    retransmits: u8,
    window_scale: u8,
    mark: U32,
    rttvar: U32,
    hop_limit: I16,
    traffic_class: u8,
    reserved: [u8; 5],
}

/// Bits of `asked`.
mod question {
    pub(super) const IPV6: u32 = 1 << 0;
}

/// Bits of `flags`.
mod flag {
    pub(super) const SEEN: u32 = 1 << 0;
    pub(super) const TIMESTAMPS: u32 = 1 << 1;
    pub(super) const SIGNED: u32 = 1 << 2;
    pub(super) const MPTCP: u32 = 1 << 3;
    pub(super) const DEAD: u32 = 1 << 4;
    pub(super) const KEEPALIVE: u32 = 1 << 5;
}

const _: () = {
    use std::mem::offset_of;
    assert!(size_of::<Cell>() == 136);
    assert!(offset_of!(Cell, ends) == 8);
    assert!(offset_of!(Cell, asked) == 44);
    assert!(offset_of!(Cell, flags) == 48);
    assert!(offset_of!(Cell, rto) == 80);
    assert!(offset_of!(Cell, soft_error) == 112);
    assert!(offset_of!(Cell, state) == 116);
    assert!(offset_of!(Cell, mark) == 120);
    assert!(offset_of!(Cell, hop_limit) == 128);
};

impl Cell {
    /// The question. A socket with mapped addresses is found as one of IPv4: so are its segments.
    pub(super) fn of(whom: &Whom) -> Self {
        let mut cell = Self::new_zeroed();
        cell.cookie.set(whom.cookie.0);
        let (local, remote) = (
            whom.local.addr.to_canonical(),
            whom.remote.addr.to_canonical(),
        );
        let mut bytes = cell.ends.iter_mut();
        let mut put = |from: &[u8]| {
            for byte in from {
                *bytes.next().expect("two addresses and two ports fit") = *byte;
            }
        };
        for end in [remote, local] {
            match end {
                IpAddr::V4(addr) => put(&addr.octets()),
                IpAddr::V6(addr) => put(&addr.octets()),
            }
        }
        put(&whom.remote.port.to_be_bytes());
        put(&whom.local.port.to_be_bytes());
        if local.is_ipv6() {
            cell.asked.set(question::IPV6);
        }
        cell
    }

    /// The answer; `None` if there is no such socket.
    pub(super) fn glance(&self, hz: Hz) -> Option<Glance> {
        if !self.has(flag::SEEN) {
            return None;
        }
        let jiffies = |count: u32| hz.duration(count.into());
        Some(Glance {
            cookie: Cookie(self.cookie.get()),
            state: TcpState::from_kernel(self.state)?,
            segs_in: self.segs_in.get(),
            data_segs_in: self.data_segs_in.get(),
            silence: jiffies(self.received_age.get().min(self.acked_age.get())),
            unanswered: self.probes_out,
            unacked: self.unacked.get(),
            unread: self.unread.get(),
            retransmits: self.retransmits,
            retransmitted: self.total_retrans.get(),
            rto: self.rto(hz),
            srtt: self.srtt(),
            snd_una: self.snd_una.get(),
            snd_nxt: self.snd_nxt.get(),
            rcv_nxt: self.rcv_nxt.get(),
            window: self.window_field(),
            timestamps: self.has(flag::TIMESTAMPS).then(|| Timestamps {
                value: self.timestamp.get(),
                echo: self.echo.get(),
            }),
            hop_limit: u8::try_from(self.hop_limit.get()).ok(),
            traffic_class: self.traffic_class,
            mark: self.mark.get(),
            signed: self.has(flag::SIGNED),
            soft_error: Some(self.soft_error.get()).filter(|error| *error != 0),
            mptcp: self.has(flag::MPTCP),
            orphan: self.has(flag::DEAD),
            keepalive: self.has(flag::KEEPALIVE),
        })
    }

    /// `__tcp_set_rto()`, which icsk_rto may be a multiple of while there is no answer.
    fn rto(&self, hz: Hz) -> Duration {
        match self.srtt.get() {
            0 => hz.duration(self.rto.get().into()),
            eighths => Duration::from_micros(u64::from(eighths / 8) + u64::from(self.rttvar.get())),
        }
    }

    /// As the kernel does in tcp_info, parts of a microsecond are cut off.
    fn srtt(&self) -> Option<Duration> {
        let eighths = self.srtt.get();
        (eighths != 0).then(|| Duration::from_micros((eighths / 8).into()))
    }

    /// `tcp_select_window()`: what does not fit is said with the most that does.
    fn window_field(&self) -> u16 {
        let scaled = self.window.get().checked_shr(self.window_scale.into());
        u16::try_from(scaled.unwrap_or(0)).unwrap_or(u16::MAX)
    }

    const fn has(&self, flag: u32) -> bool {
        self.flags.get() & flag != 0
    }
}

#[cfg(test)]
mod tests {
    use sockpulse_core::End;

    use super::*;

    fn hz() -> Hz {
        Hz::new(250).unwrap()
    }

    fn whom(local: &str, remote: &str) -> Whom {
        let end = |addr: &str, port| End {
            addr: addr.parse().unwrap(),
            port,
        };
        Whom {
            cookie: Cookie(7),
            local: end(local, 0x0102),
            remote: end(remote, 0x0304),
            ifindex: 0,
        }
    }

    fn seen(change: impl FnOnce(&mut Cell)) -> Glance {
        let mut cell = Cell::new_zeroed();
        cell.flags.set(flag::SEEN);
        cell.state = 1;
        change(&mut cell);
        cell.glance(hz()).unwrap()
    }

    #[test]
    fn questions_are_put_as_the_peer_would_address_a_segment() {
        for (local, remote) in [
            ("10.0.0.1", "10.0.0.2"),
            ("::ffff:10.0.0.1", "::ffff:10.0.0.2"),
        ] {
            let cell = Cell::of(&whom(local, remote));
            assert_eq!(cell.ends[..12], [10, 0, 0, 2, 10, 0, 0, 1, 3, 4, 1, 2]);
            assert_eq!(cell.ends[12..], [0; 24]);
            assert_eq!((cell.cookie.get(), cell.asked.get()), (7, 0));
        }
        let cell = Cell::of(&whom("fe80::1", "fe80::2"));
        assert_eq!((cell.ends[15], cell.ends[31]), (2, 1));
        assert_eq!(cell.ends[32..], [3, 4, 1, 2]);
        assert_eq!(cell.asked.get(), question::IPV6);
    }

    #[test]
    fn what_was_not_seen_gives_none() {
        let glance = |flags, state| {
            let mut cell = Cell::new_zeroed();
            cell.flags.set(flags);
            cell.state = state;
            cell.glance(hz())
        };
        assert!(glance(flag::SEEN, 1).is_some());
        assert_eq!(glance(0, 1), None);
        assert_eq!(glance(flag::SEEN, 0), None);
        assert_eq!(glance(flag::SEEN, 99), None);
    }

    #[test]
    fn the_timeout_is_the_one_before_backing_off() {
        let measured = seen(|cell| {
            cell.srtt.set(8 * 150);
            cell.rttvar.set(200_000);
            cell.rto.set(800);
        });
        assert_eq!(measured.srtt, Some(Duration::from_micros(150)));
        assert_eq!(measured.rto, Duration::from_micros(200_150));
        let never = seen(|cell| cell.rto.set(250));
        assert_eq!((never.srtt, never.rto), (None, Duration::from_secs(1)));
    }

    #[test]
    fn the_window_is_scaled_into_its_field() {
        let field = |bytes, scale| {
            seen(|cell| {
                cell.window.set(bytes);
                cell.window_scale = scale;
            })
            .window
        };
        assert_eq!(field(65_536, 7), 512);
        assert_eq!(field(65_535, 0), 65_535);
        assert_eq!(field(1 << 20, 0), u16::MAX);
        assert_eq!(field(127, 7), 0);
        assert_eq!(field(u32::MAX, 40), 0, "no such scale");
    }

    #[test]
    fn zero_and_minus_one_mean_none() {
        let plain = seen(|cell| cell.hop_limit.set(-1));
        assert_eq!(
            (plain.hop_limit, plain.soft_error, plain.timestamps),
            (None, None, None)
        );
        let full = seen(|cell| {
            cell.hop_limit.set(64);
            cell.soft_error.set(113);
            cell.flags.set(flag::SEEN | flag::TIMESTAMPS);
            cell.received_age.set(500);
            cell.acked_age.set(250);
        });
        assert_eq!((full.hop_limit, full.soft_error), (Some(64), Some(113)));
        assert!(full.timestamps.is_some());
        assert_eq!(full.silence, Duration::from_secs(1));
    }
}
