//! An event as a line for people.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use sockpulse_core::TcpState;
use sockpulse_core::event::{
    Cause, Changed, Death, Event, Item, Kind, Limit, Name, Program, errno_name,
};

use super::view::{Known, View};
use crate::append;
use crate::coverage::counted;
use crate::journal::moment;
use crate::terminal::{self, Palette};

/// Appends the line: `11:20:00.412 died      10.0.0.1:6379 10.0.0.9:51234 redis-server(812): keepalive, …`.
pub(super) fn line(out: &mut Vec<u8>, view: &View<'_>, palette: Palette) {
    let event = view.event;
    time(out, event.at);
    out.push(b' ');
    let name = event.kind.name();
    palette.paint(out, style(name), format!("{:9}", name.name()).as_bytes());
    out.push(b' ');
    append::end(out, &event.connection.id.local);
    out.push(b' ');
    append::end(out, &event.connection.id.remote);
    out.push(b' ');
    owner(out, view);
    let words = words(event);
    if !words.is_empty() {
        out.extend_from_slice(b": ");
        out.extend_from_slice(words.join(", ").as_bytes());
    }
    out.push(b'\n');
}

/// Appends that events were lost.
pub(super) fn lost(out: &mut Vec<u8>, at: Duration, count: u64, palette: Palette) {
    time(out, at);
    out.push(b' ');
    palette.paint(out, terminal::BAD, b"lost     ");
    let events = counted(count, "event");
    out.extend_from_slice(
        format!(" {events}: they came faster than they could be told\n").as_bytes(),
    );
}

/// The time of day, UTC.
fn time(out: &mut Vec<u8>, at: Duration) {
    let moment = moment(at.as_secs());
    let clock = moment.split_once('T').map_or("", |(_, clock)| clock);
    out.extend_from_slice(clock.trim_end_matches('Z').as_bytes());
    out.extend_from_slice(format!(".{:03}Z", at.subsec_millis()).as_bytes());
}

const fn style(name: Name) -> Style {
    match name {
        Name::Died => terminal::BAD,
        Name::Probing | Name::Gone => terminal::WARN,
        Name::Recovered => terminal::GOOD,
        Name::Opened | Name::Closed | Name::Changed => terminal::DIM,
    }
}

/// `redis-server(812)`, `nginx(9)+3`, `nginx(9, listens)`, or `?`.
fn owner(out: &mut Vec<u8>, view: &View<'_>) {
    let Some((program, known)) = view.owner() else {
        out.push(b'?');
        return;
    };
    if known == Known::Listen {
        append::visible(out, program.comm.bytes());
        out.extend_from_slice(format!("({}, listens)", program.pid).as_bytes());
        return;
    }
    called(out, program);
    let others = view
        .event
        .connection
        .owner
        .processes
        .len()
        .saturating_sub(1);
    if others > 0 {
        out.extend_from_slice(format!("+{others}").as_bytes());
    }
}

fn called(out: &mut Vec<u8>, program: Program) {
    append::visible(out, program.comm.bytes());
    out.extend_from_slice(format!("({})", program.pid).as_bytes());
}

fn program(program: Program) -> String {
    let mut out = Vec::new();
    called(&mut out, program);
    String::from_utf8_lossy(&out).into_owned()
}

fn words(event: &Event) -> Vec<String> {
    let mut words = Vec::new();
    match &event.kind {
        Kind::Opened(side) => words.extend(side.name().map(str::to_owned)),
        Kind::Probing => {
            words.push(unanswered(event));
            words.extend(silence(event));
        }
        Kind::Recovered { unanswered } => {
            if *unanswered > 0 {
                let probes = counted(u64::from(*unanswered), "unanswered probe");
                words.push(format!("after {probes}"));
            }
            words.extend(silence(event));
        }
        Kind::Died(death) => {
            words.extend(cause(event, death));
            words.extend(silence(event));
            words.extend(age(event));
        }
        Kind::Closed => words.extend(age(event)),
        Kind::Gone => {
            words.push("closed or dead, between two looks".into());
            words.extend(age(event));
        }
        Kind::Changed(changed) => words.push(change(event, changed)),
    }
    let state = event.connection.state;
    if state != TcpState::Established && !matches!(event.kind, Kind::Opened(_)) {
        words.push(state.name().into());
    }
    words
}

