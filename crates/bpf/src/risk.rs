//! Known faults of kernels in what this crate uses, and whether the running kernel has them.

use std::fmt;

use crate::error::{Error, Result};

/// A fault that makes a facility dangerous to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelRisk {
    /// Its public name.
    pub id: &'static str,
    /// What can happen.
    pub what: &'static str,
    /// The first series that has the fault.
    since: (u32, u32),
    /// The series that were mended, with the first sound version of each; series after the last
    /// were never affected.
    mended: &'static [KernelVersion],
}

/// The `tcp` iterator uses a connection request after it was freed when SYNs arrive during the walk.
pub const TCP_ITERATOR: KernelRisk = KernelRisk {
    id: "CVE-2026-74714",
    what: "its tcp iterator may use freed memory while connection requests arrive",
    since: (5, 15),
    mended: &[
        KernelVersion::new(6, 1, 183),
        KernelVersion::new(6, 6, 152),
        KernelVersion::new(6, 12, 104),
        KernelVersion::new(6, 18, 45),
        KernelVersion::new(7, 1, 9),
    ],
};

impl KernelRisk {
    /// Whether a kernel of this upstream version has the fault. Distributions may have mended it
    /// without a new version: that is what [`RiskAccepted`] is for.
    #[must_use]
    pub fn affects(&self, kernel: KernelVersion) -> bool {
        let series = (kernel.major, kernel.minor);
        if series < self.since {
            return false;
        }
        let last = self.mended.last().map(|last| (last.major, last.minor));
        if last.is_none_or(|last| series > last) {
            return false;
        }
        // A series that no mended version is named of has ended, and nobody mended it.
        self.mended
            .iter()
            .find(|mended| (mended.major, mended.minor) == series)
            .is_none_or(|mended| kernel < *mended)
    }
}

/// Which risks the caller takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RiskAccepted {
    tcp_iterator: bool,
}

impl RiskAccepted {
    /// None.
    pub const NONE: Self = Self {
        tcp_iterator: false,
    };

    /// The one of this name.
    ///
    /// # Errors
    /// [`Error::UnknownRisk`].
    pub fn named(id: &str) -> Result<Self> {
        if id.eq_ignore_ascii_case(TCP_ITERATOR.id) {
            Ok(Self { tcp_iterator: true })
        } else {
            Err(Error::UnknownRisk { id: id.into() })
        }
    }

    /// Whether this risk is taken.
    #[must_use]
    pub fn covers(self, risk: &KernelRisk) -> bool {
        self.tcp_iterator && *risk == TCP_ITERATOR
    }
}

/// An upstream kernel version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

impl KernelVersion {
    /// A version of three numbers.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The upstream version of the running kernel; `None` when it cannot be made out. The kernels of
    /// Red Hat and its kin count as such: they bear an old number over much newer code.
    #[must_use]
    pub fn running() -> Option<Self> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self::from_texts(
            &read("/proc/sys/kernel/osrelease"),
            &read("/proc/sys/kernel/version"),
            &read("/proc/version_signature"),
        )
    }

    /// Debian's and Ubuntu's releases carry the number of their binary interface where the upstream
    /// patch level would be (`6.1.0-49-amd64`): the true version stands in the build's text (`#1 SMP
    /// Debian 6.1.192-1 (…)`), and in Ubuntu's own file (`Ubuntu 6.8.0-51.52-generic 6.8.12`).
    fn from_texts(release: &str, build: &str, ubuntu: &str) -> Option<Self> {
        if release.contains(".el") {
            return None;
        }
        let debian = build.split_once("Debian ").map(|(_, version)| version);
        let ubuntu = ubuntu.split_whitespace().nth(2);
        [debian, ubuntu, Some(release)]
            .into_iter()
            .flatten()
            .find_map(Self::parse)
    }

    /// The leading `MAJOR.MINOR[.PATCH]` of a text.
    fn parse(text: &str) -> Option<Self> {
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut numbers = text[..end].split('.').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self::new(next()?, next()?, next().unwrap_or(0)))
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The known faults of the running kernel. A kernel whose version cannot be made out has them all.
#[must_use]
pub fn affected() -> Vec<KernelRisk> {
    let kernel = KernelVersion::running();
    let mut risks = vec![TCP_ITERATOR];
    risks.retain(|risk| kernel.is_none_or(|kernel| risk.affects(kernel)));
    risks
}

