//! Namespaces that have other defaults than our own, and what gives them the same: now, and for those
//! to come.

use serde_json::{Value as Json, json};
use sockpulse_core::change::dangers_of;
use sockpulse_core::{
    Gap, KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, Place, Settings, UserTimeout,
};
use sockpulse_linux::Proc;

use crate::append;
use crate::coverage::{counted, gap_lines, gaps_json, shown};
use crate::options::NetnsChoice;
use crate::sink::{ChangeSink, Found, Inhabited};
use crate::software::Software;
use crate::values;

/// What our own namespace has, and the others that have something else.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    own: NetnsDefaults,
    /// How many were read.
    total: usize,
    others: Vec<Other>,
    /// What could not be read.
    gaps: Vec<Gap>,
}

/// A namespace that differs.
#[derive(Debug)]
struct Other {
    netns: u32,
    name: String,
    pid: Option<u32>,
    /// How it is asked for.
    word: String,
    defaults: NetnsDefaults,
    /// What made it, where that sets such defaults.
    maker: Option<Maker>,
}

/// What makes namespaces, and can be told which defaults they start with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Maker {
    /// An engine of containers.
    Engine(Software),
    /// systemd, for this service.
    Unit(String),
}

impl Maker {
    /// Whose the processes of a cgroup are, as far as its path tells.
    fn of(cgroup: &str) -> Option<Self> {
        let place = Place::from_cgroup(cgroup);
        if place.pod.is_some() {
            return Some(Self::Engine(Software::Kubernetes));
        }
        if place.container.is_some() {
            let engine = ["docker", "libpod"]
                .iter()
                .any(|name| cgroup.contains(name));
            return engine.then_some(Self::Engine(Software::Docker));
        }
        // The name goes into a path to be pasted. A user's own manager has not the right.
        let plain = |unit: &String| {
            let mut letters = unit.chars();
            letters.all(|c| c.is_ascii_alphanumeric() || "._-@".contains(c))
        };
        let unit = place.unit.filter(plain)?;
        let service = unit.ends_with(".service") && cgroup.starts_with("/system.slice/");
        service.then_some(Self::Unit(unit))
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Engine(software) => software.name(),
            Self::Unit(_) => "systemd",
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Engine(software) => software.title().to_owned(),
            Self::Unit(unit) => {
                format!("systemd, where {unit} has PrivateNetwork= or NetworkNamespacePath=")
            }
        }
    }

    /// What is written down.
    fn recipe(&self, settings: &Settings) -> Option<String> {
        match self {
            Self::Engine(software) => {
                let first = software.recipe(settings).snippets.into_iter().next()?;
                Some(first.text)
            }
            // `+`: not held back by User= or a read-only /proc/sys; still in the unit's network
            // (systemd.service(5)).
            Self::Unit(unit) => Some(format!(
                "# /etc/systemd/system/{unit}.d/keepalive.conf\n\
                 [Service]\n\
                 ExecStartPre=+sysctl -q -w net.ipv4.tcp_keepalive_time={} \
                 net.ipv4.tcp_keepalive_intvl={} net.ipv4.tcp_keepalive_probes={}\n",
                settings.idle.get(),
                settings.interval.get(),
                settings.probes.get()
            )),
        }
    }
}

/// Namespaces that are shown one by one; a host of pods has hundreds.
const SHOWN: usize = 8;

impl Elsewhere {
    /// Looks at every namespace that may be entered; `None` where there is nothing to compare.
    pub(crate) fn look(sink: &mut dyn ChangeSink, proc: &Proc) -> Option<Self> {
        let found = sink.namespaces(&[NetnsChoice::All]).ok()?;
        Self::of(&found, |pid| {
            let cgroup = proc.cgroup(pid).ok().flatten()?;
            Maker::of(&cgroup)
        })
    }

    fn of(found: &Found, maker: impl Fn(u32) -> Option<Maker>) -> Option<Self> {
        let own = found.namespaces.iter().find(|one| one.namespace.own)?;
        let own = own.namespace.defaults.clone()?;
        let other = |one: &Inhabited| {
            let defaults = one.namespace.defaults.clone()?;
            (!defaults.same_keepalive(&own)).then(|| Other {
                netns: one.key.id.0,
                name: one.namespace.name.clone(),
                pid: one.namespace.pid,
                word: values::netns_word(&one.namespace),
                maker: one.namespace.pid.and_then(&maker),
                defaults,
            })
        };
        Some(Self {
            total: found.namespaces.len(),
            others: found.namespaces.iter().filter_map(other).collect(),
            own,
            gaps: found.gaps.clone(),
        })
    }

