//! The sockets of one command, in a file beside the journal: there may be a million.
//!
//! ```text
//! {"schema_version":1,"kind":"connections","id":7,"boot":"5c9f…"}
//! {"cookie":"0x2a","netns":4026531840,"local":"10.0.0.1:6379","remote":"10.0.0.9:51234","pid":812,"before":"off 7200* 75* 9* 0","set":"on 60 - - -"}
//! {"concluded":1,"left":{}}
//! ```
//!
//! The lines of a batch are written before the batch is done, and how it went afterwards: `concluded`
//! counts the sockets of which the outcome is told so far, `left` names those that were not set, by their
//! number from 0. A killed command leaves a batch without it: of that one each socket has to be looked
//! at. Sockets that a walk through the kernel's table sets are one batch, however many they are. The
//! `pid` is that of a process that held the socket; `null` where none did. It is not waited for the disk, since no socket outlives the machine's next boot.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value as Json, json};
use sockpulse_core::protect::Step;
use sockpulse_core::{Cookie, SocketId};

use super::{Journal, failed, opened, unwritable};
use crate::error::{CommandError, ErrorKind};
use crate::protect::held::{Held, parse_step, step_text};

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Connections {
    path: PathBuf,
    file: File,
    /// Sockets that it tells of.
    written: usize,
}

/// A socket that was to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) cookie: Cookie,
    pub(crate) before: Held,
    pub(crate) step: Step,
}

/// What a file tells of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) entry: Entry,
    /// `None`: the command was killed before it told.
    pub(crate) outcome: Option<Result<(), String>>,
}

/// All that a file tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// The boot in which the sockets live.
    pub(crate) boot: String,
    pub(crate) sockets: Vec<Told>,
    /// What could not be understood.
    pub(crate) notes: Vec<String>,
}

/// The name of the file for the next transaction of a journal.
pub(crate) fn next_name(journal: &Journal) -> String {
    format!("connections-{}.jsonl", journal.past.next_id())
}

impl Connections {
    /// Makes the file, and holds it while the command runs.
    ///
    /// # Errors
    /// When it cannot be written: then nothing should be set.
    pub(crate) fn create(
        folder: &Path,
        name: &str,
        id: u64,
        boot: &str,
    ) -> Result<Self, CommandError> {
        let path = folder.join(name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o644);
        let file = opened(&path, &mut options).map_err(|error| unwritable(&path, &error))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|errno| failed("hold", &path, &errno.into()))?;
        let mut connections = Self {
            path,
            file,
            written: 0,
        };
        let head = json!({ "schema_version": 1, "kind": "connections", "id": id, "boot": boot });
        connections.append(format!("{head}\n").as_bytes())?;
        Ok(connections)
    }

    /// Writes what is going to be done.
    ///
    /// # Errors
    /// When it cannot be written: then the batch should not be done.
    pub(crate) fn intend<'a>(
        &mut self,
        batch: impl Iterator<Item = (&'a SocketId, Option<u32>, Entry)>,
    ) -> Result<(), CommandError> {
        let mut text = String::new();
        let mut count = 0;
        for (id, pid, entry) in batch {
            let pid = pid.map_or("null".to_owned(), |pid| pid.to_string());
            // Nothing here needs escaping: numbers, addresses and our own words. Writing to a string
            // does not fail.
            let _ = writeln!(
                text,
                "{{\"cookie\":\"{:#x}\",\"netns\":{},\"local\":\"{}\",\"remote\":\"{}\",\"pid\":{pid},\
                 \"before\":\"{}\",\"set\":\"{}\"}}",
                entry.cookie.0,
                id.netns.0,
                id.local,
                id.remote,
                entry.before,
                step_text(&entry.step)
            );
            count += 1;
        }
        self.append(text.as_bytes())?;
        self.written += count;
        Ok(())
    }

    /// Writes what became of the sockets before the one of this number, as far as that is not written
    /// yet: why which of them were left.
    ///
    /// # Errors
    /// When it cannot be written; what was set is set all the same.
    pub(crate) fn conclude(
        &mut self,
        through: usize,
        left: &BTreeMap<usize, String>,
    ) -> Result<(), CommandError> {
        let line = json!({ "concluded": through, "left": left });
        self.append(format!("{line}\n").as_bytes())
    }

    /// The number of the next socket.
    pub(crate) const fn next(&self) -> usize {
        self.written
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), CommandError> {
        self.file
            .write_all(bytes)
            .map_err(|error| unwritable(&self.path, &error))
    }
}

/// Reads a file; one that is not there tells of nothing: its command was killed before it began.
///
/// # Errors
/// When it cannot be read, or its command still runs.
pub(crate) fn read(folder: &Path, name: &str) -> Result<Account, CommandError> {
    let path = folder.join(name);
    if Path::new(name).file_name().is_none_or(|only| only != name) {
        let error = io::Error::other("it is no name of a file in this folder");
        return Err(failed("read", &path, &error));
    }
    let read = || {
        let mut file = opened(&path, OpenOptions::new().read(true))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        Ok::<_, io::Error>((file, text))
    };
    let (file, text) = match read() {
        Ok(read) => read,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Account::default()),
        Err(error) => return Err(failed("read", &path, &error)),
    };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_err() {
        let message = format!("the command that writes {} still runs", path.display());
        let error = CommandError::new(ErrorKind::Incomplete, message);
        return Err(error.hint("run it again when that has ended, or end it"));
    }
    Ok(parse(&path, &text))
}

