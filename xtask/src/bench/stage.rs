//! The first process of the namespaces: fills them with connections and measures the readers.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::mount::{UnmountFlags, unmount};

use super::hold;
use super::measure::{Sample, Subject};
use super::report;
use crate::error::{Error, Result};
use crate::process;

/// Connections at which `ss -tnop` is measured: with more it takes minutes and more.
const SMALL: u32 = 50_000;

/// Rounds; the report tells medians.
const ROUNDS: usize = 5;

/// No single run may take longer.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// What a connection takes of the kernel's memory, both ends with descriptors: 10 KiB measured.
const CONNECTION_KIB: u64 = 11;

/// Memory that is left alone.
const SPARE_KIB: u64 = 2 << 20;

/// Opens the connections, measures and prints.
pub(super) fn run(wanted: u32) -> Result<ExitCode> {
    prepare()?;
    let programs = Programs::locate()?;
    let connections = affordable(wanted)?;
    let mut load = Load::default();

    load.grow(connections.min(SMALL))?;
    let small = Series::measure(&programs, &load, programs.for_small())?;
    print!("{}", report::table(&small));
    load.grow(connections.saturating_sub(SMALL))?;
    let large = Series::measure(&programs, &load, programs.for_large())?;
    print!("{}", report::table(&large));
    print!("{}", report::goals(&small, &large));
    Ok(ExitCode::SUCCESS)
}

/// Makes the namespaces ready to be measured in.
pub(super) fn prepare() -> Result<()> {
    end_with_stdin();
    forget_other_namespaces()?;
    process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    Ok(())
}

/// The runs of several programs over the same sockets.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) connections: u32,
    pub(super) processes: usize,
    pub(super) opened_in: Duration,
    /// Every program with its runs.
    pub(super) runs: Vec<(Subject, Vec<Sample>)>,
}

impl Series {
    /// One round is run without being counted, then the programs take turns.
    fn measure(programs: &Programs, load: &Load, subjects: Vec<Subject>) -> Result<Self> {
        programs.check_completeness(load)?;
        let mut runs: Vec<(Subject, Vec<Sample>)> = subjects
            .into_iter()
            .map(|subject| (subject, Vec::new()))
            .collect();
        for round in 0..=ROUNDS {
            eprintln!("round {round} of {ROUNDS}");
            for (subject, samples) in &mut runs {
                let sample = subject.run(RUN_LIMIT)?;
                if round > 0 {
                    samples.push(sample);
                }
            }
        }
        Ok(Self {
            connections: load.connections,
            processes: load.holders.len(),
            opened_in: load.opened_in,
            runs,
        })
    }
}

/// Ends this process, and with it its pid namespace, when the one outside is gone.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(130);
    });
}

/// Takes the bind mounts of other network namespaces out of this mount namespace, so that readers
/// of every namespace read this one alone.
fn forget_other_namespaces() -> Result<()> {
    let path = "/proc/self/mountinfo";
    let mounts = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    for point in mounts.lines().filter_map(nsfs_mount) {
        unmount(point, UnmountFlags::DETACH)
            .map_err(std::io::Error::from)
            .map_err(Error::file("unmount", point))?;
    }
    Ok(())
}

/// The mount point of a line of mountinfo that is a namespace, proc_pid_mountinfo(5).
fn nsfs_mount(line: &str) -> Option<&str> {
    let (before, after) = line.split_once(" - ")?;
    after.starts_with("nsfs ").then_some(())?;
    before.split(' ').nth(4)
}

/// What else the machine has to do, which figures are to be read with.
pub(super) fn busyness() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = text.split(' ').next().unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    format!("load {load} on {processors} processors")
}

/// As many of the wanted connections as the machine's memory allows.
pub(super) fn affordable(wanted: u32) -> Result<u32> {
    let path = "/proc/meminfo";
    let text = std::fs::read_to_string(path).map_err(Error::file("read", path))?;
    let available: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
        .unwrap_or(0);
    let most = available.saturating_sub(SPARE_KIB) / CONNECTION_KIB;
    let most = u32::try_from(most).unwrap_or(u32::MAX);
    if most < wanted {
        println!(
            "memory allows {most} of {wanted} connections: {} MiB are available",
            available / 1024
        );
    }
    Ok(wanted.min(most))
}

/// The processes that hold connections.
#[derive(Debug, Default)]
pub(super) struct Load {
    holders: Vec<Child>,
    connections: u32,
    opened_in: Duration,
}

impl Load {
    /// How many are open.
    pub(super) const fn connections(&self) -> u32 {
        self.connections
    }

