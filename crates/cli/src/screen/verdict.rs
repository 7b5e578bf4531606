//! The first line: what matters, in one sentence.

use sockpulse_core::{Exposure, Report};

use super::{Audited, Line, limited, painted};
use crate::coverage::{counted, grouped, shown};
use crate::terminal::{self, Palette};

pub(super) fn line(audited: &Audited<'_>, width: usize, palette: Palette) -> Line {
    let (style, sentence) = sentence(audited.report, audited.coverage.is_partial());
    let text = format!("{}: {sentence}", shown(audited.host));
    painted(palette, style.bold(), &limited(&text, width))
}

/// Follows what was seen where it is not all that there is.
const NOT_ALL: &str = "but not everything could be read";

/// The worst that there is, with the number of connections that it could have struck. What was read
/// in part is never said to be well.
fn sentence(report: &Report, partial: bool) -> (anstyle::Style, String) {
    let of = |exposure| report.total.exposed(exposure);
    let within = sockpulse_core::human(report.target.detect_within);
    let local = of(Exposure::Local);
    let all = report.total.total() - local;
    let [unprotected, slow, fragile, probing, unknown] = [
        Exposure::Unprotected,
        Exposure::Slow,
        Exposure::Fragile,
        Exposure::Probing,
        Exposure::Unknown,
    ]
    .map(of);
    let part = |count: u64| {
        if count == all && all == 1 {
            let seen = if partial { " seen" } else { "" };
            format!("the only connection{seen}")
        } else if count == all {
            format!("all {}", counted(all, "connection"))
        } else {
            format!("{} of {}", grouped(count), counted(all, "connection"))
        }
    };
    if all == 0 {
        let seen = match local {
            0 => "no connections".into(),
            1 => "1 connection, and it is local".into(),
            n => format!("{}, all local", counted(n, "connection")),
        };
        return match (partial, local) {
            (true, 0) => (terminal::WARN, format!("no connections seen, {NOT_ALL}")),
            (true, _) => (terminal::WARN, format!("{seen}, {NOT_ALL}")),
            (false, 0) => (terminal::GOOD, format!("{seen}: nothing to mend")),
            (false, _) => (terminal::GOOD, format!("nothing to mend: {seen}")),
        };
    }
    if unprotected > 0 {
        let sentence = format!("{} would never notice a dead peer", part(unprotected));
        return (terminal::BAD, sentence);
    }
    if fragile > 0 {
        let sentence = format!("{} can die of one lost probe", part(fragile));
        return (terminal::BAD, sentence);
    }
    if slow > 0 {
        let sentence = format!(
            "{} would notice a dead peer later than {within}",
            part(slow)
        );
        return (terminal::WARN, sentence);
    }
    if unknown > 0 {
        let sentence = format!("the settings of {} could not be seen", part(unknown));
        return (terminal::WARN, sentence);
    }
    if probing > 0 {
        let wait = if probing == 1 { "waits" } else { "wait" };
        let sentence = format!("{} {wait} for answers to probes right now", part(probing));
        return (terminal::WARN, sentence);
    }
    if partial {
        let sentence = format!(
            "nothing wrong with {} seen, {NOT_ALL}",
            counted(all, "connection")
        );
        return (terminal::WARN, sentence);
    }
    let notice = if all == 1 { "notices" } else { "notice" };
    let sentence = format!(
        "nothing to mend: {} {notice} a dead peer within {within}",
        counted(all, "connection")
    );
    (terminal::GOOD, sentence)
}
