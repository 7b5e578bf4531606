//! Connections on which nobody speaks: keepalive decides.

use sockpulse_core::Family;
use sockpulse_core::machine::Errno;

use super::{case, dies, error, row, slowly, stays, with};
use crate::fault::{Direction, Fault, Link, Refusal, Unread};
use crate::scenario::{Begin, Case, Expected, Scenario, Twin};
use crate::settings::Settings;

pub(super) const SCENARIOS: &[Scenario] = &[
    row(
        "healthy",
        "nothing breaks, and keepalive does no harm",
        Fault::Nothing,
        &[
            stays(Settings::own(1, 1, 1), 6),
            stays(Settings::own(2, 1, 3).and(1_000), 8),
            stays(Settings::OFF.and(1_000), 5),
        ],
    ),
    row(
        "vanish",
        "the peer's host is gone without a word",
        Fault::Vanish,
        VANISH,
    ),
    Scenario {
        twin_of: Some(Twin {
            script: "test-idle.py",
            reported: "An idle established connection whose peer is gone stays for ever, and a user \
                timeout alone changes nothing. With keepalive as well the probes are not counted: it \
                ends at the first probe time at which the timeout has passed.",
            ours: "The same. With 1/11/111 and a user timeout of 33.5 s that is 1 + 3 x 11 = 34 s, up to \
                one interval later where a probe was answered before.",
        }),
        ..row(
            "user-timeout-idle",
            "user timeouts of an idle connection",
            Fault::Vanish,
            &[
                stays(Settings::OFF, 12),
                stays(Settings::OFF.and(3_000), 12),
                with(dies(1, 3, 111), 8_500),
                slowly(with(dies(1, 11, 111), 33_500)),
            ],
        )
    },
    Scenario {
        family: Family::Ipv6,
        ..row(
            "vanish-ipv6",
            "the peer's host is gone without a word, over IPv6",
            Fault::Vanish,
            &[dies(2, 1, 3), with(dies(1, 1, 9), 3_000)],
        )
    },
    Scenario {
        sysctls: &[
            ("net.ipv4.tcp_keepalive_time", 2),
            ("net.ipv4.tcp_keepalive_intvl", 1),
            ("net.ipv4.tcp_keepalive_probes", 2),
        ],
        ..row(
            "vanish-sysctl",
            "the peer is gone; the namespace's values are 2/1/2",
            Fault::Vanish,
            &[
                case(Settings::INHERITED, Expected::Error(Errno::TimedOut)),
                stays(Settings::OFF, 8),
            ],
        )
    },
    Scenario {
        sysctls: &[
            ("net.ipv4.tcp_keepalive_time", 2),
            ("net.ipv4.tcp_keepalive_probes", 0),
        ],
        ..row(
            "no-probes",
            "tcp_keepalive_probes = 0 kills a healthy one",
            Fault::Nothing,
            &[case(Settings::INHERITED, Expected::Error(Errno::TimedOut))],
        )
    },
    row(
        "lost-to-server",
        "what goes to the peer is lost",
        Fault::OneWay(Direction::ToServer),
        &[dies(2, 1, 3), with(dies(1, 2, 5), 4_000)],
    ),
    row(
        "lost-to-client",
        "what comes from the peer is lost",
        Fault::OneWay(Direction::ToClient),
        &[dies(2, 1, 3), dies(1, 2, 2)],
    ),
    row(
        "random-loss",
        "one packet in ten is lost: eight probes suffice",
        Fault::Loss { permille: 100 },
        &[stays(Settings::own(1, 1, 8), 12)],
    ),
    row(
        "own-link-down",
        "the own cable is out",
        Fault::LinkDown(Link::Own),
        &[dies(2, 1, 3)],
    ),
    row(
        "server-link-down",
        "the peer's cable is out",
        Fault::LinkDown(Link::Server),
        &[dies(2, 1, 3), dies(3, 2, 2)],
    ),
    row(
        "router-port-down",
        "the router has no way to the peer, and says so",
        Fault::LinkDown(Link::Router),
        &[dies(2, 1, 3)],
    ),
    row(
        "unreachable-network",
        "ICMP network unreachable ends nothing sooner",
        Fault::Refused(Refusal::Network),
        &[dies(2, 1, 3)],
    ),
    row(
        "unreachable-host",
        "ICMP host unreachable ends nothing sooner",
        Fault::Refused(Refusal::Host),
        &[dies(2, 1, 3), with(dies(1, 1, 9), 4_000)],
    ),
    row(
        "unreachable-port",
        "ICMP port unreachable ends nothing sooner",
        Fault::Refused(Refusal::Port),
        &[dies(2, 1, 3)],
    ),
    row(
        "prohibited",
        "ICMP prohibited ends nothing sooner",
        Fault::Refused(Refusal::Prohibited),
        &[dies(2, 1, 3)],
    ),
    row(
        "reset",
        "the first probe is answered with RST",
        Fault::Refused(Refusal::Reset),
        &[
            error(2, 1, 3, Errno::ConnectionReset),
            error(4, 1, 9, Errno::ConnectionReset),
            stays(Settings::OFF, 5),
        ],
    ),
    row(
        "peer-killed",
        "the peer's program is killed: FIN at once",
        Fault::Killed(Unread::Nothing),
        &[
            case(Settings::OFF, Expected::EndOfStream),
            case(Settings::own(2, 1, 3), Expected::EndOfStream),
        ],
    ),
    row(
        "peer-killed-unread",
        "the peer's program is killed with unread data: RST",
        Fault::Killed(Unread::Data),
        &[case(Settings::OFF, Expected::Error(Errno::ConnectionReset))],
    ),
    row(
        "peer-stopped",
        "the peer's program hangs: its kernel answers",
        Fault::Stopped,
        &[
            stays(Settings::own(1, 1, 2), 6),
            stays(Settings::own(1, 1, 2).and(1_500), 6),
        ],
    ),
    row(
        "power-cycle",
        "the peer's host is back before the first probe",
        Fault::Back { after_ms: 1_200 },
        &[
            error(2, 1, 3, Errno::ConnectionReset),
            error(5, 1, 3, Errno::ConnectionReset),
            stays(Settings::OFF, 5),
        ],
    ),
    row(
        "power-cycle-late",
        "the peer's host is back after some probes",
        Fault::Back { after_ms: 3_500 },
        &[
            error(2, 1, 3, Errno::ConnectionReset),
            error(1, 2, 4, Errno::ConnectionReset),
        ],
    ),
    row(
        "outage-heals",
        "everything is lost for 3.5 s, then nothing",
        Fault::Heals { after_ms: 3_500 },
        &[
            stays(Settings::own(2, 1, 3), 9),
            dies(1, 1, 2),
            stays(Settings::own(1, 1, 9).and(6_000), 9),
            with(dies(1, 1, 9), 2_500),
        ],
    ),
    Scenario {
        begin: Begin::HalfOpen,
        twin_of: Some(Twin {
            script: "test-syn-ack.py",
            reported: "When the last ACK of the handshake is lost, the client is established, the \
                server is not, and each follows its own timers.",
            ours: "The same: this is the client's end, which only keepalive ends.",
        }),
        ..row(
            "last-ack-lost",
            "only the client believes in the connection",
            Fault::OneWay(Direction::ToServer),
            &[dies(2, 1, 3), stays(Settings::OFF, 8)],
        )
    },
];

/// The settings themselves.
const VANISH: &[Case] = &[
    dies(2, 1, 3),
    dies(1, 1, 1),
    dies(1, 1, 3),
    dies(1, 1, 8),
    dies(3, 1, 2),
    dies(5, 1, 1),
    dies(4, 2, 3),
    dies(2, 4, 2),
    dies(1, 3, 2),
    dies(7, 1, 4),
    with(dies(2, 1, 3), 1_000),
    with(dies(2, 1, 3), 2_500),
    with(dies(2, 1, 3), 3_000),
    with(dies(2, 1, 3), 4_200),
    with(dies(2, 1, 3), 5_000),
    with(dies(2, 1, 3), 7_500),
    with(dies(2, 1, 3), 10_000),
    with(dies(2, 4, 3), 3_000),
    with(dies(1, 1, 127), 6_000),
    slowly(dies(10, 5, 3)),
    slowly(dies(20, 1, 5)),
    slowly(dies(5, 10, 2)),
    slowly(dies(30, 5, 2)),
    slowly(dies(60, 10, 6)),
    slowly(with(dies(10, 10, 9), 25_000)),
];
