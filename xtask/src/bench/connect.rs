//! `cargo xtask bench connect`: what rules for connections to come cost a connection over loopback, both
//! ends on this machine.
//!
//! Each variant is installed on a cgroup of its own, once; the measuring process moves from one to the
//! other and makes a block of connections in each, in an order that turns from round to round, so that
//! what else the machine does falls on all of them. Blocks are timed in pieces of a millisecond or so,
//! of which the fastest tenth was hardly disturbed: its slowest piece is the variant's figure. (The
//! thread's processor time would not do: half of the work is done in interrupts.)
//!
//! ```text
//! bench connect          enters namespaces of its own (network, mount), waits
//!   bench connect-stage  makes cgroups, installs, measures, prints, removes
//! ```

use std::fs;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use rustix::mount::{MountFlags, mount};
use rustix::net::sockopt;
use sockpulse_bpf::protect::{self, Accepted, Wanted};
use sockpulse_core::glob::Glob;
use sockpulse_core::protect::{Asked, Mode, Rule, Table};
use sockpulse_core::{Hz, KeepCnt, KeepIdle, KeepIntvl, Selector, UserTimeoutChoice};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Rounds, pieces of a block, and connections of a piece.
const ROUNDS: usize = 200;
const BLOCK: usize = 10;
const PIECE: u32 = 25;

/// How much fewer connections a second may be made, in per cent.
const GOAL: f64 = 3.0;

