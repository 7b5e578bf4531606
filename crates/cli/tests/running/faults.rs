//! What goes wrong: the supervisor is killed or stopped, rights are missing, the program is wild.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::deadline::wait_for;
use crate::scene::Scene;
use crate::software::{find, ready};

/// Opens a connection for every line that it reads, and says what both ends have.
const STEPS: &str = r"
import socket, sys
for line in sys.stdin:
    try:
        l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
        c = socket.create_connection(l.getsockname())
        print(c.getsockopt(1, 9), c.getsockopt(6, 4), l.getsockopt(6, 4), flush=True)
    except OSError as error:
        print(error.errno, flush=True)
";

const PYTHON: &str = "/usr/bin/python3";

/// Runs [`STEPS`], with something done to the supervisor before each connection.
fn steps(scene: &Scene, count: usize, mut before: impl FnMut(&[i32])) -> String {
    use std::io::{BufRead, BufReader, Write};
    let mut command = scene.under(&[], &[PYTHON, "-c", STEPS]);
    command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = scene.netns.run(|| command.spawn()).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = String::new();
    for _ in 0..count {
        let both = wait_for("both supervisors", || {
            Some(scene.supervisors()).filter(|both| both.len() == 2)
        });
        before(&both);
        stdin.write_all(b"go\n").unwrap();
        said.push_str(&lines.next().unwrap().unwrap());
        said.push('\n');
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
    scene.nobody_stays();
    said
}

fn send(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

#[test]
fn root_a_supervisor_that_is_killed_or_stopped_is_replaced() {
    if !ready("faults", &[Path::new(PYTHON)]) {
        return;
    }
    let scene = Scene::new();
    for (which, signal) in [(0, Signal::KILL), (1, Signal::KILL), (1, Signal::STOP)] {
        let said = steps(&scene, 10, |both| send(both[which], signal));
        assert_eq!(said, "1 61 61\n".repeat(10), "{which} {signal:?}");
    }
    // A guard that is stopped is not missed while the worker lives.
    let mut left = 10;
    let said = steps(&scene, 10, |both| {
        left -= 1;
        send(
            both[0],
            if left == 0 {
                Signal::CONT
            } else {
                Signal::STOP
            },
        );
    });
    assert_eq!(said, "1 61 61\n".repeat(10));
}

/// Documented as a limitation: with both gone the calls fail, and do not hang.
#[test]
fn root_without_any_supervisor_calls_fail() {
    if !ready("without any supervisor", &[Path::new(PYTHON)]) {
        return;
    }
    let scene = Scene::new();
    let said = steps(&scene, 1, |both| {
        // The guard first, while the worker cannot take its place.
        send(both[1], Signal::STOP);
        send(both[0], Signal::KILL);
        send(both[1], Signal::KILL);
    });
    assert_eq!(
        said,
        format!("{}\n", rustix::io::Errno::NOSYS.raw_os_error())
    );
}

#[test]
fn root_a_thousand_children() {
    if !ready("children", &[Path::new(PYTHON)]) {
        return;
    }
    let script = r"
import os, socket
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(2000)
children = []
for i in range(1000):
    child = os.fork()
    if child == 0:
        c = socket.create_connection(l.getsockname(), timeout=60)
        os._exit(c.getsockopt(6, 4) != 61 or c.getsockopt(1, 9) != 1)
    children.append(child)
print(sum(os.waitpid(child, 0)[1] != 0 for child in children))
";
    let scene = Scene::new();
    let ended = scene.ended(&mut scene.under(&[], &[PYTHON, "-c", script]));
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), "0\n"),
        "{ended:?}"
    );
    scene.nobody_stays();
}

#[test]
fn root_exhausted_descriptors_are_the_programs_own() {
    if !ready("descriptors", &["sh", PYTHON].map(Path::new)) {
        return;
    }
    let script = r"
import os, socket
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
c = socket.socket()
try:
    while True: os.dup(0)
except OSError as error: print(error.errno)
c.connect(l.getsockname()); print(c.getsockopt(6, 4))
";
    let scene = Scene::new();
    // sockpulse has to live with that limit too.
    let sockpulse = scene.folder.at("sockpulse");
    let line = format!(
        "ulimit -n 9; exec {} run --method seccomp --idle 61 -- {PYTHON} -c \"$1\"",
        sockpulse.display()
    );
    let ended = scene.ended(&mut scene.alone(&["sh", "-c", &line, "sh", script]));
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), "24\n61\n"),
        "{ended:?}"
    );
}

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
    scene.nobody_stays();
}

/// Threads close and open descriptors while calls on them are held. Which of the program's own TCP
/// sockets is set then is open; other kinds never are, and nothing hangs.
#[test]
fn root_descriptors_that_are_closed_meanwhile() {
    if !ready("races", &[Path::new("gcc")]) {
        return;
    }
    let text = r#"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in to = {.sin_family = AF_INET};
static volatile int number, ended;

static void *change(void *unused) {
    while (!ended) {
        int udp = socket(AF_INET, SOCK_DGRAM, 0);
        int tcp = socket(AF_INET, SOCK_STREAM, 0);
        dup2(udp, number);
        dup2(tcp, number);
        int on = 1;
        socklen_t length = sizeof on;
        getsockopt(udp, SOL_SOCKET, SO_KEEPALIVE, &on, &length);
        if (on)
            ended = 2;
        close(udp);
        close(tcp);
    }
    return 0;
}

int main() {
    pthread_t thread;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof to;
    bind(server, (void *)&to, length);
    listen(server, 4000);
    getsockname(server, (void *)&to, &length);
    number = dup(server);
    pthread_create(&thread, 0, change, 0);
    for (int i = 0; i < 3000 && !ended; i++) {
        connect(number, (void *)&to, sizeof to);
        int from = accept(server, 0, 0);
        if (from >= 0)
            close(from);
    }
    int was = ended;
    ended = 1;
    pthread_join(thread, 0);
    puts(was ? "another kind of socket was set" : "survived");
    return 0;
}
"#;
    let scene = Scene::new();
    let program = scene.compiled("gcc", "race", text, &[]);
    let ended = scene.ended(&mut scene.under(&[], &[program.to_str().unwrap()]));
    assert_eq!(
        (ended.status, ended.stdout.as_str()),
        (Some(0), "survived\n"),
        "{ended:?}"
    );
    scene.nobody_stays();
}

