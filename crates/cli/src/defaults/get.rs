//! `sockpulse defaults get`: the values of each namespace, what is set at boot, and where both differ.

use std::collections::BTreeMap;
use std::io::Write;

use sockpulse_core::change::{Wish, dangers, dangers_of, value_of};
use sockpulse_core::persisted::{Assignment, Persisted, Program, Sysctl};
use sockpulse_core::{Coverage, NetnsDefaults, NetnsId, human};

use super::args::GetArgs;
use super::impact::{Impact, Remember};
use super::{get_data, persist, survey_options};
use crate::app::Face;
use crate::append;
use crate::coverage::{self, counted, shown};
use crate::error::{CommandError, Exit};
use crate::fit;
use crate::machine::Machine;
use crate::options::{OutputFormat, Surveyed};
use crate::screen::noticed_after;
use crate::sink::{Found, Inhabited};
use crate::terminal;
use crate::values;

/// Everything that is shown.
pub(super) struct Got {
    /// The namespaces.
    pub(super) found: Found,
    /// What is set at boot in the namespace of process 1.
    pub(super) persisted: Persisted,
    /// Files that are links, and where they lead.
    pub(super) links: Vec<(String, String)>,
    /// Connections by namespace, where they were asked for.
    pub(super) impact: Option<BTreeMap<NetnsId, Impact>>,
    /// What was not seen, of namespaces and of connections.
    pub(super) coverage: Coverage,
}

/// Problems of files that are told; more say the same.
const PROBLEMS: usize = 10;

/// Runs the command.
///
/// # Errors
/// When nothing could be read, or the output cannot be written.
pub(super) fn run(
    args: &GetArgs,
    face: &Face,
    machine: &Machine,
    out: &mut dyn Write,
    stderr: &mut dyn Write,
) -> Result<Exit, CommandError> {
    let mut sink = (machine.changes)();
    let found = sink.namespaces(&args.netns)?;
    let (impact, surveyed) = if args.impact {
        let (impact, surveyed) = count(machine, args)?;
        (Some(impact), surveyed)
    } else {
        (None, Surveyed::default())
    };
    let mut coverage = surveyed.coverage;
    for gap in &found.gaps {
        if coverage.gaps.iter().all(|known| known.what != gap.what) {
            coverage.gaps.push(gap.clone());
        }
    }
    let got = Got {
        found,
        coverage,
        persisted: persist::at_boot(&*sink),
        links: persist::links(&sink.tree()),
        impact,
    };
    let mut text = Vec::new();
    match face.output {
        OutputFormat::Table => table(&mut text, &got, face),
        OutputFormat::Json => get_data::json(&mut text, &got),
        OutputFormat::JsonLines => get_data::json_lines(&mut text, &got),
        OutputFormat::Csv => get_data::csv(&mut text, &got),
    }
    out.write_all(&text)
        .and_then(|()| out.flush())
        .map_err(CommandError::output)?;
    Ok(tell(&got, stderr))
}

fn count(
    machine: &Machine,
    args: &GetArgs,
) -> Result<(BTreeMap<NetnsId, Impact>, Surveyed), CommandError> {
    let mut counts: BTreeMap<NetnsId, Impact> = BTreeMap::new();
    let surveyed = (machine.survey)(&survey_options(&args.netns), &mut |row| {
        let impact = counts.entry(row.connection.id.netns).or_default();
        impact.add(row, Remember::Nothing);
        Ok(())
    })?;
    Ok((counts, surveyed))
}

/// What stands on stderr: what was not seen, and what is wrong with files.
fn tell(got: &Got, stderr: &mut dyn Write) -> Exit {
    // There is nowhere to say that stderr is closed.
    let _ = coverage::gaps(&got.coverage, stderr);
    for (sentence, names) in warnings(&got.found) {
        let _ = writeln!(stderr, "warning: {}: {sentence}", few(&names));
    }
    for problem in problems(got) {
        let _ = writeln!(stderr, "note: {}", shown(&problem));
    }
    if got.coverage.gaps.is_empty() {
        Exit::Done
    } else {
        Exit::Partial
    }
}

/// What is dangerous in the defaults that hold, and where.
fn warnings(found: &Found) -> Vec<(String, Vec<&str>)> {
    let mut warnings: Vec<(String, Vec<&str>)> = Vec::new();
    for one in &found.namespaces {
        for sentence in dangers_in(one.namespace.defaults.as_ref()) {
            let name = &*one.namespace.name;
            match warnings.iter_mut().find(|(known, _)| *known == sentence) {
                Some((_, names)) => names.push(name),
                None => warnings.push((sentence, vec![name])),
            }
        }
    }
    warnings
}

/// What is dangerous in defaults, a sentence each.
pub(super) fn dangers_in(defaults: Option<&NetnsDefaults>) -> Vec<String> {
    let dangers = defaults.map(dangers_of).unwrap_or_default();
    dangers.iter().map(|danger| danger.sentence()).collect()
}

