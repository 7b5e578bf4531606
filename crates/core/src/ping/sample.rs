//! A connection for tests.

use core::time::Duration;

use super::glance::Glance;
use crate::connection::{Cookie, TcpState};

/// Idle and established, silent for an hour.
pub(super) fn glance() -> Glance {
    Glance {
        cookie: Cookie(7),
        state: TcpState::Established,
        segs_in: 100,
        data_segs_in: 50,
        silence: Duration::from_hours(1),
        unanswered: 0,
        unacked: 0,
        unread: 0,
        retransmits: 0,
        retransmitted: 0,
        rto: Duration::from_millis(204),
        srtt: Some(Duration::from_millis(4)),
        snd_una: 1000,
        snd_nxt: 1000,
        rcv_nxt: 2000,
        window: 502,
        timestamps: None,
        hop_limit: None,
        traffic_class: 0,
        mark: 0,
        signed: false,
        soft_error: None,
        mptcp: false,
        orphan: false,
        keepalive: false,
    }
}
