//! Programs that listen.

use std::io::Write;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use sockpulse_cli::software::Gives;

use crate::clients::go;
use crate::expected::expect;
use crate::kit::deadline::wait_for;
use crate::scene::{Scene, having, ours};
use crate::software::{Daemon, find, ready, tools};

/// Where these servers listen.
const OWN: u16 = 7001;

/// A server under `run`: what it accepts has what is given.
fn accepts(scene: &Scene, options: &[&str], words: &[&str], gives: &Gives) {
    let _server = Daemon::start(&scene.netns, &mut scene.under(options, words), Signal::TERM);
    let _clients: Vec<TcpStream> = (0..3).map(|_| connect(scene)).collect();
    let local = format!(":{OWN}");
    expect(&scene.netns, &["--local", &local], gives, words[0]);
}

fn connect(scene: &Scene) -> TcpStream {
    scene.netns.run(|| {
        wait_for("the server", || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, OWN)).ok()
        })
    })
}

#[test]
fn root_redis_server() {
    if !ready("redis-server", &[Path::new("redis-server")]) {
        return;
    }
    let (scene, port) = (Scene::new(), OWN.to_string());
    let words = [
        "redis-server",
        "--port",
        &port,
        "--tcp-keepalive",
        "0",
        "--save",
        "",
    ];
    accepts(&scene, &[], &words, &ours());
    scene.nobody_stays();
}

#[test]
fn root_nginx_and_its_workers() {
    if !ready("nginx", &[Path::new("nginx")]) {
        return;
    }
    let scene = Scene::new();
    let configuration = format!(
        "daemon off; pid nginx.pid; error_log stderr; worker_processes 2;\n\
         events {{}}\nhttp {{ access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
         fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
         server {{ listen 127.0.0.1:{OWN}; }} }}\n"
    );
    let file = scene.folder.write("nginx.conf", configuration);
    let prefix = scene.folder.at(".");
    let nginx = find(Path::new("nginx")).unwrap();
    let words = [
        nginx.to_str().unwrap(),
        "-p",
        prefix.to_str().unwrap(),
        "-c",
        file.to_str().unwrap(),
    ];
    accepts(&scene, &[], &words, &ours());
    scene.nobody_stays();
}

#[test]
fn root_go_server_without_c() {
    if !ready("go server", &[&tools().join("go/bin/go")]) {
        return;
    }
    let scene = Scene::new();
    // Multipath TCP is the default of modules of Go 1.24 and newer.
    let text = format!(
        "//go:debug multipathtcp=2\npackage main\n\nimport (\n\t\"context\"\n\t\"io\"\n\t\"net\"\n\t\"os\"\n\t\"time\"\n)\n\n\
         func main() {{\n\tc := net.ListenConfig{{}}\n\
         \tif os.Args[1] == \"-1\" {{\n\t\tc.KeepAlive = -time.Second\n\t}}\n\
         \tl, err := c.Listen(context.Background(), \"tcp\", \"127.0.0.1:{OWN}\")\n\
         \tif err != nil {{\n\t\tpanic(err)\n\t}}\n\
         \tfor {{\n\t\tc, err := l.Accept()\n\t\tif err != nil {{\n\t\t\tpanic(err)\n\t\t}}\n\
         \t\tgo io.Copy(io.Discard, c)\n\t}}\n}}\n"
    );
    let program = go(&scene, "server", &text);
    // Go asks for 15 s itself on what it accepts, unless it is told not to; then what is accepted has
    // what its listener has, which is one of Multipath TCP.
    for (mode, own, gives) in [
        ("fill", "0", having(15, 15, 9)),
        ("override", "0", ours()),
        ("fill", "-1", ours()),
    ] {
        accepts(&scene, &["--mode", mode], &[&program, own], &gives);
        scene.nobody_stays();
    }
}

#[test]
fn root_postgres_and_psql() {
    let programs = ["initdb", "postgres", "psql"].map(Path::new);
    if !ready("postgres", &programs) {
        return;
    }
    let [initdb, postgres, psql] = programs.map(|name| find(name).unwrap());
    let (scene, port) = (Scene::new(), OWN.to_string());
    let mut init = scene.alone(&[
        initdb.to_str().unwrap(),
        "-D",
        "data",
        "-U",
        "u",
        "--auth=trust",
        "--no-sync",
    ]);
    let made = scene.ended(&mut init);
    assert_eq!(made.status, Some(0), "{made:?}");
    let words = [
        postgres.to_str().unwrap(),
        "-D",
        "data",
        "-p",
        &port,
        "-k",
        "",
        "-F",
    ];
    let server = scene.under(&[], &words);
    let _server = Daemon::start(&scene.netns, &mut { server }, Signal::INT);
    connect(&scene);

    let uri = format!("postgresql://u@127.0.0.1:{OWN}/postgres");
    let words = [psql.to_str().unwrap(), "-XAt", &uri];
    let ask = |mut command: Command, look: &dyn Fn()| {
        let mut psql = scene.start(command.stdin(Stdio::piped()));
        look();
        let mut stdin = psql.child.stdin.take().unwrap();
        stdin
            .write_all(b"select 6 * 7;\nselect nothing;\n")
            .unwrap();
        drop(stdin);
        psql.end()
    };
    wait_for("postgres", || {
        let ready = scene.ended(scene.alone(&words).stdin(Stdio::null()));
        (ready.status == Some(0)).then_some(())
    });
    let alone = ask(scene.alone(&words), &|| {});
    assert_eq!(alone.stdout, "42\n", "{alone:?}");
    // It asks for keepalive and not when: that is filled in.
    let under = ask(scene.under(&[], &words), &|| {
        for end in ["--remote", "--local"] {
            expect(&scene.netns, &[end, &format!(":{OWN}")], &ours(), "psql");
        }
    });
    assert_eq!(under, alone);
}
