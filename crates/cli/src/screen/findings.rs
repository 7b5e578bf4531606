//! Findings: a code, a sentence, and the command that mends it.

use sockpulse_core::Finding;

use super::{Audited, Line, limited, painted};
use crate::coverage::{grouped, shown};
use crate::fit;
use crate::terminal::{self, Palette};

/// Stands for a space at which a command is not broken.
const GLUE: char = '\u{a0}';
/// Columns that a code takes with the space behind it.
const CODE: usize = 7;

/// As many findings as fit `room` lines, the most serious one at least.
pub(super) fn lines(
    audited: &Audited<'_>,
    width: usize,
    room: usize,
    palette: Palette,
) -> Vec<Line> {
    let findings = &audited.report.findings;
    let mut told: Vec<String> = Vec::new();
    let blocks: Vec<Vec<Line>> = findings
        .iter()
        .map(|finding| block(finding, &mut told, width, palette))
        .collect();
    let height = |count: usize| {
        let lines: usize = blocks[..count].iter().map(Vec::len).sum();
        lines + usize::from(count < blocks.len())
    };
    let shown = (0..=blocks.len())
        .rev()
        .find(|count| height(*count) <= room);
    let shown = shown.unwrap_or(0).max(1).min(blocks.len());
    let mut lines: Vec<Line> = blocks.into_iter().take(shown).flatten().collect();
    if let Some(rest) = findings.get(shown..).filter(|rest| !rest.is_empty()) {
        lines.push(also(rest, width, palette));
    }
    lines
}

fn block(finding: &Finding, told: &mut Vec<String>, width: usize, palette: Palette) -> Vec<Line> {
    let mut first = Vec::new();
    let style = terminal::of_severity(finding.code.severity());
    palette.paint(&mut first, style, finding.code.name().as_bytes());
    fit::spaces(&mut first, CODE - finding.code.name().len());
    let sentence = limited(&finding.sentence(), width.saturating_sub(CODE));
    first.extend_from_slice(sentence.as_bytes());
    let mut lines = vec![first];
    let remedy = finding.remedy();
    // One command often mends several findings.
    if told.contains(&remedy) {
        return lines;
    }
    for text in command(&remedy, width.saturating_sub(CODE)) {
        let mut line = vec![b' '; CODE];
        palette.paint(&mut line, terminal::COMMAND, text.as_bytes());
        lines.push(line);
    }
    if let Some(caveat) = finding.caveat() {
        let mut line = vec![b' '; CODE];
        let caveat = limited(&format!("({caveat})"), width.saturating_sub(CODE));
        line.extend_from_slice(caveat.as_bytes());
        lines.push(line);
    }
    told.push(remedy);
    lines
}

/// A command is never cut: where it is too long it goes on after a backslash, so that it can be
/// pasted as it stands.
fn command(text: &str, width: usize) -> Vec<String> {
    // An option and its value stay together.
    let mut glued = String::new();
    let mut option = false;
    for word in shown_command(text).split(' ') {
        if !glued.is_empty() {
            glued.push(if option && !word.starts_with('-') {
                GLUE
            } else {
                ' '
            });
        }
        glued.push_str(word);
        option = word.starts_with('-');
    }
    let mut lines = fit::wrap(&glued, width.saturating_sub(2), 2);
    let last = lines.len() - 1;
    for (at, line) in lines.iter_mut().enumerate() {
        *line = line.replace(GLUE, " ");
        if at < last {
            line.push_str(" \\");
        }
    }
    lines
}

/// Names of programs stand in a command only when they are plain, so this changes nothing but what
/// would be dangerous.
fn shown_command(text: &str) -> String {
    if text.contains(|c: char| c.is_control()) {
        shown(text)
    } else {
        text.into()
    }
}

/// The codes that did not fit, with how many connections each concerns.
fn also(rest: &[Finding], width: usize, palette: Palette) -> Line {
    let codes: Vec<String> = rest
        .iter()
        .map(|finding| match finding.connections {
            0 => finding.code.name().to_string(),
            n => format!("{} ({})", finding.code.name(), grouped(n)),
        })
        .collect();
    let text = format!("also   {}: sockpulse explain CODE", codes.join(", "));
    if fit::width(text.as_bytes()) <= width {
        return painted(palette, anstyle::Style::new(), &text);
    }
    let text = format!(
        "also   {} more findings: pipe into less to see them",
        rest.len()
    );
    painted(palette, anstyle::Style::new(), &limited(&text, width))
}
