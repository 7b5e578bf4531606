//! The record of what is ended, in a file beside the journal: a connection that is gone cannot be looked
//! at any more.
//!
//! ```text
//! {"schema_version":1,"kind":"destroyed","id":7,"boot":"5c9f…","reason":"dead"}
//! {"connection":{… as list -o jsonl prints it …},"asked":{… as ping -o jsonl prints it …}}
//! {"cookie":"0x2a","outcome":"destroyed"}
//! ```
//!
//! The records are written before anything is ended, and for each what became of it afterwards. Of one
//! without an outcome it is not known whether a killed command ended it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use sockpulse_core::Cookie;

use super::fate::Fate;
use crate::append;
use crate::error::CommandError;
use crate::journal::{opened, unwritable};

/// A file of records that is being written.
#[derive(Debug)]
pub(super) struct Records {
    pub(super) path: PathBuf,
    file: File,
}

impl Records {
    /// Makes the file with all records.
    ///
    /// # Errors
    /// When it cannot be written: then nothing should be ended.
    pub(super) fn create(
        folder: &Path,
        name: &str,
        head: &Head<'_>,
        records: &[Vec<u8>],
    ) -> Result<Self, CommandError> {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = opened(&path, &mut options).map_err(|error| unwritable(&path, &error))?;
        let mut created = Self { path, file };
        let mut text = json!({
            "schema_version": 1,
            "kind": "destroyed",
            "id": head.id,
            "boot": head.boot,
            "reason": head.reason,
        })
        .to_string()
        .into_bytes();
        text.push(b'\n');
        for record in records {
            text.extend_from_slice(record);
            text.push(b'\n');
        }
        created.append(&text)?;
        // What is ended must not outlive its record.
        let synced = created.file.sync_all();
        synced.map_err(|error| unwritable(&created.path, &error))?;
        Ok(created)
    }

    /// Writes what became of one.
    ///
    /// # Errors
    /// When it cannot be written; what was ended is ended all the same.
    pub(super) fn conclude(&mut self, cookie: Cookie, fate: &Fate) -> Result<(), CommandError> {
        let mut line = Vec::from(*b"{\"cookie\":\"");
        append::hex(&mut line, cookie.0);
        line.extend_from_slice(b"\",\"outcome\":\"");
        line.extend_from_slice(fate.name().as_bytes());
        line.extend_from_slice(b"\"}\n");
        self.append(&line)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.file
            .write_all(bytes)
            .map_err(|error| unwritable(&self.path, &error))
    }
}

/// What a file begins with.
pub(super) struct Head<'a> {
    pub(super) id: u64,
    pub(super) boot: &'a str,
    /// Why they are ended.
    pub(super) reason: &'a str,
}
