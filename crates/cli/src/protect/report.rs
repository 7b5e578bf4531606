//! What is printed: one screen, or one JSON document.

use std::io::Write;
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use sockpulse_core::protect::{Asked, Jitter, Mode, Pace, Rule, Skip, Span, Step, Tally};
use sockpulse_core::{
    NetnsDefaults, Setting, SocketTimers, Unseen, UserTimeout, UserTimeoutChoice,
};
use sockpulse_core::{human, is_fragile};

use super::outcome::{Outcome, Refused};
use super::plan::{Counts, Kind, Plan};
use crate::app::Face;
use crate::append;
use crate::coverage::{self, counted, grouped};
use crate::error::{CommandError, Exit};
use crate::fit;
use crate::options::OutputFormat;
use crate::terminal;

/// All that is to be said.
pub(super) struct Report<'a> {
    pub(super) rule: &'a Rule,
    pub(super) jitter: Jitter,
    /// Whether it is only to be seen what would be done.
    pub(super) dry_run: bool,
    /// What the first look at open sockets found; `None` where they are not meant.
    pub(super) plan: Option<&'a Plan>,
    /// What became of them.
    pub(super) outcome: Option<&'a Outcome>,
    /// The rule for connections to come.
    pub(super) coming: Option<&'a Coming>,
}

/// A rule for connections to come, and whether it is in force.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) name: String,
    pub(super) placed: Result<Placed, CommandError>,
}

/// Where it stands among the others.
#[derive(Debug)]
pub(super) struct Placed {
    /// The transaction's number; `None` when nothing was, or had to be, changed.
    pub(super) id: Option<u64>,
    pub(super) number: usize,
    pub(super) of: usize,
}

impl Coming {
    /// The number of the change that put it into force.
    pub(super) fn id(&self) -> Option<u64> {
        self.placed.as_ref().ok().and_then(|placed| placed.id)
    }
}

