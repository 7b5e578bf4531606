//! How many connections are in which exposure, with bars; local ones apart.

use sockpulse_core::{Exposure, Report};

use super::{Line, limited};
use crate::coverage::grouped;
use crate::fit;
use crate::terminal::{self, Palette};

/// Columns of a bar that stands for all connections.
const BAR: usize = 20;

pub(super) fn lines(report: &Report, width: usize, palette: Palette) -> Vec<Line> {
    let shown: Vec<Exposure> = Exposure::ALL
        .into_iter()
        .filter(|exposure| report.total.exposed(*exposure) > 0)
        .collect();
    if shown.is_empty() {
        return Vec::new();
    }
    let local = report.total.exposed(Exposure::Local);
    let all = report.total.total() - local;
    let heading = format!(
        "{:<11} {:>11}  {:<26} if the peer dies while idle",
        "exposure", "connections", ""
    );
    let mut lines = vec![{
        let mut line = Vec::new();
        palette.paint(
            &mut line,
            terminal::BOLD,
            limited(&heading, width).as_bytes(),
        );
        line
    }];
    // What the kernel reports by itself stands last, apart from the rest.
    let (apart, rest): (Vec<_>, Vec<_>) = shown.into_iter().partition(|e| *e == Exposure::Local);
    let counts: Vec<u64> = rest.iter().map(|e| report.total.exposed(*e)).collect();
    let mut percents = percents(&counts).into_iter();
    for exposure in rest.into_iter().chain(apart) {
        let count = report.total.exposed(exposure);
        let style = terminal::of_exposure(exposure);
        let mut line = Vec::new();
        palette.paint(
            &mut line,
            style,
            format!("{:<11}", exposure.name()).as_bytes(),
        );
        line.extend_from_slice(format!(" {:>11}  ", grouped(count)).as_bytes());
        if exposure == Exposure::Local {
            fit::spaces(&mut line, BAR + 6);
        } else {
            palette.paint(&mut line, style, bar(count, all).as_bytes());
            let percent = percents.next().unwrap_or_default();
            line.extend_from_slice(format!(" {percent:>4} ").as_bytes());
        }
        let used = 11 + 1 + 11 + 2 + BAR + 6;
        let said = limited(
            &consequence(exposure, report),
            width.saturating_sub(used + 1),
        );
        line.push(b' ');
        line.extend_from_slice(said.as_bytes());
        lines.push(line);
    }
    lines
}

/// Full blocks, and for any number above none at least a sliver.
fn bar(count: u64, all: u64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let width = u64::try_from(BAR).unwrap_or(0) * 8;
    let scaled = u128::from(count) * u128::from(width) / u128::from(all.max(1));
    let eighths = usize::try_from(scaled).unwrap_or(0).max(1);
    let mut text = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        text.push(EIGHTHS[eighths % 8]);
    }
    let used = fit::width(text.as_bytes());
    text + &" ".repeat(BAR.saturating_sub(used))
}

/// Shares that add up to 100: what rounding down leaves over goes to the largest remainders. Never
/// `0%` of something, and never `100%` of less than all.
fn percents(counts: &[u64]) -> Vec<String> {
    let all: u128 = counts.iter().copied().map(u128::from).sum();
    let all = all.max(1);
    let hundredfold = |count: u64| u128::from(count) * 100;
    let mut shares: Vec<u128> = counts.iter().map(|n| hundredfold(*n) / all).collect();
    let mut order: Vec<usize> = (0..counts.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(hundredfold(counts[*at]) % all));
    let left = 100_u128.saturating_sub(shares.iter().sum());
    for at in order.into_iter().take(usize::try_from(left).unwrap_or(0)) {
        shares[at] += 1;
    }
    let shown = counts.iter().zip(shares);
    shown
        .map(|(count, share)| match share {
            0 => "<1%".into(),
            100 if u128::from(*count) < all => ">99%".into(),
            share => format!("{share}%"),
        })
        .collect()
}

fn consequence(exposure: Exposure, report: &Report) -> String {
    let within = sockpulse_core::human(report.target.detect_within);
    match exposure {
        Exposure::Unprotected => "never noticed".into(),
        Exposure::Slow => format!("noticed later than {within}"),
        Exposure::Fragile => "one lost probe ends it".into(),
        Exposure::Protected => format!("noticed within {within}"),
        Exposure::Probing => "probes are unanswered now".into(),
        Exposure::Local => "the kernel reports it".into(),
        Exposure::Unknown => "settings were not seen".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_a_hundred() {
        for (counts, shown) in [
            (&[674, 202, 62, 62][..], &["68%", "20%", "6%", "6%"][..]),
            (&[1, 1, 1], &["34%", "33%", "33%"]),
            (&[5], &["100%"]),
            (&[9_999, 1], &[">99%", "<1%"]),
            (&[1, 1_999, 1], &["<1%", ">99%", "<1%"]),
            (&[u64::MAX, u64::MAX], &["50%", "50%"]),
            (&[], &[]),
        ] {
            assert_eq!(percents(counts), shown, "{counts:?}");
        }
    }
}
