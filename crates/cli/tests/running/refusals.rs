//! Where a method is refused, or would take or leave something: rights, filters, files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::faults::{PYTHON, STEPS};
use crate::scene::Scene;
use crate::software::{find, ready};

#[test]
fn root_programs_that_gain_privilege() {
    if !ready("privilege", &[Path::new("id")]) {
        return;
    }
    let scene = Scene::new();
    let id = scene.folder.at("id");
    std::fs::copy(find(Path::new("id")).unwrap(), &id).unwrap();
    std::fs::set_permissions(&id, PermissionsExt::from_mode(0o4755)).unwrap();
    let id = id.to_str().unwrap();
    let alone = scene.ended(&mut scene.alone(&[id, "-u"]));
    assert_eq!(
        alone.stdout, "0\n",
        "the file system of the test takes set-user-id"
    );
    let under = scene.ended(&mut scene.under(&["-v"], &[id, "-u"]));
    assert_eq!(under.stdout, "65534\n");
    assert!(under.stderr.contains("no_new_privs"), "{under:?}");
    let quiet = scene.ended(&mut scene.under(&[], &[id, "-u"]));
    assert!(quiet.stderr.contains("WARN"), "{quiet:?}");
    let sockpulse = scene.folder.at("sockpulse");
    let auto = [sockpulse.to_str().unwrap(), "run", "--", id, "-u"];
    let auto = scene.ended(&mut scene.alone(&auto));
    assert_eq!(auto.status, Some(4), "{auto:?}");
    assert!(auto.stderr.contains("gains privilege"), "{auto:?}");
    // As some distributions install sudo.
    std::fs::set_permissions(id, PermissionsExt::from_mode(0o4711)).unwrap();
    let auto = [sockpulse.to_str().unwrap(), "run", "--", id, "-u"];
    let unreadable = scene.ended(&mut scene.alone(&auto));
    assert_eq!(unreadable.status, Some(4), "{unreadable:?}");
    scene.nobody_stays();
}

#[test]
fn root_programs_that_may_not_be_read() {
    if !ready("unreadable", &[Path::new("gcc")]) {
        return;
    }
    let scene = Scene::new();
    with_library(&scene);
    let text = r#"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
int main() {
    int fd = socket(AF_INET, SOCK_STREAM, 0), idle = 0;
    socklen_t length = sizeof idle;
    listen(fd, 1);
    getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length);
    printf("%d\n", idle);
    return 0;
}
"#;
    let program = scene.compiled("gcc", "closed", text, &[]);
    std::fs::set_permissions(&program, PermissionsExt::from_mode(0o711)).unwrap();
    let (program, sockpulse) = (program.to_str().unwrap(), scene.folder.at("sockpulse"));
    let auto = [
        sockpulse.to_str().unwrap(),
        "run",
        "--idle",
        "61s",
        "--",
        program,
    ];
    let auto = scene.ended(&mut scene.alone(&auto));
    assert_eq!(
        (auto.stdout.as_str(), auto.stderr.as_str()),
        ("61\n", ""),
        "{auto:?}"
    );
    let held = scene.ended(&mut scene.under(&[], &[program]));
    assert_eq!(held.stdout, "7200\n", "{held:?}");
    assert!(held.stderr.contains("may not be read"), "{held:?}");
    scene.nobody_stays();
}

/// As containers do it: pidfd_getfd(2) is refused.
const DENY: &str = r"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int main(int count, char **words) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_getfd, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 99;
    execvp(words[1], words + 1);
    return 98;
}
";

#[test]
fn root_where_borrowing_is_refused_sockets_are_made() {
    if !ready("borrowing", &["gcc", PYTHON].map(Path::new)) {
        return;
    }
    let scene = Scene::new();
    let deny = scene.compiled("gcc", "deny", DENY, &[]);
    let (deny, sockpulse) = (deny.to_str().unwrap(), scene.folder.at("sockpulse"));
    let run = [
        deny,
        sockpulse.to_str().unwrap(),
        "-v",
        "run",
        "--method",
        "seccomp",
        "--idle",
        "61",
    ];
    let script = STEPS.replace("for line in sys.stdin:", "for line in 'ab':");
    let with = |more: &[&str]| {
        let words: Vec<&str> = run.iter().chain(more).copied().collect();
        scene.ended(&mut scene.alone(&words))
    };
    let ended = with(&["--", PYTHON, "-c", &script]);
    assert_eq!(ended.stdout, "1 61 61\n1 61 61\n", "{ended:?}");
    assert!(ended.stderr.contains("are made for it"), "{ended:?}");
    let held = with(&["--mode", "tighten", "--", PYTHON, "-c", &script]);
    assert_eq!(held.status, Some(4), "{held:?}");
    assert_eq!(held.stdout, "");
    scene.nobody_stays();
}

