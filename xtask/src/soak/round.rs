//! One round: everybody is asked, and what was said is held against what is true.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::kind::{Kind, Truth};
use super::network::Network;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;

/// Where sockpulse is, and how fast it asks.
#[derive(Debug)]
pub(super) struct Sockpulse {
    pub(super) program: PathBuf,
    /// Probes in a second.
    pub(super) rate: u32,
}

/// No round takes longer than this.
const LIMIT: Duration = Duration::from_secs(300);

/// What was said of the connections of one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    /// How many of a kind got which verdict.
    pub(super) verdicts: BTreeMap<(Kind, String), usize>,
    /// How many probes were sent, and the most to one that lives.
    pub(super) probes: u64,
    pub(super) most_to_living: u64,
    pub(super) took: Duration,
}

impl Round {
    pub(super) fn of(&self, kind: Kind, verdict: &str) -> usize {
        let found = self.verdicts.get(&(kind, verdict.to_owned()));
        found.copied().unwrap_or(0)
    }

    /// How many of that truth got that verdict.
    pub(super) fn count(&self, truth: Truth, verdict: &str) -> usize {
        let kinds = Kind::ASKED.into_iter();
        let kinds = kinds.filter(|kind| kind.truth() == truth);
        kinds.map(|kind| self.of(kind, verdict)).sum()
    }

    pub(super) fn total(&self) -> usize {
        self.verdicts.values().sum()
    }
}

impl Sockpulse {
    /// Asks all connections of the server.
    pub(super) fn ping(&self, network: &Network, interrupt: &Interrupt) -> Result<Round> {
        let start = Instant::now();
        let mut ping = Command::new(&self.program);
        ping.args(["ping", "--netns", network.server().namespace()]);
        ping.args(["--rate", &self.rate.to_string(), "-o", "csv"]);
        let csv = network.directory().join("answers.csv");
        let file = std::fs::File::create(&csv).map_err(Error::file("write", &csv))?;
        let code = ended(ping.stdout(file), interrupt)?;
        // 1: dead ones were found.
        if !matches!(code, Some(0 | 1)) {
            return Err(Error::Unexpected(format!("ping ended with {code:?}")));
        }
        let text = std::fs::read_to_string(&csv).map_err(Error::file("read", &csv))?;
        tally(&text, start.elapsed())
    }

    /// Ends the dead.
    pub(super) fn reap(&self, network: &Network, interrupt: &Interrupt) -> Result<Option<i32>> {
        let mut reap = Command::new(&self.program);
        reap.args(["reap", "--yes", "--netns", network.server().namespace()]);
        reap.args(["--rate", &self.rate.to_string(), "--state-dir"]);
        reap.arg(network.directory().join("state"));
        ended(reap.stdout(Stdio::null()), interrupt)
    }
}

/// Runs it, and says with which code it ended.
fn ended(command: &mut Command, interrupt: &Interrupt) -> Result<Option<i32>> {
    let typed = process::typed(command);
    let child = process::spawn(command.stdin(Stdio::null()))?;
    let mut running = Running(child);
    let mut code = None;
    interrupt.wait_until(&format!("the end of {typed}"), LIMIT, || {
        let status = running.0.try_wait().map_err(Error::system("wait"))?;
        code = status.and_then(|status| status.code());
        Ok(status.is_some())
    })?;
    Ok(code)
}

/// Killed when nobody waits for it any more.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended where nothing went wrong.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Counts verdicts by what is true.
fn tally(csv: &str, took: Duration) -> Result<Round> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    let column = |name: &str| {
        let place = names.iter().position(|one| *one == name);
        place.ok_or_else(|| strange(csv))
    };
    let (verdict, local) = (column("verdict")?, column("local")?);
    let probes_sent = column("probes_sent")?;
    let mut round = Round {
        verdicts: BTreeMap::new(),
        probes: 0,
        most_to_living: 0,
        took,
    };
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        let kind = fields
            .get(local)
            .and_then(|end| end.rsplit(':').next()?.parse().ok())
            .and_then(Kind::of_port);
        let (Some(verdict), Some(kind)) = (fields.get(verdict), kind) else {
            return Err(strange(line));
        };
        let probes = fields.get(probes_sent).and_then(|text| text.parse().ok());
        let probes: u64 = probes.ok_or_else(|| strange(line))?;
        *round
            .verdicts
            .entry((kind, (*verdict).to_owned()))
            .or_default() += 1;
        round.probes += probes;
        if kind.truth() == Truth::Alive {
            round.most_to_living = round.most_to_living.max(probes);
        }
    }
    Ok(round)
}

fn strange(line: &str) -> Error {
    Error::Answer {
        program: "sockpulse ping".to_owned(),
        line: line.lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "verdict,rtt_ms,probes_sent,silence_ms,why,state,local,remote";

    #[test]
    fn verdicts_are_counted_by_what_is_true() {
        let csv = format!(
            "{HEADER}\r\n\
             alive,0.1,1,20,,ESTABLISHED,10.77.0.2:5001,10.77.1.2:40000\r\n\
             alive,,5,20,,ESTABLISHED,10.77.0.2:5003,10.77.2.2:40000\r\n\
             dead,,24,90000,,ESTABLISHED,10.77.0.2:5011,10.77.7.2:40000\r\n\
             alive,,1,90000,,ESTABLISHED,10.77.0.2:5013,10.77.0.1:40000\r\n"
        );
        let round = tally(&csv, Duration::ZERO).expect("rows");
        assert_eq!(round.of(Kind::Lossy, "alive"), 1);
        assert_eq!(round.count(Truth::Alive, "alive"), 2);
        assert_eq!(round.count(Truth::Alive, "dead"), 0);
        assert_eq!(round.count(Truth::Dead, "dead"), 1);
        assert_eq!(round.count(Truth::Dead, "alive"), 1);
        assert_eq!((round.probes, round.most_to_living), (31, 5));
    }

    #[test]
    fn what_is_of_no_kind_is_an_error() {
        for text in [
            "",
            "verdict,local\r\n",
            &format!("{HEADER}\r\nalive,,1,1,,ESTABLISHED,10.77.0.2:22,10.77.1.2:4\r\n"),
        ] {
            assert!(tally(text, Duration::ZERO).is_err(), "{text}");
        }
    }
}
