//! One end of a connection whose bytes are all known beforehand: whatever is lost, doubled, swapped or
//! changed is seen.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

/// Bytes of a block.
const BLOCK: usize = 512;

type Block = [u8; BLOCK];

/// Who writes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Owner,
    Peer,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an error, by its number.
    Failed(i32),
    /// The other end has closed.
    Finished,
}

/// One end of a connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) stream: TcpStream,
    /// Known to the owner's end once it has read.
    number: Option<u64>,
    writer: Writer,
    pending: Vec<u8>,
    partial: Vec<u8>,
    /// Blocks that were handed over to be sent.
    pub(super) sent: u64,
    /// Blocks that came, byte for byte as they had to be.
    pub(super) received: u64,
    /// Whether a byte came that was not the next one.
    pub(super) is_broken: bool,
    pub(super) ended: Option<Ended>,
}

impl Link {
    /// An end on a stream that does not block.
    pub(super) const fn new(stream: TcpStream, writer: Writer, number: Option<u64>) -> Self {
        Self {
            stream,
            number,
            writer,
            pending: Vec::new(),
            partial: Vec::new(),
            sent: 0,
            received: 0,
            is_broken: false,
            ended: None,
        }
    }

    /// Writes the next block, or keeps what the socket does not take.
    pub(super) fn send(&mut self) {
        let Some(number) = self.number else { return };
        let block = block(number, self.writer, self.sent);
        self.sent += 1;
        self.pending.extend_from_slice(&block);
        self.flush();
    }

    /// Whether something waits for room in the socket.
    pub(super) const fn is_full(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) const fn is_open(&self) -> bool {
        self.ended.is_none()
    }

    /// Writes what waits.
    pub(super) fn flush(&mut self) {
        while !self.pending.is_empty() && self.is_open() {
            match self.stream.write(&self.pending) {
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.fail(&error),
            }
        }
    }

    /// Reads what there is, and says how many blocks that completed.
    pub(super) fn receive(&mut self) -> u64 {
        let before = self.received;
        let mut buffer = [0; 8 * BLOCK];
        while self.is_open() {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.ended = Some(Ended::Finished),
                Ok(count) => self.take(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.fail(&error),
            }
        }
        self.received - before
    }

    fn take(&mut self, bytes: &[u8]) {
        self.partial.extend_from_slice(bytes);
        while !self.is_broken
            && let Some((came, _)) = self.partial.split_first_chunk::<BLOCK>()
        {
            let number = *self.number.get_or_insert_with(|| first_word(came));
            let writer = match self.writer {
                Writer::Owner => Writer::Peer,
                Writer::Peer => Writer::Owner,
            };
            if *came == block(number, writer, self.received) {
                self.received += 1;
                self.partial.drain(..BLOCK);
            } else {
                self.is_broken = true;
            }
        }
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.ended = Some(Ended::Failed(error.raw_os_error().unwrap_or(0)));
    }
}

/// The bytes of a block: the connection's number first, the rest a mixture of all that names it.
fn block(connection: u64, writer: Writer, place: u64) -> Block {
    let mut block = [0; BLOCK];
    let mut seed = mixed(connection ^ mixed(place));
    if writer == Writer::Owner {
        seed = mixed(!seed);
    }
    let (words, _) = block.as_chunks_mut::<8>();
    for (word, at) in words.iter_mut().zip(0_u64..) {
        let value = if at == 0 {
            connection
        } else {
            mixed(seed.wrapping_add(at))
        };
        *word = value.to_le_bytes();
    }
    block
}

fn first_word(block: &Block) -> u64 {
    let (words, _) = block.as_chunks::<8>();
    words.first().map_or(0, |word| u64::from_le_bytes(*word))
}

/// A bijection that spreads every bit over all others.
const fn mixed(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (Link, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let there = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (here, _) = listener.accept().expect("accepted");
        here.set_nonblocking(true).expect("non-blocking");
        (Link::new(here, Writer::Owner, None), there)
    }

    /// What came of it once something did.
    fn received(link: &mut Link) -> (u64, bool) {
        for _ in 0..1_000_000 {
            link.receive();
            if link.received > 0 || link.is_broken {
                break;
            }
            std::thread::yield_now();
        }
        (link.received, link.is_broken)
    }

    #[test]
    fn the_right_block_is_taken() {
        let (mut link, mut there) = pair();
        there
            .write_all(&block(7, Writer::Peer, 0))
            .expect("written");
        assert_eq!(received(&mut link), (1, false));
        link.send();
        let mut came = [0; BLOCK];
        there.read_exact(&mut came).expect("an answer");
        assert_eq!(came, block(7, Writer::Owner, 0));
    }

    #[test]
    fn a_byte_that_is_missing_or_changed_is_seen() {
        let right = block(7, Writer::Peer, 0);
        let next = block(7, Writer::Peer, 1);
        let mut changed = right;
        changed[BLOCK - 1] ^= 1;
        let shifted = [&right[..100], &right[101..], &next[..1]].concat();
        for bytes in [changed.to_vec(), next.to_vec(), shifted] {
            let (mut link, mut there) = pair();
            there.write_all(&bytes).expect("written");
            assert_eq!(received(&mut link), (0, true));
        }
    }
}
