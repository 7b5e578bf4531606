//! What asking leaves behind: nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Stage;
use crate::kit::pair::{THERE, THERE6};
use crate::kit::socket::{Options, connected, listen};
use crate::kit::sys;
use crate::kit::truth::Truth;

const ROUNDS: usize = 20;

/// The `at`th byte of a stream that tells where it is.
fn byte(at: u64) -> u8 {
    let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed.to_be_bytes()[0]
}

/// Writes until it is told to stop; returns how much.
fn write(mut stream: &TcpStream, stop: &AtomicBool, pause: Duration) -> u64 {
    let mut at = 0;
    while !stop.load(Ordering::Relaxed) {
        let piece: Vec<u8> = (at..at + 700).map(byte).collect();
        stream.write_all(&piece).unwrap();
        at += 700;
        std::thread::park_timeout(pause);
    }
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    at
}

/// Reads to the end; every byte has to be the one that was written there.
fn read(mut stream: &TcpStream) -> u64 {
    let mut at = 0;
    let mut piece = [0; 4096];
    loop {
        let length = stream.read(&mut piece).unwrap();
        if length == 0 {
            return at;
        }
        for found in &piece[..length] {
            assert_eq!(*found, byte(at), "byte {at}");
            at += 1;
        }
    }
}

/// After twenty rounds every option is what it was, inherited values follow the namespace, no probe is
/// counted, and the streams that ran meanwhile are whole.
#[test]
fn root_twenty_rounds_leave_no_trace() {
    let Some(stage) = Stage::new("root_twenty_rounds_leave_no_trace") else {
        return;
    };
    let listeners = [THERE, THERE6].map(|address| (address, listen(&stage.pair.there, address, 0)));
    // A cable that was just plugged in loses the first SYN: such a connection's round trip would be taken
    // for seconds, and it would be asked as rarely.
    for (address, listener) in &listeners {
        drop(connected(&stage.pair.here, address, listener));
    }
    let connections: Vec<_> = [Options::OFF, Options::ON, Options::own(61, 7, 5)]
        .into_iter()
        .flat_map(|options| listeners.iter().map(move |listener| (options, listener)))
        .map(|(options, (address, listener))| {
            let ends = connected(&stage.pair.here, address, listener);
            options.apply(&ends.0);
            ends
        })
        .collect();
    let before: Vec<_> = connections.iter().map(|ends| Truth::of(&ends.0)).collect();
    let busy: Vec<_> = (0..2)
        .map(|_| connected(&stage.pair.here, THERE, &listeners[0].1))
        .collect();
    let stop = &AtomicBool::new(false);
    std::thread::scope(|scope| {
        let mut streams = Vec::new();
        for ((here, there), pause) in busy.iter().zip([1, 100]) {
            let pause = Duration::from_millis(pause);
            for (from, to) in [(here, there), (there, here)] {
                let written = scope.spawn(move || write(from, stop, pause));
                streams.push((written, scope.spawn(move || read(to))));
            }
        }
        for round in 0..ROUNDS {
            let answers = stage.ping(&[]);
            assert_eq!(
                answers.ran.status,
                Some(0),
                "{round}: {}",
                answers.ran.stderr
            );
            let all = connections.len() + busy.len();
            assert_eq!(
                answers.document["alive"], all,
                "{round}: {}",
                answers.document
            );
        }
        stop.store(true, Ordering::Relaxed);
        for (written, read) in streams {
            assert_eq!(read.join().unwrap(), written.join().unwrap());
        }
    });
    for (before, (here, _)) in before.iter().zip(&connections) {
        assert_eq!(Truth::of(here), *before);
        assert_eq!(sys::tcp_info(here).tcpi_probes, 0);
        assert_eq!(sys::tcp_info(here).tcpi_retransmits, 0);
    }
    stage.pair.here.set("tcp_keepalive_time", 4_321);
    for (before, (here, _)) in before.iter().zip(&connections) {
        let inherits = before.idle_s == 7_200;
        assert_eq!(Truth::of(here).idle_s, if inherits { 4_321 } else { 61 });
    }
    // The program is as undisturbed as the socket: a byte goes round as fast as ever.
    for ends in &connections {
        let started = Instant::now();
        go_round(ends);
        assert!(started.elapsed() < Duration::from_millis(100));
    }
}

/// A byte there and back.
fn go_round(ends: &(TcpStream, TcpStream)) {
    let (mut here, mut there) = (&ends.0, &ends.1);
    here.write_all(b"x").unwrap();
    there.read_exact(&mut [0]).unwrap();
    there.write_all(b"y").unwrap();
    here.read_exact(&mut [0]).unwrap();
}
