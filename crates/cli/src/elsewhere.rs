//! Namespaces that have other defaults than our own, and what gives them the same: now, and for those
//! to come.

use serde_json::{Value as Json, json};
use sockpulse_core::{KeepCnt, KeepIdle, KeepIntvl, NetnsDefaults, Place, Settings, UserTimeout};
use sockpulse_linux::Proc;

use crate::coverage::{counted, shown};
use crate::options::NetnsChoice;
use crate::sink::{ChangeSink, Found, Inhabited};
use crate::software::Software;

/// What our own namespace has, and the others that have something else.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    own: NetnsDefaults,
    /// How many were read.
    total: usize,
    others: Vec<Other>,
}

/// A namespace that differs.
#[derive(Debug)]
struct Other {
    netns: u32,
    name: String,
    pid: Option<u32>,
    defaults: NetnsDefaults,
    /// What started the processes in it, where it sets such defaults.
    software: Option<Software>,
}

/// Namespaces that are shown one by one; a host of pods has hundreds.
const SHOWN: usize = 8;

impl Elsewhere {
    /// Looks at every namespace that may be entered; `None` where there is nothing to compare.
    pub(crate) fn look(sink: &mut dyn ChangeSink, proc: &Proc) -> Option<Self> {
        let found = sink.namespaces(&[NetnsChoice::All]).ok()?;
        Self::of(&found, |pid| {
            let cgroup = proc.cgroup(pid).ok().flatten()?;
            software(&cgroup)
        })
    }

    fn of(found: &Found, software: impl Fn(u32) -> Option<Software>) -> Option<Self> {
        let own = found.namespaces.iter().find(|one| one.namespace.own)?;
        let own = own.namespace.defaults.clone()?;
        let other = |one: &Inhabited| {
            let defaults = one.namespace.defaults.clone()?;
            (!defaults.same_keepalive(&own)).then(|| Other {
                netns: one.key.id.0,
                name: one.namespace.name.clone(),
                pid: one.namespace.pid,
                software: one.namespace.pid.and_then(&software),
                defaults,
            })
        };
        Some(Self {
            total: found.namespaces.len(),
            others: found.namespaces.iter().filter_map(other).collect(),
            own,
        })
    }

    /// In lines, for people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let namespaces = counted(u64::try_from(self.total).unwrap_or(u64::MAX), "namespace");
        let own = values(&self.own);
        if self.others.is_empty() {
            return vec![format!("defaults of keepalive: {own} in {namespaces}")];
        }
        let mut lines = vec![format!(
            "defaults of keepalive: {own} here; {} of {namespaces} have others",
            self.others.len()
        )];
        for other in self.others.iter().take(SHOWN) {
            lines.push(format!(
                "  {}: {}",
                shown(&other.name),
                values(&other.defaults)
            ));
            if let Some(command) = self.command(other) {
                lines.push(format!("     now  {command}"));
            }
        }
        if let Some(more @ 1..) = self.others.len().checked_sub(SHOWN) {
            lines.push(format!("  and {more} more: sockpulse defaults"));
        }
        for (software, text) in self.recipes() {
            lines.push(format!("  for those to come, {}:", software.title()));
            lines.extend(text.lines().map(|line| format!("     {line}")));
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
                "software": other.software.map(Software::name),
                "remedy": self.command(other),
            })
        });
        json!({
            "idle_s": self.own.idle_s,
            "interval_s": self.own.interval_s,
            "probes": self.own.probes,
            "namespaces": self.total,
            "differing": others.collect::<Vec<_>>(),
        })
    }

    /// The command that gives it our own values at run time.
    fn command(&self, other: &Other) -> Option<String> {
        let NetnsDefaults {
            idle_s,
            interval_s,
            probes,
            ..
        } = &self.own;
        Some(format!(
            "sockpulse defaults set --netns {} --idle {idle_s} --interval {interval_s} --probes {probes}",
            other.pid?
        ))
    }

    /// What each software that is met writes down, once.
    fn recipes(&self) -> Vec<(Software, String)> {
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
        let mut met: Vec<Software> = self.others.iter().filter_map(|one| one.software).collect();
        met.sort();
        met.dedup();
        let recipes = met.into_iter().filter_map(|software| {
            let first = software.recipe(&settings).snippets.into_iter().next()?;
            Some((software, first.text))
        });
        recipes.collect()
    }
}

fn values(defaults: &NetnsDefaults) -> String {
    format!(
        "{} s, {} s, {}",
        defaults.idle_s, defaults.interval_s, defaults.probes
    )
}

/// Whose the processes of a cgroup are, as far as its path tells.
fn software(cgroup: &str) -> Option<Software> {
    let place = Place::from_cgroup(cgroup);
    if place.pod.is_some() {
        return Some(Software::Kubernetes);
    }
    let engine = ["docker", "libpod"]
        .iter()
        .any(|name| cgroup.contains(name));
    (place.container.is_some() && engine).then_some(Software::Docker)
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
        let elsewhere = Elsewhere::of(&found, |_| Some(Software::Docker)).unwrap();
        insta::assert_snapshot!(elsewhere.lines().join("\n"));
        let json = elsewhere.json();
        assert_eq!(json["differing"].as_array().unwrap().len(), 2);
        assert_eq!(json["differing"][0]["software"], "docker");
        assert_eq!(
            json["differing"][1]["remedy"],
            Json::Null,
            "no process is in it"
        );
    }

    #[test]
    fn nothing_is_advised_where_all_are_alike_or_cannot_be_written_down() {
        let kernel = NetnsDefaults::KERNEL;
        let alike = Elsewhere::of(&found(&[kernel.clone(), kernel.clone()]), |_| None).unwrap();
        assert_eq!(
            alike.lines(),
            ["defaults of keepalive: 7200 s, 75 s, 9 in 2 namespaces"]
        );
        let never = NetnsDefaults {
            idle_s: -1,
            ..NetnsDefaults::KERNEL
        };
        let odd = Elsewhere::of(&found(&[never, kernel]), |_| Some(Software::Docker)).unwrap();
        assert!(odd.recipes().is_empty());
    }

    #[test]
    fn engines_are_told_by_their_cgroups() {
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        for (cgroup, expected) in [
            (
                format!("/system.slice/docker-{id}.scope"),
                Some(Software::Docker),
            ),
            (
                format!("/machine.slice/libpod-{id}.scope"),
                Some(Software::Docker),
            ),
            (
                format!(
                    "/kubepods.slice/kubepods-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice/\
                     cri-containerd-{id}.scope"
                ),
                Some(Software::Kubernetes),
            ),
            ("/system.slice/redis.service".into(), None),
            ("/".into(), None),
        ] {
            assert_eq!(software(&cgroup), expected, "{cgroup}");
        }
    }
}
