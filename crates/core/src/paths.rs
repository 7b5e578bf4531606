//! Idle timeouts of the boxes in between, with their sources, for advice.

use core::time::Duration;

/// One kind of box and how long it remembers an idle connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PathTimeout {
    /// What people call it.
    pub name: &'static str,
    /// Its default idle timeout.
    pub timeout: Duration,
    /// Whether an empty keepalive probe refreshes it.
    pub probe_counts: bool,
    /// Where that is written.
    pub source: &'static str,
}

const fn path(
    name: &'static str,
    seconds: u64,
    probe_counts: bool,
    source: &'static str,
) -> PathTimeout {
    PathTimeout {
        name,
        timeout: Duration::from_secs(seconds),
        probe_counts,
        source,
    }
}

/// Defaults as their makers document them.
pub const PATHS: &[PathTimeout] = &[
    path("AWS Classic LB", 60, false, "AWS docs: config-idle-timeout"),
    path(
        "Azure LB",
        240,
        true,
        "Azure docs: load-balancer-tcp-idle-timeout",
    ),
    path(
        "Azure NAT gateway",
        240,
        true,
        "cloudnetworking.pro: cloud NAT timeouts",
    ),
    path("Cloudflare Gateway", 270, false, "cloudflare-docs PR 3405"),
    path(
        "Docker Desktop for Mac",
        300,
        false,
        "docker/for-mac issue 5886",
    ),
    path(
        "AWS NLB",
        350,
        true,
        "AWS docs: network/update-idle-timeout",
    ),
    path(
        "AWS NAT gateway",
        350,
        true,
        "AWS docs: nat-gateway-troubleshooting",
    ),
    path(
        "AWS Network Firewall",
        350,
        true,
        "AWS docs: API_FlowTimeouts",
    ),
    path(
        "GCP VPC tracking",
        600,
        true,
        "gitlab-org/charts/gitlab issue 2519",
    ),
    path("Linux IPVS", 900, true, "moby/moby issue 31208"),
    path("GCP Cloud NAT", 1200, true, "oneuptime.com 2026-02-17"),
    path(
        "AKS outbound",
        1800,
        true,
        "Azure docs: managed cluster load balancer profile",
    ),
    path("Cisco ASA", 3600, true, "Cisco Defense Orchestrator docs"),
    path("VMware NSX gateway", 7200, true, "VMware NSX 4.1 docs"),
    path("RFC 5382 floor", 7440, true, "RFC 5382 REQ-5"),
    path("Cilium", 8000, true, "cilium/cilium PR 27665"),
    path(
        "Linux conntrack",
        432_000,
        true,
        "Linux: nf_conntrack_tcp_timeout_established",
    ),
];

/// The shortest timeout that a probe refreshes: what keepalive can be expected to hold open.
#[must_use]
pub fn smallest() -> PathTimeout {
    PATHS
        .iter()
        .filter(|path| path.probe_counts)
        .min_by_key(|path| path.timeout)
        .copied()
        .unwrap_or(PATHS[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_is_azures_four_minutes() {
        assert_eq!(smallest().timeout, Duration::from_secs(240));
        assert!(PATHS.iter().all(|path| !path.source.is_empty()));
        assert!(PATHS.is_sorted_by_key(|path| path.timeout));
    }
}
