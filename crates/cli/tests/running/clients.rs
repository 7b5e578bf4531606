//! Programs that connect.

use std::path::Path;

use crate::kit::listing::run;
use crate::scene::{Case, PORT, Scene, having};
use crate::software::{command, ready, tools};

/// Connects to the port of its first argument, and says what it reads.
pub(crate) const CLIENT: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1])),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (void *)&to, sizeof to)) {
        perror("connect");
        return 1;
    }
    char text[512];
    long length;
    while ((length = read(fd, text, sizeof text)) > 0)
        fwrite(text, 1, length, stdout);
    fprintf(stderr, "done\n");
    return 3;
}
"#;

#[test]
fn root_curl_and_its_own_keepalive() {
    if !ready("curl", &[Path::new("curl")]) {
        return;
    }
    let scene = Scene::new();
    let url = format!("http://127.0.0.1:{PORT}/");
    scene.client(&Case::of(&["curl", "-s", "--no-keepalive", &url]));
    // It asks for 60 s itself.
    let own = ["curl", "-s", "--keepalive-time", "33", &url];
    scene.client(&Case {
        options: &["--mode", "override"],
        ..Case::of(&own)
    });
}

#[test]
fn root_redis_cli() {
    if !ready("redis-cli", &[Path::new("redis-cli")]) {
        return;
    }
    let port = PORT.to_string();
    Scene::new().client(&Case {
        reply: "+PONG\r\n",
        options: &["--mode", "override"],
        ..Case::of(&["redis-cli", "-p", &port, "ping"])
    });
}

#[test]
fn root_python_node_and_java() {
    let programs = ["/usr/bin/python3", "node", "javac"].map(Path::new);
    if !ready("python, node and java", &programs) {
        return;
    }
    let scene = Scene::new();
    let script = format!(
        "import socket\nc = socket.create_connection(('127.0.0.1', {PORT}))\n\
         while d := c.recv(100): print(d)\nraise SystemExit(5)\n"
    );
    scene.client(&Case {
        status: 5,
        ..Case::of(&["/usr/bin/python3", "-c", &script])
    });
    let script = format!("require('net').connect({PORT}, '127.0.0.1').pipe(process.stdout)");
    scene.client(&Case::of(&["node", "-e", &script]));
    let source = scene.folder.write(
        "Client.java",
        format!(
            "public class Client {{ public static void main(String[] a) throws Exception {{\n\
             var s = new java.net.Socket(\"127.0.0.1\", {PORT});\n\
             s.getInputStream().transferTo(System.out); System.out.flush(); }} }}\n"
        ),
    );
    scene.client(&Case::of(&["java", source.to_str().unwrap()]));
}

#[test]
fn root_bash_with_children_in_the_background() {
    if !ready("bash", &[Path::new("bash")]) {
        return;
    }
    let script = format!(
        "for i in 1 2 3; do (exec 3<>/dev/tcp/127.0.0.1/{PORT}; cat <&3 >/dev/null; exit 0) & done\n\
         wait; echo all; exit 4"
    );
    Scene::new().client(&Case {
        connections: 3,
        status: 4,
        ..Case::of(&["bash", "-c", &script])
    });
}

#[test]
fn root_static_c_of_two_libraries() {
    if !ready("static C", &["gcc", "musl-gcc"].map(Path::new)) {
        return;
    }
    let (scene, port) = (Scene::new(), PORT.to_string());
    for (compiler, name) in [("gcc", "glibc"), ("musl-gcc", "musl")] {
        let program = scene.compiled(compiler, name, CLIENT, &["-static"]);
        scene.client(&Case {
            status: 3,
            ..Case::of(&[program.to_str().unwrap(), &port])
        });
    }
}

#[test]
fn root_static_rust() {
    if !ready("rust", &[Path::new("rustc")]) {
        return;
    }
    let scene = Scene::new();
    let source = scene.folder.write(
        "client.rs",
        format!(
            "fn main() {{ let mut s = std::net::TcpStream::connect((\"127.0.0.1\", {PORT})).unwrap();\n\
             std::io::copy(&mut s, &mut std::io::stdout()).unwrap(); }}\n"
        ),
    );
    let program = scene.folder.at("client");
    let mut rustc = command("rustc");
    rustc
        .args(["-C", "target-feature=+crt-static", "-o"])
        .arg(&program)
        .arg(source);
    assert_eq!(run(&mut rustc).status, Some(0));
    scene.client(&Case::of(&[program.to_str().unwrap()]));
}

