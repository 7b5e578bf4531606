//! A plan on one screen: the settings, what they give, what they cost, what to know, what to do next.

use sockpulse_core::plan::{FRAME_IPV4, FRAME_IPV6, GOAL, Plan};
use sockpulse_core::{Noticed, grouped, human};

use super::args::PlanArgs;
use super::words;
use super::{busy, fleets};
use crate::app::Face;
use crate::{fit, terminal};

/// Columns of the names of what a plan gives.
const NAMES: usize = 16;

/// Appends the screen, and the configuration that is asked for.
pub(super) fn print(out: &mut Vec<u8>, args: &PlanArgs, plan: &Plan, face: &Face) {
    headline(out, plan, face);
    out.push(b'\n');
    gives(out, plan, face);
    out.push(b'\n');
    costs(out, args, plan, face);
    if !plan.warnings.is_empty() {
        out.push(b'\n');
        for warning in &plan.warnings {
            paragraph(out, face, terminal::WARN, "! ", &warning.sentence());
        }
    }
    out.push(b'\n');
    if args.software.is_empty() {
        next(out, args, plan, face);
    } else {
        configuration(out, args, plan, face);
    }
}

fn headline(out: &mut Vec<u8>, plan: &Plan, face: &Face) {
    let settings = &plan.settings;
    let timeout = settings
        .user_timeout
        .duration()
        .map_or("off".into(), |limit| human(limit).to_string());
    let text = format!(
        "idle {}   interval {}   probes {}   user timeout {timeout}",
        human(settings.idle_duration()),
        human(settings.interval_duration()),
        settings.probes.get()
    );
    face.palette.paint(out, terminal::BOLD, text.as_bytes());
    out.push(b'\n');
}

fn gives(out: &mut Vec<u8>, plan: &Plan, face: &Face) {
    let wish = &plan.wish;
    let mut row = |name: &str, text: &str| {
        let width = face.width.saturating_sub(NAMES);
        for (at, line) in fit::wrap(text, width, 0).into_iter().enumerate() {
            let name = if at == 0 { name } else { "" };
            out.extend_from_slice(format!("{name:NAMES$}{line}\n").as_bytes());
        }
    };
    let idle = plan.settings.detects_idle(wish.hz);
    row(
        "dead peer, idle",
        &format!("noticed {} (timers at HZ {})", noticed(idle), wish.hz.get()),
    );
    row(
        "data in flight",
        &format!("given up {} (near peer)", noticed(busy(plan))),
    );
    if let Some(path) = wish.held() {
        let title = path.title.unwrap_or("it");
        row(
            "path",
            &format!(
                "{title} forgets after {}; {} probes go out in the first {}",
                human(path.timeout),
                plan.probes_in_time().unwrap_or_default(),
                human(path.safe())
            ),
        );
    }
    row(
        "outage",
        &format!(
            "one of {} is survived whenever it begins",
            human(plan.survives())
        ),
    );
    row(
        "false death",
        &format!(
            "chance {} a day at a loss of {}, below the goal of {GOAL:.0e}",
            words::chance(plan.false_death_per_day()),
            words::percent(wish.loss)
        ),
    );
}

fn noticed(noticed: Noticed) -> String {
    match noticed {
        Noticed::Never => "never".into(),
        Noticed::After {
            by_settings,
            latest,
            ..
        } => format!(
            "after {}, at the latest {}",
            words::time(by_settings),
            words::at_the_latest(latest)
        ),
    }
}

fn costs(out: &mut Vec<u8>, args: &PlanArgs, plan: &Plan, face: &Face) {
    let head = format!(
        "{:>15} {:>14} {:>14} {:>12} {:>12}",
        "healthy, idle", "probes/s", "packets/s", "IPv4/s", "IPv6/s"
    );
    face.palette.paint(out, terminal::BOLD, head.as_bytes());
    out.push(b'\n');
    for fleet in fleets(args) {
        let cost = plan.cost(fleet);
        let line = format!(
            "{:>15} {:>14} {:>14} {:>12} {:>12}\n",
            grouped(fleet),
            words::rate(cost.probes_per_second),
            words::rate(cost.packets_per_second),
            words::bytes(cost.bytes_per_second),
            words::bytes(cost.bytes_per_second_ipv6)
        );
        out.extend_from_slice(line.as_bytes());
    }
    let period = plan.settings.period().as_secs();
    let arithmetic = format!(
        "connections / {period} s, x 2 for the answers, x {FRAME_IPV4} or {FRAME_IPV6} bytes on \
         Ethernet"
    );
    paragraph(out, face, terminal::DIM, "  ", &arithmetic);
}

/// A text with a mark before it and under each other from then on.
fn paragraph(out: &mut Vec<u8>, face: &Face, style: anstyle::Style, mark: &str, text: &str) {
    let width = face.width.saturating_sub(mark.len());
    for (at, line) in fit::wrap(text, width, 0).into_iter().enumerate() {
        let mark = if at == 0 {
            mark.into()
        } else {
            " ".repeat(mark.len())
        };
        face.palette
            .paint(out, style, format!("{mark}{line}").as_bytes());
        out.push(b'\n');
    }
}

fn next(out: &mut Vec<u8>, args: &PlanArgs, plan: &Plan, face: &Face) {
    let explain = format!("sockpulse explain {}", words::options(&plan.settings));
    let recipe = format!("{} --for sysctl,redis", words::command(args, &plan.wish));
    for command in [explain, recipe] {
        out.extend_from_slice(b"  ");
        face.palette
            .paint(out, terminal::COMMAND, command.as_bytes());
        out.push(b'\n');
    }
}

fn configuration(out: &mut Vec<u8>, args: &PlanArgs, plan: &Plan, face: &Face) {
    for (at, software) in args.software.iter().enumerate() {
        if at > 0 {
            out.push(b'\n');
        }
        let recipe = software.recipe(&plan.settings);
        face.palette
            .paint(out, terminal::BOLD, software.title().as_bytes());
        out.push(b'\n');
        for snippet in &recipe.snippets {
            paragraph(
                out,
                face,
                terminal::DIM,
                "  ",
                &format!("{}:", snippet.place),
            );
            for line in snippet.text.lines() {
                let line = if line.is_empty() {
                    String::new()
                } else {
                    format!("    {line}")
                };
                face.palette.paint(out, terminal::COMMAND, line.as_bytes());
                out.push(b'\n');
            }
            paragraph(
                out,
                face,
                terminal::DIM,
                "  ",
                &format!("gives {}", snippet.gives),
            );
        }
        for note in &recipe.notes {
            paragraph(out, face, terminal::WARN, "  ! ", note);
        }
    }
}
