//! Peers that are not Linux, asked by both methods: what ADR 0021 says of them.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stranger;
mod tun;

use std::io::Write;
use std::net::TcpStream;
use std::num::NonZeroU16;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use sockpulse_core::ping::{
    Glance, Inquiry, Method, Patience, Seen, Step, Timestamps, Verdict, segment,
};
use sockpulse_core::{Comm, End, Process};
use sockpulse_lab::Host;
use sockpulse_linux::ping::{Asker, Sender, Sent, glance};
use sockpulse_linux::sockopt;

use stranger::{Manner, Stranger};

/// Which timestamp a probe of our own carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stamp {
    Fresh,
    Old,
    None,
}

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Raw(Stamp),
    Option,
}

/// They answer every probe: they need not be far apart.
const THREE: Patience = Patience {
    probes: NonZeroU16::new(3).unwrap(),
    spacing: Duration::from_millis(50),
};

#[test]
fn root_strangers_are_asked_alike_by_both_methods() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: root_strangers_are_asked_alike_by_both_methods needs root");
        return;
    }
    let all = [
        (Manner::Plain, How::Raw(Stamp::Fresh), Verdict::Alive),
        (Manner::Plain, How::Option, Verdict::Alive),
        (Manner::ByTheBook, How::Raw(Stamp::Fresh), Verdict::Alive),
        (Manner::ByTheBook, How::Raw(Stamp::Old), Verdict::Alive),
        // This is what the timestamp is for.
        (Manner::ByTheBook, How::Raw(Stamp::None), Verdict::Dead),
        (Manner::ByTheBook, How::Option, Verdict::Alive),
        (Manner::Harsh, How::Raw(Stamp::Fresh), Verdict::Alive),
        // And this is why it has to be fresh.
        (Manner::Harsh, How::Raw(Stamp::Old), Verdict::Dead),
        (Manner::Harsh, How::Option, Verdict::Alive),
        // No keepalive of Linux's reaches these.
        (Manner::WantsData, How::Raw(Stamp::Fresh), Verdict::Dead),
        (Manner::WantsData, How::Option, Verdict::Dead),
        (Manner::Mute, How::Raw(Stamp::Fresh), Verdict::Dead),
        (Manner::Mute, How::Option, Verdict::Dead),
    ];
    std::thread::scope(|scope| {
        for (manner, how, verdict) in all {
            scope.spawn(move || one(manner, how, verdict));
        }
    });
}

fn one(manner: Manner, how: How, verdict: Verdict) {
    let begin = if manner == Manner::Mute {
        Manner::ByTheBook
    } else {
        manner
    };
    let stranger = Stranger::new(begin);
    let stream = stranger.connected();
    stranger.be(manner);
    silent(&stream);
    let (found, time) = match how {
        How::Raw(stamp) => by_raw(&stranger, &stream, stamp),
        How::Option => by_option(&stream),
    };
    eprintln!("{manner:?} {how:?}: {} after {time:?}", found.name());
    assert_eq!(found, verdict, "{manner:?} {how:?}");
    let probes = if verdict == Verdict::Dead { 3 } else { 1 };
    assert_eq!(stranger.probes(), probes, "{manner:?} {how:?}");
    // The stream goes on.
    stranger.be(begin);
    (&stream).write_all(b"goes on").unwrap();
    until("an acknowledgement", || {
        glance(&stream).unwrap().unacked == 0
    });
}

/// With options the kernel asks after a second of silence at the soonest.
fn silent(stream: &TcpStream) {
    let second = Duration::from_secs(1);
    until("a second of silence", || {
        glance(stream).unwrap().silence >= second
    });
}

fn by_raw(stranger: &Stranger, stream: &TcpStream, stamp: Stamp) -> (Verdict, Duration) {
    let mut sender = opened(&stranger.host);
    let (local, remote) = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
    let [local, remote] = [local, remote].map(|address| End {
        addr: address.ip(),
        port: address.port(),
    });
    ask(
        Method::Raw,
        &mut || known(stranger, stream, stamp),
        &mut |glance| {
            let probe = segment(local, remote, glance).unwrap();
            sender.send(&probe, 0).unwrap()
        },
    )
}

fn opened(host: &Host) -> Sender {
    host.run(|| Sender::open().unwrap())
}

/// The connection, with what only the stranger knows.
fn known(stranger: &Stranger, stream: &TcpStream, stamp: Stamp) -> Glance {
    let numbers = stranger.numbers();
    let timestamps = match stamp {
        Stamp::Fresh => numbers.timestamps,
        Stamp::Old => numbers
            .timestamps
            .map(|Timestamps { value, echo }| Timestamps {
                value: value.wrapping_sub(60_000),
                echo,
            }),
        Stamp::None => None,
    };
    Glance {
        snd_una: numbers.snd_una,
        rcv_nxt: numbers.rcv_nxt,
        window: 502,
        timestamps,
        ..glance(stream).unwrap()
    }
}

fn by_option(stream: &TcpStream) -> (Verdict, Duration) {
    let process = Process {
        pid: std::process::id(),
        fd: stream.as_raw_fd().cast_unsigned(),
        comm: Comm::new(b"test"),
    };
    let cookie = sockopt::cookie(stream).unwrap();
    let mut asker = Asker::start().unwrap();
    ask(Method::Option, &mut || glance(stream).unwrap(), &mut |_| {
        asker.probe(process, cookie).unwrap().sent
    })
}

fn ask(
    method: Method,
    look: &mut dyn FnMut() -> Glance,
    send: &mut dyn FnMut(&Glance) -> Sent,
) -> (Verdict, Duration) {
    let mut inquiry = Inquiry::new(method, THREE, &look());
    let begin = Instant::now();
    for _ in 0..10_000 {
        let mut glance = look();
        // The retransmission timeout is beside the point here.
        glance.rto = THREE.spacing;
        match inquiry.next(begin.elapsed(), Seen::Glance(glance)) {
            Step::Done(answer) => return (answer.verdict, begin.elapsed()),
            Step::Look { at } => std::thread::park_timeout(at.saturating_sub(begin.elapsed())),
            Step::Send => {
                if send(&glance) == Sent::Left {
                    inquiry.sent(begin.elapsed());
                }
            }
        }
    }
    panic!("no end of asking");
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::park_timeout(Duration::from_millis(2));
    }
}