/// What a program sets, and where it connects to, stands in its memory.
#[test]
fn root_where_memory_is_not_read_nothing_else_is_promised() {
    if !ready("memory", &["gcc", "true"].map(Path::new)) {
        return;
    }
    let scene = Scene::new();
    let deny = DENY.replace("SYS_pidfd_getfd", "SYS_process_vm_readv");
    let deny = scene.compiled("gcc", "deny", &deny, &[]);
    let sockpulse = scene.folder.at("sockpulse");
    let with = |options: &[&str]| {
        let mut words = vec![deny.to_str().unwrap(), sockpulse.to_str().unwrap()];
        words.extend(["-v", "run", "--method", "seccomp"]);
        words.extend(options);
        words.extend(["--", "true"]);
        scene.ended(&mut scene.alone(&words))
    };
    let filled = with(&[]);
    assert!(filled.stderr.contains("are borrowed"), "{filled:?}");
    for options in [["--mode", "override"], ["--remote", ":5432"]] {
        let refused = with(&options);
        assert_eq!(refused.status, Some(4), "{refused:?}");
        assert!(refused.stderr.contains("memory"), "{refused:?}");
    }
    scene.nobody_stays();
}

/// One supervisor for a process: the inner one is refused, and the outer one goes on.
#[test]
fn root_run_within_run() {
    if !ready("run within run", &[Path::new(PYTHON)]) {
        return;
    }
    let scene = Scene::new();
    let sockpulse = scene.folder.at("sockpulse");
    let inner = [
        sockpulse.to_str().unwrap(),
        "run",
        "--method",
        "seccomp",
        "--",
        "true",
    ];
    let ended = scene.ended(&mut scene.under(&[], &inner));
    assert_eq!(ended.status, Some(4), "{ended:?}");
    assert!(
        ended.stderr.contains("a seccomp supervisor already"),
        "{ended:?}"
    );
    scene.nobody_stays();
}

/// The library, built as it is for users, beside the binary under test.
fn with_library(scene: &Scene) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo
        .args(["--quiet", "preload"])
        .env("CARGO_TARGET_DIR", &target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let ran = crate::kit::listing::run(&mut cargo);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    let name = "libsockpulse_preload.so";
    std::fs::copy(target.join("preload").join(name), scene.folder.at(name)).unwrap();
}

#[test]
fn root_auto_takes_the_library_where_seccomp_is_refused() {
    if !ready("auto", &["gcc", PYTHON].map(Path::new)) {
        return;
    }
    let scene = Scene::new();
    with_library(&scene);
    let sockpulse = scene.folder.at("sockpulse");
    let sockpulse = sockpulse.to_str().unwrap();
    let script = STEPS.replace("for line in sys.stdin:", "for line in 'ab':");
    let program = [PYTHON, "-c", &script];
    // Both have the same wishes, so that nobody can tell who was first.
    let mut inner = vec![sockpulse, "run", "--idle", "61s", "--"];
    inner.extend(program);
    let nested = scene.ended(&mut scene.under(&[], &inner));
    assert_eq!(nested.stdout, "1 61 61\n1 61 61\n", "{nested:?}");
    assert!(nested.stderr.contains("WARN method preload"), "{nested:?}");
    assert!(
        nested.stderr.contains("a seccomp supervisor already"),
        "{nested:?}"
    );

    // Filters of service managers kill instead of refusing.
    let kill = DENY.replace("SECCOMP_RET_ERRNO | EPERM", "SECCOMP_RET_KILL_PROCESS");
    for call in ["SYS_pidfd_getfd", "SYS_seccomp"] {
        let kill = kill.replace("SYS_pidfd_getfd", call);
        let kill = scene.compiled("gcc", call, &kill, &[]);
        let mut words = vec![kill.to_str().unwrap(), sockpulse];
        words.extend(["run", "--idle", "61s", "--"]);
        words.extend(program);
        let killed = scene.ended(&mut scene.alone(&words));
        assert_eq!(killed.stdout, "1 61 61\n1 61 61\n", "{killed:?}");
        assert!(killed.stderr.contains("WARN method preload"), "{killed:?}");
    }

    // No library reaches a static program: then nothing is started.
    let fixed = scene.compiled("gcc", "static", "int main() { return 0; }", &["-static"]);
    let inner = [sockpulse, "run", "--", fixed.to_str().unwrap()];
    let refused = scene.ended(&mut scene.under(&[], &inner));
    assert_eq!(refused.status, Some(4), "{refused:?}");
    assert!(refused.stderr.contains("is static"), "{refused:?}");
    scene.nobody_stays();
}

/// Where a filter is refused for another reason, no_new_privs would be lost for nothing.
#[test]
fn root_a_refused_filter_costs_no_right() {
    if !ready("rights that stay", &["grep", "setpriv"].map(Path::new)) {
        return;
    }
    let scene = Scene::new();
    with_library(&scene);
    let sockpulse = scene.folder.at("sockpulse");
    let inner = [sockpulse.to_str().unwrap(), "run", "--"];
    let look = ["grep", "NoNewPrivs", "/proc/self/status"];
    let inner = scene.alone(&[&inner[..], &look].concat());
    // The outer supervisor is root's, which needs no no_new_privs.
    let mut outer = std::process::Command::new(&sockpulse);
    outer.args(["run", "--method", "seccomp", "--"]);
    outer.arg(inner.get_program()).args(inner.get_args());
    let ended = scene.ended(&mut outer);
    assert!(ended.stderr.contains("method preload"), "{ended:?}");
    assert_eq!(ended.stdout, "NoNewPrivs:\t0\n", "{ended:?}");
    scene.nobody_stays();
}
