//! What `ss -Htanoe` says.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::Command;

use super::netns::Netns;

/// A line of ss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The state as sockpulse calls it.
    pub(crate) state: &'static str,
    pub(crate) recv_q: u64,
    pub(crate) send_q: u64,
    pub(crate) local: (IpAddr, u16),
    pub(crate) remote: (IpAddr, u16),
    /// The timer's name; empty for none.
    pub(crate) timer: String,
    pub(crate) inode: u64,
    pub(crate) uid: u64,
    pub(crate) cookie: u64,
}

/// Every TCP socket of the namespace, by cookie.
pub(crate) fn ss(netns: &Netns) -> BTreeMap<u64, Line> {
    let output = netns.run(|| Command::new("ss").arg("-Htanoe").output());
    let output = output.expect("ss (Debian: iproute2)");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("ss writes UTF-8");
    text.lines()
        .map(parse)
        .map(|line| (line.cookie, line))
        .collect()
}

fn parse(line: &str) -> Line {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("ss: {line}"));
    let state = state(next());
    let recv_q = next().parse().expect("Recv-Q");
    let send_q = next().parse().expect("Send-Q");
    let v6 = line.contains('[') || line.contains("*:");
    let local = end(next(), v6);
    let remote = end(next(), v6);
    let mut parsed = Line {
        state,
        recv_q,
        send_q,
        local,
        remote,
        timer: String::new(),
        inode: 0,
        uid: 0,
        cookie: 0,
    };
    for word in words {
        match word.split_once(':') {
            Some(("timer", rest)) => {
                let name = rest.trim_start_matches('(').split(',').next();
                parsed.timer = name.unwrap_or_default().to_owned();
            }
            Some(("ino", number)) => parsed.inode = number.parse().expect("ino"),
            Some(("uid", number)) => parsed.uid = number.parse().expect("uid"),
            Some(("sk", number)) => parsed.cookie = u64::from_str_radix(number, 16).expect("sk"),
            _ => {}
        }
    }
    parsed
}

fn state(name: &str) -> &'static str {
    match name {
        "ESTAB" => "established",
        "SYN-SENT" => "syn-sent",
        "SYN-RECV" => "syn-received",
        "FIN-WAIT-1" => "fin-wait-1",
        "FIN-WAIT-2" => "fin-wait-2",
        "TIME-WAIT" => "time-wait",
        "CLOSE-WAIT" => "close-wait",
        "LAST-ACK" => "last-ack",
        "LISTEN" => "listen",
        "CLOSING" => "closing",
        other => panic!("ss: a state {other}"),
    }
}

/// `192.0.2.1:80`, `[::1]:80`, `*:80`, `192.0.2.1%eth0:80`.
fn end(text: &str, v6: bool) -> (IpAddr, u16) {
    let (addr, port) = text.rsplit_once(':').expect("ADDRESS:PORT");
    let port = if port == "*" {
        0
    } else {
        port.parse().expect("a port")
    };
    let addr = addr.split('%').next().unwrap_or_default();
    let addr = match addr.trim_start_matches('[').trim_end_matches(']') {
        "*" if v6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        addr => addr.parse().expect("an address"),
    };
    (addr, port)
}

/// This parser is an oracle: it is held against lines that ss 6.1 wrote.
pub(crate) fn lines_of_ss_are_understood() {
    let line = "ESTAB 5 7 [::ffff:192.0.2.1]:80 [::ffff:192.0.2.2]:51234 \
                timer:(keepalive,59min,0) uid:33 ino:12345 sk:1a2b cgroup:/ v6only:0 <->";
    let addr = |text: &str| text.parse::<IpAddr>().unwrap();
    let expected = Line {
        state: "established",
        recv_q: 5,
        send_q: 7,
        local: (addr("::ffff:192.0.2.1"), 80),
        remote: (addr("::ffff:192.0.2.2"), 51234),
        timer: "keepalive".to_owned(),
        inode: 12345,
        uid: 33,
        cookie: 0x1a2b,
    };
    assert_eq!(parse(line), expected);
    let line = "LISTEN 0 128 *:5002 *:* ino:9 sk:2 cgroup:/ v6only:0 <->";
    assert_eq!(parse(line).local, (addr("::"), 5002));
    let line = "LISTEN 0 128 0.0.0.0:5001 0.0.0.0:* ino:9 sk:2 cgroup:/ <->";
    assert_eq!(parse(line).remote, (addr("0.0.0.0"), 0));
}
