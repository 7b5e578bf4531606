//! The file of ours that sets defaults at boot: what is to stand in it, under which name it wins, and
//! which lines win all the same.

use serde_json::{Value as Json, json};
use sockpulse_core::change::{Change, Value, Wish, plan_file};
use sockpulse_core::persisted::{
    self, Content, Directive, Folder, Obstacle, Persisted, Program, Sysctl, Tree,
};

use crate::coverage::shown;
use crate::error::{CommandError, ErrorKind};
use crate::sink::ChangeSink;

/// Stands at the head of a new file.
const HEADER: &str = "\
# Defaults of TCP keepalive, written by `sockpulse defaults set --persist`.
# `sockpulse defaults reset` takes them back. They reach only sockets whose
# program asked for keepalive: `sockpulse explain SP009`.
";

/// What has to be done to files, and what stands in the way.
#[derive(Debug, Default)]
pub(super) struct FilePlan {
    /// First the file that is to win, then older ones of ours that go.
    pub(super) changes: Vec<Change>,
    /// Lines that still decide.
    pub(super) obstacles: Vec<Overridden>,
}

/// A line that decides in place of ours.
#[derive(Debug)]
pub(super) struct Overridden {
    obstacle: Obstacle,
    wanted: i64,
}

impl Overridden {
    /// What it does, and what to do.
    pub(super) fn sentence(&self) -> String {
        let Self { obstacle, wanted } = self;
        let (program, key) = (obstacle.program.name(), obstacle.sysctl.key());
        let line = &obstacle.line;
        let place = shown(&line.position.to_string());
        if line.text.is_empty() {
            return format!("under {program} the line {place} takes ours back: remove it");
        }
        let text = shown(&String::from_utf8_lossy(&line.text));
        let does = match &line.value {
            Ok(value) => format!("sets {key} to {value}"),
            Err(why) => format!("writes {text:?} to {key}, and {why}"),
        };
        format!("under {program} the line {place} still {does}: remove it, or let it say {wanted}")
    }

    /// For programs.
    pub(super) fn json(&self) -> Json {
        let Self { obstacle, wanted } = self;
        let line = &obstacle.line;
        json!({
            "program": obstacle.program.name(),
            "file": line.position.path,
            "line": line.position.line,
            "key": obstacle.sysctl.key(),
            "text": String::from_utf8_lossy(&line.text),
            "value": line.value.as_ref().ok(),
            "wanted": wanted,
        })
    }
}

/// Plans the file so that it sets what is wished for, besides what it sets already.
pub(super) fn plan(
    sink: &dyn ChangeSink,
    wish: &Wish,
    reason: &str,
) -> Result<FilePlan, CommandError> {
    let tree = sink.tree();
    let own = own_files(&tree)?;
    let had = |sysctl| {
        own.iter()
            .rev()
            .find_map(|(_, text)| value_in(text, sysctl))
    };
    let values: Vec<(Sysctl, i64)> = Sysctl::ALL
        .into_iter()
        .filter_map(|sysctl| Some((sysctl, wish.of(sysctl).or_else(|| had(sysctl))?)))
        .collect();
    let placement = persisted::placement(&tree, &values, sink.hz());
    let path = placement.path();
    let before = own.iter().find(|(known, _)| *known == path);
    let base = before.or(own.last()).map(|(_, text)| text.as_str());
    let after = Value::Text(edited(base, &values));
    let before = before.map_or(Value::Absent, |(_, text)| Value::Text(text.clone()));
    let mut changes: Vec<_> = plan_file(&path, before, after, reason)
        .into_iter()
        .collect();
    for (old, text) in own.iter().filter(|(old, _)| *old != path) {
        let reason = format!("{path} takes its place");
        changes.extend(plan_file(
            old,
            Value::Text(text.clone()),
            Value::Absent,
            &reason,
        ));
    }
    let wanted = |sysctl| wish.of(sysctl);
    // A line that says the same does no harm.
    let obstacles = placement.obstacles.into_iter().filter_map(|obstacle| {
        let wanted = wanted(obstacle.sysctl)?;
        (obstacle.line.value != Ok(wanted)).then_some(Overridden { obstacle, wanted })
    });
    Ok(FilePlan {
        changes,
        obstacles: obstacles.collect(),
    })
}

/// Removes every file of ours.
pub(super) fn plan_removal(
    sink: &dyn ChangeSink,
    reason: &str,
) -> Result<Vec<Change>, CommandError> {
    let own = own_files(&sink.tree())?.into_iter();
    Ok(own
        .filter_map(|(path, text)| plan_file(&path, Value::Text(text), Value::Absent, reason))
        .collect())
}

/// What both programs make of the files that are there.
pub(super) fn at_boot(sink: &dyn ChangeSink) -> Persisted {
    Persisted::of(&sink.tree(), sink.hz())
}

