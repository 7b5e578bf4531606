//! Where a process runs, told by its cgroup's path: systemd unit, container, pod.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// A cgroup's path and what it says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The path below the cgroup root, `/` for the root itself; empty when unknown.
    pub cgroup: String,
    /// The innermost systemd unit that is not a slice.
    pub unit: Option<String>,
    /// The container's id (Docker, containerd, CRI-O, Podman) or name (LXC, nspawn).
    pub container: Option<String>,
    /// The Kubernetes pod's UID.
    pub pod: Option<String>,
}

/// Prefixes of `PREFIX-ID.scope`, as container engines with systemd's cgroup driver write them.
const SCOPES: [&str; 5] = ["docker-", "cri-containerd-", "crio-", "libpod-", "nerdctl-"];
const UNIT_KINDS: [&str; 5] = [".service", ".scope", ".socket", ".mount", ".swap"];

impl Place {
    /// Reads a path as it stands in `/proc/PID/cgroup` after the second colon.
    #[must_use]
    pub fn from_cgroup(path: &str) -> Self {
        let mut place = Self {
            cgroup: path.to_owned(),
            ..Self::default()
        };
        for part in path.split('/').filter(|part| !part.is_empty()) {
            if let Some(pod) = pod(part) {
                place.pod = Some(pod);
            }
            if let Some(container) = container(part) {
                place.container = Some(container);
            }
            if UNIT_KINDS.iter().any(|kind| part.ends_with(kind)) {
                place.unit = Some(part.to_owned());
            }
        }
        place
    }
}

fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn container(part: &str) -> Option<String> {
    if is_id(part) {
        return Some(part.to_owned());
    }
    if let Some(name) = part.strip_prefix("lxc.payload.") {
        return Some(name.to_owned());
    }
    let scope = part.strip_suffix(".scope")?;
    if let Some(name) = scope.strip_prefix("machine-") {
        return Some(name.replace("\\x2d", "-"));
    }
    SCOPES
        .iter()
        .find_map(|prefix| scope.strip_prefix(prefix))
        .filter(|id| is_id(id))
        .map(ToOwned::to_owned)
}

/// `podUID` (cgroupfs driver) or `kubepods-CLASS-podUID.slice` (systemd driver, `_` for `-`).
fn pod(part: &str) -> Option<String> {
    let uid = match part.strip_suffix(".slice") {
        Some(slice) if slice.starts_with("kubepods") => slice.rsplit_once("-pod")?.1,
        Some(_) => return None,
        None => part.strip_prefix("pod")?,
    };
    let uid = uid.replace('_', "-");
    (uid.len() >= 32 && uid.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')).then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    #[test]
    fn paths_of_common_engines() {
        let pod = "4c3c1e0a-0b8b-4c36-9a14-5d0c1a6e1f10";
        for (path, unit, container, pod) in [
            ("/".to_owned(), None, None, None),
            (
                "/system.slice/redis.service".into(),
                Some("redis.service"),
                None,
                None,
            ),
            (format(&["/docker/", ID]), None, Some(ID), None),
            (
                format(&["/system.slice/docker-", ID, ".scope"]),
                Some(""),
                Some(ID),
                None,
            ),
            (
                format(&["/kubepods/burstable/pod", pod, "/", ID]),
                None,
                Some(ID),
                Some(pod),
            ),
            (
                format(&[
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod",
                    &pod.replace('-', "_"),
                    ".slice/cri-containerd-",
                    ID,
                    ".scope",
                ]),
                Some(""),
                Some(ID),
                Some(pod),
            ),
            (
                "/lxc.payload.web1/init.scope".into(),
                Some("init.scope"),
                Some("web1"),
                None,
            ),
            (
                "/machine.slice/machine-deb\\x2d12.scope".into(),
                Some(""),
                Some("deb-12"),
                None,
            ),
            ("/user.slice/podcast".into(), None, None, None),
        ] {
            let place = Place::from_cgroup(&path);
            match unit {
                Some("") => assert!(place.unit.is_some(), "{path}"),
                unit => assert_eq!(place.unit.as_deref(), unit, "{path}"),
            }
            assert_eq!(place.container.as_deref(), container, "{path}");
            assert_eq!(place.pod.as_deref(), pod, "{path}");
        }
    }

    fn format(parts: &[&str]) -> String {
        parts.concat()
    }
}
