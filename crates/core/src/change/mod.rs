//! Changes: what is to be set where, from what to what, and why. Everything that sockpulse writes
//! is planned as a list of [`Change`]s first: it is what `--dry-run` prints, what the journal keeps
//! and what `undo` turns round.

mod danger;
mod revert;

pub use danger::{Danger, dangers, dangers_of};
pub use revert::{
    Record, Revert, SetBy, Transaction, UNDO, Undoes, live, made, revert, set_by, standing,
    with_their_commands,
};

use alloc::string::String;
use alloc::vec::Vec;

use crate::connection::NetnsId;
use crate::namespace::NetnsDefaults;
use crate::persisted::Sysctl;

/// Which defaults are wanted; what is `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wish {
    /// Seconds of silence before the first probe.
    pub idle: Option<i64>,
    /// Seconds between probes.
    pub interval: Option<i64>,
    /// Unanswered probes before a connection is given up.
    pub probes: Option<i64>,
}

impl Wish {
    /// What every new namespace starts with.
    pub const KERNEL: Self = Self {
        idle: Some(NetnsDefaults::KERNEL.idle_s),
        interval: Some(NetnsDefaults::KERNEL.interval_s),
        probes: Some(NetnsDefaults::KERNEL.probes),
    };

    /// The value wanted of one sysctl.
    #[must_use]
    pub const fn of(&self, sysctl: Sysctl) -> Option<i64> {
        match sysctl {
            Sysctl::Idle => self.idle,
            Sysctl::Interval => self.interval,
            Sysctl::Probes => self.probes,
        }
    }

    /// What is wanted, in the usual order.
    pub fn values(&self) -> impl Iterator<Item = (Sysctl, i64)> + '_ {
        Sysctl::ALL
            .into_iter()
            .filter_map(|sysctl| Some((sysctl, self.of(sysctl)?)))
    }

    /// Whether nothing is wanted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The defaults with what is wanted filled in.
    #[must_use]
    pub fn over(&self, defaults: &NetnsDefaults) -> NetnsDefaults {
        NetnsDefaults {
            idle_s: self.idle.unwrap_or(defaults.idle_s),
            interval_s: self.interval.unwrap_or(defaults.interval_s),
            probes: self.probes.unwrap_or(defaults.probes),
            ..defaults.clone()
        }
    }
}

/// A namespace's value of a sysctl.
#[must_use]
pub const fn value_of(sysctl: Sysctl, defaults: &NetnsDefaults) -> i64 {
    match sysctl {
        Sysctl::Idle => defaults.idle_s,
        Sysctl::Interval => defaults.interval_s,
        Sysctl::Probes => defaults.probes,
    }
}

/// A sysctl from its setting's name.
#[must_use]
pub fn sysctl_of(setting: &str) -> Option<Sysctl> {
    Sysctl::ALL
        .into_iter()
        .find(|sysctl| sysctl.setting() == setting)
}

/// Which network namespace a change was made in, told so that a later one with the same inode
/// number is not taken for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetnsKey {
    /// Its inode number, which the kernel gives to the next namespace once this one is gone.
    pub id: NetnsId,
    /// The kernel's own number for it, never given twice between two boots (`SO_NETNS_COOKIE`, since
    /// 5.14).
    pub cookie: Option<u64>,
    /// What people call it.
    pub name: String,
    /// Whether it is the one of process 1, which every boot makes anew.
    pub host: bool,
    /// The boot in which it lives (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
}

impl NetnsKey {
    /// Whether both are one namespace. The host's is taken for the same after a boot: what a file
    /// set there is set there again.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        if self.boot != other.boot {
            return self.host && other.host;
        }
        match (self.cookie, other.cookie) {
            (Some(one), Some(another)) => one == another,
            _ => self.id == other.id,
        }
    }
}

/// What is changed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// A default of a namespace, at run time.
    Sysctl {
        /// Where.
        netns: NetnsKey,
        /// Which.
        sysctl: Sysctl,
    },
    /// A file that sets defaults at boot: all its text.
    PersistedFile {
        /// Its path.
        path: String,
    },
    /// The settings of open connections, each of which has a line in a file of its own beside the
    /// journal. [`Value::Absent`] is how they were before, [`Value::Text`] with the file's name how
    /// they were left: while one of them lives and has what was set, that is what stands.
    Connections {
        /// The file's name.
        file: String,
        /// How many were planned.
        count: u64,
    },
    /// Connections that were ended, each of which has its record in a file of its own beside the
    /// journal. Nothing brings them back.
    Destroyed {
        /// The file's name.
        file: String,
        /// How many were to be.
        count: u64,
    },
    /// Settings that sockets had inherited and hold themselves from now on, with the values that they had:
    /// asking by options left them. Nothing takes them away.
    Pinned {
        /// The name of the file that tells of them.
        file: String,
        /// How many it may have been.
        count: u64,
    },
    /// The rules that the kernel holds for connections to come: all their text, or
    /// [`Value::Absent`].
    Rules {
        /// The folder in which the kernel's programs are pinned.
        pins: String,
    },
}