/// Starts the measurement in namespaces of its own.
pub(super) fn run(interrupt: &Interrupt) -> Result<ExitCode> {
    if !process::is_root() {
        return Err(Error::NeedsRoot("measure: BPF, cgroups and namespaces"));
    }
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(["bench", "connect-stage"]);
    process::run(&mut unshare, interrupt)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures and prints.
pub(super) fn stage() -> Result<ExitCode> {
    process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let bpffs = Path::new("/sys/fs/bpf");
    mount("bpf", bpffs, "bpf", MountFlags::empty(), None)
        .map_err(io::Error::from)
        .map_err(Error::file("mount", bpffs))?;
    let hz = sockpulse_linux::hz().ok_or(Error::Unexpected("no tick rate".into()))?;
    let home = Home::enter()?;
    let mut variants = Vec::new();
    for (name, kind) in variants_of() {
        variants.push(Variant::install(&home, bpffs, name, kind, hz)?);
    }
    for variant in &variants {
        variant.check()?;
    }
    let mut pieces = vec![Vec::new(); variants.len()];
    // The first round warms up.
    for round in 0..=ROUNDS {
        for n in 0..variants.len() {
            let at = (n + round) % variants.len();
            let took = variants[at].block()?;
            if round > 0 {
                pieces[at].extend(took);
            }
        }
    }
    print!("{}", text(&variants, &pieces));
    Ok(ExitCode::SUCCESS)
}

/// What is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    /// The program sets the options itself, on each socket that connects.
    ByHand,
    /// It sets them on its listener alone: what keepalive itself costs one end.
    Listener,
    Rules(Rules),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rules {
    count: u16,
    mode: Mode,
    accepted: Accepted,
    include_local: bool,
    user_timeout: Option<UserTimeoutChoice>,
}

fn variants_of() -> Vec<(&'static str, Kind)> {
    let fill = Rules {
        count: 1,
        mode: Mode::Fill,
        accepted: Accepted::Inherit,
        include_local: true,
        user_timeout: None,
    };
    let rules = |count| Kind::Rules(Rules { count, ..fill });
    let each = |count| {
        Kind::Rules(Rules {
            count,
            accepted: Accepted::Each,
            ..fill
        })
    };
    let left_out = Kind::Rules(Rules {
        include_local: false,
        ..fill
    });
    let with_timeout = Kind::Rules(Rules {
        user_timeout: Some(UserTimeoutChoice::Auto),
        ..fill
    });
    let tighten = Kind::Rules(Rules {
        mode: Mode::Tighten,
        ..fill
    });
    vec![
        ("nothing", Kind::Nothing),
        ("nothing, again", Kind::Nothing),
        ("listener set by program", Kind::Listener),
        ("all set by program", Kind::ByHand),
        ("1 rule", rules(1)),
        ("8 rules", rules(8)),
        ("64 rules", rules(64)),
        ("1 rule, local left out", left_out),
        ("1 rule, user timeout", with_timeout),
        ("1 rule, tighten", tighten),
        ("1 rule, each", each(1)),
        ("8 rules, each", each(8)),
        ("64 rules, each", each(64)),
    ]
}

/// The rules, of which the last one matches: it is the one that is found last.
fn rules(of: Rules) -> Vec<Rule> {
    let asked = Asked {
        idle: KeepIdle::new(60).ok(),
        interval: KeepIntvl::new(10).ok(),
        probes: KeepCnt::new(6).ok(),
        user_timeout: of.user_timeout,
    };
    let rule = |pattern: &str| Rule {
        name: pattern.to_owned(),
        selector: Selector {
            programs: vec![Glob::new(pattern)],
            ..Selector::default()
        },
        asked,
        mode: of.mode,
        include_local: of.include_local,
    };
    let others = (1..of.count).map(|number| rule(&format!("program-{number}")));
    others.chain([rule("*")]).collect()
}

struct Variant {
    name: &'static str,
    kind: Kind,
    cgroup: PathBuf,
    pins: PathBuf,
}

impl Variant {
    fn install(home: &Home, bpffs: &Path, name: &'static str, kind: Kind, hz: Hz) -> Result<Self> {
        let file = name.replace([' ', ','], "-");
        let variant = Self {
            name,
            kind,
            cgroup: home.cgroup.join(&file),
            pins: bpffs.join(&file),
        };
        fs::create_dir(&variant.cgroup).map_err(Error::file("make", &variant.cgroup))?;
        let Kind::Rules(of) = kind else {
            return Ok(variant);
        };
        let rules = rules(of);
        let said = |error: &dyn std::error::Error| Error::Unexpected(error.to_string());
        let table = Table::compile(&rules).map_err(|error| said(&error))?;
        let texts: Vec<String> = rules.iter().map(|rule| rule.name.clone()).collect();
        let wanted = Wanted {
            table: &table,
            texts: &texts,
            accepted: of.accepted,
            hz,
        };
        protect::install(&variant.pins, &variant.cgroup, &wanted).map_err(|error| said(&error))?;
        Ok(variant)
    }

    /// What is measured does what it says.
    fn check(&self) -> Result<()> {
        enter(&self.cgroup)?;
        let (listener, client) = self.connect_once()?;
        let (server, _) = listener.accept().map_err(Error::system("accept"))?;
        let wanted = match self.kind {
            Kind::Nothing => [false, false],
            Kind::Listener => [false, true],
            Kind::ByHand => [true, true],
            Kind::Rules(rules) => [rules.include_local; 2],
        };
        for (end, wanted) in [&client, &server].into_iter().zip(wanted) {
            let has = sockopt::socket_keepalive(end)
                .and_then(|on| Ok((on, sockopt::tcp_keepidle(end)?)))
                .map_err(io::Error::from)
                .map_err(Error::system("read an option"))?;
            if has.0 != wanted || (has.1 == Duration::from_secs(60)) != wanted {
                return Err(Error::Unexpected(format!("{}: {has:?}", self.name)));
            }
        }
        Ok(())
    }

    fn connect_once(&self) -> Result<(TcpListener, TcpStream)> {
        let listener = self.listen().map_err(Error::system("listen"))?;
        let client = self.connect(&listener).map_err(Error::system("connect"))?;
        Ok((listener, client))
    }

    /// How long the pieces of a block take.
    fn block(&self) -> Result<Vec<Duration>> {
        enter(&self.cgroup)?;
        let connections = || -> io::Result<Vec<Duration>> {
            let listener = self.listen()?;
            (0..BLOCK).map(|_| self.piece(&listener)).collect()
        };
        connections().map_err(Error::system("make connections"))
    }

    fn piece(&self, listener: &TcpListener) -> io::Result<Duration> {
        let start = Instant::now();
        for _ in 0..PIECE {
            let client = self.connect(listener)?;
            let (server, _) = listener.accept()?;
            // RST: nothing is left in TIME-WAIT for the next piece.
            sockopt::set_socket_linger(&client, Some(Duration::ZERO))?;
            drop(client);
            drop(server);
        }
        Ok(start.elapsed())
    }

    fn listen(&self) -> io::Result<TcpListener> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        if matches!(self.kind, Kind::ByHand | Kind::Listener) {
            set(&listener)?;
        }
        Ok(listener)
    }

    fn connect(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        let client = TcpStream::connect(listener.local_addr()?)?;
        if self.kind == Kind::ByHand {
            set(&client)?;
        }
        Ok(client)
    }
}