fn unanswered(event: &Event) -> String {
    let probes = event.connection.unanswered_probes.unwrap_or(0);
    format!("{} unanswered", counted(probes.into(), "probe"))
}

fn silence(event: &Event) -> Option<String> {
    // In SYN-SENT nothing was heard ever.
    let heard = event.connection.state != TcpState::SynSent;
    let millis = event.connection.silence_ms.filter(|_| heard)?;
    Some(format!("silent {}", span(millis)))
}

fn age(event: &Event) -> Option<String> {
    let millis = u64::try_from(event.age?.as_millis()).ok()?;
    let word = match event.connection.state {
        TcpState::SynSent => "tried for",
        _ => "open",
    };
    Some(format!("{word} {}", span(millis)))
}

fn span(millis: u64) -> String {
    let mut out = Vec::new();
    append::span(&mut out, millis);
    String::from_utf8_lossy(&out).into_owned()
}

fn cause(event: &Event, death: &Death) -> Vec<String> {
    let mut words = Vec::new();
    match death.cause {
        Cause::GivenUp(limit) => words.push(limit_words(event, limit)),
        Cause::Unreachable(limit) => {
            words.push(format!("unreachable ({})", errno(death.errno)));
            words.extend(limit.map(|limit| format!("given up by {}", limit_words(event, limit))));
        }
        Cause::Reset if event.connection.state == TcpState::SynSent => {
            words.push("reset: refused".into());
        }
        Cause::Reset => words.push("reset".into()),
        Cause::Destroyed => words.push(match death.by {
            Some(by) => format!("destroyed by {}", program(by)),
            None => "destroyed".into(),
        }),
        Cause::Unknown => words.push(format!("unknown cause ({})", errno(death.errno))),
    }
    if !matches!(death.cause, Cause::Reset | Cause::Destroyed) {
        words.extend(left(event, death.cause.limit()));
    }
    words
}

/// The limit, with its value where it is the connection's own.
fn limit_words(event: &Event, limit: Limit) -> String {
    let mut words = limit.name().to_owned();
    let timers = event.connection.settings.known();
    let timeout = timers.and_then(|timers| timers.user_timeout.duration());
    if limit == Limit::UserTimeout
        && let Some(timeout) = timeout
    {
        // Writing to a string does not fail.
        let _ = write!(words, " {}", sockpulse_core::human(timeout));
    }
    words
}

/// What was still waited for.
fn left(event: &Event, limit: Option<Limit>) -> Vec<String> {
    let connection = &event.connection;
    let mut words = Vec::new();
    let bytes = connection.unacked_bytes.unwrap_or(0);
    if bytes > 0 && limit != Some(Limit::Handshake) && connection.state != TcpState::SynSent {
        words.push(format!("{} unacknowledged", counted(bytes, "byte")));
    }
    let retransmits = u64::from(connection.retransmits.unwrap_or(0));
    if retransmits > 0 {
        words.push(counted(retransmits, "retransmission"));
    } else if connection
        .unanswered_probes
        .is_some_and(|probes| probes > 0)
    {
        words.push(unanswered(event));
    }
    words
}

fn errno(errno: i32) -> String {
    match errno_name(errno) {
        Some(name) => name.into(),
        None => format!("errno {errno}"),
    }
}

/// As the kernel's defaults are told: `60s`, `2h`.
fn seconds(value: u32) -> String {
    if value < 120 {
        format!("{value}s")
    } else {
        sockpulse_core::human(Duration::from_secs(value.into())).to_string()
    }
}

/// `idle 60s`, and by whom where it was not its own program.
fn change(event: &Event, changed: &Changed) -> String {
    let value = changed.value;
    let what = match changed.item {
        Item::Keepalive if value == 0 => "keepalive off".into(),
        Item::Keepalive => "keepalive on".into(),
        Item::Probes => format!("probes {value}"),
        Item::UserTimeout if value == 0 => "user timeout off".into(),
        Item::UserTimeout => {
            let timeout = Duration::from_millis(value.into());
            format!("user timeout {}", sockpulse_core::human(timeout))
        }
        Item::Idle => format!("idle {}", seconds(value)),
        Item::Interval => format!("interval {}", seconds(value)),
    };
    match changed.by {
        Some(by) if !event.is_its_own(by.pid) => format!("{what}, set by {}", program(by)),
        _ => what,
    }
}
