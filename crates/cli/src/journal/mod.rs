//! The journal: what was changed, from what to what, so that it can be put back.
//!
//! A file of JSON lines to which is only ever added. Before anything is changed a line says what is
//! going to be (the intent), and afterwards one says what became of it; each is on the disk before
//! the next step. A line that breaks off, because the machine stopped, is left out and told.

mod clock;
pub(crate) mod connections;
mod holder;
mod line;

pub(crate) use clock::moment;
pub(crate) use line::of_change;

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use sockpulse_core::change::{Change, Transaction, Undoes};
use sockpulse_linux::file;

use crate::error::{CommandError, ErrorKind};
use holder::Holder;

/// Where the journal is kept.
pub(crate) const FOLDER: &str = "/var/lib/sockpulse";

const NAME: &str = "journal.jsonl";

/// How long another command that changes something is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who holds the journal, where that is not known.
const OTHER: &str = "another process";

/// The journal as it was read.
#[derive(Debug, Default)]
pub(crate) struct Past {
    /// What was done, oldest first.
    pub(crate) transactions: Vec<Transaction>,
    /// What could not be understood: `line 3 breaks off`.
    pub(crate) notes: Vec<String>,
    /// The highest number of all, also of those that are not understood.
    last_id: u64,
    /// Whether whole lines were not understood: what they did is not known.
    pub(crate) is_partial: bool,
}

impl Past {
    /// The number of the next transaction.
    const fn next_id(&self) -> u64 {
        self.last_id.saturating_add(1)
    }
}

/// Reads the journal; one that is not there is empty.
///
/// # Errors
/// When it is there and cannot be read.
pub(crate) fn read(folder: &Path) -> Result<Past, CommandError> {
    let path = folder.join(NAME);
    let read = || {
        let mut file = opened(&path, OpenOptions::new().read(true))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map(|_| bytes)
    };
    match read() {
        Ok(bytes) => Ok(parse(&path, &bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Past::default()),
        Err(error) => Err(failed("read", &path, &error)),
    }
}

/// Whether it could be opened to be written, as far as that is seen without making it.
///
/// # Errors
/// Why not.
pub(crate) fn may_write(folder: &Path) -> Result<(), CommandError> {
    let path = folder.join(NAME);
    let error = match opened(&path, OpenOptions::new().read(true).append(true)) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let Err(refused) = file::may_replace(&path) else {
                return Ok(());
            };
            let errno = refused.errno().map(io::Error::from);
            errno.unwrap_or_else(|| io::Error::other(refused.reason()))
        }
        Err(error) => error,
    };
    Err(unwritable(&path, &error))
}

/// Nothing but a file is opened: a FIFO would wait for ever, and a link may lead anywhere.
pub(crate) fn opened(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let file = match options.custom_flags(flags).open(path) {
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            return Err(io::Error::other("it is a symbolic link"));
        }
        opened => opened?,
    };
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("it is no file"))
    }
}

/// Holds the journal. Whoever may read it may hold it too, so that there is an end to waiting.
fn lock(
    file: &File,
    path: &Path,
    patience: Duration,
    stderr: &mut dyn Write,
) -> Result<(), CommandError> {
    const PAUSE: Duration = Duration::from_millis(20);
    let end = Instant::now() + patience;
    let mut told = false;
    loop {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < end => {
                if !told {
                    let holder = Holder::of(file);
                    let who = holder.map_or(OTHER.into(), |holder| holder.to_string());
                    // There is nowhere to say that stderr is closed.
                    let _ = writeln!(stderr, "waiting for {who}, which holds the journal");
                    told = true;
                }
                std::thread::sleep(PAUSE);
            }
            Err(Errno::WOULDBLOCK) => return Err(held(file, path, patience)),
            Err(errno) => return Err(failed("lock", path, &errno.into())),
        }
    }
}

fn held(file: &File, path: &Path, patience: Duration) -> CommandError {
    let (who, hint) = match Holder::of(file) {
        Some(holder) => (
            holder.to_string(),
            "run it again when that has ended".into(),
        ),
        None => {
            let hint = format!("see who: fuser -v {}", path.display());
            (OTHER.into(), hint)
        }
    };
    let message = format!(
        "nothing was changed: {who} still holds the journal {} after {} s",
        path.display(),
        patience.as_secs()
    );
    CommandError::new(ErrorKind::Incomplete, message).hint(hint)
}

/// The journal, open and held: another sockpulse that wants to change something waits meanwhile.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// What was in it when it was opened.
    pub(crate) past: Past,
}

