//! Real programs under the library, as an ordinary user: the kernel shows the settings, and whoever
//! started the program sees nothing.

mod kit;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;

use kit::{Running, Stage, free_port, keepalive_timer, seen, wait_for};

const WANTED: [(&str, &str); 1] = [("SOCKPULSE_RUN", "idle=33,interval=7,probes=4")];
const OVERRIDE: [(&str, &str); 1] = [("SOCKPULSE_RUN", "idle=33,mode=override")];

/// Answers one request after `look` has seen the client's connection: its far port and own.
fn serve_once(look: impl FnOnce(u16, u16) + Send + 'static) -> (u16, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let (mut stream, client) = listener.accept().expect("a client");
        let mut request = [0; 512];
        let _length = stream.read(&mut request).expect("a request");
        look(client.port(), port);
        let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 6\r\n\r\nhello\n";
        stream.write_all(answer).expect("answered");
    });
    (port, server)
}

fn connected(port: u16) -> (TcpStream, u16) {
    let stream = wait_for("the server", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    let own = stream.local_addr().expect("connected").port();
    (stream, own)
}

#[track_caller]
fn shows(own: u16, far: u16, idle: u32) {
    let timer = keepalive_timer(own, far).expect("keepalive is on");
    // It has run for a moment.
    assert!((idle - 3..=idle).contains(&timer), "{timer} s of {idle} s");
}

#[test]
fn curl_says_the_same_and_its_own_settings_win_unless_overridden() {
    let stage = Stage::new();
    let mut outputs = Vec::new();
    // curl asks for 60 s itself.
    for (environment, idle) in [(None, 60), (Some(&WANTED), 60), (Some(&OVERRIDE), 33)] {
        let (port, server) = serve_once(move |own, far| shows(own, far, idle));
        let mut curl = match environment {
            Some(environment) => stage.under(environment, "curl"),
            None => stage.alone("curl"),
        };
        let url = format!("http://127.0.0.1:{port}/");
        let output = curl.args(["-sSi", &url]).output().expect("curl runs");
        server.join().expect("the settings were seen");
        outputs.push(seen(&output));
    }
    assert_eq!(outputs[0].0, Some(0));
    assert!(
        outputs.iter().all(|output| *output == outputs[0]),
        "{outputs:?}"
    );
}

#[test]
fn a_failure_is_the_same_failure() {
    let stage = Stage::new();
    // Bound, but nobody listens.
    let url = "http://127.0.0.1:1/";
    let alone = stage
        .alone("curl")
        .args(["-sS", url])
        .output()
        .expect("it runs");
    let under = stage
        .under(&WANTED, "curl")
        .args(["-sS", url])
        .output()
        .expect("it runs");
    assert_eq!(seen(&alone).0, Some(7));
    let without_time = |(code, out, complaint): (Option<i32>, String, String)| {
        let complaint = complaint.split(" after ").next().map(str::to_owned);
        (code, out, complaint)
    };
    assert_eq!(without_time(seen(&alone)), without_time(seen(&under)));
}

#[test]
fn python_and_its_children() {
    let stage = Stage::new();
    let script = stage.write(
        "both.py",
        "import os, socket, sys\n\
         listener = socket.create_server(('127.0.0.1', 0))\n\
         if os.fork() == 0:\n\
         \x20   client = socket.create_connection(listener.getsockname())\n\
         \x20   client.recv(1)\n\
         \x20   os._exit(3)\n\
         served, peer = listener.accept()\n\
         print([served.getsockopt(6, option) for option in (4, 5, 6)], flush=True)\n\
         served.close()\n\
         sys.exit(os.waitstatus_to_exitcode(os.wait()[1]) + 4)\n",
    );
    let alone = stage
        .alone("/usr/bin/python3")
        .arg(&script)
        .output()
        .expect("it runs");
    let under = stage
        .under(&WANTED, "/usr/bin/python3")
        .arg(&script)
        .output()
        .expect("it runs");
    let (code, out, complaints) = seen(&alone);
    assert_eq!((code, complaints.as_str()), (Some(7), ""));
    assert_eq!(out, "[7200, 75, 9]\n");
    assert_eq!(
        seen(&under),
        (Some(7), "[33, 7, 4]\n".to_owned(), String::new())
    );
}

#[test]
fn redis_that_asks_for_nothing_and_redis_that_does() {
    let stage = Stage::new();
    for (environment, own_setting, idle) in [
        (&WANTED, "0", 33),
        (&WANTED, "300", 300),
        (&OVERRIDE, "300", 33),
    ] {
        let port = free_port();
        let mut redis = stage.under(environment, "redis-server");
        redis.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
        ]);
        redis.args(["--tcp-keepalive", own_setting, "--loglevel", "warning"]);
        let _redis = Running::start(redis.stdout(Stdio::null()));
        let (mut client, own) = connected(port);
        // Once it answers, it has set what it wants to set.
        client.write_all(b"PING\r\n").expect("asked");
        client.read_exact(&mut [0; 7]).expect("+PONG");
        shows(port, own, idle);
    }
}

