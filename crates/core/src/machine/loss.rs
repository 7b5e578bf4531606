//! Living connections over a path that loses packets: how many are given up by keepalive.

use core::time::Duration;

use super::{Action, KeepaliveMachine, Lateness, Segment, Setup};

/// What became of idle, living connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct LossReport {
    /// Connections that were given up although their peer lives; each was opened anew at once.
    pub deaths: u64,
    /// Times that a probe was answered.
    pub answers: u64,
    /// Probes sent.
    pub probes: u64,
}

/// Runs idle connections to living peers for `duration`, over a path that loses each packet, probe
/// or answer, with the probability `loss`. `random` gives evenly spread 64-bit numbers.
#[must_use]
pub fn lossy_day(
    setup: &Setup,
    loss: f64,
    connections: u32,
    duration: Duration,
    mut random: impl FnMut() -> u64,
) -> LossReport {
    let mut report = LossReport::default();
    for _ in 0..connections {
        one(setup, &mut || lost(loss, random()), duration, &mut report);
    }
    report
}

fn one(
    setup: &Setup,
    lost: &mut impl FnMut() -> bool,
    duration: Duration,
    report: &mut LossReport,
) {
    let open = |now| KeepaliveMachine::established(setup, Lateness::None, now);
    let mut machine = open(Duration::ZERO);
    while let Some(now) = machine.next_timeout().filter(|at| *at <= duration) {
        match machine.on_timer(now) {
            Action::Send(_) => {
                report.probes += 1;
                // The answer is only sent to a probe that arrives.
                if !lost() && !lost() {
                    report.answers += 1;
                    machine.on_segment(now, Segment::Ack);
                }
            }
            Action::GiveUp { .. } => {
                report.deaths += 1;
                machine = open(now);
            }
            Action::None | Action::Rearmed | Action::End { .. } => {}
        }
    }
}

/// Whether a number drawn from all of `u64` falls into the share `loss` of them.
fn lost(loss: f64, drawn: u64) -> bool {
    let bits = u32::try_from(drawn >> 32).unwrap_or(u32::MAX);
    f64::from(bits) < loss * 4_294_967_296.0
}
