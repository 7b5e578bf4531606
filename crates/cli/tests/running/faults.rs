//! What goes wrong: the supervisor is killed or stopped, the program is wild.

use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::deadline::wait_for;
use crate::scene::Scene;
use crate::software::ready;

/// Opens a connection for every line that it reads, and says what both ends have.
pub(crate) const STEPS: &str = r"
import socket, sys
for line in sys.stdin:
    try:
        l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen()
        c = socket.create_connection(l.getsockname())
        print(c.getsockopt(1, 9), c.getsockopt(6, 4), l.getsockopt(6, 4), flush=True)
    except OSError as error:
        print(error.errno, flush=True)
";

pub(crate) const PYTHON: &str = "/usr/bin/python3";

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
        // The worker first, while the guard cannot replace it nor make it go on.
        send(both[0], Signal::STOP);
        wait_for("a guard that stands still", || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", both[0])).ok()?;
            stat.contains(") T ").then_some(())
        });
        send(both[1], Signal::KILL);
        send(both[0], Signal::KILL);
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

/// Whoever closes last a connection with unsent data and `SO_LINGER` waits; that must not be the
/// supervisor, for which everybody waits.
#[test]
fn root_a_close_that_lingers_holds_nobody_up() {
    if !ready("lingering", &[Path::new("gcc")]) {
        return;
    }
    let text = r#"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static volatile int number, ended;

static void *be_held(void *unused) {
    while (!ended)
        listen(number, 1);
    return 0;
}

static double now() {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main() {
    static char data[1 << 20];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct linger linger = {1, 3};
    socklen_t length = sizeof to;
    int server = socket(AF_INET, SOCK_STREAM, 0);
    bind(server, (void *)&to, length);
    listen(server, 10);
    getsockname(server, (void *)&to, &length);
    for (int i = 0; i < 4; i++) {
        int other = socket(AF_INET, SOCK_STREAM, 0), fd = number = socket(AF_INET, SOCK_STREAM, 0);
        connect(fd, (void *)&to, sizeof to);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        while (send(fd, data, sizeof data, MSG_DONTWAIT) > 0)
            ;
        pthread_t thread;
        ended = 0;
        pthread_create(&thread, 0, be_held, 0);
        usleep(500);
        double start = now();
        close(fd);
        ended = 1;
        double closed = now();
        connect(other, (void *)&to, sizeof to);
        double connected = now();
        pthread_join(thread, 0);
        if (closed - start < 1) { /* the supervisor had it, too */
            puts(connected - closed < 1 ? "at once" : "held up");
            return 0;
        }
    }
    return 77;
}
"#;
    let scene = Scene::new();
    let program = scene.compiled("gcc", "linger", text, &["-w"]);
    let ended = scene.ended(&mut scene.under(&[], &[program.to_str().unwrap()]));
    if ended.status == Some(77) {
        eprintln!("SKIPPED: the program always closed last");
        return;
    }
    assert_eq!(ended.stdout, "at once\n", "{ended:?}");
    scene.nobody_stays();
}
