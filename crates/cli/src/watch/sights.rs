//! Looks at all sockets, in the background, for what an event does not tell: which processes hold a
//! connection, and what its namespace is.
//!
//! A connection's program cannot be asked when it dies: it reads the error and closes at once. So it
//! has to be known before. There is a look at the beginning, one from time to time, and one when a
//! connection whose holder is not known falls silent.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};

use sockpulse_core::event::{Event, Kind};
use sockpulse_core::{Cookie, Coverage, Namespace, Process, Selector, TcpState};

use crate::error::{CommandError, ErrorKind};
use crate::machine::Survey;
use crate::options::SurveyOptions;

/// At least so long between looks, and so many times as long as a look takes.
const USUALLY: (Duration, u32) = (Duration::from_secs(10), 50);
/// The same where a holder is wanted.
const HURRIED: (Duration, u32) = (Duration::from_millis(250), 4);

/// The looks.
pub(super) struct Sights {
    survey: Survey,
    options: SurveyOptions,
    meant: Selector,
    looking: Option<Receiver<Result<Sight, CommandError>>>,
    last: Option<Sight>,
    ended: Instant,
    hurried: bool,
}

/// What a look showed.
pub(super) struct Sight {
    holders: HashMap<Cookie, Vec<Process>>,
    /// The namespaces that were read.
    pub(super) namespaces: Vec<Namespace>,
    /// What was seen and what was not.
    pub(super) coverage: Coverage,
    /// Connections that are meant.
    pub(super) connections: u64,
    took: Duration,
}

impl Sights {
    /// Begins the first look.
    pub(super) fn begin(survey: Survey, options: SurveyOptions) -> Self {
        let meant = options.selector.clone();
        let options = SurveyOptions {
            selector: Selector::default(),
            ..options
        };
        let mut sights = Self {
            survey,
            options,
            meant,
            looking: None,
            last: None,
            ended: Instant::now(),
            hurried: false,
        };
        sights.look();
        sights
    }

    /// The last look that ended.
    pub(super) const fn last(&self) -> Option<&Sight> {
        self.last.as_ref()
    }

    /// Takes what a look showed, and begins the next when it is time.
    ///
    /// # Errors
    /// When the first look fails: a later one leaves what is known as it is.
    pub(super) fn go_on(&mut self) -> Result<(), CommandError> {
        match self.looking.as_ref().map(Receiver::try_recv) {
            Some(Ok(Ok(sight))) => {
                self.last = Some(sight);
                self.end();
            }
            Some(Ok(Err(error))) => self.fail(error)?,
            Some(Err(TryRecvError::Disconnected)) => self.fail(lost_thread())?,
            Some(Err(TryRecvError::Empty)) => {}
            None if self.is_due() => self.look(),
            None => {}
        }
        Ok(())
    }

    /// Fills in who holds the connection.
    pub(super) fn fill_in(&mut self, event: &mut Event) {
        let owner = &mut event.connection.owner;
        let holders = self
            .last
            .as_ref()
            .and_then(|sight| sight.holders.get(&event.connection.id.cookie));
        if let Some(holders) = holders {
            owner.processes.clone_from(holders);
            owner.unseen = None;
        } else if event.kind == Kind::Probing {
            self.hurried = true;
        }
    }

    fn look(&mut self) {
        let (survey, options, meant) = (self.survey, self.options.clone(), self.meant.clone());
        let (to, from) = channel();
        let look = move || {
            // Nobody waits for it any more where this fails.
            let _ = to.send(look(survey, &options, &meant));
        };
        // Without a thread `from` is disconnected, which is told when it is asked.
        let _ = std::thread::Builder::new().name("look".into()).spawn(look);
        self.looking = Some(from);
        self.hurried = false;
    }

    fn is_due(&self) -> bool {
        let took = self
            .last
            .as_ref()
            .map_or(Duration::ZERO, |sight| sight.took);
        let (least, times) = if self.hurried { HURRIED } else { USUALLY };
        self.ended.elapsed() >= least.max(took * times)
    }

    fn end(&mut self) {
        self.looking = None;
        self.ended = Instant::now();
    }

    fn fail(&mut self, error: CommandError) -> Result<(), CommandError> {
        if self.last.is_none() {
            return Err(error);
        }
        tracing::warn!("owners are those of the look before: {error}");
        self.end();
        Ok(())
    }
}

fn lost_thread() -> CommandError {
    CommandError::new(
        ErrorKind::Incomplete,
        "failed to start a thread that looks at all sockets",
    )
}

fn look(survey: Survey, options: &SurveyOptions, meant: &Selector) -> Result<Sight, CommandError> {
    let mut holders = HashMap::new();
    let mut connections = 0;
    let started = Instant::now();
    let surveyed = survey(options, &mut |row| {
        let connection = row.connection;
        if connection.state == TcpState::Listen {
            return Ok(());
        }
        if meant.matches(connection, row.place, row.assessment.exposure) {
            connections += 1;
        }
        let processes = &connection.owner.processes;
        if connection.id.cookie != Cookie(0) && !processes.is_empty() {
            holders.insert(connection.id.cookie, processes.clone());
        }
        Ok(())
    })?;
    Ok(Sight {
        holders,
        namespaces: surveyed.namespaces,
        coverage: surveyed.coverage,
        connections,
        took: started.elapsed(),
    })
}