    /// In lines, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let namespaces = counted(u64::try_from(self.total).unwrap_or(u64::MAX), "namespace");
        let own = in_words(&self.own);
        let mut lines = vec![match self.others.len() {
            0 => format!("defaults of keepalive: {own} in {namespaces}"),
            n => {
                let verb = if n == 1 { "has" } else { "have" };
                format!("defaults of keepalive: {own} here; {n} of {namespaces} {verb} others")
            }
        }];
        lines.extend(warnings(&self.own));
        let gaps = gap_lines(&self.gaps).into_iter();
        lines.extend(gaps.map(|line| format!("  {line}")));
        for other in self.others.iter().take(SHOWN) {
            lines.push(format!(
                "  {}: {}",
                shown(&other.name),
                in_words(&other.defaults)
            ));
            lines.extend(warnings(&other.defaults));
            if let Some(command) = self.command(other) {
                lines.push(format!("     now  {command}"));
            }
        }
        if let Some(more @ 1..) = self.others.len().checked_sub(SHOWN) {
            lines.push(format!("  and {more} more: sockpulse defaults"));
        }
        // A host of services has dozens, which differ in nothing but the name.
        let is_unit = |maker: &Maker| matches!(maker, Maker::Unit(_));
        let (units, engines): (Vec<_>, Vec<_>) = self
            .recipes()
            .into_iter()
            .partition(|(maker, _)| is_unit(maker));
        for (maker, text) in engines.iter().chain(units.first()) {
            lines.push(format!("  for those to come, {}:", maker.title()));
            lines.extend(text.lines().map(|line| format!("     {line}")));
        }
        if let Some(more @ 1..) = units.len().checked_sub(1) {
            let more = counted(u64::try_from(more).unwrap_or(u64::MAX), "more service");
            lines.push(format!("     and alike for {more}"));
        }
        lines
    }

    /// For programs.
    pub(crate) fn json(&self) -> Json {
        let others = self.others.iter().map(|other| {
            json!({
                "netns": other.netns,
                "name": other.name,
                "pid": other.pid,
                "idle_s": other.defaults.idle_s,
                "interval_s": other.defaults.interval_s,
                "probes": other.defaults.probes,
                "warnings": sentences(&other.defaults),
                "software": other.maker.as_ref().map(Maker::name),
                "remedy": self.command(other),
            })
        });
        json!({
            "idle_s": self.own.idle_s,
            "interval_s": self.own.interval_s,
            "probes": self.own.probes,
            "warnings": sentences(&self.own),
            "namespaces": self.total,
            "differing": others.collect::<Vec<_>>(),
            "gaps": gaps_json(&self.gaps),
        })
    }

    /// The command that gives it our own values at run time; values that harm are not for copying.
    fn command(&self, other: &Other) -> Option<String> {
        if dangers_of(&self.own).iter().any(|one| one.is_refused()) {
            return None;
        }
        let NetnsDefaults {
            idle_s,
            interval_s,
            probes,
            ..
        } = &self.own;
        Some(format!(
            "sockpulse defaults set --netns {} --idle {idle_s} --interval {interval_s} --probes {probes}",
            other.word
        ))
    }

    /// What each maker that is met writes down, once.
    fn recipes(&self) -> Vec<(Maker, String)> {
        let settings = (|| {
            let positive = |value: i64| u64::try_from(value).ok();
            Some(Settings {
                idle: KeepIdle::new(positive(self.own.idle_s)?).ok()?,
                interval: KeepIntvl::new(positive(self.own.interval_s)?).ok()?,
                probes: KeepCnt::new(positive(self.own.probes)?).ok()?,
                user_timeout: UserTimeout::OFF,
            })
        })();
        // What no socket could ask for is written down by nobody either.
        let Some(settings) = settings else {
            return Vec::new();
        };
        let mut met: Vec<Maker> = self
            .others
            .iter()
            .filter_map(|one| one.maker.clone())
            .collect();
        met.sort();
        met.dedup();
        let recipes = met.into_iter().filter_map(|maker| {
            let text = maker.recipe(&settings)?;
            Some((maker, text))
        });
        recipes.collect()
    }
}

/// What is dangerous in defaults, in sentences.
fn sentences(defaults: &NetnsDefaults) -> Vec<String> {
    let dangers = dangers_of(defaults).into_iter();
    dangers.map(|danger| danger.sentence()).collect()
}

fn warnings(defaults: &NetnsDefaults) -> impl Iterator<Item = String> {
    let sentences = sentences(defaults).into_iter();
    sentences.map(|sentence| format!("     warning: {sentence}"))
}

