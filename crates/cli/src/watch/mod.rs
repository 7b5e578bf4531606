//! `sockpulse watch`: what happens to connections, line by line.

pub(crate) mod args;
mod filter;
mod json;
pub(crate) mod kernel;
mod scan;
mod sights;
pub mod source;
mod summary;
mod teller;
#[cfg(test)]
mod tests;
mod text;
mod view;

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use sockpulse_core::event::Source;
use sockpulse_core::{Coverage, Gap, Namespace};

use crate::app::Face;
use crate::error::{CommandError, ErrorKind, Exit};
use crate::machine::Machine;
use crate::stop;
use args::{Method, WatchArgs};
use filter::Filter;
use scan::Scan;
use sights::Sights;
use source::{EventOptions, EventSource, More, Occurrence};
use summary::Summary;
use teller::Teller;

/// How long the source is waited for at once: how late a signal or the end of a look may be noticed.
const STEP: Duration = Duration::from_millis(50);

/// So long events wait for the first look, which tells whose connections are that were there before.
const FIRST_LOOK: Duration = Duration::from_secs(2);

/// More may happen all the time: so long the rest is taken at the end.
const LAST: Duration = Duration::from_millis(200);

/// How often it is asked what was lost.
const LOST: Duration = Duration::from_secs(1);

/// Tells of events until the time is over, enough were told, or a signal comes.
///
/// # Errors
/// When events cannot be learned of, or the output cannot be written.
pub(crate) fn run(
    args: &WatchArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let teller = Teller::new(face, out, stderr)?;
    let stop = stop::interruption();
    let hz = (machine.defaults)().ok().and_then(|here| here.hz);
    let (feed, note) = Feed::open(args, machine)?;
    let begun = Instant::now();
    let mut watch = Watch {
        filter: Filter::new(args, hz),
        count: args.count.unwrap_or(u64::MAX),
        until: args.time.map(|time| begun + time),
        asked: begun,
        looked: false,
        late: false,
        summary: Summary::new(feed.told_by()),
        feed,
        teller,
    };
    if let Some(note) = note {
        watch.teller.note(&note);
    }
    watch.go_on(&stop, args.every)?;
    watch.summary.watched = begun.elapsed();
    watch.teller.end(&watch.summary)?;
    Ok(watch.exit())
}

/// Where events come from, and what is known around them.
enum Feed {
    /// The kernel tells, and looks in the background tell the rest.
    Kernel(Box<dyn EventSource>, Box<Sights>),
    /// Looks are compared.
    Scan(Box<Scan>),
}

impl Feed {
    /// With what is to be said of the choice.
    fn open(args: &WatchArgs, machine: &Machine) -> Result<(Self, Option<String>), CommandError> {
        let options = args.survey.options();
        let scan = || {
            let events = args.events.clone();
            let scan = Scan::begin(machine.survey, options.clone(), events, args.every)?;
            Ok::<_, CommandError>(Self::Scan(Box::new(scan)))
        };
        if args.method == Method::Scan {
            return Ok((scan()?, None));
        }
        let wanted = EventOptions {
            events: args.events.clone(),
            selector: options.selector.clone(),
            netns: options.netns.clone(),
            cgroup: args.cgroup_root.clone(),
        };
        // Attached before the look, so that nothing falls in between.
        match (machine.events)(&wanted) {
            Ok(source) => {
                let sights = Sights::begin(machine.survey, options);
                Ok((Self::Kernel(source, Box::new(sights)), None))
            }
            Err(error) if error.kind() == ErrorKind::Usage => Err(error),
            Err(error) if args.method == Method::Auto => {
                let note =
                    format!("two looks are compared, since the kernel does not tell: {error}");
                Ok((scan()?, Some(note)))
            }
            Err(error) => {
                Err(error.hint("--method scan compares two looks at all sockets instead"))
            }
        }
    }

    const fn told_by(&self) -> Source {
        match self {
            Self::Kernel(..) => Source::Bpf,
            Self::Scan(_) => Source::Scan,
        }
    }

    fn next(
        &mut self,
        timeout: Duration,
        told: &mut Vec<Occurrence>,
    ) -> Result<More, CommandError> {
        match self {
            Self::Kernel(source, sights) => {
                sights.go_on()?;
                source.next(timeout, told)
            }
            Self::Scan(scan) => scan.next(timeout, told),
        }
    }

    fn lost(&mut self) -> Result<u64, CommandError> {
        match self {
            Self::Kernel(source, _) => source.lost(),
            Self::Scan(_) => Ok(0),
        }
    }

    fn skipped(&mut self) -> Result<u64, CommandError> {
        match self {
            Self::Kernel(source, _) => source.skipped(),
            Self::Scan(_) => Ok(0),
        }
    }

    /// The namespaces at the last look.
    fn namespaces(&self) -> &[Namespace] {
        match self {
            Self::Kernel(_, sights) => sights.last().map_or(&[], |sight| &sight.namespaces),
            Self::Scan(scan) => scan.namespaces(),
        }
    }

