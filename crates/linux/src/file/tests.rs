//! Replacing files, and what is left when a run is killed at any step.

use std::fs;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, waitpid};

use super::*;

const OURS: Whose = Whose::Ours { mode: 0o644 };
const STEPS: [Step; 7] = [
    Step::Opened,
    Step::Created,
    Step::HalfWritten,
    Step::Written,
    Step::Synced,
    Step::Renamed,
    Step::Done,
];

/// A folder of the test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(format!("sockpulse-file-{process}-{count}"));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn ours_is_made_and_replaced_with_its_mode() {
    let folder = Folder::new();
    let path = folder.path("a.conf");
    replace(&path, b"one", OURS).unwrap();
    assert_eq!(mode(&path), 0o644);
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    replace(&path, b"", OURS).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"");
    assert_eq!(mode(&path), 0o644);
    assert_eq!(folder.names(), ["a.conf"]);
    remove(&path).unwrap();
    remove(&path).unwrap();
    assert!(folder.names().is_empty());
}

#[test]
fn a_users_file_keeps_its_mode_and_a_link_stays_a_link() {
    let folder = Folder::new();
    let (real, link) = (folder.path("real"), folder.path("link"));
    symlink("real", &link).unwrap();
    replace(&link, b"one", Whose::TheUsers).unwrap();
    fs::set_permissions(&real, PermissionsExt::from_mode(0o640)).unwrap();
    replace(&link, b"two", Whose::TheUsers).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&real).unwrap(), b"two");
    assert_eq!(mode(&real), 0o640);
    assert_eq!(folder.names(), ["link", "real"]);
    symlink("loop", folder.path("loop")).unwrap();
    let error = replace(&folder.path("loop"), b"x", Whose::TheUsers).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::LOOP));
}

#[test]
fn root_somebody_elses_link_in_a_folder_for_all_is_not_followed() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: needs root to make a link for somebody else");
        return;
    }
    let folder = Folder::new();
    let (real, link) = (folder.path("real"), folder.path("link"));
    fs::write(&real, "old").unwrap();
    symlink("real", &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(65_534), Some(65_534)).unwrap();
    fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o1777)).unwrap();
    let error = replace(&link, b"new", Whose::TheUsers).unwrap_err();
    assert!(
        error.to_string().contains("somebody else's link"),
        "{error}"
    );
    assert_eq!(fs::read(&real).unwrap(), b"old");
    // Where not everybody may write, whoever may is trusted; one's own link is one's own.
    fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o755)).unwrap();
    replace(&link, b"new", Whose::TheUsers).unwrap();
    fs::set_permissions(&folder.0, PermissionsExt::from_mode(0o1777)).unwrap();
    std::os::unix::fs::lchown(&link, Some(0), Some(0)).unwrap();
    replace(&link, b"newer", Whose::TheUsers).unwrap();
    assert_eq!(fs::read(&real).unwrap(), b"newer");
}

#[test]
fn a_link_to_a_pipe_without_a_path_is_written_into() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    replace(Path::new(&path), b"one", Whose::TheUsers).unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "one");
}

#[test]
fn what_is_no_file_is_written_into_for_the_user_only() {
    replace(Path::new("/dev/null"), b"x", Whose::TheUsers).unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    let full = replace(Path::new("/dev/full"), b"x", Whose::TheUsers).unwrap_err();
    assert_eq!(full.errno(), Some(Errno::NOSPC));
    let null = replace(Path::new("/dev/null"), b"x", OURS).unwrap_err();
    assert_eq!(null.to_string(), "replace /dev/null: it is a device");
}

#[test]
fn refusals_name_the_object_and_leave_it_alone() {
    let folder = Folder::new();
    fs::write(folder.path("file"), "old").unwrap();
    fs::create_dir(folder.path("folder")).unwrap();
    symlink("file", folder.path("link")).unwrap();
    let names = folder.names();
    for (name, whose, said) in [
        ("folder", OURS, "it is a folder"),
        ("folder", Whose::TheUsers, "it is a folder"),
        ("link", OURS, "it is a symbolic link"),
        ("no/file", OURS, "open "),
        ("file/file", OURS, "open "),
        ("..", OURS, "it is a folder"),
    ] {
        let error = replace(&folder.path(name), b"new", whose).unwrap_err();
        assert!(error.to_string().contains(said), "{name}: {error}");
    }
    assert_eq!(
        remove(&folder.path("link")).unwrap_err().reason(),
        format!(
            "failed to replace {}/link: it is a symbolic link",
            folder.0.display()
        )
    );
    assert_eq!(folder.names(), names);
    assert_eq!(fs::read(folder.path("file")).unwrap(), b"old");
}

