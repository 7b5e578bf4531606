//! Programs that connect.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::kit::pair::THERE;
use crate::kit::program::Talking;
use crate::kit::socket::listen;
use crate::kit::stage::{ASKED, Has, Stage};
use crate::software::{command, ready};

/// curl waits for an answer: without keepalive of its own it gains ours, with its own it keeps that.
#[test]
fn root_curl_gains_keepalive_unless_it_asked() {
    if !ready("curl", &[Path::new("curl")]) {
        return;
    }
    let stage = Stage::new();
    let server = listen(&stage.pair.there, THERE, 9000);
    let start = |words: &[&str]| asking(&stage, &server, &mut curl(words));
    let without = start(&["--no-keepalive"]);
    let with = start(&["--keepalive-time", "77"]);
    let of = |curl: &Talking| ["--pid".to_owned(), curl.pid().to_string()];
    let expect = |curl: &Talking, has: Has| {
        let words = of(curl);
        stage.expect(&[&words[0], &words[1]], 1, has);
    };
    let own = Has::on(77, 77, 9);
    expect(&without.0, Has::NOTHING);
    expect(&with.0, own);

    let words = [&["--program", "curl"], &ASKED[..]].concat();
    let report = stage.protect(&words);
    assert_eq!(report.changed(), (1, 0), "{report:#?}");
    expect(&without.0, Has::ASKED);
    expect(&with.0, own);
    assert!(stage.protect(&words).is_idle());
    // What wins against the program's own is asked for.
    stage.protect(&[&words[..], &["--mode", "override"]].concat());
    expect(&with.0, Has::ASKED);

    for (mut curl, mut accepted) in [without, with] {
        accepted
            .write_all(b"HTTP/1.0 200 OK\r\n\r\nhello\n")
            .unwrap();
        drop(accepted);
        assert_eq!(curl.hear(), "hello");
    }
}

/// It asks the other host at port 9000.
pub(crate) fn curl(words: &[&str]) -> Command {
    let mut curl = command("curl");
    curl.args(["--silent", "--no-buffer", "--noproxy", "*"]);
    curl.args(words).arg(format!("http://{THERE}:9000/"));
    curl
}

/// A curl that waits for its answer, and the connection on which it would come.
pub(crate) fn asking(
    stage: &Stage,
    server: &TcpListener,
    curl: &mut Command,
) -> (Talking, TcpStream) {
    let curl = Talking::start(&stage.pair.here, curl);
    let (mut accepted, _) = server.accept().unwrap();
    let mut asked = [0; 4];
    accepted.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"GET ");
    (curl, accepted)
}
