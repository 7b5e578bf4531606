//! The matcher: what a clause wants, held against a socket.

use core::net::IpAddr;

use super::{Clause, EndClause, Net, NetFamily, PATH_BYTES, PATH_PARTS, PlacePattern, Table};
use crate::connection::{Comm, End, NetnsId};
use crate::place::Place;
use crate::selector::{is_below, is_container, is_unit};

/// A socket when a program binds or connects it, or when its connection is made.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The process's name.
    pub comm: Comm,
    /// The process's id.
    pub pid: u32,
    /// Its cgroup's path, `/` for the root; empty when it is not known.
    pub cgroup: &'a str,
    /// The end here, if it is known already.
    pub local: Option<End>,
    /// The peer's end, if it is known already.
    pub remote: Option<End>,
    /// The network namespace.
    pub netns: NetnsId,
}

/// In which places a cgroup lies.
pub(super) fn places(patterns: &[PlacePattern], cgroup: &str) -> u32 {
    let parts = cgroup.split('/').filter(|part| !part.is_empty());
    if patterns.is_empty() || cgroup.len() > PATH_BYTES || parts.count() > PATH_PARTS {
        return 0;
    }
    let place = Place::from_cgroup(cgroup);
    let bits = patterns.iter().enumerate().map(|(n, pattern)| {
        let inside = match pattern {
            PlacePattern::Unit(unit) => is_unit(unit, &place),
            PlacePattern::Container(container) => is_container(container, &place),
            PlacePattern::Cgroup(path) => is_below(path, &place),
        };
        u32::from(inside) << n
    });
    bits.fold(0, |mask, bit| mask | bit)
}

impl Table {
    pub(super) fn satisfied(&self, clause: &Clause, subject: &Subject<'_>, places: u32) -> bool {
        let Subject {
            local,
            remote,
            netns,
            ..
        } = subject;
        let port_is = |end: &Option<End>, port| end.is_some_and(|end| end.port == port);
        clause.netns.is_none_or(|wanted| wanted == *netns)
            && clause.pid.is_none_or(|pid| pid == subject.pid)
            && clause
                .port
                .is_none_or(|port| port_is(local, port) || port_is(remote, port))
            && clause.local.is_none_or(|end| end.matches(local.as_ref()))
            && clause.remote.is_none_or(|end| end.matches(remote.as_ref()))
            && places & clause.places() == clause.places()
            && clause.program.is_none_or(|n| {
                let name = self.programs.get(usize::from(n));
                name.is_some_and(|name| name.matches(subject.comm.bytes()))
            })
    }
}

impl Clause {
    /// The places that are wanted, as a mask.
    pub(super) fn places(&self) -> u32 {
        let wanted = [self.unit, self.container, self.cgroup];
        wanted
            .into_iter()
            .flatten()
            .fold(0, |mask, place| mask | 1 << place)
    }
}

impl EndClause {
    fn matches(&self, end: Option<&End>) -> bool {
        end.is_some_and(|end| {
            self.port.is_none_or(|port| port == end.port)
                && self.net.is_none_or(|net| net.contains(end.addr))
        })
    }
}

impl Net {
    fn contains(&self, addr: IpAddr) -> bool {
        let (family, addr) = match addr.to_canonical() {
            IpAddr::V4(addr) => (NetFamily::V4, addr.to_ipv6_mapped()),
            IpAddr::V6(addr) => (NetFamily::V6, addr),
        };
        family == self.family && addr.to_bits() & self.mask.to_bits() == self.addr.to_bits()
    }
}
