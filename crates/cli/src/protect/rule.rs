//! A rule for connections to come, as it is kept with the kernel's programs: JSON that tells all of it.

use serde_json::{Value as Json, json};
use sockpulse_core::protect::{Asked, Mode, Rule};
use sockpulse_core::selector::EndPattern;
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl, NetnsId, UserTimeout, UserTimeoutChoice};

use super::args::ProtectArgs;
use crate::options::NetnsChoice;
use crate::selectors::SelectorArgs;

/// A rule with the text that is kept of it.
#[derive(Debug, Clone)]
pub struct KernelRule {
    /// What is asked for.
    pub rule: Rule,
    /// All of it as JSON.
    pub text: String,
}

impl KernelRule {
    /// What the command line asks for, in these network namespaces; none means all.
    pub(super) fn of(args: &ProtectArgs, namespaces: Vec<NetnsId>) -> Self {
        let mut rule = args.rule();
        rule.selector.namespaces = namespaces;
        let selectors = &args.survey.selectors;
        let words = selector_words(selectors, &rule.selector.namespaces);
        rule.name = match &args.name {
            Some(name) => name.clone(),
            None if words.is_empty() => "all".into(),
            None => words.join(" "),
        };
        let text = text(&rule, selectors);
        Self { rule, text }
    }

    /// Reads what was kept; `None` when another version wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let json: Json = serde_json::from_str(text).ok()?;
        let wanted = &json["match"];
        let selectors = SelectorArgs {
            program: texts(&wanted["program"])?,
            pid: numbers(&wanted["pid"])?,
            unit: texts(&wanted["unit"])?,
            container: texts(&wanted["container"])?,
            cgroup: texts(&wanted["cgroup"])?,
            local: ends(&wanted["local"])?,
            remote: ends(&wanted["remote"])?,
            port: numbers(&wanted["port"])?,
            ..SelectorArgs::default()
        };
        let mut selector = selectors.selector();
        let namespaces: Vec<u32> = numbers(&wanted["netns"])?;
        selector.namespaces = namespaces.into_iter().map(NetnsId).collect();
        let rule = Rule {
            name: json["name"].as_str()?.to_owned(),
            selector,
            asked: Asked {
                idle: value(&json["idle_s"], |number| KeepIdle::new(number).ok())?,
                interval: value(&json["interval_s"], |number| KeepIntvl::new(number).ok())?,
                probes: value(&json["probes"], |number| KeepCnt::new(number).ok())?,
                user_timeout: timeout(&json["user_timeout"])?,
            },
            mode: Mode::parse(json["mode"].as_str()?)?,
            include_local: json["include_local"].as_bool()?,
        };
        Some(Self {
            rule,
            text: text.to_owned(),
        })
    }

    /// Which connections are meant, as on the command line.
    pub(super) fn selector_words(&self) -> Vec<String> {
        let Ok(json) = serde_json::from_str::<Json>(&self.text) else {
            return Vec::new();
        };
        let Some(wanted) = json["match"].as_object() else {
            return Vec::new();
        };
        let each = wanted.iter().flat_map(|(kind, values)| {
            let values = values.as_array().into_iter().flatten();
            values.map(move |value| match value {
                Json::String(text) => format!("{kind}={text}"),
                other => format!("{kind}={other}"),
            })
        });
        each.collect()
    }
}

/// Puts a rule in: the first that matches decides, so that a new one goes before the others, one that
/// matches everything behind them, and one of the same name into the place of that.
pub(super) fn put(rules: &mut Vec<KernelRule>, new: KernelRule) {
    let known = rules.iter().position(|one| one.rule.name == new.rule.name);
    match known {
        Some(at) => rules[at] = new,
        None if new.rule.selector.is_empty() => rules.push(new),
        None => rules.insert(0, new),
    }
}

fn text(rule: &Rule, selectors: &SelectorArgs) -> String {
    let Asked {
        idle,
        interval,
        probes,
        user_timeout,
    } = rule.asked;
    let ends = |ends: &[EndPattern]| ends.iter().map(end_text).collect::<Vec<_>>();
    let namespaces = rule.selector.namespaces.iter().map(|id| id.0);
    json!({
        "name": rule.name,
        "mode": rule.mode.name(),
        "idle_s": idle.map(KeepIdle::get),
        "interval_s": interval.map(KeepIntvl::get),
        "probes": probes.map(KeepCnt::get),
        "user_timeout": user_timeout.map(|choice| match choice {
            UserTimeoutChoice::Auto => json!("auto"),
            UserTimeoutChoice::Off => json!("off"),
            UserTimeoutChoice::Fixed(timeout) => json!(timeout.get()),
        }),
        "include_local": rule.include_local,
        "match": {
            "program": selectors.program,
            "pid": selectors.pid,
            "unit": selectors.unit,
            "container": selectors.container,
            "cgroup": selectors.cgroup,
            "local": ends(&selectors.local),
            "remote": ends(&selectors.remote),
            "port": selectors.port,
            "netns": namespaces.collect::<Vec<_>>(),
        },
    })
    .to_string()
}