fn parse(path: &Path, text: &[u8]) -> Account {
    let mut read = Account::default();
    let mut concluded = 0;
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        if take(line, &mut read, &mut concluded).is_none() {
            let place = format!("{}:{}", path.display(), number + 1);
            read.notes.push(format!("{place} is not understood"));
        }
    }
    read
}

/// Adds what a line tells.
fn take(line: &[u8], read: &mut Account, concluded: &mut usize) -> Option<()> {
    let json: Json = serde_json::from_slice(line).ok()?;
    if json["kind"] == "connections" {
        read.boot = json["boot"].as_str()?.to_owned();
        return (json["schema_version"] == 1).then_some(());
    }
    if let Some(through) = json["concluded"].as_u64() {
        let through = usize::try_from(through).ok()?;
        let left = json["left"].as_object()?;
        let batch = read.sockets.get_mut(*concluded..through)?;
        for (at, socket) in (*concluded..).zip(batch) {
            let why = left.get(&at.to_string()).and_then(Json::as_str);
            socket.outcome = Some(why.map_or(Ok(()), |why| Err(why.to_owned())));
        }
        *concluded = through;
        return Some(());
    }
    let cookie = json["cookie"].as_str()?.strip_prefix("0x")?;
    read.sockets.push(Told {
        entry: Entry {
            cookie: Cookie(u64::from_str_radix(cookie, 16).ok()?),
            before: Held::parse(json["before"].as_str()?)?,
            step: parse_step(json["set"].as_str()?)?,
        },
        outcome: None,
    });
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn entry(cookie: u64) -> Entry {
        Entry {
            cookie: Cookie(cookie),
            before: Held::parse("off 7200* 75* 9* 0").unwrap(),
            step: parse_step("on 60 - - -").unwrap(),
        }
    }

    fn written(folder: &Path) -> String {
        let mut file = Connections::create(folder, "connections-7.jsonl", 7, "5c9f").unwrap();
        let id = sample::known().id;
        for batch in [&[1, 2, 3][..], &[4], &[5, 6]] {
            let first = file.next();
            let entries = batch
                .iter()
                .map(|cookie| (&id, (*cookie != 6).then_some(812), entry(*cookie)));
            file.intend(entries).unwrap();
            let left = BTreeMap::from([(first, "vanished".to_owned())]);
            if batch != [5, 6] {
                file.conclude(file.next(), &left).unwrap();
            }
        }
        std::fs::read_to_string(folder.join("connections-7.jsonl")).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(written(folder.path()));
        let read = read(folder.path(), "connections-7.jsonl").unwrap();
        assert_eq!((&*read.boot, read.notes.len()), ("5c9f", 0));
        let told: Vec<_> = read
            .sockets
            .into_iter()
            .map(|socket| (socket.entry.cookie.0, socket.outcome))
            .collect();
        let vanished = || Some(Err("vanished".to_owned()));
        let expected = [
            (1, vanished()),
            (2, Some(Ok(()))),
            (3, Some(Ok(()))),
            (4, vanished()),
            (5, None),
            (6, None),
        ];
        assert_eq!(told, expected);
    }

    /// A killed command stops within a line, at every byte: nothing is claimed that is not so.
    #[test]
    fn what_breaks_off_is_told_and_claims_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let whole = written(folder.path());
        let all = parse(Path::new("c"), whole.as_bytes()).sockets;
        for cut in 0..whole.len() {
            let read = parse(Path::new("c"), &whole.as_bytes()[..cut]);
            assert!(read.notes.len() <= 1, "{cut}: {:?}", read.notes);
            for (read, whole) in read.sockets.iter().zip(&all) {
                assert_eq!(read.entry, whole.entry, "{cut}");
                assert!(read.outcome.is_none() || read.outcome == whole.outcome);
            }
        }
    }

    #[test]
    fn a_command_that_runs_is_not_undone() {
        let folder = tempfile::tempdir().unwrap();
        let name = "connections-1.jsonl";
        assert_eq!(read(folder.path(), name).unwrap(), Account::default());
        let _running = Connections::create(folder.path(), name, 1, "5c9f").unwrap();
        let error = read(folder.path(), name).unwrap_err();
        assert!(error.to_string().contains("still runs"), "{error}");
        assert!(read(folder.path(), "../passwd").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_told(bytes: Vec<u8>, lines: Vec<String>) {
            let _ = parse(Path::new("c"), &bytes);
            let read = parse(Path::new("c"), lines.join("\n").as_bytes());
            proptest::prop_assert!(read.sockets.is_empty());
        }
    }
}
