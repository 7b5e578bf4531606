//! What breaks: how it is done to a [`Topology`], and the same as a world for the model.

use std::fmt;
use std::time::Duration;

use sockpulse_core::machine::{Answer, Errno, Sent, World};

use crate::error::Result;
use crate::host::Host;
use crate::topology::{CLIENT_PORT, SERVER_PORT, Topology};

/// Something that breaks between the client and the server, or at one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    Nothing,
    /// The server is gone without a word: the router drops everything, both ways.
    Vanish,
    /// One way is lost, the other works.
    OneWay(Direction),
    /// The router drops packets at random.
    Loss {
        /// How many of a thousand, each way.
        permille: u16,
    },
    /// A cable comes out.
    LinkDown(Link),
    /// The router refuses what the client sends.
    Refused(Refusal),
    /// The server's process is killed.
    Killed(Unread),
    /// The server's process is stopped (SIGSTOP).
    Stopped,
    /// The server loses its power and comes back without its connections.
    Back {
        /// How long after the last segment it is back.
        after_ms: u32,
    },
    /// Everything is dropped for a time.
    Heals {
        /// When the drop ends, after the last segment.
        after_ms: u32,
    },
    /// A middlebox that forgets silent connections.
    Forgetful {
        /// The middlebox.
        middlebox: Middlebox,
        /// After how many seconds of silence it forgets.
        timeout_s: u16,
    },
    /// A middlebox that forgets all connections at once, as by a reboot.
    Flushed(Middlebox),
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// Which cable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// At the client.
    Own,
    /// At the server.
    Server,
    /// At the router's port to the server.
    Router,
}

/// How the router refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// ICMP, network unreachable.
    Network,
    /// ICMP, host unreachable.
    Host,
    /// ICMP, port unreachable.
    Port,
    /// ICMP, administratively prohibited.
    Prohibited,
    /// RST in the server's name.
    Reset,
}

/// Whether the killed process had data that it had not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unread {
    /// It had not: its kernel sends FIN.
    Nothing,
    /// It had: its kernel sends RST.
    Data,
}

/// A router that tracks connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Middlebox {
    /// Whether it rewrites addresses.
    pub kind: Kind,
    /// What it does with a segment of a connection that it does not know.
    pub unknown: Unknown,
}

/// Whether a middlebox rewrites addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Source NAT (masquerade).
    Nat,
    /// It only filters.
    Firewall,
}

/// What a middlebox does with a segment, not a SYN, of a connection that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// Drops it, since only SYNs begin connections.
    Dropped,
    /// Drops it as invalid: `nf_conntrack_tcp_loose` is 0.
    Strict,
    /// Answers with RST.
    Reset,
    /// Takes it for a new connection and lets it pass.
    Readmitted,
}

impl Fault {
    /// What has to be there before the connection is made.
    pub(crate) fn prepare(self, topology: &Topology) -> Result<()> {
        match self {
            Self::Forgetful {
                middlebox,
                timeout_s,
            } => {
                middlebox.install(&topology.router)?;
                let name = "net.netfilter.nf_conntrack_tcp_timeout_established";
                topology.router.sysctl(name, timeout_s.into())
            }
            Self::Flushed(middlebox) => middlebox.install(&topology.router),
            _ => Ok(()),
        }
    }

    /// Breaks it. What happens to the server's process is the connection's business.
    pub(crate) fn strike(self, topology: &Topology) -> Result<()> {
        let router = &topology.router;
        match self {
            Self::Nothing | Self::Killed(_) | Self::Stopped | Self::Forgetful { .. } => Ok(()),
            Self::Vanish | Self::Back { .. } | Self::Heals { .. } => drop_all(router),
            Self::OneWay(Direction::ToServer) => drop_from(router, CLIENT_PORT),
            Self::OneWay(Direction::ToClient) => drop_from(router, SERVER_PORT),
            Self::Loss { permille } => router.nft(&format!(
                "insert rule inet lab gate numgen random mod 1000 < {permille} drop"
            )),
            Self::LinkDown(Link::Own) => topology.client.ip(&["link set eth0 down"]),
            Self::LinkDown(Link::Server) => topology.server.ip(&["link set eth0 down"]),
            Self::LinkDown(Link::Router) => router.ip(&[format!("link set {SERVER_PORT} down")]),
            Self::Refused(refusal) => router.nft(&format!(
                "insert rule inet lab gate iifname {CLIENT_PORT} meta l4proto tcp reject with {}",
                refusal.words()
            )),
            Self::Flushed(_) => router.flush_conntrack(),
        }
    }

