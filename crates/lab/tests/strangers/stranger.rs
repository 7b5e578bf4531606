//! A peer that is not Linux: just enough of TCP to be connected to and asked, in a manner of its own.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sockpulse_core::ping::Timestamps;
use sockpulse_lab::Host;
use sockpulse_lab::packet::{Flags, Packet, Segment};

use crate::tun;

/// How it treats what is sent to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// It knows no timestamps.
    Plain,
    /// Once timestamps are in use it drops a segment without one, and answers one with an old one by an
    /// acknowledgement (RFC 7323 3.2 and 5.3).
    ByTheBook,
    /// It drops the old ones too, without a word.
    Harsh,
    /// It answers a probe only if there is data in it (RFC 1122 4.2.3.6 knows such peers).
    WantsData,
    /// Nothing comes from it any more.
    Mute,
}

const HERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const THERE: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);
const PORT: u16 = 7000;
const ACK: u8 = 16;
const WINDOW: u16 = 8192;

/// A stranger behind a TUN device of a host of its own. It talks to one connection at a time.
pub(crate) struct Stranger {
    pub(crate) host: Host,
    mind: Arc<Mutex<Mind>>,
    thread: Option<JoinHandle<()>>,
}

/// What it knows of the connection.
#[derive(Debug)]
struct Mind {
    manner: Manner,
    begin: Instant,
    /// Next to send, next expected.
    snd_nxt: u32,
    rcv_nxt: u32,
    /// The last timestamp of the other end, if they are in use, and when it came.
    recent: Option<(u32, Instant)>,
    /// Segments that expected no answer but for their place: probes.
    probes: u32,
    ended: bool,
}

/// What a probe of the connection needs to know.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) snd_una: u32,
    pub(crate) rcv_nxt: u32,
    pub(crate) timestamps: Option<Timestamps>,
}

impl Stranger {
    pub(crate) fn new(manner: Manner) -> Self {
        let host = Host::new("host").unwrap();
        let device = host.run(|| tun::open().unwrap());
        host.ip(&[
            "address add 10.99.0.1/24 dev stranger",
            "link set stranger up",
        ])
        .unwrap();
        let mind = Arc::new(Mutex::new(Mind {
            manner,
            begin: Instant::now(),
            snd_nxt: 5_000,
            rcv_nxt: 0,
            recent: None,
            probes: 0,
            ended: false,
        }));
        let its = Arc::clone(&mind);
        let thread = Some(std::thread::spawn(move || live(device, &its)));
        Self { host, mind, thread }
    }

    /// A connection to it.
    pub(crate) fn connected(&self) -> TcpStream {
        self.host.run(|| TcpStream::connect((THERE, PORT)).unwrap())
    }

    pub(crate) fn be(&self, manner: Manner) {
        self.mind.lock().unwrap().manner = manner;
    }

    /// How many probes it was sent.
    pub(crate) fn probes(&self) -> u32 {
        self.mind.lock().unwrap().probes
    }

