//! Which connections: one matcher for flags and policy.

use alloc::string::String;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::net::IpAddr;
use core::str::FromStr;
use core::time::Duration;

use ipnet::IpNet;

use crate::assess::Exposure;
use crate::connection::{Connection, End, NetnsId, TcpState};
use crate::glob::Glob;
use crate::place::Place;

/// An end to match: `[ADDR|CIDR][:PORT]`, with brackets around an IPv6 address that has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndPattern {
    /// The address must lie here.
    pub net: Option<IpNet>,
    /// The port must be this.
    pub port: Option<u16>,
}

/// Why a text is not an end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndPatternError {
    /// Neither address nor port.
    #[error("write ADDRESS, CIDR, :PORT or both, like 10.0.0.0/8:6379 or [2001:db8::1]:443")]
    Empty,
    /// The address part.
    #[error("{0:?} is not an address or CIDR")]
    Address(String),
    /// The prefix has bits beyond its length.
    #[error("{0} has host bits set: did you mean {1}?")]
    HostBits(String, String),
    /// The port part.
    #[error("{0:?} is not a port (1 to 65535)")]
    Port(String),
}

impl EndPattern {
    /// Whether the end lies in the pattern; IPv4-mapped addresses count as IPv4.
    #[must_use]
    pub fn matches(&self, end: &End) -> bool {
        self.port.is_none_or(|port| port == end.port)
            && self
                .net
                .is_none_or(|net| net.contains(&end.addr.to_canonical()))
    }
}

impl FromStr for EndPattern {
    type Err = EndPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (addr, port) = split_end(text);
        let port = match port {
            Some(port) => Some(
                port.parse()
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(|| EndPatternError::Port(port.into()))?,
            ),
            None => None,
        };
        let net = if addr.is_empty() || addr == "*" {
            None
        } else {
            Some(parse_net(addr)?)
        };
        if net.is_none() && port.is_none() {
            return Err(EndPatternError::Empty);
        }
        Ok(Self { net, port })
    }
}

fn split_end(text: &str) -> (&str, Option<&str>) {
    if let Some(inner) = text.strip_prefix('[') {
        // [ADDR], [ADDR]:PORT, [ADDR/LEN]:PORT
        if let Some((addr, rest)) = inner.split_once(']') {
            match rest.strip_prefix(':') {
                Some(port) => return (addr, Some(port)),
                None if rest.is_empty() => return (addr, None),
                None => {}
            }
        }
        return (text, None);
    }
    match text.rsplit_once(':') {
        // More than one colon without brackets is a bare IPv6 address.
        Some((addr, port)) if !addr.contains(':') => (addr, Some(port)),
        _ => (text, None),
    }
}

fn parse_net(text: &str) -> Result<IpNet, EndPatternError> {
    let net = match text.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => {
            let addr: IpAddr = text
                .parse()
                .map_err(|_| EndPatternError::Address(text.into()))?;
            IpNet::from(addr.to_canonical())
        }
    };
    if net.trunc() != net {
        return Err(EndPatternError::HostBits(
            text.into(),
            net.trunc().to_string(),
        ));
    }
    Ok(net)
}

/// Which connections: values of one kind mean "or", different kinds mean "and"; an empty kind
/// matches everything.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// Names of the owning program.
    pub programs: Vec<Glob>,
    /// Process ids.
    pub pids: Vec<u32>,
    /// systemd units; `.service` may be left out.
    pub units: Vec<Glob>,
    /// Container names, or ids of which twelve digits are enough.
    pub containers: Vec<Glob>,
    /// cgroup paths; everything below is meant too.
    pub cgroups: Vec<String>,
    /// The end here.
    pub locals: Vec<EndPattern>,
    /// The peer's end.
    pub remotes: Vec<EndPattern>,
    /// Either end's port.
    pub ports: Vec<u16>,
    /// States.
    pub states: Vec<TcpState>,
    /// Silent for at least this long; the shortest of several counts.
    pub silent_for: Option<Duration>,
    /// Exposures.
    pub exposures: Vec<Exposure>,
    /// Network namespaces; empty means all that were read.
    pub namespaces: Vec<NetnsId>,
}

impl Selector {
    /// Whether the connection is meant. `exposure` is `None` where the word does not apply.
    #[must_use]
    pub fn matches(
        &self,
        connection: &Connection,
        place: &Place,
        exposure: Option<Exposure>,
    ) -> bool {
        let id = &connection.id;
        any(&self.namespaces, |netns| *netns == id.netns)
            && any(&self.states, |state| *state == connection.state)
            && any(&self.ports, |port| {
                *port == id.local.port || *port == id.remote.port
            })
            && any(&self.locals, |end| end.matches(&id.local))
            && any(&self.remotes, |end| end.matches(&id.remote))
            && any(&self.exposures, |wanted| Some(*wanted) == exposure)
            && self.silent_for.is_none_or(|least| {
                connection
                    .silence_ms
                    .is_some_and(|ms| Duration::from_millis(ms) >= least)
            })
            && any(&self.pids, |pid| {
                connection.owner.processes.iter().any(|p| p.pid == *pid)
            })
            && any(&self.programs, |name| {
                connection
                    .owner
                    .processes
                    .iter()
                    .any(|p| name.matches(p.comm.bytes()))
            })
            && self.matches_place(place)
    }