fn in_words(defaults: &NetnsDefaults) -> String {
    let mut text = Vec::new();
    for value in [defaults.idle_s, defaults.interval_s] {
        append::setting_seconds(&mut text, value);
        text.extend_from_slice(b", ");
    }
    append::number(&mut text, defaults.probes);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use sockpulse_core::change::NetnsKey;
    use sockpulse_core::{Namespace, NetnsId};

    fn found(defaults: &[NetnsDefaults]) -> Found {
        let one = |(at, defaults): (usize, &NetnsDefaults)| {
            let id = NetnsId(u32::try_from(at).unwrap());
            let name = if at == 0 {
                "host".into()
            } else {
                format!("container {at}\u{1b}")
            };
            Inhabited {
                key: NetnsKey {
                    id,
                    cookie: None,
                    name: name.clone(),
                    host: at == 0,
                    boot: String::new(),
                },
                namespace: Namespace {
                    id,
                    name,
                    own: at == 0,
                    pid: (at != 2).then_some(4700 + id.0),
                    defaults: Some(defaults.clone()),
                    ..sample::namespace()
                },
            }
        };
        Found {
            namespaces: defaults.iter().enumerate().map(one).collect(),
            gaps: Vec::new(),
        }
    }

    #[test]
    fn those_that_differ_are_shown_with_what_helps() {
        let own = NetnsDefaults {
            idle_s: 120,
            interval_s: 20,
            probes: 5,
            ..NetnsDefaults::KERNEL
        };
        let kernel = NetnsDefaults::KERNEL;
        let found = found(&[own.clone(), kernel.clone(), kernel, own]);
        let elsewhere = Elsewhere::of(&found, |_| Some(Maker::Engine(Software::Docker))).unwrap();
        insta::assert_snapshot!(elsewhere.lines().join("\n"));
        let json = elsewhere.json();
        assert_eq!(json["differing"].as_array().unwrap().len(), 2);
        assert_eq!(json["differing"][0]["software"], "docker");
        let remedy = json["differing"][1]["remedy"].as_str().unwrap();
        assert!(
            remedy.contains("--netns 2 "),
            "no process is in it: {remedy}"
        );
    }

    #[test]
    fn nothing_is_advised_where_all_are_alike_or_cannot_be_written_down() {
        let kernel = NetnsDefaults::KERNEL;
        let alike = Elsewhere::of(&found(&[kernel.clone(), kernel.clone()]), |_| None).unwrap();
        assert_eq!(
            alike.lines(),
            ["defaults of keepalive: 2h, 75s, 9 in 2 namespaces"]
        );
        let never = NetnsDefaults {
            idle_s: -1,
            ..NetnsDefaults::KERNEL
        };
        let odd = Elsewhere::of(&found(&[never, kernel]), |_| {
            Some(Maker::Engine(Software::Docker))
        })
        .unwrap();
        assert!(odd.recipes().is_empty());
    }

    #[test]
    fn a_service_gets_a_file_of_its_own_and_what_harms_is_said() {
        let own = NetnsDefaults {
            probes: 0,
            ..NetnsDefaults::KERNEL
        };
        let mut found = found(&[own, NetnsDefaults::KERNEL]);
        found.namespaces[1].namespace.name = "redis.service".into();
        let unit = Maker::Unit("redis.service".into());
        let elsewhere = Elsewhere::of(&found, |_| Some(unit.clone())).unwrap();
        // No socket could ask for 0 probes: nothing is to be copied.
        assert!(elsewhere.recipes().is_empty());
        let lines = elsewhere.lines().join("\n");
        assert!(lines.contains("warning: with 0 probes"), "{lines}");
        assert!(!lines.contains("now"), "{lines}");
        found.namespaces[0].namespace.defaults = Some(NetnsDefaults {
            idle_s: 120,
            ..NetnsDefaults::KERNEL
        });
        let elsewhere = Elsewhere::of(&found, |_| Some(unit.clone())).unwrap();
        insta::assert_snapshot!(elsewhere.lines().join("\n"));
    }

    #[test]
    fn engines_are_told_by_their_cgroups() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (cgroup, expected) in [
            (
                format!("/system.slice/docker-{id}.scope"),
                Some(Maker::Engine(Software::Docker)),
            ),
            (
                format!("/machine.slice/libpod-{id}.scope"),
                Some(Maker::Engine(Software::Docker)),
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice/\
                     cri-containerd-{id}.scope"
                ),
                Some(Maker::Engine(Software::Kubernetes)),
            ),
            (
                "/system.slice/redis.service".into(),
                Some(Maker::Unit("redis.service".into())),
            ),
            ("/system.slice/a\\x2d$(b).service".into(), None),
            ("/system.slice/run-1.scope".into(), None),
            ("/user.slice/user-1000.slice/user@1000.service".into(), None),
            ("/".into(), None),
        ] {
            assert_eq!(Maker::of(&cgroup), expected, "{cgroup}");
        }
    }
}