/// A transaction whose intent is written.
#[derive(Debug)]
#[must_use = "the journal does not know yet what became of the changes"]
pub(crate) struct Begun {
    /// Its number.
    pub(crate) id: u64,
}

impl Journal {
    /// Opens it for writing, and makes it where there is none. If another command holds it, that is
    /// said on `stderr` and its end awaited for some seconds.
    ///
    /// # Errors
    /// When it cannot be written: then nothing should be changed that could not be put back.
    pub(crate) fn open(folder: &Path, stderr: &mut dyn Write) -> Result<Self, CommandError> {
        Self::open_within(folder, PATIENCE, stderr)
    }

    fn open_within(
        folder: &Path,
        patience: Duration,
        stderr: &mut dyn Write,
    ) -> Result<Self, CommandError> {
        let mut folders = std::fs::DirBuilder::new();
        let made = folders.recursive(true).mode(0o755).create(folder);
        made.map_err(|error| unwritable(folder, &error))?;
        let path = folder.join(NAME);
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o644);
        let mut file = opened(&path, &mut options).map_err(|error| unwritable(&path, &error))?;
        lock(&file, &path, patience, stderr)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| failed("read", &path, &error))?;
        if bytes.last().is_some_and(|last| *last != b'\n') {
            // What is added must not continue the line that broke off.
            file.write_all(b"\n")
                .map_err(|error| unwritable(&path, &error))?;
        }
        let past = parse(&path, &bytes);
        // A new file is there after a crash only if its folder is on the disk too.
        let folder = File::open(folder).and_then(|folder| folder.sync_all());
        folder.map_err(|error| unwritable(&path, &error))?;
        Ok(Self { path, file, past })
    }

    /// Writes what is going to be done.
    ///
    /// # Errors
    /// When it did not reach the disk.
    pub(crate) fn intend(
        &mut self,
        at: u64,
        command: &str,
        undoes: &Undoes,
        changes: &[Change],
    ) -> Result<Begun, CommandError> {
        self.continue_with(None, at, command, undoes, changes)
    }

    /// As [`intend`](Self::intend); what the same command did in this transaction before is undone
    /// together with it.
    ///
    /// # Errors
    /// When it did not reach the disk.
    pub(crate) fn continue_with(
        &mut self,
        before: Option<u64>,
        at: u64,
        command: &str,
        undoes: &Undoes,
        changes: &[Change],
    ) -> Result<Begun, CommandError> {
        let id = self.past.next_id();
        let intent = line::intent(id, at, command, undoes, before, changes);
        self.append(&intent)?;
        self.past.last_id = id;
        Ok(Begun { id })
    }

    /// Writes what became of it: an outcome for each change, in the same order.
    ///
    /// # Errors
    /// When it did not reach the disk; the changes are made all the same.
    pub(crate) fn conclude(
        &mut self,
        begun: Begun,
        at: u64,
        outcomes: &[Result<(), String>],
    ) -> Result<(), CommandError> {
        self.append(&line::outcome(begun.id, at, outcomes))
    }

    fn append(&mut self, line: &str) -> Result<(), CommandError> {
        let mut text = line.to_owned();
        text.push('\n');
        // One write: whoever reads meanwhile sees the whole line or none of it.
        self.file
            .write_all(text.as_bytes())
            .and_then(|()| self.file.sync_all())
            .map_err(|error| unwritable(&self.path, &error))
    }
}

fn parse(path: &Path, bytes: &[u8]) -> Past {
    let mut past = Past::default();
    for (number, text) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if text.is_empty() {
            continue;
        }
        let place = || format!("{}:{}", path.display(), number + 1);
        match line::read(text, &mut past.transactions) {
            Ok(id) => past.last_id = past.last_id.max(id),
            Err(unread) => {
                past.notes.push(format!("{} {}", place(), unread.why));
                // Its number is taken all the same.
                past.last_id = past.last_id.max(unread.id.unwrap_or(0));
                past.is_partial |= unread.id.is_some();
            }
        }
    }
    past
}

/// Nothing is changed that could not be put back.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> CommandError {
    failed("write", path, error)
}