impl Report<'_> {
    /// Prints it. What was not done, and what would help, goes to `stderr`.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub(super) fn print(
        &self,
        face: &Face,
        out: &mut dyn Write,
        stderr: &mut dyn Write,
    ) -> Result<Exit, CommandError> {
        let mut text = Vec::new();
        if face.output == OutputFormat::Json {
            append::json_document(&mut text, &Json::Object(self.document()).to_string());
            text.push(b'\n');
        } else {
            for line in self.screen(face.width) {
                text.extend_from_slice(line.as_bytes());
                text.push(b'\n');
            }
        }
        out.write_all(&text)
            .and_then(|()| out.flush())
            .map_err(CommandError::output)?;
        for line in self.warnings() {
            // There is nowhere to say that stderr is closed.
            let _ = writeln!(stderr, "{line}");
        }
        if let Some(plan) = self.plan {
            let _ = coverage::gaps(&plan.surveyed.coverage, stderr);
        }
        Ok(self.exit())
    }

    fn exit(&self) -> Exit {
        let unseen = |plan: &Plan| {
            plan.surveyed.coverage.is_partial() || plan.counts.skipped.keys().any(unseen)
        };
        let partial = self.plan.is_some_and(unseen)
            || self.outcome.is_some_and(Outcome::is_partial)
            || self.coming.is_some_and(|coming| coming.placed.is_err());
        if partial { Exit::Partial } else { Exit::Done }
    }

    fn screen(&self, width: usize) -> Vec<String> {
        let mut lines = fit::wrap(&self.head(), width, 5);
        lines.push(String::new());
        if let Some(plan) = self.plan {
            lines.extend(self.table(&plan.counts));
            lines.push(String::new());
        }
        let mut facts = self.plan.map_or_else(Vec::new, |plan| self.facts(plan));
        facts.extend(self.coming());
        facts.extend(self.changes().map(|text| ("", text)));
        if self.dry_run {
            facts.push(("", "nothing was changed: --dry-run".into()));
        }
        for (label, text) in facts {
            let wrapped = fit::wrap(&text, width.saturating_sub(LABEL), 0);
            for (at, part) in wrapped.iter().enumerate() {
                let label = if at == 0 { label } else { "" };
                lines.push(format!("{label:LABEL$}{part}"));
            }
        }
        lines
    }

    /// `db7   fill: keepalive on, idle 60s (up to an eighth less), interval 10s`.
    fn head(&self) -> String {
        let host = terminal::host();
        let mode = self.rule.mode.name();
        if self.rule.mode == Mode::Off {
            return format!("{host}   {mode}: keepalive off");
        }
        // Connections to come have it exactly.
        let jitter = if self.plan.is_some() {
            self.jitter
        } else {
            Jitter::None
        };
        let asked = asked(&self.rule.asked, jitter);
        format!("{host}   {mode}: keepalive on{asked}")
    }

    fn table(&self, counts: &Counts) -> Vec<String> {
        let verb = match self.outcome {
            Some(_) => "changed",
            None => "to change",
        };
        let mut lines = vec![format!(
            "{:LABEL$}{:>10}  {verb:>10}  {:>13}  {:>8}",
            "", "matched", "right already", "left out"
        )];
        let (connections, listeners) = match self.outcome {
            Some(outcome) => (outcome.connections, outcome.listeners),
            None => (counts.connections.to_change, counts.listeners.to_change),
        };
        for (name, kind, changed) in [
            ("connections", counts.connections, connections),
            ("listeners", counts.listeners, listeners),
        ] {
            lines.push(format!(
                "{name:LABEL$}{:>10}  {:>10}  {:>13}  {:>8}",
                grouped(kind.matched),
                grouped(changed),
                grouped(kind.right),
                grouped(left_out(kind)),
            ));
        }
        lines
    }

    fn facts(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let effect = self.outcome.map_or(plan.effect, |outcome| outcome.effect);
        if effect != Tally::default() {
            let now = if self.outcome.is_some() {
                "now"
            } else {
                "then"
            };
            facts.push((
                "dead peer",
                format!("noticed before: {}", span(&effect.before)),
            ));
            facts.push(("", format!("{now}: {}", span(&effect.after))));
        }
        if let Some(probes) = probes(&plan.pace) {
            facts.push(("probes", probes));
        }
        if plan.counts.fragile > 0 {
            let them = grouped(plan.counts.fragile);
            facts.push((
                "fragile",
                format!("one lost probe ends {them} of them{LOOK}"),
            ));
        }
        if plan.counts.slower > 0 {
            let them = grouped(plan.counts.slower);
            let text =
                format!("{them} of those that are right already, and stay so: --mode tighten");
            facts.push(("slower", text));
        }
        for (why, count) in &plan.counts.withheld {
            let again = if why.passes() {
                "; run it again later"
            } else {
                ""
            };
            facts.push((
                "withheld",
                format!("{}: {}{again}", counted(*count, "user timeout"), why.why()),
            ));
        }
        for (skip, count) in &plan.counts.skipped {
            facts.push(("left out", format!("{}: {}", grouped(*count), skip.why())));
        }
        if let Some(outcome) = self.outcome {
            facts.extend(told(outcome));
        } else if plan.planned.is_empty() {
            facts.push(("", "nothing to change".into()));
        }
        facts
    }

    /// The rule for connections to come.
    fn coming(&self) -> Vec<(&'static str, String)> {
        let Some(Coming { name, placed }) = self.coming else {
            return Vec::new();
        };
        let name = coverage::shown(name);
        let Ok(Placed { id, number, of }) = placed else {
            let verb = if self.dry_run {
                "would not be"
            } else {
                "is not"
            };
            return vec![("to come", format!("rule \"{name}\" {verb} in force"))];
        };
        let which = if *of == 1 {
            "the only one".to_owned()
        } else {
            format!("{number} of {of}")
        };
        let verb = if self.dry_run { "would be" } else { "is" };
        let mut facts = vec![(
            "to come",
            format!("rule \"{name}\" {verb} in force, {which}"),
        )];
        if self.rule.mode != Mode::Off && makes_fragile(&self.rule.asked) {
            facts.push((
                "fragile",
                format!("one lost probe ends connections to come{LOOK}"),
            ));
        }
        if id.is_none() && !self.dry_run {
            facts.push(("", "it was so before".into()));
        }
        facts
    }

    /// How all of it is taken back.
    fn changes(&self) -> Option<String> {
        let rule = self.coming.and_then(Coming::id);
        let set = self.outcome.filter(|outcome| outcome.changed() > 0);
        let open = set.and_then(|outcome| outcome.id);
        let which = match (rule, open) {
            (Some(rule), Some(open)) => format!("changes {rule} and {open}"),
            (one, other) => format!("change {}", one.or(other)?),
        };
        let id = open.or(rule)?;
        Some(format!("{which}; taken back by: sockpulse undo {id}"))
    }

    fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(Err(error)) = self.coming.map(|coming| &coming.placed) {
            let verb = if self.dry_run { "would not be" } else { "not" };
            lines.push(format!(
                "{verb} in force: {}",
                coverage::shown(&error.to_string())
            ));
            lines.extend(error.hints().iter().map(|hint| format!("hint: {hint}")));
        }
        let Some(counts) = self.plan.map(|plan| &plan.counts) else {
            return lines;
        };
        let unreached = counts.skipped.iter().filter(|(skip, _)| unseen(skip));
        for (skip, count) in unreached {
            let why = skip.why();
            lines.push(format!("not reached: {}: {why}", counted(*count, "socket")));
        }
        let mut denied = counts
            .skipped
            .contains_key(&Skip::Unseen(Unseen::NotPermitted));
        if let Some(outcome) = self.outcome {
            lines.extend(outcome.notes.iter().map(|note| format!("note: {note}")));
            let failure = outcome.failure.iter();
            lines.extend(failure.map(|why| format!("not changed: {}", coverage::shown(why))));
            denied |= outcome.refused.contains_key(&Refused::NotPermitted);
        }
        if denied {
            lines.push("hint: run as root, or grant CAP_SYS_PTRACE".into());
        }
        if counts.skipped.contains_key(&Skip::NoProcess) {
            lines.push(
                "hint: what waits to be accepted has a process then: run it again later".into(),
            );
        }
        lines
    }

    fn document(&self) -> Map<String, Json> {
        let mut document = Map::from_iter([
            ("schema_version".to_owned(), json!(1)),
            ("dry_run".to_owned(), self.dry_run.into()),
            ("rule".to_owned(), rule(self.rule, self.jitter)),
            ("new".to_owned(), self.coming.map(coming_json).into()),
        ]);
        if let (Some(plan), Json::Object(existing)) = (
            self.plan,
            self.plan.map_or(Json::Null, |plan| self.existing(plan)),
        ) {
            let mut text = Vec::new();
            coverage::json(&mut text, &plan.surveyed.coverage);
            let coverage = serde_json::from_slice::<Json>(&text).unwrap_or_default();
            document.extend(existing);
            document.insert("coverage".to_owned(), coverage);
        }
        document
    }

    fn existing(&self, plan: &Plan) -> Json {
        let counts = &plan.counts;
        let outcome = self.outcome;
        json!({
            "id": outcome.and_then(|outcome| outcome.id),
            "connections": kind(counts.connections, outcome.map(|one| one.connections)),
            "listeners": kind(counts.listeners, outcome.map(|one| one.listeners)),
            "meanwhile": outcome.map(|outcome| outcome.meanwhile),
            "right": by_name(counts.right.iter().map(|(why, count)| (why.name(), *count))),
            "fragile": counts.fragile,
            "slower": counts.slower,
            "withheld": by_name(counts.withheld.iter().map(|(why, count)| (why.name(), *count))),
            "left_out": by_name(counts.skipped.iter().map(|(why, count)| (why.name(), *count))),
            "refused": outcome.map(|outcome| {
                by_name(outcome.refused.iter().map(|(why, count)| (why.name(), *count)))
            }),
            "effect": effect(&outcome.map_or(plan.effect, |outcome| outcome.effect)),
            "pace": {
                "spread_ms": millis(plan.pace.spread),
                "busiest_second": plan.pace.busiest_second,
                "busiest_tick": plan.pace.busiest_tick,
                "cpu_us_in_busiest_second": u64::try_from(plan.pace.cpu.as_micros()).unwrap_or(u64::MAX),
            },
        })
    }
}

