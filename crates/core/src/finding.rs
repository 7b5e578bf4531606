//! Findings: judged facts with stable codes. Each code has a page under `docs/findings/`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use crate::assess::{CHATTY_BELOW, LONG_SILENCE};
use crate::connection::{Comm, End, NetnsId};
use crate::duration::human;
use crate::number::grouped;
use crate::paths;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $printed:literal, $severity:ident, $title:literal;)*) => {
        /// A finding's code: stable for ever, never reused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// How much it matters.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// What it says, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// The code as printed: `SP001`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $printed,)* }
            }
        }
    };
}

codes! {
    /// `SO_KEEPALIVE` is off.
    KeepaliveOff = 1, "SP001", Bad, "keepalive is off";
    /// A dead peer is noticed later than the target.
    Slow = 2, "SP002", Warn, "a dead peer is noticed too late";
    /// One lost probe can kill a living connection.
    Fragile = 3, "SP003", Bad, "one lost probe can kill";
    /// `TCP_USER_TIMEOUT` without keepalive does nothing for an idle connection.
    UserTimeoutAlone = 4, "SP004", Warn, "user timeout without keepalive";
    /// An idle of 300 s collides with conntrack's timeout for unacknowledged segments.
    IdleCollides = 5, "SP005", Note, "idle is exactly 300 s";
    /// Probes are sent more often than serves anyone.
    Chatty = 6, "SP006", Note, "probing too often";
    /// Idle is longer than the shortest known path timeout.
    LongerThanPath = 7, "SP007", Note, "idle is longer than a common path timeout";
    /// The timer was armed before the default was lowered.
    StaleTimer = 8, "SP008", Warn, "timer armed before the default was lowered";
    /// The sysctls were tuned, but sockets never asked for keepalive.
    SysctlUnused = 9, "SP009", Warn, "sysctl set, but sockets never asked";
    /// A namespace has other defaults than the one sockpulse runs in.
    NamespaceDiffers = 10, "SP010", Warn, "namespaces differ from the host";
    /// A default of no probes kills healthy connections.
    ZeroProbes = 11, "SP011", Bad, "default of 0 probes kills healthy connections";
    /// Silent for long with keepalive off: dead clients live here.
    SilentUnprotected = 12, "SP012", Bad, "silent for over an hour and never probed";
    /// Data is being retransmitted now: keepalive does not run.
    Retransmitting = 13, "SP013", Note, "data unacknowledged, retransmitting";
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Connections are lost or kept for ever.
    Bad,
    /// Worse than asked for.
    Warn,
    /// Worth knowing.
    Note,
}

impl Severity {
    /// As printed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Note => "note",
        }
    }
}

impl Code {
    /// Whether a namespace's default decides on it for connections that follow the default.
    #[must_use]
    pub const fn follows_default(self) -> bool {
        matches!(
            self,
            Self::Slow | Self::IdleCollides | Self::Chatty | Self::LongerThanPath
        )
    }

    /// From `SP001`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.name().eq_ignore_ascii_case(text))
    }
}

/// A set of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CodeSet(u32);

impl CodeSet {
    /// Adds a code.
    pub const fn insert(&mut self, code: Code) {
        self.0 |= 1 << code as u8;
    }

    /// Adds all codes of another set.
    pub const fn insert_all(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether the code is in the set.
    #[must_use]
    pub const fn contains(self, code: Code) -> bool {
        self.0 & (1 << code as u8) != 0
    }

    /// Whether no code is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The codes, by number.
    pub fn iter(self) -> impl Iterator<Item = Code> {
        Code::ALL
            .iter()
            .copied()
            .filter(move |code| self.contains(*code))
    }
}

/// The program that has most of a finding's connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// Its name; `None` for sockets without a process.
    pub program: Option<Comm>,
    /// How many of the connections are its.
    pub connections: u64,
    /// The local end that most likely is its service.
    pub end: Option<End>,
}

/// How a command gets into the namespace that it is meant for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entrance {
    /// It is the one that sockpulse runs in.
    Here,
    /// Through this process.
    Process(u32),
    /// No process in it is known.
    Unknown,
}

/// A judged fact about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub code: Code,
    /// Connections concerned; 0 for facts about namespaces alone.
    pub connections: u64,
    /// How many of them follow their namespace's defaults, so that a sysctl reaches them.
    pub inheriting: u64,
    /// Namespaces concerned, for facts about defaults.
    pub namespaces: Vec<NetnsId>,
    /// Who has most of them.
    pub worst: Option<Culprit>,
    /// How to get to the namespace where it is worst.
    pub entrance: Entrance,
    /// The target they are judged by.
    pub detect_within: Duration,
}

