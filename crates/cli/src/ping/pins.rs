//! What method option leaves on sockets, in the journal: nothing can take it back, so that it has to be
//! known at least.
//!
//! ```text
//! {"schema_version":1,"kind":"pinned","id":7,"boot":"5c9f…"}
//! {"cookie":"0x2a","netns":4026531840,"local":"10.0.0.1:6379","remote":"10.0.0.9:51234","pid":812,"idle_s":7200,"probes":null}
//! ```

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde_json::json;
use sockpulse_core::change::{Change, Target, Undoes, Value};
use sockpulse_core::ping::Method;
use sockpulse_core::{Cookie, KeepCnt};
use sockpulse_linux::ping::Pinned;

use super::station::Stations;
use super::subject::Subject;
use crate::coverage::counted;
use crate::error::CommandError;
use crate::journal::{Begun, Journal, connections, opened, unwritable};
use crate::machine::Machine;

/// The part of a command that may leave something behind.
pub(crate) struct Pins<'a> {
    machine: &'a Machine,
    state_dir: &'a Path,
    /// What was begun in the journal, where it can be written.
    begun: Option<(Begun, File)>,
}

impl<'a> Pins<'a> {
    /// Writes the intent, if the method leaves anything behind. Where the journal cannot be written that is
    /// said: who has no right to more asks so.
    pub(crate) fn begin(
        machine: &'a Machine,
        state_dir: &'a Path,
        command: &str,
        stations: &dyn Stations,
        subjects: &[Subject],
        stderr: &mut dyn Write,
    ) -> Self {
        let mut pins = Self {
            machine,
            state_dir,
            begun: None,
        };
        if stations.method() == Method::Option {
            match pins.intend(command, subjects.len(), stderr) {
                Ok(begun) => pins.begun = Some(begun),
                // There is nowhere to say that stderr is closed.
                Err(error) => {
                    let _ = writeln!(stderr, "note: what this leaves is not recorded: {error}");
                }
            }
        }
        pins
    }

    fn intend(
        &self,
        command: &str,
        count: usize,
        stderr: &mut dyn Write,
    ) -> Result<(Begun, File), CommandError> {
        let sink = (self.machine.changes)();
        let mut journal = Journal::open(self.state_dir, stderr)?;
        let name = connections::next_name(&journal);
        let change = Change {
            target: Target::Pinned {
                file: name.clone(),
                count: count.try_into().unwrap_or(u64::MAX),
            },
            before: Value::Absent,
            after: Value::Text(name.clone()),
            reason: "asked by method option".into(),
        };
        let begun = journal.intend(sink.clock(), command, &Undoes::default(), &[change])?;
        let path = self.state_dir.join(&name);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o644);
        let mut file = opened(&path, &mut options).map_err(|error| unwritable(&path, &error))?;
        let head = json!({
            "schema_version": 1, "kind": "pinned", "id": begun.id, "boot": sink.boot(),
        });
        writeln!(file, "{head}").map_err(|error| unwritable(&path, &error))?;
        Ok((begun, file))
    }

    /// Says and records what could not be taken back. Returns how many sockets have something.
    pub(crate) fn finish(
        self,
        stations: &dyn Stations,
        subjects: &[Subject],
        stderr: &mut dyn Write,
    ) -> usize {
        let pinned: HashMap<Cookie, Pinned> = stations.pinned().into_iter().collect();
        if let Some((begun, mut file)) = self.begun {
            let lines = subjects.iter().filter_map(|subject| {
                let pinned = pinned.get(&subject.id.cookie)?;
                Some(line(subject, pinned))
            });
            let text: String = lines.collect();
            let outcome = if pinned.is_empty() {
                Err("nothing was left behind".to_owned())
            } else {
                Ok(())
            };
            let written = file
                .write_all(text.as_bytes())
                .map_err(CommandError::output)
                .and_then(|()| {
                    let clock = (self.machine.changes)().clock();
                    let mut journal = Journal::open(self.state_dir, stderr)?;
                    journal.conclude(begun, clock, &[outcome])
                });
            if let Err(error) = written {
                // There is nowhere to say that stderr is closed.
                let _ = writeln!(stderr, "note: what this left is not recorded: {error}");
            }
        }
        if !pinned.is_empty() {
            let sockets = counted(pinned.len().try_into().unwrap_or(u64::MAX), "socket");
            let _ = writeln!(
                stderr,
                "note: the idle time of {sockets} is of their own from now on: as it was, but a change \
                 of the namespace's default does not reach them (method option)"
            );
        }
        pinned.len()
    }
}

fn line(subject: &Subject, pinned: &Pinned) -> String {
    let line = json!({
        "cookie": format!("{:#x}", subject.id.cookie.0),
        "netns": subject.id.netns.0,
        "local": subject.id.local.to_string(),
        "remote": subject.id.remote.to_string(),
        "pid": subject.process.map(|process| process.pid),
        "idle_s": pinned.idle.get(),
        "probes": pinned.probes.map(KeepCnt::get),
    });
    format!("{line}\n")
}
