//! Connections through which data may flow, listeners, and what waits at them.

use std::io::Write;
use std::net::SocketAddr;

use rustix::net::SocketFlags;

use super::{Animal, Held, Zoo};
use crate::kit::deadline::wait_for;
use crate::kit::netns::Netns;
use crate::kit::pair::{HERE, HERE6, THERE, THERE6};
use crate::kit::socket::{Options, connect, connected, listen, mptcp};
use crate::kit::ss::ss;
use crate::kit::truth::Truth;

impl Zoo {
    pub(super) fn established(&mut self) {
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

    pub(super) fn listeners_and_accepted(&mut self) {
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

    pub(super) fn queues(&mut self) {
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

    pub(super) fn multipath(&mut self) {
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
}

/// The cookie of the one socket whose peer has this port.
fn cookie_by_remote_port(netns: &Netns, port: u16) -> u64 {
    wait_for("the accepted end", || {
        let lines = ss(netns);
        let line = lines.values().find(|line| line.remote.1 == port)?;
        (line.state == "established").then_some(line.cookie)
    })
}
