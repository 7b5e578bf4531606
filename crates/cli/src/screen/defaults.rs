//! The kernel's defaults: of our own namespace, and of those that differ.

use std::time::Duration;

use sockpulse_core::{
    Namespace, NetnsDefaults, Setting, SocketTimers, UserTimeout, detection, human,
};

use super::{Line, limited, painted};
use crate::append;
use crate::coverage::{grouped, shown};
use crate::terminal::{self, Palette};

pub(super) fn lines(namespaces: &[Namespace], width: usize, palette: Palette) -> Vec<Line> {
    let Some(base) = namespaces
        .iter()
        .find(|namespace| namespace.own)
        .or_else(|| namespaces.first())
    else {
        return Vec::new();
    };
    let said = match &base.defaults {
        Some(defaults) => sentence(defaults),
        None => "could not be read".into(),
    };
    let whose = if base.own {
        "kernel default".into()
    } else {
        // The name gives way, not what is said of it.
        let room = width.saturating_sub("default of : ".len() + said.len());
        format!("default of {}", limited(&shown(&base.name), room.max(8)))
    };
    let text = limited(&format!("{whose}: {said}"), width);
    let mut lines = vec![painted(palette, anstyle::Style::new(), &text)];
    lines.extend(
        others(namespaces, base, width)
            .map(|text| painted(palette, terminal::WARN, &limited(&text, width))),
    );
    lines
}

/// What the three sysctls amount to for a socket that asked for keepalive.
fn sentence(defaults: &NetnsDefaults) -> String {
    match noticed_after(defaults) {
        Some(after) => format!(
            "first probe after {}, then {} x {}: noticed after {}",
            seconds(defaults.idle_s),
            defaults.probes,
            seconds(defaults.interval_s),
            human(after)
        ),
        None => "no probe is ever sent".into(),
    }
}

/// When a dead peer is noticed by these defaults; `None` for never.
pub(crate) fn noticed_after(defaults: &NetnsDefaults) -> Option<Duration> {
    let asked = SocketTimers {
        keepalive: true,
        idle: Setting::Namespace,
        interval: Setting::Namespace,
        probes: Setting::Namespace,
        user_timeout: UserTimeout::OFF,
    };
    detection::idle(&asked.effective(defaults), None).by_settings()
}

fn seconds(value: i64) -> String {
    let mut text = Vec::new();
    append::setting_seconds(&mut text, value);
    String::from_utf8_lossy(&text).into_owned()
}

/// One line on namespaces with other defaults, as many names as fit.
fn others(namespaces: &[Namespace], base: &Namespace, width: usize) -> Option<String> {
    let own = base.defaults.as_ref()?;
    let differing: Vec<(&Namespace, &NetnsDefaults)> = namespaces
        .iter()
        .filter_map(|namespace| Some((namespace, namespace.defaults.as_ref()?)))
        .filter(|(_, defaults)| !defaults.same_keepalive(own))
        .collect();
    if differing.is_empty() {
        return None;
    }
    let count = |n: usize| grouped(u64::try_from(n).unwrap_or(u64::MAX));
    let mut text = format!(
        "{} of {} namespaces differ; noticed after:",
        count(differing.len()),
        count(namespaces.len())
    );
    for (at, (namespace, defaults)) in differing.iter().enumerate() {
        let after = match noticed_after(defaults) {
            Some(after) => human(after).to_string(),
            None => "never".into(),
        };
        let rest = differing.len() - at - 1;
        let tail = if rest == 0 {
            String::new()
        } else {
            format!(" and {} more", count(rest))
        };
        let name = shown(&namespace.name);
        let next = if at == 0 {
            // The name gives way, not what is said of it.
            let room = width.saturating_sub(text.len() + 2 + after.len() + tail.len());
            format!(" {} {after}", limited(&name, room.max(8)))
        } else {
            format!(", {name} {after}")
        };
        if at > 0 && text.len() + next.len() + tail.len() > width {
            text.push_str(&format!(" and {} more", count(rest + 1)));
            break;
        }
        text.push_str(&next);
    }
    Some(text)
}