/// The first names, and how many more.
fn few(names: &[&str]) -> String {
    const FEW: usize = 3;
    let first: Vec<String> = names.iter().take(FEW).map(|name| shown(name)).collect();
    match names.len().saturating_sub(FEW) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What either program stumbles over, and what it sets that harms, once.
pub(super) fn problems(got: &Got) -> Vec<String> {
    let persisted = &got.persisted;
    let mut problems = harm_at_boot(got);
    for program in Program::ALL {
        for problem in &persisted.by(program).problems {
            let line = problem
                .line
                .map(|line| format!(":{line}"))
                .unwrap_or_default();
            let text = format!("{}{line}: {}", problem.path, problem.trouble);
            if !problems.contains(&text) {
                problems.push(text);
            }
        }
    }
    let more = problems.len().saturating_sub(PROBLEMS);
    problems.truncate(PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more like these"));
    }
    problems
}

/// What files set that is dangerous.
fn harm_at_boot(got: &Got) -> Vec<String> {
    let mut harm: Vec<String> = Vec::new();
    for program in Program::ALL {
        let reading = got.persisted.by(program);
        let wish = Wish {
            idle: reading.value(Sysctl::Idle),
            interval: reading.value(Sysctl::Interval),
            probes: reading.value(Sysctl::Probes),
        };
        for danger in dangers(&wish, &NetnsDefaults::KERNEL) {
            let winner_of = |program, sysctl| {
                let resolved = got.persisted.by(program).of_sysctl(sysctl);
                resolved.winner.as_ref()
            };
            let to_blame = danger.sysctl();
            let winner = to_blame.and_then(|sysctl| winner_of(program, sysctl));
            let first = to_blame.and_then(|sysctl| winner_of(Program::SystemdSysctl, sysctl));
            if let (Some(first), Some(winner)) = (first, winner)
                && linked(got, first, winner).is_some()
            {
                continue;
            }
            let place = winner.map_or_else(|| "at boot".into(), |line| line.position.to_string());
            let text = format!("{place}: {}", danger.sentence());
            if !harm.contains(&text) {
                harm.push(text);
            }
        }
    }
    harm
}

fn table(out: &mut Vec<u8>, got: &Got, face: &Face) {
    let mut rows =
        vec![["NAMESPACE", "IDLE", "INTERVAL", "PROBES", "NOTICED AFTER"].map(String::from)];
    rows.extend(got.found.namespaces.iter().map(row));
    lay_out(out, &rows, face);
    let mut say = |line: &str| {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    };
    for line in at_boot(got) {
        say(&line);
    }
    for line in differing(&got.found) {
        say(&line);
    }
    for (id, impact) in got.impact.iter().flatten() {
        let namespace = got.found.namespaces.iter().find(|one| one.key.id == *id);
        let name = namespace.map_or_else(|| format!("net:[{}]", id.0), |one| one.key.name.clone());
        say("");
        say(&format!("connections in {}", shown(&name)));
        for line in impact.lines() {
            say(&format!("  {line}"));
        }
        let way = namespace.map_or_else(String::new, way_in);
        for hint in impact.hints(&way) {
            say(&format!("  hint: {hint}"));
        }
    }
    if got.impact.as_ref().is_some_and(BTreeMap::is_empty) {
        say("");
        say("no connections");
    }
}

/// How a command gets into the namespace.
fn way_in(inhabited: &Inhabited) -> String {
    if inhabited.namespace.own {
        return String::new();
    }
    format!(" --netns {}", values::netns_word(&inhabited.namespace))
}

fn row(inhabited: &Inhabited) -> [String; 5] {
    let name = shown(&inhabited.namespace.name);
    let Some(defaults) = &inhabited.namespace.defaults else {
        return [name, "?".into(), "?".into(), "?".into(), "?".into()];
    };
    [
        name,
        seconds(defaults.idle_s),
        seconds(defaults.interval_s),
        defaults.probes.to_string(),
        noticed(defaults),
    ]
}

fn noticed(defaults: &NetnsDefaults) -> String {
    match noticed_after(defaults) {
        Some(after) if defaults.probes < 1 => format!("{}, even if alive", human(after)),
        Some(after) => human(after).to_string(),
        None => "never".into(),
    }
}

/// A value of a sysctl as it is read best.
fn in_words(sysctl: Sysctl, value: i64) -> String {
    match sysctl {
        Sysctl::Idle | Sysctl::Interval => seconds(value),
        Sysctl::Probes => value.to_string(),
    }
}

fn seconds(value: i64) -> String {
    let mut text = Vec::new();
    append::setting_seconds(&mut text, value);
    String::from_utf8_lossy(&text).into_owned()
}

/// Columns as wide as they need to be; the name gives way.
fn lay_out(out: &mut Vec<u8>, rows: &[[String; 5]], face: &Face) {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| fit::width(row[column].as_bytes()));
        cells.max().unwrap_or(0)
    };
    let rest: usize = (1..5).map(|column| width(column) + 2).sum();
    let name = width(0).min(face.width.saturating_sub(rest).max(12));
    for (at, row) in rows.iter().enumerate() {
        let mut line = Vec::new();
        let used = fit::cut(
            &mut line,
            row[0].as_bytes(),
            name,
            fit::Cut::BeforeParenthesis,
        );
        fit::spaces(&mut line, name.saturating_sub(used));
        for (column, cell) in row.iter().enumerate().take(4).skip(1) {
            fit::spaces(&mut line, 2 + width(column) - cell.len());
            line.extend_from_slice(cell.as_bytes());
        }
        fit::spaces(&mut line, 2);
        line.extend_from_slice(row[4].as_bytes());
        if at == 0 {
            face.palette.paint(out, terminal::BOLD, &line);
        } else {
            out.extend_from_slice(&line);
        }
        out.push(b'\n');
    }
}