fn coming_json(coming: &Coming) -> Json {
    match &coming.placed {
        Ok(Placed { id, number, of }) => {
            json!({ "name": coming.name, "id": id, "number": number, "of": of, "failed": null })
        }
        Err(error) => json!({ "name": coming.name, "failed": error.to_string() }),
    }
}

/// Whether something misses that a right, or another moment, would have shown.
const fn unseen(skip: &Skip) -> bool {
    matches!(skip, Skip::Unseen(_) | Skip::NoProcess)
}

/// What is predicted of the probes that follow.
fn probes(pace: &Pace) -> Option<String> {
    let Pace {
        spread,
        busiest_second,
        busiest_tick,
        cpu,
    } = *pace;
    if busiest_second == 0 {
        return None;
    }
    let over = if spread.is_zero() {
        "at once".to_owned()
    } else {
        format!("over {}", human(rounded(spread)))
    };
    Some(format!(
        "changes {over}; first probes at most {} in a second, {} at one tick, {} % of a processor",
        grouped(busiest_second),
        grouped(busiest_tick),
        percent(cpu)
    ))
}

/// How fragile connections are told.
const LOOK: &str = ": sockpulse explain SP003";

/// Whether connections that have what is asked for, and the kernel's defaults else, are fragile.
fn makes_fragile(asked: &Asked) -> bool {
    let step = Step {
        keepalive: Some(true),
        idle: asked.idle,
        interval: asked.interval,
        probes: asked.probes,
        user_timeout: match asked.user_timeout {
            Some(UserTimeoutChoice::Fixed(timeout)) => Some(timeout),
            _ => None,
        },
    };
    let untouched = SocketTimers {
        keepalive: false,
        idle: Setting::Namespace,
        interval: Setting::Namespace,
        probes: Setting::Namespace,
        user_timeout: UserTimeout::OFF,
    };
    let timers = step.applied(&untouched).effective(&NetnsDefaults::KERNEL);
    is_fragile(&timers, None)
}

