//! `cargo xtask bench watch`: what a watcher costs a connection over loopback, both ends on this
//! machine, and how soon it tells of one that ended.
//!
//! In each round every variant makes a block of connections, in an order that turns, so that what else
//! the machine does falls on all of them. A block is timed in pieces of a millisecond or so, and has two
//! figures: its median piece, and its slowest piece among the fastest tenth, which was hardly disturbed.
//! Each is held against the same figure of that round's block with nothing attached; the variant's is
//! the median of these ratios. Rounds in which others have programs on tracepoints do not count: the
//! first program there is dearer than the second. Connections are closed in order: one that is reset is
//! a death that is told, which wakes the reader each time.
//!
//! ```text
//! bench watch          enters namespaces of its own (network, mount), waits
//!   bench watch-stage  attaches, measures, prints
//! ```

use std::io::{self, Read};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::net::sockopt;
use sockpulse_bpf::watch::{self, Happening, Kinds, Wanted, Watcher, What};
use sockpulse_core::Hz;

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Rounds, pieces of a block, and connections of a piece.
const ROUNDS: usize = 60;
const BLOCK: usize = 40;
const PIECE: u32 = 20;

/// Deaths whose way to the reader is measured.
const DEATHS: usize = 300;

/// How much fewer connections a second may be made, in per cent.
const GOAL: f64 = 3.0;

/// How late the reader may be at most.
const SOON: Duration = Duration::from_millis(50);

/// How long to wait for others to end.
const WAIT: Duration = Duration::from_secs(1200);

/// Starts the measurement in namespaces of its own.
pub(super) fn run(interrupt: &Interrupt) -> Result<ExitCode> {
    if !process::is_root() {
        return Err(Error::NeedsRoot("measure: BPF and namespaces"));
    }
    let own = std::env::current_exe().map_err(Error::system("find the own program"))?;
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(["bench", "watch-stage"]);
    process::run(&mut unshare, interrupt)?;
    Ok(ExitCode::SUCCESS)
}

/// Measures and prints.
pub(super) fn stage() -> Result<ExitCode> {
    process::output(Command::new("ip").args(["link", "set", "lo", "up"]))?;
    let hz = sockpulse_linux::hz().ok_or(Error::Unexpected("no tick rate".into()))?;
    let stage = Stage {
        hz,
        cgroup: cgroup()?,
    };
    let variants = variants();
    let mut blocks: Vec<Vec<Block>> = vec![Vec::new(); variants.len()];
    let mut seen = Seen::default();
    // The first round warms up.
    let mut round = 0;
    while round <= ROUNDS {
        be_alone()?;
        let mut of_round = vec![Vec::new(); variants.len()];
        for n in 0..variants.len() {
            let at = (n + round) % variants.len();
            of_round[at] = stage.block(variants[at].1, &mut seen)?;
        }
        if others()? > 0 {
            continue;
        }
        if round > 0 {
            for (blocks, pieces) in blocks.iter_mut().zip(&of_round) {
                blocks.push(Block::of(pieces));
            }
        }
        round += 1;
    }
    print!("{}", text(&variants, &blocks, &seen));
    print!("{}", stage.deaths()?);
    Ok(ExitCode::SUCCESS)
}

fn variants() -> Vec<(&'static str, Option<Kinds>)> {
    let usual = Kinds::DIED
        .with(Kinds::PROBING)
        .with(Kinds::RECOVERED)
        .with(Kinds::CHANGED);
    let opened = usual.with(Kinds::OPENED);
    vec![
        ("nothing", None),
        ("nothing, again", None),
        ("died", Some(Kinds::DIED)),
        ("died,probing,recovered,changed", Some(usual)),
        ("opened too", Some(opened)),
        ("opened and closed too", Some(opened.with(Kinds::CLOSED))),
    ]
}

/// Other programs on tracepoints, such as another watcher's: with them "nothing" has its price too.
fn others() -> Result<usize> {
    watch::on_tracepoints().map_err(said)
}

