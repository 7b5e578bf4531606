//! Connections that are not there yet, or not any more.

use sockpulse_core::machine::Errno;

use super::{case, row, slowly};
use crate::fault::{Direction, Fault, Refusal};
use crate::scenario::{Begin, Expected, Scenario, Twin};
use crate::settings::Settings;

const SYN_RETRIES: &str = "net.ipv4.tcp_syn_retries";
const LINEAR: &str = "net.ipv4.tcp_syn_linear_timeouts";
const SYNACK_RETRIES: &str = "net.ipv4.tcp_synack_retries";
const ORPHAN_RETRIES: &str = "net.ipv4.tcp_orphan_retries";

const TIMED_OUT: Expected = Expected::Error(Errno::TimedOut);

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario {
        begin: Begin::Connecting,
        twin_of: Some(Twin {
            script: "test-syn-sent.py",
            reported: "connect(2) to a host that drops SYNs fails after 2 min 10 s: six \
                retransmissions, each wait twice as long as the one before.",
            ours: "The reported time is 127 s by the settings and the lateness of timers. From 6.5 on the \
                SYN is repeated four times a second apart before waits double \
                (tcp_syn_linear_timeouts): 131 s by the settings.",
        }),
        ..row(
            "connect-nowhere",
            "nobody answers the SYN",
            Fault::Vanish,
            &[
                slowly(case(Settings::OFF, TIMED_OUT)),
                case(Settings::OFF.and(5_000), TIMED_OUT),
            ],
        )
    },
    Scenario {
        begin: Begin::Connecting,
        sysctls: &[(SYN_RETRIES, 2), (LINEAR, 1)],
        ..row(
            "connect-nowhere-briefly",
            "tcp_syn_retries = 2, tcp_syn_linear_timeouts = 1",
            Fault::Vanish,
            &[
                case(Settings::OFF, TIMED_OUT),
                case(Settings::own(1, 1, 1), TIMED_OUT),
            ],
        )
    },
    Scenario {
        begin: Begin::Connecting,
        sysctls: &[(SYN_RETRIES, 2), (LINEAR, 0)],
        ..row(
            "connect-nowhere-old",
            "tcp_syn_retries = 2, none linear (before 6.5)",
            Fault::Vanish,
            &[case(Settings::OFF, TIMED_OUT)],
        )
    },
    Scenario {
        begin: Begin::Connecting,
        ..row(
            "connect-reset",
            "the SYN is answered with RST",
            Fault::Refused(Refusal::Reset),
            &[case(
                Settings::OFF,
                Expected::Error(Errno::ConnectionRefused),
            )],
        )
    },
    Scenario {
        begin: Begin::Connecting,
        ..row(
            "connect-unreachable",
            "the SYN is answered with ICMP host unreachable",
            Fault::Refused(Refusal::Host),
            &[case(Settings::OFF, Expected::Error(Errno::HostUnreachable))],
        )
    },
    Scenario {
        begin: Begin::Accepting,
        twin_of: Some(Twin {
            script: "test-syn-recv.py",
            reported: "A request whose SYN-ACK nobody answers is dropped after tcp_synack_retries = \
                5 retransmissions, about a minute; no program is told.",
            ours: "The same: 63 s by the settings, and the lateness of timers.",
        }),
        ..row(
            "request-unanswered",
            "nobody answers the SYN-ACK",
            Fault::OneWay(Direction::ToClient),
            &[slowly(case(Settings::OFF, Expected::Dropped))],
        )
    },
    Scenario {
        begin: Begin::Accepting,
        sysctls: &[(SYNACK_RETRIES, 2)],
        ..row(
            "request-unanswered-briefly",
            "nobody answers; tcp_synack_retries = 2",
            Fault::OneWay(Direction::ToClient),
            &[case(Settings::OFF, Expected::Dropped)],
        )
    },
    Scenario {
        begin: Begin::HalfOpenServer,
        sysctls: &[(SYNACK_RETRIES, 2)],
        ..row(
            "last-ack-lost-server",
            "the handshake's last ACK is lost: the server's end",
            Fault::OneWay(Direction::ToServer),
            &[case(Settings::OFF, Expected::Dropped)],
        )
    },
    Scenario {
        begin: Begin::Closing,
        sysctls: &[(ORPHAN_RETRIES, 3)],
        ..row(
            "orphan",
            "closed when the peer is gone: FIN-WAIT-1",
            Fault::Vanish,
            &[
                case(Settings::OFF, Expected::Dropped),
                case(Settings::own(1, 1, 1), Expected::Dropped),
            ],
        )
    },
    Scenario {
        begin: Begin::Closing,
        ..row(
            "orphan-default",
            "an orphan with the kernel's tcp_orphan_retries",
            Fault::Vanish,
            &[slowly(case(Settings::OFF, Expected::Dropped))],
        )
    },
];