/// Refuses what the running kernel is affected by and the caller has not accepted.
pub(crate) fn check(object: &'static str, risk: KernelRisk, accepted: RiskAccepted) -> Result<()> {
    let kernel = KernelVersion::running();
    let affected = kernel.is_none_or(|kernel| risk.affects(kernel));
    if !affected || accepted.covers(&risk) {
        return Ok(());
    }
    Err(Error::KernelRisk {
        object,
        risk,
        kernel: kernel.map_or_else(|| "of unknown version".into(), |kernel| kernel.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tcp_iterators_fault_is_judged_by_series() {
        for (version, affected) in [
            ("5.10.262", false),
            ("5.14.21", false),
            ("5.15.0", true),
            ("5.15.999", true),
            ("6.1.182", true),
            ("6.1.183", false),
            ("6.2.16", true),
            ("6.6.151", true),
            ("6.6.152", false),
            ("6.12.103", true),
            ("6.12.104", false),
            ("6.17.13", true),
            ("6.18.44", true),
            ("6.18.45", false),
            ("6.18.46", false),
            ("6.19.9", true),
            ("7.0.1", true),
            ("7.1.8", true),
            ("7.1.9", false),
            ("7.2.0", false),
            ("7.3.4", false),
            ("8.0.0", false),
        ] {
            let kernel = KernelVersion::parse(version).unwrap();
            assert_eq!(TCP_ITERATOR.affects(kernel), affected, "{version}");
        }
    }

    #[test]
    fn the_upstream_version_is_found_behind_the_distributions() {
        for (release, build, ubuntu, version) in [
            ("6.18.44\n", "#1 SMP PREEMPT_DYNAMIC @0", "", "6.18.44"),
            (
                "6.1.0-49-amd64",
                "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-1 (2026-09-01)",
                "",
                "6.1.192",
            ),
            (
                "6.8.0-51-generic",
                "#52-Ubuntu SMP PREEMPT_DYNAMIC Thu Dec 5 13:09:44 UTC 2024",
                "Ubuntu 6.8.0-51.52-generic 6.8.12\n",
                "6.8.12",
            ),
            ("7.2-rc3", "#1 SMP", "", "7.2.0"),
            (
                "6.12.95+deb13-amd64",
                "#1 SMP Debian strange",
                "",
                "6.12.95",
            ),
        ] {
            let found = KernelVersion::from_texts(release, build, ubuntu);
            assert_eq!(found.unwrap().to_string(), version, "{release}");
        }
        assert_eq!(KernelVersion::from_texts("", "", ""), None);
        assert_eq!(KernelVersion::from_texts("six.one", "", ""), None);
        let red_hat = KernelVersion::from_texts("5.14.0-503.el9.x86_64", "#1 SMP", "");
        assert_eq!(red_hat, None);
        assert_eq!(KernelVersion::parse("6"), None);
        assert_eq!(KernelVersion::parse("99999999999.1"), None);
    }

    #[test]
    fn a_risk_is_accepted_by_its_name_only() {
        let accepted = RiskAccepted::named("cve-2026-74714").unwrap();
        assert!(accepted.covers(&TCP_ITERATOR));
        assert!(!RiskAccepted::NONE.covers(&TCP_ITERATOR));
        assert_eq!(RiskAccepted::NONE, RiskAccepted::default());
        let error = RiskAccepted::named("CVE-1").unwrap_err().to_string();
        assert!(error.contains("CVE-2026-74714"), "{error}");
    }
}
