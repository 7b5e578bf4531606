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
    /// Records of other processes are left out.
    only: Option<u32>,
}

impl Reader {
    pub(crate) const fn new(name: &'static str, file: File, only: Option<u32>) -> Self {
        Self { name, file, only }
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
                Ok(0) => return Ok(0),
                Ok(len) => match self.only.map(|pid| retain(&mut buffer[..len], pid)) {
                    Some(0) => {}
                    Some(kept) => return Ok(kept),
                    None => return Ok(len),
                },
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

/// Moves the records of one process to the front and returns their length.
fn retain(bytes: &mut [u8], pid: u32) -> usize {
    let mut kept = 0;
    for number in 0..records(bytes).len() {
        let at = number * size_of::<Record>();
        let process = records(&bytes[at..]).first().and_then(Record::process);
        if process.is_some_and(|process| process.pid == pid) {
            bytes.copy_within(at..at + size_of::<Record>(), kept);
            kept += size_of::<Record>();
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use zerocopy::{FromZeros, IntoBytes};

    use super::*;
    use crate::record::flag;

    fn of_processes(pids: &[u32]) -> Vec<u8> {
        let record = |pid: &u32| {
            let mut record = Record::new_zeroed();
            record.flags = flag::PROCESS;
            record.pid = (*pid).into();
            record
        };
        let records: Vec<_> = pids.iter().map(record).collect();
        records.as_bytes().to_vec()
    }

    #[test]
    fn only_one_process_is_kept() {
        let mut bytes = of_processes(&[1, 7, 2, 7, 7]);
        let len = retain(&mut bytes, 7);
        assert_eq!(&bytes[..len], of_processes(&[7, 7, 7]));
        assert_eq!(retain(&mut of_processes(&[1, 2]), 7), 0);
        assert_eq!(retain(&mut [], 7), 0);
        let mut cut = of_processes(&[7, 7]);
        cut.pop();
        assert_eq!(retain(&mut cut, 7), size_of::<Record>());
    }

    #[test]
    fn records_are_whole_and_of_any_alignment() {
        let mut bytes = vec![0];
        bytes.extend(of_processes(&[3, 4]));
        for shift in [0, 1] {
            let pids: Vec<_> = records(&bytes[shift..])
                .iter()
                .map(Record::process)
                .collect();
            assert_eq!(pids.len(), 2);
        }
        let pids = records(&bytes[1..]).iter().filter_map(Record::process);
        assert_eq!(pids.map(|p| p.pid).collect::<Vec<_>>(), [3, 4]);
        assert!(records(&bytes[..100]).is_empty());
    }
}
