//! Whose a socket is: several processes, none, and processes with bad names.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::{Child, Command, Stdio};

use crate::kit::deadline::wait_for;
use crate::kit::listing::{Listing, Source, sockpulse};
use crate::kit::netns::Netns;
use crate::kit::openly::Openly;
use crate::kit::socket::{Options, connect, connected, listen};
use crate::kit::ss::ss;
use crate::kit::truth::Truth;

/// A process that holds a duplicate of a socket as its stdout, and does nothing.
struct Holder(Child);

impl Holder {
    fn start(program: &OsStr, socket: impl AsFd) -> Self {
        let socket: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
        // cat waits for the end of its stdin, and writes nothing.
        let child = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(socket)
            .spawn()
            .unwrap();
        Self(child)
    }

    fn pid(&self) -> u64 {
        self.0.id().into()
    }

    /// Waits until it is `cat` and no longer a copy of this process.
    fn wait_for_exec(self) -> Self {
        let ours = std::fs::read_link("/proc/self/exe").unwrap();
        wait_for("exec", || {
            let exe = std::fs::read_link(format!("/proc/{}/exe", self.0.id())).ok()?;
            (exe != ours).then_some(())
        });
        self
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// The sources that see processes.
const SEEING: [Source; 3] = [Source::TaskFile, Source::IterTcp, Source::Pidfd];

/// A connection that a server handed on to its workers belongs to all of them.
pub(crate) fn root_a_shared_socket_has_all_its_processes() {
    let netns = Netns::anonymous();
    let listener = listen(&netns, "127.0.0.1", 0);
    let (here, _there) = connected(&netns, "127.0.0.1", &listener);
    let cookie = Truth::of(&here).cookie;
    let cat = OsStr::new("cat");
    let workers = [(); 3].map(|()| Holder::start(cat, &here).wait_for_exec());
    let mut expected: Vec<u64> = workers.iter().map(Holder::pid).collect();
    expected.push(std::process::id().into());
    expected.sort_unstable();
    for source in SEEING {
        let listing = Listing::of(&netns, source, &["--netns", "self"]);
        let row = listing.row(cookie);
        let seen: Vec<u64> = row.processes().iter().map(|process| process.0).collect();
        assert_eq!(seen, expected, "{source:?}: {row:?}");
        for worker in &workers {
            let all = row.processes();
            let one = all.iter().find(|process| process.0 == worker.pid());
            assert_eq!(one, Some(&(worker.pid(), 1, "cat")), "{source:?}: {row:?}");
        }
        // Each of them is a handle to find it by.
        for pid in &expected {
            let pid = pid.to_string();
            let one = Listing::of(&netns, source, &["--netns", "self", "--pid", &pid]);
            assert!(one.rows.contains_key(&cookie), "{source:?}: --pid {pid}");
        }
        let cats = Listing::of(&netns, source, &["--netns", "self", "--program", "cat"]);
        assert!(cats.rows.contains_key(&cookie), "{source:?}: --program cat");
    }
}

/// The socket of a process that has ended belongs to those that are left.
pub(crate) fn root_a_pre_forked_listener_belongs_to_its_workers() {
    let netns = Netns::anonymous();
    let listener = listen(&netns, "127.0.0.1", 0);
    Options::own(65, 14, 4).apply(&listener);
    let cookie = Truth::of(&listener).cookie;
    let port = listener.local_addr().unwrap().port();
    let workers = [(); 2].map(|()| Holder::start(OsStr::new("cat"), &listener).wait_for_exec());
    drop(listener);
    let waiting = connect(&netns, "127.0.0.1", port);
    let accepted = wait_for("the connection that waits", || {
        let lines = ss(&netns);
        let line = lines
            .values()
            .find(|line| line.local.1 == port && line.state == "established");
        line.map(|line| line.cookie)
    });
    for source in SEEING {
        let listing = Listing::of(&netns, source, &["--netns", "self"]);
        let row = listing.row(cookie);
        let seen: Vec<u64> = row.processes().iter().map(|process| process.0).collect();
        let expected: Vec<u64> = workers.iter().map(Holder::pid).collect();
        assert_eq!(seen, expected, "{source:?}: {row:?}");
        assert_eq!(
            row.number("/keepalive/idle/seconds"),
            Some(65),
            "{source:?}: {row:?}"
        );
        assert_eq!(
            row.number("/unread_bytes"),
            Some(1),
            "one waits: {source:?}: {row:?}"
        );
        let row = listing.row(accepted);
        assert_eq!(
            row.processes(),
            [],
            "nobody has accepted it: {source:?}: {row:?}"
        );
        assert_eq!(
            row.text("/owner/unknown"),
            Some("no-process"),
            "{source:?}: {row:?}"
        );
        // Only iter/tcp sees the settings that it has inherited.
        let expected = (source == Source::IterTcp).then_some(65);
        assert_eq!(
            row.number("/keepalive/idle/seconds"),
            expected,
            "{source:?}: {row:?}"
        );
    }
    drop(waiting);
}

/// A process chooses its name, so any bytes may stand in it.
const BAD_NAME: &[u8] = b"\x1b[31m\"\\\n\xffx\xc3\xa9";

/// Names with control characters and invalid UTF-8: right in JSON, harmless in a table.
pub(crate) fn root_bad_names_are_escaped_in_tables_and_right_in_json() {
    let open = Openly::new();
    // A process is named after the file that it was started from.
    let program = open.folder().join(OsStr::from_bytes(BAD_NAME));
    std::os::unix::fs::symlink("/bin/cat", &program).unwrap();
    // The namespace has no name but its process's.
    let netns = Netns::held_by(program.as_os_str());
    let listener = listen(&netns, "127.0.0.1", 0);
    let cookie = Truth::of(&listener).cookie;
    let holder = Holder::start(program.as_os_str(), &listener).wait_for_exec();
    drop(listener);
    let comm = std::fs::read(format!("/proc/{}/comm", holder.pid())).unwrap();
    assert!(comm.starts_with(BAD_NAME), "{comm:?}");
    for source in SEEING {
        let mut words = vec!["list", "--netns", "self"];
        words.extend(source.flags());
        let ran = sockpulse(&netns, &[&words[..], &["-o", "json"]].concat());
        let listing = Listing::from(ran);
        let row = listing.row(cookie);
        // Bytes that are no UTF-8 become U+FFFD, all others are kept.
        let expected = String::from_utf8_lossy(BAD_NAME);
        assert_eq!(
            row.text("/owner/program"),
            Some(&*expected),
            "{source:?}: {row:?}"
        );
        let namespace = row.text("/netns_name").unwrap();
        let named_after = format!("process {expected} ");
        assert!(namespace.starts_with(&named_after), "{source:?}: {row:?}");

        for format in [&["--wide"][..], &[], &["-o", "csv"], &["-o", "jsonl"]] {
            let ran = sockpulse(&netns, &[&words[..], format].concat());
            assert_eq!(ran.status, Some(0), "{source:?} {format:?}: {}", ran.stderr);
            let text = String::from_utf8(ran.stdout).expect("valid UTF-8");
            assert_harmless(&text, &format!("{source:?} {format:?}"));
            if format.is_empty() {
                assert!(text.contains("\\x1b") || text.contains("\\u{1b}"), "{text}");
            }
        }
        let ran = sockpulse(
            &netns,
            &[&["audit", "--netns", "self"][..], &source.flags()].concat(),
        );
        let screen = String::from_utf8(ran.stdout).expect("valid UTF-8");
        assert_harmless(&screen, &format!("audit by {source:?}"));
    }
}

/// Nothing that moves a terminal's cursor or colours it.
fn assert_harmless(text: &str, case: &str) {
    // Lines of CSV end in CR LF (RFC 4180).
    let text = text.replace("\r\n", "\n");
    let control = |c: &char| c.is_control() && *c != '\n';
    if let Some(found) = text.chars().find(control) {
        panic!("{case}: {found:?} in {text:?}");
    }
    // The name's line feed would have cut a line in two.
    assert!(
        !text.contains("\"\\\n"),
        "{case}: a line feed of the name's: {text:?}"
    );
}