/// Compiles a Go program without cgo.
pub(crate) fn go(scene: &Scene, name: &str, text: &str) -> String {
    let source = scene.folder.write(&format!("{name}.go"), text);
    let program = scene.folder.at(name);
    let mut build = command(tools().join("go/bin/go"));
    build
        .args(["build", "-o"])
        .arg(&program)
        .arg(source)
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOTELEMETRY", "off")
        .env("GOPATH", scene.folder.at("path"))
        .env("GOCACHE", tools().join("go-cache"));
    let ran = run(&mut build);
    assert_eq!(ran.status, Some(0), "{}", ran.stderr);
    program.to_str().unwrap().to_owned()
}

#[test]
fn root_go_without_c() {
    if !ready("go", &[&tools().join("go/bin/go")]) {
        return;
    }
    let scene = Scene::new();
    let text = format!(
        "package main\n\nimport (\n\t\"io\"\n\t\"net\"\n\t\"os\"\n)\n\nfunc main() {{\n\
         \tc, err := net.Dial(\"tcp\", \"127.0.0.1:{PORT}\")\n\tif err != nil {{\n\t\tpanic(err)\n\t}}\n\
         \tio.Copy(os.Stdout, c)\n}}\n"
    );
    let program = go(&scene, "client", &text);
    // Go asks for 15 s itself, after it has connected.
    for (mode, gives) in [
        ("fill", having(15, 15, 9)),
        ("tighten", having(15, 7, 5)),
        ("override", having(61, 7, 5)),
    ] {
        scene.client(&Case {
            options: &["--mode", mode],
            gives,
            ..Case::of(&[&program])
        });
    }
}

/// A 64-bit program may call as a 32-bit one does; its pointers must be short for that.
#[test]
#[cfg(target_arch = "x86_64")]
fn root_calls_of_32_bit_programs() {
    if !ready("32-bit calls", &[Path::new("gcc")]) {
        return;
    }
    let scene = Scene::new();
    let text = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in to;
static unsigned words[3];

static int call(int number, unsigned a, unsigned b, unsigned c) {
    int result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory");
    return result;
}

int main(int count, char **arguments) {
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = socket(AF_INET, SOCK_STREAM, 0), two = socket(AF_INET, SOCK_STREAM, 0);
    words[0] = one, words[1] = (unsigned)(long)&to, words[2] = sizeof to;
    int first = call(102, 3, (unsigned)(long)words, 0);
    int second = call(362, two, (unsigned)(long)&to, sizeof to);
    if (first == -38) /* the kernel has none */
        return 77;
    char text[512];
    while (read(one, text, sizeof text) > 0 || read(two, text, sizeof text) > 0)
        ;
    printf("%d %d\n", first, second);
    return 0;
}
"#;
    let program = scene.compiled("gcc", "short", text, &["-static", "-no-pie", "-w"]);
    let (program, port) = (program.to_str().unwrap(), PORT.to_string());
    if scene.ended(&mut scene.alone(&[program, "1"])).status == Some(77) {
        eprintln!("SKIPPED: this kernel has no 32-bit calls");
        return;
    }
    scene.client(&Case {
        connections: 2,
        ..Case::of(&[program, &port])
    });
}

#[test]
fn root_ends_select_connections() {
    if !ready("selectors", &[Path::new("gcc")]) {
        return;
    }
    let (scene, port) = (Scene::new(), PORT.to_string());
    let program = scene.compiled("gcc", "client", CLIENT, &[]);
    let words = [program.to_str().unwrap(), &port];
    let remote = format!("127.0.0.0/8:{PORT}");
    for options in [["--remote", &remote], ["--port", &port]] {
        scene.client(&Case {
            status: 3,
            options: &options,
            ..Case::of(&words)
        });
    }
    let mut other = scene.under(&["--remote", ":1"], &words);
    let other = scene.start(&mut other);
    let callers = scene.callers(1);
    let listing = crate::kit::listing::Listing::of(
        &scene.netns,
        crate::kit::listing::Source::TaskFile,
        &[
            "--netns",
            "self",
            "--state",
            "established",
            "--remote",
            &format!(":{PORT}"),
        ],
    );
    assert_eq!(listing.rows.len(), 1);
    for row in listing.rows.values() {
        assert_eq!(row.at("/keepalive/on"), false, "{row:?}");
    }
    drop(callers);
    assert_eq!(other.end().status, Some(3));
}
