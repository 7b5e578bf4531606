//! `/proc/self/mountinfo`.

use std::path::PathBuf;

use crate::error::Result;
use crate::procfs::{Proc, unescape};

/// A mount in the reader's mount namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// What is mounted, within its file system: `net:[4026532101]` for a namespace.
    pub(crate) root: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// The type of the file system.
    pub(crate) kind: String,
}

impl Proc {
    /// The mounts of the reader's mount namespace, in the order in which they were mounted.
    pub(crate) fn mounts(&self) -> Result<Vec<Mount>> {
        let bytes = self.read("self/mountinfo")?;
        Ok(bytes.split(|b| *b == b'\n').filter_map(parse).collect())
    }
}

/// `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [TAG…] - TYPE SOURCE OPTIONS`
fn parse(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|b| *b == b' ');
    let root = fields.nth(3)?;
    let point = fields.next()?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    Some(Mount {
        root: unescape(root).into(),
        point: unescape(point).into(),
        kind: String::from_utf8_lossy(kind).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_with_and_without_tags() {
        for line in [
            "510 27 0:4 net:[4026532101] /run/netns/a\\040b rw shared:243 master:2 - nsfs nsfs rw",
            "510 27 0:4 net:[4026532101] /run/netns/a\\040b rw - nsfs nsfs rw",
        ] {
            assert_eq!(
                parse(line.as_bytes()),
                Some(Mount {
                    root: "net:[4026532101]".into(),
                    point: "/run/netns/a b".into(),
                    kind: "nsfs".into(),
                }),
                "{line}"
            );
        }
        for line in ["", "1 2 3", "22 27 0:21 / /proc rw,relatime proc proc rw"] {
            assert_eq!(parse(line.as_bytes()), None, "{line}");
        }
    }
}