/// `program=redis-server`, `port=6379`.
fn selector_words(selectors: &SelectorArgs, namespaces: &[NetnsId]) -> Vec<String> {
    let mut words = Vec::new();
    let mut add = |kind: &str, values: Vec<String>| {
        words.extend(values.into_iter().map(|value| format!("{kind}={value}")));
    };
    let ends = |ends: &[EndPattern]| ends.iter().map(end_text).collect();
    add("program", selectors.program.clone());
    add("pid", selectors.pid.iter().map(u32::to_string).collect());
    add("unit", selectors.unit.clone());
    add("container", selectors.container.clone());
    add("cgroup", selectors.cgroup.clone());
    add("local", ends(&selectors.local));
    add("remote", ends(&selectors.remote));
    add("port", selectors.port.iter().map(u16::to_string).collect());
    let ids = || namespaces.iter().map(|id| id.0.to_string()).collect();
    let names = match &selectors.netns[..] {
        _ if namespaces.is_empty() => Some(Vec::new()),
        [] => None,
        choices => netns_names(choices),
    };
    add("netns", names.unwrap_or_else(ids));
    words
}

/// The names of namespaces as they were given, if they are names: a process's number may be another's
/// by the next time.
fn netns_names(choices: &[NetnsChoice]) -> Option<Vec<String>> {
    let named = choices.iter().map(|choice| match choice {
        NetnsChoice::Named(name) if name.parse::<u32>().is_err() => Some(name.clone()),
        _ => None,
    });
    named.collect()
}

/// An end as it is written on the command line.
fn end_text(end: &EndPattern) -> String {
    match (end.net, end.port) {
        (Some(net), Some(port)) if net.addr().is_ipv6() => format!("[{net}]:{port}"),
        (Some(net), Some(port)) => format!("{net}:{port}"),
        (Some(net), None) => net.to_string(),
        (None, Some(port)) => format!(":{port}"),
        (None, None) => String::new(),
    }
}

fn texts(json: &Json) -> Option<Vec<String>> {
    let values = json.as_array()?.iter();
    values
        .map(|value| value.as_str().map(str::to_owned))
        .collect()
}

fn numbers<T: TryFrom<u64>>(json: &Json) -> Option<Vec<T>> {
    let values = json.as_array()?.iter();
    values
        .map(|value| T::try_from(value.as_u64()?).ok())
        .collect()
}

fn ends(json: &Json) -> Option<Vec<EndPattern>> {
    let values = json.as_array()?.iter();
    values.map(|value| value.as_str()?.parse().ok()).collect()
}

fn value<T>(json: &Json, new: impl Fn(u64) -> Option<T>) -> Option<Option<T>> {
    match json {
        Json::Null => Some(None),
        json => new(json.as_u64()?).map(Some),
    }
}

fn timeout(json: &Json) -> Option<Option<UserTimeoutChoice>> {
    Some(match json {
        Json::Null => None,
        Json::String(text) if text == "auto" => Some(UserTimeoutChoice::Auto),
        Json::String(text) if text == "off" => Some(UserTimeoutChoice::Off),
        json => Some(UserTimeoutChoice::Fixed(
            UserTimeout::new(json.as_u64()?).ok()?,
        )),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use clap::Parser;

    fn rule(line: &str) -> KernelRule {
        let words = format!("sockpulse protect {line}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap();
        let Command::Protect(args) = cli.command else {
            panic!("protect");
        };
        KernelRule::of(&args, vec![NetnsId(7)])
    }

    #[test]
    fn what_is_kept_tells_all_of_a_rule() {
        for line in [
            "",
            "--program redis-server --program prometheus-node-exporter --idle 60s --probes 6",
            "--unit web --container 0123456789ab --cgroup /system.slice --mode override",
            "--local 10.0.0.0/8:80 --remote [2001:db8::/32]:443 --remote 192.0.2.1 --port 1,2",
            "--pid 7,8 --user-timeout auto --interval 10s --include-local --mode tighten",
            "--local :80 --user-timeout 1500ms --name mine",
            "--user-timeout off --remote 2001:db8::1",
        ] {
            let rule = rule(line);
            let read = KernelRule::parse(&rule.text).unwrap();
            assert_eq!(
                format!("{:?}", read.rule),
                format!("{:?}", rule.rule),
                "{line}"
            );
        }
        assert!(KernelRule::parse("{}").is_none());
        assert_eq!(
            rule("--program redis-server --port 80").rule.name,
            "program=redis-server port=80 netns=7"
        );
        for (choice, name) in [("web", "web"), ("self", "7"), ("812", "7")] {
            let line = format!("--netns {choice}");
            assert_eq!(rule(&line).rule.name, format!("netns={name}"));
        }
    }

    #[test]
    fn the_new_one_goes_first_and_the_one_for_all_last() {
        let named = |line: &str| {
            let mut rule = rule(line);
            rule.rule.selector.namespaces.clear();
            rule
        };
        let mut rules = Vec::new();
        for line in [
            "--name a --port 1",
            "--name all",
            "--name b --port 2",
            "--name a --port 3",
        ] {
            put(&mut rules, named(line));
        }
        let names: Vec<_> = rules.iter().map(|one| one.rule.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "all"]);
        assert_eq!(rules[1].rule.selector.ports, [3]);
    }
}