/// An idle that passes every box for which probes count, with room for a lost probe.
const IDLE_THAT_PASSES_S: u64 = 120;

/// An interval with which a few lost probes still leave time.
const INTERVAL_S: u64 = 20;

/// `7 connections have`, `1 connection has`.
fn count(n: u64, verb_one: &str, verb_many: &str) -> String {
    if n == 1 {
        format!("1 connection {verb_one}")
    } else {
        format!("{} connections {verb_many}", grouped(n))
    }
}

impl Finding {
    /// One sentence with numbers.
    #[must_use]
    pub fn sentence(&self) -> String {
        let n = self.connections;
        match self.code {
            Code::KeepaliveOff => {
                format!(
                    "{} keepalive off: a dead peer is never noticed",
                    count(n, "has", "have")
                )
            }
            Code::Slow => format!(
                "{} a dead peer only after more than {}",
                count(n, "notices", "notice"),
                human(self.detect_within)
            ),
            Code::Fragile => {
                format!("{} die of a single lost probe", count(n, "can", "can"))
            }
            Code::UserTimeoutAlone => format!(
                "{} a user timeout but no keepalive: useless while idle",
                count(n, "has", "have")
            ),
            Code::IdleCollides => {
                format!(
                    "{} an idle of exactly 300 s, conntrack's own limit",
                    count(n, "has", "have")
                )
            }
            Code::Chatty => {
                format!(
                    "{} probed more often than every {}",
                    count(n, "is", "are"),
                    human(CHATTY_BELOW)
                )
            }
            Code::LongerThanPath => {
                let path = paths::smallest();
                format!(
                    "{} {} or more between probes: {} forgets them first",
                    count(n, "has", "have"),
                    human(path.timeout),
                    path.title
                )
            }
            Code::StaleTimer => format!(
                "{} for a timer armed before the default was lowered",
                count(n, "still waits", "still wait")
            ),
            Code::SysctlUnused => format!(
                "the sysctls were changed, yet {} for keepalive",
                count(n, "never asked", "never asked")
            ),
            Code::NamespaceDiffers => match self.namespaces.len() {
                1 => "1 network namespace has other defaults than the host".to_string(),
                n => format!("{n} network namespaces have other defaults than the host"),
            },
            Code::ZeroProbes => {
                "tcp_keepalive_probes = 0 kills healthy idle connections unprobed".to_string()
            }
            Code::SilentUnprotected => format!(
                "{} silent for over {} and will never be probed",
                count(n, "was", "were"),
                human(LONG_SILENCE)
            ),
            Code::Retransmitting => {
                format!(
                    "{} data again and again: keepalive waits meanwhile",
                    count(n, "sends", "send")
                )
            }
        }
    }

    /// The command that mends it, or the one that shows most.
    #[must_use]
    pub fn remedy(&self) -> String {
        let program = self.worst.as_ref().and_then(|worst| worst.program);
        match self.code {
            Code::KeepaliveOff | Code::UserTimeoutAlone | Code::SysctlUnused => self
                .protect(program)
                .unwrap_or_else(|| self.show("--exposure unprotected", program)),
            // Whether they are dead is the question.
            Code::SilentUnprotected => {
                let silent = "--exposure unprotected --silent-for 1h";
                self.command("sockpulse ping", silent, program)
            }
            code if code.follows_default() && self.inheriting == 0 => {
                let wanted = if self.code == Code::Slow {
                    "--exposure slow"
                } else {
                    ""
                };
                self.software_switch()
                    .unwrap_or_else(|| self.show(wanted, program))
            }
            Code::Slow => {
                let (idle, interval, probes) = self.recommended();
                self.set_defaults(&[("idle", idle), ("interval", interval), ("probes", probes)])
            }
            Code::Fragile => self.show("--exposure fragile", program),
            Code::ZeroProbes => self.set_defaults(&[("probes", 5)]),
            Code::IdleCollides => self.set_defaults(&[("idle", IDLE_THAT_PASSES_S)]),
            // The longer of the two sets the pace.
            Code::LongerThanPath => {
                self.set_defaults(&[("idle", IDLE_THAT_PASSES_S), ("interval", INTERVAL_S)])
            }
            // It shows each with the command that gives it our values.
            Code::NamespaceDiffers => "sockpulse doctor".to_string(),
            Code::StaleTimer => self.rearm(),
            Code::Chatty | Code::Retransmitting => self.explanation(),
        }
    }