    /// What changes later, and when, counted from the last segment.
    pub(crate) fn later(self) -> Option<(Duration, Change)> {
        match self {
            Self::Back { after_ms } => Some((millis(after_ms), Change::ServerReturns)),
            Self::Heals { after_ms } => Some((millis(after_ms), Change::PathHeals)),
            _ => None,
        }
    }

    /// The same for the model. `noted` ICMP errors that answer a SYN only leave a note behind.
    pub(crate) fn world(self, window: PeerWindow, noted: u32) -> FaultWorld {
        FaultWorld {
            fault: self,
            window,
            noted,
            passed: Duration::ZERO,
        }
    }

    /// How many that may be. An error that finds the socket locked does not end the attempt
    /// (`tcp_v4_err()`). On a path without delay the first one always does: it arrives while
    /// connect(2) holds the socket; and now and then the second, as was measured.
    pub(crate) fn most_noted(self) -> u32 {
        match self {
            Self::Refused(refusal) if refusal.errno().is_some() => 2,
            _ => 0,
        }
    }
}

/// What changes a while after the fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The server is back, with empty tables.
    ServerReturns,
    /// Nothing is dropped any more.
    PathHeals,
}

impl Change {
    pub(crate) fn make(self, topology: &mut Topology) -> Result<()> {
        if self == Self::ServerReturns {
            topology.replace_server()?;
        }
        topology.router.nft("flush chain inet lab gate")
    }
}

impl Middlebox {
    fn install(self, router: &Host) -> Result<()> {
        let loose = i64::from(self.unknown != Unknown::Strict);
        let (nat, new) = (self.kind == Kind::Nat, self.unknown.admits_any());
        let mut rules =
            String::from("add rule inet lab gate ct state established,related accept\n");
        rules += &match new {
            true => format!("add rule inet lab gate iifname {CLIENT_PORT} ct state new accept\n"),
            false => format!(
                "add rule inet lab gate iifname {CLIENT_PORT} tcp flags & (fin|syn|rst|ack) == syn \
                 accept\n"
            ),
        };
        rules += match self.unknown {
            Unknown::Reset => "add rule inet lab gate meta l4proto tcp reject with tcp reset\n",
            _ => "add rule inet lab gate meta l4proto tcp drop\n",
        };
        if nat {
            rules += "add chain inet lab out { type nat hook postrouting priority srcnat; }\n";
            rules += &format!("add rule inet lab out oifname {SERVER_PORT} masquerade\n");
        }
        router.nft(&rules)?;
        router.sysctl("net.netfilter.nf_conntrack_tcp_loose", loose)
    }
}

impl Unknown {
    /// Whether any segment of the client's may begin a connection, if conntrack lets it.
    const fn admits_any(self) -> bool {
        matches!(self, Self::Strict | Self::Readmitted)
    }
}

impl Refusal {
    /// In the words of nft(8).
    const fn words(self) -> &'static str {
        match self {
            Self::Network => "icmpx type no-route",
            Self::Host => "icmpx type host-unreachable",
            Self::Port => "icmpx type port-unreachable",
            Self::Prohibited => "icmpx type admin-prohibited",
            Self::Reset => "tcp reset",
        }
    }

    /// What the kernel makes of it (`icmp_err_convert`); `None` for RST.
    const fn errno(self) -> Option<Errno> {
        match self {
            Self::Network => Some(Errno::NetworkUnreachable),
            Self::Host | Self::Prohibited => Some(Errno::HostUnreachable),
            Self::Port => Some(Errno::ConnectionRefused),
            Self::Reset => None,
        }
    }
}

/// Whether the peer takes data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PeerWindow {
    Open,
    Closed,
}

/// A fault as the model meets it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaultWorld {
    fault: Fault,
    window: PeerWindow,
    noted: u32,
    /// When the last segment got through the middlebox.
    passed: Duration,
}

