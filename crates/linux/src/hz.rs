//! The kernel's tick rate, measured without any privilege.

use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use sockpulse_core::Hz;

/// Measures `CONFIG_HZ`: the kernel keeps `SO_RCVTIMEO` in jiffies, rounded up, so that a timeout of
/// one microsecond reads back as one jiffy (`sock_set_timeout()`, net/core/sock.c).
///
/// `None` when no socket could be opened or the answer is no tick rate.
#[must_use]
pub fn hz() -> Option<Hz> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .ok()?;
    set_socket_timeout(&socket, Timeout::Recv, Some(Duration::from_micros(1))).ok()?;
    of_jiffy(socket_timeout(&socket, Timeout::Recv).ok()??)
}

/// A jiffy in whole microseconds is exact for 100, 250 and 1000 Hz and rounds right for 300.
fn of_jiffy(jiffy: Duration) -> Option<Hz> {
    let micros = jiffy.as_micros();
    let hz = (1_000_000 + micros / 2).checked_div(micros)?;
    Hz::new(u32::try_from(hz).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_rates_are_told_from_a_jiffy() {
        for (micros, hz) in [(10_000, 100), (4000, 250), (3333, 300), (1000, 1000)] {
            assert_eq!(of_jiffy(Duration::from_micros(micros)), Hz::new(hz));
        }
        assert_eq!(of_jiffy(Duration::ZERO), None);
        assert_eq!(of_jiffy(Duration::from_secs(9)), None);
    }

    #[test]
    fn the_machines_own_rate_is_one_that_kernels_have() {
        let hz = hz().unwrap().get();
        assert!([100, 250, 300, 1000].contains(&hz), "{hz}");
    }
}
