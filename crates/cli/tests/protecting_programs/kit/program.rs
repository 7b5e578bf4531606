//! A program of C, linked statically, that knows nothing of keepalive: twin.c says what it does.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::kit::listing::run;
use crate::kit::netns::Netns;
use crate::software::Folder;

/// A copy with a name of its own, so that `--program` chooses it on the whole machine.
#[derive(Debug)]
pub(crate) struct Twin {
    path: PathBuf,
    name: String,
}

impl Twin {
    /// Compiles one.
    pub(crate) fn compile(folder: &Folder) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // The kernel keeps 15 bytes.
        let name = format!("tw{}-{number}", std::process::id());
        let source = folder.write("twin.c", include_str!("../twin.c"));
        let path = folder.at(&name);
        let mut cc = Command::new("cc");
        cc.args(["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o"]);
        let compiled = run(cc.arg(&path).arg(source));
        assert_eq!(compiled.status, Some(0), "{compiled:?}");
        Self { path, name }
    }

    /// Its name, as `--program` takes it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts it in the namespace; it is ready when this returns.
    pub(crate) fn start(&self, netns: &Netns, words: &[&str]) -> Talking {
        let talking = Talking::start(netns, Command::new(&self.path).args(words));
        talking.ready()
    }
}

/// A program that is talked to through its stdin and stdout. It is killed in the end.
#[derive(Debug)]
pub(crate) struct Talking {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Talking {
    /// Starts it in the namespace.
    pub(crate) fn start(netns: &Netns, command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = netns.run(|| command.spawn());
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("a pipe")),
            child,
        }
    }

    /// Waits for its word.
    pub(crate) fn ready(mut self) -> Self {
        assert_eq!(self.hear(), "ready");
        self
    }

    /// The next line that it says.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line.trim_end().to_owned()
    }

    /// Tells it a line.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it was not closed");
        writeln!(stdin, "{line}").expect("it reads");
        stdin.flush().expect("it reads");
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Talking {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