fn failed(what: &str, path: &Path, error: &io::Error) -> CommandError {
    use io::ErrorKind::{
        AlreadyExists, IsADirectory, NotADirectory, PermissionDenied, QuotaExceeded,
        ReadOnlyFilesystem, StorageFull,
    };
    let hint = match error.kind() {
        PermissionDenied => "run as root, or keep another one: --state-dir DIR",
        StorageFull | QuotaExceeded => "keep it where there is room: --state-dir DIR",
        ReadOnlyFilesystem => "keep it on a file system that can be written: --state-dir DIR",
        NotADirectory | AlreadyExists => "it is kept in a folder: --state-dir DIR",
        IsADirectory => {
            "a folder is in its place: move it away, or keep it elsewhere: --state-dir DIR"
        }
        _ => "keep another one: --state-dir DIR",
    };
    let kind = if error.kind() == PermissionDenied {
        ErrorKind::NotPermitted
    } else {
        ErrorKind::Incomplete
    };
    let message = format!("failed to {what} the journal {}: {error}", path.display());
    CommandError::new(kind, message).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockpulse_core::NetnsId;
    use sockpulse_core::change::{NetnsKey, Target, Value};
    use sockpulse_core::persisted::Sysctl;

    /// A folder of its own that goes with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new(test: &str) -> Self {
            let name = format!("sockpulse-journal-{test}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let _ = std::fs::remove_dir_all(&path);
            Self(path)
        }

        fn text(&self) -> String {
            std::fs::read_to_string(self.0.join(NAME)).unwrap()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn changes() -> Vec<Change> {
        let netns = NetnsKey {
            id: NetnsId(4_026_531_840),
            cookie: Some(1),
            name: "host".into(),
            host: true,
            boot: "5c9f".into(),
        };
        let reason = || "asked for".to_owned();
        vec![
            Change {
                target: Target::PersistedFile {
                    path: "/etc/sysctl.d/zz-sockpulse.conf".into(),
                },
                before: Value::Absent,
                after: Value::Text("a = \"1\"\n".into()),
                reason: reason(),
            },
            Change {
                target: Target::Sysctl {
                    netns,
                    sysctl: Sysctl::Idle,
                },
                before: Value::Number(7200),
                after: Value::Number(60),
                reason: reason(),
            },
        ]
    }

    #[test]
    fn what_is_written_is_read_back() {
        let folder = Folder::new("round");
        let mut journal = Journal::open(&folder.0, &mut io::sink()).unwrap();
        let begun = journal
            .intend(1_000, "defaults set", &Undoes::default(), &changes())
            .unwrap();
        assert_eq!(begun.id, 1);
        let outcomes = [Ok(()), Err("read-only".to_owned())];
        journal.conclude(begun, 1_001, &outcomes).unwrap();
        drop(journal);
        let past = read(&folder.0).unwrap();
        assert!(past.notes.is_empty(), "{:?}", past.notes);
        let [transaction] = &past.transactions[..] else {
            panic!("{past:?}");
        };
        assert_eq!((transaction.id, transaction.at), (1, 1_000));
        let (read, told): (Vec<_>, Vec<_>) = transaction
            .records
            .iter()
            .map(|record| (record.change.clone(), record.outcome.clone().unwrap()))
            .unzip();
        assert_eq!(read, changes());
        assert_eq!(told, outcomes);
        insta::assert_snapshot!(folder.text());
    }

    #[test]
    fn a_line_that_breaks_off_is_told_and_left_alone() {
        let folder = Folder::new("torn");
        let mut journal = Journal::open(&folder.0, &mut io::sink()).unwrap();
        let first = journal
            .intend(1, "defaults set", &Undoes::default(), &changes())
            .unwrap();
        journal.conclude(first, 1, &[Ok(()), Ok(())]).unwrap();
        let second = journal
            .intend(2, "defaults set", &Undoes::default(), &changes())
            .unwrap();
        assert_eq!(second.id, 2);
        drop(journal);
        // The machine stops within the last line, at every byte of it.
        let whole = folder.text();
        let start = whole.trim_end().rfind('\n').unwrap() + 1;
        for cut in [start + 1, start + 40, whole.len() - 2] {
            std::fs::write(folder.0.join(NAME), &whole[..cut]).unwrap();
            let past = read(&folder.0).unwrap();
            assert_eq!(past.transactions.len(), 1, "{cut}");
            assert!(
                past.notes[0].contains("journal.jsonl:3 "),
                "{:?}",
                past.notes
            );
            // The next transaction stands on a line of its own, with a number of its own.
            let mut journal = Journal::open(&folder.0, &mut io::sink()).unwrap();
            let begun = journal.intend(3, "undo", &Undoes::default(), &[]).unwrap();
            assert_eq!(begun.id, 2);
            journal.conclude(begun, 3, &[]).unwrap();
            let past = read(&folder.0).unwrap();
            assert_eq!(past.transactions.len(), 2, "{cut}: {}", folder.text());
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_told(bytes: Vec<u8>, lines: Vec<String>) {
            let text = lines.join("\n");
            for bytes in [&bytes[..], text.as_bytes()] {
                let past = parse(Path::new("journal"), bytes);
                proptest::prop_assert!(past.transactions.is_empty());
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                proptest::prop_assert_eq!(past.notes.len(), lines.count());
            }
        }
    }

    #[test]
    fn without_an_outcome_nothing_is_claimed() {
        let folder = Folder::new("crash");
        let mut journal = Journal::open(&folder.0, &mut io::sink()).unwrap();
        let _killed = journal
            .intend(1, "defaults set", &Undoes::default(), &changes())
            .unwrap();
        drop(journal);
        let past = read(&folder.0).unwrap();
        let outcomes = past.transactions[0].records.iter();
        assert!(outcomes.map(|record| &record.outcome).all(Option::is_none));
    }

    #[test]
    fn one_command_at_a_time_and_none_waits_for_ever() {
        let folder = Folder::new("lock");
        let first = Journal::open(&folder.0, &mut io::sink()).unwrap();
        let error = Journal::open_within(&folder.0, Duration::ZERO, &mut io::sink()).unwrap_err();
        let holder = format!("process {} (", std::process::id());
        assert!(error.to_string().contains(&holder), "{error}");
        assert_eq!(error.status(), 3);
        drop(first);
        assert!(Journal::open_within(&folder.0, Duration::ZERO, &mut io::sink()).is_ok());
    }

    #[test]
    fn what_is_no_file_is_no_journal() {
        let folder = Folder::new("fifo");
        std::fs::create_dir(&folder.0).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.0.join(NAME), mode).unwrap();
        for error in [
            read(&folder.0).unwrap_err(),
            Journal::open(&folder.0, &mut io::sink()).unwrap_err(),
            may_write(&folder.0).unwrap_err(),
        ] {
            assert!(error.to_string().ends_with("it is no file"), "{error}");
        }
    }

    #[test]
    fn whether_it_could_be_written_is_seen_without_making_it() {
        let folder = Folder::new("may");
        may_write(&folder.0.join("deeper")).unwrap();
        assert!(!folder.0.exists());
        std::fs::write(&folder.0, b"").unwrap();
        let error = may_write(&folder.0).unwrap_err();
        assert!(error.hints()[0].contains("kept in a folder"), "{error}");
        std::fs::remove_file(&folder.0).unwrap();
    }

    #[test]
    fn a_link_is_no_journal() {
        let folder = Folder::new("link");
        std::fs::create_dir(&folder.0).unwrap();
        std::fs::write(folder.0.join("elsewhere"), b"").unwrap();
        std::os::unix::fs::symlink("elsewhere", folder.0.join(NAME)).unwrap();
        let error = Journal::open(&folder.0, &mut io::sink()).unwrap_err();
        assert!(
            error.to_string().ends_with("it is a symbolic link"),
            "{error}"
        );
    }

    #[test]
    fn what_a_later_version_wrote_is_told_and_its_numbers_are_taken() {
        let folder = Folder::new("later");
        std::fs::create_dir(&folder.0).unwrap();
        let line = r#"{"schema_version":2,"kind":"intent","id":7,"changes":[]}"#;
        std::fs::write(folder.0.join(NAME), format!("{line}\n")).unwrap();
        let mut journal = Journal::open(&folder.0, &mut io::sink()).unwrap();
        assert!(journal.past.is_partial);
        assert!(journal.past.notes[0].contains("written by a later version"));
        let begun = journal.intend(3, "undo", &Undoes::default(), &[]).unwrap();
        assert_eq!(begun.id, 8);
        journal.conclude(begun, 3, &[]).unwrap();
    }

    #[test]
    fn a_journal_that_is_not_there_is_empty_and_one_that_cannot_be_is_an_error() {
        let folder = Folder::new("none");
        assert!(read(&folder.0).unwrap().transactions.is_empty());
        std::fs::write(&folder.0, b"a file").unwrap();
        let error = Journal::open(&folder.0, &mut io::sink()).unwrap_err();
        assert_eq!(error.status(), 3);
        assert!(error.hints()[0].contains("--state-dir"));
        std::fs::remove_file(&folder.0).unwrap();
    }
}
