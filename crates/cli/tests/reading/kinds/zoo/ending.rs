//! Connections that end, and those whose peer has gone without a word.

use std::io::Write;
use std::net::Shutdown;
use std::os::fd::OwnedFd;

use super::{CLOSE_WAIT, FIN_WAIT_2, Held, Zoo};
use crate::kit::deadline::wait_for;
use crate::kit::pair::{NOBODY, THERE, VANISHING};
use crate::kit::socket::{Options, begin_to_connect, wait_for_state};
use crate::kit::ss::ss;
use crate::kit::sys;
use crate::kit::truth::{Moment, Truth};

impl Zoo {
    pub(super) fn closing(&mut self) {
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
        here.shutdown(Shutdown::Write).unwrap();
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
        here.shutdown(Shutdown::Write).unwrap();
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
        here.shutdown(Shutdown::Write).unwrap();
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

    pub(super) fn beyond_the_vanished(&mut self) {
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
        there3.shutdown(Shutdown::Write).unwrap();
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

        last.shutdown(Shutdown::Write).unwrap();
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
}
