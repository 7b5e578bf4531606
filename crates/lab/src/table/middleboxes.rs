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
        "a NAT forgets after 4 s of silence and drops what it does not know",
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
        "the same, but it answers with RST: the probe itself ends the connection",
        forgetful(nat(Unknown::Reset), 4),
        &[
            error(6, 1, 3, Errno::ConnectionReset),
            stays(Settings::own(2, 1, 3), 14),
            stays(Settings::OFF, 8),
        ],
    ),
    row(
        "nat-strict",
        "a NAT that takes the late probe for invalid",
        forgetful(nat(Unknown::Strict), 4),
        &[dies(6, 1, 3)],
    ),
    row(
        "nat-readmits",
        "a NAT that takes the late probe for a new connection",
        forgetful(nat(Unknown::Readmitted), 4),
        &[stays(Settings::own(6, 1, 3), 15)],
    ),
    row(
        "firewall-silent",
        "a firewall without NAT that forgets after 3 s",
        forgetful(firewall(Unknown::Dropped), 3),
        &[dies(5, 1, 2), stays(Settings::own(1, 1, 2), 10)],
    ),
    row(
        "firewall-readmits",
        "the same, but it takes the late probe for a new connection",
        forgetful(firewall(Unknown::Readmitted), 3),
        &[stays(Settings::own(5, 1, 2), 13)],
    ),
    row(
        "nat-rebooted",
        "a NAT forgets everything at once and drops what it does not know",
        Fault::Flushed(nat(Unknown::Dropped)),
        &[dies(2, 1, 3), dies(1, 1, 2)],
    ),
    row(
        "nat-rebooted-strict",
        "the same, as invalid",
        Fault::Flushed(nat(Unknown::Strict)),
        &[dies(2, 1, 3)],
    ),
    row(
        "nat-rebooted-reset",
        "the same, with RST",
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
        "the same, but it takes the probe for a new connection",
        Fault::Flushed(nat(Unknown::Readmitted)),
        &[stays(Settings::own(2, 1, 3), 8)],
    ),
    row(
        "firewall-rebooted",
        "a firewall without NAT forgets everything at once",
        Fault::Flushed(firewall(Unknown::Dropped)),
        &[dies(2, 1, 3)],
    ),
    row(
        "nat-minute",
        "a NAT that forgets after a minute: probes in time keep it, late ones not",
        forgetful(nat(Unknown::Dropped), 60),
        &[
            slowly(dies(70, 5, 2)),
            slowly(stays(Settings::own(45, 5, 2), 100)),
        ],
    ),
];