    /// Defaults that meet the target: five probes after the first half of the time, an idle of at
    /// most two minutes so that every box that counts probes is passed. Below three seconds no
    /// defaults leave room for a lost probe.
    fn recommended(&self) -> (u64, u64, u64) {
        let target = self.detect_within.as_secs().max(3);
        let idle = (target / 2).min(IDLE_THAT_PASSES_S);
        let interval = ((target - idle) / 5).clamp(1, INTERVAL_S);
        let probes = ((target - idle) / interval).min(5);
        (idle, interval, probes)
    }

    /// What the command does not do, where it might be thought to.
    #[must_use]
    pub fn caveat(&self) -> Option<&'static str> {
        let remedy = self.remedy();
        if remedy.starts_with("sockpulse protect ") {
            Some("open connections and those to come; --dry-run shows them first")
        } else if remedy.contains("config set") {
            Some("for clients to come; those connected now keep what they have")
        } else if remedy.contains("--rearm") {
            Some("over 30 s; each is probed one idle time after that")
        } else if remedy.contains("defaults set") {
            Some("until the next boot without --persist; armed timers follow with --rearm")
        } else {
            None
        }
    }

    /// Keepalive from outside, on what the program has open and on what comes, in whatever namespace.
    fn protect(&self, program: Option<Comm>) -> Option<String> {
        let name = plain_name(&program?)?;
        let (idle, interval, probes) = self.recommended();
        let probes = if idle + interval * 9 <= self.detect_within.as_secs() {
            // The kernel's nine will do.
            String::new()
        } else {
            format!(" --probes {probes}")
        };
        let [idle, interval] = [idle, interval].map(|time| human(Duration::from_secs(time)));
        Some(format!(
            "sockpulse protect --program {name} --idle {idle} --interval {interval}{probes}"
        ))
    }

    /// The program's own switch, where it can be thrown while it runs.
    fn software_switch(&self) -> Option<String> {
        let culprit = self.worst.as_ref()?;
        let client = match culprit.program?.bytes() {
            b"redis-server" => "redis-cli",
            b"valkey-server" => "valkey-cli",
            _ => return None,
        };
        // It listens there, and perhaps not on the loopback address.
        let end = culprit.end?;
        let (addr, port) = (end.addr.to_canonical(), end.port);
        self.inside(&format!(
            "{client} -h {addr} -p {port} config set tcp-keepalive 60"
        ))
    }

    /// A command as it has to be given to run in the namespace concerned.
    fn inside(&self, command: &str) -> Option<String> {
        match self.entrance {
            Entrance::Here => Some(command.to_string()),
            Entrance::Process(pid) => Some(format!("nsenter -t {pid} -n {command}")),
            Entrance::Unknown => None,
        }
    }

    /// Arms the timers anew.
    fn rearm(&self) -> String {
        self.on_defaults("--rearm")
    }

    fn set_defaults(&self, values: &[(&str, u64)]) -> String {
        let words = values
            .iter()
            .map(|(name, value)| format!("--{name} {value}"));
        self.on_defaults(&words.collect::<Vec<_>>().join(" "))
    }

    /// `defaults set` for the namespace concerned, where that can be named.
    fn on_defaults(&self, words: &str) -> String {
        match self.entrance {
            Entrance::Here => format!("sockpulse defaults set {words}"),
            Entrance::Process(pid) => format!("sockpulse defaults set {words} --netns {pid}"),
            Entrance::Unknown => self.explanation(),
        }
    }

    fn explanation(&self) -> String {
        format!("sockpulse explain {}", self.code.name())
    }

    fn show(&self, selectors: &str, program: Option<Comm>) -> String {
        self.command("sockpulse list", selectors, program)
    }

    fn command(&self, command: &str, selectors: &str, program: Option<Comm>) -> String {
        let program = program.and_then(|comm| plain_name(&comm));
        let program = program.map(|name| format!("--program {name}"));
        let netns = match self.entrance {
            Entrance::Process(pid) => Some(format!("--netns {pid}")),
            Entrance::Here | Entrance::Unknown => None,
        };
        let words = [
            command,
            selectors,
            program.as_deref().unwrap_or_default(),
            netns.as_deref().unwrap_or_default(),
        ];
        words
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The program's name where it can stand in a command line as it is: it is chosen by the process, and
/// a command is offered for pasting.
fn plain_name(comm: &Comm) -> Option<String> {
    let name = core::str::from_utf8(comm.bytes()).ok()?;
    let plain = !name.is_empty()
        && !name.starts_with('-')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-+@".contains(&b));
    plain.then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn finding(code: Code) -> Finding {
        Finding {
            code,
            connections: 7,
            inheriting: 7,
            namespaces: vec![NetnsId(4_026_531_840)],
            worst: Some(Culprit {
                program: Some(Comm::new(b"redis-server")),
                connections: 5,
                end: Some(End {
                    addr: core::net::IpAddr::from([10, 0, 0, 1]),
                    port: 6379,
                }),
            }),
            entrance: Entrance::Here,
            detect_within: Duration::from_secs(600),
        }
    }

    #[test]
    fn codes_are_numbered_from_one_and_parse_back() {
        for (n, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, n + 1);
            assert_eq!(code.name(), format!("SP{:03}", n + 1));
            assert_eq!(Code::parse(&code.name().to_lowercase()), Some(*code));
        }
        assert_eq!(Code::parse("SP999"), None);
    }

    #[test]
    fn sets_hold_what_was_put_in() {
        let mut set = CodeSet::default();
        assert!(set.is_empty());
        set.insert(Code::Slow);
        set.insert(Code::Retransmitting);
        assert!(set.contains(Code::Slow) && !set.contains(Code::Fragile));
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [Code::Slow, Code::Retransmitting]
        );
    }

    #[test]
    fn every_finding_speaks_and_names_a_command() {
        for code in Code::ALL {
            let finding = finding(*code);
            assert!(!finding.sentence().is_empty());
            let remedy = finding.remedy();
            assert!(
                ["sockpulse ", "redis-cli ", "nsenter "]
                    .iter()
                    .any(|command| remedy.starts_with(command)),
                "{remedy}"
            );
        }
    }

    #[test]
    fn a_hostile_name_is_never_offered_for_pasting() {
        for name in [&b"x; rm -rf /"[..], b"$(id)", b"-rf", b"a\nb", b"\xff", b""] {
            let mut hostile = finding(Code::SilentUnprotected);
            hostile.worst.as_mut().unwrap().program = Some(Comm::new(name));
            assert_eq!(
                hostile.remedy(),
                "sockpulse ping --exposure unprotected --silent-for 1h"
            );
        }
    }

    #[test]
    fn a_command_runs_where_the_connections_are() {
        let mut inside = Finding {
            entrance: Entrance::Process(77),
            ..finding(Code::KeepaliveOff)
        };
        assert_eq!(
            inside.remedy(),
            "sockpulse protect --program redis-server --idle 2m --interval 20s"
        );
        assert!(
            inside
                .caveat()
                .is_some_and(|text| text.contains("those to come"))
        );
        inside.code = Code::LongerThanPath;
        inside.inheriting = 0;
        assert_eq!(
            inside.remedy(),
            "nsenter -t 77 -n redis-cli -h 10.0.0.1 -p 6379 config set tcp-keepalive 60"
        );
        inside.inheriting = 7;
        inside.code = Code::Slow;
        assert!(
            inside
                .remedy()
                .starts_with("sockpulse defaults set --idle ")
        );
        inside.code = Code::StaleTimer;
        assert_eq!(inside.remedy(), "sockpulse defaults set --rearm --netns 77");
        inside.code = Code::Slow;
        inside.entrance = Entrance::Unknown;
        assert_eq!(
            inside.remedy(),
            "sockpulse explain SP002",
            "never in the wrong namespace"
        );
        assert_eq!(inside.caveat(), None);
    }

    #[test]
    fn no_sysctl_is_offered_to_sockets_with_values_of_their_own() {
        let mut own = Finding {
            inheriting: 0,
            ..finding(Code::LongerThanPath)
        };
        assert_eq!(
            own.remedy(),
            "redis-cli -h 10.0.0.1 -p 6379 config set tcp-keepalive 60"
        );
        own.worst.as_mut().unwrap().program = Some(Comm::new(b"java"));
        assert_eq!(own.remedy(), "sockpulse list --program java");
        own.code = Code::Slow;
        assert_eq!(
            own.remedy(),
            "sockpulse list --exposure slow --program java"
        );
    }

    #[test]
    fn recommended_defaults_meet_the_target() {
        for target in [3, 5, 11, 12, 30, 60, 300, 600, 7200] {
            let finding = Finding {
                detect_within: Duration::from_secs(target),
                ..finding(Code::Slow)
            };
            let (idle, interval, probes) = finding.recommended();
            assert!(idle + interval * probes <= target, "{target}");
            assert!(probes > 1, "{target}: one lost probe would kill");
        }
    }
}
