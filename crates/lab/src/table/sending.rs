//! Connections with something to send: retransmission and the persist timer decide.

use sockpulse_core::machine::Errno;

use super::{case, row, slowly, stays};
use crate::fault::{Direction, Fault, Refusal};
use crate::scenario::{Begin, Case, Expected, Scenario, Twin};
use crate::settings::Settings;

const fn timeout(settings: Settings) -> Case {
    case(settings, Expected::Error(Errno::TimedOut))
}

const fn in_flight(
    name: &'static str,
    about: &'static str,
    fault: Fault,
    cases: &'static [Case],
) -> Scenario {
    Scenario {
        begin: Begin::InFlight,
        ..row(name, about, fault, cases)
    }
}

const RETRIES2: &str = "net.ipv4.tcp_retries2";

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        twin_of: Some(Twin {
            script: "test-dead.py",
            reported: "A connection with data in flight is given up after tcp_retries2 = 15 \
                retransmissions, some 15 minutes, whatever keepalive says; a user timeout ends it \
                sooner.",
            ours: "The same. The user timeout counts from the first retransmission, so the end comes \
                one retransmission timeout after it.",
        }),
        ..in_flight(
            "in-flight",
            "data is unacknowledged when the peer is gone",
            Fault::Vanish,
            &[
                timeout(Settings::own(2, 1, 3).and(3_000)),
                timeout(Settings::OFF.and(1_000)),
                timeout(Settings::OFF.and(3_000)),
                timeout(Settings::OFF.and(6_500)),
                timeout(Settings::own(1, 1, 1).and(10_000)),
                slowly(timeout(Settings::own(5, 5, 3).and(20_000))),
                slowly(timeout(Settings::OFF)),
            ],
        )
    },
    Scenario {
        begin: Begin::LateWrite,
        twin_of: Some(Twin {
            script: "test-estab.py",
            reported: "A user timeout alone lets an idle connection to a dead peer stay; once the \
                program writes, it ends the connection.",
            ours: "The same: the silence before the write does not count, and the end comes one \
                retransmission timeout after the user timeout.",
        }),
        ..row(
            "late-write",
            "the program writes 4 s after the peer is gone",
            Fault::Vanish,
            &[
                timeout(Settings::OFF.and(3_000)),
                timeout(Settings::own(60, 10, 6).and(2_000)),
            ],
        )
    },
    Scenario {
        sysctls: &[(RETRIES2, 3)],
        ..in_flight(
            "in-flight-retries2",
            "data in flight with tcp_retries2 = 3",
            Fault::Vanish,
            &[timeout(Settings::OFF), timeout(Settings::own(1, 1, 1))],
        )
    },
    Scenario {
        sysctls: &[(RETRIES2, 5)],
        ..in_flight(
            "in-flight-retries2-5",
            "data in flight with tcp_retries2 = 5",
            Fault::Vanish,
            &[timeout(Settings::OFF)],
        )
    },
    Scenario {
        sysctls: &[(RETRIES2, 8)],
        ..in_flight(
            "in-flight-retries2-8",
            "data in flight with tcp_retries2 = 8 (RFC 1122)",
            Fault::Vanish,
            &[slowly(timeout(Settings::own(60, 10, 6)))],
        )
    },
    in_flight(
        "in-flight-unreachable-host",
        "ICMP host unreachable gives the death its name",
        Fault::Refused(Refusal::Host),
        &[case(
            Settings::OFF.and(3_000),
            Expected::Error(Errno::HostUnreachable),
        )],
    ),
    in_flight(
        "in-flight-unreachable-network",
        "ICMP network unreachable names the death",
        Fault::Refused(Refusal::Network),
        &[case(
            Settings::OFF.and(3_000),
            Expected::Error(Errno::NetworkUnreachable),
        )],
    ),
    in_flight(
        "in-flight-unreachable-port",
        "ICMP port unreachable names the death",
        Fault::Refused(Refusal::Port),
        &[case(
            Settings::OFF.and(3_000),
            Expected::Error(Errno::ConnectionRefused),
        )],
    ),
    in_flight(
        "in-flight-reset",
        "data is answered with RST",
        Fault::Refused(Refusal::Reset),
        &[case(
            Settings::own(2, 1, 3),
            Expected::Error(Errno::ConnectionReset),
        )],
    ),
    in_flight(
        "in-flight-heals",
        "everything is lost for 2 s: data is sent again",
        Fault::Heals { after_ms: 2_000 },
        &[
            stays(Settings::own(1, 1, 1), 9),
            timeout(Settings::OFF.and(1_000)),
        ],
    ),
    Scenario {
        begin: Begin::ZeroWindow,
        twin_of: Some(Twin {
            script: "test-zero.py",
            reported: "A connection to a living peer that reads nothing stays for ever: its window \
                probes are answered. A user timeout ends it.",
            ours: "The same. The user timeout counts from the first window probe.",
        }),
        ..row(
            "zero-window",
            "a living peer reads nothing",
            Fault::Nothing,
            &[
                stays(Settings::OFF, 14),
                stays(Settings::own(1, 1, 1), 10),
                timeout(Settings::OFF.and(4_000)),
                timeout(Settings::own(1, 1, 1).and(6_000)),
            ],
        )
    },
    Scenario {
        begin: Begin::ZeroWindowThenGone,
        sysctls: &[(RETRIES2, 4)],
        ..row(
            "zero-window-gone",
            "a full peer vanishes; tcp_retries2 = 4",
            Fault::OneWay(Direction::ToServer),
            &[
                timeout(Settings::OFF),
                timeout(Settings::own(1, 1, 1).and(3_000)),
            ],
        )
    },
    Scenario {
        begin: Begin::SlowReader,
        twin_of: Some(Twin {
            script: "test-pacing.py",
            reported: "A peer that reads very slowly keeps a connection for as long as it likes: no \
                timeout of the kernel's ends it, so that the program has to measure its own pace.",
            ours: "The same without a user timeout. With one the connection is given up although data \
                passes every second: its clock starts anew only when the window takes all of the first \
                queued buffer (tcp_ack_probe()).",
        }),
        ..row(
            "slow-reader",
            "a living peer reads slowly, some 5 kB a second",
            Fault::Nothing,
            &[
                stays(Settings::OFF, 12),
                stays(Settings::own(1, 1, 2), 10),
                timeout(Settings::OFF.and(4_000)),
            ],
        )
    },
];
