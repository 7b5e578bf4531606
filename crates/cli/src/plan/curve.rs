//! Cost against detection time, drawn: what noticing a dead peer sooner costs.

use std::time::Duration;

use sockpulse_core::plan::{Fixed, Plan, Wish, plan};
use sockpulse_core::{grouped, human};

use super::words;
use crate::svg::{
    Anchor, Drawing, HEADING_SIZE, Ink, Look, Point, SMALL_SIZE, TEXT_SIZE, at, text_width,
};

/// How many connections are drawn for where none are named.
const USUAL_CONNECTIONS: u64 = 1_000_000;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 440.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = WIDTH - 24.0;
const TOP: f64 = 90.0;
const BOTTOM: f64 = HEIGHT - 52.0;

/// How many detection times are tried.
const SAMPLES: u32 = 150;
/// The shortest and the longest, in seconds.
const RANGE: (f64, f64) = (5.0, 43_200.0);

/// Times that stand on the axis, where they have room.
const TIMES: [u64; 13] = [
    2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 10_800, 43_200, 172_800,
];

/// The drawing. What is chosen is marked, and so is what the path permits.
pub(super) fn draw(chosen: &Plan, connections: Option<u64>) -> String {
    let connections = connections.unwrap_or(USUAL_CONNECTIONS);
    let mark = mark(chosen, connections);
    let steps = steps(&chosen.wish, connections, mark);
    let axes = Axes::around(&steps, mark);
    let title = "What noticing a dead peer sooner costs";
    let under = format!(
        "{} healthy idle {}, loss {}; chosen: {}",
        grouped(connections),
        if connections == 1 {
            "connection"
        } else {
            "connections"
        },
        words::percent(chosen.wish.loss),
        chosen.settings
    );
    let mut drawing = Drawing::new(WIDTH, title, &description(chosen, connections));
    let heading = Look::fill(Ink::Text).heading();
    let start = Anchor::Start;
    drawing.text(heading, at(24.0, 20.0 + HEADING_SIZE / 2.0), start, title);
    drawing.text(Look::fill(Ink::Faint), at(24.0, 50.0), start, &under);
    axes.draw(&mut drawing);
    if let Some(path) = chosen.wish.held() {
        let floor = cheapest(&chosen.wish, connections);
        path_line(&mut drawing, &axes, floor, path);
    }
    line(&mut drawing, &axes, &steps);
    dot(&mut drawing, &axes, mark, chosen);
    drawing.finish(HEIGHT)
}

/// For those who cannot see it.
fn description(chosen: &Plan, connections: u64) -> String {
    let cost = chosen.cost(connections);
    format!(
        "Packets a second against the time within which a dead peer is noticed, both axes \
         logarithmic. The plan {} is marked: {} packets a second.",
        chosen.settings,
        words::rate(cost.packets_per_second)
    )
}

/// A detection time in seconds and what it costs in packets a second.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Step {
    within: f64,
    cost: f64,
}

/// The plan that was chosen: where no time was asked for, at the latest that it takes.
fn mark(chosen: &Plan, connections: u64) -> Step {
    let latest = chosen.settings.detects_idle(chosen.wish.hz).latest();
    let within = chosen.wish.detect_within.or(latest).unwrap_or_default();
    Step {
        within: within.as_secs_f64(),
        cost: chosen.cost(connections).packets_per_second,
    }
}

/// Plans for many detection times. Given settings are left open: else there would be one plan only.
fn steps(wish: &Wish, connections: u64, mark: Step) -> Vec<Step> {
    let (low, high) = (
        RANGE.0.min(mark.within).ln(),
        RANGE.1.max(mark.within * 1.2).ln(),
    );
    let times = (0..=SAMPLES).map(|n| {
        let share = f64::from(n) / f64::from(SAMPLES);
        (low + (high - low) * share).exp()
    });
    times
        .filter_map(|within| {
            let wish = Wish {
                detect_within: Duration::try_from_secs_f64(within).ok(),
                fixed: Fixed {
                    user_timeout: wish.fixed.user_timeout,
                    ..Fixed::default()
                },
                ..*wish
            };
            let cost = sockpulse_core::plan::choose(&wish)?.cost(connections);
            Some(Step {
                within,
                cost: cost.packets_per_second,
            })
        })
        .collect()
}

/// What the path permits at best, however late a dead peer may be noticed.
fn cheapest(wish: &Wish, connections: u64) -> Option<f64> {
    let patient = Wish {
        detect_within: None,
        fixed: Fixed::default(),
        ..*wish
    };
    let plan = plan(&patient).ok()?;
    Some(plan.cost(connections).packets_per_second)
}

/// Logarithms to places.
struct Axes {
    times: (f64, f64),
    costs: (f64, f64),
}

impl Axes {
    fn around(steps: &[Step], mark: Step) -> Self {
        let all = || steps.iter().copied().chain([mark]);
        let least = |value: fn(Step) -> f64| all().map(value).fold(f64::INFINITY, f64::min);
        let most = |value: fn(Step) -> f64| all().map(value).fold(0.0, f64::max);
        let (cheap, dear) = (least(|step| step.cost), most(|step| step.cost));
        Self {
            times: (least(|step| step.within), most(|step| step.within)),
            costs: (
                10f64.powf((cheap * 0.8).log10().floor()),
                10f64.powf((dear * 1.2).log10().ceil()),
            ),
        }
    }

