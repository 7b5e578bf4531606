//! The page that tells what came of it.

use std::fmt::Write as _;
use std::process::Command;

use super::claims::{Claim, blocks};
use super::course::{Delays, Outcome};
use super::kind::{Kind, Truth};
use super::network::LOST_PERMILLE;
use crate::error::Result;
use crate::{evidence, process};

/// What had to hold, what was found, and whether that is it.
pub(super) fn table(claims: &[Claim]) -> String {
    let mut table = "| what has to hold | found | |\n|---|---|---|\n".to_owned();
    for claim in claims {
        let verdict = if claim.holds { "reached" } else { "**MISSED**" };
        // Writing to a string does not fail.
        let _ = writeln!(table, "| {} | {} | {verdict} |", claim.text, claim.found);
    }
    table
}

/// The whole page.
pub(super) fn page(outcome: &Outcome, claims: &[Claim]) -> Result<String> {
    let release = process::output(Command::new("uname").arg("-r"))?;
    let hz = sockpulse_linux::hz().map_or_else(|| "unknown".into(), |hz| hz.get().to_string());
    let mut page = format!(
        "# Soak\n\n\
         <!-- Written by `cargo xtask soak` from what was measured: do not edit. -->\n\n\
         {} living and {} dead connections on one server, asked together by `sockpulse ping` in {}\n\
         rounds, then `sockpulse reap --yes`; every verdict held against what is true. Measured on\n\
         {}, Linux {}, {hz} ticks a second, at most {} probes a second, 24 of them\n\
         for a verdict of `dead`, 0.6 s apart; a debug build, load {}, other programs included.\n\n",
        outcome.connections,
        outcome.connections,
        outcome.rounds.len(),
        evidence::today()?,
        evidence::version(release.trim()),
        outcome.rate,
        outcome.load,
    );
    page += &table(claims);
    page += &verdicts(outcome);
    page += &delays(outcome);
    page += HOW;
    let _ = writeln!(
        page,
        "- The loss is {} of 1,000 packets, by `numgen random` of nftables in the router. It is switched\n  \
           off between the rounds, for a command on each connection, so that the kernel's timeout for\n  \
           retransmissions stays short.",
        LOST_PERMILLE
    );
    Ok(page)
}

fn verdicts(outcome: &Outcome) -> String {
    let mut text = "\n## Verdicts\n\n\
         Of all rounds together; \"other\" is `refused`, `busy` or `unknown`. A block is 512 bytes.\n\n\
         | connections | kind | alive | dead | other | blocks to the server | and back |\n\
         |---|---|---|---|---|---|---|\n"
        .to_owned();
    for kind in Kind::ASKED {
        let sum = |verdict| -> usize {
            let rounds = outcome.rounds.iter();
            rounds.map(|round| round.of(kind, verdict)).sum()
        };
        let rounds = outcome.rounds.iter();
        let all: usize = rounds
            .flat_map(|round| &round.verdicts)
            .filter(|((of, _), _)| *of == kind)
            .map(|(_, count)| count)
            .sum();
        let (alive, dead) = (sum("alive"), sum("dead"));
        let other = all - alive - dead;
        let share = kind.share(outcome.connections);
        let (to, back) = blocks(outcome, kind)
            .filter(|_| kind.truth() == Truth::Alive)
            .map_or_else(
                || ("-".into(), "-".into()),
                |(to, back)| (to.to_string(), back.to_string()),
            );
        let _ = writeln!(
            text,
            "| {share} | {} | {alive} | {dead} | {other} | {to} | {back} |",
            kind.text()
        );
    }
    let took = |pick: fn(f64, f64) -> f64, from| {
        let rounds = outcome.rounds.iter();
        rounds
            .map(|round| round.took.as_secs_f64())
            .fold(from, pick)
    };
    let probes: u64 = outcome.rounds.iter().map(|round| round.probes).sum();
    let most = outcome
        .rounds
        .iter()
        .map(|round| round.most_to_living)
        .max();
    let _ = writeln!(
        text,
        "\nA round took {:.1} to {:.1} s, start-up included; {probes} probes were sent in all. The living\n\
         connection that needed most of them in a round needed {} of the 24.",
        took(f64::min, f64::INFINITY),
        took(f64::max, 0.0),
        most.unwrap_or(0)
    );
    text
}

fn delays(outcome: &Outcome) -> String {
    let mut text = "\n## Delay\n\n\
         From a block of a busy connection to its answer, milliseconds. The programs at both ends share\n\
         the processors with `ping`, so the third line is what the second is to be held against: as many\n\
         connections, at the same time, that nobody asks. Sent twice: segments of the server, from the\n\
         beginning on.\n\n\
         | | answers | median | 999 of 1,000 | longest | sent twice |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for (name, delays) in [
        ("before anybody is asked", outcome.quiet),
        ("while they are asked", outcome.asked),
        ("while others are asked", outcome.beside),
    ] {
        let Delays {
            count,
            median,
            high,
            most,
            retransmitted,
        } = delays;
        let [median, high, most] = [median, high, most].map(milliseconds);
        let _ = writeln!(
            text,
            "| {name} | {count} | {median} | {high} | {most} | {retransmitted} |"
        );
    }
    text
}

/// `12.3` of microseconds.
fn milliseconds(micros: u64) -> String {
    format!("{}.{}", micros / 1_000, micros % 1_000 / 100)
}

const HOW: &str = "
## How

- Hosts are network namespaces on both sides of a router. The program on the server and the peers' are
  processes of their own, one for each kind. Of the sockets on the server a quarter each has nothing set,
  keepalive on, keepalive on with settings of its own, a user timeout; none is so short that the kernel
  itself would ask or give up meanwhile.
- Every byte of every stream is known beforehand, from the connection, the direction and the place. A
  byte that is lost, doubled, swapped or changed is seen at once, and in the end both sides say how many
  blocks they sent and got. Busy connections talk all the time, silent ones give a command after every
  round; whoever did not read or was stopped reads and goes on after reap.
- getsockopt: keepalive, idle, interval, probes, user timeout, linger, no delay, cork, congestion control,
  thin streams, TTL, TOS, reuse of address and port, urgent data inline, both timeouts. Left out is what
  traffic and the kernel's own tuning change: `TCP_QUICKACK`, the sizes of buffers.
- The sysctls are those of the server's namespace, set to something else for a moment; whatever has no
  value of its own has to show them at once.
- reap asks while the loss goes on.
- A connection whose NAT has forgotten it counts as dead: its peer's program still runs, and nothing that
  is sent from here reaches it, nor ever will unless the peer speaks first. Behind a NAT that remembers it
  counts as living.
- A cable that is out: the router says \"host unreachable\" by ICMP. That is told, and changes no verdict.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missed_stands_out() {
        let claim = |holds| Claim {
            text: "this",
            found: "3 of 4".into(),
            holds,
        };
        let table = table(&[claim(true), claim(false)]);
        assert!(table.contains("| this | 3 of 4 | reached |"), "{table}");
        assert!(table.contains("| this | 3 of 4 | **MISSED** |"), "{table}");
    }

    #[test]
    fn microseconds_are_told_in_milliseconds() {
        assert_eq!(milliseconds(12_345), "12.3");
        assert_eq!(milliseconds(99), "0.0");
    }
}
