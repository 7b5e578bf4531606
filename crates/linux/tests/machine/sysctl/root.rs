//! A root directory with made-up sysctl files, in which the real programs run.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use sockpulse_core::persisted::{Folder, Persisted, Problem, Program, Reading, Sysctl, Trouble};
use sockpulse_linux::Proc;
use sockpulse_linux::sysctl::{set, tree, value};

use crate::common::sh;

/// Values that no case writes: what is found afterwards was left alone.
const UNTOUCHED: [(Sysctl, i64); 3] = [
    (Sysctl::Idle, 7201),
    (Sysctl::Interval, 76),
    (Sysctl::Probes, 99),
];

/// Below `/run`, which is the test's own: the machine's programs and libraries, and files of the
/// test's in all five folders.
pub(crate) struct Root(PathBuf);

/// What lies at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Put {
    Text(Vec<u8>),
    Link(String),
    Folder,
}

impl Root {
    /// To be made in `isolated()`. `/lib` is a folder of its own here, so that `/lib/sysctl.d` is too.
    pub(crate) fn new() -> Self {
        sh(r#"
            root=/run/root
            mkdir -p $root/etc $root/run $root/proc $root/dev $root/usr $root/lib $root/usr-local
            mount --rbind /usr $root/usr
            mount -t tmpfs tmpfs $root/usr/local
            mkdir -p $root/usr/local/lib
            mount --rbind /proc $root/proc
            touch $root/dev/null
            mount --bind /dev/null $root/dev/null
            for folder in bin sbin lib64; do
                [ ! -e /$folder ] || { mkdir -p $root/$folder && mount --rbind /$folder/ $root/$folder; }
            done
            for entry in /lib/*; do
                [ "$entry" = /lib/sysctl.d ] || ln -s "/run-lib/${entry#/lib/}" $root/lib/
            done
            mkdir $root/run-lib
            mount --rbind /lib/ $root/run-lib
            mount -t tmpfs tmpfs $root/usr/lib/sysctl.d
        "#);
        Self(PathBuf::from("/run/root"))
    }

    /// Puts these files there and no others.
    pub(crate) fn fill(&self, files: &[(String, Put)]) {
        let folders = Folder::ALL.map(|folder| self.below(folder.path()));
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
            clear(folder);
        }
        // Links in /etc lead to files that lie beside the folder.
        clear(&self.below("/etc"));
        std::fs::create_dir(&folders[0]).unwrap();
        for (path, put) in files {
            let path = self.below(path);
            match put {
                Put::Text(text) => std::fs::write(path, text).unwrap(),
                Put::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
                Put::Folder => std::fs::create_dir(path).unwrap(),
            }
        }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.0.join(path.trim_start_matches('/'))
    }

    /// Lets both programs loose on the files and holds the values that they leave, and the files that they
    /// say they read, against what we say. Returns what we say.
    pub(crate) fn compare(&self, what: &str) -> Persisted {
        let persisted = Persisted::of(&tree(&self.0), sockpulse_linux::hz());
        for program in Program::ALL {
            let reading = persisted.by(program);
            let proc = Proc::default();
            for (sysctl, value) in UNTOUCHED {
                set(&proc, sysctl, value).unwrap();
            }
            let output = self.run(program);
            for (sysctl, untouched) in UNTOUCHED {
                if reading.of_sysctl(sysctl).depends_on_version {
                    continue;
                }
                assert_eq!(
                    value(&proc, sysctl).unwrap(),
                    reading.value(sysctl).unwrap_or(untouched),
                    "{what}: {program:?} {sysctl:?}\n{:#?}\n{}{}",
                    reading.of_sysctl(sysctl),
                    output.stdout.escape_ascii(),
                    output.stderr.escape_ascii(),
                );
            }
            self.compare_order(what, reading, &output);
        }
        persisted
    }

    fn compare_order(&self, what: &str, reading: &Reading, output: &Output) {
        let said = match reading.program {
            Program::Procps => applied(&output.stdout),
            Program::SystemdSysctl => headings(&self.chroot(SYSTEMD, &["--cat-config"]).stdout),
        };
        // At a link to nothing --cat-config ends.
        let dangling = |problem: &Problem| problem.trouble == Trouble::Dangling;
        if reading.program == Program::Procps || !reading.problems.iter().any(dangling) {
            assert_eq!(said, reading.files, "{what}: {:?}", reading.program);
        }
    }

    fn run(&self, program: Program) -> Output {
        match program {
            Program::SystemdSysctl => self.chroot(SYSTEMD, &[]),
            Program::Procps => self.chroot("/sbin/sysctl", &["--system"]),
        }
    }

    fn chroot(&self, program: &str, args: &[&str]) -> Output {
        let output = Command::new("timeout")
            .args(["20", "chroot"])
            .arg(&self.0)
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap();
        // 124 and up: too late, or it could not be started.
        let status = output.status.code();
        assert!(status.is_some_and(|status| status < 124), "{output:?}");
        output
    }
}

const SYSTEMD: &str = "/lib/systemd/systemd-sysctl";

fn clear(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            std::fs::remove_dir_all(path).unwrap();
        } else {
            std::fs::remove_file(path).unwrap();
        }
    }
}

/// Whether both programs are there; says so if not.
pub(crate) fn programs_are_there(test: &str) -> bool {
    let missing = [SYSTEMD, "/sbin/sysctl"]
        .into_iter()
        .find(|program| !Path::new(program).exists());
    if let Some(program) = missing {
        eprintln!("SKIPPED: {test} needs {program}");
    }
    missing.is_none()
}

/// The files that `sysctl --system` says it applies.
fn applied(stdout: &[u8]) -> Vec<String> {
    lines_between(stdout, "* Applying ", " ...")
}

/// The headings of `--cat-config`.
fn headings(stdout: &[u8]) -> Vec<String> {
    let headings = lines_between(stdout, "# /", "");
    headings.iter().map(|path| format!("/{path}")).collect()
}

fn lines_between(text: &[u8], start: &str, end: &str) -> Vec<String> {
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter_map(|line| {
            let line = OsStr::from_bytes(line).to_string_lossy();
            let line = line.strip_prefix(start)?.strip_suffix(end)?;
            Some(line.to_owned())
        })
        .collect()
}
