//! `/proc/PID/cgroup` (cgroups(7)).

use crate::error::Result;
use crate::procfs::Proc;

impl Proc {
    /// The process's path in the cgroup v2 hierarchy, relative to the reader's cgroup namespace;
    /// `None` when there is no such hierarchy. Invalid UTF-8 is replaced.
    ///
    /// # Errors
    /// [`Error::System`](crate::Error::System); gone when the process has ended.
    pub fn cgroup_v2(&self, pid: u32) -> Result<Option<String>> {
        let text = self.cgroup_file(pid)?;
        Ok(lines(&text)
            .find(|line| line.controllers.is_empty())
            .map(|line| line.path.to_owned()))
    }

    /// The path that says most about where the process runs: that of cgroup v2; where this is only
    /// the root (hybrid mounts, a process outside all groups), that of systemd's own hierarchy, else
    /// the longest.
    ///
    /// # Errors
    /// As for [`Self::cgroup_v2()`].
    pub fn cgroup(&self, pid: u32) -> Result<Option<String>> {
        let text = self.cgroup_file(pid)?;
        let says = |line: &Line<'_>| line.path != "/";
        let best = lines(&text)
            .filter(says)
            .find(|line| line.controllers.is_empty())
            .or_else(|| {
                lines(&text)
                    .filter(says)
                    .find(|line| line.controllers == "name=systemd")
            })
            .or_else(|| lines(&text).max_by_key(|line| line.path.len()));
        Ok(best.map(|line| line.path.to_owned()))
    }

    fn cgroup_file(&self, pid: u32) -> Result<String> {
        let bytes = self.read(&format!("{pid}/cgroup"))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

struct Line<'a> {
    /// Empty for cgroup v2.
    controllers: &'a str,
    path: &'a str,
}

/// `hierarchy-ID:controllers:path`
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some(Line {
            controllers: parts.next()?,
            path: parts.next()?,
        })
    })
}
