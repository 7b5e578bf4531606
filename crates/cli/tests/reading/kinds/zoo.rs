//! One socket of every kind, with what is known of each.

mod ending;
mod established;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::kit::pair::Pair;
use crate::kit::socket::{Options, connected, listen};
use crate::kit::truth::{Moment, Truth};

/// The kernel's numbers of states, include/net/tcp_states.h.
const FIN_WAIT_2: u8 = 5;
const CLOSE_WAIT: u8 = 8;

/// Where a socket's process is.
#[derive(Debug)]
pub(crate) enum Held {
    /// In this process, by this descriptor.
    Here(OwnedFd),
    /// In this process, but the descriptor belongs to the Multipath TCP socket above it.
    ByMptcp(OwnedFd),
    /// Nowhere: the program closed it, and the kernel goes on with a whole socket.
    Orphan,
    /// Nowhere: nobody has accepted it.
    Unaccepted,
    /// Nowhere: it is a small entry of the kernel's, without settings.
    Entry,
}

/// A socket and what is known of it.
#[derive(Debug)]
pub(crate) struct Animal {
    pub(crate) name: &'static str,
    pub(crate) cookie: u64,
    pub(crate) state: &'static str,
    pub(crate) family: &'static str,
    pub(crate) options: Options,
    pub(crate) held: Held,
    pub(crate) keepalive_timer: &'static str,
    pub(crate) retransmission_timer: &'static [&'static str],
    /// What becomes of it when its peer dies; by sources that see the settings.
    pub(crate) exposure: Option<&'static str>,
}

impl Animal {
    /// The descriptor of the socket itself.
    pub(crate) fn descriptor(&self) -> Option<&OwnedFd> {
        match &self.held {
            Held::Here(socket) => Some(socket),
            _ => None,
        }
    }
}

/// All of them. The namespace's defaults are 3600 s, 20 s, 4.
#[derive(Debug)]
pub(crate) struct Zoo {
    pub(crate) pair: Pair,
    pub(crate) animals: Vec<Animal>,
    /// The peers' ends, and sockets that are no connections.
    others: Vec<OwnedFd>,
    there: TcpListener,
    there6: TcpListener,
}

/// `tcp_keepalive_time`, `_intvl`, `_probes` of the namespace.
pub(crate) const DEFAULTS: (u64, u64, u64) = (3600, 20, 4);

impl Zoo {
    /// Opens them; needs root.
    pub(crate) fn open() -> Self {
        let pair = Pair::new();
        for (name, value) in [
            ("time", DEFAULTS.0),
            ("intvl", DEFAULTS.1),
            ("probes", DEFAULTS.2),
        ] {
            let value = i64::try_from(value).unwrap();
            pair.here.set(&format!("tcp_keepalive_{name}"), value);
        }
        let there = listen(&pair.there, "0.0.0.0", 7000);
        let there6 = listen(&pair.there, "::", 7001);
        let mut zoo = Self {
            pair,
            animals: Vec::new(),
            others: Vec::new(),
            there,
            there6,
        };
        zoo.established();
        zoo.listeners_and_accepted();
        zoo.queues();
        zoo.closing();
        zoo.multipath();
        zoo.no_connections();
        // From here on nothing reaches the address that vanishes.
        zoo.beyond_the_vanished();
        zoo
    }

    /// What the kernel tells of the sockets that this process holds.
    pub(crate) fn moments(&self) -> Vec<Option<Moment>> {
        self.animals
            .iter()
            .map(|animal| animal.descriptor().map(Moment::of))
            .collect()
    }

    /// No descriptor leads to a subflow of Multipath TCP, so its settings stay unknown.
    pub(crate) fn status_by_pidfd(&self) -> i32 {
        let multipath = |animal: &Animal| matches!(animal.held, Held::ByMptcp(_));
        if self.animals.iter().any(multipath) {
            3
        } else {
            0
        }
    }

    /// Established to `address` with options, both ends.
    fn connection(&mut self, address: &str, options: Options) -> (TcpStream, TcpStream) {
        let listener = if address.contains(':') {
            &self.there6
        } else {
            &self.there
        };
        let (here, there) = connected(&self.pair.here, address, listener);
        options.apply(&here);
        (here, there)
    }

    /// A socket that is only bound, and one that is not even that, are no connections.
    fn no_connections(&mut self) {
        self.others.extend(self.pair.here.run(bound_and_fresh));
    }

    fn held(
        &mut self,
        name: &'static str,
        socket: impl Into<OwnedFd>,
        state: &'static str,
        options: Options,
        exposure: Option<&'static str>,
    ) -> &mut Animal {
        let socket = socket.into();
        let family = match rustix::net::sockopt::socket_domain(&socket).unwrap() {
            AddressFamily::INET6 => "ipv6",
            _ => "ipv4",
        };
        let timer = options.keepalive && state != "listen";
        self.animals.push(Animal {
            name,
            cookie: Truth::of(&socket).cookie,
            state,
            family,
            options,
            held: Held::Here(socket),
            keepalive_timer: if timer { "keepalive" } else { "none" },
            retransmission_timer: &["none"],
            exposure,
        });
        self.animals.last_mut().unwrap()
    }

    fn unheld(
        &mut self,
        name: &'static str,
        cookie: u64,
        state: &'static str,
        held: Held,
        keepalive_timer: &'static str,
    ) -> &mut Animal {
        self.animals.push(Animal {
            name,
            cookie,
            state,
            family: "ipv4",
            options: Options::OFF,
            held,
            keepalive_timer,
            retransmission_timer: &["none"],
            exposure: None,
        });
        self.animals.last_mut().unwrap()
    }
}

/// A socket that is only bound, and one that is not even that.
pub(super) fn bound_and_fresh() -> [OwnedFd; 2] {
    let bound = fresh(AddressFamily::INET);
    let at: SocketAddr = "127.0.0.1:5009".parse().unwrap();
    rustix::net::bind(&bound, &at).unwrap();
    [bound, fresh(AddressFamily::INET6)]
}

fn fresh(family: AddressFamily) -> OwnedFd {
    rustix::net::socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap()
}