    /// Opens so many more.
    pub(super) fn grow(&mut self, connections: u32) -> Result<()> {
        let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
        let start = Instant::now();
        let before = self.connections;
        let first = self.holders.len();
        let mut left = connections;
        while left > 0 {
            let count = left.min(hold::per_process());
            let mut holder = Command::new(&own);
            holder
                .args(["bench", "hold", &self.holders.len().to_string()])
                .arg(count.to_string())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            self.holders.push(process::spawn(&mut holder)?);
            left -= count;
        }
        for holder in &mut self.holders[first..] {
            self.connections += opened(holder)?;
        }
        self.opened_in += start.elapsed();
        let wanted = before + connections;
        if self.connections < wanted {
            let opened = self.connections;
            println!("limits of this machine allow {opened} of {wanted} connections");
        }
        Ok(())
    }
}

fn opened(holder: &mut Child) -> Result<u32> {
    let mut line = String::new();
    if let Some(stdout) = holder.stdout.take() {
        BufReader::new(stdout)
            .read_line(&mut line)
            .map_err(Error::system("read from a holder"))?;
    }
    line.trim().parse().map_err(|_| Error::Answer {
        program: "bench hold".to_owned(),
        line,
    })
}

/// Where the programs to measure are.
struct Programs {
    own: PathBuf,
    sockpulse: PathBuf,
}

impl Programs {
    fn locate() -> Result<Self> {
        Ok(Self {
            own: std::env::current_exe().map_err(Error::system("find the own program"))?,
            sockpulse: process::target_directory()?.join("release/sockpulse"),
        })
    }

    fn for_small(&self) -> Vec<Subject> {
        vec![self.audit(), self.list(), ss(report::SS_PROCESSES, "-tnop")]
    }

    fn for_large(&self) -> Vec<Subject> {
        let mut subjects = vec![
            self.audit(),
            self.list(),
            ss(report::SS, "-tn"),
            ss(report::SS_INFO, "-tnoi"),
        ];
        subjects.extend(self.floors());
        subjects
    }

    fn floors(&self) -> [Subject; 3] {
        [
            (report::TASK_FILE, "task-file"),
            (report::SOCK_DIAG, "sock-diag"),
            (report::COUNT, "count"),
        ]
        .map(|(name, kind)| subject(name, &self.own, &["bench", "floor", kind]))
    }

    fn audit(&self) -> Subject {
        subject(report::AUDIT, &self.sockpulse, &["audit"])
    }

    fn list(&self) -> Subject {
        subject(report::LIST, &self.sockpulse, &["list", "-o", "jsonl"])
    }

    /// A fast reader that misses sockets is no reader.
    fn check_completeness(&self, load: &Load) -> Result<()> {
        let sockets = 2 * u64::from(load.connections);
        let (listed, _) = self.list().read(|output| {
            let lines = BufReader::with_capacity(1 << 20, output).split(b'\n');
            lines
                .map_while(std::result::Result::ok)
                .fold(0_u64, |n, _| n + 1)
        })?;
        require(report::LIST, listed, sockets)?;
        for floor in self.floors() {
            let mut line = String::new();
            let (read, _) = floor.read(|output| BufReader::new(output).read_line(&mut line))?;
            read.map_err(Error::system("read from a floor"))?;
            let seen = line.trim().parse().map_err(|_| Error::Answer {
                program: floor.name.to_owned(),
                line,
            })?;
            require(floor.name, seen, sockets)?;
        }
        Ok(())
    }
}

fn require(name: &str, seen: u64, sockets: u64) -> Result<()> {
    if seen < sockets {
        let text = format!("{name} shows {seen} of {sockets} sockets");
        return Err(Error::Unexpected(text));
    }
    Ok(())
}

fn ss(name: &'static str, options: &str) -> Subject {
    subject(name, Path::new("ss"), &["-H", options])
}

fn subject(name: &'static str, program: &Path, arguments: &[&str]) -> Subject {
    let arguments = arguments.iter().map(OsString::from);
    Subject {
        name,
        words: [program.into()].into_iter().chain(arguments).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_namespaces_are_unmounted() {
        let named = "81 29 0:4 net:[4026532247] /run/netns/lab rw shared:5 - nsfs nsfs rw";
        assert_eq!(nsfs_mount(named), Some("/run/netns/lab"));
        let proc = "25 29 0:23 / /proc rw,nosuid shared:12 - proc proc rw";
        assert_eq!(nsfs_mount(proc), None);
    }
}
