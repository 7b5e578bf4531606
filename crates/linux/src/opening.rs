//! Keepalive for a socket that its program is about to use: reads what it has, and sets what is
//! wanted of it.

use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto, sockopt as options};
use sockpulse_core::UserTimeout;
use sockpulse_preload::{Held, Request, Step, Timings, decide};

use crate::raw;
use crate::sockopt;

/// Sets the options of sockets.
#[derive(Debug)]
pub(crate) struct Setter {
    /// What a socket has here that nobody touched.
    fresh: Timings,
}

impl Setter {
    /// With this namespace's defaults as they are now.
    pub(crate) fn new() -> Self {
        Self {
            fresh: untouched().unwrap_or(KERNEL),
        }
    }

    /// Sets what is wanted of a socket that is about to connect or to listen, or whose program has just
    /// set an option. What the kernel refuses is left: the program goes on in any case.
    pub(crate) fn settle(&mut self, socket: BorrowedFd<'_>, request: &Request) {
        let Some(held) = held(socket) else { return };
        let inherited = self.inherited(held.timings);
        apply(socket, &decide(request, &held, Some(&inherited)));
    }

    /// The defaults that the socket follows where it holds nothing of its own, which getsockopt(2) does
    /// not tell: a value that every new socket has is inherited. A socket may come from another
    /// namespace, whose defaults are most likely the kernel's.
    fn inherited(&mut self, now: Timings) -> Timings {
        let is_default = |now, fresh, kernel| now == fresh || now == kernel;
        let known = |fresh: Timings| {
            is_default(now.idle, fresh.idle, KERNEL.idle)
                && is_default(now.interval, fresh.interval, KERNEL.interval)
                && is_default(now.probes, fresh.probes, KERNEL.probes)
        };
        if !known(self.fresh) {
            // The program has set a value, or somebody the default since we looked.
            self.fresh = untouched().unwrap_or(self.fresh);
        }
        let followed = |now, fresh, kernel| {
            if is_default(now, fresh, kernel) {
                now
            } else {
                fresh
            }
        };
        Timings {
            idle: followed(now.idle, self.fresh.idle, KERNEL.idle),
            interval: followed(now.interval, self.fresh.interval, KERNEL.interval),
            probes: followed(now.probes, self.fresh.probes, KERNEL.probes),
        }
    }
}

/// What every new network namespace starts with ([`NetnsDefaults::KERNEL`](sockpulse_core::NetnsDefaults::KERNEL)).
const KERNEL: Timings = Timings {
    idle: 7200,
    interval: 75,
    probes: 9,
};

/// Whether a socket is meant. `remote` is what it is about to connect to; a listener has no far end.
pub(crate) fn is_meant(
    request: &Request,
    socket: BorrowedFd<'_>,
    remote: Option<SocketAddr>,
) -> bool {
    if !request.is_selective() {
        return true;
    }
    let Some(local) = local(socket) else {
        return false;
    };
    match remote.or_else(|| peer(socket)) {
        Some(remote) => request.matches(&local, &remote),
        None => request.remotes.is_empty() && request.matches(&local, &NOWHERE),
    }
}

const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn local(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    let addr = rustix::net::getsockname(socket).ok()?;
    SocketAddr::try_from(addr).ok()
}

fn peer(socket: BorrowedFd<'_>) -> Option<SocketAddr> {
    let addr = rustix::net::getpeername(socket).ok()?;
    SocketAddr::try_from(addr?).ok()
}

/// What a socket holds; `None` when it has no timings, and for defaults that no option can be.
fn held(socket: BorrowedFd<'_>) -> Option<Held> {
    let number = |value: i64| u32::try_from(value).ok();
    Some(Held {
        keepalive: sockopt::keepalive(socket).ok()?,
        timings: timings(socket, number)?,
        // One of Multipath TCP has no such option, and refuses it when it is set.
        user_timeout: sockopt::user_timeout(socket).map_or(0, UserTimeout::get),
    })
}

fn timings(socket: impl AsFd, number: impl Fn(i64) -> Option<u32>) -> Option<Timings> {
    Some(Timings {
        idle: number(sockopt::keep_idle(&socket).ok()?)?,
        interval: number(sockopt::keep_intvl(&socket).ok()?)?,
        probes: number(sockopt::keep_cnt(&socket).ok()?)?,
    })
}

/// What a new socket has, as /proc/sys would tell with more system calls.
fn untouched() -> Option<Timings> {
    let families = [AddressFamily::INET, AddressFamily::INET6].into_iter();
    let mut sockets = families.map(|family| rustix::net::socket(family, SocketType::STREAM, None));
    timings(sockets.find_map(Result::ok)?, |value| {
        u32::try_from(value).ok()
    })
}

/// Whether it is a TCP socket or one of Multipath TCP, which passes its options on to the TCP sockets
/// below it and to what it accepts.
pub(crate) fn is_tcp(socket: BorrowedFd<'_>) -> bool {
    let is = |domain| domain == AddressFamily::INET || domain == AddressFamily::INET6;
    let speaks = |protocol| protocol == ipproto::TCP || protocol == ipproto::MPTCP;
    options::socket_protocol(socket).is_ok_and(|protocol| protocol.is_some_and(speaks))
        // A raw socket may have that protocol too.
        && options::socket_type(socket) == Ok(SocketType::STREAM)
        && options::socket_domain(socket).is_ok_and(is)
}

