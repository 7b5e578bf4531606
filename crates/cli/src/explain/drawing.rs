//! The timelines as a drawing: what is sent when, and when the connection is given up.

use std::time::Duration;

use sockpulse_core::machine::simulation::{Simulation, Vanished};
use sockpulse_core::machine::{Event, Lateness, Sent, Start, Window};

use super::account::{Account, Case};
use super::now;
use super::subject::Whose;
use super::text::verdict;
use super::words::{self, at_the_latest, moment};
use crate::coverage::grouped;
use crate::svg::{Anchor, Drawing, Ink, Look, SMALL_SIZE, TEXT_SIZE, at, text_width};

/// The whole drawing's width, and what is left free on both sides.
const WIDTH: f64 = 840.0;
const MARGIN: f64 = 28.0;
/// Where a timeline ends.
const RIGHT: f64 = WIDTH - 2.0 * MARGIN;
/// Of what is sent, each is drawn up to this many; more become a band.
const DRAWN: usize = 40;

/// Draws all timelines below each other.
pub(super) fn draw(accounts: &[Account<'_>]) -> String {
    let verdicts: Vec<String> = accounts.iter().map(verdict).collect();
    let title = "When a dead peer is noticed";
    let mut drawing = Drawing::new(WIDTH, title, &verdicts.join(". "));
    let mut y = 20.0;
    for account in accounts {
        drawing.group(at(MARGIN, y), |drawing| head(drawing, account));
        y += match account.subject.whose {
            Whose::Asked { .. } => HEAD,
            Whose::Open(_) => HEAD + LINE,
        };
        drawing.group(at(MARGIN, y), |drawing| idle(drawing, account));
        y += PANEL;
        drawing.group(at(MARGIN, y), |drawing| data(drawing, account));
        y += PANEL + GAP;
    }
    drawing.group(at(MARGIN, y - GAP), legend);
    drawing.finish(y - GAP + LEGEND)
}

/// Heights.
const HEAD: f64 = 62.0;
const LINE: f64 = 20.0;
const PANEL: f64 = 132.0;
const GAP: f64 = 26.0;
const LEGEND: f64 = 34.0;
/// Within a panel: its title, the numbers, the heads of what is sent, and the axis.
const TITLE_Y: f64 = 14.0;
const NUMBER_Y: f64 = 42.0;
const DOT_Y: f64 = 52.0;
const BAND_Y: f64 = 58.0;
const SAID_Y: f64 = 74.5;
const AXIS_Y: f64 = 82.0;
const LABEL_Y: f64 = 100.0;

fn head(drawing: &mut Drawing, account: &Account<'_>) {
    let look = Look::fill(Ink::Text).heading();
    let heading = words::short(&account.timers);
    drawing.text(look, at(0.0, 16.0), Anchor::Start, &heading);
    let mut y = 38.0;
    if let Whose::Open(group) = &account.subject.whose {
        let whose = fitting(&now::whose(group), RIGHT / TEXT_SIZE);
        drawing.text(Look::fill(Ink::Text), at(0.0, y), Anchor::Start, &whose);
        y += LINE;
    }
    let settings: Vec<String> = words::settings(account.subject, &account.timers)
        .into_iter()
        .map(|row| format!("{} {}", row.name, row.value))
        .collect();
    let look = Look::fill(Ink::Faint);
    drawing.text(look, at(0.0, y), Anchor::Start, &settings.join("  ·  "));
}

/// A text of at most so many ems.
fn fitting(text: &str, ems: f64) -> String {
    if text_width(text, 1.0) <= ems {
        return text.into();
    }
    let mut kept = String::new();
    for c in text.chars() {
        kept.push(c);
        if text_width(&kept, 1.0) + 1.0 > ems {
            break;
        }
    }
    kept + "…"
}

fn idle(drawing: &mut Drawing, account: &Account<'_>) {
    let case = &account.idle;
    let Some(end) = case.end() else {
        title(
            drawing,
            "Idle: the peer vanishes, and nobody asks",
            "never given up",
        );
        never(drawing);
        return;
    };
    title(
        drawing,
        "Idle: the peer vanishes, and nothing is in flight",
        &given_up(end),
    );
    let sent = sent(account, case);
    let scale = Scale::of(sent.first(), end);
    let said = match account.timers.probes.value {
        0 => "nobody is asked",
        _ => "silence",
    };
    let until = scale.x(sent.first().unwrap_or(end.by_settings));
    silence(drawing, &scale, until, said);
    timeline(drawing, &scale, end, &sent);
    limit(drawing, account, &scale);
}

fn silence(drawing: &mut Drawing, scale: &Scale, until: f64, said: &str) {
    let look = Look::wash(Ink::Faint);
    drawing.rect(look, at(0.0, BAND_Y), until, AXIS_Y - BAND_Y);
    // Behind the place where time is cut out.
    let from = match scale.knee {
        Some((_, x)) => x * BREAK,
        None => 0.0,
    };
    if text_width(said, TEXT_SIZE) + 30.0 < until - from {
        let look = Look::fill(Ink::Faint);
        let x = from + (until - from) / 2.0;
        drawing.text(look, at(x, SAID_Y), Anchor::Middle, said);
    }
}

fn data(drawing: &mut Drawing, account: &Account<'_>) {
    let name = "Data in flight: sent, and no ACK comes";
    let Some(case) = &account.data else {
        title(
            drawing,
            name,
            "the retransmission timeout could not be seen",
        );
        return;
    };
    let Some(end) = case.end() else {
        return;
    };
    title(drawing, name, &given_up(end));
    let sent = sent(account, case);
    let scale = Scale::of(None, end);
    timeline(drawing, &scale, end, &sent);
}

fn given_up(end: Window) -> String {
    let after = moment(end.by_settings);
    if end.by_settings < end.latest {
        format!(
            "given up after {after}, at the latest {}",
            at_the_latest(end.latest)
        )
    } else {
        format!("given up after {after}")
    }
}

fn title(drawing: &mut Drawing, name: &str, outcome: &str) {
    drawing.text(
        Look::fill(Ink::Text).strong(),
        at(0.0, TITLE_Y),
        Anchor::Start,
        name,
    );
    drawing.text(
        Look::fill(Ink::Red).strong(),
        at(RIGHT, TITLE_Y),
        Anchor::End,
        outcome,
    );
}

/// What is sent, and when. Of more than can be drawn only the first is kept.
struct SentTimes {
    what: &'static str,
    times: Vec<Duration>,
    last: Option<Duration>,
    count: u32,
}

impl SentTimes {
    fn first(&self) -> Option<Duration> {
        self.times.first().copied()
    }

    fn is_band(&self) -> bool {
        usize::try_from(self.count).is_ok_and(|count| count > self.times.len())
    }
}

fn sent(account: &Account<'_>, case: &Case) -> SentTimes {
    let is_sent = |event: &Event| {
        matches!(
            event,
            Event::Sent(Sent::Probe { .. } | Sent::Retransmission { .. })
        )
    };
    let rows = case.steps.iter().filter(|step| is_sent(&step.event));
    let count = rows.clone().map(|step| step.times).sum();
    let last = rows.clone().next_back().map(|step| step.until.by_settings);
    let times = if usize::try_from(count).is_ok_and(|count| count <= DRAWN) {
        // Each by itself: the steps tell alike ones together.
        let start = match case.start {
            Start::Idle => Start::Answered,
            other => other,
        };
        let until = case.end().map_or(Duration::ZERO, |end| end.by_settings);
        let run = Simulation::run(
            &account.subject.setup(),
            start,
            Lateness::None,
            Vanished,
            until,
        );
        let events = run.events.iter().filter(|(_, event)| is_sent(event));
        events.map(|(time, _)| *time).collect()
    } else {
        rows.map(|step| step.at.by_settings).take(1).collect()
    };
    let what = match case.start {
        Start::Idle => "probes",
        _ => "retransmissions",
    };
    SentTimes {
        what,
        times,
        last,
        count,
    }
}

/// Where in the silence its time is cut out, as a share.
const BREAK: f64 = 0.3;

/// Times to places. A long silence is drawn shorter than it is.
struct Scale {
    /// Where the scale changes, if it does.
    knee: Option<(f64, f64)>,
    end: f64,
}

impl Scale {
    fn of(silence: Option<Duration>, end: Window) -> Self {
        let total = end.latest.as_secs_f64().max(0.001);
        let silence = silence.map_or(0.0, |time| time.as_secs_f64());
        let broken = silence > 0.6 * total && silence < total;
        Self {
            knee: broken.then_some((silence, 0.3 * RIGHT)),
            end: total,
        }
    }

    fn x(&self, time: Duration) -> f64 {
        // Room for the label at the end.
        let right = RIGHT - 30.0;
        let time = time.as_secs_f64().min(self.end);
        match self.knee {
            Some((knee, x)) if time <= knee => time / knee * x,
            Some((knee, x)) => x + (time - knee) / (self.end - knee) * (right - x),
            None => time / self.end * right,
        }
    }
}

fn timeline(drawing: &mut Drawing, scale: &Scale, end: Window, sent: &SentTimes) {
    let (earliest, latest) = (scale.x(end.earliest), scale.x(end.latest));
    let (top, height) = (NUMBER_Y - 8.0, AXIS_Y - NUMBER_Y + 8.0);
    drawing.rect(
        Look::wash(Ink::Red),
        at(earliest, top),
        (latest - earliest).max(2.0),
        height,
    );
    axis(drawing, scale);
    let given_up = scale.x(end.by_settings);
    stems(drawing, scale, sent, given_up);
    drawing.line(
        Look::stroke(Ink::Red).strong(),
        at(given_up, top),
        at(given_up, AXIS_Y),
    );
    labels(drawing, scale, end, sent);
}

fn axis(drawing: &mut Drawing, scale: &Scale) {
    drawing.line(Look::stroke(Ink::Rule), at(0.0, AXIS_Y), at(RIGHT, AXIS_Y));
    arrow(drawing, RIGHT);
    let Some((_, x)) = scale.knee else {
        return;
    };
    // Two strokes across the axis: here time is cut out.
    let middle = x * BREAK;
    drawing.polygon(
        Look::fill(Ink::Paper),
        &[
            at(middle - 6.0, AXIS_Y + 7.0),
            at(middle, BAND_Y - 7.0),
            at(middle + 8.0, BAND_Y - 7.0),
            at(middle + 2.0, AXIS_Y + 7.0),
        ],
    );
    for shift in [-6.0, 2.0] {
        let from = at(middle + shift, AXIS_Y + 7.0);
        let to = at(middle + shift + 6.0, BAND_Y - 7.0);
        drawing.line(Look::stroke(Ink::Rule), from, to);
    }
}

fn arrow(drawing: &mut Drawing, x: f64) {
    let points = [
        at(x, AXIS_Y),
        at(x - 8.0, AXIS_Y - 4.0),
        at(x - 8.0, AXIS_Y + 4.0),
    ];
    drawing.polygon(Look::fill(Ink::Rule), &points);
}

/// What is sent, each with its number where there is room.
fn stems(drawing: &mut Drawing, scale: &Scale, sent: &SentTimes, given_up: f64) {
    let (Some(first), Some(last)) = (sent.first(), sent.last) else {
        return;
    };
    if sent.is_band() {
        let (from, to) = (scale.x(first), scale.x(last));
        drawing.rect(
            Look::wash(Ink::Blue),
            at(from, DOT_Y),
            to - from,
            AXIS_Y - DOT_Y,
        );
        let text = format!("{} {}", grouped(sent.count.into()), sent.what);
        let middle = from + (to - from) / 2.0;
        let look = Look::fill(Ink::Blue);
        drawing.text(look, at(middle, SAID_Y - 3.0), Anchor::Middle, &text);
        return;
    }
    for time in &sent.times {
        let x = scale.x(*time);
        drawing.line(Look::stroke(Ink::Blue), at(x, DOT_Y), at(x, AXIS_Y));
        drawing.circle(Look::fill(Ink::Blue), at(x, DOT_Y), 3.5);
    }
    let numbered = sent.times.iter().zip(1u32..);
    let mut wanted: Vec<(f64, String)> = numbered
        .map(|(time, number)| (scale.x(*time), number.to_string()))
        .collect();
    // The last one tells how many there are.
    wanted.rotate_right(1);
    // The line behind the last one would go through its number.
    for (x, number) in spread(wanted, given_up - 4.0) {
        drawing.text(
            Look::fill(Ink::Blue).small(),
            at(x, NUMBER_Y),
            Anchor::Middle,
            &number,
        );
    }
}

/// Times below the axis: the end, the beginning, and as many between as have room.
fn labels(drawing: &mut Drawing, scale: &Scale, end: Window, sent: &SentTimes) {
    let label = |time: Duration| (scale.x(time), moment(time));
    let mut wanted = vec![label(end.by_settings), label(Duration::ZERO)];
    wanted.extend(sent.first().map(label));
    wanted.extend(sent.last.map(label));
    wanted.extend(sent.times.iter().copied().map(label));
    for (at_index, (x, text)) in spread(wanted, RIGHT).into_iter().enumerate() {
        let look = if at_index == 0 {
            Look::fill(Ink::Red).strong()
        } else {
            Look::fill(Ink::Faint)
        };
        drawing.text(look, at(x, LABEL_Y), Anchor::Middle, &text);
    }
}

/// Of texts that are wanted in this order those that do not overlap, moved in from the edges.
fn spread(wanted: Vec<(f64, String)>, right: f64) -> Vec<(f64, String)> {
    let mut kept: Vec<(f64, f64, String)> = Vec::new();
    for (x, text) in wanted {
        let half = text_width(&text, TEXT_SIZE) / 2.0;
        let x = x.min(right - half).max(half);
        let free = |(other, width, _): &(f64, f64, String)| (x - other).abs() > half + width + 8.0;
        if kept.iter().all(free) {
            kept.push((x, half, text));
        }
    }
    kept.into_iter().map(|(x, _, text)| (x, text)).collect()
}

/// The user timeout, from which on a tick with an unanswered probe is the end.
fn limit(drawing: &mut Drawing, account: &Account<'_>, scale: &Scale) {
    let Some(limit) = account.timers.user_timeout.duration() else {
        return;
    };
    let x = scale.x(limit);
    let look = Look::stroke(Ink::Amber).dashed();
    drawing.line(look, at(x, NUMBER_Y - 4.0), at(x, AXIS_Y + 5.0));
    let text = format!("user timeout {}", moment(limit));
    let half = text_width(&text, SMALL_SIZE) / 2.0;
    let x = x.min(RIGHT - half).max(half);
    let look = Look::fill(Ink::Amber).small();
    drawing.text(look, at(x, LABEL_Y + 18.0), Anchor::Middle, &text);
}

/// Silence without an end.
fn never(drawing: &mut Drawing) {
    drawing.rect(
        Look::wash(Ink::Faint),
        at(0.0, BAND_Y),
        RIGHT - 8.0,
        AXIS_Y - BAND_Y,
    );
    drawing.line(Look::stroke(Ink::Rule), at(0.0, AXIS_Y), at(RIGHT, AXIS_Y));
    arrow(drawing, RIGHT);
    let look = Look::fill(Ink::Faint);
    let text = "silence: no probe is sent, and no timer runs";
    drawing.text(look, at(RIGHT / 2.0, SAID_Y), Anchor::Middle, text);
    drawing.text(look, at(0.0, LABEL_Y), Anchor::Start, "0s");
    let look = Look::fill(Ink::Red).strong();
    drawing.text(look, at(RIGHT, LABEL_Y), Anchor::End, "for ever");
}

fn legend(drawing: &mut Drawing) {
    let look = Look::fill(Ink::Faint).small();
    let (top, baseline) = (0.0, 10.0);
    let mut x = 4.0;
    let mut entry = |drawing: &mut Drawing, text: &str, mark: &dyn Fn(&mut Drawing, f64)| {
        mark(drawing, x);
        drawing.text(look, at(x + 14.0, baseline), Anchor::Start, text);
        x += 14.0 + text_width(text, SMALL_SIZE) + 24.0;
    };
    entry(drawing, "sent, and not answered", &|drawing, x| {
        drawing.circle(Look::fill(Ink::Blue), at(x, 6.0), 3.5);
    });
    entry(drawing, "given up, by the settings", &|drawing, x| {
        drawing.line(Look::stroke(Ink::Red).strong(), at(x, top), at(x, 12.0));
    });
    entry(
        drawing,
        "given up, with all that timers may be off",
        &|drawing, x| {
            drawing.rect(Look::wash(Ink::Red), at(x - 5.0, top), 12.0, 12.0);
        },
    );
}