/// The files that are links, with where they lead by their text.
pub(super) fn links(tree: &Tree) -> Vec<(String, String)> {
    let links = tree.files.iter().filter_map(|file| {
        let path = file.path();
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        Some((path.clone(), absolute(folder, file.link.as_deref()?)))
    });
    links.collect()
}

/// A link's text from the folder in which it stands, without `.` and `..`.
fn absolute(folder: &str, text: &str) -> String {
    let base = if text.starts_with('/') { "" } else { folder };
    let mut parts: Vec<&str> = Vec::new();
    for part in base.split('/').chain(text.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// The files of ours with their text, the one that is read last at the end.
fn own_files(tree: &Tree) -> Result<Vec<(String, String)>, CommandError> {
    let mut own = Vec::new();
    for file in &tree.files {
        if file.folder != Folder::Etc || !persisted::is_own(&file.name) {
            continue;
        }
        let text = match &file.content {
            // What a link leads to is none of ours, and may not be for everybody to read.
            _ if file.link.is_some() => None,
            Content::Text(bytes) => String::from_utf8(bytes.clone()).ok(),
            _ => None,
        };
        let path = file.path();
        let Some(text) = text else {
            let message = format!("{} is not a file of text that can be edited", shown(&path));
            let hint = format!("look at it, and remove it: rm {}", shown(&path));
            return Err(CommandError::new(ErrorKind::Incomplete, message).hint(hint));
        };
        own.push((path, text));
    }
    own.sort();
    Ok(own)
}

/// Whether a file of ours with this text sets any default.
pub(super) fn sets_defaults(text: &Value) -> bool {
    let Value::Text(text) = text else {
        return false;
    };
    let mut sysctls = Sysctl::ALL.into_iter();
    sysctls.any(|sysctl| value_in(text, sysctl).is_some())
}

/// What a file of ours sets a default to.
fn value_in(text: &str, sysctl: Sysctl) -> Option<i64> {
    let parsed = persisted::parse(text.as_bytes(), Program::SystemdSysctl);
    let mut lines = parsed.lines.iter().rev();
    lines.find_map(|line| match &line.directive {
        Directive::Set(value) if line.concerns(sysctl, Program::SystemdSysctl) => {
            persisted::read_as_kernel(sysctl, value, None).ok()
        }
        _ => None,
    })
}

/// The text with these values at its end in place of those that it had; all other lines stay.
fn edited(text: Option<&str>, values: &[(Sysctl, i64)]) -> String {
    let sets_ours = |line: &str| {
        let parsed = persisted::parse(line.as_bytes(), Program::SystemdSysctl);
        parsed.lines.iter().any(|line| {
            let mut sysctls = values.iter().map(|(sysctl, _)| *sysctl);
            !line.is_pattern()
                && sysctls.any(|sysctl| line.concerns(sysctl, Program::SystemdSysctl))
        })
    };
    let mut kept = String::new();
    for line in text
        .unwrap_or(HEADER)
        .lines()
        .filter(|line| !sets_ours(line))
    {
        kept.push_str(line);
        kept.push('\n');
    }
    kept + &persisted::print(values, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_paths() {
        for (text, path) in [
            ("../sysctl.conf", "/etc/sysctl.conf"),
            ("/etc//x/./y", "/etc/x/y"),
            ("a.conf", "/etc/sysctl.d/a.conf"),
            ("../../../..", "/"),
        ] {
            assert_eq!(absolute("/etc/sysctl.d", text), path, "{text}");
        }
    }

    #[test]
    fn a_link_in_our_place_is_not_read() {
        let mut tree = Tree::default();
        tree.files.push(persisted::File {
            folder: Folder::Etc,
            name: b"zz-sockpulse.conf".to_vec(),
            link: None,
            content: Content::Text(b"secret".to_vec()),
        });
        assert_eq!(own_files(&tree).unwrap().len(), 1);
        tree.files[0].link = Some("/etc/secret".into());
        let error = own_files(&tree).unwrap_err();
        assert!(error.hints()[0].contains("rm /etc/sysctl.d/zz-sockpulse.conf"));
    }

    #[test]
    fn values_take_the_place_of_older_ones_and_all_else_stays() {
        let new = edited(None, &[(Sysctl::Idle, 60)]);
        assert_eq!(new, format!("{HEADER}net.ipv4.tcp_keepalive_time = 60\n"));
        let values = [(Sysctl::Idle, 30), (Sysctl::Probes, 5)];
        let text = "# mine\nnet/ipv4/tcp_keepalive_time=60\nvm.swappiness = 1";
        let after = "# mine\nvm.swappiness = 1\nnet.ipv4.tcp_keepalive_time = 30\n\
                     net.ipv4.tcp_keepalive_probes = 5\n";
        assert_eq!(edited(Some(text), &values), after);
        assert_eq!(edited(Some(after), &values), after, "again changes nothing");
        assert_eq!(value_in(after, Sysctl::Idle), Some(30));
        assert_eq!(value_in(after, Sysctl::Interval), None);
    }
}
