//! Random trees of files, the same ones in every run.

use sockpulse_core::persisted::{Folder, SYSCTL_CONF};

use super::root::{Put, Root, programs_are_there};
use crate::common::isolated;

const TREES: usize = 80;

const NAMES: [&str; 8] = [
    "10-a.conf",
    "50-b.conf",
    "99-sysctl.conf",
    "99-zz.conf",
    "Z.conf",
    ".h.conf",
    "zz.conf",
    "50-b.conf~",
];
const KEYS: [&str; 16] = [
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net/ipv4/tcp_keepalive_time",
    "net/ipv4/tcp_keepalive_intvl",
    "/net/ipv4/tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_*",
    "net.ipv4.tcp_keepalive_[ip]*",
    "net.*.tcp_keepalive_time",
    "net/ipv4/tcp_keepalive_??me",
    "net.ipv4.tcp_keepalive_i*",
    "net.ipv4.tcp_keepalive_*s",
    "net.ipv4..tcp_keepalive_time",
    "net.ipv4.tcp_keepaliv",
    "net.ipv4.tcp_keepalive_time.x",
    "# net.ipv4.tcp_keepalive_time",
];
const VALUES: [&str; 16] = [
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "100",
    "0x20",
    "010",
    "-1",
    "300",
    "7 # seven",
    "9s",
    "",
    "0",
    "12\r",
];

/// SplitMix64: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.next() % limit).unwrap()
    }

    fn of<'a, T>(&mut self, among: &'a [T]) -> &'a T {
        &among[self.below(among.len())]
    }
}

#[test]
fn root_random_trees_end_as_in_the_real_programs() {
    let test = "sysctl::random::root_random_trees_end_as_in_the_real_programs";
    if !programs_are_there(test) {
        return;
    }
    isolated(test, || {
        let root = Root::new();
        let mut random = Random(7200);
        for number in 0..TREES {
            let files = files(&mut random);
            root.fill(&files);
            root.compare(&format!("tree {number}: {files:?}"));
        }
    });
}

fn files(random: &mut Random) -> Vec<(String, Put)> {
    let mut files: Vec<(String, Put)> = Vec::new();
    for _ in 0..=random.below(5) {
        let path = format!("{}/{}", random.of(&Folder::ALL).path(), random.of(&NAMES));
        files.retain(|(other, _)| *other != path);
        let put = match random.below(12) {
            0 => Put::Link("/dev/null".to_owned()),
            1 => Put::Link("../sysctl.conf".to_owned()),
            2 => Put::Link("nowhere".to_owned()),
            _ => Put::Text(text(random)),
        };
        files.push((path, put));
    }
    if random.below(2) == 0 {
        files.push((SYSCTL_CONF.to_owned(), Put::Text(text(random))));
    }
    files
}

fn text(random: &mut Random) -> Vec<u8> {
    let mut text = String::new();
    for _ in 0..random.below(6) {
        let (key, value) = (*random.of(&KEYS), *random.of(&VALUES));
        let dash = if random.below(6) == 0 { "-" } else { "" };
        let (blank, other) = (*random.of(&["", " ", "\t "]), *random.of(&["", " "]));
        if random.below(9) == 0 {
            text.push_str(&format!("{blank}-{key}{other}"));
        } else {
            text.push_str(&format!("{blank}{dash}{key}{other}={blank}{value}{other}"));
        }
        text.push_str(random.of::<&str>(&["\n", "\n", "\n", "\r\n", "\n\n", "\0\n"]));
    }
    text.into_bytes()
}
