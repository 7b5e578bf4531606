//! Idle timeouts of the boxes in between, with their sources, for advice.
//!
//! The figures live in `data/paths.toml`; `cargo xtask generate` makes the table of it, and the page
//! `docs/reference/paths.md`.

use core::time::Duration;

// Written by a generator, one field a line: its form is not for rustfmt.
#[rustfmt::skip]
mod table;

pub use table::PATHS;

/// One kind of box and how long it remembers an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathTimeout {
    /// What a command line calls it: `aws-nlb`.
    pub name: &'static str,
    /// What people call it: `AWS NLB`.
    pub title: &'static str,
    /// Other names of it, in the form of [`Self::name`].
    pub aliases: &'static [&'static str],
    /// Its default idle timeout.
    pub timeout: Duration,
    /// The shortest that it can be set to; [`Self::timeout`] where it is fixed; `None` where that is
    /// not known.
    pub min: Option<Duration>,
    /// The longest that it can be set to, as [`Self::min`].
    pub max: Option<Duration>,
    /// Whether an empty keepalive probe refreshes it; `None` where that is not known.
    pub probe_counts: Option<bool>,
    /// What becomes of a connection that it forgot.
    pub on_expiry: OnExpiry,
    /// What else one has to know, in a sentence or two; may be empty.
    pub note: &'static str,
    /// Where that is written: a URL.
    pub source: &'static str,
    /// Whether the source itself was read. If not, others quote it.
    pub verified: bool,
}

impl PathTimeout {
    /// Whether the timeout cannot be changed.
    #[must_use]
    pub fn is_fixed(&self) -> bool {
        self.min == Some(self.timeout) && self.max == Some(self.timeout)
    }
}

/// What happens to a connection after the box forgot it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnExpiry {
    /// The next segment from either end is answered with a RST.
    Reset,
    /// Segments vanish: neither end is told.
    Silent,
    /// The box ends the connection towards both ends at once.
    Closes,
    /// Not known.
    Unknown,
}

impl OnExpiry {
    /// The spelling in the data file and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "rst",
            Self::Silent => "silent",
            Self::Closes => "closes",
            Self::Unknown => "unknown",
        }
    }
}

/// The box of this name or alias, in any case.
#[must_use]
pub fn find(name: &str) -> Option<PathTimeout> {
    let name = name.trim();
    let is = |candidate: &&str| candidate.eq_ignore_ascii_case(name);
    PATHS
        .iter()
        .find(|path| is(&path.name) || path.aliases.iter().any(is))
        .copied()
}

/// The shortest timeout that a probe refreshes: what keepalive can be expected to hold open.
#[must_use]
pub fn smallest() -> PathTimeout {
    PATHS
        .iter()
        .filter(|path| path.probe_counts == Some(true))
        .min_by_key(|path| path.timeout)
        .copied()
        .unwrap_or(PATHS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_azures_four_minutes() {
        assert_eq!(smallest().name, "azure-lb");
        assert_eq!(smallest().timeout, Duration::from_secs(240));
        assert!(PATHS.is_sorted_by_key(|path| path.timeout));
    }

    #[test]
    fn boxes_are_found_by_name_alias_and_in_any_case() {
        assert_eq!(
            find("aws-nlb").map(|path| path.timeout.as_secs()),
            Some(350)
        );
        assert_eq!(find(" AWS-NLB "), find("aws-nlb"));
        assert_eq!(find("nlb"), find("aws-nlb"));
        assert_eq!(find("conntrack"), find("linux-conntrack"));
        assert_eq!(find("nonsense"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn no_name_means_two_boxes() {
        for path in PATHS {
            assert_eq!(find(path.name), Some(*path));
            for alias in path.aliases {
                assert_eq!(find(alias), Some(*path), "{alias}");
            }
        }
    }

    #[test]
    fn what_cannot_be_set_is_fixed() {
        let fixed = |name| find(name).map(|path| path.is_fixed());
        assert_eq!(fixed("aws-nat-gateway"), Some(true));
        assert_eq!(fixed("aws-nlb"), Some(false));
        assert_eq!(fixed("rfc5382"), Some(false));
    }
}