impl Target {
    /// Whether both stand for the same thing.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Sysctl { netns, sysctl },
                Self::Sysctl {
                    netns: other_netns,
                    sysctl: other_sysctl,
                },
            ) => sysctl == other_sysctl && netns.is(other_netns),
            (Self::PersistedFile { path }, Self::PersistedFile { path: other }) => path == other,
            (Self::Connections { file, .. }, Self::Connections { file: other, .. })
            | (Self::Destroyed { file, .. }, Self::Destroyed { file: other, .. })
            | (Self::Pinned { file, .. }, Self::Pinned { file: other, .. }) => file == other,
            (Self::Rules { pins }, Self::Rules { pins: other }) => pins == other,
            _ => false,
        }
    }
}

/// A value of a [`Target`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// It does not exist.
    Absent,
    /// A sysctl's.
    Number(i64),
    /// A file's, rules', or the name of the file that tells of connections.
    Text(String),
}

/// One thing to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What.
    pub target: Target,
    /// What was found there.
    pub before: Value,
    /// What is to stand there.
    pub after: Value,
    /// Why, in a clause.
    pub reason: String,
}

/// A namespace with the defaults that it has now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Which.
    pub netns: NetnsKey,
    /// What it has.
    pub defaults: NetnsDefaults,
}

/// What has to change so that every namespace has what is wanted. A value that is there already is
/// left alone, so that a second plan is empty.
#[must_use]
pub fn plan_defaults(observed: &[Observed], wanted: &Wish, reason: &str) -> Vec<Change> {
    let mut changes = Vec::new();
    for Observed { netns, defaults } in observed {
        for (sysctl, value) in wanted.values() {
            let before = value_of(sysctl, defaults);
            if before != value {
                changes.push(Change {
                    target: Target::Sysctl {
                        netns: netns.clone(),
                        sysctl,
                    },
                    before: Value::Number(before),
                    after: Value::Number(value),
                    reason: reason.into(),
                });
            }
        }
    }
    changes
}

/// What has to change so that the file holds this text; `None` when it does.
#[must_use]
pub fn plan_file(path: &str, before: Value, after: Value, reason: &str) -> Option<Change> {
    (before != after).then(|| Change {
        target: Target::PersistedFile { path: path.into() },
        before,
        after,
        reason: reason.into(),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn key(id: u32, boot: &str) -> NetnsKey {
        NetnsKey {
            id: NetnsId(id),
            cookie: Some(u64::from(id) * 10),
            name: "web".into(),
            host: false,
            boot: boot.into(),
        }
    }

    pub(crate) fn change(netns: NetnsKey, sysctl: Sysctl, before: i64, after: i64) -> Change {
        Change {
            target: Target::Sysctl { netns, sysctl },
            before: Value::Number(before),
            after: Value::Number(after),
            reason: "asked for".into(),
        }
    }

    #[test]
    fn only_what_differs_is_planned() {
        let observed = [
            Observed {
                netns: key(1, "a"),
                defaults: NetnsDefaults::KERNEL,
            },
            Observed {
                netns: key(2, "a"),
                defaults: NetnsDefaults {
                    idle_s: 60,
                    ..NetnsDefaults::KERNEL
                },
            },
        ];
        let wish = Wish {
            idle: Some(60),
            probes: Some(9),
            ..Wish::default()
        };
        assert_eq!(
            plan_defaults(&observed, &wish, "asked for"),
            [change(key(1, "a"), Sysctl::Idle, 7200, 60)]
        );
        assert!(plan_defaults(&observed, &Wish::default(), "").is_empty());
    }

    #[test]
    fn a_reused_inode_number_is_another_namespace() {
        let first = key(7, "a");
        let reused = NetnsKey {
            cookie: Some(71),
            ..first.clone()
        };
        let unknown = NetnsKey {
            cookie: None,
            ..first.clone()
        };
        assert!(first.is(&first) && first.is(&unknown));
        assert!(!first.is(&reused));
        assert!(!first.is(&key(7, "b")), "a boot makes all anew");
        let host = |boot| NetnsKey {
            host: true,
            ..key(1, boot)
        };
        assert!(host("a").is(&host("b")), "but for the host's");
    }

    #[test]
    fn settings_are_found_by_name() {
        for sysctl in Sysctl::ALL {
            assert_eq!(sysctl_of(sysctl.setting()), Some(sysctl));
            let value = value_of(sysctl, &NetnsDefaults::KERNEL);
            assert_eq!(Wish::KERNEL.of(sysctl), Some(value));
        }
        assert_eq!(sysctl_of("user_timeout"), None);
    }

    proptest! {
        #[test]
        fn a_second_plan_is_empty(
            had in prop::array::uniform3(-1..40_000_i64),
            wanted in prop::array::uniform3(prop::option::of(-1..40_000_i64)),
        ) {
            let wish = Wish { idle: wanted[0], interval: wanted[1], probes: wanted[2] };
            let mut defaults = NetnsDefaults {
                idle_s: had[0], interval_s: had[1], probes: had[2], ..NetnsDefaults::KERNEL
            };
            let observe = |defaults| [Observed { netns: key(1, "a"), defaults }];
            for change in plan_defaults(&observe(defaults.clone()), &wish, "") {
                let (Target::Sysctl { sysctl, .. }, Value::Number(after)) =
                    (change.target, change.after) else { panic!("a sysctl") };
                match sysctl {
                    Sysctl::Idle => defaults.idle_s = after,
                    Sysctl::Interval => defaults.interval_s = after,
                    Sysctl::Probes => defaults.probes = after,
                }
            }
            prop_assert_eq!(&wish.over(&defaults), &defaults);
            prop_assert!(plan_defaults(&observe(defaults), &wish, "").is_empty());
        }
    }
}
