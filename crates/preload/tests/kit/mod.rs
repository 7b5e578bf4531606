//! Programs under the library, as an ordinary user.

#![expect(dead_code, reason = "each test uses a part")]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The C libraries that programs are built with here.
pub(crate) const LIBRARIES_OF_C: [LibC; 2] = [LibC::Gnu, LibC::Musl];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LibC {
    Gnu,
    Musl,
}

/// A folder that everybody may read, with the library in it.
pub(crate) struct Stage {
    folder: TempDir,
}

/// A process that ends with its test.
pub(crate) struct Running(Child);

/// The library, built as it is for users.
pub(crate) fn library() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("..");
        let output = Command::new(env!("CARGO"))
            .args(["--quiet", "preload"])
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(workspace)
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", text(&output.stderr));
        target.join("preload/libsockpulse_preload.so")
    })
}

impl Stage {
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sockpulse-preload-")
            .tempdir();
        let stage = Self {
            folder: folder.expect("a folder"),
        };
        fs::set_permissions(stage.folder.path(), fs::Permissions::from_mode(0o777))
            .expect("opened");
        fs::copy(library(), stage.library()).expect("copied");
        stage
    }

    pub(crate) fn library(&self) -> PathBuf {
        self.path("libsockpulse_preload.so")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        path
    }

    /// The test program, see `probe.c`.
    pub(crate) fn probe(&self, libc: LibC) -> PathBuf {
        match libc {
            // As C++ is compiled: what unwinds must find its way.
            LibC::Gnu => self.compile("cc", "probe.c", &["-fexceptions", "-pthread"]),
            LibC::Musl => self.compile("musl-gcc", "probe.c", &[]),
        }
    }

    pub(crate) fn compile(&self, compiler: &str, source: &str, flags: &[&str]) -> PathBuf {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests")
            .join(source);
        let program = self.path(&format!("{source}-{compiler}"));
        let output = Command::new(compiler)
            .args(["-Wall", "-Wextra", "-Werror", "-O1"])
            .args(flags)
            .arg(path)
            .arg("-o")
            .arg(&program)
            .output()
            .expect("cargo xtask setup installs the compilers");
        assert!(output.status.success(), "{}", text(&output.stderr));
        program
    }

    /// The program as an ordinary user, with the library and nothing else in its environment.
    pub(crate) fn under(&self, environment: &[(&str, &str)], program: impl AsRef<Path>) -> Command {
        let mut command = self.ordinarily();
        command.arg(format!("LD_PRELOAD={}", self.library().display()));
        for (name, value) in environment {
            command.arg(format!("{name}={value}"));
        }
        command.arg(program.as_ref());
        command
    }

    /// The program as an ordinary user, without the library.
    pub(crate) fn alone(&self, program: impl AsRef<Path>) -> Command {
        let mut command = self.ordinarily();
        command.arg(program.as_ref());
        command
    }

    /// env(1), so that the library is not in what comes before the program.
    fn ordinarily(&self) -> Command {
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "env"]);
            command
        } else {
            Command::new("env")
        };
        command.env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.current_dir(self.folder.path());
        command.stdin(Stdio::null());
        command
    }

    /// What the test program prints under `SOCKPULSE_RUN=wanted`.
    pub(crate) fn says(&self, program: &Path, wanted: &str, words: &str) -> String {
        printed(
            self.under(&[("SOCKPULSE_RUN", wanted)], program)
                .args(words.split(' ')),
        )
    }
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("it starts"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // nginx and others take their children with them only when asked to.
        let _asked = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ended = self.0.wait();
    }
}

/// Standard output of a program that must succeed and complain of nothing.
pub(crate) fn printed(command: &mut Command) -> String {
    let output = command.output().expect("it starts");
    assert_eq!(text(&output.stderr), "", "{command:?}");
    assert!(output.status.success(), "{command:?}: {:?}", output.status);
    text(&output.stdout)
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub(crate) fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("procfs");
    status.lines().any(|line| line.starts_with("Uid:\t0\t0\t"))
}

/// All that somebody who started the program would see of it.
pub(crate) fn seen(output: &Output) -> (Option<i32>, String, String) {
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// A port of loopback that nobody has at the moment.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("bound").port()
}

/// Waits until `find` finds something.
pub(crate) fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        std::thread::yield_now();
    }
}

/// Whole seconds to the first probe of the established connection with this own and far port, by
/// ss(8). `None`: no keepalive.
pub(crate) fn keepalive_timer(own: u16, far: u16) -> Option<u32> {
    let filter = format!("sport = :{own} and dport = :{far}");
    let line = wait_for("the connection", || {
        let output = Command::new("ss")
            .args(["-tnoH", "state", "established"])
            .arg(&filter)
            .output();
        let line = text(&output.expect("ss runs").stdout);
        (!line.is_empty()).then_some(line)
    });
    let (_, timer) = line.split_once("timer:(keepalive,")?;
    let (time, _) = timer.split_once(',').expect("three parts");
    let seconds = match time.split_once("min") {
        Some((minutes, seconds)) => {
            let seconds = seconds.trim_end_matches("sec");
            let minutes: u32 = minutes.parse().expect("minutes");
            minutes * 60
                + if seconds.is_empty() {
                    0
                } else {
                    seconds.parse().expect("seconds")
                }
        }
        None => time.trim_end_matches("sec").parse().expect("seconds"),
    };
    Some(seconds)
}
