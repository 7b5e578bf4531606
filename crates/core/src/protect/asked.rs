//! What a rule asks for.

use alloc::string::String;

use crate::selector::Selector;
use crate::settings::{KeepCnt, KeepIdle, KeepIntvl, UserTimeoutChoice};

/// Who wins where program and rule want different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Mode {
    /// The program: only where it asked for nothing is anything set.
    #[default]
    Fill,
    /// The faster one: what is slower than the rule is made as fast.
    Tighten,
    /// The rule: exactly what it asks for.
    Override,
    /// Keepalive is switched off, and nothing else.
    Off,
}

impl Mode {
    /// All modes.
    pub const ALL: [Self; 4] = [Self::Fill, Self::Tighten, Self::Override, Self::Off];

    /// As written in `--mode` and in the policy file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Tighten => "tighten",
            Self::Override => "override",
            Self::Off => "off",
        }
    }

    /// From its name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == text)
    }
}

/// The settings that a rule asks for beside `SO_KEEPALIVE`; what is `None` stays as it is, inherited
/// values too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Asked {
    /// `TCP_KEEPIDLE`.
    pub idle: Option<KeepIdle>,
    /// `TCP_KEEPINTVL`.
    pub interval: Option<KeepIntvl>,
    /// `TCP_KEEPCNT`.
    pub probes: Option<KeepCnt>,
    /// `TCP_USER_TIMEOUT`; [`Auto`](UserTimeoutChoice::Auto) is reckoned from the values that the
    /// socket ends up with.
    pub user_timeout: Option<UserTimeoutChoice>,
}

/// Which connections are to have what.
#[derive(Debug, Clone, Default)]
pub struct Rule {
    /// Its name in the policy, in lists and counters.
    pub name: String,
    /// Which connections.
    pub selector: Selector,
    /// What they are to have.
    pub asked: Asked,
    /// Who wins.
    pub mode: Mode,
    /// Whether connections with both ends in one namespace are meant too.
    pub include_local: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_found_by_name() {
        for mode in Mode::ALL {
            assert_eq!(Mode::parse(mode.name()), Some(mode));
        }
        assert_eq!(Mode::parse("Fill"), None);
    }
}
