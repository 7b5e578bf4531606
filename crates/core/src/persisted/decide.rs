//! The rules of each program: which of the lines about a default decides.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::{
    Assignment, Directive, Line, Passed, Pattern, Position, Program, Resolved, Sysctl, Why,
    read_as_kernel,
};
use crate::wheel::Hz;

/// systemd-sysctl keeps one value for each key, as it is written; a later line takes the place of an
/// earlier one and goes to the end, unless it says the same. Then it writes them all in that order,
/// and a pattern passes over keys that have a line of their own.
pub(super) fn systemd(lines: &[(Position, Line)], sysctl: Sysctl, hz: Option<Hz>) -> Resolved {
    // By key: the rank of the value, and the last line that says so.
    let mut by_key: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
    let mut passed: Vec<(usize, Why)> = Vec::new();
    for (at, (_, line)) in lines.iter().enumerate() {
        if !line.concerns(sysctl, Program::SystemdSysctl) {
            continue;
        }
        let Some((rank, earlier)) = by_key.insert(&line.key, (at, at)) else {
            continue;
        };
        let why = match line.directive {
            Directive::Exclude => Why::Excluded,
            Directive::Set(_) => Why::Overridden,
        };
        passed.push((earlier, why));
        if lines[earlier].1.directive == line.directive {
            by_key.insert(&line.key, (rank, at));
        }
    }
    let named = by_key.contains_key(sysctl.path().as_bytes());
    let mut kept: Vec<(usize, usize)> = by_key.into_values().collect();
    kept.sort_unstable();
    let mut writes = Vec::new();
    for (_, at) in kept {
        let (_, line) = &lines[at];
        if line.directive == Directive::Exclude {
            passed.push((at, Why::SetsNothing));
        } else if line.is_pattern() && named {
            passed.push((at, Why::Named));
        } else {
            writes.push(at);
        }
    }
    judge(lines, writes, passed, sysctl, hz)
}

/// procps keeps every line and writes them in order; a pattern passes over keys that any line names
/// or excludes. In procps 4.0.2 a pattern excludes nothing; later versions compare it by fnmatch(3).
pub(super) fn procps(lines: &[(Position, Line)], sysctl: Sysctl, hz: Option<Hz>) -> Resolved {
    let path = sysctl.path().as_bytes();
    let excludes =
        |line: &Line| line.directive == Directive::Exclude && Pattern::new(&line.key).covers(path);
    let named = lines.iter().any(|(_, line)| line.key == path);
    let mut passed = Vec::new();
    let mut writes = Vec::new();
    let mut depends = false;
    for (at, (_, line)) in lines.iter().enumerate() {
        if line.directive == Directive::Exclude {
            if excludes(line) {
                passed.push((at, Why::SetsNothing));
            }
        } else if line.concerns(sysctl, Program::Procps) {
            if !line.is_pattern() {
                writes.push(at);
            } else if named {
                passed.push((at, Why::Named));
            } else {
                writes.push(at);
                depends = true;
            }
        }
    }
    Resolved {
        depends_on_version: depends && lines.iter().any(|(_, line)| excludes(line)),
        ..judge(lines, writes, passed, sysctl, hz)
    }
}

/// The last write that the kernel accepts decides.
fn judge(
    lines: &[(Position, Line)],
    writes: Vec<usize>,
    mut passed: Vec<(usize, Why)>,
    sysctl: Sysctl,
    hz: Option<Hz>,
) -> Resolved {
    let made = |at: usize| {
        let (position, line) = &lines[at];
        assignment(position, line, sysctl, hz)
    };
    let winner = writes
        .iter()
        .copied()
        .rev()
        .find(|at| made(*at).value.is_ok());
    for at in writes {
        match made(at).value {
            Err(refused) => passed.push((at, Why::Refused(refused))),
            Ok(_) if Some(at) != winner => passed.push((at, Why::Overridden)),
            Ok(_) => {}
        }
    }
    passed.sort_by_key(|(at, _)| *at);
    let passed = passed.into_iter().map(|(at, why)| Passed {
        assignment: made(at),
        why,
    });
    Resolved {
        sysctl,
        winner: winner.map(made),
        passed: passed.collect(),
        depends_on_version: false,
    }
}

/// A line as it is told.
pub(super) fn assignment(
    position: &Position,
    line: &Line,
    sysctl: Sysctl,
    hz: Option<Hz>,
) -> Assignment {
    let text = match &line.directive {
        Directive::Set(text) => text.clone(),
        Directive::Exclude => Vec::new(),
    };
    Assignment {
        position: position.clone(),
        value: read_as_kernel(sysctl, &text, hz),
        text,
        pattern: line.is_pattern(),
        ignore_errors: line.ignore_errors,
    }
}