impl World for FaultWorld {
    fn answer(&mut self, now: Duration, sent: Sent) -> Answer {
        match self.fault {
            // Loss is a matter of luck; those scenarios are chosen so that it does not decide.
            Fault::Nothing | Fault::Stopped | Fault::Loss { .. } => self.acknowledged(),
            Fault::Vanish | Fault::OneWay(_) | Fault::LinkDown(_) => Answer::Lost,
            Fault::Killed(_) => RESET,
            Fault::Refused(refusal) => match refusal.errno() {
                Some(_) if matches!(sent, Sent::Syn { count } if count < self.noted) => {
                    Answer::Lost
                }
                Some(errno) => Answer::Unreachable {
                    after: Duration::ZERO,
                    errno,
                },
                None => RESET,
            },
            Fault::Back { after_ms } if now < millis(after_ms) => Answer::Lost,
            Fault::Back { .. } => RESET,
            Fault::Heals { after_ms } if now < millis(after_ms) => Answer::Lost,
            Fault::Heals { .. } => self.acknowledged(),
            Fault::Flushed(middlebox) => self.through(middlebox, Duration::ZERO, now),
            Fault::Forgetful {
                middlebox,
                timeout_s,
            } => self.through(middlebox, Duration::from_secs(timeout_s.into()), now),
        }
    }
}

const RESET: Answer = Answer::Reset {
    after: Duration::ZERO,
};

impl FaultWorld {
    fn acknowledged(&self) -> Answer {
        let after = Duration::ZERO;
        match self.window {
            PeerWindow::Open => Answer::Acked { after },
            PeerWindow::Closed => Answer::ZeroWindow { after },
        }
    }

    fn through(&mut self, middlebox: Middlebox, timeout: Duration, now: Duration) -> Answer {
        let known = timeout > Duration::ZERO && now.saturating_sub(self.passed) < timeout;
        if known || middlebox.unknown == Unknown::Readmitted {
            self.passed = now;
            return self.acknowledged();
        }
        // What is dropped refreshes nothing: it stays forgotten.
        match middlebox.unknown {
            Unknown::Reset => RESET,
            _ => Answer::Lost,
        }
    }
}

fn drop_all(router: &Host) -> Result<()> {
    router.nft("insert rule inet lab gate drop")
}

pub(crate) fn drop_from(router: &Host, port: &str) -> Result<()> {
    router.nft(&format!("insert rule inet lab gate iifname {port} drop"))
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

/// A sentence for people.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing breaks"),
            Self::Vanish => f.write_str("the router drops everything, both ways, without a word"),
            Self::OneWay(Direction::ToServer) => {
                f.write_str("the router drops what goes to the server")
            }
            Self::OneWay(Direction::ToClient) => {
                f.write_str("the router drops what comes from the server")
            }
            Self::Loss { permille } => write!(
                f,
                "the router drops {}.{} % of the packets at random, each way",
                permille / 10,
                permille % 10
            ),
            Self::LinkDown(Link::Own) => f.write_str("the client's own cable is out"),
            Self::LinkDown(Link::Server) => f.write_str("the server's cable is out"),
            Self::LinkDown(Link::Router) => f.write_str("the router's port to the server is down"),
            Self::Refused(Refusal::Reset) => f.write_str("the router answers with RST"),
            Self::Refused(refusal) => write!(
                f,
                "the router answers with ICMP {}",
                match refusal {
                    Refusal::Network => "network unreachable",
                    Refusal::Host => "host unreachable",
                    Refusal::Port => "port unreachable",
                    Refusal::Prohibited | Refusal::Reset => "administratively prohibited",
                }
            ),
            Self::Killed(Unread::Nothing) => {
                f.write_str("the server's process is killed; it had read everything")
            }
            Self::Killed(Unread::Data) => {
                f.write_str("the server's process is killed with data that it had not read")
            }
            Self::Stopped => f.write_str("the server's process is stopped (SIGSTOP)"),
            Self::Back { after_ms } => write!(
                f,
                "the server loses its power and is back after {} without its connections",
                sockpulse_core::human(millis(*after_ms))
            ),
            Self::Heals { after_ms } => write!(
                f,
                "the router drops everything for {}, then nothing",
                sockpulse_core::human(millis(*after_ms))
            ),
            Self::Forgetful {
                middlebox,
                timeout_s,
            } => write!(
                f,
                "{middlebox} forgets it after {timeout_s}s of silence and {}",
                middlebox.unknown
            ),
            Self::Flushed(middlebox) => {
                write!(
                    f,
                    "{middlebox} forgets every connection and {}",
                    middlebox.unknown
                )
            }
        }
    }
}

impl fmt::Display for Middlebox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Nat => "a NAT",
            Kind::Firewall => "a firewall",
        })
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dropped => "drops what it does not know",
            Self::Strict => "drops what it does not know as invalid",
            Self::Reset => "answers what it does not know with RST",
            Self::Readmitted => "takes what it does not know for a new connection",
        })
    }
}
