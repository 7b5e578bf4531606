//! Middleboxes that forget.

use sockpulse_core::machine::Errno;

use super::{case, dies, error, row, slowly, stays};
use crate::fault::{Fault, Kind, Middlebox, Unknown};
use crate::scenario::{Expected, Scenario};
use crate::settings::Settings;

const fn nat(unknown: Unknown) -> Middlebox {
    Middlebox {
        kind: Kind::Nat,
        unknown,
    }
}

const fn firewall(unknown: Unknown) -> Middlebox {
    Middlebox {
        kind: Kind::Firewall,
        unknown,
    }
}

const fn forgetful(middlebox: Middlebox, timeout_s: u16) -> Fault {
    Fault::Forgetful {
        middlebox,
        timeout_s,
    }
}

pub(super) const SCENARIOS: &[Scenario] = &[
    row(
        "nat-silent",
        "a NAT forgets after 4 s and drops late probes",
        forgetful(nat(Unknown::Dropped), 4),
        &[
            dies(6, 1, 3),
            stays(Settings::own(2, 1, 3), 14),
            stays(Settings::own(3, 1, 2), 14),
            stays(Settings::OFF, 8),
            dies(5, 2, 2),
        ],
    ),
    row(
        "nat-reset",
        "a NAT forgets after 4 s and resets late probes",
        forgetful(nat(Unknown::Reset), 4),
        &[
            error(6, 1, 3, Errno::ConnectionReset),
            stays(Settings::own(2, 1, 3), 14),
            stays(Settings::OFF, 8),
        ],
    ),
    row(
        "nat-strict",
        "a NAT takes the late probe for invalid",
        forgetful(nat(Unknown::Strict), 4),
        &[dies(6, 1, 3)],
    ),
    row(
        "nat-readmits",
        "a NAT takes the late probe for a new connection",
        forgetful(nat(Unknown::Readmitted), 4),
        &[stays(Settings::own(6, 1, 3), 15)],
    ),
    row(
        "firewall-silent",
        "a firewall forgets after 3 s, drops late probes",
        forgetful(firewall(Unknown::Dropped), 3),
        &[dies(5, 1, 2), stays(Settings::own(1, 1, 2), 10)],
    ),
    row(
        "firewall-readmits",
        "a firewall takes the late probe for a new one",
        forgetful(firewall(Unknown::Readmitted), 3),
        &[stays(Settings::own(5, 1, 2), 13)],
    ),
    row(
        "nat-rebooted",
        "a NAT forgets all at once and drops probes",
        Fault::Flushed(nat(Unknown::Dropped)),
        &[dies(2, 1, 3), dies(1, 1, 2)],
    ),
    row(
        "nat-rebooted-strict",
        "a NAT forgets all at once; probes are invalid",
        Fault::Flushed(nat(Unknown::Strict)),
        &[dies(2, 1, 3)],
    ),
    row(
        "nat-rebooted-reset",
        "a NAT forgets all at once and resets probes",
        Fault::Flushed(nat(Unknown::Reset)),
        &[
            error(2, 1, 3, Errno::ConnectionReset),
            case(
                Settings::own(1, 1, 9).and(5_000),
                Expected::Error(Errno::ConnectionReset),
            ),
        ],
    ),
    row(
        "nat-rebooted-readmits",
        "a NAT forgets all at once and lets probes pass",
        Fault::Flushed(nat(Unknown::Readmitted)),
        &[stays(Settings::own(2, 1, 3), 8)],
    ),
    row(
        "firewall-rebooted",
        "a firewall forgets all at once and drops probes",
        Fault::Flushed(firewall(Unknown::Dropped)),
        &[dies(2, 1, 3)],
    ),
    row(
        "nat-minute",
        "a NAT forgets after a minute",
        forgetful(nat(Unknown::Dropped), 60),
        &[
            slowly(dies(70, 5, 2)),
            slowly(stays(Settings::own(45, 5, 2), 100)),
        ],
    ),
];
