//! An hour of random loss, sixty times as fast: how many of a thousand healthy connections keepalive
//! kills.
//!
//! An hour with 60/60/8 has as many probes as a minute with 1/1/8. Both ends stay alive; the router
//! drops each packet, probe or answer, with the same probability.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{Resource, getrlimit, setrlimit};
use sockpulse_core::plan::Loss;
use sockpulse_core::{Family, Hz};
use sockpulse_linux::hz;

use crate::connection::{self, Reader};
use crate::error::{Error, Result};
use crate::settings::Settings;
use crate::topology::Topology;

/// What is to be run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hour {
    /// How many connections.
    pub connections: u16,
    /// How many unanswered probes end one.
    pub probes: u8,
    /// How many of a thousand packets are lost, each way.
    pub permille: u16,
}

impl Default for Hour {
    /// 1,000 connections, 30 % loss, 1/1/8.
    fn default() -> Self {
        Self {
            connections: 1_000,
            probes: 8,
            permille: 300,
        }
    }
}

/// Idle and interval, seconds: a minute in truth.
const TICK: Duration = Duration::from_secs(1);
/// An hour in truth.
const LASTS: Duration = Duration::from_secs(60);
/// 99.9 % of a normal distribution lie within so many standard deviations.
const DEVIATIONS: f64 = 3.29;

/// How many false deaths there are, beside what was predicted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deaths {
    /// What was run.
    pub hour: Hour,
    /// Predicted: 99.9 % of all such hours have at least so many.
    pub least: u32,
    /// Predicted on average, if timers were exact.
    pub mean: f64,
    /// Predicted: and at most so many.
    pub most: u32,
    /// Connections that were given up although their peer lived.
    pub counted: u32,
}

impl Deaths {
    /// Whether the count lies within the prediction.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.least <= self.counted && self.counted <= self.most
    }
}

/// Runs the hour, which takes a minute. Needs [`crate::Rights`].
///
/// # Errors
/// What could not be built; too few descriptors for twice as many sockets.
pub fn lossy_hour(hour: Hour) -> Result<Deaths> {
    permit_descriptors(u64::from(hour.connections) * 2 + 64)?;
    let topology = Topology::build()?;
    let listener = connection::listen(&topology.server, Family::Ipv4, Reader::Waiting)?;
    let settings = Settings::own(1, 1, hour.probes);
    let mut ends: Vec<(TcpStream, TcpStream)> = Vec::new();
    for _ in 0..hour.connections {
        let near = connection::connected(&topology.client, Family::Ipv4, settings)?;
        let (far, _) = listener
            .accept()
            .map_err(Error::system("accept a connection"))?;
        ends.push((near, far));
    }
    topology.router.nft(&format!(
        "insert rule inet lab gate numgen random mod 1000 < {} drop",
        hour.permille
    ))?;
    let end = Instant::now() + LASTS;
    std::thread::sleep(end.saturating_duration_since(Instant::now()));
    let dead = ends.iter().filter(|(near, _)| is_dead(near)).count();
    let (least, mean, most) = predicted(hour, hz());
    Ok(Deaths {
        hour,
        least,
        mean,
        most,
        counted: u32::try_from(dead).unwrap_or(u32::MAX),
    })
}

fn is_dead(socket: &TcpStream) -> bool {
    let mut byte = [0];
    let read = recv(socket, &mut byte[..], RecvFlags::DONTWAIT | RecvFlags::PEEK);
    matches!(read, Err(errno) if errno != Errno::AGAIN)
}

/// Raises the soft limit of descriptors as far as the hard one lets.
fn permit_descriptors(needed: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|soft| soft >= needed) {
        return Ok(());
    }
    limit.current = Some(limit.maximum.map_or(needed, |hard| hard.min(needed)));
    setrlimit(Resource::Nofile, limit).map_err(Error::system("raise the limit of descriptors"))
}

/// The least, the mean and the most false deaths.
///
/// At every tick a connection with `probes` unanswered is given up, any other is probed. Late timers
/// make fewer ticks; when the first one comes is a matter of when the connection was made.
fn predicted(hour: Hour, hz: Option<Hz>) -> (u32, f64, u32) {
    let connections = f64::from(hour.connections);
    let chance = |ticks| death_within(ticks, hour.probes, hour.permille);
    let latest = hz.map_or(TICK, |hz| hz.latest(TICK));
    let exact = ticks(TICK);
    let spread = |p: f64| DEVIATIONS * (connections * p * (1.0 - p)).sqrt();
    let (few, many) = (chance(ticks(latest)), chance(exact + 1));
    let least = (connections * few - spread(few)).floor().max(0.0);
    let most = (connections * many + spread(many)).ceil().min(connections);
    (whole(least), connections * chance(exact), whole(most))
}

fn ticks(spacing: Duration) -> u32 {
    u32::try_from(LASTS.as_nanos() / spacing.as_nanos().max(1)).unwrap_or(u32::MAX)
}

/// The chance that a connection is given up within so many ticks.
fn death_within(ticks: u32, probes: u8, permille: u16) -> f64 {
    let loss = Loss::new(f64::from(permille) / 1_000.0).unwrap_or(Loss::NONE);
    let unanswered = loss.unanswered();
    // The chance of each number of unanswered probes in a row; the last place waits for its tick.
    let mut row = vec![0.0; usize::from(probes) + 1];
    row[0] = 1.0;
    let mut dead = 0.0;
    for _ in 0..ticks {
        let alive: f64 = row[..usize::from(probes)].iter().sum();
        dead += row[usize::from(probes)];
        row.rotate_right(1);
        for place in &mut row {
            *place *= unanswered;
        }
        row[0] = alive * (1.0 - unanswered);
    }
    dead
}

/// A number from nought to a few thousand.
fn whole(number: f64) -> u32 {
    (0..=u32::from(u16::MAX))
        .find(|whole| f64::from(*whole) >= number)
        .unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_loss_kills_at_the_tick_behind_the_last_probe() {
        for (ticks, chance) in [(8, 0.0), (9, 1.0), (60, 1.0)] {
            assert!(
                (death_within(ticks, 8, 999) - chance).abs() < 0.02,
                "{ticks}"
            );
        }
        assert!(death_within(60, 8, 0).abs() < 1e-12);
    }

    #[test]
    fn the_chance_is_that_of_the_renewal_formula() {
        // Two probes, q = 0.51: dead at the third tick with q^2, at the fourth with (1 - q) q^2.
        let q: f64 = 0.51;
        let chance = death_within(4, 2, 300);
        assert!(
            (chance - (q * q + (1.0 - q) * q * q)).abs() < 1e-9,
            "{chance}"
        );
    }

    #[test]
    fn the_hour_at_thirty_per_cent_kills_about_one_in_eight() {
        let (least, mean, most) = predicted(Hour::default(), Hz::new(250));
        assert!((110.0..130.0).contains(&mean), "{mean}");
        assert!(least < 110 && most > 130, "{least} {most}");
        assert!(least > 60 && most < 180, "{least} {most}");
    }
}