#[test]
fn long_names_and_many_writers_are_no_trouble() {
    let folder = Folder::new();
    let path = folder.path(&"n".repeat(255));
    let texts: Vec<Vec<u8>> = (0..8_u8).map(|byte| vec![byte; 10_000]).collect();
    std::thread::scope(|scope| {
        for text in &texts {
            scope.spawn(|| {
                for _ in 0..20 {
                    replace(&path, text, OURS).unwrap();
                }
            });
        }
    });
    assert!(texts.contains(&fs::read(&path).unwrap()));
    assert_eq!(folder.names().len(), 1, "{:?}", folder.names());
}

/// Set in the process that is to be killed: the step and the path.
const STEP: &str = "SOCKPULSE_TEST_STEP";
const PATH: &str = "SOCKPULSE_TEST_PATH";

/// Stops at the step that the test which started it named.
#[test]
fn a_process_that_stops_at_a_step() {
    let (Some(step), Some(path)) = (std::env::var_os(STEP), std::env::var_os(PATH)) else {
        return;
    };
    let step = STEPS
        .into_iter()
        .find(|of| step == format!("{of:?}").as_str());
    let step = step.unwrap();
    replace_watched(Path::new(&path), &new_text(), OURS, |now| {
        if now == step {
            // Any thread may take the signal: this one waits here for the end.
            kill_process(getpid(), Signal::STOP).unwrap();
            loop {
                std::thread::park();
            }
        }
    })
    .unwrap();
}

fn new_text() -> Vec<u8> {
    b"new\n".repeat(10_000)
}

#[test]
fn killed_at_any_step_there_is_the_old_file_or_the_new() {
    for before in [Some("old\n"), None] {
        for step in STEPS {
            let folder = Folder::new();
            let path = folder.path("a.conf");
            if let Some(text) = before {
                fs::write(&path, text).unwrap();
            }
            kill_at(step, &path);
            let after = fs::read(&path).ok();
            let renamed = matches!(step, Step::Renamed | Step::Done);
            let expected = if renamed {
                Some(new_text())
            } else {
                before.map(|text| text.as_bytes().to_vec())
            };
            assert!(after == expected, "{step:?} {before:?}");
            let leftover = !renamed && step != Step::Opened;
            let files = usize::from(leftover) + usize::from(after.is_some());
            assert_eq!(folder.names().len(), files, "{step:?} {:?}", folder.names());
            assert!(
                folder
                    .names()
                    .iter()
                    .filter(|name| name.ends_with(".conf"))
                    .count()
                    <= 1,
                "no program is to read a leftover"
            );
            replace(&path, b"next\n", OURS).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"next\n");
            assert_eq!(
                folder.names(),
                ["a.conf"],
                "{step:?}: leftovers are cleared"
            );
        }
    }
}

/// Runs the test above in a process of its own, waits until it has stopped, and kills it.
fn kill_at(step: Step, path: &Path) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["file::tests::a_process_that_stops_at_a_step", "--exact"])
        .env(STEP, format!("{step:?}"))
        .env(PATH, path)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    let (_, status) = waitpid(Some(pid), WaitOptions::UNTRACED).unwrap().unwrap();
    assert!(status.stopped(), "{step:?}: the process did not stop");
    kill_process(pid, Signal::KILL).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_file_that_is_being_written_is_no_leftover() {
    let folder = Folder::new();
    let path = folder.path("a.conf");
    replace_watched(&path, b"first", OURS, |step| {
        if step == Step::Synced {
            replace(&path, b"second", OURS).unwrap();
        }
    })
    .unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    assert_eq!(folder.names(), ["a.conf"]);
}

#[test]
fn what_could_not_be_written_is_told_before() {
    let folder = Folder::new();
    let file = folder.path("a.conf");
    may_replace(&file).unwrap();
    may_replace(&folder.path("not/yet/there.conf")).unwrap();
    fs::write(&file, b"old").unwrap();
    may_replace(&file).unwrap();
    let error = may_replace(&file.join("b.conf")).unwrap_err();
    assert_eq!(error.errno(), Some(Errno::NOTDIR), "{error}");
    let link = folder.path("link.conf");
    std::os::unix::fs::symlink("a.conf", &link).unwrap();
    let error = may_replace(&link).unwrap_err();
    assert!(matches!(error, Error::NotAFile { .. }), "{error}");
}