/// What is set at boot, and where it differs from what holds now.
fn at_boot(got: &Got) -> Vec<String> {
    let Some(host) = got.found.namespaces.iter().find(|one| one.key.host) else {
        return Vec::new();
    };
    let mut lines = vec![
        String::new(),
        format!("at boot, in {}", shown(&host.key.name)),
    ];
    for sysctl in Sysctl::ALL {
        let mut label = sysctl.setting();
        for line in boot_lines(got, sysctl) {
            lines.push(format!("  {label:<8}  {line}"));
            label = "";
        }
    }
    let Some(defaults) = &host.namespace.defaults else {
        return lines;
    };
    for drift in drifts(&got.persisted, defaults) {
        let (now, then) = (drift.now, drift.at_boot);
        lines.push(format!(
            "drift: {} is {} now and will be {} after the next boot",
            drift.sysctl.setting(),
            in_words(drift.sysctl, now),
            in_words(drift.sysctl, then)
        ));
    }
    lines
}

/// One line where both programs agree, else one for each.
fn boot_lines(got: &Got, sysctl: Sysctl) -> Vec<String> {
    let winner = |program| got.persisted.by(program).of_sysctl(sysctl).winner.as_ref();
    let words = |line: Option<&Assignment>| match line {
        None => {
            let kernels = value_of(sysctl, &NetnsDefaults::KERNEL);
            format!("{:<6}  no file sets it", in_words(sysctl, kernels))
        }
        Some(line) => {
            let value = line
                .value
                .as_ref()
                .map_or_else(|_| "?".into(), |value| in_words(sysctl, *value));
            let wrong = match &line.value {
                Ok(_) => String::new(),
                Err(why) => format!(", refused by the kernel: {why}"),
            };
            format!("{value:<6}  {}{wrong}", shown(&line.position.to_string()))
        }
    };
    let [systemd, procps] = Program::ALL.map(winner);
    if systemd == procps {
        return vec![words(systemd)];
    }
    if let (Some(systemd), Some(procps)) = (systemd, procps)
        && let Some(file) = linked(got, systemd, procps)
    {
        return vec![format!("{}, a link to {file}", words(Some(systemd)))];
    }
    Program::ALL
        .into_iter()
        .map(|program| format!("{} (under {})", words(winner(program)), program.name()))
        .collect()
}

/// The file, if it is one line of one file that a program reads through a link.
fn linked(got: &Got, link: &Assignment, file: &Assignment) -> Option<String> {
    let (from, to) = (&link.position, &file.position);
    let known = |(path, leads): &(String, String)| *path == from.path && *leads == to.path;
    let same = from.line == to.line && link.text == file.text && got.links.iter().any(known);
    same.then(|| shown(&to.path))
}

/// A default that the next boot changes.
pub(super) struct Drift {
    pub(super) sysctl: Sysctl,
    pub(super) now: i64,
    /// By systemd-sysctl, which is what runs at boot; where no file sets it, the kernel's own.
    pub(super) at_boot: i64,
}

/// Where what holds now is not what the next boot sets.
pub(super) fn drifts(persisted: &Persisted, now: &NetnsDefaults) -> Vec<Drift> {
    let drifts = Sysctl::ALL.into_iter().map(|sysctl| Drift {
        sysctl,
        now: value_of(sysctl, now),
        at_boot: persisted
            .systemd
            .value(sysctl)
            .unwrap_or_else(|| value_of(sysctl, &NetnsDefaults::KERNEL)),
    });
    drifts.filter(|drift| drift.now != drift.at_boot).collect()
}

/// Namespaces with other defaults than the first, which is our own or the first that was named.
fn differing(found: &Found) -> Vec<String> {
    let Some((base, others)) = found.namespaces.split_first() else {
        return Vec::new();
    };
    let Some(defaults) = &base.namespace.defaults else {
        return Vec::new();
    };
    let differing = others.iter().filter(|one| {
        let other = one.namespace.defaults.as_ref();
        other.is_some_and(|other| !other.same_keepalive(defaults))
    });
    let count = u64::try_from(differing.count()).unwrap_or(u64::MAX);
    if count == 0 {
        return Vec::new();
    }
    let verb = if count == 1 { "has" } else { "have" };
    vec![
        String::new(),
        format!(
            "{} {verb} other defaults than {}",
            counted(count, "namespace"),
            shown(&base.namespace.name)
        ),
        "a new one starts with the kernel's 2h, 75s, 9, whatever the host has: sockpulse explain SP010"
            .into(),
    ]
}
