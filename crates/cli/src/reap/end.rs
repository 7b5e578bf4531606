//! Ending those who are dead: recorded, asked for the last time, looked at once more, destroyed.

use std::collections::HashMap;
use std::io::Write;
use std::num::NonZeroU16;
use std::sync::atomic::AtomicBool;

use sockpulse_core::change::{Change, Target, Undoes, Value};
use sockpulse_core::ping::{Answer, Patience, Verdict, Why};
use sockpulse_core::{Cookie, Gap, Process};

use super::COMMAND;
use super::args::ReapArgs;
use super::fate::Fate;
use super::left::Left;
use super::record::{Head, Records};
use crate::error::CommandError;
use crate::journal::connections;
use crate::journal::{Begun, Journal};
use crate::json::JsonEncoder;
use crate::machine::Machine;
use crate::ping::asking::{self, Told};
use crate::ping::course::Course;
use crate::ping::pacer::Pacer;
use crate::ping::station::{Station, Stations};
use crate::ping::{Asked, json};
use crate::row::Row;
use crate::sink::ChangeSink;

/// How often one is asked before it is ended: the path may have come back since it was called dead.
const LAST_WORD: NonZeroU16 = NonZeroU16::new(3).expect("it is not zero");

/// Ends connections.
pub(super) struct Ending<'a> {
    pub(super) args: &'a ReapArgs,
    pub(super) machine: &'a Machine,
    pub(super) stations: &'a dyn Stations,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Ended {
    /// The transaction's number.
    pub(super) id: Option<u64>,
    /// Where the records are.
    pub(super) file: Option<String>,
    pub(super) fates: Vec<(Asked, Fate)>,
    /// What is left of those who were ended.
    pub(super) left: Left,
    pub(super) gaps: Vec<Gap>,
    pub(super) notes: Vec<String>,
}