#[test]
fn nginx_workers_although_they_wipe_their_environment() {
    let stage = Stage::new();
    let port = free_port();
    let folder = stage.path("");
    let folder = folder.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {folder}/{name};\n"))
        .concat();
    let configuration = stage.write(
        "nginx.conf",
        &format!(
            "daemon off;\nworker_processes 2;\npid {folder}/pid;\nerror_log {folder}/log;\n\
             events {{}}\nhttp {{\naccess_log off;\n{temporary}\
             server {{ listen 127.0.0.1:{port}; return 200 \"hello\\n\"; }}\n}}\n"
        ),
    );
    let mut nginx = stage.under(&WANTED, "nginx");
    nginx
        .arg("-c")
        .arg(configuration)
        .arg("-e")
        .arg(stage.path("log"));
    let _nginx = Running::start(&mut nginx);
    let (mut client, own) = connected(port);
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .expect("asked");
    let mut answer = [0; 256];
    let length = client.read(&mut answer).expect("answered");
    assert!(kit::text(&answer[..length]).starts_with("HTTP/1.1 200 OK"));
    shows(port, own, 33);
}

#[test]
fn java_and_node_on_both_ends() {
    let stage = Stage::new();
    let java = stage.write(
        "Both.java",
        "import java.net.*;\n\
         class Both { public static void main(String[] words) throws Exception {\n\
         try (Socket socket = new Socket(\"127.0.0.1\", Integer.parseInt(words[0]))) {\n\
         socket.getOutputStream().write(1); System.out.println(socket.getInputStream().read());\n\
         } System.exit(5); } }\n",
    );
    let node = stage.write(
        "both.js",
        "const socket = require('net').connect(Number(process.argv[2]), '127.0.0.1');\n\
         socket.write('x');\n\
         socket.once('data', bytes => { console.log(bytes[0]); process.exit(5); });\n",
    );
    for (program, script) in [("java", java), ("node", node)] {
        let said = [false, true].map(|with| {
            let (port, server) = serve_once(move |own, far| {
                if with {
                    shows(own, far, 33);
                } else {
                    assert_eq!(keepalive_timer(own, far), None);
                }
            });
            let mut command = match with {
                true => stage.under(&WANTED, program),
                false => stage.alone(program),
            };
            let output = command
                .arg(&script)
                .arg(port.to_string())
                .output()
                .expect("it runs");
            server.join().expect("the settings were seen");
            seen(&output)
        });
        assert_eq!(
            said[0],
            (Some(5), "72\n".to_owned(), String::new()),
            "{program}"
        );
        assert_eq!(said[0], said[1], "{program}");
    }
}

#[test]
fn a_setuid_program_runs_as_ever() {
    // The dynamic linker leaves the library out for it: nothing is set, nothing is said.
    let stage = Stage::new();
    let alone = stage
        .alone("su")
        .arg("--version")
        .output()
        .expect("it runs");
    let under = stage
        .under(&WANTED, "su")
        .arg("--version")
        .output()
        .expect("it runs");
    assert_eq!(seen(&alone), seen(&under));
    let sh = Command::new("sh")
        .args(["-c", "test -u $(command -v su)"])
        .status();
    assert!(sh.expect("sh runs").success(), "su is setuid");
}