/// The child of vfork(2) shares the memory and not the descriptors.
#[test]
fn root_a_child_of_vfork() {
    if !ready("vfork", &[Path::new("gcc")]) {
        return;
    }
    let text = r#"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int idle;

int main() {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof to;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    bind(server, (void *)&to, length);
    listen(server, 10);
    getsockname(server, (void *)&to, &length);
    int child = vfork();
    if (child == 0) {
        int fd = socket(AF_INET, SOCK_STREAM, 0), value = 0;
        socklen_t size = sizeof value;
        if (connect(fd, (void *)&to, sizeof to))
            _exit(9);
        getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, &size);
        idle = value;
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    printf("%d %d\n", status, idle);
    return 0;
}
"#;
    let scene = Scene::new();
    let program = scene.compiled("gcc", "child", text, &["-w"]);
    let ended = scene.ended(&mut scene.under(&[], &[program.to_str().unwrap()]));
    assert_eq!(ended.stdout, "0 61\n", "{ended:?}");
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

/// What socketcall(2) points to no filter sees: only the options of keepalive may be set with the
/// supervisor's rights.
#[test]
#[cfg(target_arch = "x86_64")]
fn root_a_32_bit_program_gains_no_right() {
    if !ready("rights", &["gcc", "setpriv"].map(Path::new)) {
        return;
    }
    let text = r#"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static unsigned words[5];
static int value;
static char name[16];

static int set(int fd, int level, int option, void *from, int length) {
    int result;
    words[0] = fd, words[1] = level, words[2] = option;
    words[3] = (unsigned)(long)from, words[4] = length;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(14), "c"((unsigned)(long)words) : "memory");
    return result;
}

int main() {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    value = 77;
    int mark = set(fd, SOL_SOCKET, SO_MARK, &value, sizeof value);
    if (mark == -38) /* the kernel has none */
        return 77;
    strcpy(name, "renown");
    int congestion = set(fd, IPPROTO_TCP, TCP_CONGESTION, name, 6);
    int idle = set(fd, IPPROTO_TCP, TCP_KEEPIDLE, &value, sizeof value), now;
    socklen_t length = sizeof now;
    getsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &now, &length);
    printf("%d %d %d %d\n", mark, congestion, idle, now);
    return 0;
}
"#;
    let scene = Scene::new();
    let program = scene.compiled("gcc", "rights", text, &["-static", "-no-pie", "-w"]);
    let mut alone = scene.alone(&[program.to_str().unwrap()]);
    if scene.ended(&mut alone).status == Some(77) {
        eprintln!("SKIPPED: this kernel has no 32-bit calls");
        return;
    }
    // The supervisor is root's, the program is not.
    let mut under = std::process::Command::new(scene.folder.at("sockpulse"));
    under.args(["run", "--method", "seccomp", "--mode", "override"]);
    under.args(["--idle", "61s", "--"]);
    under.arg(alone.get_program()).args(alone.get_args());
    let ended = scene.ended(&mut under);
    assert_eq!(ended.stdout, "-1 -2 0 61\n", "{ended:?}");
    scene.nobody_stays();
}

/// As process 1 of a container the program adopts orphans: the supervisor must be none, or a program
/// that waits for all its children waits for one that waits for its end.
#[test]
fn root_process_1_waits_for_its_own_children_only() {
    if !ready("process 1", &["unshare", PYTHON].map(Path::new)) {
        return;
    }
    let script = r"
import os, socket
assert os.getpid() == 1
if os.fork() == 0: os._exit(3)
l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
c = socket.create_connection(l.getsockname())
print(c.getsockopt(6, 4))
try:
    while True: print(os.waitstatus_to_exitcode(os.wait()[1]))
except ChildProcessError: print('no more')
";
    let scene = Scene::new();
    let under = scene.under(&[], &[PYTHON, "-c", script]);
    let mut contained = std::process::Command::new("unshare");
    contained.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    contained.arg(under.get_program()).args(under.get_args());
    contained.current_dir(scene.folder.at("."));
    let ended = scene.ended(&mut contained);
    assert_eq!(ended.stdout, "61\n3\nno more\n", "{ended:?}");
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

/// The program may wipe what it was started with; the supervisor shows it to nobody either.
#[test]
fn root_a_supervisor_shows_no_variables() {
    if !ready("variables", &[Path::new("sleep")]) {
        return;
    }
    let scene = Scene::new();
    let mut command = scene.under(&[], &["sleep", "1000"]);
    let _running = scene.start(command.env("SECRET", "of the program"));
    wait_for("two that show nothing", || {
        let both = scene.supervisors();
        let shows_nothing = |pid: &i32| {
            let shown = std::fs::read(format!("/proc/{pid}/environ"));
            shown.is_ok_and(|shown| shown.iter().all(|byte| *byte == 0))
        };
        (both.len() == 2 && both.iter().all(shows_nothing)).then_some(())
    });
}