impl Drop for Variant {
    fn drop(&mut self) {
        let _ = protect::remove(&self.pins);
    }
}

/// The same settings as the rules'.
fn set(socket: impl std::os::fd::AsFd) -> io::Result<()> {
    sockopt::set_tcp_keepidle(&socket, Duration::from_secs(60))?;
    sockopt::set_tcp_keepintvl(&socket, Duration::from_secs(10))?;
    sockopt::set_tcp_keepcnt(&socket, 6)?;
    sockopt::set_socket_keepalive(&socket, true)?;
    Ok(())
}

/// A cgroup for the variants', left and removed in the end.
struct Home {
    cgroup: PathBuf,
    before: PathBuf,
}

impl Home {
    fn enter() -> Result<Self> {
        let read = |path| fs::read_to_string(path).map_err(Error::file("read", path));
        let mounts = read("/proc/self/mountinfo")?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
        let mount = mount.and_then(|line| line.split(' ').nth(4));
        let mount = PathBuf::from(mount.ok_or(Error::NeedsRoot("measure: a cgroup v2 mount"))?);
        let own = read("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let home = Self {
            cgroup: mount.join(format!("sockpulse-bench-{}", std::process::id())),
            before: mount.join(own.unwrap_or("")),
        };
        fs::create_dir(&home.cgroup).map_err(Error::file("make", &home.cgroup))?;
        Ok(home)
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = enter(&self.before);
        let children = fs::read_dir(&self.cgroup).into_iter().flatten().flatten();
        for child in children {
            let _ = fs::remove_dir(child.path());
        }
        let _ = fs::remove_dir(&self.cgroup);
    }
}

fn enter(cgroup: &Path) -> Result<()> {
    let path = cgroup.join("cgroup.procs");
    fs::write(&path, std::process::id().to_string()).map_err(Error::file("write", &path))
}

fn text(variants: &[Variant], pieces: &[Vec<Duration>]) -> String {
    let figures: Vec<f64> = pieces.iter().map(|pieces| first_tenth(pieces)).collect();
    let nothing = figures.first().copied().unwrap_or(f64::NAN);
    let mut text = format!(
        "\nmicroseconds a connection over loopback, both ends set; the fastest tenth of {} pieces of \
         {PIECE}\n{:26}{:>9}{:>9}{:>16}\n",
        ROUNDS * BLOCK,
        "",
        "took",
        "added",
        "connections/s"
    );
    for (variant, took) in variants.iter().zip(figures) {
        let more = (nothing / took - 1.0) * 100.0;
        let goal = match variant.kind {
            Kind::Rules(rules) if rules.accepted == Accepted::Inherit => {
                if -more <= GOAL {
                    "   goal: at most 3 % fewer, reached"
                } else {
                    "   goal: at most 3 % fewer, MISSED"
                }
            }
            _ => "",
        };
        text += &format!(
            "{:26}{took:>9.2}{:>+9.2}{more:>+14.1} %{goal}\n",
            variant.name,
            took - nothing
        );
    }
    text
}

/// Microseconds a connection of the slowest piece among the fastest tenth.
fn first_tenth(pieces: &[Duration]) -> f64 {
    let mut sorted = pieces.to_vec();
    sorted.sort_unstable();
    let at = sorted.get(sorted.len() / 10);
    at.map_or(f64::NAN, |took| took.as_secs_f64() * 1e6 / f64::from(PIECE))
}
