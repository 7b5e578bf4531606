//! The program finds everything as its caller left it.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::deadline::wait_for;
use crate::scene::Scene;
use crate::software::ready;

/// What a program can see of how it was started.
const LOOK: &str = "ps -o ppid=,pgid=,sid=,tty=,ni= -p $$; ulimit -a; umask; pwd; env | sort | md5sum; \
                    grep -E '^Sig(Pnd|Blk|Ign|Cgt)|^ShdPnd' /proc/self/status; \
                    for f in /proc/self/fd/[0-9]*; do readlink $f; done; echo end";

#[test]
fn root_nothing_differs_but_the_filter() {
    if !ready("transparent", &["ps", "sh"].map(Path::new)) {
        return;
    }
    let scene = Scene::new();
    for (before, after) in [
        ("", ""),
        ("trap '' PIPE INT CHLD;", ""),
        ("ulimit -n 20; umask 027; nice -n 5", ""),
        ("", "<&-"),
        ("", ">/dev/null 2>&-"),
    ] {
        let script = scene.folder.write("look", LOOK);
        let look = format!("sh {}", script.display());
        let text = |command: &str| format!("{before} {command} {after}");
        let words = |command: String| ["sh".to_owned(), "-c".to_owned(), command];
        let said = |command: String| {
            let words = words(command);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let ended = scene.ended(&mut scene.alone(&words));
            // Numbers of processes and groups differ between two runs of anything.
            let lines = ended.stdout.lines().filter(|line| !line.contains("memfd"));
            let lines: Vec<String> = lines.skip(1).map(str::to_owned).collect();
            (ended.status, lines, ended.stderr)
        };
        let run = format!(
            "{} run --method seccomp --",
            scene.folder.at("sockpulse").display()
        );
        let (alone, under) = (said(text(&look)), said(text(&format!("{run} {look}"))));
        assert_eq!(under, alone, "{before} {after}");
    }
    scene.nobody_stays();
}

#[test]
fn root_the_process_stays_the_same() {
    if !ready("the process", &[Path::new("sh")]) {
        return;
    }
    let scene = Scene::new();
    let words = [
        "sh",
        "-c",
        "echo $$; read line; echo \"$line\"; kill -HUP $$; echo not",
    ];
    let mut command = scene.under(&[], &words);
    command.stdin(Stdio::piped()).process_group(0);
    let mut running = scene.start(&mut command);
    let pid = running.child.id();
    let mut stdin = running.child.stdin.take().unwrap();
    stdin.write_all(b"through stdin\n").unwrap();
    let ended = running.end();
    assert_eq!(ended.stdout, format!("{pid}\nthrough stdin\n"));
    assert_eq!(ended.status, None, "ended by a signal");

    // A signal to the group reaches the program, and the supervisor is not in it.
    let mut command = scene.under(&[], &["sleep", "1000"]);
    let running = scene.start(command.process_group(0));
    let pid = Pid::from_child(&running.child);
    wait_for("the supervisor", || {
        (scene.supervisors().len() == 2).then_some(())
    });
    for supervisor in scene.supervisors() {
        let group = rustix::process::getpgid(Pid::from_raw(supervisor)).unwrap();
        assert_ne!(group, pid);
    }
    rustix::process::kill_process_group(pid, Signal::TERM).unwrap();
    assert_eq!(running.end().status, None);
    scene.nobody_stays();

    // systemd sends SIGTERM to the whole cgroup, in any order: the supervisor stays for the program.
    let running = scene.start(&mut scene.under(&[], &["sleep", "1000"]));
    wait_for("the supervisor", || {
        (scene.supervisors().len() == 2).then_some(())
    });
    for supervisor in scene.supervisors() {
        kill_process(Pid::from_raw(supervisor).unwrap(), Signal::TERM).unwrap();
    }
    assert_eq!(scene.supervisors().len(), 2);
    kill_process(Pid::from_child(&running.child), Signal::TERM).unwrap();
    running.end();
    scene.nobody_stays();
}

#[test]
fn root_what_cannot_be_started_is_told_as_env_does() {
    if !ready("env", &[Path::new("env")]) {
        return;
    }
    let scene = Scene::new();
    let file = scene.folder.write("file", "text");
    for (word, status) in [("/nonexistent/program", 127), (file.to_str().unwrap(), 126)] {
        let ended = scene.ended(&mut scene.under(&[], &[word]));
        assert_eq!(ended.status, Some(status), "{ended:?}");
        let env = scene.ended(&mut scene.alone(&["env", word]));
        assert_eq!(env.status, Some(status));
        assert!(ended.stderr.contains("failed to start"), "{ended:?}");
    }
    scene.nobody_stays();
}