    fn x(&self, within: f64) -> f64 {
        LEFT + (RIGHT - LEFT) * share(within, self.times)
    }

    fn y(&self, cost: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * share(cost, self.costs)
    }

    fn draw(&self, drawing: &mut Drawing) {
        let (grid, rule) = (Look::stroke(Ink::Grid), Look::stroke(Ink::Rule));
        let label = Look::fill(Ink::Faint).small();
        let mut cost = self.costs.0;
        while cost <= self.costs.1 * 1.01 {
            let y = self.y(cost);
            drawing.line(grid, at(LEFT, y), at(RIGHT, y));
            let place = at(LEFT - 8.0, y + SMALL_SIZE / 3.0);
            drawing.text(label, place, Anchor::End, &decade(cost));
            cost *= 10.0;
        }
        for time in TIMES {
            let seconds = Duration::from_secs(time);
            let x = self.x(seconds.as_secs_f64());
            if !(LEFT..=RIGHT).contains(&x) {
                continue;
            }
            drawing.line(grid, at(x, TOP), at(x, BOTTOM));
            let place = at(x, BOTTOM + 18.0);
            drawing.text(label, place, Anchor::Middle, &human(seconds).to_string());
        }
        drawing.line(rule, at(LEFT, BOTTOM), at(RIGHT, BOTTOM));
        drawing.text(label, at(24.0, TOP - 10.0), Anchor::Start, "packets/s");
        let under = "a peer that dies while idle is noticed within";
        drawing.text(label, at(RIGHT, BOTTOM + 38.0), Anchor::End, under);
    }
}

fn share(value: f64, (low, high): (f64, f64)) -> f64 {
    (value / low).ln() / (high / low).ln().max(f64::EPSILON)
}

fn decade(cost: f64) -> String {
    if cost < 0.5 {
        let digits = format!("{cost:.9}");
        return digits.trim_end_matches('0').to_owned();
    }
    words::rate(cost)
        .trim_end_matches(".00")
        .trim_end_matches(".0")
        .to_owned()
}

/// Level while the plan stays the same.
fn line(drawing: &mut Drawing, axes: &Axes, steps: &[Step]) {
    let mut points: Vec<Point> = Vec::new();
    for pair in steps.windows(2) {
        if points.is_empty() {
            points.push(at(axes.x(pair[0].within), axes.y(pair[0].cost)));
        }
        if (pair[0].cost - pair[1].cost).abs() > f64::EPSILON {
            let x = axes.x(pair[1].within);
            points.push(at(x, axes.y(pair[0].cost)));
            points.push(at(x, axes.y(pair[1].cost)));
        }
    }
    if let Some(end) = steps.last() {
        points.push(at(axes.x(end.within), axes.y(end.cost)));
    }
    drawing.polyline(Look::stroke(Ink::Blue).strong(), &points);
}

fn path_line(
    drawing: &mut Drawing,
    axes: &Axes,
    floor: Option<f64>,
    path: sockpulse_core::plan::Path,
) {
    let Some(y) = floor.map(|floor| axes.y(floor)) else {
        return;
    };
    drawing.line(Look::stroke(Ink::Amber).dashed(), at(LEFT, y), at(RIGHT, y));
    let text = format!(
        "{} forgets after {}: to keep it open costs this at least",
        path.title.unwrap_or("the path"),
        human(path.timeout)
    );
    // Below the line there is room wherever it lies: the axis begins a fifth below it.
    let place = at(LEFT + 8.0, y + SMALL_SIZE + 4.0);
    drawing.text(Look::fill(Ink::Amber).small(), place, Anchor::Start, &text);
}

/// Right of the dot and above, the line has already fallen; left and below it has yet to.
fn dot(drawing: &mut Drawing, axes: &Axes, mark: Step, chosen: &Plan) {
    let (x, y) = (axes.x(mark.within), axes.y(mark.cost));
    let latest = chosen.settings.detects_idle(chosen.wish.hz).latest();
    let text = format!(
        "{}: {} packets/s, noticed by {}",
        chosen.settings,
        words::rate(mark.cost),
        words::at_the_latest(latest.unwrap_or_default())
    );
    let room = RIGHT - x > text_width(&text, TEXT_SIZE) + 24.0;
    let (place, anchor) = if room {
        (at(x + 10.0, y - 12.0), Anchor::Start)
    } else if chosen.wish.held().is_some() {
        // Level to the left, and below is what the path has to say.
        (at(RIGHT, y - 12.0), Anchor::End)
    } else {
        (at(x - 10.0, y + 20.0), Anchor::End)
    };
    drawing.circle(Look::fill(Ink::Paper), at(x, y), 8.0);
    drawing.circle(Look::fill(Ink::Red), at(x, y), 5.5);
    drawing.text(Look::fill(Ink::Text).strong(), place, anchor, &text);
}