/// Waits until there are none.
fn be_alone() -> Result<()> {
    let start = Instant::now();
    while others()? > 0 {
        if start.elapsed() > WAIT {
            let why = "other programs are attached to tracepoints all the time: end them first";
            return Err(Error::Unexpected(why.into()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// What the readers saw.
#[derive(Debug, Default)]
struct Seen {
    told: u64,
    lost: u64,
    skipped: u64,
}

struct Stage {
    hz: Hz,
    cgroup: PathBuf,
}

impl Stage {
    fn watcher(&self, kinds: Kinds) -> Result<Watcher> {
        let wanted = Wanted {
            kinds,
            among: None,
            cgroup: Some(&self.cgroup),
            hz: self.hz,
        };
        Watcher::load(&wanted).map_err(said)
    }

    /// How long each piece of a block takes, with a reader at work.
    fn block(&self, kinds: Option<Kinds>, seen: &mut Seen) -> Result<Vec<Duration>> {
        let Some(kinds) = kinds else {
            return pieces();
        };
        let watcher = self.watcher(kinds)?;
        let end = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| read(watcher, &end));
            let took = pieces();
            end.store(true, Ordering::Relaxed);
            let read = reader
                .join()
                .map_err(|_| Error::Unexpected("the reader panicked".into()))?;
            let (told, lost, skipped) = read.map_err(said)?;
            seen.told += told;
            seen.lost += lost;
            seen.skipped += skipped;
            took
        })
    }

    /// How late the reader knows of connections that end, one after the other.
    fn deaths(&self) -> Result<String> {
        let mut watcher = self.watcher(Kinds::DIED)?;
        let listener = listen().map_err(Error::system("listen"))?;
        let mut late = Vec::new();
        let mut told = Vec::new();
        for _ in 0..DEATHS {
            let died = die(&listener).map_err(Error::system("make connections"))?;
            let start = Instant::now();
            loop {
                watcher
                    .next(Duration::from_millis(100), &mut told)
                    .map_err(said)?;
                let own = told.drain(..).find(|told| is_death_at(told, died));
                if own.is_some() {
                    late.push(start.elapsed());
                    break;
                }
                if start.elapsed() > Duration::from_secs(10) {
                    return Err(Error::Unexpected("a death was not told".into()));
                }
            }
        }
        late.sort_unstable();
        let at = |share: usize| {
            late.get((late.len() - 1) * share / 100)
                .copied()
                .unwrap_or_default()
        };
        let met = if at(100) < SOON { "reached" } else { "MISSED" };
        Ok(format!(
            "\n{DEATHS} connections reset, until their end was read: median {} us, at most {} us; \
             goal: under {} ms, {met}\n",
            at(50).as_micros(),
            at(100).as_micros(),
            SOON.as_millis()
        ))
    }
}

/// The figures of a block: microseconds a connection.
#[derive(Debug, Clone, Copy)]
struct Block {
    median: f64,
    undisturbed: f64,
}

impl Block {
    fn of(pieces: &[Duration]) -> Self {
        let mut sorted = pieces.to_vec();
        sorted.sort_unstable();
        let at = |share: usize| {
            let piece = sorted.get(sorted.len() * share / 100);
            piece.map_or(f64::NAN, |took| took.as_secs_f64() * 1e6 / f64::from(PIECE))
        };
        Self {
            median: at(50),
            undisturbed: at(10),
        }
    }
}

/// Reads until the end: how many were told, were lost, and may have been passed by.
fn read(mut watcher: Watcher, end: &AtomicBool) -> sockpulse_bpf::Result<(u64, u64, u64)> {
    let mut told = Vec::new();
    let mut count = 0;
    while !end.load(Ordering::Relaxed) {
        watcher.next(Duration::from_millis(100), &mut told)?;
        count += told.drain(..).map(|_| 1).sum::<u64>();
    }
    watcher.next(Duration::ZERO, &mut told)?;
    count += told.drain(..).map(|_| 1).sum::<u64>();
    Ok((count, watcher.lost()?, watcher.skipped()?))
}

fn pieces() -> Result<Vec<Duration>> {
    let all = || -> io::Result<Vec<Duration>> {
        let listener = listen()?;
        (0..BLOCK).map(|_| piece(&listener)).collect()
    };
    all().map_err(Error::system("make connections"))
}

fn piece(listener: &TcpListener) -> io::Result<Duration> {
    let to = listener.local_addr()?;
    let start = Instant::now();
    for _ in 0..PIECE {
        let client = TcpStream::connect(to)?;
        let (mut server, _) = listener.accept()?;
        drop(client);
        // The end of the stream: the peer's FIN has come.
        let _ = server.read(&mut [0])?;
        drop(server);
    }
    Ok(start.elapsed())
}

fn listen() -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
}

/// Makes a connection end by a RST, and says which port had the end that it came to.
fn die(listener: &TcpListener) -> io::Result<u16> {
    let client = TcpStream::connect(listener.local_addr()?)?;
    let (server, _) = listener.accept()?;
    let port = client.local_addr()?.port();
    sockopt::set_socket_linger(&server, Some(Duration::ZERO))?;
    drop(server);
    Ok(port)
}

fn is_death_at(told: &Happening, port: u16) -> bool {
    matches!(told.what, What::Died(_)) && told.connection.id.local.port == port
}

fn cgroup() -> Result<PathBuf> {
    let root = sockpulse_linux::cgroup::root(&sockpulse_linux::Proc::default());
    root.ok_or(Error::NeedsRoot("measure: a cgroup v2 mount"))
}

fn said(error: sockpulse_bpf::Error) -> Error {
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    Error::Unexpected(format!("failed to {error}{}", cause.unwrap_or_default()))
}

fn text(variants: &[(&'static str, Option<Kinds>)], blocks: &[Vec<Block>], seen: &Seen) -> String {
    let nothing = blocks.first().map_or(&[][..], Vec::as_slice);
    let mut text = format!(
        "\nmicroseconds a connection over loopback, closed in order; {ROUNDS} blocks of {BLOCK} pieces of \
         {PIECE}\n{:32}{:>9}{:>16}{:>13}{:>16}\n",
        "", "median", "connections/s", "undisturbed", "connections/s"
    );
    for ((name, kinds), own) in variants.iter().zip(blocks) {
        let fewer = |figure: fn(&Block) -> f64| {
            let ratios = own.iter().zip(nothing);
            let ratio = median(ratios.map(|(own, nothing)| figure(nothing) / figure(own)));
            (ratio - 1.0) * 100.0
        };
        let middle = |figure: fn(&Block) -> f64| median(own.iter().map(figure));
        let [change, undisturbed] = [
            fewer(|block| block.median),
            fewer(|block| block.undisturbed),
        ];
        let goal = match kinds {
            None => "",
            Some(kinds) if kinds.has(Kinds::CLOSED) => "",
            Some(_) if -undisturbed <= GOAL => "   goal: at most 3 % fewer, reached",
            Some(_) => "   goal: at most 3 % fewer, MISSED",
        };
        text += &format!(
            "{name:32}{:>9.2}{change:>+14.1} %{:>13.2}{undisturbed:>+14.1} %{goal}\n",
            middle(|block| block.median),
            middle(|block| block.undisturbed),
        );
    }
    text + &format!(
        "{} events were read, {} lost, {} runs of a program skipped\n",
        seen.told, seen.lost, seen.skipped
    )
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.collect();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
