//! Replacing files where it cannot be done.

use std::path::Path;

use rustix::io::Errno;
use sockpulse_linux::file::{Whose, remove, replace};

use crate::common::{as_nobody, isolated, needs_root, sh};

const OURS: Whose = Whose::Ours { mode: 0o644 };

#[test]
fn root_a_full_disk_leaves_the_old_file() {
    isolated("file::root_a_full_disk_leaves_the_old_file", || {
        sh(
            "mkdir /run/small && mount -t tmpfs -o size=16k tmpfs /run/small && echo old > /run/small/a",
        );
        let path = Path::new("/run/small/a");
        let error = replace(path, &vec![b'x'; 100_000], OURS).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NOSPC));
        assert_eq!(
            error.reason(),
            "failed to write /run/small/a: no space left on device"
        );
        assert_eq!(sh("ls -A /run/small; cat /run/small/a"), "a\nold\n");
        replace(path, b"new\n", OURS).unwrap();
        assert_eq!(sh("ls -A /run/small; cat /run/small/a"), "a\nnew\n");
    });
}

#[test]
fn root_a_disk_without_room_for_a_name_leaves_the_old_file() {
    let test = "file::root_a_disk_without_room_for_a_name_leaves_the_old_file";
    isolated(test, || {
        sh(
            "mkdir /run/small && mount -t tmpfs -o nr_inodes=2 tmpfs /run/small && echo old > /run/small/a",
        );
        let error = replace(Path::new("/run/small/a"), b"new", OURS).unwrap_err();
        assert_eq!(
            error.reason(),
            "failed to create /run/small/a: no space left on device"
        );
        assert_eq!(sh("ls -A /run/small; cat /run/small/a"), "a\nold\n");
    });
}

#[test]
fn root_a_file_system_mounted_read_only_is_told() {
    let test = "file::root_a_file_system_mounted_read_only_is_told";
    isolated(test, || {
        sh(
            "mkdir /run/ro && mount -t tmpfs tmpfs /run/ro && echo old > /run/ro/a && mount -o remount,bind,ro /run/ro",
        );
        let path = Path::new("/run/ro/a");
        for error in [
            replace(path, b"new", OURS).unwrap_err(),
            remove(path).unwrap_err(),
        ] {
            assert_eq!(error.errno(), Some(Errno::ROFS), "{error}");
        }
        assert_eq!(sh("cat /run/ro/a"), "old\n");
    });
}

#[test]
fn root_without_the_right_the_old_file_stays() {
    const INNER: &str = "SOCKPULSE_TEST_NOBODY";
    let test = "file::root_without_the_right_the_old_file_stays";
    let path = Path::new("/run/mine/a");
    if std::env::var_os(INNER).is_some() {
        for error in [
            replace(path, b"new", OURS).unwrap_err(),
            remove(path).unwrap_err(),
        ] {
            assert!(error.is_permission(), "{error:?}");
        }
        return;
    }
    if !needs_root(test) {
        return;
    }
    isolated(test, || {
        sh("mkdir /run/mine && echo old > /run/mine/a && chmod 666 /run/mine/a");
        as_nobody(test, INNER, "1");
        assert_eq!(sh("ls -A /run/mine; cat /run/mine/a"), "a\nold\n");
    });
}
