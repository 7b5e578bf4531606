//! One socket of every kind, with what is known of each.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, HERE6, NOBODY, Pair, THERE, THERE6, VANISHING};
use crate::kit::socket::{
    Options, begin_to_connect, connect, connected, listen, mptcp, wait_for_state,
};
use crate::kit::ss::ss;
use crate::kit::sys;
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

    fn established(&mut self) {
        let own = Options::own;
        let user_timeout = |options, user_timeout_ms| Options {
            user_timeout_ms,
            ..options
        };
        let idle_alone = Options {
            idle_s: Some(50),
            ..Options::ON
        };
        let switched_off = Options {
            keepalive: false,
            ..own(31, 7, 3)
        };
        for (name, address, options, exposure) in [
            ("nothing set", THERE, Options::OFF, "unprotected"),
            ("on, all inherited", THERE, Options::ON, "slow"),
            ("on, all its own", THERE, own(33, 7, 4), "protected"),
            ("on, one of its own", THERE, idle_alone, "protected"),
            ("on, slow of its own", THERE, own(9000, 75, 9), "slow"),
            ("one probe decides", THERE, own(60, 10, 1), "fragile"),
            (
                "user timeout beyond two probes",
                THERE,
                user_timeout(own(60, 10, 6), 120_000),
                "protected",
            ),
            (
                "user timeout below two probes",
                THERE,
                user_timeout(own(60, 10, 6), 30_000),
                "fragile",
            ),
            (
                "user timeout alone",
                THERE,
                user_timeout(Options::OFF, 30_000),
                "unprotected",
            ),
            (
                "values, switched off again",
                THERE,
                switched_off,
                "unprotected",
            ),
            ("IPv6, nothing set", THERE6, Options::OFF, "unprotected"),
            ("IPv6, on", THERE6, own(61, 11, 5), "protected"),
        ] {
            let (here, there) = self.connection(address, options);
            self.others.push(there.into());
            self.held(name, here, "established", options, Some(exposure));
        }
    }

    fn listeners_and_accepted(&mut self) {
        let options = Options::own(41, 9, 6);
        let listener = listen(&self.pair.here, HERE, 5001);
        options.apply(&listener);
        let (there, here) = connected(&self.pair.there, HERE, &listener);
        self.others.push(there.into());
        self.held(
            "inherited from the listener",
            here,
            "established",
            options,
            Some("protected"),
        );
        self.held("listener with keepalive", listener, "listen", options, None);

        let dual = listen(&self.pair.here, "::", 5002);
        let (there, here) = connected(&self.pair.there, HERE, &dual);
        self.others.push(there.into());
        self.held(
            "IPv4-mapped",
            here,
            "established",
            Options::OFF,
            Some("unprotected"),
        );
        let (there, here) = connected(&self.pair.there, HERE6, &dual);
        self.others.push(there.into());
        self.held(
            "IPv6, accepted",
            here,
            "established",
            Options::OFF,
            Some("unprotected"),
        );
        self.held(
            "listener of both families",
            dual,
            "listen",
            Options::OFF,
            None,
        );

        let busy = listen(&self.pair.here, HERE, 5003);
        let unaccepted = connect(&self.pair.there, HERE, 5003);
        let port = unaccepted.local_addr().unwrap().port();
        self.others.push(unaccepted.into());
        let cookie = cookie_by_remote_port(&self.pair.here, port);
        self.animals.push(Animal {
            name: "not accepted",
            cookie,
            state: "established",
            family: "ipv4",
            options: Options::OFF,
            held: Held::Unaccepted,
            keepalive_timer: "none",
            retransmission_timer: &["none"],
            exposure: Some("unprotected"),
        });
        self.held(
            "listener with one waiting",
            busy,
            "listen",
            Options::OFF,
            None,
        );
    }

    fn queues(&mut self) {
        let (here, mut there) = self.connection(THERE, Options::OFF);
        there.write_all(&[7; 1000]).unwrap();
        wait_for("1000 bytes", || {
            let mut bytes = [0; 2000];
            (here.peek(&mut bytes).unwrap() == 1000).then_some(())
        });
        self.others.push(there.into());
        self.held(
            "unread bytes",
            here,
            "established",
            Options::OFF,
            Some("unprotected"),
        );

        let options = Options::own(60, 10, 6);
        let (mut here, there) = self.connection(THERE, options);
        here.set_nonblocking(true).unwrap();
        let cookie = Truth::of(&here).cookie;
        let bytes = vec![7; 1 << 20];
        wait_for("a closed window", || {
            while here.write(&bytes).is_ok() {}
            (ss(&self.pair.here)[&cookie].timer == "persist").then_some(())
        });
        self.others.push(there.into());
        let name = "the peer's window is closed";
        let animal = self.held(name, here, "established", options, Some("protected"));
        animal.retransmission_timer = &["persist"];
    }

    fn closing(&mut self) {
        let (here, there) = self.connection(THERE, Options::ON);
        drop(there);
        wait_for_state(&here, CLOSE_WAIT);
        self.held(
            "the peer has closed",
            here,
            "close-wait",
            Options::ON,
            Some("slow"),
        );

        let (here, there) = self.connection(THERE, Options::ON);
        here.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for_state(&here, FIN_WAIT_2);
        self.others.push(there.into());
        self.held(
            "shut down, held",
            here,
            "fin-wait-2",
            Options::ON,
            Some("slow"),
        );

        // A long lingering makes the kernel keep the whole socket, on its keepalive timer, which
        // says nothing of SO_KEEPALIVE (tcp_rcv_state_process(), net/ipv4/tcp_input.c).
        let (here, there) = self.connection(THERE, Options::OFF);
        sys::set_linger2(&here, 118);
        here.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for_state(&here, FIN_WAIT_2);
        let cookie = Truth::of(&here).cookie;
        drop(here);
        self.others.push(there.into());
        self.unheld(
            "orphan that lingers",
            cookie,
            "fin-wait-2",
            Held::Orphan,
            "fin-wait-2",
        );

        let (here, there) = self.connection(THERE, Options::ON);
        here.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for_state(&here, FIN_WAIT_2);
        let cookie = Truth::of(&here).cookie;
        drop(here);
        self.others.push(there.into());
        self.unheld(
            "orphan, a small entry",
            cookie,
            "fin-wait-2",
            Held::Entry,
            "time-wait",
        );

        let (here, there) = self.connection(THERE, Options::ON);
        let cookie = Truth::of(&here).cookie;
        drop(here);
        wait_for_state(&there, CLOSE_WAIT);
        drop(there);
        wait_for("TIME-WAIT", || {
            (ss(&self.pair.here).get(&cookie)?.state == "time-wait").then_some(())
        });
        self.unheld("time-wait", cookie, "time-wait", Held::Entry, "time-wait");
    }

    fn multipath(&mut self) {
        let Some(client) = mptcp(&self.pair.here) else {
            eprintln!("note: this kernel gives no Multipath TCP sockets");
            return;
        };
        let Some(server) = mptcp(&self.pair.there) else {
            return;
        };
        let at: SocketAddr = format!("{THERE}:7002").parse().unwrap();
        rustix::net::bind(&server, &at).unwrap();
        rustix::net::listen(&server, 8).unwrap();
        let options = Options::own(71, 12, 7);
        options.apply(&client);
        rustix::net::connect(&client, &at).unwrap();
        let accepted = rustix::net::accept_with(&server, SocketFlags::CLOEXEC).unwrap();
        self.others.extend([accepted, server]);
        let cookie = wait_for("a subflow", || {
            let lines = ss(&self.pair.here);
            let subflow = lines.values().find(|line| line.remote.1 == 7002)?;
            (subflow.state == "established").then_some(subflow.cookie)
        });
        self.animals.push(Animal {
            name: "subflow of Multipath TCP",
            cookie,
            state: "established",
            family: "ipv4",
            options,
            held: Held::ByMptcp(client),
            keepalive_timer: "keepalive",
            retransmission_timer: &["none"],
            exposure: Some("protected"),
        });
    }

    /// A socket that is only bound, and one that is not even that, are no connections.
    fn no_connections(&mut self) {
        self.others.extend(self.pair.here.run(bound_and_fresh));
    }

    fn beyond_the_vanished(&mut self) {
        let begun = begin_to_connect(&self.pair.here, NOBODY, 80);
        Options::own(62, 10, 6).apply(&begun);
        let animal = self.held(
            "no answer to the SYN",
            begun,
            "syn-sent",
            Options::own(62, 10, 6),
            None,
        );
        animal.retransmission_timer = &["retransmission"];

        let slow = Options::own(60, 10, 6);
        let (mut busy, there1) = self.connection(VANISHING, slow);
        let (mut leaving, there2) = self.connection(VANISHING, Options::OFF);
        let (last, there3) = self.connection(VANISHING, Options::OFF);
        let probed = Options::own(1, 1, 100);
        let (probing, there4) = self.connection(VANISHING, probed);
        there3.shutdown(std::net::Shutdown::Write).unwrap();
        wait_for_state(&last, CLOSE_WAIT);
        self.others
            .extend([there1, there2, there3, there4].map(OwnedFd::from));
        self.pair.vanish();

        busy.write_all(&[7; 300]).unwrap();
        let animal = self.held(
            "data to a vanished peer",
            busy,
            "established",
            slow,
            Some("protected"),
        );
        animal.retransmission_timer = &["retransmission", "loss-probe"];

        leaving.write_all(&[7; 10]).unwrap();
        let cookie = Truth::of(&leaving).cookie;
        drop(leaving);
        let animal = self.unheld(
            "orphan with data",
            cookie,
            "fin-wait-1",
            Held::Orphan,
            "none",
        );
        animal.retransmission_timer = &["retransmission", "loss-probe"];

        last.shutdown(std::net::Shutdown::Write).unwrap();
        let animal = self.held("both have closed", last, "last-ack", Options::OFF, None);
        animal.retransmission_timer = &["retransmission", "loss-probe"];

        wait_for("an unanswered probe", || {
            (Moment::of(&probing).unanswered_probes > 0).then_some(())
        });
        self.held(
            "a probe is unanswered",
            probing,
            "established",
            probed,
            Some("probing"),
        );
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

/// The cookie of the one socket whose peer has this port.
fn cookie_by_remote_port(netns: &Netns, port: u16) -> u64 {
    wait_for("the accepted end", || {
        let lines = ss(netns);
        let line = lines.values().find(|line| line.remote.1 == port)?;
        (line.state == "established").then_some(line.cookie)
    })
}
