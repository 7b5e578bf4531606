//! Connections to come, in a cgroup of the test's own, with programs kept in a bpffs of its own.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::Stage;
use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source};
use crate::kit::pair::THERE;
use crate::kit::socket::listen;

/// A cgroup and a bpffs that go with the test.
struct Place {
    cgroup: PathBuf,
    bpffs: tempfile::TempDir,
}

impl Place {
    /// `None` where there is no cgroup v2, which is told.
    fn new(test: &str) -> Option<Self> {
        let Some(root) = sockpulse_linux::cgroup::root(&sockpulse_linux::Proc::default()) else {
            eprintln!("SKIPPED: {test} needs a cgroup v2 hierarchy");
            return None;
        };
        let cgroup = root.join(format!("sockpulse-test-{}", std::process::id()));
        std::fs::create_dir(&cgroup).unwrap();
        let bpffs = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "bpf", "bpf"])
            .arg(bpffs.path())
            .status();
        assert!(mounted.unwrap().success(), "mount -t bpf");
        Some(Self { cgroup, bpffs })
    }

    fn words(&self) -> [String; 4] {
        let pins = self.bpffs.path().join("pins");
        let text = |path: &std::path::Path| path.display().to_string();
        [
            "--pins".into(),
            text(&pins),
            "--cgroup-root".into(),
            text(&self.cgroup),
        ]
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.bpffs.path()).status();
        let removed = || std::fs::remove_dir(&self.cgroup).ok();
        if !std::thread::panicking() {
            wait_for("the cgroup to be empty", removed);
        }
    }
}

/// A bash in the cgroup that connects and waits.
struct Client(Child);

impl Client {
    fn connect(stage: &Stage, place: &Place, port: u16) -> Self {
        let cgroup = place.cgroup.join("cgroup.procs");
        let script = format!(
            "echo $$ > {} && exec 3<>/dev/tcp/{THERE}/{port} && read",
            cgroup.display()
        );
        let mut command = Command::new("bash");
        command.args(["-c", &script]).stdin(Stdio::piped());
        Self(stage.pair.here.run(|| command.spawn()).unwrap())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A rule outlives its command, sets what is opened from then on, is listed, replaced and ended, and
/// undo puts it back.
#[test]
fn root_a_rule_holds_for_connections_to_come() {
    let test = "root_a_rule_holds_for_connections_to_come";
    let Some(stage) = Stage::new(test) else {
        return;
    };
    let Some(place) = Place::new(test) else {
        return;
    };
    let listener = listen(&stage.pair.there, THERE, 0);
    let port = listener.local_addr().unwrap().port();
    let words = place.words();
    let run = |command: &str, words_of_it: &[&str]| {
        let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
        if command == "undo" {
            all = vec!["--cgroup-root", &words[3]];
        }
        all.extend(["-o", "json"]);
        all.extend(words_of_it);
        let ran = stage.run(command, &all);
        assert_eq!(ran.status, Some(0), "{command}: {}", ran.stderr);
        ran.json()
    };
    let idle_of_next = || {
        let client = Client::connect(&stage, &place, port);
        let (accepted, remote) = listener.accept().unwrap();
        let remote = format!(":{}", remote.port());
        let words = ["--netns", "self", "--local", &remote];
        let listing = Listing::of(&stage.pair.here, Source::TaskFile, &words);
        let row = listing.rows.values().next().unwrap();
        let on = row.at("/keepalive/on") == true;
        let idle = on.then(|| row.number("/keepalive/idle/seconds").unwrap());
        drop((client, accepted));
        idle
    };

    assert_eq!(idle_of_next(), None);
    let rule = [
        "--new",
        "--program",
        "bash",
        "--idle",
        "77",
        "--name",
        "shells",
    ];
    let report = run("protect", &rule);
    assert_eq!(report["new"]["number"], 1, "{report}");
    assert_eq!(idle_of_next(), Some(77));
    let list = run("protect", &["--list"]);
    assert_eq!(list["rules"][0]["rule"]["name"], "shells", "{list}");
    assert_eq!(list["rules"][0]["set"], 1, "{list}");
    // Another rule for all goes behind it.
    run("protect", &["--new", "--idle", "99"]);
    assert_eq!(idle_of_next(), Some(77));
    run("unprotect", &["shells"]);
    assert_eq!(idle_of_next(), Some(99));
    run("undo", &[]);
    assert_eq!(idle_of_next(), Some(77));
    let ended = run("unprotect", &[]);
    assert_eq!(ended["ended"].as_array().unwrap().len(), 2, "{ended}");
    assert_eq!(idle_of_next(), None);
}
