//! The first line: what matters, in one sentence.

use sockpulse_core::{Exposure, Report};

use super::{Audited, Line, limited, painted};
use crate::coverage::{counted, grouped, shown};
use crate::terminal::{self, Palette};

pub(super) fn line(audited: &Audited<'_>, width: usize, palette: Palette) -> Line {
    let (style, sentence) = sentence(audited.report);
    let text = format!("{}: {sentence}", shown(audited.host));
    painted(palette, style.bold(), &limited(&text, width))
}

/// The worst that there is, with the number of connections that it could have struck.
fn sentence(report: &Report) -> (anstyle::Style, String) {
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
        if count == all {
            format!("all {}", counted(all, "connection"))
        } else {
            format!("{} of {}", grouped(count), counted(all, "connection"))
        }
    };
    if all == 0 {
        let sentence = match local {
            0 => "no connections: nothing to mend".into(),
            n => format!(
                "nothing to mend: {} and all local",
                counted(n, "connection")
            ),
        };
        return (terminal::GOOD, sentence);
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
        let sentence = format!("{} wait for answers to probes right now", part(probing));
        return (terminal::WARN, sentence);
    }
    let sentence = match all {
        1 => format!("nothing to mend: 1 connection notices a dead peer within {within}"),
        n => format!(
            "nothing to mend: {} connections notice a dead peer within {within}",
            grouped(n)
        ),
    };
    (terminal::GOOD, sentence)
}
