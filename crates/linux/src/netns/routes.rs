//! The local routing table (rtnetlink(7)): which destinations the kernel delivers to this namespace.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::ControlFlow;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;
use sockpulse_core::LocalRoutes;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Result};
use crate::netlink::{self, Netlink};

const REQUEST: &str = "dump the local routing table";

/// Number 0 of the netlink protocols.
const NETLINK_ROUTE: Option<rustix::net::Protocol> = None;
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const RT_TABLE_LOCAL: u8 = 255;
const RTN_LOCAL: u8 = 2;
const RTA_DST: u16 = 1;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// `struct rtmsg`.
#[derive(FromBytes, IntoBytes, KnownLayout, Immutable, Clone, Copy, Default)]
#[repr(C)]
struct RouteHeader {
    family: u8,
    dst_len: u8,
    src_len: u8,
    tos: u8,
    table: u8,
    protocol: u8,
    scope: u8,
    kind: u8,
    flags: u32,
}

/// Reads the local routes of the calling thread's namespace, IPv4 and IPv6. Needs no privilege.
pub(super) fn local() -> Result<LocalRoutes> {
    let mut netlink = Netlink::open(NETLINK_ROUTE, "a NETLINK_ROUTE socket")?;
    filter_in_kernel(&netlink);
    let mut routes = LocalRoutes::default();
    for family in [AF_INET, AF_INET6] {
        let request = RouteHeader {
            family,
            table: RT_TABLE_LOCAL,
            kind: RTN_LOCAL,
            ..RouteHeader::default()
        };
        let mut cut = false;
        let dumped = netlink.dump(REQUEST, RTM_GETROUTE, &request, |datagram| {
            cut |= collect(datagram, family, &mut routes).is_none();
            ControlFlow::Continue(())
        });
        match dumped {
            // A route more or less while it was read does not matter.
            Ok(_) => {}
            // Without any route yet, the table does not exist; nor does IPv6 everywhere.
            Err(Error::Refused { errno, .. }) if is_absent(errno) => {}
            Err(error) => return Err(error),
        }
        if cut {
            return Err(Error::Malformed {
                object: "the local routing table".into(),
            });
        }
    }
    Ok(routes)
}

fn is_absent(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(
        errno,
        Errno::NOENT | Errno::AFNOSUPPORT | Errno::OPNOTSUPP | Errno::PROTONOSUPPORT
    )
}

/// Has the kernel filter by table and type (since 4.20): a router may have a million routes. Older
/// kernels send all; then they are sorted out here.
#[expect(unsafe_code, reason = "rustix lacks NETLINK_GET_STRICT_CHK")]
fn filter_in_kernel(netlink: &Netlink) {
    let on: libc::c_int = 1;
    let length = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or_default();
    // SAFETY: the descriptor is open, and the option's value is an int that outlives the call.
    let _unknown_to_old_kernels = unsafe {
        libc::setsockopt(
            netlink.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_GET_STRICT_CHK,
            (&raw const on).cast(),
            length,
        )
    };
}

/// Adds a datagram's routes; `None` when it is cut.
fn collect(datagram: &[u8], family: u8, routes: &mut LocalRoutes) -> Option<()> {
    let mut messages = netlink::messages(datagram);
    while let Some(message) = messages.next_content() {
        let message = message.ok()?;
        if message.kind != RTM_NEWROUTE {
            continue;
        }
        let (route, rest) = RouteHeader::read_from_prefix(message.payload).ok()?;
        let wanted = (family, RT_TABLE_LOCAL, RTN_LOCAL);
        if (route.family, route.table, route.kind) != wanted {
            continue;
        }
        for attribute in netlink::attributes(rest) {
            let (kind, value) = attribute.ok()?;
            if kind == RTA_DST {
                routes.insert(IpNet::new(address(value)?, route.dst_len).ok()?);
            }
        }
    }
    Some(())
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(bytes).into());
    }
    let bytes = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_lengths() {
        assert_eq!(address(&[10, 0, 0, 1]), Some([10, 0, 0, 1].into()));
        assert_eq!(address(&[0; 16]), Some(Ipv6Addr::UNSPECIFIED.into()));
        assert_eq!(address(&[1; 5]), None);
    }

    #[test]
    fn cut_datagrams_are_refused() {
        let mut routes = LocalRoutes::default();
        assert_eq!(collect(&[1, 2, 3], AF_INET, &mut routes), None);
        assert_eq!(collect(&[], AF_INET, &mut routes), Some(()));
    }
}
