//! Runs a trial: builds, breaks, predicts, watches, judges.

use std::time::{Duration, Instant};

use sockpulse_core::machine::Setup;
use sockpulse_linux::{Proc, hz, sysctl};

use crate::capture::{self, Capture, Way};
use crate::error::Result;
use crate::fault::Fault;
use crate::host::Host;
use crate::prediction::{Predicted, Prediction};
use crate::report::{Report, Timed, judge};
use crate::scene::{self, Scene, Side, Watched};
use crate::settings::Settings;
use crate::topology::Topology;
use crate::trial::Trial;
use crate::watch::{self, Ending};

/// How much longer than predicted is waited for an end.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs a trial to its end. `begun` is told the prediction when the waiting begins.
/// Needs [`crate::Rights`].
///
/// # Errors
/// What could not be built or broken. A prediction that fails is a [`crate::Verdict`].
pub fn run(trial: &Trial, begun: impl FnOnce(&Prediction)) -> Result<Report> {
    let scenario = trial.scenario;
    let mut topology = Topology::build()?;
    for (name, value) in scenario.sysctls {
        topology.client.sysctl(name, *value)?;
        topology.server.sysctl(name, *value)?;
    }
    trial.fault.prepare(&topology)?;
    let capture = Capture::start(&topology.client, "eth0")?;
    let clocks = (Instant::now(), capture::now());
    let mut scene = scene::set(trial, &topology)?;
    let setup = setup(&topology, trial.settings, scene.rto)?;
    let mut prediction = Prediction::of(&setup, scenario.begin, trial.fault, trial.watch);
    begun(&prediction);
    let deadline = scene.base
        + match prediction.outcome {
            Predicted::Ends { at, .. } => at.latest + PATIENCE,
            _ => trial.watch,
        };
    let (at, ending) = wait(trial.fault, &mut topology, &scene, deadline)?;
    if let Some(child) = &mut scene.child {
        // It may be stopped, or dead already; either way it is to go.
        let _ = child.kill();
        let _ = child.wait();
    }
    let packets = capture.finish();
    let wall = clocks.1 + scene.base.saturating_duration_since(clocks.0);
    let wall = scene.counts.exactly(wall, &packets);
    let after = (clocks.1 + at.saturating_duration_since(clocks.0)).saturating_sub(wall);
    let packets = scene.counts.timed(&packets, wall);
    let sent = |timed: &&Timed| timed.seen.way == Way::Out && !timed.is_reset();
    prediction.fit(packets.iter().filter(sent).count());
    let verdict = judge(&prediction.outcome, trial.expected, ending, after);
    Ok(Report {
        trial: *trial,
        prediction,
        ending,
        after,
        rto: setup.rto,
        packets,
        verdict,
        client: topology.client.id(),
        until: clocks.1 + at.saturating_duration_since(clocks.0),
    })
}

/// What the model goes by: the settings, the sysctls as they are, the timeout as it was measured.
fn setup(topology: &Topology, settings: Settings, rto: Option<Duration>) -> Result<Setup> {
    let defaults = topology.client.run(|| sysctl::defaults(&Proc::default()))?;
    let mut setup = Setup::new(settings.timers(), defaults);
    setup.hz = hz();
    setup.rto = rto.unwrap_or(setup.rto);
    let number = |host: &Host, name| sysctl_of(host, name);
    setup.syn_retries = number(&topology.client, "tcp_syn_retries").unwrap_or(6);
    setup.syn_linear_timeouts = number(&topology.client, "tcp_syn_linear_timeouts").unwrap_or(0);
    setup.synack_retries = number(&topology.server, "tcp_synack_retries").unwrap_or(5);
    setup.orphan_retries = number(&topology.client, "tcp_orphan_retries").unwrap_or(0);
    Ok(setup)
}

fn sysctl_of(host: &Host, name: &'static str) -> Option<u32> {
    let path = format!("/proc/sys/net/ipv4/{name}");
    let text = host.run(move || std::fs::read_to_string(path)).ok()?;
    text.trim().parse().ok()
}

/// Watches, and makes what changes later.
fn wait(
    fault: Fault,
    topology: &mut Topology,
    scene: &Scene,
    deadline: Instant,
) -> Result<(Instant, Ending)> {
    let socket = match &scene.watched {
        Watched::Socket(socket) => socket,
        Watched::Table { side, port, state } => {
            let host = match side {
                Side::Client => &topology.client,
                Side::Server => &topology.server,
            };
            return watch::dropped(host, *port, state, deadline);
        }
    };
    std::thread::scope(|scope| {
        let director = fault.later().map(|(after, change)| {
            let at = scene.base + after;
            scope.spawn(move || {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                change.make(topology)
            })
        });
        let ended = watch::ending(socket, deadline);
        if let Some(director) = director {
            director
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        ended
    })
}