    /// Whether the selector asks for nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.programs.is_empty()
            && self.pids.is_empty()
            && self.units.is_empty()
            && self.containers.is_empty()
            && self.cgroups.is_empty()
            && self.locals.is_empty()
            && self.remotes.is_empty()
            && self.ports.is_empty()
            && self.states.is_empty()
            && self.silent_for.is_none()
            && self.exposures.is_empty()
            && self.namespaces.is_empty()
    }

    fn matches_place(&self, place: &Place) -> bool {
        any(&self.units, |unit| is_unit(unit, place))
            && any(&self.containers, |wanted| is_container(wanted, place))
            && any(&self.cgroups, |path| is_below(path, place))
    }
}

/// Whether the place's unit is meant.
pub(crate) fn is_unit(unit: &Glob, place: &Place) -> bool {
    place.unit.as_deref().is_some_and(|name| {
        unit.matches(name.as_bytes())
            || name
                .strip_suffix(".service")
                .is_some_and(|short| unit.matches(short.as_bytes()))
    })
}

/// Whether the place's container is meant.
pub(crate) fn is_container(wanted: &Glob, place: &Place) -> bool {
    place
        .container
        .as_deref()
        .map(str::as_bytes)
        .is_some_and(|id| {
            wanted.matches(id) || id.get(..12).is_some_and(|short| wanted.matches(short))
        })
}

/// Whether the place's cgroup is this one or below it.
pub(crate) fn is_below(path: &str, place: &Place) -> bool {
    let path = path.trim_end_matches('/');
    let below = place.cgroup.strip_prefix(path);
    // A cgroup that is not known is not below the root either.
    !place.cgroup.is_empty() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn any<T>(wanted: &[T], matches: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

/// Parses a state's name; ss's spellings are understood too.
#[must_use]
pub fn parse_state(text: &str) -> Option<TcpState> {
    let text = match text {
        "estab" => "established",
        "syn-recv" => "syn-received",
        "listening" => "listen",
        "close" => "closed",
        other => other,
    };
    TcpState::ALL.into_iter().find(|state| state.name() == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_read_as_people_write_them() {
        for (text, net, port) in [
            ("10.0.0.1", Some("10.0.0.1/32"), None),
            ("10.0.0.0/8", Some("10.0.0.0/8"), None),
            (":6379", None, Some(6379)),
            ("*:6379", None, Some(6379)),
            ("10.0.0.0/8:6379", Some("10.0.0.0/8"), Some(6379)),
            ("2001:db8::1", Some("2001:db8::1/128"), None),
            ("[2001:db8::1]:443", Some("2001:db8::1/128"), Some(443)),
            ("[2001:db8::/32]:443", Some("2001:db8::/32"), Some(443)),
            ("[::1]", Some("::1/128"), None),
            ("::ffff:10.0.0.1", Some("10.0.0.1/32"), None),
        ] {
            let pattern: EndPattern = text.parse().unwrap();
            assert_eq!(pattern.net, net.map(|net| net.parse().unwrap()), "{text}");
            assert_eq!(pattern.port, port, "{text}");
        }
    }

    #[test]
    fn impossible_ends_are_refused() {
        for text in [
            "",
            ":",
            ":0",
            ":70000",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "host:1",
            "[::1",
            "[::1]x",
            "1:2:3",
        ] {
            assert!(text.parse::<EndPattern>().is_err(), "{text}");
        }
        assert_eq!(
            "10.0.0.1/8".parse::<EndPattern>().unwrap_err().to_string(),
            "10.0.0.1/8 has host bits set: did you mean 10.0.0.0/8?"
        );
    }

    #[test]
    fn mapped_addresses_match_as_ipv4() {
        let pattern: EndPattern = "10.0.0.0/8:80".parse().unwrap();
        let end = |addr: &str, port| End {
            addr: addr.parse().unwrap(),
            port,
        };
        assert!(pattern.matches(&end("::ffff:10.1.2.3", 80)));
        assert!(!pattern.matches(&end("::ffff:10.1.2.3", 81)));
        assert!(!pattern.matches(&end("11.0.0.1", 80)));
    }

    #[test]
    fn places_match_by_short_forms() {
        let place = Place::from_cgroup("/system.slice/redis.service");
        let unit = |name| Selector {
            units: alloc::vec![Glob::new(name)],
            ..Selector::default()
        };
        assert!(unit("redis").matches_place(&place));
        assert!(unit("redis.service").matches_place(&place));
        assert!(!unit("redi").matches_place(&place));
        let cgroup = |path: &str| Selector {
            cgroups: alloc::vec![path.into()],
            ..Selector::default()
        };
        assert!(cgroup("/system.slice").matches_place(&place));
        assert!(cgroup("/system.slice/").matches_place(&place));
        assert!(cgroup("/").matches_place(&place));
        assert!(!cgroup("/system").matches_place(&place));
        assert!(!cgroup("/").matches_place(&Place::default()));
    }

    #[test]
    fn states_have_sss_spellings_too() {
        assert_eq!(parse_state("syn-recv"), Some(TcpState::SynReceived));
        assert_eq!(parse_state("fin-wait-2"), Some(TcpState::FinWait2));
        assert_eq!(parse_state("bogus"), None);
    }
}
