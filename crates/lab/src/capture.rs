//! The packets that the client saw: an own reader of a packet socket (packet(7)), with the kernel's
//! time of each.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::time::{ClockId, clock_gettime};

use crate::error::{Error, Result};
use crate::host::Host;
use crate::packet::Packet;
use crate::sys;

/// A packet, when and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// When the kernel saw it, by [`now`].
    pub at: Duration,
    /// Which way it went.
    pub way: Way,
    /// What it says.
    pub packet: Packet,
}

/// Which way a packet went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The host sent it.
    Out,
    /// The host received it.
    In,
}

/// The clock on the wall, which is what the kernel stamps packets with; only differences count.
#[must_use]
pub fn now() -> Duration {
    let now = clock_gettime(ClockId::Realtime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// More packets than any scenario sends; what comes after them is not kept.
const KEPT: usize = 4096;
/// Enough for the headers.
const SNAP: usize = 256;
/// How soon a capture notices that it is to end.
const STEP: Duration = Duration::from_millis(100);

/// A running capture. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    seized: Arc<Mutex<Vec<Seen>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Begins to listen on an interface of the host: nothing that it sends or receives from now on
    /// is missed. Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// [`Error::System`] when the socket is refused.
    pub fn start(host: &Host, interface: &'static str) -> Result<Self> {
        let socket = host
            .run(move || sys::packet_socket(interface))
            .map_err(Error::system("open a packet socket"))?;
        let seized = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::new(AtomicBool::new(false));
        let (into, until) = (seized.clone(), ended.clone());
        let thread = std::thread::Builder::new()
            .name("capture".into())
            .spawn(move || listen(&socket, &into, &until))
            .map_err(Error::system("start a thread"))?;
        Ok(Self {
            seized,
            ended,
            thread: Some(thread),
        })
    }

    /// Ends it and gives what was seen, oldest first.
    #[must_use]
    pub fn finish(mut self) -> Vec<Seen> {
        self.end();
        let mut seized = self.seized.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut seized)
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes packets until told to end, and then those that still wait.
fn listen(socket: &OwnedFd, into: &Mutex<Vec<Seen>>, ended: &AtomicBool) {
    let step = Timespec::try_from(STEP).expect("a tenth of a second");
    let mut buffer = [0; SNAP];
    loop {
        let last = ended.load(Ordering::Relaxed);
        loop {
            match sys::receive_packet(socket, &mut buffer) {
                Ok(envelope) => keep(&envelope, &buffer, into),
                Err(Errno::AGAIN) => break,
                // The interface went down: it may come back.
                Err(Errno::NETDOWN | Errno::INTR) => {}
                Err(_) => return,
            }
        }
        if last {
            return;
        }
        let mut polled = [PollFd::new(socket, PollFlags::IN)];
        let _ = poll(&mut polled, Some(&step));
    }
}

fn keep(envelope: &sys::Envelope, buffer: &[u8], into: &Mutex<Vec<Seen>>) {
    let Some(packet) = buffer.get(..envelope.length).and_then(Packet::parse) else {
        return;
    };
    let mut seized = into.lock().unwrap_or_else(PoisonError::into_inner);
    if seized.len() < KEPT {
        seized.push(Seen {
            at: envelope.at,
            way: if envelope.outgoing { Way::Out } else { Way::In },
            packet,
        });
    }
}