    /// The connection as the end here has it. Its clock ticks in milliseconds.
    pub(crate) fn numbers(&self) -> Numbers {
        let mind = self.mind.lock().unwrap();
        let timestamps = mind.recent.map(|(value, at)| Timestamps {
            value: value.wrapping_add(millis(at.elapsed())),
            echo: mind.clock(),
        });
        Numbers {
            snd_una: mind.rcv_nxt,
            rcv_nxt: mind.snd_nxt,
            timestamps,
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.mind.lock().unwrap().ended = true;
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Reads and answers until told to end.
fn live(mut device: File, mind: &Mutex<Mind>) {
    let step = Timespec::try_from(Duration::from_millis(20)).unwrap();
    let mut buffer = [0; 4096];
    while !mind.lock().unwrap().ended {
        let mut polled = [PollFd::new(&device, PollFlags::IN)];
        if poll(&mut polled, Some(&step)).unwrap() == 0 {
            continue;
        }
        let length = device.read(&mut buffer).unwrap();
        let packet = &buffer[..length];
        let Some(Packet::Tcp(segment)) = Packet::parse(packet) else {
            continue;
        };
        let answer = mind.lock().unwrap().answer(&segment, timestamp(packet));
        if let Some(answer) = answer {
            device.write_all(&answer).unwrap();
        }
    }
}

impl Mind {
    fn answer(&mut self, segment: &Segment, value: Option<u32>) -> Option<Vec<u8>> {
        if segment.flags.has(Flags::SYN) {
            return Some(self.shake_hands(segment, value));
        }
        let is_probe = segment.seq.wrapping_add(1) == self.rcv_nxt;
        self.probes += u32::from(is_probe);
        if self.manner == Manner::Mute || segment.flags.has(Flags::RST) {
            return None;
        }
        if let Some((recent, _)) = self.recent {
            // Without one it is dropped.
            let value = value?;
            if value.wrapping_sub(recent).cast_signed() < 0 {
                let by_the_book = self.manner == Manner::ByTheBook;
                return by_the_book.then(|| self.acknowledgement(segment.from));
            }
            self.recent = Some((value, Instant::now()));
        }
        if segment.seq == self.rcv_nxt && segment.length > 0 {
            self.rcv_nxt = self.rcv_nxt.wrapping_add(segment.length.into());
            return Some(self.acknowledgement(segment.from));
        }
        let wants_more = self.manner == Manner::WantsData && segment.length == 0;
        (is_probe && !wants_more).then(|| self.acknowledgement(segment.from))
    }

    fn shake_hands(&mut self, syn: &Segment, value: Option<u32>) -> Vec<u8> {
        let value = value.filter(|_| self.manner != Manner::Plain);
        self.recent = value.map(|value| (value, Instant::now()));
        self.rcv_nxt = syn.seq.wrapping_add(1);
        let answer = self.segment(syn.from, Flags::SYN | ACK);
        self.snd_nxt = self.snd_nxt.wrapping_add(1);
        answer
    }

    fn acknowledgement(&self, to: u16) -> Vec<u8> {
        self.segment(to, ACK)
    }

    fn clock(&self) -> u32 {
        millis(self.begin.elapsed())
    }

    /// A packet from it.
    fn segment(&self, to: u16, flags: u8) -> Vec<u8> {
        let mut tcp = [PORT, to].map(u16::to_be_bytes).concat();
        tcp.extend([self.snd_nxt, self.rcv_nxt].map(u32::to_be_bytes).concat());
        let words = if self.recent.is_some() { 8 } else { 5 };
        tcp.extend([words << 4, flags]);
        tcp.extend(WINDOW.to_be_bytes());
        tcp.extend([0; 4]);
        if let Some((recent, _)) = self.recent {
            tcp.extend([1, 1, 8, 10]);
            tcp.extend([self.clock(), recent].map(u32::to_be_bytes).concat());
        }
        let length = u16::try_from(tcp.len()).unwrap();
        let addresses = [THERE.octets(), HERE.octets()].concat();
        let borrowed = [&addresses[..], &[0, 6], &length.to_be_bytes()].concat();
        let sum = checksum(&[&borrowed[..], &tcp].concat());
        tcp[16..18].copy_from_slice(&sum);
        let mut packet = vec![0x45, 0];
        packet.extend((20 + length).to_be_bytes());
        packet.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        packet.extend(addresses);
        let sum = checksum(&packet);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(tcp);
        packet
    }
}

/// The value of the timestamps option, if there is one; fillers may stand before it.
fn timestamp(packet: &[u8]) -> Option<u32> {
    let tcp = packet.get(20..)?;
    let mut options = tcp.get(20..usize::from(tcp[12] >> 4) * 4)?;
    loop {
        options = match options {
            [8, 10, value @ ..] => return Some(u32::from_be_bytes(*value.first_chunk()?)),
            [1, rest @ ..] => rest,
            [_, length, ..] => options.get(usize::from(*length).max(2)..)?,
            _ => return None,
        };
    }
}

/// RFC 1071; an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap()).to_be_bytes()
}

fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap()
}