impl Ending<'_> {
    /// Ends them, sorted by namespace.
    ///
    /// # Errors
    /// When they cannot be read again, or the journal cannot be written: then none is ended.
    pub(super) fn end(
        &self,
        dead: Vec<Asked>,
        stderr: &mut dyn Write,
    ) -> Result<Ended, CommandError> {
        let mut seen = self.look_again(&dead)?;
        let (there, gone): (Vec<Asked>, _) = dead
            .into_iter()
            .partition(|(subject, _)| seen.contains_key(&subject.id.cookie));
        let mut ended = Ended {
            id: None,
            file: None,
            fates: gone.into_iter().map(|one| (one, Fate::Gone)).collect(),
            left: Left::default(),
            gaps: Vec::new(),
            notes: Vec::new(),
        };
        if there.is_empty() {
            return Ok(ended);
        }
        let mut sink = (self.machine.changes)();
        let (begun, mut records) = self.begin(&mut *sink, &there, &seen, stderr)?;
        ended.id = Some(begun.id);
        ended.file = Some(records.path.display().to_string());
        let first = ended.fates.len();
        let failed = self.ask_again(there, &mut records, &mut ended);
        let destroyed: Vec<Destroyed> = ended.fates[first..]
            .iter()
            .filter_map(|((subject, _), fate)| match fate {
                Fate::Destroyed(memory) => Some(Destroyed {
                    cookie: subject.id.cookie,
                    holders: seen.remove(&subject.id.cookie)?.holders,
                    memory: memory.map(|memory| memory.0),
                }),
                _ => None,
            })
            .collect();
        let outcome = match ended.fates[first..]
            .iter()
            .find_map(|(_, fate)| match fate {
                Fate::Failed(error) => Some(error.reason()),
                _ => None,
            }) {
            Some(why) if destroyed.is_empty() => Err(why),
            _ => Ok(()),
        };
        let clock = sink.clock();
        let concluded = Journal::open(&self.args.writing.state_dir, stderr)
            .and_then(|mut journal| journal.conclude(begun, clock, &[outcome]));
        if let Err(error) = concluded.and(failed) {
            ended.notes.push(format!(
                "what was ended is ended, but its outcome is not recorded: {error}"
            ));
        }
        ended.left = Left::of(self.stations, &destroyed);
        Ok(ended)
    }

    /// Reads those who are to be ended once more, with all that is known of them.
    fn look_again(&self, dead: &[Asked]) -> Result<HashMap<Cookie, Seen>, CommandError> {
        let answers: HashMap<Cookie, &Asked> =
            dead.iter().map(|one| (one.0.id.cookie, one)).collect();
        let mut seen = HashMap::new();
        let mut encoder = JsonEncoder::default();
        (self.machine.survey)(&self.args.survey.options(), &mut |row| {
            if let Some((subject, answer)) = answers.get(&row.connection.id.cookie) {
                let mut record = Vec::from(*b"{\"connection\":");
                encoder.connection(&mut record, row);
                record.extend_from_slice(b",\"asked\":");
                if self.args.unverified {
                    record.extend_from_slice(b"null");
                } else {
                    json::object(&mut record, subject, answer, &[]);
                }
                record.push(b'}');
                seen.insert(subject.id.cookie, Seen::of(row, record));
            }
            Ok(())
        })?;
        Ok(seen)
    }

    /// Writes what is going to be done.
    fn begin(
        &self,
        sink: &mut dyn ChangeSink,
        there: &[Asked],
        seen: &HashMap<Cookie, Seen>,
        stderr: &mut dyn Write,
    ) -> Result<(Begun, Records), CommandError> {
        let state_dir = &self.args.writing.state_dir;
        let mut journal = Journal::open(state_dir, stderr)?;
        let name = connections::next_name(&journal);
        let reason = if self.args.unverified {
            "silent, and not asked"
        } else {
            "dead: did not answer"
        };
        let change = Change {
            target: Target::Destroyed {
                file: name.clone(),
                count: there.len().try_into().unwrap_or(u64::MAX),
            },
            before: Value::Text(name.clone()),
            after: Value::Absent,
            reason: reason.into(),
        };
        let begun = journal.intend(sink.clock(), COMMAND, &Undoes::default(), &[change])?;
        let head = Head {
            id: begun.id,
            boot: &sink.boot(),
            reason,
        };
        let records: Vec<Vec<u8>> = there
            .iter()
            .filter_map(|(subject, _)| Some(seen.get(&subject.id.cookie)?.record.clone()))
            .collect();
        match Records::create(state_dir, &name, &head, &records) {
            Ok(records) => Ok((begun, records)),
            Err(error) => {
                // That nothing was ended is told, if it can be.
                let nothing = [Err("left, since its file could not be written".to_owned())];
                let _ = journal.conclude(begun, sink.clock(), &nothing);
                Err(error)
            }
        }
    }

    /// Asks them for the last time, and ends those who are still silent on the spot.
    fn ask_again(
        &self,
        there: Vec<Asked>,
        records: &mut Records,
        ended: &mut Ended,
    ) -> Result<(), CommandError> {
        let limit = self.args.max_per_second.map(Pacer::new);
        // Nobody is asked long before the turn comes.
        let starts = self.args.max_per_second.map(Pacer::new);
        let subjects: Vec<_> = there.iter().map(|(subject, _)| subject.clone()).collect();
        let earlier: HashMap<Cookie, &Answer> = there
            .iter()
            .map(|(subject, answer)| (subject.id.cookie, answer))
            .collect();
        let course = Course {
            method: self.stations.method(),
            patience: (!self.args.unverified).then_some(Patience {
                probes: LAST_WORD,
                spacing: self.args.asking.spacing,
            }),
            pacer: &Pacer::new(self.args.asking.rate),
            starts: starts.as_ref(),
            stations: self.stations,
            stop: &AtomicBool::new(false),
            conclude: &|station, subject, answer| {
                let wait = |station: &mut dyn Station| {
                    let Some(limit) = &limit else { return };
                    while !self.stations.is_interrupted() && limit.take(station.now(), 1) == 0 {
                        station.wait(limit.due());
                    }
                };
                if self.args.unverified || answer.verdict == Verdict::Dead {
                    wait(station);
                }
                if self.stations.is_interrupted() {
                    return Fate::Unasked(json::sentence(Why::Interrupted));
                }
                if self.args.unverified {
                    return Fate::of_silent(station, subject);
                }
                match earlier.get(&subject.id.cookie) {
                    Some(earlier) => Fate::of_asked(station, subject, &answer, earlier),
                    None => Fate::Gone,
                }
            },
        };
        let unasked = |_: &_, why: Why| Fate::Unasked(json::sentence(why));
        let mut fates: Vec<Option<Fate>> = vec![None; there.len()];
        let mut told = |told| {
            match told {
                Told::Settled(at, fate) => {
                    records.conclude(subjects[at].id.cookie, &fate)?;
                    fates[at] = Some(fate);
                }
                Told::Gap(gap) => ended.gaps.push(gap),
                Told::Tick => {}
            }
            Ok(())
        };
        let result = asking::all(&course, &unasked, &subjects, &mut told);
        let fates = fates
            .into_iter()
            .map(|fate| fate.unwrap_or_else(|| Fate::Unasked(json::sentence(Why::Interrupted))));
        ended.fates.extend(there.into_iter().zip(fates));
        result
    }
}

/// One that is to be ended, as it was read again.
struct Seen {
    record: Vec<u8>,
    holders: Vec<Process>,
}

impl Seen {
    fn of(row: &Row<'_>, record: Vec<u8>) -> Self {
        Self {
            record,
            holders: row.connection.owner.processes.clone(),
        }
    }
}

/// One that was ended.
#[derive(Debug)]
pub(super) struct Destroyed {
    pub(super) cookie: Cookie,
    pub(super) holders: Vec<Process>,
    /// What its buffers took before, if that could be read.
    pub(super) memory: Option<u64>,
}
