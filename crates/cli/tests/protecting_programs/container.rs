//! A container: crun from Debian, an image from scratch with a static program, which has no name, no
//! libc and no /proc of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;
use sockpulse_linux::Proc;

use crate::kit::deadline::wait_for;
use crate::kit::pair::{HERE, THERE};
use crate::kit::program::{Talking, Twin};
use crate::kit::socket::{connect, listen};
use crate::kit::stage::{ASKED, Has, Stage};
use crate::software::{command, ready};

/// crun knows cgroups of version 2 alone: it is shown those, also where the machine has both.
const WITH_CGROUP2: &str = "mount -t cgroup2 none /sys/fs/cgroup && exec \"$@\"";

/// A container of its own; removed in the end.
pub(crate) struct Container {
    root: PathBuf,
    pub(crate) id: String,
    cgroup: String,
    running: Option<Talking>,
}

impl Container {
    /// Runs the program in the network namespace `here`, with pid, mount, IPC and UTS namespaces of its
    /// own, below a cgroup of the test's; it is ready when this returns.
    pub(crate) fn run(stage: &Stage, twin: &Twin, cgroup: &str, words: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = &format!("{:016x}{number:048x}", std::process::id());
        let bundle = stage.folder.at(id);
        let files = bundle.join("rootfs");
        std::fs::create_dir_all(files.join("dev")).unwrap();
        std::fs::copy(twin.path(), files.join(twin.name())).unwrap();
        let program = format!("/{}", twin.name());
        let words: Vec<&str> = std::iter::once(program.as_str())
            .chain(words.iter().copied())
            .collect();
        let network = format!("/proc/{}/ns/net", stage.pair.here.pid());
        let config = json!({
            "ociVersion": "1.0.2",
            "process": { "cwd": "/", "args": words, "user": { "uid": 1000, "gid": 1000 } },
            "root": { "path": "rootfs", "readonly": true },
            "mounts": [],
            "linux": {
                "cgroupsPath": format!("/{cgroup}/{number}/docker/{id}"),
                "namespaces": [
                    { "type": "pid" }, { "type": "mount" }, { "type": "ipc" }, { "type": "uts" },
                    { "type": "network", "path": network },
                ],
            },
        });
        std::fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let root = stage.folder.at("crun");
        let mut crun = crun(&root);
        crun.arg("run").arg("--bundle").arg(&bundle).arg(id);
        let mut container = Self {
            root,
            id: id.to_owned(),
            cgroup: format!("{cgroup}/{number}"),
            running: None,
        };
        let running = Talking::start(&stage.pair.here, &mut crun);
        container.running = Some(running.ready());
        container
    }
}

/// With its state in a folder of ours.
fn crun(root: &Path) -> Command {
    let mut crun = command("unshare");
    crun.args(["--mount", "sh", "-c", WITH_CGROUP2, "sh"]);
    crun.args(["crun", "--cgroup-manager", "cgroupfs", "--root"]);
    crun.arg(root);
    crun
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut delete = crun(&self.root);
        // A test that failed already says enough.
        let _ = delete.args(["delete", "--force", &self.id]).output();
        drop(self.running.take());
        // Its last process may end a little later.
        let cgroup = cgroup2().join(&self.cgroup);
        let inner = cgroup.join("docker");
        for path in [&inner.join(&self.id), &inner, &cgroup] {
            let removed = || std::fs::remove_dir(path).is_ok() || !path.exists();
            if std::thread::panicking() {
                let _ = removed();
            } else {
                wait_for("a cgroup to be empty", || removed().then_some(()));
            }
        }
        // The last one removes it, unless it is somebody else's.
        let _ = std::fs::remove_dir(cgroup.parent().expect("it has a number"));
    }
}

/// Where cgroups of version 2 are.
fn cgroup2() -> PathBuf {
    sockpulse_linux::cgroup::root(&Proc::default()).expect("there are containers in it")
}

/// Its server and its client are protected from outside, by the program's name and by the
/// container's.
#[test]
fn root_a_container_from_scratch_is_protected() {
    if !ready("container", &["cc", "crun", "unshare"].map(Path::new)) {
        return;
    }
    let stage = Stage::new();
    let there = &stage.pair.there;
    let twin = Twin::compile(&stage.folder);
    let run = |words: &[&str]| Container::run(&stage, &twin, twin.name(), words);
    let peer = listen(there, THERE, 9000);
    let server = run(&["listen", HERE, "7000"]);
    let _client = run(&["connect", THERE, "9000", "1"]);
    let listening = ["--local", ":7000", "--state", "listen"];
    stage.expect(&listening, 1, Has::NOTHING);
    let _connection = connect(there, HERE, 7000);
    let served = ["--local", ":7000", "--state", "established"];
    let connected = ["--remote", ":9000"];
    stage.expect(&served, 1, Has::NOTHING);
    stage.expect(&connected, 1, Has::NOTHING);

    let words = [&["--container", &server.id], &ASKED[..]].concat();
    let report = stage.protect_everywhere(&words);
    assert_eq!(report.changed(), (1, 1), "{report:#?}");
    stage.expect(&served, 1, Has::ASKED);
    stage.expect(&connected, 1, Has::NOTHING);
    assert!(stage.protect_everywhere(&words).is_idle());
    let words = [&["--program", twin.name()], &ASKED[..]].concat();
    let report = stage.protect_everywhere(&words);
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    stage.expect(&connected, 1, Has::ASKED);
    let _later = connect(there, HERE, 7000);
    stage.expect(&served, 2, Has::ASKED);
    drop(peer);
}
