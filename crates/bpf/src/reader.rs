//! Reading records in bulk.

use std::fs::File;
use std::io::{ErrorKind, Read};

use zerocopy::FromBytes;

use crate::error::{Error, Operation, Result};
use crate::record::Record;

/// One walk, read to its end. It may be read from any thread.
#[derive(Debug)]
pub struct Reader {
    name: &'static str,
    file: File,
}

impl Reader {
    pub(crate) const fn new(name: &'static str, file: File) -> Self {
        Self { name, file }
    }

    /// Reads whole records into the buffer and returns their length in bytes, 0 at the end. The
    /// kernel hands out at most 32 KiB at once: a larger buffer gains nothing.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] when not one record fits; else what read(2) says.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        // The kernel splits a record when it does not fit.
        let whole = buffer.len() - buffer.len() % size_of::<Record>();
        if whole == 0 {
            return Err(Error::BufferTooSmall {
                len: buffer.len(),
                needed: size_of::<Record>(),
            });
        }
        loop {
            match self.file.read(&mut buffer[..whole]) {
                Ok(len) => return Ok(len),
                // The kernel pauses after a million objects that wrote nothing, and goes on from
                // there (bpf_seq_read(), kernel/bpf/bpf_iter.c).
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Error::of(Operation::Read, self.name, error)),
            }
        }
    }
}

/// The records in what was read. Bytes after the last whole record are left out.
#[must_use]
pub fn records(bytes: &[u8]) -> &[Record] {
    let count = bytes.len() / size_of::<Record>();
    <[Record]>::ref_from_prefix_with_elems(bytes, count).map_or(&[], |(records, _)| records)
}
