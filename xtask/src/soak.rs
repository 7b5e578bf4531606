//! `cargo xtask soak [--connections N] [--rounds N] [--product PATH] [--page FILE]`: asks thousands of
//! living and dead connections again and again, and holds every verdict against what is true.
//!
//! Hosts are network namespaces on both sides of a router ([`network`]); each kind of connection
//! ([`kind`]) has a program on the server and one at the peer ([`program`]), whose streams are known byte
//! for byte ([`stream`]). Without `--page` docs/soak.md is written, if nothing else was chosen either.
//!
//! ```text
//! soak                      builds, makes the hosts, asks, ends the dead, writes the page
//!   soak-owner ADDRESS …    accepts, answers block for block, tells what getsockopt shows
//!   soak-peer ADDRESS N …   connects, talks, tells what came
//! ```

mod actor;
mod claims;
mod course;
mod kind;
mod network;
mod options;
mod page;
mod program;
mod round;
mod stream;

use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use program::{owner, peer};

use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::process;
use crate::topology::remove_leftovers;
use round::Sockpulse;

/// The words for [`owner()`] and [`peer()`] on the command line.
pub(crate) const OWNER: &str = "soak-owner";
pub(crate) const PEER: &str = "soak-peer";

const PAGE: &str = "docs/soak.md";

/// The full soak: as many live ones, and as many dead ones.
const CONNECTIONS: usize = 10_000;
const ROUNDS: usize = 20;

/// Runs `soak WORDS`.
///
/// # Errors
/// [`Error::UnknownCommand`]; [`Error::NeedsRoot`]; [`Error::Unexpected`] when something was not as it
/// has to be, behind writing the page; whatever a step of it fails with.
pub(crate) fn run(words: &[&str], interrupt: &Interrupt) -> Result<ExitCode> {
    let wanted = Wanted::parse(words)?;
    if !process::is_root() {
        return Err(Error::NeedsRoot("soak: namespaces, BPF and raw sockets"));
    }
    for name in remove_leftovers(network::KIND)? {
        println!("removed what a killed soak left behind: {name}");
    }
    let sockpulse = Sockpulse {
        program: wanted.program(interrupt)?,
        rate: rate(wanted.connections),
    };
    let outcome = course::run(wanted.connections, wanted.rounds, &sockpulse, interrupt)?;
    let claims = outcome.claims();
    print!("\n{}", page::table(&claims));
    if let Some(path) = wanted.page() {
        std::fs::write(&path, page::page(&outcome, &claims)?)
            .map_err(Error::file("write", &path))?;
        println!("wrote {}", path.display());
    }
    let missed = claims.iter().filter(|claim| !claim.holds).count();
    if missed > 0 {
        return Err(Error::Unexpected(format!("{missed} claims are missed")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Probes in a second with which a round takes about half a minute: a dead one gets 24, some of those
/// behind a loss a few.
fn rate(connections: usize) -> u32 {
    u32::try_from(connections * 26 / 30)
        .unwrap_or(u32::MAX)
        .max(1_000)
}

/// What is on the command line.
struct Wanted {
    connections: usize,
    rounds: usize,
    product: Option<PathBuf>,
    page: Option<PathBuf>,
}

impl Wanted {
    fn parse(words: &[&str]) -> Result<Self> {
        let unknown = || Error::UnknownCommand(format!("soak {}", words.join(" ")));
        let number = |text: &str| text.parse().map_err(|_| unknown());
        let mut wanted = Self {
            connections: CONNECTIONS,
            rounds: ROUNDS,
            product: None,
            page: None,
        };
        let (pairs, rest) = words.as_chunks::<2>();
        for [name, value] in pairs {
            match *name {
                "--connections" => wanted.connections = number(value)?,
                "--rounds" => wanted.rounds = number(value)?,
                "--product" => wanted.product = Some(value.into()),
                "--page" => wanted.page = Some(value.into()),
                _ => return Err(unknown()),
            }
        }
        // At least one of each kind.
        if !rest.is_empty() || wanted.connections < 6 || wanted.rounds == 0 {
            return Err(unknown());
        }
        Ok(wanted)
    }

    /// Builds sockpulse, unless one is given.
    fn program(&self, interrupt: &Interrupt) -> Result<PathBuf> {
        if let Some(product) = &self.product {
            return Ok(product.clone());
        }
        let mut build = process::cargo(["build", "--locked", "--package", "sockpulse-cli"]);
        println!("$ {}", process::typed(&build));
        process::run(&mut build, interrupt)?;
        Ok(process::target_directory()?.join("debug/sockpulse"))
    }

    fn page(&self) -> Option<PathBuf> {
        let is_full = self.connections == CONNECTIONS && self.rounds == ROUNDS;
        let own = is_full.then(|| process::workspace().join(PAGE));
        self.page.clone().or(own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_nothing_is_refused() {
        for words in [
            &["--connections"][..],
            &["--connections", "many"],
            &["--connections", "5"],
            &["--rounds", "0"],
            &["--page", "a", "--rounds"],
            &["--speed", "3"],
        ] {
            assert!(Wanted::parse(words).is_err(), "{words:?}");
        }
        let small = Wanted::parse(&["--connections", "200", "--rounds", "3"]).expect("wanted");
        assert_eq!((small.connections, small.rounds), (200, 3));
        assert_eq!(small.page(), None, "only a full soak writes the page");
        assert!(Wanted::parse(&[]).expect("wanted").page().is_some());
    }

    #[test]
    fn a_round_takes_about_half_a_minute() {
        assert_eq!(rate(10_000), 8_666);
        assert_eq!(rate(200), 1_000);
    }
}