/// Columns of what stands before the facts.
const LABEL: usize = 13;

/// What became of it, in words.
fn told(outcome: &Outcome) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if outcome.meanwhile > 0 {
        let text = format!(
            "{} of these came or changed meanwhile",
            grouped(outcome.meanwhile)
        );
        facts.push(("", text));
    }
    for (why, count) in &outcome.refused {
        facts.push(("not changed", format!("{}: {}", grouped(*count), why.why())));
    }
    if outcome.id.is_none() {
        facts.push(("", "nothing to change".into()));
    }
    facts
}

const fn left_out(kind: Kind) -> u64 {
    kind.matched
        .saturating_sub(kind.to_change)
        .saturating_sub(kind.right)
}

/// `, idle 60s (up to an eighth less), probes 6`.
pub(super) fn asked(asked: &Asked, jitter: Jitter) -> String {
    let seconds = |seconds: u16| human(Duration::from_secs(seconds.into()));
    let mut text = String::new();
    if let Some(idle) = asked.idle {
        let less = match jitter {
            Jitter::Eighth if idle.get() >= 8 => " (up to an eighth less)",
            _ => "",
        };
        text += &format!(", idle {}{less}", seconds(idle.get()));
    }
    if let Some(interval) = asked.interval {
        text += &format!(", interval {}", seconds(interval.get()));
    }
    if let Some(probes) = asked.probes {
        text += &format!(", probes {}", probes.get());
    }
    if let Some(choice) = asked.user_timeout {
        text += &format!(", user timeout {}", timeout(choice));
    }
    text
}

fn timeout(choice: UserTimeoutChoice) -> String {
    match choice {
        UserTimeoutChoice::Auto => "auto".into(),
        UserTimeoutChoice::Off => "off".into(),
        UserTimeoutChoice::Fixed(timeout) => timeout
            .duration()
            .map_or("off".into(), |timeout| human(timeout).to_string()),
    }
}

/// `never by 4,633, after 2h11m15s by 12`.
fn span(span: &Span) -> String {
    let mut parts = Vec::new();
    if span.never > 0 {
        parts.push(format!("never by {}", grouped(span.never)));
    }
    if let (Some(soonest), Some(latest)) = (span.soonest, span.latest) {
        let times = if soonest == latest {
            human(latest).to_string()
        } else {
            format!("{} to {}", human(soonest), human(latest))
        };
        parts.push(format!("after {times} by {}", grouped(span.noticed)));
    }
    parts.join(", ")
}

/// Nobody waits for the milliseconds of a minute.
fn rounded(time: Duration) -> Duration {
    if time < Duration::from_secs(10) {
        time
    } else {
        Duration::from_secs(time.as_secs() + u64::from(time.subsec_millis() > 0))
    }
}

/// Of a second, with one decimal.
fn percent(cpu: Duration) -> String {
    let tenths = cpu.as_micros().div_ceil(1_000);
    format!("{}.{}", tenths / 10, tenths % 10)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn rule(rule: &Rule, jitter: Jitter) -> Json {
    let Asked {
        idle,
        interval,
        probes,
        user_timeout,
    } = rule.asked;
    json!({
        "mode": rule.mode.name(),
        "idle_s": idle.map(|idle| idle.get()),
        "interval_s": interval.map(|time| time.get()),
        "probes": probes.map(|count| count.get()),
        "user_timeout": user_timeout.map(timeout),
        "jitter": jitter == Jitter::Eighth,
        "include_local": rule.include_local,
    })
}

fn kind(kind: Kind, changed: Option<u64>) -> Json {
    json!({
        "matched": kind.matched,
        "to_change": kind.to_change,
        "changed": changed,
        "right": kind.right,
        "waiting": kind.waiting,
    })
}

/// Several reasons may go by one name.
fn by_name(counts: impl Iterator<Item = (&'static str, u64)>) -> Json {
    let mut names: Map<String, Json> = Map::new();
    for (name, count) in counts {
        let known = names.get(name).and_then(Json::as_u64).unwrap_or(0);
        names.insert(name.to_owned(), (known + count).into());
    }
    Json::Object(names)
}

fn effect(tally: &Tally) -> Json {
    let one = |span: &Span| {
        json!({
            "never": span.never,
            "noticed": span.noticed,
            "soonest_s": span.soonest.map(|time| time.as_secs()),
            "latest_s": span.latest.map(|time| time.as_secs()),
        })
    };
    json!({ "before": one(&tally.before), "after": one(&tally.after) })
}
