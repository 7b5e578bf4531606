//! nginx and sshd.

use std::convert::identity;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::kit::deadline::wait_for;
use crate::kit::pair::{HERE, THERE};
use crate::kit::program::Talking;
use crate::kit::socket::{connect, listen};
use crate::kit::stage::{ASKED, Has, Stage};
use crate::software::{Daemon, command, ready, said};

/// A proxy with two workers that share a listener: both sides of a request under way are set, and
/// the request ends as it would have.
#[test]
fn root_nginx_gains_keepalive_on_both_sides() {
    if !ready("nginx", &[Path::new("nginx")]) {
        return;
    }
    let stage = Stage::new();
    let there = &stage.pair.there;
    let upstream = listen(there, THERE, 9000);
    let _nginx = nginx(&stage, identity);
    stage.expect(&["--local", ":80", "--state", "listen"], 1, Has::NOTHING);
    let mut client = connect(there, HERE, 80);
    let request = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n";
    client.write_all(request).unwrap();
    let (mut behind, _) = upstream.accept().unwrap();

    let open = ["--program", "nginx", "--state", "established"];
    stage.expect(&open, 2, Has::NOTHING);
    let words = [&["--program", "nginx"], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (2, 1), "{report:#?}");
    stage.expect(&open, 2, Has::ASKED);
    let listener = stage.expect(&["--local", ":80", "--state", "listen"], 1, Has::ASKED);
    assert_eq!(listener[0].processes().len(), 3, "{listener:?}");
    assert!(stage.protect(&words).is_idle());

    let mut asked = [0; 4];
    behind.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"GET ");
    let answer = b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    behind.write_all(answer).unwrap();
    let mut told = Vec::new();
    wait_for("the answer", || {
        let mut part = [0; 512];
        let count = client.read(&mut part).unwrap();
        told.extend_from_slice(&part[..count]);
        told.ends_with(b"hello").then_some(())
    });
    let _later = connect(there, HERE, 80);
    stage.expect(&["--local", ":80", "--state", "established"], 2, Has::ASKED);
}

/// A session in which somebody is logged in; its socket is held by several processes.
#[test]
fn root_a_session_of_sshd_gains_keepalive() {
    if !ready(
        "sshd",
        &["sshd", "ssh", "ssh-keygen", "unshare"].map(Path::new),
    ) {
        return;
    }
    let stage = Stage::new();
    let _sshd = sshd(&stage, identity);
    stage.expect(&["--local", ":22", "--state", "listen"], 1, Has::NOTHING);

    let mut session = ssh(&stage);
    let open = ["--local", ":22", "--state", "established"];
    stage.expect(&open, 1, Has::NOTHING);
    let words = [&["--program", "sshd"], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 1), "{report:#?}");
    stage.expect(&open, 1, Has::ASKED);
    assert!(stage.protect(&words).is_idle());
    session.tell("still there");
    assert_eq!(session.hear(), "still there");
}

/// nginx with two workers at port 80, which asks port 9000 of the other host; `inside` says how it is
/// started.
pub(crate) fn nginx(stage: &Stage, inside: impl FnOnce(Command) -> Command) -> Daemon {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path temporary;\n"))
        .concat();
    let file = stage.folder.write(
        "nginx.conf",
        format!(
            "daemon off;\nuser root;\nworker_processes 2;\npid nginx.pid;\nerror_log stderr;\n\
             events {{ }}\nhttp {{\n{temporary}access_log off;\nserver {{\nlisten {HERE}:80;\n\
             location / {{\nproxy_pass http://{THERE}:9000;\n}}\n}}\n}}\n"
        ),
    );
    let mut nginx = command("nginx");
    nginx.arg("-p").arg(stage.folder.at("")).arg("-c").arg(file);
    Daemon::start(&stage.pair.here, &mut inside(nginx), Signal::QUIT)
}

/// sshd at port 22, which asks for no keepalive; `inside` says how it is started.
pub(crate) fn sshd(stage: &Stage, inside: impl FnOnce(Command) -> Command) -> Daemon {
    let here = &stage.pair.here;
    let key = stage.folder.at("key");
    let mut keygen = command("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]);
    said(here, keygen.arg(&key));
    let authorized = stage.folder.at("key.pub");
    let config = stage.folder.write(
        "sshd_config",
        format!(
            "ListenAddress {HERE}:22\nPidFile none\nTCPKeepAlive no\nUsePAM no\nStrictModes no\n\
             PermitRootLogin yes\nAuthorizedKeysFile {}\n",
            authorized.display()
        ),
    );
    // It wants a folder that its unit makes.
    let script = "mount -t tmpfs none /run && mkdir /run/sshd && exec \"$@\"";
    let sshd = command("sshd").get_program().to_owned();
    let mut unshare = command("unshare");
    unshare.args(["--mount", "sh", "-c", script, "sh"]);
    unshare.arg(sshd).args(["-D", "-e", "-h"]).arg(&key);
    unshare.arg("-f").arg(config);
    Daemon::start(here, &mut inside(unshare), Signal::TERM)
}

/// Somebody logged in from the other host.
pub(crate) fn ssh(stage: &Stage) -> Talking {
    let key = stage.folder.at("key");
    let mut ssh = command("ssh");
    ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no"]);
    ssh.args([
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "LogLevel=ERROR",
        "-i",
    ]);
    ssh.arg(&key)
        .args([&format!("root@{HERE}"), "echo ready; exec cat"]);
    Talking::start(&stage.pair.there, &mut ssh).ready()
}