fn apply(socket: BorrowedFd<'_>, step: &Step) {
    let tcp = [
        (libc::TCP_KEEPINTVL, step.interval),
        (libc::TCP_KEEPCNT, step.probes),
        (libc::TCP_KEEPIDLE, step.idle),
        (libc::TCP_USER_TIMEOUT, step.user_timeout),
    ];
    for (name, value) in tcp {
        if let Some(value) = value.and_then(|value| i32::try_from(value).ok()) {
            // The program's socket works without.
            let _: Result<(), Errno> = raw::set_option(socket, libc::IPPROTO_TCP, name, value);
        }
    }
    if step.keepalive {
        let _ = raw::set_option(socket, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    }
}

/// Sets the options of the TCP sockets that this process holds and hands on to what it executes: a
/// listener of systemd's, a connection of inetd's. How many there are.
pub fn settle_inherited(request: &Request) -> usize {
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else {
        return 0;
    };
    let numbers: Vec<i32> = folder
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    let mut setter = Setter::new();
    let sockets = numbers.into_iter().filter_map(raw::handed_on);
    sockets
        .filter(|socket| is_tcp(socket.as_fd()) && is_meant(request, socket.as_fd(), None))
        .map(|socket| setter.settle(socket.as_fd(), request))
        .count()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use sockpulse_core::NetnsDefaults;

    use super::*;

    fn request(text: &str) -> Request {
        Request::parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_fresh_socket_is_set_and_one_of_its_own_mind_is_left() {
        let fresh = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = TcpListener::bind("127.0.0.1:0").unwrap();
        raw::set_option(&own, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77).unwrap();
        let mut setter = Setter::new();
        for socket in [&fresh, &own] {
            assert!(is_tcp(socket.as_fd()));
            setter.settle(socket.as_fd(), &request("idle=60,user-timeout=auto"));
            assert!(sockopt::keepalive(socket).unwrap());
        }
        assert_eq!(sockopt::keep_idle(&fresh).unwrap(), 60);
        assert_eq!(sockopt::keep_idle(&own).unwrap(), 77);
        let defaults = untouched().unwrap();
        for (socket, idle) in [(&fresh, 60), (&own, 77)] {
            let set = sockopt::user_timeout(socket).unwrap().get();
            assert_eq!(set, (idle + defaults.interval * defaults.probes) * 1_000);
        }
    }

    #[test]
    fn what_asks_for_keepalive_and_not_when_is_filled_in() {
        let asked = TcpListener::bind("127.0.0.1:0").unwrap();
        raw::set_option(&asked, libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1).unwrap();
        raw::set_option(&asked, libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 77).unwrap();
        let mut setter = Setter::new();
        // The second time is a connect(2) that is called again.
        for _ in 0..2 {
            setter.settle(asked.as_fd(), &request("idle=60,interval=5"));
            let set = [sockopt::keep_idle(&asked), sockopt::keep_intvl(&asked)];
            assert_eq!(set.map(Result::unwrap), [60, 77]);
        }
    }

    #[test]
    fn multipath_tcp_passes_on_all_but_the_user_timeout() {
        let address = "127.0.0.1:0".parse::<SocketAddr>().unwrap();
        let made =
            |protocol| rustix::net::socket(AddressFamily::INET, SocketType::STREAM, protocol);
        let listener = match made(Some(ipproto::MPTCP)) {
            Ok(listener) if sockopt::keep_idle(&listener).is_ok() => listener,
            _ => return eprintln!("SKIPPED: Multipath TCP with these options is not available"),
        };
        rustix::net::bind(&listener, &address).unwrap();
        assert!(is_tcp(listener.as_fd()));
        let request = request("idle=60,interval=5,probes=3,user-timeout=auto");
        Setter::new().settle(listener.as_fd(), &request);
        rustix::net::listen(&listener, 1).unwrap();
        let address: SocketAddr = rustix::net::getsockname(&listener)
            .unwrap()
            .try_into()
            .unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let accepted = rustix::net::accept(&listener).unwrap();
        assert_eq!(options::socket_protocol(&accepted), Ok(Some(ipproto::TCP)));
        let held = held(accepted.as_fd()).unwrap();
        let (idle, interval, probes) = (60, 5, 3);
        let timings = Timings {
            idle,
            interval,
            probes,
        };
        assert_eq!((held.keepalive, held.timings), (true, timings));
        assert_eq!(held.user_timeout, 0);
    }

    #[test]
    fn the_kernels_defaults_are_the_same_everywhere() {
        let NetnsDefaults {
            idle_s,
            interval_s,
            probes,
            ..
        } = NetnsDefaults::KERNEL;
        let here = [KERNEL.idle, KERNEL.interval, KERNEL.probes].map(i64::from);
        assert_eq!(here, [idle_s, interval_s, probes]);
    }

    #[test]
    fn other_sockets_are_no_tcp_sockets() {
        assert!(!is_tcp(UdpSocket::bind("127.0.0.1:0").unwrap().as_fd()));
        assert!(!is_tcp(std::fs::File::open("/dev/null").unwrap().as_fd()));
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_tcp(one.as_fd()));
    }

    #[test]
    fn ends_decide_which_sockets_are_meant() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let means = |text: &str, peer: Option<&str>| {
            let peer = peer.map(|peer| peer.parse().unwrap());
            is_meant(&request(text), socket.as_fd(), peer)
        };
        assert!(means("", None));
        assert!(means(&format!("local=:{port}"), None));
        assert!(means(&format!("port={port}"), None));
        assert!(!means("local=10.0.0.0/8", None));
        assert!(!means("remote=10.0.0.0/8", None), "a listener has no peer");
        assert!(means("remote=10.0.0.0/8", Some("10.1.2.3:80")));
        assert!(means("port=80", Some("10.1.2.3:80")));
        assert!(!means("remote=10.0.0.0/8:443", Some("10.1.2.3:80")));
    }
}
