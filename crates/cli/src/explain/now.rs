//! Connections that are open: whose they are, and where a single one is in its timeline.

use std::time::Duration;

use sockpulse_core::{Comm, Connection, Observed, Timer, TimerKind};

use super::account::Account;
use super::groups::Group;
use super::words::moment;
use crate::append;
use crate::coverage::{counted, grouped};

/// Programs that are named.
const NAMED: usize = 3;

/// How many connections there are, and of which programs.
pub(super) fn whose(group: &Group) -> String {
    if let Some(connection) = &group.only {
        let (local, remote) = (connection.id.local, connection.id.remote);
        let process = connection.owner.processes.first();
        let owner = process.map_or("no visible program".into(), |process| {
            format!("{} ({})", name(Some(process.comm)), process.pid)
        });
        return format!(
            "{local} to {remote}, {} of {owner}",
            connection.state.name()
        );
    }
    let named: Vec<String> = group
        .programs
        .iter()
        .take(NAMED)
        .map(|(program, count)| format!("{} {}", name(*program), grouped(*count)))
        .collect();
    let mut text = format!(
        "{}: {}",
        counted(group.connections, "connection"),
        named.join(", ")
    );
    if group.programs.len() > NAMED {
        let rest = u64::try_from(group.programs.len() - NAMED).unwrap_or(u64::MAX);
        text.push_str(&format!(" and {}", counted(rest, "other program")));
    }
    if group.namespaces > 1 {
        text.push_str(&format!("; in {} namespaces", group.namespaces));
    }
    text
}

fn name(program: Option<Comm>) -> String {
    let Some(program) = program else {
        return "no visible program".into();
    };
    let mut text = Vec::new();
    append::visible(&mut text, program.bytes());
    String::from_utf8_lossy(&text).into_owned()
}

/// Where the connection is in its timeline.
pub(super) fn stands(connection: &Connection, account: &Account<'_>) -> String {
    let mut text = match connection.silence_ms {
        Some(silence) => format!("Now: silent for {}", span(silence)),
        None => "Now: how long it is silent could not be seen".into(),
    };
    text.push_str(&format!("; {}", doing(connection, account)));
    text
}

fn doing(connection: &Connection, account: &Account<'_>) -> String {
    let timers = &connection.timers;
    match (connection.in_flight, connection.unacked_bytes) {
        (Some(true), _) => {
            let count = connection.retransmits.unwrap_or(0);
            let so_far = match count {
                0 => "data is in flight".into(),
                n => format!("data is in flight and was retransmitted {}", times(n)),
            };
            format!("{so_far}{}", due(timers.retransmission, "the next time is"))
        }
        (Some(false), Some(1..)) => {
            let count = connection.unanswered_probes.unwrap_or(0);
            let probed = match count {
                0 => String::new(),
                n => format!(", {} unanswered", counted(n.into(), "window probe")),
            };
            let next = due(timers.retransmission, "the next window probe is");
            format!("data waits for the peer's window{probed}{next}")
        }
        (Some(false), Some(0)) => idle(connection, account),
        _ => "whether data is in flight could not be seen".into(),
    }
}

fn idle(connection: &Connection, account: &Account<'_>) -> String {
    if !account.timers.keepalive {
        return "nothing is in flight, and no timer runs".into();
    }
    let next = due(connection.timers.keepalive, "the keepalive timer is");
    match connection.unanswered_probes {
        Some(0) => format!("no probe is unanswered{next}"),
        Some(n) => format!("{} unanswered{next}", counted(n.into(), "probe")),
        None => format!("how many probes are unanswered could not be seen{next}"),
    }
}

fn due(timer: Observed<Option<Timer>>, what: &str) -> String {
    match timer {
        Observed::Known(Some(timer)) if timer.kind != TimerKind::FinWait2 => {
            format!("; {what} due in {}", span(timer.expires_ms))
        }
        Observed::Known(_) => String::new(),
        Observed::Unknown(why) => format!("; its timer could not be seen: {}", why.why()),
    }
}

fn times(count: u8) -> String {
    match count {
        1 => "once".into(),
        2 => "twice".into(),
        n => format!("{n} times"),
    }
}

fn span(millis: u64) -> String {
    moment(Duration::from_millis(millis))
}