    /// What is not told though it was asked for.
    fn gaps(&self) -> &[Gap] {
        match self {
            Self::Kernel(source, _) => source.gaps(),
            Self::Scan(_) => &[],
        }
    }

    /// That of the last look; `None` before the first has ended.
    fn coverage(&self) -> Option<&Coverage> {
        match self {
            Self::Kernel(_, sights) => sights.last().map(|sight| &sight.coverage),
            Self::Scan(scan) => Some(scan.coverage()),
        }
    }

    fn connections(&self) -> u64 {
        match self {
            Self::Kernel(_, sights) => sights.last().map_or(0, |sight| sight.connections),
            Self::Scan(scan) => scan.connections(),
        }
    }
}

/// A watch that is going on.
struct Watch<'a> {
    feed: Feed,
    filter: Filter,
    teller: Teller<'a>,
    summary: Summary,
    /// So many events are enough.
    count: u64,
    until: Option<Instant>,
    /// When it was last asked what was lost.
    asked: Instant,
    /// Whether the first look is over.
    looked: bool,
    /// Whether it was said that it takes long.
    late: bool,
}

impl Watch<'_> {
    fn go_on(&mut self, stop: &AtomicBool, every: Duration) -> Result<(), CommandError> {
        let mut told = Vec::new();
        let mut more = More::Comes;
        let hold_until = Instant::now() + FIRST_LOOK;
        self.teller.begin(&self.summary)?;
        self.teller.gaps(self.feed.gaps());
        loop {
            let holds = self.hold(hold_until, every)?;
            if !holds {
                self.tell(&mut told)?;
            }
            let left = self.left();
            let over = more == More::Ended && !holds;
            if over || left.is_zero() || stop.load(Ordering::Relaxed) || self.is_enough() {
                break;
            }
            if more == More::Ended {
                std::thread::park_timeout(left);
            }
            more = self.feed.next(left, &mut told)?;
            if self.asked.elapsed() >= LOST {
                self.ask_what_was_lost()?;
            }
        }
        self.tell_the_rest(&mut told)?;
        self.summary.skipped = self.feed.skipped()?;
        self.ask_what_was_lost()
    }

    /// What had happened until it ended, though it may not have been taken yet.
    fn tell_the_rest(&mut self, told: &mut Vec<Occurrence>) -> Result<(), CommandError> {
        let until = Instant::now() + LAST;
        while !self.is_enough() && Instant::now() < until {
            self.feed.next(Duration::ZERO, told)?;
            if told.is_empty() {
                break;
            }
            self.tell(told)?;
        }
        Ok(())
    }

    /// How long may be waited.
    fn left(&self) -> Duration {
        self.until.map_or(STEP, |until| {
            until.saturating_duration_since(Instant::now()).min(STEP)
        })
    }

    fn is_enough(&self) -> bool {
        self.summary.told() >= self.count
    }

    /// Whether events wait for the first look; says what it showed when it is over.
    fn hold(&mut self, until: Instant, every: Duration) -> Result<bool, CommandError> {
        if self.looked {
            return Ok(false);
        }
        let Some(coverage) = self.feed.coverage() else {
            let holds = Instant::now() < until;
            if !holds && !self.late {
                self.late = true;
                self.teller.look_is_late();
            }
            return Ok(holds);
        };
        self.looked = true;
        self.teller.gaps(&coverage.gaps);
        let namespaces = u64::try_from(self.feed.namespaces().len()).unwrap_or(u64::MAX);
        let connections = self.feed.connections();
        self.teller
            .looked(&self.summary, connections, namespaces, every)?;
        Ok(false)
    }

    fn tell(&mut self, told: &mut Vec<Occurrence>) -> Result<(), CommandError> {
        for mut occurrence in told.drain(..) {
            if let Feed::Kernel(_, sights) = &mut self.feed {
                sights.fill_in(&mut occurrence.event);
            }
            if self.summary.told() >= self.count {
                continue;
            }
            let namespaces = self.feed.namespaces();
            self.filter.pass(&occurrence, namespaces, |view| {
                self.summary.count(view.event);
                self.teller.event(view);
            });
        }
        self.teller.flush()
    }

    fn ask_what_was_lost(&mut self) -> Result<(), CommandError> {
        self.asked = Instant::now();
        let lost = self.feed.lost()?;
        let more = lost.saturating_sub(self.summary.lost);
        self.summary.lost = lost;
        if more > 0 {
            self.teller.lost(more)?;
        }
        Ok(())
    }

    fn exit(&self) -> Exit {
        let partial = self.feed.coverage().is_some_and(Coverage::is_partial);
        if partial || self.summary.lost > 0 || !self.feed.gaps().is_empty() {
            Exit::Partial
        } else {
            Exit::Done
        }
    }
}
